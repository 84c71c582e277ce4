"""What a study found, in sentences that claim no more than the intervals show. Differences are in points."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from minicnn.study.statistics import Interval, Row
from minicnn.study.table import points, probability

SIGNIFICANCE = 0.05


def headline(rows: Sequence[Row]) -> str:
    """Count the verdicts in one sentence."""
    compared = [row for row in rows if row.difference is not None]
    if not compared:
        return "No head was compared with a control, so there is no verdict."
    counts = Counter(row.verdict for row in compared)
    parts = [f"{counts[v]} {v}" for v in ("better", "worse", "equivalent", "undecided") if counts[v]]
    heads = "1 head" if len(compared) == 1 else f"{len(compared)} heads"
    return f"{heads} compared with {compared[0].control} over {_seeds(compared)}: {', '.join(parts)}."


def findings(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return a sentence or two for each head that was compared, in the order of `rows`."""
    compared = [(row, row.difference) for row in rows if row.difference is not None]
    return tuple(_finding(row, difference) + _caution(row, len(compared)) for row, difference in compared)


def _finding(row: Row, difference: Interval) -> str:
    pair, region = f"{row.head} against {row.control}", f"{100 * row.rope:.2f} points"
    if row.verdict in {"better", "worse"}:
        return f"{row.head} is {row.verdict} than {row.control} by {_size(difference)}."
    if row.verdict == "equivalent":
        return f"{row.head} is equivalent to {row.control}: {_signed(difference)} lies within ±{region}."
    if math.isnan(difference.low):
        return f"{pair} is undecided: one seed gives no interval ({100 * difference.mean:+z.2f} points)."
    if difference.low > 0 or difference.high < 0:
        side = "above" if difference.low > 0 else "below"
        return f"{pair} is undecided: {side} by {_size(difference)}, which may or may not be more than {region}."
    return f"{pair} is undecided: {_signed(difference)}."


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
