"""Convolution, max pooling and ReLU as one op."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from minicnn import kernels
from minicnn.geometry import Geometry, Pair, Shape, Size, pair, windows
from minicnn.graph import Array, op
from minicnn.ops.conv import ConvKeywords, checked_conv_windows, conv2d_shape, conv_keywords
from minicnn.validation import ShapeError, flag

MOST_ELEMENTS = 254
"""In a pool of conv2d_pool: the kernels keep the number of its maximum in a byte, and need one more for ReLU."""


def conv2d_pool_shape(
    x: Shape, kernel: Shape, bias: Shape | None = None, *, pool_size: Size = 1, relu: bool = False, **how: Any
) -> Shape:
    """Shape rule of conv2d_pool: (N, H, W, C) with (kh, kw, C // groups, K) -> (N, P, Q, K)."""
    flag("conv2d_pool", "relu", relu)
    # A padding_mode given by the caller would be one too many here, which refuses it: the kernel pads with zeros.
    n, rows, cols, filters = conv2d_shape(x, kernel, bias, padding_mode="constant", **how)
    w = windows("conv2d_pool", (rows, cols), pool_size, pool_size, "valid", pooling=True)
    if w.rows.k * w.cols.k > MOST_ELEMENTS:
        fix = "Use conv2d, then max_pool2d."
        what = f"pool_size must have at most {MOST_ELEMENTS} elements, got {w.rows.k}x{w.cols.k}"
        raise ShapeError("conv2d_pool", what, fix)
    return n, *w.out, filters


@op(conv2d_pool_shape)
@conv_keywords
def conv2d_pool(
    x: Array,
    kernel: Array,
    bias: Array | None = None,
    *,
    groups: int = 1,
    pool_size: Size = 1,
    relu: bool = False,
    **how: Unpack[ConvKeywords],
) -> Any:
    """Convolution, non-overlapping max pooling, ReLU: `relu(max_pool2d(conv2d(x, kernel, bias), pool_size))`.

    The same numbers in one pass: what the convolution gives is pooled while it is in cache and never written, and
    what no pool reads is not computed. Each pool's gradient goes to its first maximum. `Sequential` uses it for a
    Conv2D with the MaxPooling2D and ReLU after it. Kernels that cannot fuse compute the three one after the other.

    >>> conv2d_pool(np.arange(9.0).reshape(1, 3, 3, 1), np.ones((2, 2, 1, 1)), pool_size=2, relu=True).ravel()
    array([24.])
    """
    geometry = checked_conv_windows(x.shape, kernel.shape, **how).geometry
    pool = pair("conv2d_pool", "pool_size", pool_size)
    # One op with two ways to compute it: what a net means does not depend on the kernels that are installed.
    if not kernels.can_fuse():
        return _one_after_the_other(x, kernel, bias, geometry, int(groups), pool, relu)
    where = (geometry, int(groups), pool)
    # The convolution's output is not kept: a byte per pool says which of its elements gets the gradient, if any does.
    y, argmax = kernels.conv2d_pool(x, kernel, bias, *where, bool(relu))

    def vjp_x(g: np.ndarray) -> Any:
        return kernels.conv2d_pool_input_grad(g, argmax, kernel, x.shape, *where)

    def weights(g: np.ndarray) -> Any:
        return kernels.conv2d_pool_weight_grads(g, argmax, x, kernel.shape, *where)

    return y, (vjp_x, weights, weights)


def _one_after_the_other(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, geometry: Geometry, groups: int, pool: Pair, relu: bool
) -> Any:
    pools = windows("conv2d_pool", geometry.out, pool, pool, pooling=True).geometry
    # Only what a pool reads, as the fused kernels do: an infinite pixel times the gradient 0 of the rest would be NaN.
    geometry = geometry._replace(out=(pools.out[0] * pool[0], pools.out[1] * pool[1]))
    features = kernels.conv2d(x, kernel, bias, geometry, groups)
    pooled = kernels.max_pool2d(features, pools)
    y = kernels.relu(pooled) if relu else pooled

    # ReLU last: it keeps the order of numbers, so after pooling it has the same result on fewer elements.
    def before_pooling(g: np.ndarray) -> np.ndarray:
        g = kernels.relu_grad(g, y) if relu else g
        return kernels.max_pool2d_grad(g, features, pooled, pools, False)

    def vjp_x(g: np.ndarray) -> Any:
        return kernels.conv2d_input_grad(before_pooling(g), kernel, x.shape, geometry, groups)

    def weights(g: np.ndarray) -> Any:
        return kernels.conv2d_weight_grads(before_pooling(g), x, kernel.shape, geometry, groups)

    return y, (vjp_x, weights, weights)
