"""Arithmetic on plain arrays that the engine, the ops and the kernels share: dtypes, products, memory, long sums.

A running sum in float32 loses one digit each time its length grows tenfold: the sum of a million equal numbers is wrong
by one per cent. NumPy adds pairwise, but only along the last axes, and a matrix product accumulates in float32, too. So
short sums stay as they are, and long ones run in float64, or are products of blocks whose results are added up in
float64.

n terms of one sign that are added up one after the other are off by at most n / 2 eps (eps is 1.2e-7), which makes
these bounds, relative to the sum of absolute values, for any number of terms. The figure in brackets is the largest
error measured with 2**20 equal terms:

- sums and means, poolings, gradients of broadcast arguments: RUN / 2 eps = 1.5e-5 (2e-7);
- sums over the rows of a matrix, as in batch normalization: BLOCK / 2 eps = 6e-5 (1e-5);
- matrix products, dense layers and the NumPy kernels' convolutions: TERMS / 2 eps = 1.2e-4 (2e-5);
- the compiled kernels' convolutions: PIECE_TERMS / 2 eps = 9.8e-4 for the sum within a piece (2e-4), plus
  TERMS / 2 eps for the sum over pieces. A piece of the kernel gradient has at most 512 windows, or one line of them;
  of a sum over the elements with a gradient alone, at most TERMS and 8,192 of them: 6.1e-4.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy import ndarray

RUN = 256
"""Terms that are added up one after the other in float32."""
BLOCK = 1024
"""Terms that one product with ones adds up."""
TERMS = 2048
"""Terms that one matrix product adds up. More than the features and the batches of networks for small images, which
stay one product; the blocks of a longer sum are so large that adding up their results takes little time."""
PIECE_TERMS = 2**14
"""Terms that one product of the compiled kernels adds up: more than a window of usual nets has taps."""

_add: Any = np.add  # whose type has one signature for each literal value of keepdims


def wide(dtype: np.dtype, terms: int) -> np.dtype:
    """Return the dtype in which to add up this many terms, one after the other: float64 for more than a RUN.

    >>> wide(np.dtype(np.float32), 9), wide(np.dtype(np.float32), 784)
    (dtype('float32'), dtype('float64'))
    """
    return np.dtype(np.float64) if terms > RUN else np.dtype(dtype)


def add_up(x: Any, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Any:
    """Return `np.sum` in the dtype of `x`, off by at most RUN / 2 eps of the sum of absolute values.

    >>> add_up(np.full((10**6, 3), 0.1, np.float32), axis=0)
    array([100000., 100000., 100000.], dtype=float32)
    """
    x = np.asarray(x)
    axes = range(x.ndim) if axis is None else {a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,))}
    in_pairs = x.flags.c_contiguous and min(axes, default=0) >= x.ndim - len(axes)
    terms = 1 if in_pairs else math.prod([x.shape[a] for a in axes])
    total = _add.reduce(x, axis, wide(x.dtype, terms), None, keepdims)  # skips the 2 us overhead of np.sum
    return total.astype(x.dtype, copy=False)


def sum_rows(x: ndarray) -> Any:
    """Add up the last axis but one: (..., R, C) -> (..., C).

    It is off by at most BLOCK / 2 eps of the sum of absolute values. Products with ones are several times as fast as
    `np.sum`, which walks over short rows.

    >>> sum_rows(np.full((2, 3000, 3), 0.1, np.float32)).round(2)
    array([[300., 300., 300.],
           [300., 300., 300.]], dtype=float32)
    """
    *batch, rows, width = x.shape
    if rows <= BLOCK:
        return _ones(rows, x.dtype) @ x
    whole = rows - rows % BLOCK
    blocks = _ones(BLOCK, x.dtype) @ x[..., :whole, :].reshape(*batch, whole // BLOCK, BLOCK, width)
    rest = _ones(rows - whole, x.dtype) @ x[..., whole:, :]
    return (blocks.sum(axis=-2, dtype=np.float64) + rest).astype(x.dtype)


def product(a: ndarray, b: ndarray) -> Any:
    """Return the matrix product `a @ b`: (..., M, R) and (..., R, N) -> (..., M, N).

    It is off by at most TERMS / 2 eps of the product of absolute values.

    >>> product(np.full((1, 10**6), 0.1, np.float32), np.ones((10**6, 3), np.float32)).round(-1)
    array([[100000., 100000., 100000.]], dtype=float32)
    """
    terms = a.shape[-1]
    if terms <= TERMS:
        return a @ b
    first = a[..., :TERMS] @ b[..., :TERMS, :]
    total = first.astype(np.float64)
    for start in range(TERMS, terms, TERMS):
        total += a[..., start : start + TERMS] @ b[..., start : start + TERMS, :]
    return total.astype(first.dtype)


@functools.lru_cache(maxsize=64)
def _ones(count: int, dtype: np.dtype) -> Any:
    ones = np.ones(count, dtype)
    ones.setflags(write=False)
    return ones


def promote(values: list[Any]) -> list[Any]:
    """Give the arrays among `values` NumPy's common dtype. Numbers do not affect it; without an array they are float64.

    >>> [a.dtype.name for a in promote([np.ones(2, np.float32), np.ones(2), 3.0])]
    ['float64', 'float64', 'float64']
    """
    if len(values) == 1:
        return values
    dtypes = [v.dtype for v in values if hasattr(v, "dtype")]
    if dtypes and dtypes.count(dtypes[0]) == len(dtypes):
        return values
    return [v if v is None else v.astype(np.float64) if isinstance(v, ndarray) else np.float64(v) for v in values]


def comparable(x: ndarray, y: ndarray, dtype: np.dtype) -> tuple[ndarray, ndarray]:
    """Return both in this dtype, with the precision of the narrower: a rounded maximum equals a rounded element."""
    narrow = min(x.dtype, y.dtype)
    return np.asarray(np.asarray(x, narrow), dtype), np.asarray(np.asarray(y, narrow), dtype)


def scale(x: Any, factor: Any) -> Any:
    """Return `x * factor`, and 0 where the factor is 0: also where `x` is infinite or NaN.

    >>> scale(np.array([1.0, np.inf, np.nan]), np.array([2.0, 0.0, 0.0]))
    array([2., 0., 0.])
    """
    if math.isfinite(x if isinstance(x, float) else np.vdot(x, x)):  # then all are; np.where takes ten times as long
        return x * factor
    return np.where(np.equal(factor, 0), 0, x) * factor


def disjoint(named: Iterable[tuple[Any, ndarray]]) -> Iterator[tuple[Any, ndarray]]:
    """Yield names with their arrays, with a copy for each that is read-only or shares memory with one before it.

    >>> x = np.zeros(3)
    >>> arrays = dict(disjoint([("start", x[:2]), ("end", x[2:]), ("whole", x)]))
    >>> [np.shares_memory(a, x) for a in arrays.values()]
    [True, True, False]
    """
    views: dict[int, list[ndarray]] = {}  # by the array that owns the memory: only views of one can overlap
    for name, array in named:
        owner = array
        while isinstance(owner.base, ndarray):
            owner = owner.base
        others = views.setdefault(id(owner), [])
        alone = array.flags.writeable and not (others and any(np.may_share_memory(array, a) for a in others))
        others.append(array)  # kept, so that no other array takes its place and its id
        yield name, array if alone else array.copy()
