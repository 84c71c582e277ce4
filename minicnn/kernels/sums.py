"""Sums of many float32 numbers that stay right to about six digits, however many there are.

A running sum in float32 loses a digit with every tenfold of its length: a million equal numbers come out one per cent
wrong. NumPy adds up in pairs, but only along the last axis, and a product with ones runs on in float32, too. So sums of
more than BLOCK terms are taken in blocks, and what the blocks give is added up in float64.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

BLOCK = 1024
"""Terms that are added up in the dtype of the data: off by at most half this number of eps, if all have one sign."""


def wide(dtype: np.dtype, terms: int) -> np.dtype:
    """Return the dtype to add up this many terms in: float64 for more than a block.

    >>> wide(np.dtype(np.float32), 9), wide(np.dtype(np.float32), 784)
    (dtype('float32'), dtype('float64'))
    """
    return np.dtype(np.float64) if terms > BLOCK else np.dtype(dtype)


def add_up(x: Any, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Any:
    """Return `np.sum` in the dtype of `x`, right to BLOCK / 2 eps of the sum of absolute values for any count.

    >>> float(add_up(np.full((10**6, 3), 1000.1, np.float32), axis=0)[0] / 1e6)
    1000.1
    """
    x = np.asarray(x)
    axes = range(x.ndim) if axis is None else {a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,))}
    in_pairs = x.flags.c_contiguous and all(a in axes for a in range(x.ndim - len(axes), x.ndim))
    terms = 1 if in_pairs else math.prod(x.shape[a] for a in axes)
    total = np.sum(x, axis=axis, keepdims=keepdims, dtype=wide(x.dtype, terms))
    return total.astype(x.dtype, copy=False)


def sum_rows(x: np.ndarray) -> Any:
    """Add up the last axis but one: (..., R, C) -> (..., C), as products with ones.

    They are several times as fast as `np.sum`, which walks over short rows.

    >>> sum_rows(np.ones((2, 1000, 3), np.float32))
    array([[1000., 1000., 1000.],
           [1000., 1000., 1000.]], dtype=float32)
    """
    *batch, rows, width = x.shape
    if rows <= BLOCK:
        return _ones(rows, x.dtype) @ x
    whole = rows - rows % BLOCK
    blocks = _ones(BLOCK, x.dtype) @ x[..., :whole, :].reshape(*batch, whole // BLOCK, BLOCK, width)
    rest = _ones(rows - whole, x.dtype) @ x[..., whole:, :]
    return (blocks.sum(axis=-2, dtype=np.float64) + rest).astype(x.dtype)


@functools.lru_cache(maxsize=64)
def _ones(count: int, dtype: np.dtype) -> Any:
    ones = np.ones(count, dtype)
    ones.setflags(write=False)
    return ones
