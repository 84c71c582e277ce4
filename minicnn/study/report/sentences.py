"""The findings of a study as sentences that claim no more than its intervals show."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from minicnn.study.inference import LEAST_SEEDS, Interval, Row, excludes_zero, may_be_chance
from minicnn.study.report.tables import points, printable, probability


def headline(rows: Sequence[Row]) -> str:
    """Return a sentence with the number of arms of each verdict."""
    compared = [row for row in rows if row.difference is not None]
    if not compared:
        return "No arm was compared with a control, so there are no verdicts."
    counts = Counter(row.verdict for row in compared)
    parts = [f"{counts[v]} {v}" for v in ("better", "worse", "equivalent", "undecided") if counts[v]]
    arms = "1 arm" if len(compared) == 1 else f"{len(compared)} arms"
    return f"{arms} compared with {printable(compared[0].control)} over {_seeds(compared)}: {', '.join(parts)}."


def findings(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return one or two sentences for each arm that was compared, in the order of `rows`."""
    compared = [(row, row.difference) for row in rows if row.difference is not None]
    return tuple(_finding(row, difference) + _caution(row, len(compared)) for row, difference in compared)


def _finding(row: Row, difference: Interval) -> str:
    arm, control = printable(row.arm), printable(row.control)
    if row.verdict in {"better", "worse"}:
        return f"{arm} is {row.verdict} than {control} by {_size(difference)}."
    if row.verdict == "equivalent":
        return f"{arm} is equivalent to {control}: {_signed(difference)} lies within ±{100 * row.rope:.2f}."
    return f"{arm} compared with {control} is undecided: {_doubt(difference, row.rope)}."


def _doubt(difference: Interval, rope: float) -> str:
    mean = f"{100 * difference.mean:+z.2f} percentage points"
    if difference.n == 1:
        return f"one seed gives no interval ({mean})"
    if math.isnan(difference.low):
        return (
            f"the differences of its {difference.n} seeds are equal or vary by less than can be measured, so there is "
            f"no interval ({mean})"
        )
    if difference.n < LEAST_SEEDS:
        return f"{_signed(difference)}, but a verdict requires at least {LEAST_SEEDS} seeds"
    if excludes_zero(difference) and min(abs(difference.low), abs(difference.high)) <= rope:
        side = "above" if difference.low > 0 else "below"
        return f"{side} by {_size(difference)}, which may or may not be more than {100 * rope:.2f}"
    return _signed(difference)


def _caution(row: Row, comparisons: int) -> str:
    """Return the limitation of an interval that excludes 0 if the adjusted p-value does not."""
    if row.holm_p is None or not may_be_chance(row):
        return ""
    return (
        f" After adjustment for {comparisons} comparisons, a difference of 0 is not excluded "
        f"(p = {probability(row.holm_p)})."
    )


def _signed(difference: Interval) -> str:
    mean, ends = points(difference).split(" ", 1)
    return f"{mean} percentage points {ends}"


def _size(difference: Interval) -> str:
    low, high = sorted((abs(difference.low), abs(difference.high)))
    return f"{100 * abs(difference.mean):.2f} percentage points [{100 * low:.2f}, {100 * high:.2f}]"


def _seeds(compared: Sequence[Row]) -> str:
    counts = [row.difference.n for row in compared if row.difference is not None]
    fewest, most = min(counts), max(counts)
    if fewest != most:
        return f"{fewest} to {most} seeds"
    return f"{most} seed{'s' * (most != 1)}"
