"""Gradients of convolution, and of the pooling and the ReLU after it.

The gradient of each pool goes to the element that was its maximum, the others get 0. Where few elements have a
gradient, sums over these alone take the least time, see `sparse`. Otherwise the gradient of the kernel is a product of
the windows, read straight from the images as in `conv`, with the gradients of all elements; and that of the pixels is
the convolution of the gradients with the mirrored kernel.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy import ndarray

from minicnn.geometry import Geometry, Pair, Shape
from minicnn.kernels.arithmetic import RUN, TERMS, wide
from minicnn.kernels.compiled.conv import conv2d
from minicnn.kernels.compiled.loop import NO_POOL, add, contiguous, is_finite, loop, multiply
from minicnn.kernels.compiled.results import SUMS
from minicnn.kernels.compiled.scatter import element_windows, lines_at_once, scatter
from minicnn.kernels.compiled.sparse import is_shorter, sparse_input_grad, sparse_weight_grads
from minicnn.kernels.compiled.sums import accumulators, bias_grads, move, together
from minicnn.kernels.compiled.tile import ROWS, multiply_windows, panel_width
from minicnn.kernels.compiled.vectors import VECTOR
from minicnn.kernels.compiled.windows import FRAMES, find_windows, frame, framed_images, window_runs
from minicnn.kernels.cores import in_parallel

FEW_CHANNELS = 4
"""Below these, vectors of channels are nearly empty and a product with all taps is faster."""


def conv2d_input_grad(g: ndarray, kernel: ndarray, x_shape: Shape, geometry: Geometry, groups: int) -> ndarray:
    """See `reference.conv2d_input_grad`."""
    return conv2d_pool_input_grad(g, None, kernel, x_shape, geometry, groups, NO_POOL)


def conv2d_weight_grads(
    g: ndarray, x: ndarray, kernel_shape: Shape, geometry: Geometry, groups: int
) -> tuple[ndarray, ndarray]:
    """See `reference.conv2d_weight_grads`."""
    return conv2d_pool_weight_grads(g, None, x, kernel_shape, geometry, groups, NO_POOL)


def conv2d_pool_input_grad(
    g: ndarray, argmax: ndarray | None, kernel: ndarray, x_shape: Shape, geometry: Geometry, groups: int, pool: Pair
) -> ndarray:
    """See `numpy_blocked.conv2d_pool_input_grad`."""
    g, argmax, kernel = contiguous(g), _or_empty(argmax), contiguous(kernel, g.dtype)
    work, given = g.size * kernel[..., 0].size, (tuple(geometry), groups, pool)
    # Both fast ways skip products with 0, or add some, so they are right only if the kernel is finite.
    if len(g) and is_finite(kernel.reshape(-1)):
        # Adding a vector of taps to memory takes twice as long as adding it to a sum in registers. With pools the other
        # way adds to memory, too.
        if is_shorter(g, argmax, kernel.shape, geometry, groups, pool, 2 if pool == NO_POOL else 1):
            dx = np.empty(x_shape, g.dtype)
            in_parallel(sparse_input_grad, len(g), work, g, argmax, kernel, dx, *given)
            return dx
        mirrored = _mirrored(x_shape, kernel.shape, geometry, pool)
        if mirrored is not None:
            return conv2d(_unblocked(g, argmax), _mirror(kernel, groups), None, mirrored, groups)
    dx = np.empty(x_shape, wide(g.dtype, math.prod(geometry.window)))
    in_parallel(_input_grad, len(g), work * pool[0] * pool[1], g, argmax, kernel, dx, *given)
    return dx.astype(g.dtype, copy=False)


def conv2d_pool_weight_grads(
    g: ndarray, argmax: ndarray | None, x: ndarray, kernel_shape: Shape, geometry: Geometry, groups: int, pool: Pair
) -> tuple[ndarray, ndarray]:
    """See `numpy_blocked.conv2d_pool_weight_grads`."""
    g, argmax, x, shape = contiguous(g), _or_empty(argmax), contiguous(x, g.dtype), tuple(kernel_shape)
    given, work = (g, argmax, x, shape, tuple(geometry), groups, pool), g.size * math.prod(shape[:3])
    parts: list[Any] = []
    if len(g) and is_shorter(g, argmax, shape, geometry, groups, pool, 1):
        parts = in_parallel(sparse_weight_grads, len(g), work, *given)
    if not parts or not all(map(len, parts)):
        parts = in_parallel(_weight_grads, len(g), work * pool[0] * pool[1], *given)
    if not parts:
        return np.zeros(shape, g.dtype), np.zeros(shape[3], g.dtype)
    both: Any = sum(parts[1:], parts[0])
    return both[:-1].reshape(shape), both[-1]


def _or_empty(argmax: ndarray | None) -> ndarray:
    return np.empty((0, 0, 0, 0), np.uint8) if argmax is None else contiguous(argmax)


def _mirrored(x_shape: Shape, kernel_shape: Shape, geometry: Geometry, pool: Pair) -> Geometry | None:
    """Return the windows on the gradient whose convolution with the mirrored kernel is the gradient of the pixels.

    The pixel at h is the tap i of the window that begins at h - i * dilation + padding. None with a stride, where only
    some of these are windows, for few channels, and for windows so large that they have to be added up in float64.
    """
    (kh, kw), strides, pads, dilation, out = geometry
    if strides != (1, 1) or pool != NO_POOL or kernel_shape[2] < FEW_CHANNELS or kh * kw > RUN:
        return None
    above, left = ((n - 1) * d - pad for n, d, (pad, _) in zip((kh, kw), dilation, pads, strict=True))
    below, right = (size - n + pad for size, n, (pad, _) in zip(x_shape[1:3], out, pads, strict=True))
    mirrored = ((above, below), (left, right))
    return (
        geometry._replace(pads=mirrored, out=(x_shape[1], x_shape[2])) if min(above, below, left, right) >= 0 else None
    )


def _mirror(kernel: ndarray, groups: int) -> ndarray:
    """Return the kernel with reversed rows and columns, and filters and channels exchanged, group by group."""
    kh, kw, c, filters = kernel.shape
    parts = kernel[::-1, ::-1].reshape(kh, kw, c, groups, filters // groups)
    return parts.transpose(0, 1, 4, 3, 2).reshape(kh, kw, filters // groups, groups * c)


def _unblocked(g: ndarray, argmax: ndarray) -> ndarray:
    """Return the gradient with zeros where ReLU blocks it."""
    if not argmax.size:
        return g
    flat, unblocked = (len(g), g.size // len(g)), np.empty_like(g)
    rows = (a.reshape(flat) for a in (g, argmax, unblocked))
    in_parallel(_unblock, len(g), g.size, *rows)
    return unblocked


@loop
def _unblock(first, last, g, argmax, unblocked):
    for image in range(first, last):
        put(unblocked[image], np.uintp(0), g[image], argmax[image], np.uintp(0), np.uintp(g.shape[1]), np.uint8(0))


@loop
def _input_grad(first, last, g, argmax, kernel, dx, geometry, groups, pool_size):
    """Write products of gradients and kernel, and add them to the pixels of their windows."""
    kh, kw, c, filters = kernel.shape
    _, p, q, _ = g.shape
    k, taps, elements = filters // groups, kh * kw * c, pool_size[0] * pool_size[1]
    step = lines_at_once(taps, k, q * elements, (last - first) * p)
    spread, products = np.empty(step * q * elements * k, g.dtype), np.empty((step * q * elements, taps), g.dtype)
    dx[first:last] = 0
    for group in range(groups):
        matrix = np.ascontiguousarray(kernel[:, :, :, group * k : (group + 1) * k]).reshape(taps, k)
        back = np.ascontiguousarray(matrix.T)
        for start in range(first * p, last * p, step):
            stop = min(last * p, start + step)
            rows = (stop - start) * q
            _spread(g, argmax, (start * q, rows), (group * k, k), k, elements, spread)
            gradients = spread[: rows * elements * k].reshape(rows * elements, k)
            multiply(gradients, back, products[: rows * elements])
            for element in range(elements):
                windows = element_windows(geometry, pool_size, element)
                scatter(dx, start, stop, group * c, c, products[element * rows : (element + 1) * rows], windows)


@loop
def _weight_grads(first, last, g, argmax, x, shape, geometry, groups, pool_size):
    """Return the gradient of kernel and bias as the rows of one matrix, the bias last.

    A product of windows with a matrix, as in `conv`, whose rows are the taps: the sums run over the windows, and the
    factors are gradients.
    """
    kh, kw, c, filters = shape
    _, p, q, _ = g.shape
    depth = x.shape[3]
    across, size, framed = frame(x.shape, geometry)
    k, taps, elements = filters // groups, kh * kw * c, pool_size[0] * pool_size[1]
    at_once = max(1, min(last - first, FRAMES // size)) if framed else last - first
    frames = np.zeros(at_once * size if framed else 0, x.dtype)
    lanes, widest, step = VECTOR // x.itemsize, panel_width(k, x.itemsize), pool_size[1] * geometry[1][1] * depth
    lines = max(1, min(at_once * p, SUMS // (q * elements * widest)))
    rows, places = _tap_places(geometry, c, depth, across), np.empty(lines * elements, np.int64)
    spread, sums = np.empty(lines * q * elements * widest, g.dtype), np.empty(len(rows) * widest, g.dtype)
    pieces = -(-(last - first) // at_once) * -(-at_once * p // lines)
    both, total = accumulators((taps + 1) * filters, pieces > TERMS, g.dtype)
    blocks = 0
    for image in range(first, last, at_once):
        images = min(at_once, last - image)
        pixels = framed_images(x, image, images, frames, geometry)
        for start in range(0, images * p, lines):
            stop = min(images * p, start + lines)
            # The first window of each line: the others follow at equal distances, as the taps of a run do.
            find_windows(places, start, stop, geometry, pool_size, (p, 1), size, across * depth, depth)
            pools, windows = ((image * p + start) * q, (stop - start) * q), places[: (stop - start) * elements]
            if len(total) and blocks % TERMS == 0:
                move(both, total)
            blocks += 1
            for group in range(groups):
                for block in range(0, k, widest):
                    columns = (group * k + block, min(widest, k - block))
                    vectors = -(-columns[1] // lanes)
                    _spread(g, argmax, pools, columns, vectors * lanes, elements, spread)
                    multiply_windows(pixels[group * c :], rows, taps, windows, (q, step, q), spread, 0, vectors, sums)
                    _add_taps(both, filters, columns, sums, taps, vectors * lanes)
    add(both, taps * filters, bias_grads(g, argmax, first, last), 0, filters)
    return together(both, total).reshape(taps + 1, filters)


@loop
def _add_taps(both, filters, columns, sums, taps, width):
    """Add the sums of some filters, a row per tap: in one loop, which takes 0.96 of the kernel's time, if it is all."""
    first, count = columns
    if count == filters == width:
        add(both, 0, sums, 0, taps * filters)
        return
    for tap in range(taps):
        add(both, tap * filters + first, sums, tap * width, count)


