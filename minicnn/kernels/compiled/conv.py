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
from minicnn.kernels.compiled.gather import pools, tap_runs
from minicnn.kernels.compiled.loop import BLOCKED, NO_POOL, copy, loop
from minicnn.kernels.compiled.tile import MOST, ROWS, VECTOR, multiply_windows, pack
from minicnn.kernels.cores import in_parallel


FRAMES = 2**15
"""Elements of images in their frames of zeros at a time: they stay in a core's cache with the sums."""
SUMS = 2**12
"""Sums at a time: 16 KB in float32."""


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
    in_parallel(_forward, len(x), work, x, kernel, bias, y, argmax, tuple(geometry), groups, pool, relu)
    return y, argmax if pooled else None


@loop
def _forward(first, last, x, kernel, bias, y, argmax, geometry, groups, pool_size, relu):
    panels = pack(kernel, groups)
    convolve(first, last, x, panels, kernel.shape, bias, y, argmax, geometry, groups, pool_size, relu)


@loop
def convolve(first, last, x, panels, shape, bias, y, argmax, geometry, groups, pool_size, relu):
    """Write the results for some images; `panels` hold the kernel of this shape."""
    kh, kw, c, filters = shape
    _, h, w, depth = x.shape
    _, p, q, _ = y.shape
    window, strides, pads, dilation, _ = geometry
    k, elements, lanes = filters // groups, pool_size[0] * pool_size[1], VECTOR // x.itemsize
    taps, wide, columns = kh * kw * c, MOST * lanes, -(-k // lanes) * lanes
    blocks = groups * -(-columns // wide)
    high, across = h + pads[0][0] + pads[0][1], w + pads[1][0] + pads[1][1]
    framed = high > h or across > w
    size = high * across * depth
    at_once = max(1, min(last - first, FRAMES // size)) if framed else last - first
    frames = np.zeros(at_once * size if framed else 0, x.dtype)
    count, length = tap_runs(window, dilation, c, depth)
    runs = np.empty(window[0] * count, np.int64)
    for i in range(window[0]):
        for j in range(count):
            runs[i * count + j] = (i * dilation[0] * across + j * dilation[1]) * depth
    step = max(1, min(at_once * p, SUMS // (q * elements * min(wide, columns))))
    rows = step * q * elements + max(ROWS)
    places = np.zeros(rows, np.int64)
    sums, maxima = np.empty(rows * min(wide, columns), x.dtype), np.empty(step * q * min(wide, columns), x.dtype)
    group_argmax = np.empty(len(maxima) if argmax.size else 0, np.uint8)
    results, flat_argmax, biases = y.reshape(y.size), argmax.reshape(argmax.size), np.zeros(len(maxima), x.dtype)
    for image in range(first, last, at_once):
        images = min(at_once, last - image)
        if framed:
            _frame(x, image, images, frames, pads)
        pixels = frames if framed else x.reshape(x.size)[image * size :]
        for start in range(0, images * p, step):
            stop = min(images * p, start + step)
            n = (stop - start) * q
            _find(places, start, stop, geometry, pool_size, (p, q), size, across * depth, depth)
            for group in range(groups):
                for block in range(0, k, wide):
                    width, panel = min(wide, columns - block), (group * columns + block) * taps
                    found = min(width, k - block)
                    channel = pixels[group * c :] if groups > 1 else pixels
                    multiply_windows(channel, places, n * elements, runs, length, panels, panel, width // lanes, sums)
                    column = group * k + block
                    if blocks > 1 or image == first and start == 0:
                        _repeat(bias, column, found, biases, width, step * q)
                    offset = (image * p + start) * q * filters
                    if k == filters == width:
                        end = offset + n * filters
                        _pool(sums, n * width, elements, biases, results[offset:end], flat_argmax[offset:end], relu)
                        continue
                    _pool(sums, n * width, elements, biases, maxima, group_argmax, relu)
                    _put_columns(results, offset + column, filters, maxima, n, width, found)
                    if len(flat_argmax):
                        _put_columns(flat_argmax, offset + column, filters, group_argmax, n, width, found)


@loop
def _frame(x, image, images, frames, pads):
    """Copy images into the middle of their frames of zeros."""
    _, h, w, depth = x.shape
    high, across = h + pads[0][0] + pads[0][1], w + pads[1][0] + pads[1][1]
    pixels = x.reshape(x.size)
    for n in range(images):
        for row in range(h):
            target = ((n * high + row + pads[0][0]) * across + pads[1][0]) * depth
            copy(frames, target, pixels, ((image + n) * h + row) * w * depth, w * depth)


@loop
def _find(places, start, stop, geometry, pool_size, out, image, line, pixel):
    """Write where each window begins: those of the first elements of all pools, then those of the second elements."""
    _, strides, _, _, _ = geometry
    write = np.uintp(0)
    for i in range(pool_size[0]):
        for j in range(pool_size[1]):
            for pool in range(start, stop):
                n, row = divmod(pool, out[0])
                base = n * image + (row * pool_size[0] + i) * strides[0] * line + j * strides[1] * pixel
                across = pool_size[1] * strides[1] * pixel
                for col in range(out[1]):
                    places[write] = base + col * across
                    write += np.uintp(1)


@loop
def _put_columns(target, offset, stride, source, rows, width, found):
    for row in range(rows):
        write, read = np.uintp(offset + row * stride), np.uintp(row * width)
        for f in range(np.uintp(found)):
            target[write + f] = source[read + f]


@loop
def _repeat(bias, first, found, biases, width, rows):
    """Fill rows with the biases of some filters; what is filled is copied, so that most copies are long."""
    copy(biases, 0, bias, first, found)
    filled, total = width, rows * width
    while filled < total:
        length = min(filled, total - filled)
        copy(biases, filled, biases, 0, length)
        filled += length


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
