"""Rows of text and numbers as CSV."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral

# characters that start a formula in a spreadsheet (OWASP: CSV injection), and the apostrophe that prevents it
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20", "'")


def csv_text(header: Sequence[str], rows: Iterable[Sequence[str | float]]) -> str:
    """Return a table as CSV: text that spreadsheets would evaluate is marked, numbers are written exactly.

    >>> print(csv_text(("name", "value"), [("=1+1", -0.5), ("two, words", 3)]), end="")
    name,value
    '=1+1,-0.5
    "two, words",3
    """
    return "".join(",".join(map(_field, row)) + "\n" for row in (header, *rows))


def _field(value: str | float) -> str:
    if not isinstance(value, str):
        # float() first: the repr of a NumPy scalar contains its type, and that of a float32 fewer digits than needed
        return str(int(value)) if isinstance(value, Integral) else repr(float(value))
    text = f"'{value}" if value.startswith(FORMULA) else value
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\r\n') else text
