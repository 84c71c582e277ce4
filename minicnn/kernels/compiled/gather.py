"""Windows gathered into the rows of a matrix, and rows scattered back."""

from __future__ import annotations

import numpy as np

from minicnn.kernels.compiled.loop import add, copy, fill, loop

PIECE = 2**17
"""Numbers in a core's buffer of gathered windows: half a megabyte in float32."""
PRODUCT = 1_000_000
"""Multiplications in a product: up to here OpenBLAS has kernels that do not repack, up to 1.5 times as fast."""


@loop
def gather(x, start, stop, channel, patches, window, out, strides, before, dilation, groups):
    """Copy windows into the rows of `patches`, zeros for pads; taps that touch in memory in one go."""
    kh, kw, c, _ = window
    _, h, w, channels = x.shape
    runs, length = (1, kw * c) if dilation[1] == 1 and groups == 1 else (kw, c)
    cells, to, width, at = x.reshape(x.size), patches.reshape(patches.size), w * channels, 0
    for line in range(start, stop):
        image, p = divmod(line, out[0])
        for q in range(out[1]):
            for i in range(kh):
                a = p * strides[0] + i * dilation[0] - before[0]
                for j in range(runs):
                    b = (q * strides[1] + j * dilation[1] - before[1]) * channels + channel
                    cell = (image * h + a) * width + b
                    if 0 <= a < h and 0 <= b and b + length <= width:
                        copy(to, at, cells, cell, length)
                    else:
                        fill(to, at, length, 0)
                        low, high = max(0, -b), min(length, width - b)
                        if 0 <= a < h and low < high:
                            copy(to, at + low, cells, cell + low, high - low)
                    at += length


@loop
def gather_taps(x, start, stop, spots, taps, window, out, strides, pads, dilation, pool_size):
    """Copy the windows of images of one channel, tap by tap: row t holds the cell under tap t of every window.

    Taps of neighbouring windows fall on the same spot of a pool, so each spot is gathered once, into `spots`.
    """
    rows, at = (stop - start) * out[1], 0
    high, wide = spread_of(window, strides, dilation, pool_size)
    of, to = spots.reshape(spots.size), taps.reshape(taps.size)
    for a in range(high):
        for b in range(wide):
            _gather_spot(x, start, stop, of, at, out, strides, pads, pool_size, a, b)
            at += rows
    at = 0
    for i in range(window[0]):
        for j in range(window[1]):
            for u in range(pool_size[0]):
                for v in range(pool_size[1]):
                    spot = (u * strides[0] + i * dilation[0]) * wide + v * strides[1] + j * dilation[1]
                    copy(to, at, of, spot * rows, rows)
                    at += rows


@loop
def spread_of(window, strides, dilation, pool_size):
    """Return how many rows and columns of the input a pool reads."""
    high = (window[0] - 1) * dilation[0] + (pool_size[0] - 1) * strides[0] + 1
    wide = (window[1] - 1) * dilation[1] + (pool_size[1] - 1) * strides[1] + 1
    return high, wide


@loop
def _gather_spot(x, start, stop, to, at, out, strides, pads, pool_size, a, b):
    """Copy for every pool the cell `a` rows below and `b` columns right of its first."""
    # The loops are written out: for a dozen numbers a call of `copy` takes three times as long.
    _, h, w, _ = x.shape
    cells, step, b = x.reshape(x.size), strides[1] * pool_size[1], b - pads[1][0]
    low = min(out[1], max(0, -(b // step)))
    high = max(low, min(out[1], (w - 1 - b) // step + 1))
    width, low, high, step = np.uintp(out[1]), np.uintp(low), np.uintp(high), np.uintp(step)
    image, p = divmod(start, out[0])
    for _ in range(start, stop):
        row, here = p * pool_size[0] * strides[0] + a - pads[0][0], np.uintp(at)
        if row < 0 or row >= h:
            for q in range(width):
                to[here + q] = 0
        else:
            cell = np.uintp((image * h + row) * w + b)
            for q in range(low):
                to[here + q] = 0
            if step == 2:  # the usual pooling; a step that is known makes vector instructions
                for q in range(low, high):
                    to[here + q] = cells[cell + np.uintp(2) * q]
            else:
                for q in range(low, high):
                    to[here + q] = cells[cell + step * q]
            for q in range(high, width):
                to[here + q] = 0
        at += out[1]
        p += 1
        if p == out[0]:
            image, p = image + 1, 0


@loop
def scatter(dx, start, stop, channel, shares, window, out, strides, before, dilation, groups):
    """Add the rows of `shares` back to the cells that their windows read: the reverse of `_gather`."""
    kh, kw, c, _ = window
    _, h, w, channels = dx.shape
    runs, length = (1, kw * c) if dilation[1] == 1 and groups == 1 else (kw, c)
    to, of, width, at = dx.reshape(dx.size), shares.reshape(shares.size), w * channels, 0
    for line in range(start, stop):
        image, p = divmod(line, out[0])
        for q in range(out[1]):
            for i in range(kh):
                a = p * strides[0] + i * dilation[0] - before[0]
                for j in range(runs):
                    b = (q * strides[1] + j * dilation[1] - before[1]) * channels + channel
                    low, high = max(0, -b), min(length, width - b)
                    if 0 <= a < h and low < high:
                        add(to, (image * h + a) * width + b + low, of, at + low, high - low)
                    at += length


def one_channel(kernel_shape: tuple[int, ...], groups: int) -> bool:
    return kernel_shape[2] == 1 and groups == 1


@loop
def lines_at_once(taps, filters, windows, most):
    """Tell how many lines to take at a time."""
    return max(1, min(most, min(PIECE, PRODUCT // filters) // (taps * windows)))


@loop
def cell_windows(strides, pads, pool_size, i, j):
    """Return strides and pads of the windows that belong to cell (i, j) of each pool."""
    steps = (strides[0] * pool_size[0], strides[1] * pool_size[1])
    before = (pads[0][0] - i * strides[0], pads[1][0] - j * strides[1])
    return steps, before
