"""Ablation studies: arms that differ in one respect, trained with the same seeds and compared pairwise.

spec.py          what is studied: arms, recipe, data, replicates, measures
study.py         `Study`: the specification with `check`, `plan` and `run`
replicates.py    seeds, new splits or folds, and the statistics that follow from them
measures.py      accuracy, calibration and robustness of a trained net
tuning.py        the same search for a learning rate for every arm
trial.py         one trial; executors.py runs many, store.py keeps them, engine.py knows what is missing,
                 interruption.py ends a study in an orderly way
results.py       everything that the ledger knows, and comparisons
statistics/      simultaneous intervals and verdicts
matching.py      nets of equal size; checks.py: what is wrong with a study before it is trained
report/          a page, pictures and tables

>>> import tempfile
>>> from minicnn import models, optim, study
>>> widths = study.Study(
...     {"narrow": models.mlp((4,)), "wide": models.mlp((32,))},
...     control="narrow",
...     data="digits",
...     recipe=study.Recipe(optim.Adam(1e-2), epochs=1),
...     replicates=study.Resplits(3),
... )
>>> with tempfile.TemporaryDirectory() as folder:
...     results = widths.run(folder, progress=False)
...     results
Results('study': 2 arms, 6 of 6 trials done)
>>> [(c.arm, c.control, c.verdict) for c in results.compare("accuracy").contrasts]
[('wide', 'narrow', 'better')]

The ledger in the folder is the study: the next `run` trains only what is missing, and `study.open_results(folder)`
reads it without training. `study.write_report(results)` writes a page.
"""

from typing import TYPE_CHECKING

from minicnn.hints import unknown_names
from minicnn.study.costs import costs
from minicnn.study.matching import match
from minicnn.study.measures import (
    Blurred,
    Contrast,
    Noisy,
    Rotated,
    Scaled,
    Shifted,
    Tempered,
    accuracy,
    brier,
    ece,
    nll,
    padded,
)
from minicnn.study.opening import open_results
from minicnn.study.planning import Plan
from minicnn.study.replicates import KFold, Resplits, Seeds
from minicnn.study.report.build import write_report
from minicnn.study.report.forest import forest
from minicnn.study.results import Results
from minicnn.study.spec import Arm, Recipe
from minicnn.study.study import Study
from minicnn.study.tuning import Grid

__all__ = [
    "Arm",
    "Blurred",
    "Contrast",
    "Grid",
    "KFold",
    "Noisy",
    "Plan",
    "Recipe",
    "Resplits",
    "Results",
    "Rotated",
    "Scaled",
    "Seeds",
    "Shifted",
    "Study",
    "Tempered",
    "accuracy",
    "brier",
    "costs",
    "ece",
    "forest",
    "match",
    "nll",
    "open_results",
    "padded",
    "write_report",
]

if not TYPE_CHECKING:  # with a __getattr__ a type checker accepts every name
    __getattr__ = unknown_names(__name__, __all__, {"run_all": "study.Study(...).run(folder)"})
