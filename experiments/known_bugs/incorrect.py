"""Wrong twins of `max_pool2d`, `average_pool2d` and `conv2d`, each with exactly one mistake, marked WRONG.

All are read tap by tap: `taps(x, w)[t]` is, for all windows at once, the cell under tap t, as a view. Reading
forward and writing backward go through the same views.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from minicnn import kernels, ops
from minicnn.autograd import Array, op
from minicnn.ops.conv import conv2d_shape
from minicnn.ops.joint import jointly
from minicnn.ops.pool import average_pool2d_shape, max_pool2d_shape
from minicnn.ops.window import Padding, Shape, Size, Windows, pair, windows


def lay(shape: Shape, pool_size: Size, strides: Size | None, padding: Padding) -> Windows:
    """Return how the windows lie on images of this shape."""
    steps = pool_size if strides is None else strides
    return windows("zoo", (shape[1], shape[2]), pool_size, steps, padding, pooling=True)


def pad(x: np.ndarray, w: Windows, value: float) -> np.ndarray:
    """Put the pads of the windows around images."""
    return np.pad(x, ((0, 0), *w.pads, (0, 0)), constant_values=value)


def crop(x: np.ndarray, w: Windows) -> np.ndarray:
    """Take the pads off again."""
    (top, bottom), (left, right) = w.pads
    return x[:, top : x.shape[1] - bottom, left : x.shape[2] - right]


def taps(x: np.ndarray, w: Windows) -> list[np.ndarray]:
    """Return, tap by tap in row order, the cells under it for all windows, as views: each (N, P, Q, C)."""
    (p, q), (down, across) = w.out, w.strides
    corners = np.ndindex(w.rows.k, w.cols.k)
    return [x[:, i : i + down * (p - 1) + 1 : down, j : j + across * (q - 1) + 1 : across] for i, j in corners]


def to_first(g: np.ndarray, y: np.ndarray, cells: list[np.ndarray], shares: list[np.ndarray]) -> None:
    """Add the gradient of each maximum to the share of the first cell that holds it: the right way."""
    free = np.ones(y.shape, bool)
    for cell, share in zip(cells, shares, strict=True):
        wins = free & (cell == y)
        share[...] += np.where(wins, g, 0)
        free &= ~wins


@op(max_pool2d_shape)
def zeros_win(x: Array, pool_size: Size = 2, *, strides: Size | None = None, padding: Padding = "valid") -> Any:
    """Maximum, with pads that beat every negative number beside them."""
    w = lay(x.shape, pool_size, strides, padding)
    padded = pad(x, w, 0)  # WRONG. Right: pad(x, w, -np.inf)
    y = np.max(taps(padded, w), axis=0)

    def vjp_x(g: np.ndarray) -> np.ndarray:
        dx = np.zeros_like(padded)
        to_first(g, y, taps(padded, w), taps(dx, w))
        return crop(dx, w)

    return y, (vjp_x,)


@op(max_pool2d_shape)
def assigned(x: Array, pool_size: Size = 2, *, strides: Size | None = None, padding: Padding = "valid") -> Any:
    """Maximum; a cell that wins in several windows keeps the gradient of one of them."""
    w = lay(x.shape, pool_size, strides, padding)
    padded = pad(x, w, -np.inf)
    y = np.max(taps(padded, w), axis=0)

    def vjp_x(g: np.ndarray) -> np.ndarray:
        dx, free = np.zeros_like(padded), np.ones(y.shape, bool)
        for cell, share in zip(taps(padded, w), taps(dx, w), strict=True):
            wins = free & (cell == y)
            share[wins] = g[wins]  # WRONG. Right: share[wins] += g[wins]
            free &= ~wins
        return crop(dx, w)

    return y, (vjp_x,)


@op(max_pool2d_shape)
def all_ties(x: Array, pool_size: Size = 2, *, strides: Size | None = None, padding: Padding = "valid") -> Any:
    """Maximum; every cell that equals it gets the whole gradient, so four ties get four times too much."""
    w = lay(x.shape, pool_size, strides, padding)
    padded = pad(x, w, -np.inf)
    y = np.max(taps(padded, w), axis=0)

    def vjp_x(g: np.ndarray) -> np.ndarray:
        dx = np.zeros_like(padded)
        for cell, share in zip(taps(padded, w), taps(dx, w), strict=True):
            share[...] += g * (cell == y)  # WRONG. Right: only the first, or g divided by the number of ties
        return crop(dx, w)

    return y, (vjp_x,)


@op(max_pool2d_shape)
def returns_early(x: Array, pool_size: Size = 2, *, strides: Size | None = None, padding: Padding = "valid") -> Any:
    """Maximum; the backward loop over windows ends with the first."""
    w = lay(x.shape, pool_size, strides, padding)
    padded = pad(x, w, -np.inf)
    y = np.max(taps(padded, w), axis=0)

    def vjp_x(g: np.ndarray) -> np.ndarray:
        dx = np.zeros_like(padded)
        for p, q in np.ndindex(w.out):
            one = (slice(None), slice(p, p + 1), slice(q, q + 1))
            to_first(g[one], y[one], [c[one] for c in taps(padded, w)], [s[one] for s in taps(dx, w)])
            return crop(dx, w)  # WRONG by one indent: the loop is left after one window
        return crop(dx, w)

    return y, (vjp_x,)


def shape_without_pads(
    x: Shape, pool_size: Size = 2, *, strides: Size | None = None, padding: Padding = "valid"
) -> Shape:
    """WRONG shape rule: floor((H - k) / s) + 1. Right: floor((H + top + bottom - k) / s) + 1."""
    return x[0], *lay(x, pool_size, strides, "valid").out, x[3]


@op(shape_without_pads)
def pads_not_in_shape(x: Array, pool_size: Size = 2, *, strides: Size | None = None, padding: Padding = "valid") -> Any:
    """Maximum over all windows, put into the shape that the wrong rule says."""
    w = lay(x.shape, pool_size, strides, padding)
    padded = pad(x, w, -np.inf)
    y = np.max(taps(padded, w), axis=0)

    def vjp_x(g: np.ndarray) -> np.ndarray:
        dx = np.zeros_like(padded)
        to_first(g.reshape(y.shape), y, taps(padded, w), taps(dx, w))
        return crop(dx, w)

    return y.reshape(shape_without_pads(x.shape, pool_size, strides=strides)), (vjp_x,)  # WRONG by the rule


@op(shape_without_pads)
def pads_not_in_loop(x: Array, pool_size: Size = 2, *, strides: Size | None = None, padding: Padding = "valid") -> Any:
    """Maximum over as many windows as the wrong rule says: those at the bottom and at the right are left out."""
    w = lay(x.shape, pool_size, strides, padding)
    padded = pad(x, w, -np.inf)
    _, p, q, _ = shape_without_pads(x.shape, pool_size, strides=strides)
    fewer = Windows(replace(w.rows, out=p), replace(w.cols, out=q))  # WRONG. Right: w
    y = np.max(taps(padded, fewer), axis=0)

    def vjp_x(g: np.ndarray) -> np.ndarray:
        dx = np.zeros_like(padded)
        to_first(g, y, taps(padded, fewer), taps(dx, fewer))
        return crop(dx, w)

    return y, (vjp_x,)


@op(max_pool2d_shape)
def far_cells(x: Array, pool_size: Size = 2, *, strides: Size | None = None, padding: Padding = "valid") -> Any:
    """Maximum by reshape, for windows that tile the image; its windows gather cells from all over it."""
    n, h, w, c = x.shape
    kh, kw = pair("far_cells", "pool_size", pool_size)
    if padding != "valid" or strides not in (None, pool_size, kh if kh == kw else None) or h % kh or w % kw:
        raise ValueError("far_cells: it takes only windows that tile the image")

    def blocks(a: np.ndarray) -> list[np.ndarray]:
        split = a.reshape(n, kh, h // kh, kw, w // kw, c)  # WRONG. Right: a.reshape(n, h // kh, kh, w // kw, kw, c)
        return [split[:, i, :, j] for i, j in np.ndindex(kh, kw)]  # and split[:, :, i, :, j]

    y = np.max(blocks(x), axis=0)

    def vjp_x(g: np.ndarray) -> Any:
        dx = np.zeros_like(x)
        to_first(g, y, blocks(x), blocks(dx))
        return dx

    return y, (vjp_x,)


@op(average_pool2d_shape)
def undivided(x: Array, pool_size: Size = 2, *, strides: Size | None = None, padding: Padding = "valid") -> Any:
    """Average, with the gradient of a sum: as many times too large as a window has cells."""
    w = lay(x.shape, pool_size, strides, padding)
    count = sum(taps(pad(np.ones_like(x), w, 0), w))
    y = sum(taps(pad(x, w, 0), w)) / count

    def vjp_x(g: np.ndarray) -> np.ndarray:
        dx = np.zeros_like(pad(x, w, 0))
        for share in taps(dx, w):
            share[...] += g  # WRONG. Right: share[...] += g / count
        return crop(dx, w)

    return y, (vjp_x,)


@op(average_pool2d_shape)
def swapped_axes(x: Array, pool_size: Size = 2, *, strides: Size | None = None, padding: Padding = "valid") -> Any:
    """Average; the gradient of a window of 1x2 cells goes to 2x1 cells."""
    w = lay(x.shape, pool_size, strides, padding)
    count = sum(taps(pad(np.ones_like(x), w, 0), w))
    y = sum(taps(pad(x, w, 0), w)) / count

    def vjp_x(g: np.ndarray) -> np.ndarray:
        dx = np.zeros_like(pad(x, w, 0))
        kw, kh = w.rows.k, w.cols.k  # WRONG. Right: kh, kw = w.rows.k, w.cols.k
        for share in taps(dx, Windows(replace(w.rows, k=kh), replace(w.cols, k=kw))):
            share[...] += g / count
        return crop(dx, w)

    return y, (vjp_x,)


@op(conv2d_shape)
def unflipped(
    x: Array, kernel: Array, bias: Array | None = None, *, strides: Size = 1, padding: Padding = "valid"
) -> Any:
    """Convolution; the gradient of the input correlates the gradient of the result with the kernel as it stands."""
    w = windows("zoo", x.shape[1:3], kernel.shape[:2], strides, padding)
    kernel_set = kernels.implementation()
    how = (w.strides, w.pads, w.dilation, 1)

    def vjp_x(g: np.ndarray) -> Any:
        kh, kw = kernel.shape[:2]
        (_, rows, cols, _), (down, across) = pad(x, w, 0).shape, w.strides
        wide = np.zeros((len(x), rows + kh - 1, cols + kw - 1, g.shape[3]), g.dtype)
        wide[:, kh - 1 : rows : down, kw - 1 : cols : across] = g
        return crop(ops.conv2d(wide, kernel.swapaxes(2, 3)), w)  # WRONG. Right: kernel[::-1, ::-1].swapaxes(2, 3)

    def weights(g: np.ndarray) -> Any:
        return kernel_set.conv2d_weight_grads(g, x, kernel.shape, *how)

    return kernel_set.conv2d(x, kernel, bias, *how), (vjp_x, *jointly(weights, 2))
