"""What a study found, in sentences that claim no more than the intervals show. Differences are in points."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from minicnn.study.statistics import LEAST_SEEDS, Interval, Row
from minicnn.study.table import points, printable, probability

SIGNIFICANCE = 0.05


def headline(rows: Sequence[Row]) -> str:
    """Count the verdicts in one sentence."""
    compared = [row for row in rows if row.difference is not None]
    if not compared:
        return "No head was compared with a control, so there is no verdict."
    counts = Counter(row.verdict for row in compared)
    parts = [f"{counts[v]} {v}" for v in ("better", "worse", "equivalent", "undecided") if counts[v]]
    heads = "1 head" if len(compared) == 1 else f"{len(compared)} heads"
    return f"{heads} compared with {printable(compared[0].control)} over {_seeds(compared)}: {', '.join(parts)}."


def findings(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return a sentence or two for each head that was compared, in the order of `rows`."""
    compared = [(row, row.difference) for row in rows if row.difference is not None]
    return tuple(_finding(row, difference) + _caution(row, len(compared)) for row, difference in compared)


def _finding(row: Row, difference: Interval) -> str:
    head, control = printable(row.head), printable(row.control)
    if row.verdict in {"better", "worse"}:
        return f"{head} is {row.verdict} than {control} by {_size(difference)}."
    if row.verdict == "equivalent":
        return f"{head} is equivalent to {control}: {_signed(difference)} lies within ±{100 * row.rope:.2f} points."
    return f"{head} against {control} is undecided: {_doubt(difference, row.rope)}."


def _doubt(difference: Interval, rope: float) -> str:
    mean = f"{100 * difference.mean:+z.2f} points"
    if difference.n == 1:
        return f"one seed gives no interval ({mean})"
    if math.isnan(difference.low):
        return (
            f"the differences of its {difference.n} seeds are equal or vary by less than can be measured, so their "
            f"spread is not known and there is no interval ({mean})"
        )
    if difference.n < LEAST_SEEDS:
        return f"{_signed(difference)}, but a verdict needs {LEAST_SEEDS} seeds or more"
    if difference.low > 0 or difference.high < 0:
        side = "above" if difference.low > 0 else "below"
        return f"{side} by {_size(difference)}, which may or may not be more than {100 * rope:.2f} points"
    return _signed(difference)


def _caution(row: Row, comparisons: int) -> str:
    """Say so where an interval leaves out zero, but not after adjusting for the number of comparisons."""
    interval, p = row.difference, row.holm_p
    if interval is None or p is None or not (interval.low > 0 or interval.high < 0) or p < SIGNIFICANCE:
        return ""
    return f" Adjusted for {comparisons} comparisons, zero is not excluded (p = {probability(p)})."


def _signed(difference: Interval) -> str:
    mean, ends = points(difference).split(" ", 1)
    return f"{mean} points {ends}"


def _size(difference: Interval) -> str:
    low, high = sorted((abs(difference.low), abs(difference.high)))
    return f"{100 * abs(difference.mean):.2f} points [{100 * low:.2f}, {100 * high:.2f}]"


def _seeds(compared: Sequence[Row]) -> str:
    counts = [row.difference.n for row in compared if row.difference is not None]
    fewest, most = min(counts), max(counts)
    if fewest != most:
        return f"{fewest} to {most} seeds"
    return f"{most} seed{'s' * (most != 1)}"
