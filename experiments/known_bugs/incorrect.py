"""Incorrect implementations of `max_pool2d`, `average_pool2d` and `conv2d`, each with one error, marked INCORRECT.

All of them use `taps(x, w)`: entry t is a view of the elements at position t of all windows. The forward pass reads
and the backward pass writes through the same views.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from minicnn import kernels, ops
from minicnn.autograd import Array, op
from minicnn.geometry import Padding, Shape, Size, Windows, pair, windows
from minicnn.ops.conv import conv2d_shape
from minicnn.ops.pool import average_pool2d_shape, max_pool2d_shape


def window_geometry(shape: Shape, pool_size: Size, strides: Size | None, padding: Padding) -> Windows:
    """Return the windows of a pooling over images of this shape."""
    steps = pool_size if strides is None else strides
    return windows("known_bugs", (shape[1], shape[2]), pool_size, steps, padding, pooling=True)


def pad(x: np.ndarray, w: Windows, value: float) -> np.ndarray:
    """Pad images as the windows require."""
    return np.pad(x, ((0, 0), *w.pads, (0, 0)), constant_values=value)


def crop(x: np.ndarray, w: Windows) -> np.ndarray:
    """Remove the padding."""
    (top, bottom), (left, right) = w.pads
    return x[:, top : x.shape[1] - bottom, left : x.shape[2] - right]


def taps(x: np.ndarray, w: Windows) -> list[np.ndarray]:
    """Return a view (N, P, Q, C) for each position in a window, in row order: its element in each window."""
    (p, q), (down, across) = w.out, w.strides
    positions = np.ndindex(w.rows.k, w.cols.k)
    return [x[:, i : i + down * (p - 1) + 1 : down, j : j + across * (q - 1) + 1 : across] for i, j in positions]


def add_to_first_maximum(g: np.ndarray, y: np.ndarray, values: list[np.ndarray], grads: list[np.ndarray]) -> None:
    """Add the gradient `g` of each maximum `y` to the gradient of its first occurrence in the window (correct)."""
    unassigned = np.ones(y.shape, bool)
    for value, grad in zip(values, grads, strict=True):
        first = unassigned & (value == y)
        grad[...] += np.where(first, g, 0)
        unassigned &= ~first


@op(max_pool2d_shape)
def zero_padding(x: Array, pool_size: Size = 2, *, strides: Size | None = None, padding: Padding = "valid") -> Any:
    """Max pooling with zero padding, which exceeds all negative values in the window."""
    w = window_geometry(x.shape, pool_size, strides, padding)
    padded = pad(x, w, 0)  # INCORRECT. Correct: pad(x, w, -np.inf)
    y = np.max(taps(padded, w), axis=0)

    def vjp_x(g: np.ndarray) -> np.ndarray:
        dx = np.zeros_like(padded)
        add_to_first_maximum(g, y, taps(padded, w), taps(dx, w))
        return crop(dx, w)

    return y, (vjp_x,)


@op(max_pool2d_shape)
def overwritten_gradient(
    x: Array, pool_size: Size = 2, *, strides: Size | None = None, padding: Padding = "valid"
) -> Any:
    """Max pooling; an element that is the maximum of several windows gets the gradient of only one of them."""
    w = window_geometry(x.shape, pool_size, strides, padding)
    padded = pad(x, w, -np.inf)
    y = np.max(taps(padded, w), axis=0)

    def vjp_x(g: np.ndarray) -> np.ndarray:
        dx, unassigned = np.zeros_like(padded), np.ones(y.shape, bool)
        for value, grad in zip(taps(padded, w), taps(dx, w), strict=True):
            first = unassigned & (value == y)
            grad[first] = g[first]  # INCORRECT. Correct: grad[first] += g[first]
            unassigned &= ~first
        return crop(dx, w)

    return y, (vjp_x,)


@op(max_pool2d_shape)
def gradient_to_all_ties(
    x: Array, pool_size: Size = 2, *, strides: Size | None = None, padding: Padding = "valid"
) -> Any:
    """Max pooling; every element equal to the maximum gets the whole gradient, four times too much for four ties."""
    w = window_geometry(x.shape, pool_size, strides, padding)
    padded = pad(x, w, -np.inf)
    y = np.max(taps(padded, w), axis=0)

    def vjp_x(g: np.ndarray) -> np.ndarray:
        dx = np.zeros_like(padded)
        for value, grad in zip(taps(padded, w), taps(dx, w), strict=True):
            grad[...] += g * (value == y)  # INCORRECT. Correct: only the first, or g divided by the number of ties
        return crop(dx, w)

    return y, (vjp_x,)


@op(max_pool2d_shape)
def early_return(x: Array, pool_size: Size = 2, *, strides: Size | None = None, padding: Padding = "valid") -> Any:
    """Max pooling; the backward loop over windows returns after the first."""
    w = window_geometry(x.shape, pool_size, strides, padding)
    padded = pad(x, w, -np.inf)
    y = np.max(taps(padded, w), axis=0)

    def vjp_x(g: np.ndarray) -> np.ndarray:
        dx = np.zeros_like(padded)
        for p, q in np.ndindex(w.out):
            one = (slice(None), slice(p, p + 1), slice(q, q + 1))
            values, grads = ([tap[one] for tap in taps(a, w)] for a in (padded, dx))
            add_to_first_maximum(g[one], y[one], values, grads)
            return crop(dx, w)  # INCORRECT: indented too far, the loop ends after one window
        return crop(dx, w)

    return y, (vjp_x,)


def shape_without_padding(
    x: Shape, pool_size: Size = 2, *, strides: Size | None = None, padding: Padding = "valid"
) -> Shape:
    """INCORRECT shape rule: floor((H - k) / s) + 1. Correct: floor((H + top + bottom - k) / s) + 1."""
    return x[0], *window_geometry(x, pool_size, strides, "valid").out, x[3]


@op(shape_without_padding)
def padding_missing_in_shape(
    x: Array, pool_size: Size = 2, *, strides: Size | None = None, padding: Padding = "valid"
) -> Any:
    """Max pooling over all windows, reshaped to the shape of the incorrect rule."""
    w = window_geometry(x.shape, pool_size, strides, padding)
    padded = pad(x, w, -np.inf)
    y = np.max(taps(padded, w), axis=0)

    def vjp_x(g: np.ndarray) -> np.ndarray:
        dx = np.zeros_like(padded)
        add_to_first_maximum(g.reshape(y.shape), y, taps(padded, w), taps(dx, w))
        return crop(dx, w)

    return y.reshape(shape_without_padding(x.shape, pool_size, strides=strides)), (vjp_x,)  # INCORRECT by the rule


@op(shape_without_padding)
def padding_missing_in_loop(
    x: Array, pool_size: Size = 2, *, strides: Size | None = None, padding: Padding = "valid"
) -> Any:
    """Max pooling over as many windows as the incorrect rule gives: those at the bottom and right are left out."""
    w = window_geometry(x.shape, pool_size, strides, padding)
    padded = pad(x, w, -np.inf)
    _, p, q, _ = shape_without_padding(x.shape, pool_size, strides=strides)
    fewer = Windows(replace(w.rows, out=p), replace(w.cols, out=q))  # INCORRECT. Correct: w
    y = np.max(taps(padded, fewer), axis=0)

    def vjp_x(g: np.ndarray) -> np.ndarray:
        dx = np.zeros_like(padded)
        add_to_first_maximum(g, y, taps(padded, fewer), taps(dx, fewer))
        return crop(dx, w)

    return y, (vjp_x,)


@op(max_pool2d_shape)
def reshape_axis_order(
    x: Array, pool_size: Size = 2, *, strides: Size | None = None, padding: Padding = "valid"
) -> Any:
    """Max pooling by reshape, for non-overlapping windows; a window has elements from distant parts of the image."""
    n, h, w, c = x.shape
    kh, kw = pair("reshape_axis_order", "pool_size", pool_size)
    if padding != "valid" or strides not in (None, pool_size, kh if kh == kw else None) or h % kh or w % kw:
        raise ValueError(
            "reshape_axis_order: windows must tile the image without overlap or padding, got a "
            f"{h}x{w} image, pool_size={pool_size}, strides={strides}, padding={padding!r}. Use ops.max_pool2d."
        )

    def blocks(a: np.ndarray) -> list[np.ndarray]:
        split = a.reshape(n, kh, h // kh, kw, w // kw, c)  # INCORRECT. Correct: (n, h // kh, kh, w // kw, kw, c)
        return [split[:, i, :, j] for i, j in np.ndindex(kh, kw)]  # and split[:, :, i, :, j]

    y = np.max(blocks(x), axis=0)

    def vjp_x(g: np.ndarray) -> Any:
        dx = np.zeros_like(x)
        add_to_first_maximum(g, y, blocks(x), blocks(dx))
        return dx

    return y, (vjp_x,)


@op(average_pool2d_shape)
def missing_divisor(x: Array, pool_size: Size = 2, *, strides: Size | None = None, padding: Padding = "valid") -> Any:
    """Average pooling with the gradient of a sum, which is too large by the number of elements in a window."""
    w = window_geometry(x.shape, pool_size, strides, padding)
    count = sum(taps(pad(np.ones_like(x), w, 0), w))
    y = sum(taps(pad(x, w, 0), w)) / count

    def vjp_x(g: np.ndarray) -> np.ndarray:
        dx = np.zeros_like(pad(x, w, 0))
        for grad in taps(dx, w):
            grad[...] += g  # INCORRECT. Correct: grad[...] += g / count
        return crop(dx, w)

    return y, (vjp_x,)


@op(average_pool2d_shape)
def swapped_axes(x: Array, pool_size: Size = 2, *, strides: Size | None = None, padding: Padding = "valid") -> Any:
    """Average pooling; the gradient of a 1x2 window is written to 2x1 elements."""
    w = window_geometry(x.shape, pool_size, strides, padding)
    count = sum(taps(pad(np.ones_like(x), w, 0), w))
    y = sum(taps(pad(x, w, 0), w)) / count

    def vjp_x(g: np.ndarray) -> np.ndarray:
        dx = np.zeros_like(pad(x, w, 0))
        kw, kh = w.rows.k, w.cols.k  # INCORRECT. Correct: kh, kw = w.rows.k, w.cols.k
        for grad in taps(dx, Windows(replace(w.rows, k=kh), replace(w.cols, k=kw))):
            grad[...] += g / count
        return crop(dx, w)

    return y, (vjp_x,)


@op(conv2d_shape)
def unflipped_kernel(
    x: Array, kernel: Array, bias: Array | None = None, *, strides: Size = 1, padding: Padding = "valid"
) -> Any:
    """Convolution; the input gradient is the cross-correlation of the output gradient with the unflipped kernel."""
    w = windows("known_bugs", x.shape[1:3], kernel.shape[:2], strides, padding)

    def vjp_x(g: np.ndarray) -> Any:
        kh, kw = kernel.shape[:2]
        (_, rows, cols, _), (down, across) = pad(x, w, 0).shape, w.strides
        wide = np.zeros((len(x), rows + kh - 1, cols + kw - 1, g.shape[3]), g.dtype)
        wide[:, kh - 1 : rows : down, kw - 1 : cols : across] = g
        return crop(ops.conv2d(wide, kernel.swapaxes(2, 3)), w)  # INCORRECT. Correct: kernel[::-1, ::-1].swapaxes(2, 3)

    def weights(g: np.ndarray) -> Any:
        return kernels.conv2d_weight_grads(g, x, kernel.shape, w.geometry, 1)

    return kernels.conv2d(x, kernel, bias, w.geometry, 1), (vjp_x, weights, weights)
