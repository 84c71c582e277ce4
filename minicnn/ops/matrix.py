"""Matrix products: flatten, dense and matmul. The last layers of a network."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.graph import Array, Shape, op
from minicnn.kernels.arithmetic import add_up, product
from minicnn.ops.elementwise import broadcast_shape, unbroadcast
from minicnn.validation import ShapeError


def flatten_shape(x: Shape) -> Shape:
    """Shape rule of flatten: (N, ...) -> (N, features)."""
    if len(x) < 2:
        raise ShapeError("flatten", f"x must have shape (N, ...), got {x}", "Add the batch axis.")
    return x[0], math.prod(x[1:])


@op(flatten_shape)
def flatten(x: Array) -> Any:
    """Each image as one row, in row order: (N, H, W, C) -> (N, H * W * C)."""
    # Not reshape(len(x), -1): for an empty batch -1 would be ambiguous.
    return x.reshape(len(x), math.prod(x.shape[1:])), (lambda g: g.reshape(x.shape),)


def matmul_shape(x: Shape, y: Shape) -> Shape:
    """Shape rule of matmul: (..., M, K) with (..., K, N) -> (..., M, N); one axis is a vector, as in NumPy."""
    if not x or not y:
        raise ShapeError("matmul", f"operands must have at least one axis, got shapes {x} and {y}", "Use * to scale.")
    rows, inner = ((), x[-1]) if len(x) == 1 else ((x[-2],), x[-1])
    cols, other = ((), y[-1]) if len(y) == 1 else ((y[-1],), y[-2])
    if inner != other:
        raise ShapeError(
            "matmul",
            f"inner dimensions must be equal, got {inner} and {other} in shapes {x} and {y}",
            "Transpose one, or change a size.",
        )
    return (*broadcast_shape(x[:-2], y[:-2]), *rows, *cols)


@op(matmul_shape)
def matmul(x: Array, y: Array) -> Any:
    """Matrix product x @ y over the last two axes; the relative error of a float32 sum of any length is at most 1.2e-4.

    >>> matmul(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]))
    array([[11.]])
    """
    # A vector on the left is a row and one on the right a column; that axis is removed from the result.
    a, b = np.atleast_2d(x), y[:, None] if y.ndim == 1 else y
    added = (-2,) * (x.ndim == 1) + (-1,) * (y.ndim == 1)
    z = product(a, b)

    def vjp_x(g: np.ndarray) -> Any:
        return unbroadcast(product(g.reshape(z.shape), b.swapaxes(-1, -2)), a.shape).reshape(x.shape)

    def vjp_y(g: np.ndarray) -> Any:
        return unbroadcast(product(a.swapaxes(-1, -2), g.reshape(z.shape)), b.shape).reshape(y.shape)

    return z.squeeze(added), (vjp_x, vjp_y)


def dense_shape(x: Shape, kernel: Shape, bias: Shape | None = None) -> Shape:
    """Shape rule of dense: (N, in) with (in, out) -> (N, out)."""
    if len(x) != 2:
        fix = "Put Flatten or a global pooling before it."
        raise ShapeError("dense", f"x must have shape (N, features), got {len(x)} axes {x}", fix)
    if len(kernel) != 2 or kernel[0] != x[1]:
        fix = f"Use a kernel of ({x[1]}, units)."
        raise ShapeError("dense", f"kernel must have {x[1]} rows, one per feature of x {x}, got {kernel}", fix)
    if bias is not None and bias != kernel[1:]:
        what = f"bias must have one value per column of the kernel {kernel}, got {bias}"
        raise ShapeError("dense", what, f"Use ({kernel[1]},).")
    return x[0], kernel[1]


@op(dense_shape)
def dense(x: Array, kernel: Array, bias: Array | None = None) -> Any:
    """x @ kernel + bias: (N, in) with (in, out) and (out,) -> (N, out)."""
    y = product(x, kernel)
    if bias is not None:
        y += bias  # in place, because nothing else refers to y yet
    # y[n, j] is a sum of x[n, i] * kernel[i, j]: each gradient sums over the index that its argument does not have.
    return y, (lambda g: product(g, kernel.T), lambda g: product(x.T, g), lambda g: add_up(g, 0))
