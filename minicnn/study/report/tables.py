"""The tables of a report, made from results."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from minicnn.study.replicates import Seeds
from minicnn.study.report.words import Outcome, difference, needed, number, printable
from minicnn.study.results import Results
from minicnn.study.statistics import Comparison, correlated_t


@dataclass(frozen=True)
class Table:
    """A heading for each column, and rows of text."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def outcomes(results: Results) -> tuple[Outcome, ...]:
    """Return what the arms are compared by: the first measure, and the mean over conditions of each that has one."""
    measures = list(results.description["measures"])
    found = []
    for measure in measures:
        conditions = results.conditions(measure)
        if "mean" in conditions and measure in results.description["shares"]:
            found.append(Outcome(measure, "mean", f"accuracy under {measure}" if measure != "accuracy" else measure))
    first = measures[0]
    unit = "points" if first in results.description["shares"] else ""
    if first in {outcome.measure for outcome in found}:
        return tuple(found)
    named = [
        Outcome(first, c, f"{first} {c}".strip() if c or not (unit and found) else f"clean {first}", unit)
        for c in results.conditions(first) or ("",)
    ]
    return (*named, *found)


def comparisons(results: Results, wanted: Sequence[Outcome]) -> dict[Outcome, Comparison]:
    """Return the comparison by each outcome; {} where no arm has a replicate in common with its control."""
    if len(results.arms) < 2 or not results.description["controls"]:
        return {}
    found = {}
    for outcome in wanted:
        values = results.values(outcome.measure, outcome.condition)
        if any(values[a] and values[c] for a, c in results.description["controls"].items()):
            found[outcome] = results.compare(outcome.measure, outcome.condition)
    return found


def summary_table(results: Results, compared: Mapping[Outcome, Comparison]) -> Table:
    """Return the table of arms: for each outcome the mean, the difference and the verdict."""
    header = ["arm"]
    for outcome in compared or outcomes(results):
        header += [f"{outcome.title}{', %' if outcome.unit else ''}", "n"]
        header += ["difference [simultaneous 95 %]", "verdict", "replicates needed"] if compared else []
    rows = []
    for name in results.arms:
        row = [printable(name)]
        for outcome in compared or outcomes(results):
            row += _outcome_cells(results, name, outcome, compared)
        rows.append(tuple(row))
    return Table(tuple(header), tuple(rows))


def sizes_table(results: Results, costs: Mapping[str, Mapping[str, float]] | None = None) -> Table:
    """Return the size of each arm, its learning rate where that differs, and what it costs."""
    arms: Mapping[str, Any] = results.description["arms"]
    tuned = len({arm["rate"] for arm in arms.values()}) > 1
    header = ["arm", "parameters", "multiply-adds"]
    header += ["learning rate"] if tuned else []
    header += ["training, µs per image", "prediction, µs per image"] if costs else []
    rows = []
    for name, arm in arms.items():
        row = [printable(name), f"{arm['parameters']:,}", f"{arm['multiply_adds']:,}"]
        row += [f"{arm['rate']:g}" if arm["rate"] else ""] if tuned else []
        row += [f"{costs[name][what]:.1f}" for what in ("train", "predict")] if costs else []
        rows.append(tuple(row))
    return Table(tuple(header), tuple(rows))


def _outcome_cells(results: Results, name: str, outcome: Outcome, compared: Mapping[Outcome, Comparison]) -> list[str]:
    values = list(results.values(outcome.measure, outcome.condition)[name].values())
    cells = [number(fmean(values) if values else math.nan, outcome.unit), str(len(values))]
    if not compared:
        return cells
    contrast = next((c for c in compared[outcome].contrasts if c.arm == name), None)
    if contrast is None:
        return [*cells, "", "control", ""]
    return [*cells, difference(contrast, outcome.unit), contrast.verdict, needed(contrast)]


def terminal_table(results: Results, compared: Mapping[Outcome, Comparison]) -> Table:
    """Return the summary without costs and sizes, so that it fits into a terminal of 120 columns."""
    header = ["arm"]
    for outcome in compared or outcomes(results):
        header += [f"{outcome.short or outcome.title}{', %' if outcome.unit else ''}"]
        header += ["difference", "verdict"] if compared else []
    rows = []
    for name in results.arms:
        row = [printable(name)]
        for outcome in compared or outcomes(results):
            mean, _, *rest = _outcome_cells(results, name, outcome, compared)
            row += [mean, *rest[:2]]
        rows.append(tuple(row))
    return Table(tuple(header), tuple(rows))


