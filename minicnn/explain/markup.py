"""Numbers as text, by the rules of web/src/text.ts, and tables as HTML."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal

import numpy as np

from minicnn import ops
from minicnn.explain.contract import Real

SUPERSCRIPTS = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")


def number(value: Real, digits: int = 3) -> str:
    """Return a number with as many digits as it needs, at most `digits` significant ones.

    >>> [number(v) for v in (0.12345, 0.12345678, 1234.5678, "nan")]
    ['0.123', '0.123', '1235', 'NaN']
    """
    v = float(value)
    if math.isnan(v):
        return "NaN"
    size, sign = abs(v), "\u2212" if v < 0 else ""
    if math.isinf(v):
        return f"{sign}\u221e"
    if v.is_integer() and size < 1e5:
        return f"{sign}{size:.0f}"
    power = math.floor(math.log10(size))
    if size < 1e-4 or size >= 1e6:
        rounded = _rounded(size, digits - 2 - power)
        power += rounded.adjusted() - power
        mantissa = f"{rounded.scaleb(-power):.{digits - 2}f}"
        start = "" if mantissa == "1" and not sign else f"{sign}{mantissa}\u00b7"
        return f"{start}10{str(power).translate(SUPERSCRIPTS)}"
    text = f"{_rounded(size, min(max(digits - 1 - power, 0), 6)):f}"
    return sign + (text.rstrip("0").rstrip(".") if "." in text else text)


def _rounded(size: float, places: int) -> Decimal:
    """Return a number with so many decimal places, ties away from zero as in JavaScript."""
    return Decimal(size).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def plus(value: Real) -> str:
    """Return a number after another one, with its sign between.

    >>> plus(0.1)
    ' + 0.1'
    """
    v = float(value)
    return f" \u2212 {number(-v)}" if v < 0 else f" + {number(v)}"


def percent(share: float) -> str:
    """Return a probability in percent.

    >>> [percent(p) for p in (0, 0.0001, 0.2345, 0.9999, math.nan)]
    ['0 %', '<0.1 %', '23.5 %', '>99.9 %', 'NaN %']
    """
    if math.isnan(share):
        return "NaN %"
    if 0 < share < 0.0005:
        return "<0.1 %"
    return ">99.9 %" if 0.9995 < share < 1 else f"{number(math.floor(1000 * share + 0.5) / 10)} %"


def size(shape: Sequence[int]) -> str:
    """Return a shape.

    >>> size([3]), size([])
    ('3', 'one number')
    """
    return " \u00d7 ".join(map(str, shape)) or "one number"


def thousands(value: str | int) -> str:
    """Return an integer with narrow spaces between its thousands, and a text as it is."""
    return f"{value:,}".replace(",", "\u202f") if isinstance(value, int) else value


def counted(parameters: int) -> str:
    """Return a number of parameters.

    >>> counted(1), counted(12)
    ('1 parameter', '12 parameters')
    """
    return f"{thousands(parameters)} parameter{'s' if parameters != 1 else ''}"


def chances(logits: Iterable[Real]) -> np.ndarray:
    """Return the probabilities, NaN where logits are not finite."""
    with np.errstate(invalid="ignore"):
        return np.asarray(ops.softmax(np.array([float(v) for v in logits])))


def last(path: str | None) -> str:
    """Return the part of a layer's path that is its own.

    >>> last("trunk/conv2d")
    'conv2d'
    """
    return (path or "").rpartition("/")[2]


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table whose first column names its rows; everything in it is text.

    >>> print(table(["a", "b"], [["<x>", 1]]))
    <table><thead><tr><th scope="col">a</th>...<tr><th scope="row">&lt;x&gt;</th><td>1</td></tr></tbody></table>
    """
    top = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in head)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{lines(rows)}</tbody></table>"


def lines(rows: Iterable[Sequence[object]]) -> str:
    """Return the rows of a table.

    >>> lines([["a", 1]])
    '<tr><th scope="row">a</th><td>1</td></tr>'
    """
    text = ([html.escape(str(cell)) for cell in row] for row in rows)
    return "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in more)}</tr>' for first, *more in text
    )


def bars(names: Iterable[str], values: np.ndarray | None = None, label: str = "probability of each class") -> str:
    """Return probabilities as bars from a common zero, which the script fills if no values are given."""
    rows = (
        f'<tr{_mark(values, k)}><th scope="row">{html.escape(name)}</th>{_bar(values, k)}</tr>'
        for k, name in enumerate(names)
    )
    return f'<table class="bars small" aria-label="{label}"><tbody>{"".join(rows)}</tbody></table>'


def _mark(values: np.ndarray | None, k: int) -> str:
    return ' class="mark"' if values is not None and k == values.argmax() else ""


def _bar(values: np.ndarray | None, k: int) -> str:
    width, text = "", ""
    if values is not None:
        width, text = f' style="width:{100 * np.nan_to_num(values[k]):.3g}%"', percent(float(values[k]))
    return f'<td class="bar" aria-hidden="true"><i{width}></i></td><td class="num soft">{text}</td>'
