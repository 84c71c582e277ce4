"""Reductions: sum, mean, max and logsumexp over some axes, by default over all."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from minicnn.graph import Array, Shape, op
from minicnn.kernels.arithmetic import add_up, scale
from minicnn.validation import ShapeError, flag, integer

Axes = int | tuple[int, ...] | None


def reduce_shape(x: Shape, axis: Axes = None, keepdims: bool = False, *, where: str = "sum") -> Shape:
    """Shape rule of the reductions: the axes are removed, or kept with size 1."""
    axes = _axes(len(x), axis, where)
    flag(where, "keepdims", keepdims)
    return tuple(1 if i in axes else n for i, n in enumerate(x) if keepdims or i not in axes)


def nonempty_shape(x: Shape, axis: Axes = None, keepdims: bool = False, *, where: str = "mean") -> Shape:
    """Shape rule of the reductions that are not defined without elements: mean, max, logsumexp."""
    if not math.prod(x[i] for i in _axes(len(x), axis, where)):
        what = f"x must have elements over axis {axis}, got shape {x}"
        raise ShapeError(where, what, "Give at least one element.")
    return reduce_shape(x, axis, keepdims, where=where)


def _axes(ndim: int, axis: Axes, where: str = "") -> tuple[int, ...]:
    """Return the axes in ascending order, none of them negative."""
    if axis is None:
        return tuple(range(ndim))
    axes = [integer(where, "axis", a, axis, -math.inf) for a in (axis if isinstance(axis, tuple) else (axis,))]
    if not all(-ndim <= a < ndim for a in axes) or len({a % ndim for a in axes}) < len(axes):
        fix = f"Use {-ndim} to {ndim - 1}, each axis once." if ndim else "Leave it out."
        raise ShapeError(where, f"axis must name axes of an array with {ndim} axes, got {axis}", fix)
    return tuple(sorted(a % ndim for a in axes))


def _broadcast(g: Any, x: np.ndarray, axis: Axes) -> Any:
    """Broadcast a reduced array over the reduced axes, as a view, which takes no memory."""
    axes = _axes(x.ndim, axis)
    return np.broadcast_to(np.reshape(g, [1 if i in axes else n for i, n in enumerate(x.shape)]), x.shape)


@op(reduce_shape)
def sum(x: Array, axis: Axes = None, keepdims: bool = False) -> Any:
    """Sum over the axes, in float32 accurate to 2e-5 of the sum of absolute values for any count.

    >>> sum(np.full((1000, 1000, 3), 0.1, np.float32), axis=(0, 1)).round(2)
    array([100000., 100000., 100000.], dtype=float32)
    """
    return add_up(x, axis, bool(keepdims)), (lambda g: _broadcast(g, x, axis),)


@op(nonempty_shape)
def mean(x: Array, axis: Axes = None, keepdims: bool = False) -> Any:
    """Mean over the axes, as accurate as `sum`; it needs at least one element."""
    count = math.prod(x.shape[a] for a in _axes(x.ndim, axis))
    return add_up(x, axis, bool(keepdims)) / count, (lambda g: _broadcast(g / count, x, axis),)


@op(functools.partial(nonempty_shape, where="max"))
def max(x: Array, axis: Axes = None, keepdims: bool = False) -> Any:
    """Maximum over the axes; NaN propagates, and the first maximum in row order gets the gradient."""
    axes = _axes(x.ndim, axis)

    def vjp_x(g: np.ndarray) -> Any:
        # argmax takes a single axis, so the reduced axes are moved to the end and merged into one.
        last = tuple(range(-len(axes), 0))
        rows = np.moveaxis(x, axes, last)
        flat = rows.reshape(*rows.shape[: x.ndim - len(axes)], math.prod(x.shape[a] for a in axes))
        dx = np.zeros(flat.shape, g.dtype)
        np.put_along_axis(dx, flat.argmax(axis=-1)[..., None], np.reshape(g, flat.shape[:-1])[..., None], axis=-1)
        return np.moveaxis(dx.reshape(rows.shape), last, axes)

    return np.max(x, axis=axis, keepdims=bool(keepdims)), (vjp_x,)


@op(functools.partial(nonempty_shape, where="logsumexp"))
def logsumexp(x: Array, axis: Axes = None, keepdims: bool = False) -> Any:
    """log(sum(exp(x))) over the axes, computed relative to the maximum, so that nothing overflows.

    >>> float(logsumexp(np.array([1000.0, 1000.0])))
    1000.693...
    """
    # log(sum(exp(x))) = m + log(sum(exp(x - m))) for any m; with the maximum, every exponent is 0 or less.
    top, below = below_maximum(x, axis)
    exponentials = np.exp(below)
    total = add_up(exponentials, axis, True)
    with np.errstate(divide="ignore"):  # log(0) = -inf is right where all of x is -inf
        y = top + np.log(total)

    def vjp_x(g: np.ndarray) -> Any:
        # The derivative is the softmax; a total of 0 means that every exponential is 0.
        return scale(_broadcast(g, x, axis), exponentials / np.where(total == 0, 1, total))

    return np.asarray(y) if keepdims else np.squeeze(y, axis=_axes(x.ndim, axis)), (vjp_x,)


def below_maximum(x: np.ndarray, axis: Axes, out: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the maximum over the axes, which are kept, and `x` minus it, which may be written to `out`.

    Below a maximum of inf, inf is 0 and all else is -inf; below one of -inf, all is -inf.

    >>> below_maximum(np.array([[2.0, 3.0], [np.inf, 3.0]]), 1)[1]
    array([[ -1.,   0.],
           [  0., -inf]])
    """
    top = np.maximum.reduce(x, axis, keepdims=True)
    if np.isfinite(top).all():
        return top, np.subtract(x, top, out=out)
    with np.errstate(invalid="ignore"):
        return top, np.where(x == top, np.where(top == -np.inf, top, 0), x - top)
