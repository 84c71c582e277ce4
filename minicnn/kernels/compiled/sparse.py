"""Gradients of a convolution under a max pooling, as sums over the entries of a sparse matrix.

Of the outputs in a pool one had the maximum, and it alone has a gradient; ReLU blocks even that where the maximum is
not positive. So for each filter there is a list of entries: a gradient, and the place where the window of that output
begins in the images. The gradient of the filter is the sum of these windows, each times its gradient; the gradient of
the pixels is the filter, times each gradient, added at its place. For 2x2 pools this takes a quarter of the
multiplications of a product with all outputs, or less. Where a global maximum follows, nearly all gradients are 0.

All images are copied into frames, also those without padding: the frames of a block stay in a core's nearest cache.

What has no gradient is left out. As 0 times infinity is not 0, this is right for finite numbers only: for others
`conv_grads` takes all elements.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from minicnn.geometry import Geometry, Pair, Shape
from minicnn.kernels.arithmetic import PIECE_TERMS, RUN, TERMS
from minicnn.kernels.compiled.entries import add_filter, sum_windows
from minicnn.kernels.compiled.lists import find_entries, list_entries, list_room
from minicnn.kernels.compiled.loop import BLOCKED, copy, fill, is_finite, loop
from minicnn.kernels.compiled.sums import accumulators, bias_grads, move, together
from minicnn.kernels.compiled.vectors import VECTOR
from minicnn.kernels.compiled.windows import find_windows, frame, framed_images, framed_row, tap_runs, window_runs

PIXELS = 2**13
"""Elements of images at a time: 32 KB in float32, as much as a core's nearest cache holds."""

FEWEST = 0.02
"""Where entries pay only below this share of pools with a gradient, the pools are not counted."""
LESS = 0.6
"""After counting, entries are used when their estimated time is below this fraction of the product's."""
SAMPLE = 2**14
"""Elements of the gradient, in whole images, from which the share is estimated."""


