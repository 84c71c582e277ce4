"""Rearranging values without changing them: reshape, transpose, concatenate, indexing.

Each gradient is rearranged in the opposite way; the gradients of an element that was taken twice are added.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.graph import Array, Shape, op
from minicnn.kernels.arithmetic import wide
from minicnn.validation import ShapeError, integer, shown


def reshape_shape(x: Shape, shape: Any) -> Shape:
    """Shape rule of reshape; one size may be -1 and follows from the others."""
    sizes = tuple(integer("reshape", "shape", n, shape, -1) for n in np.atleast_1d(np.array(shape, object)))
    # With a size of 0, a -1 is ambiguous: any size times 0 is 0.
    known = math.prod(n for n in sizes if n != -1)
    unknown = sizes.count(-1)
    whole = math.prod(x)
    if unknown > 1 or (known != whole if not unknown else not known or whole % known):
        what = f"shape must hold the {whole} elements of {x}, got {shown(shape)}"
        raise ShapeError("reshape", what, f"Use sizes whose product is {whole}; one size may be -1.")
    return tuple(whole // known if n == -1 else n for n in sizes)


@op(reshape_shape)
def reshape(x: Array, shape: Any) -> Any:
    """The same values in row order in another shape; one size may be -1."""
    return x.reshape(shape), (lambda g: g.reshape(x.shape),)


def transpose_shape(x: Shape, axes: tuple[int, ...] | None = None) -> Shape:
    """Shape rule of transpose."""
    order = _order(len(x), axes)
    return tuple(x[a] for a in order)


def _order(ndim: int, axes: tuple[int, ...] | None) -> tuple[int, ...]:
    if axes is None:
        return tuple(reversed(range(ndim)))
    given = axes if isinstance(axes, list | tuple) else (axes,)
    numbers = [integer("transpose", "axes", a, axes, -math.inf) for a in given]
    order = tuple(a + ndim if a < 0 else a for a in numbers)
    if sorted(order) != list(range(ndim)):
        what = f"axes must name each of {ndim} axes once, got {shown(axes)}"
        raise ShapeError("transpose", what, f"Use for example {tuple(range(ndim))}.")
    return order


@op(transpose_shape)
def transpose(x: Array, axes: tuple[int, ...] | None = None) -> Any:
    """The axes in another order; reversed by default."""
    # argsort of a permutation is its inverse.
    return np.transpose(x, axes), (lambda g: np.transpose(g, np.argsort(_order(x.ndim, axes))),)


def concatenate_shape(*arrays: Shape, axis: int = -1) -> Shape:
    """Shape rule of concatenate: all axes but one must agree."""
    if not arrays:
        raise ShapeError("concatenate", "arrays must be at least one, got none", "Give one or more.")
    first, axis = arrays[0], integer("concatenate", "axis", axis, least=-math.inf)
    if not -len(first) <= axis < len(first):
        fix = f"Use {-len(first)} to {len(first) - 1}." if first else "Give arrays with axes."
        raise ShapeError("concatenate", f"axis must name an axis of shape {first}, got {shown(axis)}", fix)
    at = axis % len(first)
    for shape in arrays[1:]:
        if len(shape) != len(first) or any(
            a != b for i, (a, b) in enumerate(zip(shape, first, strict=True)) if i != at
        ):
            fix = "Use the same padding and strides in all branches."
            what = f"arrays must have equal shapes except along axis {axis}, got {first} and {shape}"
            raise ShapeError("concatenate", what, fix)
    return (*first[:at], sum(shape[at] for shape in arrays), *first[at + 1 :])


@op(concatenate_shape)
def concatenate(*arrays: Array, axis: int = -1) -> Any:
    """Arrays one after the other along an axis; by default the channels.

    >>> concatenate(np.array([[1.0]]), np.array([[2.0, 3.0]]))
    array([[1., 2., 3.]])
    """
    ends = np.cumsum([a.shape[axis] for a in arrays])

    def vjp(start: int, end: int) -> Any:
        return lambda g: np.take(g, range(start, end), axis=axis)

    starts = [0, *ends[:-1]]
    return np.concatenate(arrays, axis=axis), tuple(vjp(a, b) for a, b in zip(starts, ends, strict=True))


def getitem_shape(x: Shape, index: Any) -> Shape:
    """Shape rule of indexing: NumPy's own, found by indexing an array that takes no memory."""
    # A broadcast 0 has strides of 0, so that any shape takes the memory of one element.
    try:
        picked: np.ndarray = np.broadcast_to(np.float32(0), x)[index]
    except (IndexError, OverflowError, TypeError, ValueError):
        fix = f"Use integers, slices, masks or index arrays within its {len(x)} axes."
        raise ShapeError("getitem", f"index must fit shape {x}, got {shown(index)}", fix) from None
    return picked.shape


@op(getitem_shape)
def getitem(x: Array, index: Any) -> Any:
    """x[index] with slices, integers, masks or index arrays; an element that is taken twice gets both gradients."""
    parts = index if isinstance(index, tuple) else (index,)

    def vjp_x(g: np.ndarray) -> Any:
        if all(part is None or part is ... or isinstance(part, int | np.integer | slice) for part in parts):
            dx = np.zeros(x.shape, g.dtype)
            dx[index] += g
            return dx
        dx = np.zeros(x.shape, wide(g.dtype, g.size))
        # dx[index] += g would add only once where an index occurs twice. For one dtype, add.at is much faster.
        np.add.at(dx, index, g.astype(dx.dtype, copy=False))
        return dx.astype(g.dtype, copy=False)

    return x[index], (vjp_x,)