def other_measures(results: Results, shown: Sequence[Outcome]) -> Table | None:
    """Return the means of the measures that are not outcomes, such as calibration; None without any."""
    done = {outcome.measure for outcome in shown}
    others = [
        (measure, condition)
        for measure in results.description["measures"]
        if measure not in done
        for condition in results.conditions(measure)
    ]
    if not others:
        return None
    rows = []
    for name in results.arms:
        by = [list(results.values(m, c)[name].values()) for m, c in others]
        rows.append((printable(name), *(f"{fmean(v):.4f}" if v else "" for v in by)))
    return Table(("arm", *(f"{m} {c}".strip() for m, c in others)), tuple(rows))


def sensitivity(results: Results, compared: Mapping[Outcome, Comparison]) -> Table | None:
    """Return what other methods say about the same differences; the verdict does not depend on them."""
    rows = []
    for outcome, comparison in compared.items():
        for c in comparison.contrasts:
            low, high = c.pooled
            dunnett = "n/a" if math.isnan(low) else f"[{100 * low:+z.2f}, {100 * high:+z.2f}]" if outcome.unit else ""
            low, high = (100 * end for end in (c.better_share.low, c.better_share.high))
            share = "n/a" if math.isnan(c.better_share.mean) else f"{100 * c.better_share.mean:.0f}"
            wilson = "n/a" if math.isnan(low) else f"[{low:.0f}, {high:.0f}]"
            p = "n/a" if math.isnan(c.sign_flip_p) else f"{c.sign_flip_p:.3g}"
            chances = _posterior(results, outcome, comparison.rope, list(c.differences.values()))
            name = f"{printable(c.arm)} - {printable(c.control)}"
            rows.append((name, outcome.title, dunnett, share, wilson, p, chances))
    methods = ("Dunnett, equal variances", "P(arm better), %", "Wilson 95 %", "p, sign flips")
    header = ("difference", "by", *methods, "correlated t: P(below), P(region), P(above)")
    return _known(Table(header, tuple(rows))) if rows else None


def _known(table: Table) -> Table:
    """Return a table without the columns that have no value: some methods need independent replicates."""
    kept = [at for at, cells in enumerate(zip(*table.rows, strict=True)) if set(cells) != {"n/a"}]
    return Table(tuple(table.header[at] for at in kept), tuple(tuple(row[at] for at in kept) for row in table.rows))


def _posterior(results: Results, outcome: Outcome, rope: float, differences: Sequence[float]) -> str:
    if len(differences) < 2:
        return "n/a"
    resolution = results.resolution(outcome.measure)
    found = correlated_t(differences, rope=rope, factor=results.factor(), resolution=resolution)
    return "n/a" if math.isnan(found.rope) else ", ".join(f"{p:.2f}" for p in found)


def all_pairs_table(results: Results, compared: Mapping[Outcome, Comparison]) -> Table | None:
    """Return the differences of every two arms, whose intervals hold together: a second view, wider than the first."""
    rows = []
    for outcome in compared:
        comparison = results.compare(outcome.measure, outcome.condition, pairs="all")
        for c in comparison.contrasts if len(results.arms) > 2 else ():
            name = f"{printable(c.arm)} - {printable(c.control)}"
            rows.append((name, outcome.title, difference(c, outcome.unit), c.verdict))
    return Table(("difference", "by", "simultaneous 95 %", "verdict"), tuple(rows)) if rows else None


def new_images_table(results: Results, compared: Mapping[Outcome, Comparison]) -> Table | None:
    """Return differences on these images and for others; None unless all replicates share their test images."""
    first = next(iter(compared), None)
    if first is None or not isinstance(results.replicates, Seeds) or first.measure != "accuracy":
        return None
    rows = []
    for c in compared[first].contrasts:
        if c.n < 2:
            continue
        # as certain as the simultaneous interval beside it
        confidence = compared[first].single_confidence
        other = results.new_images(c.arm, c.control, first.measure, first.condition, confidence=confidence)
        ends = f"[{100 * other.low:+z.2f}, {100 * other.high:+z.2f}]"
        sds = [f"{100 * math.sqrt(v):.2f}" for v in (other.seed, other.image, other.rest)]
        rows.append((f"{printable(c.arm)} - {printable(c.control)}", difference(c, "points"), ends, *sds))
    header = (
        "difference",
        "on these images",
        "for other images, 95 %",
        "sd of seeds",
        "sd of images",
        "sd of the rest",
    )
    return Table(header, tuple(rows)) if rows else None
