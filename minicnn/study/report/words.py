"""The results of a study in words and numbers: a sentence for each verdict, cells of tables, names as they are."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from minicnn.study.statistics import Comparison, Contrast


@dataclass(frozen=True)
class Outcome:
    """What arms are compared by: a measure with its condition, and its name in the report.

    `unit` is "points" for shares, which are shown in percent, and "" for other numbers; `short` heads a narrow column.
    """

    measure: str
    condition: str
    title: str
    unit: str = "points"
    short: str = ""


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


def number(value: float, unit: str) -> str:
    """Return a mean: shares in percent with two decimals, other numbers with four.

    >>> number(0.98765, "points"), number(0.0123, ""), number(float("nan"), "points")
    ('98.77', '0.0123', 'n/a')
    """
    if math.isnan(value):
        return "n/a"
    return f"{100 * value:.2f}" if unit == "points" else f"{value:.4f}"


def difference(contrast: Contrast, unit: str) -> str:
    """Return a difference with its simultaneous interval."""
    if math.isnan(contrast.mean):
        return "n/a"
    ends = "n/a" if math.isnan(contrast.low) else f"{_signed(contrast.low, unit)}, {_signed(contrast.high, unit)}"
    return f"{_signed(contrast.mean, unit)} [{ends}]"


def needed(contrast: Contrast) -> str:
    """Return the replicates that an undecided contrast needs, "none would do", or "" where there is a verdict."""
    if contrast.verdict != "undecided":
        return ""
    return f"{contrast.needed:,}" if contrast.needed else "none would do" if contrast.n > 2 else "3 or more"


def headline(comparison: Comparison, outcome: Outcome) -> str:
    """Return a sentence with the number of arms of each verdict.

    >>> from minicnn.study.statistics import compare
    >>> values = {"a": {0: 0.5, 1: 0.51, 2: 0.5}, "b": {0: 0.9, 1: 0.92, 2: 0.91}}
    >>> headline(compare(values, "a", rope=0.01), Outcome("accuracy", "", "clean accuracy"))
    'By clean accuracy, 1 of 1 arm is decided: 1 better.'
    """
    counts = Counter(contrast.verdict for contrast in comparison.contrasts)
    total = len(comparison.contrasts)
    decided = total - counts["undecided"]
    parts = [f"{counts[v]} {v}" for v in ("better", "worse", "equivalent") if counts[v]]
    arms, are = "arm" if total == 1 else "arms", "is" if decided == 1 else "are"
    return f"By {outcome.title}, {decided} of {total} {arms} {are} decided{': ' + ', '.join(parts) if parts else ''}."


def finding(contrast: Contrast, outcome: Outcome, rope: float) -> str:
    """Return one sentence that claims no more than the interval shows."""
    arm, control = printable(contrast.arm), printable(contrast.control)
    region = f"±{number(rope, outcome.unit)}" + (" percentage points" if outcome.unit else "")
    size = f"{difference(contrast, outcome.unit)}{' percentage points' if outcome.unit else ''}"
    if contrast.verdict in {"better", "worse"}:
        return f"{arm} is {contrast.verdict} than {control} by {outcome.title}: {size}."
    if contrast.verdict == "equivalent":
        return f"{arm} is equivalent to {control} by {outcome.title}: {size} lies within {region}."
    return f"{arm} against {control} is undecided by {outcome.title}: {size}. {contrast.why}"


def resolvable(smallest: float, n: int, outcome: Outcome) -> str:
    """Return the sentence that says how small a difference the study can decide."""
    points = number(smallest, outcome.unit)
    unit = " percentage points" if outcome.unit else ""
    return (
        f"With the spread that was observed, {n} replicates decide a difference in {outcome.title} of {points}{unit} "
        "with a probability of 80 %; smaller ones may stay undecided."
    )


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table for the terminal: the first column to the left, the others to the right.

    >>> print(aligned(("arm", "n"), [("max", "10"), ("average", "9")]))
    arm       n
    -----------
    max      10
    average   9
    """
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines]
    return "\n".join([text[0], "-" * (sum(widths) + 2 * len(widths) - 2), *text[1:]])


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    r"""Return a table in Markdown, its names escaped.

    >>> print(markdown(("arm", "n"), [("a_b", "10")]))
    | arm | n |
    | --- | ---: |
    | a\_b | 10 |
    """
    marks = ("---", *("---:" for _ in header[1:]))
    lines = [tuple(map(unmarked, header)), marks, *(tuple(map(unmarked, row)) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _signed(value: float, unit: str) -> str:
    # "z": a difference that rounds to zero is printed as +0.00, not as -0.00
    return f"{100 * value:+z.2f}" if unit == "points" else f"{value:+z.4f}"
