"""The definition of the kernels, in plain NumPy, written to be read.

Images are (N, H, W, C) and convolution kernels (kh, kw, C // groups, K). A `Geometry` says how the windows lie on the
padded images: the callers have checked it, the kernels do not. The arrays of one call have one dtype, which the ops
ensure; otherwise the result has that of the first argument. Arguments are never written to.

Everything is computed tap by tap. A tap is one element (i, j) of the window, and `tap(padded, i, j, geometry)` is a
view of the padded images that holds, for all windows at once, the pixel under that tap. Forward passes read these
views and backward passes add to the same views: a pixel that several windows read collects a gradient from each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy import ndarray

from minicnn.geometry import Geometry, Shape
from minicnn.kernels.arithmetic import add_up, comparable, product, scale, wide

__all__ = [
    "adam_step",
    "bilinear",
    "conv2d",
    "conv2d_input_grad",
    "conv2d_weight_grads",
    "max_pool2d",
    "max_pool2d_grad",
    "max_pool2d_indices",
    "relu",
    "relu_grad",
    "sum_pool2d",
    "sum_pool2d_grad",
]


def conv2d(x: ndarray, kernel: ndarray, bias: ndarray | None, geometry: Geometry, groups: int) -> ndarray:
    """y[n, p, q, k] = bias[k] + sum over i, j, c of x[n, p * s + i * d, q * s + j * d, c] * kernel[i, j, c, k]."""
    padded = pad(x, geometry, 0)
    y = np.zeros((len(x), *geometry.out, kernel.shape[3]), wide(x.dtype, math.prod(geometry.window)))
    parts = _groups(kernel.shape, groups)
    for i, j in np.ndindex(geometry.window):
        pixels = tap(padded, i, j, geometry)
        for channels, filters in parts:
            y[..., filters] += product(pixels[..., channels], kernel[i, j, :, filters])
    return (y if bias is None else y + bias).astype(x.dtype, copy=False)


def conv2d_input_grad(g: ndarray, kernel: ndarray, x_shape: Shape, geometry: Geometry, groups: int) -> ndarray:
    """Each pixel gets, from every window that reads it, that window's gradient times the kernel element at its tap."""
    dx = padded_zeros(x_shape, geometry, wide(g.dtype, math.prod(geometry.window)))
    parts = _groups(kernel.shape, groups)
    for i, j in np.ndindex(geometry.window):
        pixels = tap(dx, i, j, geometry)
        for channels, filters in parts:
            pixels[..., channels] += product(g[..., filters], kernel[i, j, :, filters].T)
    return crop(dx, geometry).astype(g.dtype, copy=False)


def conv2d_weight_grads(
    g: ndarray, x: ndarray, kernel_shape: Shape, geometry: Geometry, groups: int
) -> tuple[ndarray, ndarray]:
    """Each kernel element gets the sum over all windows of the pixel at its tap times g; the bias gets the sum of g."""
    padded = pad(x, geometry, 0)
    dk = np.zeros(kernel_shape, g.dtype)
    # A sum over all windows of the batch is long: see `arithmetic`.
    terms = np.asarray(g, wide(g.dtype, len(g) * math.prod(geometry.out)))
    windows = ([0, 1, 2], [0, 1, 2])  # the axes N, P, Q of both factors
    parts = _groups(kernel_shape, groups)
    for i, j in np.ndindex(geometry.window):
        pixels = tap(padded, i, j, geometry)
        for channels, filters in parts:
            dk[i, j, :, filters] = np.tensordot(pixels[..., channels], terms[..., filters], axes=windows)
    return dk, add_up(g, (0, 1, 2))


def relu(x: ndarray) -> ndarray:
    """max(x, 0), for arrays of any shape; NaN stays NaN."""
    return np.asarray(np.maximum(x, 0))


def relu_grad(g: ndarray, y: ndarray) -> ndarray:
    """Pass the gradient on where the result is positive."""
    return np.asarray(scale(g, y > 0))


