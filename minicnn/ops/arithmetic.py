"""Element by element, and matrix products. Shapes broadcast as in NumPy; float32 with float64 gives float64.

Numbers, of Python or of NumPy, take the dtype of the arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.errors import ShapeError
from minicnn.graph import Array, op, unbroadcast
from minicnn.kernels.arrays import scale
from minicnn.kernels.sums import add_up

Shape = tuple[int, ...]


def same_shape(x: Shape) -> Shape:
    """Shape rule of every op on one array, element by element."""
    return x


def broadcast_shape(x: Shape, y: Shape) -> Shape:
    """Shape rule of every op on two arrays, element by element."""
    try:
        return np.broadcast_shapes(x, y)
    except ValueError:
        fix = "Sizes must agree from the last axis backwards, or be 1: use reshape."
        raise ShapeError("broadcasting", f"shapes {x} and {y} do not fit together", fix) from None


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
    z = x / y
    return z, (lambda g: unbroadcast(g / y, np.shape(x)), lambda g: unbroadcast(-g * z / y, np.shape(y)))


@op(broadcast_shape)
def power(x: Array, exponent: Array) -> Any:
    """x ** exponent. The slope is 0 for an exponent of 0; the exponent's own is 0 wherever x <= 0."""
    y = x**exponent
    p = np.asarray(exponent, y.dtype)

    def vjp_x(g: np.ndarray) -> Any:
        return unbroadcast(scale(g, p) * x ** np.where(p == 0, 0, p - 1), np.shape(x))

    def vjp_exponent(g: np.ndarray) -> Any:
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
    """Square root of x > 0; the slope at 0 is infinite."""
    y = np.sqrt(x)
    return y, (lambda g: g / (2 * y),)


@op(same_shape)
def abs(x: Array) -> Any:
    """|x|, with slope 0 at 0."""
    return np.abs(x), (lambda g: scale(g, np.sign(x)),)


@op(broadcast_shape)
def maximum(x: Array, y: Array) -> Any:
    """Return the larger of x and y; at a tie the first, x, gets the gradient, as in the poolings."""
    z = np.maximum(x, y)
    first = (z == x) | np.isnan(x)
    return z, (
        lambda g: unbroadcast(scale(g, first), np.shape(x)),
        lambda g: unbroadcast(scale(g, ~first), np.shape(y)),
    )


def matmul_shape(x: Shape, y: Shape) -> Shape:
    """Shape rule of matmul: (..., M, K) with (..., K, N) -> (..., M, N); one axis is a vector, as in NumPy."""
    if not x or not y:
        raise ShapeError("matmul", f"shapes {x} and {y}: a number is no matrix", "Use * to scale.")
    rows, inner = ((), x[-1]) if len(x) == 1 else ((x[-2],), x[-1])
    cols, other = ((), y[-1]) if len(y) == 1 else ((y[-1],), y[-2])
    if inner != other:
        raise ShapeError(
            "matmul",
            f"shapes {x} and {y}: {inner} columns meet {other} rows",
            "Transpose one, or change a size.",
        )
    return (*broadcast_shape(x[:-2], y[:-2]), *rows, *cols)


@op(matmul_shape)
def matmul(x: Array, y: Array) -> Any:
    """Matrix product x @ y over the last two axes.

    >>> matmul(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]))
    array([[11.]])
    """
    a, b = np.atleast_2d(x), y[:, None] if y.ndim == 1 else y
    z = a @ b

    def vjp_x(g: np.ndarray) -> Any:
        return unbroadcast(g.reshape(z.shape) @ b.swapaxes(-1, -2), a.shape).reshape(x.shape)

    def vjp_y(g: np.ndarray) -> Any:
        return unbroadcast(a.swapaxes(-1, -2) @ g.reshape(z.shape), b.shape).reshape(y.shape)

    return z.reshape(matmul_shape(x.shape, y.shape)), (vjp_x, vjp_y)


def dense_shape(x: Shape, kernel: Shape, bias: Shape | None = None) -> Shape:
    """Shape rule of dense: (N, in) with (in, out) -> (N, out)."""
    if len(x) != 2:
        fix = "Put Flatten or a global pooling before it."
        raise ShapeError("dense", f"the input has {len(x)} axes {x}, it takes 2: (N, features)", fix)
    if len(kernel) != 2 or kernel[0] != x[1]:
        fix = f"Use a kernel of ({x[1]}, units)."
        raise ShapeError("dense", f"the kernel {kernel} does not fit {x[1]} features of the input {x}", fix)
    if bias is not None and bias != kernel[1:]:
        raise ShapeError("dense", f"the bias {bias} does not fit the kernel {kernel}", f"Use ({kernel[1]},).")
    return x[0], kernel[1]


@op(dense_shape)
def dense(x: Array, kernel: Array, bias: Array | None = None) -> Any:
    """x @ kernel + bias: (N, in) with (in, out) and (out,) -> (N, out)."""
    y = x @ kernel
    if bias is not None:
        y += bias
    return y, (lambda g: g @ kernel.T, lambda g: x.T @ g, lambda g: add_up(g, 0))
