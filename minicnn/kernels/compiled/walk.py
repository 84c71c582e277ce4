"""A whole net in one call: each core takes a few images at a time through all instructions.

So there is one call from Python and one start of the other cores, and the feature maps of these images stay in the
core's cache from the first layer to the last.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from minicnn.kernels.compiled.conv import convolve
from minicnn.kernels.compiled.loop import contiguous, loop
from minicnn.kernels.compiled.pool import max_windows, sum_windows
from minicnn.kernels.compiled.winograd import convolve_tiles, within
from minicnn.kernels.cores import in_parallel
from minicnn.kernels.program import (
    AVERAGE,
    CONVOLVE,
    FIRST,
    GROUPS,
    MAXIMUM,
    OUT,
    POOL,
    RELU,
    RELU_TOO,
    SCALE,
    WINDOWS,
    WINOGRAD,
)

IMAGES = 48
"""Images at a time: rows of whole tiles, so that dense layers fill them. Compared with 12, up to 9 % less time for
images of 8x8, and the same for those of 28x28."""
MAPS = 2**17
"""Elements of their largest feature maps at most, half a megabyte in float32: two of them fit in a core's cache."""


def run_program(x: ndarray, table: ndarray, weights: ndarray, outputs: int, work: int) -> ndarray:
    """Return the output of the last instruction for flat images: (N, H * W * C) -> (N, outputs).

    `work` is about how many multiplications an image takes.
    """
    x = contiguous(x)
    y = np.empty((len(x), outputs), x.dtype)
    in_parallel(_walk, len(x), len(x) * work, x, y, table, weights)
    return y


@loop
def _walk(first, last, x, y, table, weights):
    largest = 1
    for row in table:
        largest = max(largest, row[OUT] * row[OUT + 1] * row[OUT + 2])
    at_once = max(1, min(last - first, IMAGES, MAPS // largest))
    one, other = np.empty(at_once * largest, x.dtype), np.empty(at_once * largest, x.dtype)
    for start in range(first, last, at_once):
        stop = min(last, start + at_once)
        source, target = x[start:stop].reshape(x[start:stop].size), one
        for i in range(len(table)):
            if i == len(table) - 1:
                target = y[start:stop].reshape(y[start:stop].size)
            _instruct(table[i], source, target, stop - start, weights)
            source, target = target, (one if i % 2 else other)


@loop
def _instruct(row, source, target, count, weights):
    kind, h, w, c, p, q, k = row[0], row[1], row[2], row[3], row[OUT], row[OUT + 1], row[OUT + 2]
    numbers, geometry = weights[row[FIRST] :], _geometry(row[WINDOWS:])
    x = source[: count * h * w * c].reshape(count, h, w, c)
    y = target[: count * p * q * k].reshape(count, p, q, k)
    if kind in (CONVOLVE, WINOGRAD):
        no_argmax, pool, relu = np.empty((0, 0, 0, 0), np.uint8), (row[POOL], row[POOL + 1]), row[RELU_TOO] != 0
        together = count
        if kind == WINOGRAD:
            convolve_tiles(x, numbers[k + 9 * c * k :], numbers[:k], y, geometry, pool[0] == 2, relu)
            together = 1
        for n in range(0, count, together):
            if kind == CONVOLVE or not within(source[n * h * w * c : (n + 1) * h * w * c]):
                stop = n + together
                convolve(n, stop, x, numbers[k:], numbers[:k], y, no_argmax, geometry, row[GROUPS], pool, relu)
    elif kind == MAXIMUM:
        max_windows(0, count, x, y, geometry)
    elif kind == AVERAGE:
        sum_windows(0, count, x, y, geometry)
        for n in range(count):
            for i in range(p * q):
                for f in range(k):
                    target[(n * p * q + i) * k + f] /= numbers[i]
    elif kind == SCALE:
        for n in range(count * h * w):
            for f in range(c):
                target[n * c + f] = source[n * c + f] * numbers[f] + numbers[c + f]
    elif kind == RELU:
        for i in range(np.uintp(count * h * w * c)):
            v = source[i]
            target[i] = v if v > 0 or v != v else 0


@loop
def _geometry(row):
    pads = ((row[4], row[5]), (row[6], row[7]))
    return (row[0], row[1]), (row[2], row[3]), pads, (row[8], row[9]), (row[10], row[11])