def is_shorter(
    g: ndarray, argmax: ndarray, kernel_shape: Shape, geometry: Geometry, groups: int, pool: Pair, vector: int
) -> bool:
    """Tell whether sums over entries take less time than a product with all elements of the pools.

    `vector` is what a vector of taps takes, as a multiple of what it takes in a product.
    """
    kh, kw, c, filters = kernel_shape
    k, lanes = filters // groups, VECTOR // g.itemsize
    runs, length = tap_runs.py_func(geometry.window, geometry.dilation, c, c * groups)
    product = pool[0] * pool[1] * kh * kw * c * -(-k // lanes)
    # The share of pools with a gradient up to which entries pay. Making a list takes about eight vectors per pool.
    most = (product - 8 * k) / (vector * k * kh * runs * -(-length // lanes))
    # A pixel is in up to kh * kw windows of each filter: more terms would lose digits.
    if kh * kw > RUN or k * kh * kw > PIECE_TERMS or most < FEWEST:
        return False
    if most >= 1:
        return True
    step = -(-g.size // SAMPLE)
    return bool(_share(g, argmax, step) < LESS * most)


@loop
def _share(g, argmax, step):
    """Return the share of pools that have a gradient, in each `step`-th image."""
    length, found = g.shape[1] * g.shape[2] * g.shape[3], 0
    values, indices = g.reshape(g.size), argmax.reshape(argmax.size)
    for image in range(0, len(g), step):
        start = np.uintp(image * length)
        if len(indices):
            for i in range(start, start + np.uintp(length)):
                found += (values[i] != 0) & (indices[i] != BLOCKED)
        else:
            for i in range(start, start + np.uintp(length)):
                found += values[i] != 0
    return found / (-(-len(g) // step) * length)


@loop
def sparse_weight_grads(first, last, g, argmax, x, shape, geometry, groups, pool_size):
    """Return the gradient of kernel and bias as the rows of one matrix, the bias last; no rows unless `x` is finite."""
    c, filters = shape[2:]
    _, p, q, _ = g.shape
    (size, at_once, pools), (runs, length, step), (begins, steps) = _layout(g, x, c, geometry, pool_size, last - first)
    frames, places, gradients = np.zeros(at_once * size, x.dtype), np.empty(pools, np.int64), np.empty(pools, g.dtype)
    room, values, elements = list_room(pools, filters), g.reshape(g.size), argmax.reshape(argmax.size)
    sums, total = accumulators(filters * len(runs) * step, (last - first) * p * q > TERMS, g.dtype)
    terms = 0
    for image in range(first, last, at_once):
        images = min(at_once, last - image)
        pixels = framed_images(x, image, images, frames, geometry)
        if not is_finite(pixels):
            return np.empty((0, filters), g.dtype)
        for start in range(0, images * p * q, pools):
            found = begins[start : min(images * p * q, start + pools)]
            pool = image * p * q + start
            find_entries(g, argmax, pool, len(found), room)
            for f in range(filters):
                count = list_entries(
                    values, elements, pool, filters, f, room, found, pool_size, steps, places, gradients
                )
                channel, offset = f // (filters // groups) * c, f * len(runs) * step
                sum_windows(pixels, channel, places, gradients, count, runs, length, sums, offset, step)
            terms += len(found)
            if len(total) and terms > TERMS:
                move(sums, total)
                terms = 0
    both = np.empty((len(runs) * length + 1, filters), g.dtype)
    _put_taps(both, together(sums, total), len(runs), length, step)
    copy(both[-1], 0, bias_grads(g, argmax, first, last), 0, filters)
    return both


@loop
def sparse_input_grad(first, last, g, argmax, kernel, dx, geometry, groups, pool_size):
    """Write the gradient of some images; the kernel must be finite."""
    c, filters = kernel.shape[2:]
    _, p, q, _ = g.shape
    # An image is in one block, or its blocks begin with its first pool: its bits do not depend on the other images.
    # Which way is taken does, though, where the pools with a gradient are counted.
    (size, at_once, pools), (runs, length, step), (begins, steps) = _layout(g, dx, c, geometry, pool_size, last - first)
    frames, places, gradients = np.empty(at_once * size, dx.dtype), np.empty(pools, np.int64), np.empty(pools, g.dtype)
    room, values, elements = list_room(pools, filters), g.reshape(g.size), argmax.reshape(argmax.size)
    flat = dx.reshape(dx.size)
    weights = _by_filters(kernel, len(runs), length, step)
    for image in range(first, last, at_once):
        images = min(at_once, last - image)
        fill(frames, 0, images * size, 0)
        for start in range(0, images * p * q, pools):
            found = begins[start : min(images * p * q, start + pools)]
            pool = image * p * q + start
            find_entries(g, argmax, pool, len(found), room)
            for f in range(filters):
                count = list_entries(
                    values, elements, pool, filters, f, room, found, pool_size, steps, places, gradients
                )
                channel, offset = f // (filters // groups) * c, f * len(runs) * step
                add_filter(frames, channel, places, gradients, count, runs, length, weights, offset, step)
        for n in range(images):
            for row in range(dx.shape[1]):
                source, target, width = framed_row(dx.shape, geometry, image, n, row)
                copy(flat, target, frames, source, width)


@loop
def _layout(g, x, channels, geometry, pool_size, images):
    """Return three tuples: sizes of a block, the runs of a window's taps, and where the windows of pools begin.

    They are: elements of a framed image, images and pools at a time; begin and length of the runs, and their length in
    whole vectors; begin of each pool's first window, and what to add for that of another element.
    """
    _, p, q, _ = g.shape
    depth = x.shape[3]
    across, size, _ = frame(x.shape, geometry)
    at_once, pools = _blocks(x.shape, size, g.shape, geometry, pool_size, images)
    runs, length = window_runs(geometry, channels, depth, across)
    steps, begins = _steps(geometry, pool_size, across * depth, depth), np.empty(at_once * p * q, np.int64)
    _find_pools(begins, at_once * p, geometry, pool_size, (p, q), size, across * depth, depth)
    return (size, at_once, pools), (runs, length, _whole_vectors(length, x.itemsize)), (begins, steps)


@loop
def _blocks(x_shape, size, y_shape, geometry, pool_size, images):
    """Return how many images to frame at a time, and how many of their pools to process at a time."""
    _, p, q, _ = y_shape
    if size <= PIXELS:
        at_once = max(1, min(images, PIXELS // size))
        return at_once, at_once * p * q
    window, strides, _, dilation, _ = geometry
    high = (window[0] - 1) * dilation[0] + (pool_size[0] - 1) * strides[0] + 1
    return 1, max(1, min(p * q, PIXELS // (high * pool_size[1] * strides[1] * x_shape[3])))


@loop
def _whole_vectors(length, itemsize):
    """Return how many elements the vectors for a run have."""
    lanes = VECTOR // itemsize
    return -(-length // lanes) * lanes


@loop
def _steps(geometry, pool_size, line, pixel):
    """Return how far the window of each element of a pool begins after that of the first; any byte is an index."""
    strides, steps = geometry[1], np.zeros(256, np.int64)
    for i in range(pool_size[0]):
        for j in range(pool_size[1]):
            steps[i * pool_size[1] + j] = i * strides[0] * line + j * strides[1] * pixel
    return steps


@loop
def _find_pools(begins, lines, geometry, pool_size, out, image, line, pixel):
    """Write where the window of the first element of each pool begins."""
    window, strides, pads, dilation, _ = geometry
    pools = (window, (strides[0] * pool_size[0], strides[1] * pool_size[1]), pads, dilation, out)
    find_windows(begins, 0, lines, pools, (1, 1), out, image, line, pixel)


@loop
def _by_filters(kernel, runs, length, step):
    """Return the kernel filter by filter, each run of taps in whole vectors."""
    filters, source = kernel.shape[3], kernel.reshape(kernel.size)
    weights = np.zeros(filters * runs * step, kernel.dtype)
    for run in range(runs):
        for tap in range(length):
            for f in range(filters):
                weights[(f * runs + run) * step + tap] = source[(run * length + tap) * filters + f]
    return weights


@loop
def _put_taps(both, sums, runs, length, step):
    """Write the rows of taps whose runs are in `sums`, filter by filter."""
    for run in range(runs):
        for tap in range(length):
            for f in range(both.shape[1]):
                both[run * length + tap, f] = sums[(f * runs + run) * step + tap]
