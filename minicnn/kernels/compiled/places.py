"""Convolution of whole tiles of images that multiplies no padding.

The windows of a tile are those at one place in several images, which all reach beyond their images by the same rows
and columns. These taps are left out, and the images are not copied into frames. Measured on a Zen 4 core in float32,
with 3x3 windows, relative to the time with padding: 0.84 for images of 6x6 with 32 channels and filters, 0.89 for 16
channels of 12x12 and 32 filters with strides of 2, 0.81 for 16 channels of 4x4 with 2x2 pools, 0.95 for those of 14x14.

What is left out is 0 times a weight. That is 0 if the weight is finite, so other kernels are computed with padding. A
sum begins with 0 and keeps its bits when 0 is added. The exception is a sum of products so small that it is rounded to
-0, which may keep its sign.
"""

from __future__ import annotations

import numpy as np

from minicnn.kernels.arithmetic import PIECE_TERMS
from minicnn.kernels.compiled.loop import is_finite, loop
from minicnn.kernels.compiled.results import SUMS, pool_sums, put_columns, repeated
from minicnn.kernels.compiled.tile import MOST, ROWS, multiply_apart, panel_width
from minicnn.kernels.compiled.vectors import VECTOR

LEAST = 48
"""The fewest taps of a window: with 18 the time is 1.07 of that with padding, with 36 about the same, with 54 0.9."""
SAVED = 0.05
"""The least share of the products that has to be with padding."""


@loop
def whole_tiles(images, x, panels, y, geometry, groups, pool_size):
    """Return how many of the images to compute here: none where that takes more time or the kernel is not finite."""
    window, _, _, dilation, _ = geometry
    taps, filters, lanes = window[0] * window[1] * x.shape[3], y.shape[3], VECTOR // x.itemsize
    tile = _images_of_a_tile(filters, lanes)
    # With groups or dilation, the taps of a row that are needed are more than one run.
    if images < tile or not LEAST <= taps <= PIECE_TERMS or groups > 1 or dilation[1] > 1:
        return 0
    needed = 1.0
    for axis in range(2):
        outputs, found = y.shape[1 + axis] * pool_size[axis], 0
        for i in range(outputs):
            first, stop = _needed(i, axis, x.shape[1 + axis], geometry)
            found += stop - first
        needed *= found / (outputs * window[axis])
    weights = taps * -(-filters // lanes) * lanes
    return images // tile * tile if needed <= 1 - SAVED and is_finite(panels[:weights]) else 0


@loop
def _images_of_a_tile(filters, lanes):
    # The last panel may have one vector of filters.
    return ROWS[0] if -(-filters // lanes) % MOST == 1 else ROWS[1]


@loop
def _needed(output, axis, size, geometry):
    """Return the range of the taps of a window along an axis that lie inside an image of this size."""
    window, strides, pads, dilation, _ = geometry
    begin = output * strides[axis] - pads[axis][0]
    first = max(0, -(begin // dilation[axis]))
    return first, max(first, min(window[axis], -((begin - size) // dilation[axis])))


@loop
def convolve_places(first, last, x, panels, bias, y, argmax, geometry, pool_size, relu):
    """Write the results for whole tiles of images as `conv.convolve` does."""
    size, (_, p, q, filters) = x.shape[1] * x.shape[2] * x.shape[3], y.shape
    wide, elements = panel_width(filters, x.itemsize), pool_size[0] * pool_size[1]
    images = _images_of_a_tile(filters, VECTOR // x.itemsize)
    at_once = max(1, min(p * q, SUMS // (images * elements * wide)))
    sums, maxima = np.empty(at_once * images * elements * wide, x.dtype), np.empty(at_once * wide, x.dtype)
    indices, biases = np.empty(len(maxima) if argmax.size else 0, np.uint8), repeated(bias, 1, at_once)
    begins, results, results_argmax = np.empty(images, np.int64), y.reshape(y.size), argmax.reshape(argmax.size)
    for image in range(first, last, images):
        for n in range(images):
            begins[n] = (image + n) * size
        for start in range(0, p * q, at_once):
            stop = min(p * q, start + at_once)
            for block in range(0, filters, wide):
                found = min(wide, filters - block)
                width = panel_width(found, x.itemsize)
                _multiply(x, begins, (start, stop), geometry, pool_size, q, panels, block, width, sums)
                n, some = (stop - start) * width, biases[block * at_once :]
                for i in range(images):
                    read, write = i * elements * n, ((image + i) * p * q + start) * filters + block
                    if found == filters == width:
                        end = write + n
                        pool_sums(sums[read:], n, elements, some, results[write:end], results_argmax[write:end], relu)
                        continue
                    pool_sums(sums[read:], n, elements, some, maxima, indices, relu)
                    put_columns(results, write, filters, maxima, stop - start, width, found)
                    if len(results_argmax):
                        put_columns(results_argmax, write, filters, indices, stop - start, width, found)


@loop
def _multiply(x, begins, places, geometry, pool_size, q, panels, block, width, sums):
    """Write the sums of all elements of the pools from one place to another: those of each image together."""
    _, h, w, depth = x.shape
    (kh, kw), strides, pads, dilation, _ = geometry
    pixels, runs, write = x.reshape(x.size), np.empty(kh, np.int64), 0
    vectors, apart = width // (VECTOR // x.itemsize), pool_size[0] * pool_size[1] * (places[1] - places[0]) * width
    for i in range(pool_size[0]):
        for j in range(pool_size[1]):
            for place in range(places[0], places[1]):
                row, column = place // q * pool_size[0] + i, place % q * pool_size[1] + j
                top, bottom = _needed(row, 0, h, geometry)
                left, right = _needed(column, 1, w, geometry)
                start = column * strides[1] - pads[1][0] + left
                for tap in range(top, bottom):
                    runs[tap] = ((row * strides[0] + tap * dilation[0] - pads[0][0]) * w + start) * depth
                taps, some, target = ((right - left) * depth, 1, kw * depth), runs[top:bottom], sums[write:]
                read = (block * kh * kw + (top * kw + left) * width) * depth
                multiply_apart(pixels, begins, len(begins), some, taps, panels, read, vectors, target, apart)
                write += width
