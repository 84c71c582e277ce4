"""From the sums of windows to results: bias, max pooling and ReLU before they leave the cache."""

from __future__ import annotations

import numpy as np

from minicnn.kernels.compiled.loop import BLOCKED, copy, loop
from minicnn.kernels.compiled.tile import MOST
from minicnn.kernels.compiled.vectors import VECTOR

SUMS = 2**12
"""Sums at a time: 16 KB in float32."""


@loop
def put_columns(target, offset, stride, source, rows, width, found):
    """Copy the first `found` columns of rows of `width` elements to rows of `stride` elements, from `offset` on."""
    for row in range(rows):
        write, read = np.uintp(offset + row * stride), np.uintp(row * width)
        for f in range(np.uintp(found)):
            target[write + f] = source[read + f]


@loop
def repeated(bias, groups, rows):
    """Return the biases of each panel, repeated for so many rows of sums."""
    k, lanes = len(bias) // groups, VECTOR // bias.itemsize
    biases, start = np.zeros(rows * groups * -(-k // lanes) * lanes, bias.dtype), 0
    for group in range(groups):
        for block in range(0, k, MOST * lanes):
            found = min(MOST * lanes, k - block)
            width = -(-found // lanes) * lanes
            copy(biases, start, bias, group * k + block, found)
            filled, total = width, rows * width
            while filled < total:  # what is filled is copied, so that most copies are long
                length = min(filled, total - filled)
                copy(biases, start + filled, biases, start, length)
                filled += length
            start += total
    return biases


@loop
def pool_sums(product, n, elements, bias, maxima, argmax, relu):
    """Find for each of `n` pools the first maximum of its elements, which lie `n` apart, and its index if asked for."""
    n, blocked = np.uintp(n), np.uint8(BLOCKED)
    if elements == 1 and relu and len(argmax):  # one pass, which takes two thirds of the time
        for i in range(n):
            v = product[i] + bias[i]
            argmax[i] = np.uint8(0) if v > 0 else blocked
            maxima[i] = v if v > 0 or v != v else 0
        return
    for i in range(n):
        maxima[i] = product[i] + bias[i]
    if len(argmax) == 0:
        _maxima(product, n, elements, bias, maxima)
    else:
        _first_maxima(product, n, elements, bias, maxima, argmax)
    if relu and len(argmax):
        for i in range(n):
            argmax[i] = argmax[i] if maxima[i] > 0 else blocked
    if relu:
        for i in range(n):
            v = maxima[i]
            maxima[i] = v if v > 0 or v != v else 0


@loop
def _maxima(product, n, elements, bias, maxima):
    for element in range(1, elements):
        offset = np.uintp(element) * n
        for i in range(n):
            new, old = product[offset + i] + bias[i], maxima[i]
            maxima[i] = new if (new > old) | (new != new) else old


@loop
def _first_maxima(product, n, elements, bias, maxima, argmax):
    for i in range(n):
        argmax[i] = 0
    for element in range(1, elements):
        offset, number = np.uintp(element) * n, np.uint8(element)
        for i in range(n):
            new, old = product[offset + i] + bias[i], maxima[i]
            better = new > old or (new != new and old == old)
            maxima[i] = new if better else old
            argmax[i] = number if better else argmax[i]
