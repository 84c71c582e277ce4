"""Element-wise ops. Shapes broadcast as in NumPy; float32 with float64 gives float64.

Numbers, of Python or of NumPy, take the dtype of the arrays. The gradient of a broadcast argument is
summed over the axes of the broadcasting: `unbroadcast`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.graph import Array, Shape, op
from minicnn.kernels.arithmetic import add_up, scale
from minicnn.validation import ShapeError


def same_shape(x: Shape) -> Shape:
    """Shape rule of every op on one array, element by element."""
    return x


def broadcast_shape(x: Shape, y: Shape) -> Shape:
    """Shape rule of every op on two arrays, element by element."""
    try:
        return np.broadcast_shapes(x, y)
    except ValueError:
        fix = "Use reshape to put axes of size 1 where they are missing."
        what = f"shapes must be equal or 1 from the last axis backwards, got {x} and {y}"
        raise ShapeError("broadcasting", what, fix) from None


def unbroadcast(g: Any, shape: Shape) -> Any:
    """Sum `g` over the axes along which an argument of this shape was broadcast.

    >>> unbroadcast(np.ones((3, 2)), (1, 2))
    array([[3., 3.]])
    """
    if np.shape(g) == shape:
        return g
    g = add_up(g, tuple(range(np.ndim(g) - len(shape))))
    return add_up(g, tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


@op(broadcast_shape)
def add(x: Array, y: Array) -> Any:
    """x + y."""
    return x + y, (lambda g: unbroadcast(g, np.shape(x)), lambda g: unbroadcast(g, np.shape(y)))


@op(broadcast_shape)
def subtract(x: Array, y: Array) -> Any:
    """x - y."""
    return x - y, (lambda g: unbroadcast(g, np.shape(x)), lambda g: unbroadcast(-g, np.shape(y)))


@op(broadcast_shape)
def multiply(x: Array, y: Array) -> Any:
    """x * y."""
    return x * y, (lambda g: unbroadcast(g * y, np.shape(x)), lambda g: unbroadcast(g * x, np.shape(y)))


@op(broadcast_shape)
def divide(x: Array, y: Array) -> Any:
    """x / y."""
    z = x / y  # d(x / y) / dy = -x / y^2 = -z / y: the quotient is known already
    return z, (lambda g: unbroadcast(g / y, np.shape(x)), lambda g: unbroadcast(-g * z / y, np.shape(y)))


@op(broadcast_shape)
def power(x: Array, exponent: Array) -> Any:
    """x ** exponent. The derivative is 0 for an exponent of 0, and that with respect to the exponent where x <= 0."""
    y = x**exponent
    p = np.asarray(exponent, y.dtype)

    def vjp_x(g: np.ndarray) -> Any:
        # x ** -1 at x = 0 would be infinite, and 0 * inf NaN: for an exponent of 0 the power is 0 instead.
        return unbroadcast(scale(g, p) * x ** np.where(p == 0, 0, p - 1), np.shape(x))

    def vjp_exponent(g: np.ndarray) -> Any:
        # log(x) is defined for x > 0 only. Elsewhere x is replaced by 1, whose logarithm is 0.
        flat = np.less_equal(x, 0) | (y == 0)
        return unbroadcast(scale(g * y, ~flat) * np.log(np.where(flat, 1, x), dtype=y.dtype), np.shape(exponent))

    return y, (vjp_x, vjp_exponent)


@op(same_shape)
def negate(x: Array) -> Any:
    """-x."""
    return -x, (lambda g: -g,)


@op(same_shape)
def exp(x: Array) -> Any:
    """e ** x."""
    y = np.exp(x)
    return y, (lambda g: g * y,)


@op(same_shape)
def log(x: Array) -> Any:
    """Natural logarithm of x > 0."""
    return np.log(x), (lambda g: g / x,)


@op(same_shape)
def sqrt(x: Array) -> Any:
    """Square root of x >= 0; the derivative at 0 is infinite."""
    y = np.sqrt(x)
    return y, (lambda g: g / (2 * y),)


@op(same_shape)
def abs(x: Array) -> Any:
    """``|x|``, with derivative 0 at 0."""
    return np.abs(x), (lambda g: scale(g, np.sign(x)),)


@op(broadcast_shape)
def maximum(x: Array, y: Array) -> Any:
    """Return the larger of x and y; at a tie the first, x, gets the gradient, as in the poolings."""
    z = np.maximum(x, y)
    first = (z == x) | np.isnan(x)  # NaN is not equal to itself, but it is the maximum
    return z, (
        lambda g: unbroadcast(scale(g, first), np.shape(x)),
        lambda g: unbroadcast(scale(g, ~first), np.shape(y)),
    )