def max_pool2d(x: ndarray, geometry: Geometry) -> ndarray:
    """Maximum of each window: (N, H, W, C) -> (N, P, Q, C). Padding (-inf here) is never the maximum, NaN always is."""
    padded = pad(x, geometry, -np.inf)
    y = np.full((len(x), *geometry.out, x.shape[3]), -np.inf, x.dtype)
    for i, j in np.ndindex(geometry.window):
        np.maximum(y, tap(padded, i, j, geometry), out=y)
    return y


def max_pool2d_grad(g: ndarray, x: ndarray, y: ndarray, geometry: Geometry, split: bool) -> ndarray:
    """The first maximum of each window in row order gets the gradient, or with `split` all maxima equal parts."""
    x, y = comparable(x, y, g.dtype)
    dx = padded_zeros(x.shape, geometry, _gradient_dtype(g.dtype, geometry))
    taps = list(_maxima(x, y, geometry))
    # A window of padding only has no maximum: its gradient goes nowhere, but the divisor must not be 0.
    part = g / np.maximum(sum(is_maximum.astype(g.dtype) for _, is_maximum in taps), 1) if split else g
    free = np.ones(y.shape, bool)  # windows whose maximum has not been found yet
    for (i, j), is_maximum in taps:
        tap(dx, i, j, geometry)[...] += scale(part, is_maximum & free)
        if not split:
            free &= ~is_maximum
    return crop(dx, geometry).astype(g.dtype, copy=False)


def max_pool2d_indices(x: ndarray, y: ndarray, geometry: Geometry) -> ndarray:
    """Return row * W + column of the first maximum of each window, -1 for a window that holds only padding."""
    (top, _), (left, _) = geometry.pads
    rows, columns = (np.arange(n) * s for n, s in zip(geometry.out, geometry.strides, strict=True))
    found = np.full(y.shape, -1)
    for (i, j), is_maximum in _maxima(x, y, geometry):
        row, column = rows + i * geometry.dilation[0] - top, columns + j * geometry.dilation[1] - left
        index = row[:, None, None] * x.shape[2] + column[:, None]
        found = np.where(is_maximum & (found < 0), index, found)
    return found


def sum_pool2d(x: ndarray, geometry: Geometry) -> ndarray:
    """Sum of each window: (N, H, W, C) -> (N, P, Q, C). Padding is 0."""
    padded = pad(x, geometry, 0)
    y = np.zeros((len(x), *geometry.out, x.shape[3]), wide(x.dtype, math.prod(geometry.window)))
    for i, j in np.ndindex(geometry.window):
        y += tap(padded, i, j, geometry)
    return y.astype(x.dtype, copy=False)


def sum_pool2d_grad(g: ndarray, x_shape: Shape, geometry: Geometry) -> ndarray:
    """Each pixel gets the gradient of every window that reads it."""
    dx = padded_zeros(x_shape, geometry, _gradient_dtype(g.dtype, geometry))
    for i, j in np.ndindex(geometry.window):
        tap(dx, i, j, geometry)[...] += g
    return crop(dx, geometry).astype(g.dtype, copy=False)


def bilinear(images: ndarray, rows: ndarray, columns: ndarray) -> ndarray:
    """Value of each image at rows (N, P, 1 or Q) and columns (N, 1 or P, Q) of its own: (N, P, Q, C). 0 outside.

    Coordinates of one image, (1, ...), are those of all; at NaN the value is NaN. The operations are those of SciPy's
    ``map_coordinates(order=1, mode="grid-constant")``, in float64 and in the same order, which makes the same bits.
    """
    count, height, width, channels = images.shape
    # With a margin of two pixels all four neighbours of a point exist, however far outside it lies.
    padded = np.zeros((count, height + 4, width + 4, channels))
    padded[:, 2:-2, 2:-2] = images
    (top, by_row), (left, by_column) = neighbours(rows, height), neighbours(columns, width)
    n, y = np.arange(count)[:, None, None], np.zeros((count, rows.shape[1], columns.shape[2], channels))
    for i, j in np.ndindex(2, 2):
        y += padded[n, top + i, left + j] * by_row[i] * by_column[j]
    return y.astype(images.dtype, copy=False)


