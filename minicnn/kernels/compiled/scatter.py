"""Rows of a matrix added to the pixels of their windows."""

from __future__ import annotations

import numpy as np

from minicnn.kernels.compiled.loop import loop
from minicnn.kernels.compiled.windows import tap_runs

PIECE = 2**17
"""Elements in a core's buffer of rows: half a megabyte in float32."""
PRODUCT = 1_000_000
"""Multiplications in a product: up to here OpenBLAS has kernels that do not repack, up to 1.5 times as fast."""


@loop
def _whole(b, step, length, width, out, inside):
    """Return the range of windows for which a run lies inside the image's row; the run of window 0 starts at `b`."""
    if not inside:
        return out, out
    low = min(out, max(0, -(b // step)))
    return low, max(low, min(out, (width - length - b) // step + 1))


@loop
def _inside(b, length, width, inside):
    """Return the range within a run that starts at `b` for which it lies inside the image's row."""
    first = min(length, max(0, -b)) if inside else length
    return first, max(first, min(length, width - b))


@loop
def pools(geometry, pool_size):
    """Return how many whole pools there are down and across."""
    _, _, _, _, out = geometry
    return out[0] // pool_size[0], out[1] // pool_size[1]


@loop
def scatter(dx, start, stop, channel, channels, products, geometry):
    """Add the rows of `products` back to the pixels that their windows read."""
    _, h, w, depth = dx.shape
    window, strides, pads, dilation, out = geometry
    runs, length = tap_runs(window, dilation, channels, depth)
    target, source, width = dx.reshape(dx.size), products.reshape(products.size), w * depth
    step, taps, base = strides[1] * depth, window[0] * window[1] * channels, 0
    image, p = divmod(start, out[0])
    for _ in range(start, stop):
        for i in range(window[0]):
            a = p * strides[0] + i * dilation[0] - pads[0][0]
            for j in range(runs):
                b, offset = (j * dilation[1] - pads[1][0]) * depth + channel, base + (i * runs + j) * length
                low, high = _whole(b, step, length, width, out[1], 0 <= a < h)
                row = (image * h + a) * width + b
                for q in range(out[1]):
                    write, read = np.uintp(row + q * step), np.uintp(offset + q * taps)
                    if low <= q < high:
                        for t in range(np.uintp(length)):
                            target[write + t] += source[read + t]
                    else:
                        first, last = _inside(b + q * step, length, width, 0 <= a < h)
                        for t in range(np.uintp(first), np.uintp(last)):
                            target[write + t] += source[read + t]
        base += out[1] * taps
        p += 1
        if p == out[0]:
            image, p = image + 1, 0


@loop
def lines_at_once(taps, filters, windows, most):
    """Return how many lines to process at a time."""
    return max(1, min(most, min(PIECE, PRODUCT // filters) // (taps * windows)))


@loop
def element_windows(geometry, pool_size, element):
    """Return the geometry of the windows whose results are this element of each pool."""
    window, strides, pads, dilation, _ = geometry
    i, j = element // pool_size[1], element % pool_size[1]
    steps = (strides[0] * pool_size[0], strides[1] * pool_size[1])
    shifted = ((pads[0][0] - i * strides[0], 0), (pads[1][0] - j * strides[1], 0))
    return window, steps, shifted, dilation, pools(geometry, pool_size)
