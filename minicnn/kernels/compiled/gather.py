"""Windows gathered into the rows of a matrix, and rows scattered back."""

from __future__ import annotations

import numpy as np

from minicnn.kernels.compiled.loop import copy, loop

PIECE = 2**17
"""Elements in a core's buffer of gathered windows: half a megabyte in float32."""
PRODUCT = 1_000_000
"""Multiplications in a product: up to here OpenBLAS has kernels that do not repack, up to 1.5 times as fast."""


@loop
def gather(x, start, stop, channel, channels, patches, geometry):
    """Copy windows into the rows of `patches`, zeros for padding; taps adjacent in memory are copied together."""
    _, h, w, depth = x.shape
    window, strides, pads, dilation, out = geometry
    runs, length = tap_runs(window, dilation, channels, depth)
    pixels, target, width = x.reshape(x.size), patches.reshape(patches.size), w * depth
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
                    # Written out: for two dozen elements a call of `copy` takes twice as long.
                    write, read = np.uintp(offset + q * taps), np.uintp(row + q * step)
                    if low <= q < high:
                        for t in range(np.uintp(length)):
                            target[write + t] = pixels[read + t]
                    else:
                        first, last = _inside(b + q * step, length, width, 0 <= a < h)
                        for t in range(np.uintp(first)):
                            target[write + t] = 0
                        for t in range(np.uintp(first), np.uintp(last)):
                            target[write + t] = pixels[read + t]
                        for t in range(np.uintp(last), np.uintp(length)):
                            target[write + t] = 0
        base += out[1] * taps
        p += 1
        if p == out[0]:
            image, p = image + 1, 0


@loop
def tap_runs(window, dilation, channels, depth):
    """Return how many runs the taps of a window's row make in memory, and how long one is."""
    if dilation[1] == 1 and channels == depth:
        return 1, window[1] * channels
    return window[1], channels


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
def gather_taps(x, start, stop, planes, taps, geometry, pool_size):
    """Copy the windows of images of one channel, tap by tap: row t holds the pixel under tap t of every window.

    The pixels that lie in the same place of their pools, line by line, are a plane. Windows overlap, so a plane serves
    many taps: each is a stretch of a plane for each image.
    """
    window, strides, pads, dilation, _ = geometry
    out, step = pools(geometry, pool_size), (strides[0] * pool_size[0], strides[1] * pool_size[1])
    high, wide = pool_extent(geometry, pool_size)
    more = (high - 1) // step[0]
    size = (stop - start + ((stop - 1) // out[0] - start // out[0] + 1) * more) * out[1]
    target, source, write = taps.reshape(taps.size), planes.reshape(planes.size), 0
    for a in range(min(step[0], high)):
        for b in range(wide):
            _gather_plane(
                x, start, stop, source, (a * wide + b) * size, out, step, a - pads[0][0], b - pads[1][0], more
            )
    for i in range(window[0]):
        for j in range(window[1]):
            for u in range(pool_size[0]):
                for v in range(pool_size[1]):
                    a, b = u * strides[0] + i * dilation[0], v * strides[1] + j * dilation[1]
                    read = (a % step[0] * wide + b) * size + a // step[0] * out[1]
                    line, lines = start, min(stop - start, out[0] - start % out[0])
                    while lines:  # an image at a time
                        copy(target, write, source, read, lines * out[1])
                        write, read, line = write + lines * out[1], read + (lines + more) * out[1], line + lines
                        lines = min(stop - line, out[0])


@loop
def planes_size(lines, geometry, pool_size):
    """Return how many elements the planes for so many lines take at most."""
    high, wide = pool_extent(geometry, pool_size)
    _, strides, _, _, _ = geometry
    out, step = pools(geometry, pool_size), strides[0] * pool_size[0]
    images = (lines - 2) // out[0] + 2
    return min(step, high) * wide * (lines + images * ((high - 1) // step)) * out[1]


@loop
def pools(geometry, pool_size):
    """Return how many whole pools there are down and across."""
    _, _, _, _, out = geometry
    return out[0] // pool_size[0], out[1] // pool_size[1]


@loop
def pool_extent(geometry, pool_size):
    """Return how many rows and columns of the input a pool reads."""
    window, strides, _, dilation, _ = geometry
    high = (window[0] - 1) * dilation[0] + (pool_size[0] - 1) * strides[0] + 1
    wide = (window[1] - 1) * dilation[1] + (pool_size[1] - 1) * strides[1] + 1
    return high, wide


@loop
def _gather_plane(x, start, stop, target, offset, out, step, top, left, more):
    """Copy each step[0]-th row of the images, and `more` below, each step[1]-th pixel of it; 0 outside the image."""
    # The loops are written out: for a dozen elements a call of `copy` takes three times as long.
    _, h, w, _ = x.shape
    pixels = x.reshape(x.size)
    low = min(out[1], max(0, -(left // step[1])))
    high = max(low, min(out[1], (w - 1 - left) // step[1] + 1))
    width, low, high, across = np.uintp(out[1]), np.uintp(low), np.uintp(high), np.uintp(step[1])
    image, p = divmod(start, out[0])
    line = start
    while line < stop:
        lines = min(stop - line, out[0] - p)
        for r in range(p, p + lines + more):
            row = r * step[0] + top
            write, read = np.uintp(offset), np.uintp((image * h + row) * w + left)
            offset += out[1]
            if row < 0 or row >= h:
                for q in range(width):
                    target[write + q] = 0
                continue
            for q in range(low):
                target[write + q] = 0
            if across == 2:  # the usual pooling; with a constant step the compiler uses vector instructions
                for q in range(low, high):
                    target[write + q] = pixels[read + np.uintp(2) * q]
            else:
                for q in range(low, high):
                    target[write + q] = pixels[read + across * q]
            for q in range(high, width):
                target[write + q] = 0
        line, image, p = line + lines, image + 1, 0


@loop
def scatter(dx, start, stop, channel, channels, products, geometry):
    """Add the rows of `products` back to the pixels that their windows read: the reverse of `gather`."""
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


def one_channel(kernel_shape: tuple[int, ...], groups: int) -> bool:
    """Tell whether the images have one channel, for which gathering tap by tap is faster."""
    return kernel_shape[2] == 1 and groups == 1
