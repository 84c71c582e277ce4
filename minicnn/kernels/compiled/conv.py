"""Convolution, with the pooling and the ReLU that follow it done before the result leaves the cache.

The elements of a pool are the outputs of the convolution over which it takes the maximum. Windows are gathered in the
order of these elements: first the windows of the top left elements of all pools of a line, then those of the next
elements, and so on. The product has the same order, so the elements of one pool lie `n` outputs apart, and pooling is
an elementwise maximum of long rows for any number of filters. Outputs that no pool reads are not computed. A
convolution without pooling has pools of one element.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from minicnn.geometry import Geometry, Pair
from minicnn.kernels.compiled.gather import (
    element_windows,
    gather,
    gather_taps,
    lines_at_once,
    one_channel,
    planes_size,
)
from minicnn.kernels.compiled.loop import BLOCKED, NO_POOL, loop, multiply
from minicnn.kernels.cores import in_parallel


def conv2d(x: ndarray, kernel: ndarray, bias: ndarray | None, geometry: Geometry, groups: int) -> ndarray:
    """See `reference.conv2d`."""
    return conv2d_pool(x, kernel, bias, geometry, groups, NO_POOL, False)[0]


def conv2d_pool(
    x: ndarray, kernel: ndarray, bias: ndarray | None, geometry: Geometry, groups: int, pool: Pair, relu: bool
) -> tuple[ndarray, ndarray | None]:
    """See `numpy_blocked.conv2d_pool`."""
    x, kernel = np.ascontiguousarray(x), np.ascontiguousarray(kernel, x.dtype)
    p, q = geometry.out
    y = np.empty((len(x), p // pool[0], q // pool[1], kernel.shape[3]), x.dtype)
    bias = np.zeros(kernel.shape[3], x.dtype) if bias is None else np.ascontiguousarray(bias, x.dtype)
    pooled = relu or pool != NO_POOL
    argmax = np.empty(y.shape if pooled else (0, 0, 0, 0), np.uint8)
    work = y.size * pool[0] * pool[1] * kernel[..., 0].size
    convolve = _forward_one_channel if one_channel(kernel.shape, groups) else _forward
    in_parallel(convolve, len(x), work, x, kernel, bias, y, argmax, tuple(geometry), groups, pool, relu)
    return y, argmax if pooled else None


@loop
def _forward(first, last, x, kernel, bias, y, argmax, geometry, groups, pool_size, relu):
    kh, kw, c, filters = kernel.shape
    _, p, q, _ = y.shape
    k, taps, elements = filters // groups, kh * kw * c, pool_size[0] * pool_size[1]
    step = lines_at_once(taps, k, q * elements, (last - first) * p)
    patches = np.empty((step * q * elements, taps), x.dtype)
    product = np.empty((step * q * elements, k), x.dtype)
    results, flat_argmax = y.reshape(y.size), argmax.reshape(argmax.size)
    maxima, group_argmax = np.empty(step * q * k, x.dtype), np.empty(min(step * q * k, argmax.size), np.uint8)
    for group in range(groups):
        matrix = np.ascontiguousarray(kernel[:, :, :, group * k : (group + 1) * k]).reshape(taps, k)
        wide = _repeat(bias[group * k : (group + 1) * k], step * q)
        for start in range(first * p, last * p, step):
            stop = min(last * p, start + step)
            rows, offset = (stop - start) * q, start * q * filters
            for element in range(elements):
                windows = element_windows(geometry, pool_size, element)
                gather(x, start, stop, group * c, c, patches[element * rows : (element + 1) * rows], windows)
            multiply(patches[: rows * elements], matrix, product[: rows * elements])
            flat = product.reshape(product.size)
            if groups == 1:
                end = offset + rows * k
                _pool(flat, rows * k, elements, wide, results[offset:end], flat_argmax[offset:end], relu)
            else:
                _pool(flat, rows * k, elements, wide, maxima, group_argmax, relu)
                _put_columns(results, offset + group * k, filters, maxima, rows, k)
                if len(flat_argmax):
                    _put_columns(flat_argmax, offset + group * k, filters, group_argmax, rows, k)


@loop
def _forward_one_channel(first, last, x, kernel, bias, y, argmax, geometry, groups, pool_size, relu):
    # Tap by tap: rows of nine taps are too short to be copied fast.
    kh, kw, _, k = kernel.shape
    _, p, q, _ = y.shape
    taps, elements = kh * kw, pool_size[0] * pool_size[1]
    matrix = kernel.reshape(taps, k)
    step = lines_at_once(taps, k, q * elements, (last - first) * p)
    size = planes_size(step, geometry, pool_size)
    planes, gathered = np.empty(size, x.dtype), np.empty(step * q * elements * taps, x.dtype)
    product = np.empty((step * q * elements, k), x.dtype)
    results, flat_argmax, biases = y.reshape(y.size), argmax.reshape(argmax.size), _repeat(bias, step * q)
    for start in range(first * p, last * p, step):
        stop = min(last * p, start + step)
        rows, offset = (stop - start) * q, start * q * k
        patches = gathered[: taps * elements * rows].reshape(taps, elements * rows)
        gather_taps(x, start, stop, planes, patches, geometry, pool_size)
        multiply(patches.T, matrix, product[: rows * elements])
        flat = product.reshape(product.size)
        end = offset + rows * k
        _pool(flat, rows * k, elements, biases, results[offset:end], flat_argmax[offset:end], relu)


@loop
def _put_columns(target, offset, width, source, rows, k):
    for row in range(rows):
        for f in range(k):
            target[offset + row * width + f] = source[row * k + f]


@loop
def _repeat(row, times):
    wide = np.empty(times * len(row), row.dtype)
    for offset in range(0, len(wide), len(row)):
        for t in range(len(row)):
            wide[offset + t] = row[t]
    return wide


@loop
def _pool(product, n, elements, bias, maxima, argmax, relu):
    """Find for each of `n` pools the first maximum of its elements, which lie `n` apart, and its index."""
    n = np.uintp(n)
    for i in range(n):
        maxima[i] = product[i] + bias[i]
    if len(argmax) == 0:
        return
    for i in range(n):
        argmax[i] = 0
    for element in range(1, elements):
        offset, number = np.uintp(element) * n, np.uint8(element)
        for i in range(n):
            new, old = product[offset + i] + bias[i], maxima[i]
            better = new > old or (new != new and old == old)
            maxima[i] = new if better else old
            argmax[i] = number if better else argmax[i]
    if relu:
        for i in range(n):
            v = maxima[i]
            argmax[i] = argmax[i] if v > 0 else np.uint8(BLOCKED)
            maxima[i] = v if v > 0 or v != v else 0
