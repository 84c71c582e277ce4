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
    _, h, w, channels = x.shape
    runs, length = tap_runs(window, dilation, groups)
    cells, to, width = x.reshape(x.size), patches.reshape(patches.size), w * channels
    step, taps, base = strides[1] * channels, window[0] * window[1] * window[2], 0
    image, p = divmod(start, out[0])
    for _ in range(start, stop):
        for i in range(window[0]):
            a = p * strides[0] + i * dilation[0] - before[0]
            for j in range(runs):
                b, at = (j * dilation[1] - before[1]) * channels + channel, base + (i * runs + j) * length
                low, high = _whole(b, step, length, width, out[1], 0 <= a < h)
                row = (image * h + a) * width + b
                for q in range(out[1]):
                    if low <= q < high:
                        # Written out: for two dozen numbers a call of `copy` takes twice as long.
                        here, there = np.uintp(at + q * taps), np.uintp(row + q * step)
                        for t in range(np.uintp(length)):
                            to[here + t] = cells[there + t]
                    else:
                        fill(to, at + q * taps, length, 0)
                        first, last = max(0, -b - q * step), min(length, width - b - q * step)
                        if 0 <= a < h and first < last:
                            copy(to, at + q * taps + first, cells, row + q * step + first, last - first)
        base += out[1] * taps
        p += 1
        if p == out[0]:
            image, p = image + 1, 0


@loop
def tap_runs(window, dilation, groups):
    """Return how many runs the taps of a window's row make in memory, and how long one is."""
    if dilation[1] == 1 and groups == 1:
        return 1, window[1] * window[2]
    return window[1], window[2]


@loop
def _whole(b, step, length, width, out, inside):
    """Return from which window to which a run lies inside the image's row; the first starts at `b`."""
    if not inside:
        return out, out
    low = min(out, max(0, -(b // step)))
    return low, max(low, min(out, (width - length - b) // step + 1))


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
    """Add the rows of `shares` back to the cells that their windows read: the reverse of `gather`."""
    _, h, w, channels = dx.shape
    runs, length = tap_runs(window, dilation, groups)
    to, of, width = dx.reshape(dx.size), shares.reshape(shares.size), w * channels
    step, taps, base = strides[1] * channels, window[0] * window[1] * window[2], 0
    image, p = divmod(start, out[0])
    for _ in range(start, stop):
        for i in range(window[0]):
            a = p * strides[0] + i * dilation[0] - before[0]
            for j in range(runs):
                b, at = (j * dilation[1] - before[1]) * channels + channel, base + (i * runs + j) * length
                low, high = _whole(b, step, length, width, out[1], 0 <= a < h)
                row = (image * h + a) * width + b
                for q in range(out[1]):
                    if low <= q < high:
                        here, there = np.uintp(row + q * step), np.uintp(at + q * taps)
                        for t in range(np.uintp(length)):
                            to[here + t] += of[there + t]
                    else:
                        first, last = max(0, -b - q * step), min(length, width - b - q * step)
                        if 0 <= a < h and first < last:
                            add(to, row + q * step + first, of, at + q * taps + first, last - first)
        base += out[1] * taps
        p += 1
        if p == out[0]:
            image, p = image + 1, 0


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


def one_channel(kernel_shape: tuple[int, ...], groups: int) -> bool:
    return kernel_shape[2] == 1 and groups == 1
