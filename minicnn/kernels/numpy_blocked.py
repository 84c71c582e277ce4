"""The kernels in NumPy, blocked for the cache and with pooling fused into convolution: the default without Numba.

`reference` defines what they compute. ReLU and the poolings are taken from there, because tap by tap is already fast.
A convolution gathers the windows of a few images at a time as the rows of a matrix (`_patches`), so that they are
still in cache when BLAS multiplies them.

`conv2d_pool` computes only the results that a pool reads, pool element by pool element, so that pooling is an
elementwise maximum of long rows. For the gradient it keeps which element of each pool was the maximum.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy import ndarray
from numpy.lib.stride_tricks import as_strided

from minicnn.geometry import Geometry, Pair, Shape
from minicnn.kernels import reference
from minicnn.kernels.arithmetic import product, scale, sum_rows, wide
from minicnn.kernels.names import KERNELS
from minicnn.kernels.reference import crop, neighbours, pad, padded_zeros, tap

__all__ = list(KERNELS)

adam_step, relu, relu_grad = reference.adam_step, reference.relu, reference.relu_grad
max_pool2d, max_pool2d_grad = reference.max_pool2d, reference.max_pool2d_grad
sum_pool2d, sum_pool2d_grad = reference.sum_pool2d, reference.sum_pool2d_grad

NO_POOL: Pair = (1, 1)
BLOCKED = 255
"""In place of an argmax: ReLU stops the gradient."""
AT_A_TIME = 2**14
"""Values interpolated at a time: their float64 arrays, 128 KB each, stay in cache."""
PIECE = 2**18
"""Elements of a gathered piece: about what stays in a core's second-level cache."""