def neighbours(points: ndarray, size: int) -> tuple[ndarray, tuple[ndarray, ndarray]]:
    """Return the padded image's pixel before each point along one axis, and the weights of that and the next one."""
    points = np.clip(np.asarray(points, np.float64), -2, size)
    before = np.floor(np.fmax(points, -2))  # NaN has no pixel, but makes the weights NaN
    weight = (1 - (points - before))[..., None]
    return before.astype(np.intp) + 2, (weight, 1 - weight)


def tap(padded: ndarray, i: int, j: int, geometry: Geometry) -> ndarray:
    """View, for every window, the pixel under tap (i, j): (N, P, Q, C)."""
    (sh, sw), (dh, dw), (p, q) = geometry.strides, geometry.dilation, geometry.out
    top, left = i * dh, j * dw
    return padded[:, top : top + (p - 1) * sh + 1 : sh, left : left + (q - 1) * sw + 1 : sw]


def pad(x: ndarray, geometry: Geometry, value: float) -> ndarray:
    """Return the images with their padding, or the images themselves if there is none."""
    (top, bottom), (left, right) = geometry.pads
    if not (top or bottom or left or right):
        return x
    n, h, w, c = x.shape
    # np.pad does the same and takes several times as long for small images.
    padded = np.full((n, h + top + bottom, w + left + right, c), value, x.dtype)
    padded[:, top : top + h, left : left + w] = x
    return padded


def padded_zeros(x_shape: Shape, geometry: Geometry, dtype: np.dtype) -> ndarray:
    """Return zeros to which the gradients of the padded images are added; `crop` removes the padding in the end."""
    (n, h, w, c), (rows, columns) = x_shape, geometry.pads
    return np.zeros((n, h + sum(rows), w + sum(columns), c), dtype)


def crop(padded: ndarray, geometry: Geometry) -> ndarray:
    """Return the images without their padding."""
    (top, bottom), (left, right) = geometry.pads
    return padded[:, top : padded.shape[1] - bottom, left : padded.shape[2] - right]


def _gradient_dtype(dtype: np.dtype, geometry: Geometry) -> np.dtype:
    """Return the dtype in which to add up the gradients that a pixel gets from its windows."""
    # At most as many windows read a pixel as a window has taps, and as there are windows.
    return wide(dtype, math.prod(map(min, geometry.window, geometry.out)))


def _groups(kernel_shape: Shape, groups: int) -> list[tuple[slice, slice]]:
    """Return the channels that each group of filters reads, and those filters."""
    channels, filters = kernel_shape[2], kernel_shape[3] // groups
    return [(slice(n * channels, (n + 1) * channels), slice(n * filters, (n + 1) * filters)) for n in range(groups)]


def _maxima(x: ndarray, y: ndarray, geometry: Geometry) -> Iterator[tuple[tuple[int, int], ndarray]]:
    """Yield each tap with the windows (N, P, Q, C) whose maximum it holds; every NaN in a window counts as one."""
    padded = pad(x, geometry, 0)
    # An element of -inf can be the maximum and padding cannot, so their values do not tell them apart.
    inside = pad(np.ones((1, *x.shape[1:3], 1), bool), geometry, False)
    for i, j in np.ndindex(geometry.window):
        pixel = tap(padded, i, j, geometry)
        yield (i, j), ((pixel == y) | np.isnan(pixel)) & tap(inside, i, j, geometry)


def adam_step(
    w: ndarray,
    g: ndarray,
    mean: ndarray,
    square: ndarray,
    betas: tuple[float, float],
    corrections: tuple[float, float],
    epsilon: float,
    rate: float,
    decay: float,
) -> tuple[ndarray, ndarray, ndarray]:
    """Return a parameter after a step of Adam with the gradient g, and the running averages of g and of its square.

    `corrections` are the divisors of the mean and of the root of the mean square, which correct for their start at 0.
    """
    mean = betas[0] * mean + (1 - betas[0]) * g
    square = betas[1] * square + (1 - betas[1]) * g * g
    direction = mean / corrections[0] / (np.sqrt(square) / corrections[1] + epsilon)
    if decay:
        direction = direction + decay * w
    new, mean, square = (a.astype(w.dtype, copy=False) for a in (direction * -rate + w, mean, square))
    return new, mean, square
