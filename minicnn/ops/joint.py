"""Gradients that are found together."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.autograd import VJP


def jointly(gradients: Callable[[np.ndarray], tuple[Any, ...]], count: int) -> tuple[VJP, ...]:
    """Make `count` VJPs of a function that finds that many gradients in one go; it runs once for each `g`.

    >>> half, third = jointly(lambda g: (g / 2, g / 3), 2)
    >>> g = np.array(6.0)
    >>> float(half(g)), float(third(g))
    (3.0, 2.0)
    """
    last: list[Any] = [None, ()]

    def vjp(number: int, g: np.ndarray) -> Any:
        if last[0] is not g:
            last[:] = g, gradients(g)
        return last[1][number]

    return tuple(functools.partial(vjp, number) for number in range(count))
