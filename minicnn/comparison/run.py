"""Train what is missing of the comparison, and write its table and report."""

from __future__ import annotations

import json
import shlex
import textwrap
from collections.abc import Sequence
from dataclasses import field, replace
from pathlib import Path
from urllib.parse import quote

from minicnn import explain, kernels, study
from minicnn.comparison import plans
from minicnn.comparison.plans import Choice
from minicnn.files import atomic_write, writable_folder
from minicnn.hints import explained, frozen
from minicnn.optional import need
from minicnn.study import Results, Study
from minicnn.study.report import build, tables
from minicnn.study.report.words import aligned, headline

NAMES = {"accuracy": "clean accuracy", "shift": "accuracy on shifted images"}
SHORT = {"accuracy": "clean", "shift": "shifted"}
EXPLORER = "nets.html"
EXPLAINED = ("flatten", "global-max")
"""The heads next to the control's on the page of the trained nets; each adds about 80 KB."""


@frozen
class Comparison:
    """What `compare` returns.

    Attributes
    ----------
    results : study.Results
        Everything that the ledger in the folder knows.
    text : str
        The table and the verdicts in words, and the trials that failed.
    page : Path or None
        The report; None while no trial is complete.
    """

    results: Results
    text: str = field(repr=False)
    page: Path | None = None

    def __str__(self) -> str:
        return self.text if self.page is None else f"{self.text}\n\nreport: {self.page}"


@explained
def compare(
    dataset: str = "digits",
    choice: Choice | None = None,
    *,
    folder: str | Path | None = None,
    jobs: int = 2,
    dask: str | None = None,
    retry_failed: bool = False,
) -> Comparison:
    """Train small CNNs with different pooling heads, compare them, and write a report with pictures.

    The folder, by default `default_folder(dataset, choice)`, is a ledger: the same call again trains only what is
    missing. `jobs` trials run at a time, on one core each, or on the Dask scheduler at the address `dask`.

    Raises ValueError for an unknown data set or choice, before any training; ImportError, with the command that
    installs it, where matplotlib or Jinja2 is missing; OSError where the folder cannot be written.
    """
    choice = choice or Choice()
    kernels.implementation()  # says what is wrong with the environment before any work
    chosen = plans.study_of(dataset, choice)
    place = writable_folder(default_folder(dataset, choice) if folder is None else folder)
    need("matplotlib"), need("jinja2")
    results = chosen.run(place, jobs=jobs, dask=dask, retry_failed=retry_failed)
    if not any(trial.trained for trial in results.trials):
        lines = ["No trial is complete, so there is nothing to report.", *_failures(results)]
        return Comparison(results, "\n".join(lines))
    return _reported(chosen, results, dataset, choice)


@explained
def default_folder(dataset: str, choice: Choice) -> Path:
    """Return a folder named after what changes arms or recipes, so that each study is resumed in its own.

    >>> default_folder("digits", Choice(heads=["max", "gem"], epochs=3)).name
    'pooling_heads-digits-max+gem-epochs-3'
    """
    words = [f"pooling_heads-{dataset}"]
    for names in (choice.heads, choice.trunks, [choice.match] if choice.match else None):
        # percent-encoded, so that no name leads out of the folder and different names give different folders
        words += [quote("+".join(names), safe="+ ")] if names else []
    words += [f"epochs-{choice.epochs}"] if choice.epochs else []
    words += ["tuned"] if choice.tune else []
    return Path("out") / "-".join(words)


def _reported(chosen: Study, results: Results, dataset: str, choice: Choice) -> Comparison:
    if results.complete:
        _keep_costs(chosen, results.path / build.COSTS)
    outcomes = [
        replace(o, title=NAMES.get(o.measure, o.title), short=SHORT.get(o.measure, ""))
        for o in tables.outcomes(results)
    ]
    compared = tables.comparisons(results, outcomes)
    limits = [s for o, c in compared.items() if (s := build.decidable(results, o, c))]
    page = study.write_report(
        repeated(results, dataset, choice),
        title=f"Pooling heads on {dataset}",
        question=plans.PLANS[dataset]["question"],
        notes=limits,
        names=NAMES,
        tried=_tried(results, dataset, choice),
        explorer=_explorer(results, dataset),
    )
    table = tables.terminal_table(results, compared)
    said = [headline(comparison, outcome) for outcome, comparison in compared.items()]
    text = "\n\n".join([aligned(table.header, table.rows), "\n".join(map(_filled, [*said, *limits]))])
    atomic_write(results.path / "table.txt", text + "\n")
    return Comparison(results, "\n\n".join([text, *_failures(results)]), page)


def _explorer(results: Results, dataset: str) -> str:
    """Write the page of a few trained nets beside the report, once, and return its name; "" where there is none."""
    done = {trial.arm for trial in results.trials if (trial.replicate, trial.trained) == (0, True)}
    arms = [arm for arm in (results.control, *EXPLAINED) if arm in done] or sorted(done)[:1]
    path = results.path / EXPLORER
    if not arms or not results.sample():
        return ""
    if not path.is_file():
        explain.page_of_study(results, arms=list(dict.fromkeys(arms)), title=f"Pooling heads on {dataset}").save(path)
    return EXPLORER


def _keep_costs(chosen: Study, path: Path) -> None:
    """Measure what training and prediction cost, once for a study: the report must not change with each call."""
    if not path.is_file():
        parts = chosen.replicates.dataset(chosen.data, 0)
        nets = {name: chosen.arm(name).net for name in chosen.arms}
        atomic_write(path, json.dumps(study.costs(nets, parts.train)))


def _tried(results: Results, dataset: str, choice: Choice) -> dict[str, dict[float, list[float]]] | None:
    """Return the grid of the plan, of the arms of this study, if the rates are the plan's."""
    if choice.tune or choice.trunks or choice.match or choice.epochs:
        return None
    found = plans.tried(dataset) or {}
    return {arm: by for arm, by in found.items() if arm in results.arms} or None


def _filled(sentence: str) -> str:
    return textwrap.fill(sentence, 118)


def repeated(results: Results, dataset: str, choice: Choice) -> Results:
    """Return the results with the command that repeats them, in place of how Python was started."""
    words = ["minicnn", "compare", "--dataset", dataset]
    for option, value in (("heads", choice.heads), ("trunks", choice.trunks), ("match", choice.match)):
        words += [f"--{option}", value if isinstance(value, str) else ",".join(value)] if value else []
    for option, number in (("seeds", choice.seeds), ("epochs", choice.epochs)):
        words += [f"--{option}", str(number)] if number else []
    words += ["--tune"] if choice.tune else []
    return replace(results, description={**results.description, "command": shlex.join(words)})


def _failures(results: Results) -> Sequence[str]:
    if not results.failed:
        return []
    lines = [f"{t.arm}, replicate {t.replicate}: {t.error.strip().splitlines()[-1]}" for t in results.failed]
    return ["Failed; --retry-failed trains them again:\n" + "\n".join(lines)]