def bilinear(images: ndarray, rows: ndarray, columns: ndarray) -> ndarray:
    """Value of each image at rows (N, P, 1 or Q) and columns (N, 1 or P, Q) of its own: (N, P, Q, C)."""
    y = np.empty((len(images), rows.shape[1], columns.shape[2], images.shape[3]), images.dtype)
    step = max(1, AT_A_TIME // max(1, math.prod(y.shape[1:])))
    for start in range(0, len(images), step):
        some = slice(start, start + step)
        y[some] = _bilinear(images[some], *(at[some] if len(at) > 1 else at for at in (rows, columns)))
    return y


def _bilinear(images: ndarray, rows: ndarray, columns: ndarray) -> ndarray:
    count, height, width, channels = images.shape
    padded, line = np.zeros((count, height + 4, width + 4, channels)), width + 4
    padded[:, 2:-2, 2:-2] = images
    (top, by_row), (left, by_column) = neighbours(rows, height), neighbours(columns, width)
    first = np.arange(count)[:, None, None] * ((height + 4) * line) + top * line + left
    pixels, y = padded.reshape(-1, channels), np.zeros((*first.shape, channels))
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        pixel = pixels.take(first + (i * line + j), axis=0)  # half the time of an index for each axis
        pixel *= by_row[i]
        pixel *= by_column[j]
        y += pixel
    return y


def conv2d(x: ndarray, kernel: ndarray, bias: ndarray | None, geometry: Geometry, groups: int) -> ndarray:
    """Cross-correlation: (N, H, W, C) with (kh, kw, C // groups, K) -> (N, P, Q, K)."""
    return conv2d_pool(x, kernel, bias, geometry, groups, NO_POOL, False)[0]


def conv2d_input_grad(g: ndarray, kernel: ndarray, x_shape: Shape, geometry: Geometry, groups: int) -> ndarray:
    """Gradient of the input, (N, H, W, C), from that of the result, (N, P, Q, K)."""
    return conv2d_pool_input_grad(g, None, kernel, x_shape, geometry, groups, NO_POOL)


def conv2d_weight_grads(
    g: ndarray, x: ndarray, kernel_shape: Shape, geometry: Geometry, groups: int
) -> tuple[ndarray, ndarray]:
    """Gradients of kernel and bias, (kh, kw, C // groups, K) and (K,), from that of the result."""
    return conv2d_pool_weight_grads(g, None, x, kernel_shape, geometry, groups, NO_POOL)


def conv2d_pool(
    x: ndarray, kernel: ndarray, bias: ndarray | None, geometry: Geometry, groups: int, pool: Pair, relu: bool
) -> tuple[ndarray, ndarray | None]:
    """Cross-correlation, maximum of non-overlapping pools, ReLU: the result (N, P, Q, K) and its argmax.

    The argmax is uint8, of the result's shape: the number of a pool's first maximum in row order, or BLOCKED where ReLU
    stops the gradient; None without pooling and ReLU.
    """
    kernel = np.asarray(kernel, x.dtype)
    p, q = (n // elements for n, elements in zip(geometry.out, pool, strict=True))
    maxima, argmax = (np.zeros((len(x), p, q, kernel.shape[3]), dtype) for dtype in (x.dtype, np.uint8))
    padded = pad(x, geometry, 0)
    for rows, channels, filters in _pieces(x, kernel, p * q * math.prod(pool), groups):
        patches = _patches(padded[rows, ..., channels], geometry, (p, q), pool)
        elements = product(patches, kernel[..., filters].reshape(patches.shape[1], -1))
        if bias is not None:
            elements.reshape(len(elements) // q, -1)[...] += np.tile(bias[filters], q)  # NumPy is fast along long rows
        part = (rows, ..., filters)
        _pool(elements.reshape(-1, *maxima[part].shape), maxima[part], argmax[part], relu)
    return maxima, argmax if relu or pool != NO_POOL else None


def conv2d_pool_input_grad(
    g: ndarray, argmax: ndarray | None, kernel: ndarray, x_shape: Shape, geometry: Geometry, groups: int, pool: Pair
) -> ndarray:
    """Gradient of the input, (N, H, W, C), from that of `conv2d_pool`, (N, P, Q, K)."""
    kernel = np.asarray(kernel, g.dtype)
    read = geometry._replace(out=(g.shape[1] * pool[0], g.shape[2] * pool[1]))
    dx = padded_zeros(x_shape, geometry, wide(g.dtype, math.prod(geometry.window)))
    for rows, channels, filters in _pieces(dx, kernel, math.prod(read.out), groups):
        part = _unpool(g, argmax, (rows, ..., filters), pool)
        elements = part.transpose(2, 3, 0, 4, 1, 5).reshape(-1, part.shape[5])  # from pool by pool to row by row
        back = np.ascontiguousarray(kernel[..., filters].transpose(0, 1, 3, 2))
        products = product(elements, back).reshape(*kernel.shape[:2], -1, *read.out, kernel.shape[2])
        for i, j in np.ndindex(geometry.window):
            tap(dx[rows, ..., channels], i, j, read)[...] += products[i, j]
    return crop(dx, geometry).astype(g.dtype, copy=False)


def conv2d_pool_weight_grads(
    g: ndarray, argmax: ndarray | None, x: ndarray, kernel_shape: Shape, geometry: Geometry, groups: int, pool: Pair
) -> tuple[ndarray, ndarray]:
    """Gradients of kernel and bias, (kh, kw, C // groups, K) and (K,), from that of `conv2d_pool`."""
    out = g.shape[1], g.shape[2]
    dk, db = np.zeros(kernel_shape), np.zeros(kernel_shape[3])
    padded = pad(np.asarray(x, g.dtype), geometry, 0)
    for rows, channels, filters in _pieces(x, dk, math.prod(out + pool), groups):
        patches = _patches(padded[rows, ..., channels], geometry, out, pool)
        elements = _unpool(g, argmax, (rows, ..., filters), pool).reshape(patches.shape[0], -1)
        dk[..., filters] += product(patches.T, elements).reshape(*kernel_shape[:3], -1)
        db[filters] += sum_rows(elements)
    return dk.astype(g.dtype, copy=False), db.astype(g.dtype, copy=False)


def _pool(elements: ndarray, maxima: ndarray, argmax: ndarray, relu: bool) -> None:
    """Write the maximum over `elements`, the first axis, and its index: the first of equal ones, or of NaN."""
    np.maximum.reduce(elements, axis=0, out=maxima)
    # The number of the first maximum is the number of elements before it, which are not maxima.
    lost = np.True_
    for element in elements[:-1]:
        lost &= (element != maxima) & ~np.isnan(element)
        argmax += lost
    if relu:
        argmax |= ~(maxima > 0) * np.uint8(BLOCKED)
        np.maximum(maxima, 0, out=maxima)


def _unpool(g: ndarray, argmax: ndarray | None, where: Any, pool_size: Pair) -> ndarray:
    """Return the gradient of each element of the pools, 0 if it was not the maximum: (rows, columns, N, P, Q, K)."""
    if argmax is None:
        return g[None, None, *where]
    numbers = np.arange(math.prod(pool_size), dtype=np.uint8).reshape(*pool_size, 1, 1, 1, 1)
    part: ndarray = scale(g[where], argmax[where] == numbers)
    return part


def _patches(x: ndarray, geometry: Geometry, out: Pair, pool_size: Pair) -> ndarray:
    """Gather the windows as the rows of a matrix: (pool rows * columns * N * P * Q, kh * kw * C)."""
    n, h, w, c = x.strides
    (sh, sw), (dh, dw), (ph, pw) = geometry.strides, geometry.dilation, pool_size
    taps = math.prod(geometry.window) * x.shape[3]
    elements = as_strided(
        x,
        (ph, pw, len(x), *out, *geometry.window, x.shape[3]),
        (h * sh, w * sw, n, h * sh * ph, w * sw * pw, h * dh, w * dw, c),
        writeable=False,
    )
    if x.shape[3] == 1:  # copied tap by tap: NumPy is fast along long rows, and those of a window are short
        return elements.transpose(5, 6, 7, 0, 1, 2, 3, 4).reshape(taps, -1).T
    return elements.reshape(-1, taps)


def _pieces(x: ndarray, kernel: ndarray, places: int, groups: int) -> Iterator[tuple[slice, slice, slice]]:
    """Yield slices of images, channels and filters whose gathered windows stay in cache."""
    kh, kw, c, k = kernel.shape
    step = max(1, PIECE // (places * kh * kw * c))
    for group in range(groups):
        channels, filters = (slice(group * width, (group + 1) * width) for width in (c, k // groups))
        for start in range(0, len(x), step):
            yield slice(start, min(start + step, len(x))), channels, filters
