"""The summary of a study as a table: for a terminal, as Markdown, and as cells for other formats.

Accuracies are given in percent and differences in percentage points, with two decimals.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Sequence

from minicnn.study.inference import LEAST_SEEDS, SIGNIFICANCE, Interval, Row, may_be_chance


def format_table(rows: Sequence[Row]) -> str:
    """Return `rows` as an aligned table with its notes, at most 120 columns wide for names of usual length."""
    lines = [*zip(*_headings(rows), strict=True), *(cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    upper, lower, *body = (_aligned(line, widths) for line in lines)
    rule = "-" * (sum(widths) + 2 * len(widths) - 2)
    notes = [textwrap.fill(note, 118) for note in (caution(rows), footnote(rows)) if note]
    return "\n\n".join(["\n".join([upper, lower, rule, *body]), *notes])


def markdown_table(rows: Sequence[Row]) -> str:
    """Return `rows` as a Markdown table, followed by its notes."""
    marks = ("---", *("---:" for _ in header(rows)[1:]))
    body = [(unmarked(name), *numbers) for name, *numbers in map(cells, rows)]
    lines = [tuple(map(unmarked, header(rows))), marks, *body]
    notes = [unmarked(note) for note in (caution(rows), footnote(rows)) if note]
    return "\n\n".join(["\n".join(map(_piped, lines)), *notes])


def header(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the column headings of `cells`."""
    return tuple(f"{upper} {lower}".strip() for upper, lower in _headings(rows))


def _headings(rows: Sequence[Row]) -> tuple[tuple[str, str], ...]:
    """Return the two lines of each column heading."""
    return (
        ("", "arm"),
        ("", "parameters"),
        ("", "multiply-adds"),
        ("test", "accuracy, %"),
        (f"difference to {printable(rows[0].control)}," if rows else "difference,", "percentage points"),
        ("", "verdict"),
        ("p", "(Holm)"),
        ("seconds", "per epoch"),
    )


def cells(row: Row) -> tuple[str, ...]:
    """Return the text of one row, in the order of `header`."""
    return (
        printable(row.arm),
        f"{row.parameters:,}",
        f"{row.multiply_adds:,}",
        percent(row.accuracy),
        points(row.difference) if row.difference else "",
        "control" if row.arm == row.control else row.verdict or "",
        "" if row.holm_p is None else probability(row.holm_p),
        seconds(row.seconds_per_epoch),
    )


def footnote(rows: Sequence[Row]) -> str:
    """Return what the intervals are (confidence, seeds, pairing, correction) and what the verdicts mean."""
    if not rows:
        return "No runs."
    accuracy = f"Test accuracy is {_replicates(rows)}."
    compared = sum(row.difference is not None for row in rows)
    if not compared:
        return accuracy
    return (
        f"{accuracy} Differences are arm minus {printable(rows[0].control)}, paired by seed. Verdicts: better, worse "
        f"and equivalent mean that the whole interval is above, below or within ±{100 * rows[0].rope:.2f} percentage "
        f"points; better and worse also require p < {SIGNIFICANCE}. A verdict requires at least {LEAST_SEEDS} seeds "
        f"and differences that vary. p is adjusted for {compared} comparison{'s' * (compared > 1)}."
    )


def caution(rows: Sequence[Row]) -> str:
    """Name the arms whose interval excludes 0 although their adjusted p-value does not; "" if there are none."""
    doubtful = [
        f"{printable(row.arm)} (p = {probability(row.holm_p)})"
        for row in rows
        if row.holm_p is not None and may_be_chance(row)
    ]
    if not doubtful:
        return ""
    compared = sum(row.difference is not None for row in rows)
    return (
        f"The interval of the difference excludes 0, but after adjustment for {compared} comparisons p is at least "
        f"{SIGNIFICANCE}, so that chance is not excluded: {', '.join(doubtful)}."
    )


def printable(name: str) -> str:
    r"""Return a name on one line, with characters that cannot be printed as Python's escapes.

    >>> printable("a_1 = $x^2$, é"), printable("two\nlines")
    ('a_1 = $x^2$, é', 'two\\nlines')
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in name)


def unmarked(text: str) -> str:
    r"""Return text with the special characters of Markdown escaped.

    >>> print(unmarked("a_1|*b* $x$ <i>"))
    a\_1\|\*b\* \$x\$ \<i\>
    """
    return re.sub(r"([\\`*_{}\[\]<>$|~&#])", r"\\\1", text)


def percent(interval: Interval) -> str:
    """Return a fraction in percent with half the width of its interval.

    >>> percent(Interval(0.9875, 0.985, 0.99, n=10))
    '98.75 ± 0.25'
    """
    return f"{100 * interval.mean:.2f} ± {'n/a' if math.isnan(interval.half) else f'{100 * interval.half:.2f}'}"


def points(interval: Interval) -> str:
    """Return a difference of fractions in percentage points with its interval.

    >>> points(Interval(0.008, 0.003, 0.013, n=10))
    '+0.80 [+0.30, +1.30]'
    """
    return f"{_signed(interval.mean)} {ends(interval)}"


def ends(interval: Interval, sign: float = 1.0) -> str:
    """Return the ends of an interval in percentage points; `sign` = -1 reverses the difference.

    >>> ends(Interval(0.008, 0.003, 0.013, n=10), sign=-1)
    '[-1.30, -0.30]'
    """
    if math.isnan(interval.low):
        return "[n/a]"
    low, high = sorted((sign * interval.low, sign * interval.high))
    return f"[{_signed(low)}, {_signed(high)}]"


def probability(p: float) -> str:
    """Return a p-value as text.

    >>> [probability(p) for p in (0.0002, 0.0312, math.nan)]
    ['< 0.001', '0.031', 'n/a']
    """
    if math.isnan(p):
        return "n/a"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def seconds(value: float) -> str:
    """Return seconds with three significant digits and at most three decimals.

    >>> [seconds(value) for value in (0.01234, 1.234, 12.34, 1234.5)]
    ['0.012', '1.23', '12.3', '1,234']
    """
    before_point = len(str(int(value))) if value >= 1 else 0
    return f"{value:,.{max(0, 3 - before_point)}f}"


def _signed(difference: float) -> str:
    # "z": a difference that rounds to zero is printed as +0.00, not as -0.00
    return f"{100 * difference:+z.2f}"


def _correction(test_share: float | None) -> str:
    if test_share is None:
        return ", with seeds taken as independent"
    return f", corrected for overlapping splits (Nadeau and Bengio 2003, n_test / n_train = {test_share:.3g})"


def _replicates(rows: Sequence[Row]) -> str:
    fewest, most = min(row.n for row in rows), max(row.n for row in rows)
    if most == 1:
        return "that of a single seed, so there is no interval"
    span = f"{most} seeds" if fewest == most else f"{fewest} to {most} seeds"
    return f"the mean over {span} with its 95 % confidence interval{_correction(rows[0].test_share)}"


def _aligned(line: Iterable[str], widths: Sequence[int]) -> str:
    first, *rest = zip(line, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)])


def _piped(line: Iterable[str]) -> str:
    return "| " + " | ".join(line) + " |"