@loop
def _tap_places(geometry, channels, depth, across):
    """Return where each tap lies after the first one of its window, and zeros up to whole tiles."""
    runs, length = window_runs(geometry, channels, depth, across)
    places = np.zeros(len(runs) * length + max(ROWS), np.int64)
    for r in range(len(runs)):
        for t in range(length):
            places[r * length + t] = runs[r] + t
    return places


@loop
def _spread(g, argmax, pools, columns, width, elements, spread):
    """Write some columns of the gradients of all elements of pools, then arbitrary numbers up to `width` columns."""
    first, n = pools
    filters, values, indices = g.shape[3], g.reshape(g.size), argmax.reshape(argmax.size)
    for element in range(elements):
        number = np.uint8(element)
        if columns == (0, filters) and width == filters:
            read, write, length = np.uintp(first * filters), np.uintp(element * n * width), np.uintp(n * width)
            put(spread, write, values, indices, read, length, number)
            continue
        for row in range(n):
            read, write = np.uintp((first + row) * filters + columns[0]), np.uintp((element * n + row) * width)
            # Whole vectors, as far as there are numbers: the sums of the arbitrary columns are not used.
            put(spread, write, values, indices, read, np.uintp(min(width, len(values) - read)), number)


@loop
def put(target, write, g, argmax, read, length, number):
    """Copy the gradients of one element of the pools, and write 0 for the others."""
    if len(argmax):
        for i in range(length):
            target[write + i] = g[read + i] if argmax[read + i] == number else 0
    else:
        for i in range(length):
            target[write + i] = g[read + i]
