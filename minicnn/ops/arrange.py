"""Moving numbers without changing them: reshape, transpose, flatten, concatenate, indexing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.errors import ShapeError
from minicnn.geometry import integer
from minicnn.graph import Array, op

Shape = tuple[int, ...]


def reshape_shape(x: Shape, shape: Any) -> Shape:
    """Shape rule of reshape; one size may be -1 and follows from the others."""
    sizes = tuple(integer("reshape", "shape", n, shape, -1) for n in np.atleast_1d(np.array(shape, object)))
    known = math.prod(n for n in sizes if n != -1)
    unknown = sizes.count(-1)
    whole = math.prod(x)
    if unknown > 1 or (known != whole if not unknown else not known or whole % known):
        fix = "The product of the sizes must stay; one of them may be -1."
        raise ShapeError("reshape", f"{whole} numbers of shape {x} do not fill shape {shape}", fix)
    return tuple(whole // known if n == -1 else n for n in sizes)


@op(reshape_shape)
def reshape(x: Array, shape: Any) -> Any:
    """The same numbers in row order in another shape; one size may be -1."""
    return x.reshape(reshape_shape(x.shape, shape)), (lambda g: g.reshape(x.shape),)


def flatten_shape(x: Shape) -> Shape:
    """Shape rule of flatten: (N, ...) -> (N, features)."""
    if len(x) < 2:
        raise ShapeError("flatten", f"the input has shape {x}, it takes (N, ...)", "Add the batch axis.")
    return x[0], math.prod(x[1:])


@op(flatten_shape)
def flatten(x: Array) -> Any:
    """Each image as one row, in row order: (N, H, W, C) -> (N, H * W * C)."""
    return x.reshape(flatten_shape(x.shape)), (lambda g: g.reshape(x.shape),)


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
        raise ShapeError("transpose", f"axes={axes} do not name each of {ndim} axes once", f"Use {tuple(range(ndim))}.")
    return order


@op(transpose_shape)
def transpose(x: Array, axes: tuple[int, ...] | None = None) -> Any:
    """The axes in another order; reversed by default."""
    order = _order(x.ndim, axes)
    return np.transpose(x, order), (lambda g: np.transpose(g, np.argsort(order)),)


def concatenate_shape(*arrays: Shape, axis: int = -1) -> Shape:
    """Shape rule of concatenate: all axes but one agree."""
    if not arrays:
        raise ShapeError("concatenate", "there are no arrays", "Give at least one.")
    first, axis = arrays[0], integer("concatenate", "axis", axis, least=-math.inf)
    if not -len(first) <= axis < len(first):
        fix = f"Use {-len(first)} to {len(first) - 1}." if first else "Give arrays with axes."
        raise ShapeError("concatenate", f"axis {axis} does not exist in shape {first}", fix)
    at = axis % len(first)
    for shape in arrays[1:]:
        if len(shape) != len(first) or any(
            a != b for i, (a, b) in enumerate(zip(shape, first, strict=True)) if i != at
        ):
            fix = "Make the other axes agree: the same padding and strides in all branches."
            raise ShapeError("concatenate", f"shapes {first} and {shape} differ beyond axis {axis}", fix)
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
    """Shape rule of indexing: NumPy's own, asked on an array that takes no memory."""
    try:
        picked: np.ndarray = np.broadcast_to(np.float32(0), x)[index]
    except (IndexError, OverflowError, TypeError, ValueError):
        fix = f"Use whole numbers, slices, masks or index arrays that stay within its {len(x)} axes."
        raise ShapeError("getitem", f"index {index!r} does not fit shape {x}", fix) from None
    return picked.shape


@op(getitem_shape)
def getitem(x: Array, index: Any) -> Any:
    """x[index] with slices, integers, masks or index arrays; a cell that is picked twice gets both gradients."""

    def vjp_x(g: np.ndarray) -> Any:
        dx = np.zeros(x.shape, g.dtype)
        np.add.at(dx, index, g)
        return dx

    return x[index], (vjp_x,)
