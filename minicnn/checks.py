"""Checks of plain arguments, in the words of the house."""

from __future__ import annotations

import math
import numbers
from typing import Any


def number(
    where: str, name: str, value: Any, *, least: float, most: float = math.inf, below: float = math.inf
) -> float:
    """Return a finite number from `least` to `most`, strictly under `below`, or raise TypeError or ValueError.

    >>> number("SGD", "momentum", 0.9, least=0, below=1)
    0.9
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{where}: {name}={value!r} is not a number. Use one {_range(least, most, below)}.")
    real = float(value)
    if not (math.isfinite(real) and least <= real <= most and real < below):
        raise ValueError(f"{where}: {name}={value!r} is out of range. Use a number {_range(least, most, below)}.")
    return real


def _range(least: float, most: float, below: float) -> str:
    if math.isfinite(below):
        return f"from {least} up to below {below}"
    return f"of at least {least}" if math.isinf(most) else f"from {least} to {most}"
