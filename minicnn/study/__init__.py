"""Ablation studies: arms that differ in one respect, trained with several seeds and compared pairwise.

spec.py        what is studied: a recipe, the arms and the seeds
runner.py      training and testing, in one process or several
ledger.py      the record of a run, and CSV files of runs
inference.py   confidence intervals, paired differences, verdicts
report/        tables, sentences, figures and an HTML page

>>> from minicnn import models, optim, study
>>> recipe = study.Recipe("digits", optim.Adam(1e-2), epochs=1)
>>> widths = study.Study(recipe, {"narrow": models.mlp((4,)), "wide": models.mlp((32,))}, seeds=(0, 1, 2))
>>> runs = list(study.run_all(widths))
>>> narrow, wide = study.summarize(runs, control="narrow", test_share=359 / 1258)
>>> (wide.arm, wide.n, wide.difference.mean > 0)
('wide', 3, True)

`study.format_table` prints such rows, and `study.write_report` writes a page with figures.
"""

from minicnn.study.inference import Interval, Row, mean_interval, paired_difference, summarize, verdict
from minicnn.study.ledger import Run, read_csv, write_csv, write_curves_csv
from minicnn.study.legacy import Recipe, Study
from minicnn.study.report.figures import accuracy_against_cost, differences, learning_curves
from minicnn.study.report.html import write_report
from minicnn.study.report.sentences import findings, headline
from minicnn.study.report.tables import format_table, markdown_table
from minicnn.study.runner import run_all, run_one

__all__ = [
    "Interval",
    "Recipe",
    "Row",
    "Run",
    "Study",
    "accuracy_against_cost",
    "differences",
    "findings",
    "format_table",
    "headline",
    "learning_curves",
    "markdown_table",
    "mean_interval",
    "paired_difference",
    "read_csv",
    "run_all",
    "run_one",
    "summarize",
    "verdict",
    "write_csv",
    "write_curves_csv",
    "write_report",
]
