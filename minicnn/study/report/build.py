"""The report of a study, made from its ledger alone: a page, the same in Markdown, pictures and tables as files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import records
from minicnn.files import atomic_write
from minicnn.hints import explained
from minicnn.study.report import figures, page, style, tables
from minicnn.study.report.words import Outcome, finding, headline, printable, resolvable
from minicnn.study.results import Results
from minicnn.study.statistics import Comparison, single_level, smallest_difference
from minicnn.study.tables import csv_text

COSTS, TUNING = "costs.json", "tuning.csv"


@explained
def write_report(
    results: Results,
    *,
    title: str = "",
    question: str = "",
    notes: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    tried: Mapping[str, Mapping[float, Sequence[float]]] | None = None,
    explorer: str = "",
) -> Path:
    """Write `report.html`, `report.md`, `results.csv` and the pictures into the folder of a study; return the page.

    Nothing is trained. Parts for which the study has no measures are left out: a forest plot needs a control and
    another arm, curves under a change a measure with magnitudes, maps of classes networks that are a `Classifier`.

    Parameters
    ----------
    results : Results
    title, question : str
        The heading, and the question that the study answers.
    notes : sequence of str
        Paragraphs on the method and its limits.
    names : mapping of str to str
        What outcomes are called, by measure, such as {"shift": "accuracy on shifted images"}.
    tried : mapping, optional
        The validation loss by arm and learning rate, one value per seed, where rates were chosen before the study; by
        default what the study has tried itself.
    explorer : str
        The name of a file in the folder to link to: the page that `explain.page_of_study(results)` makes.
    """
    wanted = [_renamed(outcome, names or {}) for outcome in tables.outcomes(results)]
    compared = tables.comparisons(results, wanted)
    costs = read_costs(results)
    tried = tried or results.tried()
    drawn = figures.figures(results, compared, wanted, tried)
    saved = {name: style.save(figure, results.path / name) for name, (figure, _) in drawn.items()}
    _write_numbers(results, tried)
    content = page.Content(
        title=title or results.name,
        question=question,
        answers=tuple(answers(compared)),
        summary=(*_summaries(results, compared), tables.sizes_table(results, costs)),
        tables=_tables(results, wanted, compared),
        figures=drawn,
        # read back, not drawn again: drawing takes most of the time of a report
        pictures={name: svg.read_bytes() for name, (_, svg) in saved.items()},
        notes=(*notes, *results.description["warnings"]),
        settings=settings(results),
        arms={printable(name): _about(arm) for name, arm in results.description["arms"].items()},
        environment=_environment(results),
        command=results.description["command"],
        failed=tuple(f"{printable(t.arm)}, seed {t.seed}: {t.error.strip().splitlines()[-1]}" for t in results.failed),
        missing=results.missing,
        explorer=explorer,
    )
    atomic_write(results.path / "report.md", page.as_markdown(content))
    return atomic_write(results.path / "report.html", page.as_html(content))


def _summaries(results: Results, compared: Mapping[Outcome, Comparison]) -> list[tables.Table]:
    """Return summaries of two outcomes each: as many as fit beside each other on a page."""
    all_of = list(compared.items())
    parts = [dict(all_of[start : start + 2]) for start in range(0, len(all_of), 2)] or [{}]
    return [tables.summary_table(results, part) for part in parts]


def _write_numbers(results: Results, tried: Mapping[str, Mapping[float, Sequence[float]]]) -> None:
    results.to_csv(results.path / "results.csv")
    if tried:
        rows = [(arm, r, seed, v) for arm, by in tried.items() for r in sorted(by) for seed, v in enumerate(by[r])]
        atomic_write(results.path / TUNING, csv_text(("arm", "learning_rate", "seed", "criterion"), rows))


def _renamed(outcome: Outcome, names: Mapping[str, str]) -> Outcome:
    title = names.get(outcome.measure, outcome.title)
    return Outcome(outcome.measure, outcome.condition, title, outcome.unit)


def answers(compared: Mapping[Outcome, Comparison]) -> list[tuple[str, tuple[str, ...]]]:
    """Return what the report begins with: for each outcome a sentence that counts verdicts, and one for each arm.

    What is decided comes first.
    """
    return [
        (
            headline(comparison, outcome),
            tuple(
                finding(contrast, outcome, comparison.rope)
                for contrast in sorted(comparison.contrasts, key=lambda c: c.verdict == "undecided")
            ),
        )
        for outcome, comparison in sorted(compared.items(), key=lambda pair: -_decided(pair[1]))
    ]


def _decided(comparison: Comparison) -> int:
    return sum(contrast.verdict != "undecided" for contrast in comparison.contrasts)


def decidable(results: Results, outcome: Outcome, comparison: Comparison) -> str:
    """Return the sentence that says how small a difference this study can decide, from the median spread."""
    spreads = [contrast.sd for contrast in comparison.contrasts if contrast.sd > 0]
    if not spreads or comparison.n < 2:
        return ""
    smallest = smallest_difference(
        float(np.median(spreads)),
        comparison.n,
        rope=comparison.rope,
        level=single_level(comparison.critical, comparison.n),
        factor=results.factor(),
    )
    return resolvable(smallest, comparison.n, outcome)


def read_costs(results: Results) -> dict[str, dict[str, float]] | None:
    """Return the times that `study.costs` found, if they are in the folder and cover all arms."""
    path = results.path / COSTS
    if not path.is_file():
        return None
    found: dict[str, dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))
    return found if set(results.arms) <= set(found) else None


def _tables(
    results: Results, wanted: Sequence[Outcome], compared: Mapping[Outcome, Comparison]
) -> dict[str, tables.Table]:
    found = {
        "Other measures": tables.other_measures(results, wanted),
        "On these images and on others": tables.new_images_table(results, compared),
        "Sensitivity": tables.sensitivity(results, compared),
        "All pairs": tables.all_pairs_table(results, compared),
    }
    return {name: table for name, table in found.items() if table is not None}


def settings(results: Results) -> dict[str, str]:
    """Return data, replicates, recipe and tuning as text."""
    d = results.description
    data, recipe = d["data"], d["recipe"]
    size = "x".join(map(str, data["shape"]))
    return {
        "data": f"{data['name']}: {data['train']:,} training, {data['valid']:,} validation, {data['test']:,} test "
        f"images of {size}, {len(data['classes'])} classes; digest {data['digest'][:12]}",
        "replicates": f"{results.replicates!r}, seeds {', '.join(map(str, d['seeds']))}",
        "optimizer": _as_written(recipe["optimizer"]),
        "epochs, batch": f"{recipe['epochs']}, {recipe['batch_size']} images; the last parameters are tested",
        "label smoothing": f"{recipe['label_smoothing']:g}",
        "augmentation": _as_written(recipe["augment"]),
        "tuning": _as_written(d["tune"]),
        "equivalence": ", ".join(f"{measure} ±{rope:g}" for measure, rope in d["rope"].items()),
    }


def _as_written(record: str | None) -> str:
    """Return a record as Python writes it; a function, which is not a record, as the ledger has it."""
    if record is None:
        return "none"
    return repr(records.from_json(record)) if record.startswith("{") else record


def _environment(results: Results) -> dict[str, str]:
    """Return versions and machine, with names that can be read without the code."""
    names = {"sources": "digest of the kernels", "threads": "threads of a trial"}
    return {names.get(name, name): value for name, value in results.description["environment"].items()}


def _about(arm: Mapping[str, Any]) -> str:
    parts = [arm["about"]]
    parts += [f"The same function as {printable(arm['same_as'])}: a control that must be equivalent."] * bool(
        arm["same_as"]
    )
    parts += [f"Compared with {printable(arm['control'])}."] * bool(arm["control"])
    return " ".join([*filter(None, parts), arm["repr"]])
