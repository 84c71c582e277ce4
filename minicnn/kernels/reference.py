"""The specification of the kernels, in readable NumPy.

Images are (N, H, W, C), convolution kernels (kh, kw, C // groups, K). A `Geometry` says how the windows lie on the
padded images: the callers have checked it, the kernels do not. The arrays of one call have one dtype, as the ops see
to; a kernel converts others to that of its first argument, which is that of the result. Arguments are never written to.

Pooling works tap by tap: `_tap(x, i, j)` is, for all windows at once, the cell under tap (i, j), a strided view of
the padded image. Reading forward and writing backward go through the same views. Convolution gathers the windows of
a few images at a time as the rows of a matrix (`_patches`), so that they are still in cache when BLAS multiplies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minicnn.geometry import Geometry, Pair
from minicnn.kernels.arrays import comparable, scale
from minicnn.kernels.sums import sum_rows, wide

NO_POOL: Pair = (1, 1)
DEAD = 255
"""In place of a winner: ReLU stops the gradient."""
PIECE = 2**18
"""Numbers that a gathered piece may hold: about what stays in a core's second-level cache."""


def conv2d(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, geometry: Geometry, groups: int) -> np.ndarray:
    """Cross-correlate: (N, H, W, C) with (kh, kw, C // groups, K) -> (N, P, Q, K)."""
    return conv2d_pool(x, kernel, bias, geometry, groups, NO_POOL, False)[0]


def conv2d_input_grad(
    g: np.ndarray, kernel: np.ndarray, x_shape: tuple[int, ...], geometry: Geometry, groups: int
) -> np.ndarray:
    """Send the gradient of the result (N, P, Q, K) back to the input: (N, H, W, C)."""
    return conv2d_pool_input_grad(g, None, kernel, x_shape, geometry, groups, NO_POOL)


def conv2d_weight_grads(
    g: np.ndarray, x: np.ndarray, kernel_shape: tuple[int, ...], geometry: Geometry, groups: int
) -> tuple[np.ndarray, np.ndarray]:
    """Send the gradient of the result back to kernel and bias: (kh, kw, C // groups, K) and (K,)."""
    return conv2d_pool_weight_grads(g, None, x, kernel_shape, geometry, groups, NO_POOL)


