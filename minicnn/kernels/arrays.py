"""Functions of plain arrays that the engine, the ops and the kernels share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np


def promote(values: list[Any]) -> list[Any]:
    """Give the arrays among `values` one dtype, NumPy's; numbers do not decide it, and are float64 without an array.

    >>> [a.dtype.name for a in promote([np.ones(2, np.float32), np.ones(2), 3.0])]
    ['float64', 'float64', 'float64']
    """
    if len(values) == 1:
        return values
    dtypes = [v.dtype for v in values if hasattr(v, "dtype")]
    if dtypes and dtypes.count(dtypes[0]) == len(dtypes):
        return values
    return [v if v is None else v.astype(np.float64) if isinstance(v, np.ndarray) else np.float64(v) for v in values]


def comparable(x: np.ndarray, y: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Return both in this dtype, with the precision of the narrower: a rounded maximum equals a rounded element."""
    narrow = min(x.dtype, y.dtype)
    return np.asarray(np.asarray(x, narrow), dtype), np.asarray(np.asarray(y, narrow), dtype)


def scale(x: Any, factor: Any) -> Any:
    """Return `x * factor`, and 0 where the factor is 0: also where `x` is infinite or NaN.

    >>> scale(np.array([1.0, np.inf, np.nan]), np.array([2.0, 0.0, 0.0]))
    array([2., 0., 0.])
    """
    if math.isfinite(np.vdot(x, x)):  # then all are; NumPy multiplies ten times as fast as it chooses
        return x * factor
    return np.where(np.equal(factor, 0), 0, x) * factor


def disjoint(named: Iterable[tuple[Any, np.ndarray]]) -> Iterator[tuple[Any, np.ndarray]]:
    """Yield names with their arrays, with a copy for each that is read-only or shares memory with one before it.

    >>> x = np.zeros(3)
    >>> arrays = dict(disjoint([("start", x[:2]), ("end", x[2:]), ("whole", x)]))
    >>> [np.shares_memory(a, x) for a in arrays.values()]
    [True, True, False]
    """
    views: dict[int, list[np.ndarray]] = {}  # by the array that owns the memory: only views of one can overlap
    for name, array in named:
        owner = array
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        others = views.setdefault(id(owner), [])
        alone = array.flags.writeable and not (others and any(np.may_share_memory(array, a) for a in others))
        others.append(array)  # kept, so that no other array takes its place and its id
        yield name, array if alone else array.copy()
