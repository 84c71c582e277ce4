"""Convolution, with the pooling and the ReLU that follow it done before the result leaves the cache.

The elements of a pool are the outputs of the convolution over which it takes the maximum. Windows are listed in the
order of these elements: first those of the top left elements of all pools of some lines (a line: the pools of one row),
then those of the next elements, and so on. Their sums have the same order, so the elements of one pool lie `n` rows
apart, and pooling is an elementwise maximum of long rows for any number of filters. Outputs that no pool reads are not
computed. A convolution without pooling has pools of one element. Where windows have few taps and no argmax is asked
for, `pool_tile` takes the maxima before the sums are written. Where much of the products would be with padding,
`places` computes most images.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from minicnn.geometry import Geometry, Pair
from minicnn.kernels.compiled.loop import NO_POOL, contiguous, loop
from minicnn.kernels.compiled.places import convolve_places, whole_tiles
from minicnn.kernels.compiled.pool_tile import FEW, POOLS, pool_windows
from minicnn.kernels.compiled.results import SUMS, pool_sums, put_columns, repeated
from minicnn.kernels.compiled.tile import MOST, ROWS, multiply_windows, pack, panel_width
from minicnn.kernels.compiled.vectors import VECTOR
from minicnn.kernels.compiled.windows import FRAMES, find_windows, frame, framed_images, window_runs
from minicnn.kernels.cores import in_parallel


def conv2d(x: ndarray, kernel: ndarray, bias: ndarray | None, geometry: Geometry, groups: int) -> ndarray:
    """See `reference.conv2d`."""
    return conv2d_pool(x, kernel, bias, geometry, groups, NO_POOL, False)[0]


def conv2d_pool(
    x: ndarray, kernel: ndarray, bias: ndarray | None, geometry: Geometry, groups: int, pool: Pair, relu: bool
) -> tuple[ndarray, ndarray | None]:
    """See `numpy_blocked.conv2d_pool`."""
    x, kernel = contiguous(x), contiguous(kernel, x.dtype)
    p, q = geometry.out
    y = np.empty((len(x), p // pool[0], q // pool[1], kernel.shape[3]), x.dtype)
    bias = np.zeros(kernel.shape[3], x.dtype) if bias is None else contiguous(bias, x.dtype)
    pooled = relu or pool != NO_POOL
    argmax = np.empty(y.shape if pooled else (0, 0, 0, 0), np.uint8)
    work = y.size * pool[0] * pool[1] * kernel[..., 0].size
    in_parallel(_forward, len(x), work, x, kernel, bias, y, argmax, tuple(geometry), groups, pool, relu)
    return y, argmax if pooled else None


@loop
def _forward(first, last, x, kernel, bias, y, argmax, geometry, groups, pool_size, relu):
    convolve(first, last, x, pack(kernel, groups), bias, y, argmax, geometry, groups, pool_size, relu)


@loop
def convolve(first, last, x, panels, bias, y, argmax, geometry, groups, pool_size, relu):
    """Write the results for some images, and where `argmax` has elements, which element of its pool each result is."""
    whole = first + whole_tiles(last - first, x, panels, y, geometry, groups, pool_size)
    if whole > first:
        convolve_places(first, whole, x, panels, bias, y, argmax, geometry, pool_size, relu)
        first = whole
    if first == last:
        return
    depth = x.shape[3]
    _, p, q, filters = y.shape
    across, size, framed = frame(x.shape, geometry)
    at_once = max(1, min(last - first, FRAMES // size)) if framed else last - first
    frames = np.zeros(at_once * size if framed else 0, x.dtype)
    runs, length = window_runs(geometry, depth // groups, depth, across)
    wide, elements = panel_width(filters // groups, x.itemsize), pool_size[0] * pool_size[1]
    lines = max(1, min(at_once * p, SUMS // (q * elements * wide)))
    places = np.zeros(lines * q * elements + max(ROWS), np.int64)
    sums, maxima = np.empty(len(places) * wide, x.dtype), np.empty((lines * q + max(POOLS)) * wide, x.dtype)
    indices = np.empty(len(maxima) if argmax.size else 0, np.uint8)
    few = elements > 1 and len(argmax) == 0 and len(runs) * length <= FEW
    for value in bias:
        few = few and np.isfinite(value)  # the maximum of infinite sums plus a bias may be NaN, in each or in none
    bias_rows = 1 if few else lines * q
    biases = repeated(bias, groups, bias_rows)
    for image in range(first, last, at_once):
        images = min(at_once, last - image)
        pixels = framed_images(x, image, images, frames, geometry)
        for start in range(0, images * p, lines):
            stop = min(images * p, start + lines)
            find_windows(places, start, stop, geometry, pool_size, (p, q), size, across * depth, depth)
            windows, offset = (pixels, places, runs, length, panels), (image * p + start) * q * filters
            pools = ((stop - start) * q, elements, biases, bias_rows, relu, few)
            _results(windows, pools, groups, filters, sums, maxima, indices, y, argmax, offset)


@loop
def _results(windows, pools, groups, filters, sums, maxima, indices, y, argmax, offset):
    """Write the results of some pools, panel by panel, from `offset` on."""
    pixels, places, runs, length, panels = windows
    n, elements, biases, bias_rows, relu, few = pools
    results, results_argmax = y.reshape(y.size), argmax.reshape(argmax.size)
    k, lanes, panel, biases_read = filters // groups, VECTOR // y.itemsize, 0, 0
    for group in range(groups):
        channels = pixels[group * length :] if groups > 1 else pixels
        for block in range(0, k, MOST * lanes):
            found = min(MOST * lanes, k - block)
            width = -(-found // lanes) * lanes
            first, bias, column = panel, biases[biases_read:], offset + group * k + block
            panel += len(runs) * length * width
            biases_read += bias_rows * width
            if few:
                least, whole = y.dtype.type(0 if relu else -np.inf), k == filters == width and n >= max(POOLS)
                target, size = results[offset:] if whole else maxima, (n, elements)
                pool_windows(channels, places, size, runs, length, panels, first, width // lanes, bias, least, target)
                if not whole:
                    put_columns(results, column, filters, maxima, n, width, found)
                continue
            taps = (length, 1, length)
            multiply_windows(channels, places, n * elements, runs, taps, panels, first, width // lanes, sums)
            if k == filters == width:
                end = offset + n * filters
                pool_sums(sums, n * width, elements, bias, results[offset:end], results_argmax[offset:end], relu)
                continue
            pool_sums(sums, n * width, elements, bias, maxima, indices, relu)
            put_columns(results, column, filters, maxima, n, width, found)
            if len(results_argmax):
                put_columns(results_argmax, column, filters, indices, n, width, found)
