"""The rows of a study as words in columns: for a terminal, for Markdown, and the cells for any other table.

Accuracies are printed in percent and differences in points (hundredths), with two decimals.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Sequence

from minicnn.study.statistics import LEAST_SEEDS, Interval, Row


def format_table(rows: Sequence[Row]) -> str:
    """Return `rows` as an aligned table with a footnote, at most 120 columns wide for names of usual length."""
    lines = [header(rows), *(cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [_aligned(line, widths) for line in lines]
    rule = "-" * (sum(widths) + 2 * len(widths) - 2)
    return "\n".join([text[0], rule, *text[1:], "", textwrap.fill(footnote(rows), 118)])


def markdown_table(rows: Sequence[Row]) -> str:
    """Return `rows` as a Markdown table, the footnote below it."""
    marks = ("---", *("---:" for _ in header(rows)[1:]))
    body = [(unmarked(name), *numbers) for name, *numbers in map(cells, rows)]
    lines = [tuple(map(unmarked, header(rows))), marks, *body]
    return "\n".join([*(_piped(line) for line in lines), "", unmarked(footnote(rows))])


def header(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the column heads that go with `cells`."""
    against = f"against {printable(rows[0].control)}, points" if rows else "difference, points"
    return ("head", "parameters", "multiply-adds", "test accuracy, %", against, "verdict", "p (Holm)", "s/epoch")


def cells(row: Row) -> tuple[str, ...]:
    """Return one row in words, in the order of `header`."""
    return (
        printable(row.head),
        f"{row.parameters:,}",
        f"{row.multiply_adds:,}",
        percent(row.accuracy),
        points(row.difference) if row.difference else "",
        "control" if row.head == row.control else row.verdict or "",
        "" if row.holm_p is None else probability(row.holm_p),
        seconds(row.seconds_per_epoch),
    )


def footnote(rows: Sequence[Row]) -> str:
    """Say what the intervals are: confidence, seeds, pairing, correction, and what the verdicts mean."""
    if not rows:
        return "No runs."
    accuracy = f"Test accuracy is {_replicates(rows)}"
    compared = sum(row.difference is not None for row in rows)
    if not compared:
        return accuracy + "."
    return (
        f"{accuracy}; differences are head minus {printable(rows[0].control)}, paired by seed; better, worse and "
        f"equivalent mean that the whole interval is above, below or within ±{100 * rows[0].rope:.2f} points, for "
        f"which {LEAST_SEEDS} seeds are needed, and differences that vary; p is adjusted for "
        f"{compared} comparison{'s' * (compared > 1)}."
    )


def printable(name: str) -> str:
    r"""Return a name on one line: what cannot be printed, as Python escapes it in a string.

    >>> printable("a_1 = $x^2$, é"), printable("two\nlines")
    ('a_1 = $x^2$, é', 'two\\nlines')
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in name)


def unmarked(text: str) -> str:
    r"""Return text for Markdown that is shown as it is.

    >>> print(unmarked("a_1|*b* $x$ <i>"))
    a\_1\|\*b\* \$x\$ \<i\>
    """
    return re.sub(r"([\\`*_{}\[\]<>$|~&#])", r"\\\1", text)


def percent(interval: Interval) -> str:
    """Write a fraction as percent with half its interval.

    >>> percent(Interval(0.9875, 0.985, 0.99, n=10))
    '98.75 ± 0.25'
    """
    return f"{100 * interval.mean:.2f} ± {'n/a' if math.isnan(interval.half) else f'{100 * interval.half:.2f}'}"


def points(interval: Interval) -> str:
    """Write a difference of fractions in points with its interval.

    >>> points(Interval(0.008, 0.003, 0.013, n=10))
    '+0.80 [+0.30, +1.30]'
    """
    return f"{_signed(interval.mean)} {ends(interval)}"


def ends(interval: Interval, sign: float = 1.0) -> str:
    """Write the ends of an interval in points, `sign` = -1 for the difference the other way round.

    >>> ends(Interval(0.008, 0.003, 0.013, n=10), sign=-1)
    '[-1.30, -0.30]'
    """
    if math.isnan(interval.low):
        return "[n/a]"
    low, high = sorted((sign * interval.low, sign * interval.high))
    return f"[{_signed(low)}, {_signed(high)}]"


def probability(p: float) -> str:
    """Write a p-value.

    >>> [probability(p) for p in (0.0002, 0.0312, math.nan)]
    ['< 0.001', '0.031', 'n/a']
    """
    if math.isnan(p):
        return "n/a"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def seconds(value: float) -> str:
    """Write seconds with three figures, and no more than three decimals.

    >>> [seconds(value) for value in (0.01234, 1.234, 12.34, 1234.5)]
    ['0.012', '1.23', '12.3', '1,234']
    """
    before_point = len(str(int(value))) if value >= 1 else 0
    return f"{value:,.{max(0, 3 - before_point)}f}"


def _signed(difference: float) -> str:
    # "z": a difference that rounds to zero is +0.00, whatever its sign
    return f"{100 * difference:+z.2f}"


def _correction(test_share: float | None) -> str:
    if test_share is None:
        return ", seeds taken as independent"
    return f", widened for overlapping splits (Nadeau and Bengio 2003, n_test / n_train = {test_share:.3g})"


def _replicates(rows: Sequence[Row]) -> str:
    fewest, most = min(row.n for row in rows), max(row.n for row in rows)
    if most == 1:
        return "that of 1 seed, which gives no interval"
    span = f"{most} seeds" if fewest == most else f"{fewest} to {most} seeds"
    return f"the mean over {span} with its 95 % interval{_correction(rows[0].test_share)}"


def _aligned(line: Iterable[str], widths: Sequence[int]) -> str:
    first, *rest = zip(line, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)])


def _piped(line: Iterable[str]) -> str:
    return "| " + " | ".join(line) + " |"