def conv2d_pool(
    x: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None,
    geometry: Geometry,
    groups: int,
    pool_size: Pair,
    relu: bool,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Cross-correlate, take the maximum over pools side by side, and ReLU: the result and who won.

    Winners are uint8, of the result's shape: the number of a pool's first maximum in row order, or DEAD where ReLU
    stops the gradient; None without pooling and ReLU, where there is nothing to win.
    """
    kernel = np.asarray(kernel, x.dtype)
    p, q = (n // cells for n, cells in zip(geometry.out, pool_size, strict=True))
    best, winners = (np.zeros((len(x), p, q, kernel.shape[3]), dtype) for dtype in (x.dtype, np.uint8))
    padded = _pad(x, geometry, 0)
    for rows, channels, filters in _pieces(x, kernel, p * q * math.prod(pool_size), groups):
        patches = _patches(padded[rows, ..., channels], geometry, (p, q), pool_size)
        cells = patches @ kernel[..., filters].reshape(patches.shape[1], -1)
        if bias is not None:
            cells.reshape(len(cells) // q, -1)[...] += np.tile(bias[filters], q)  # NumPy is fast along long rows
        here = (rows, ..., filters)
        _win(cells.reshape(-1, *best[here].shape), best[here], winners[here], relu)
    return best, winners if relu or pool_size != NO_POOL else None


def conv2d_pool_input_grad(
    g: np.ndarray,
    winners: np.ndarray | None,
    kernel: np.ndarray,
    x_shape: tuple[int, ...],
    geometry: Geometry,
    groups: int,
    pool_size: Pair,
) -> np.ndarray:
    """Send the gradient of `conv2d_pool` (N, P, Q, K) back to the input: (N, H, W, C)."""
    kernel = np.asarray(kernel, g.dtype)
    read = geometry._replace(out=(g.shape[1] * pool_size[0], g.shape[2] * pool_size[1]))
    dx = _padded_zeros(x_shape, geometry, g.dtype)
    for rows, channels, filters in _pieces(dx, kernel, math.prod(read.out), groups):
        part = _spread(g, winners, (rows, ..., filters), pool_size)
        cells = part.transpose(2, 3, 0, 4, 1, 5).reshape(-1, part.shape[5])  # from pool by pool to row by row
        back = np.ascontiguousarray(kernel[..., filters].transpose(0, 1, 3, 2))
        shares = (cells @ back).reshape(*kernel.shape[:2], -1, *read.out, kernel.shape[2])
        for i, j in np.ndindex(geometry.window):
            _tap(dx[rows, ..., channels], i, j, read)[...] += shares[i, j]
    return _crop(dx, geometry)


def conv2d_pool_weight_grads(
    g: np.ndarray,
    winners: np.ndarray | None,
    x: np.ndarray,
    kernel_shape: tuple[int, ...],
    geometry: Geometry,
    groups: int,
    pool_size: Pair,
) -> tuple[np.ndarray, np.ndarray]:
    """Send the gradient of `conv2d_pool` back to kernel and bias: (kh, kw, C // groups, K) and (K,)."""
    out = g.shape[1], g.shape[2]
    dk, db = np.zeros(kernel_shape, g.dtype), np.zeros(kernel_shape[3])
    padded = _pad(np.asarray(x, g.dtype), geometry, 0)
    for rows, channels, filters in _pieces(x, dk, math.prod(out + pool_size), groups):
        patches = _patches(padded[rows, ..., channels], geometry, out, pool_size)
        cells = _spread(g, winners, (rows, ..., filters), pool_size).reshape(patches.shape[0], -1)
        dk[..., filters] += (patches.T @ cells).reshape(*kernel_shape[:3], -1)
        db[filters] += sum_rows(cells)
    return dk, db.astype(g.dtype)


def relu(x: np.ndarray) -> np.ndarray:
    """Replace what is negative by 0, in any shape; NaN stays."""
    return np.asarray(np.maximum(x, 0))


def relu_grad(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Let the gradient through where the result is positive."""
    return np.asarray(scale(g, y > 0))


def max_pool2d(x: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Take the maximum of each window; pads never win, NaN does: (N, H, W, C) -> (N, P, Q, C)."""
    y = np.full((len(x), *geometry.out, x.shape[3]), -np.inf, x.dtype)
    padded = _pad(x, geometry, -np.inf)
    for i, j in np.ndindex(geometry.window):
        np.maximum(y, _tap(padded, i, j, geometry), out=y)
    return y


def max_pool2d_grad(
    g: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    geometry: Geometry,
    split: bool,
) -> np.ndarray:
    """Send the gradient of each maximum to the first cell in row order that holds it, or split it over all."""
    x, y = comparable(x, y, g.dtype)
    padded, dx = _pad(x, geometry, 0), _padded_zeros(x.shape, geometry, g.dtype)
    winners = list(_winners(padded, y, _real(x.shape, geometry), geometry))
    share = g / np.maximum(sum(w.astype(g.dtype) for w in winners), 1) if split else g
    free = np.ones(y.shape, bool)
    for (i, j), wins in zip(np.ndindex(geometry.window), winners, strict=True):
        _tap(dx, i, j, geometry)[...] += scale(share, wins & free)
        if not split:
            free &= ~wins
    return _crop(dx, geometry)


def max_pool2d_indices(x: np.ndarray, y: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Tell where each maximum was first found: row * W + column in the image, -1 for a window of pads only."""
    (top, _), (left, _) = geometry.pads
    where = np.full(y.shape, -1)
    rows, cols = (np.arange(out) * s for out, s in zip(geometry.out, geometry.strides, strict=True))
    winners = _winners(_pad(x, geometry, 0), y, _real(x.shape, geometry), geometry)
    for (i, j), wins in zip(np.ndindex(geometry.window), winners, strict=True):
        cell = (rows[:, None] + i * geometry.dilation[0] - top) * x.shape[2] + cols + j * geometry.dilation[1] - left
        where = np.where(wins & (where < 0), cell[None, :, :, None], where)
    return where


def sum_pool2d(x: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Add up each window, in float64 if it is large: (N, H, W, C) -> (N, P, Q, C)."""
    y = np.zeros((len(x), *geometry.out, x.shape[3]), wide(x.dtype, math.prod(geometry.window)))
    padded = _pad(x, geometry, 0)
    for i, j in np.ndindex(geometry.window):
        y += _tap(padded, i, j, geometry)
    return y.astype(x.dtype, copy=False)


def sum_pool2d_grad(g: np.ndarray, x_shape: tuple[int, ...], geometry: Geometry) -> np.ndarray:
    """Send the gradient of each sum to every cell of its window; those of many windows add up in float64."""
    dx = _padded_zeros(x_shape, geometry, wide(g.dtype, math.prod(map(min, geometry.window, geometry.out))))
    for i, j in np.ndindex(geometry.window):
        _tap(dx, i, j, geometry)[...] += g
    return _crop(dx, geometry).astype(g.dtype, copy=False)


def _win(cells: np.ndarray, best: np.ndarray, winners: np.ndarray, relu: bool) -> None:
    """Write each pool's maximum over `cells`, and who won: of equals the first, and the first NaN before all."""
    np.maximum.reduce(cells, axis=0, out=best)
    lost = np.True_
    for cell in cells[:-1]:
        lost &= (cell != best) & ~np.isnan(cell)
        winners += lost
    if relu:
        winners |= ~(best > 0) * np.uint8(DEAD)
        np.maximum(best, 0, out=best)


def _spread(g: np.ndarray, winners: np.ndarray | None, where: Any, pool_size: Pair) -> np.ndarray:
    """Return the gradient of every cell of each pool, 0 where another won: (pool rows, columns, N, P, Q, K)."""
    if winners is None:
        return g[None, None, *where]
    numbers = np.arange(math.prod(pool_size), dtype=np.uint8).reshape(*pool_size, 1, 1, 1, 1)
    part: np.ndarray = scale(g[where], winners[where] == numbers)
    return part


def _winners(padded: np.ndarray, y: np.ndarray, real: np.ndarray, geometry: Geometry) -> Iterator[np.ndarray]:
    """Yield, tap by tap, which windows hold their maximum there. A NaN only equals a NaN."""
    for i, j in np.ndindex(geometry.window):
        cell = _tap(padded, i, j, geometry)
        yield ((cell == y) | np.isnan(cell)) & _tap(real, i, j, geometry)


def _tap(x: np.ndarray, i: int, j: int, geometry: Geometry) -> np.ndarray:
    """View, for every window, the pixel under tap (i, j): (N, P, Q, C)."""
    (sh, sw), (dh, dw), (p, q) = geometry.strides, geometry.dilation, geometry.out
    top, left = i * dh, j * dw
    return x[:, top : top + (p - 1) * sh + 1 : sh, left : left + (q - 1) * sw + 1 : sw]


def _patches(x: np.ndarray, geometry: Geometry, out: Pair, pool_size: Pair) -> np.ndarray:
    """Gather the windows as the rows of a matrix: (pool rows * columns * N * P * Q, kh * kw * C)."""
    n, h, w, c = x.strides
    (sh, sw), (dh, dw), (ph, pw) = geometry.strides, geometry.dilation, pool_size
    taps = math.prod(geometry.window) * x.shape[3]
    cells = as_strided(
        x,
        (ph, pw, len(x), *out, *geometry.window, x.shape[3]),
        (h * sh, w * sw, n, h * sh * ph, w * sw * pw, h * dh, w * dw, c),
        writeable=False,
    )
    if x.shape[3] == 1:  # copied tap by tap: NumPy is fast along long rows, and a window's have a few numbers only
        return cells.transpose(5, 6, 7, 0, 1, 2, 3, 4).reshape(taps, -1).T
    return cells.reshape(-1, taps)


def _pieces(x: np.ndarray, kernel: np.ndarray, places: int, groups: int) -> Iterator[tuple[slice, slice, slice]]:
    """Yield slices of images, channels and filters whose gathered windows stay in cache."""
    kh, kw, c, k = kernel.shape
    step = max(1, PIECE // (places * kh * kw * c))
    for group in range(groups):
        channels, filters = (slice(group * width, (group + 1) * width) for width in (c, k // groups))
        for start in range(0, len(x), step):
            yield slice(start, min(start + step, len(x))), channels, filters


def _pad(x: np.ndarray, geometry: Geometry, value: float) -> np.ndarray:
    (top, bottom), (left, right) = geometry.pads
    if not (top or bottom or left or right):
        return x
    n, h, w, c = x.shape
    padded = np.full((n, h + top + bottom, w + left + right, c), value, x.dtype)
    padded[:, top : top + h, left : left + w] = x
    return padded


def _padded_zeros(x_shape: tuple[int, ...], geometry: Geometry, dtype: np.dtype) -> np.ndarray:
    (n, h, w, c), (rows, columns) = x_shape, geometry.pads
    return np.zeros((n, h + sum(rows), w + sum(columns), c), dtype)


def _real(x_shape: tuple[int, ...], geometry: Geometry) -> np.ndarray:
    return _pad(np.ones((1, *x_shape[1:3], 1), bool), geometry, 0)


def _crop(padded: np.ndarray, geometry: Geometry) -> np.ndarray:
    (top, bottom), (left, right) = geometry.pads
    return padded[:, top : padded.shape[1] - bottom, left : padded.shape[2] - right]
