"""Where the windows of images lie in memory. Where they reach beyond an image, it is copied into a frame of zeros."""

from __future__ import annotations

import numpy as np

from minicnn.kernels.compiled.loop import copy, loop

FRAMES = 2**15
"""Elements of images in their frames at a time: they stay in a core's cache with what is computed from them."""


@loop
def frame(shape, geometry):
    """Return how many pixels a row of a framed image has, how many elements the image has, and if it needs a frame."""
    _, h, w, depth = shape
    pads = geometry[2]
    high, across = h + pads[0][0] + pads[0][1], w + pads[1][0] + pads[1][1]
    return across, high * across * depth, high > h or across > w


@loop
def framed_images(x, image, images, frames, geometry):
    """Return some images as a flat array that begins with the first: in `frames`, or where they are without frames."""
    if len(frames) == 0:
        size = x.shape[1] * x.shape[2] * x.shape[3]
        return x.reshape(x.size)[image * size : (image + images) * size]
    pixels = x.reshape(x.size)
    for n in range(images):
        for row in range(x.shape[1]):
            target, source, length = framed_row(x.shape, geometry, image, n, row)
            copy(frames, target, pixels, source, length)
    return frames


@loop
def framed_row(shape, geometry, image, n, row):
    """Return where a row of image `image + n` begins in the frames and in all images, and its length."""
    _, h, w, depth = shape
    pads = geometry[2]
    across, size, _ = frame(shape, geometry)
    target = n * size + ((row + pads[0][0]) * across + pads[1][0]) * depth
    return target, ((image + n) * h + row) * w * depth, w * depth


@loop
def tap_runs(window, dilation, channels, depth):
    """Return how many runs the taps of a window's row make in memory, and how long one is."""
    if dilation[1] == 1 and channels == depth:
        return 1, window[1] * channels
    return window[1], channels


@loop
def window_runs(geometry, channels, depth, across):
    """Return where the runs of a window's taps begin after its first pixel, and how long one is."""
    window, _, _, dilation, _ = geometry
    count, length = tap_runs(window, dilation, channels, depth)
    runs = np.empty(window[0] * count, np.int64)
    for i in range(window[0]):
        for j in range(count):
            runs[i * count + j] = (i * dilation[0] * across + j * dilation[1]) * depth
    return runs, length


@loop
def find_windows(places, start, stop, geometry, pool_size, out, image, line, pixel):
    """Write where each window begins: those of the first elements of all pools, then those of the second elements."""
    _, strides, _, _, _ = geometry
    write, width, across = np.uintp(0), np.uintp(out[1]), pool_size[1] * strides[1] * pixel
    for i in range(pool_size[0]):
        for j in range(pool_size[1]):
            n, row = divmod(start, out[0])
            for _ in range(start, stop):
                place = n * image + (row * pool_size[0] + i) * strides[0] * line + j * strides[1] * pixel
                for col in range(width):
                    places[write + col] = place
                    place += across
                write, row = write + width, row + 1
                if row == out[0]:
                    n, row = n + 1, 0
