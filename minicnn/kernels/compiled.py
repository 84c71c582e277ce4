"""The kernels of `reference`, compiled with Numba: same names, arguments and results to rounding.

Every loop here works on the images `first` to `last` and gives up the interpreter's lock; `_share` hands each core
its part of the batch. A core gathers the windows of a few images into a buffer that stays in its cache and
multiplies there, so that what is big (the gathered windows) never reaches memory.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from minicnn.kernels.cores import share

Pair = tuple[int, int]
Pads = tuple[Pair, Pair]
PIECE = 2**17
"""Numbers in a core's buffer of gathered windows: half a megabyte in float32."""


def conv2d(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, strides: Pair, pads: Pads, dilation: Pair, groups: int
) -> np.ndarray:
    """See `reference.conv2d`."""
    x, kernel = np.ascontiguousarray(x), np.ascontiguousarray(kernel, x.dtype)
    y = np.empty((len(x), *_out(x.shape, kernel.shape, strides, pads, dilation), kernel.shape[3]), x.dtype)
    bias = np.zeros(kernel.shape[3], x.dtype) if bias is None else np.ascontiguousarray(bias, x.dtype)
    loop = _conv_one_channel if kernel.shape[2] == 1 and groups == 1 else _conv
    share(loop, len(x), y.size * kernel[..., 0].size, x, kernel, bias, y, strides, pads, dilation, groups)
    return y


@njit(nogil=True, cache=True)
def _conv_one_channel(first, last, x, kernel, bias, y, strides, pads, dilation, groups):
    # A product with kh * kw columns is too thin for BLAS: add tap after tap into the filters instead.
    _, h, w, _ = x.shape
    for n in range(first, last):
        for p in range(y.shape[1]):
            for q in range(y.shape[2]):
                to = y[n, p, q]
                to[:] = bias
                for i in range(kernel.shape[0]):
                    a = p * strides[0] + i * dilation[0] - pads[0][0]
                    if a < 0 or a >= h:
                        continue
                    for j in range(kernel.shape[1]):
                        b = q * strides[1] + j * dilation[1] - pads[1][0]
                        if 0 <= b < w:
                            cell = x[n, a, b, 0]
                            for k in range(len(to)):
                                to[k] += cell * kernel[i, j, 0, k]


@njit(nogil=True, cache=True)
def _conv(first, last, x, kernel, bias, y, strides, pads, dilation, groups):
    kh, kw, c, filters = kernel.shape
    _, p, q, _ = y.shape
    k = filters // groups
    step = max(1, min(last - first, PIECE // (p * q * kh * kw * c)))
    patches = np.empty((step * p * q, kh * kw * c), x.dtype)
    product = np.empty((step * p * q, k), x.dtype)
    for g in range(groups):
        matrix = np.ascontiguousarray(kernel[:, :, :, g * k : (g + 1) * k]).reshape(-1, k)
        for start in range(first, last, step):
            stop = min(last, start + step)
            rows = (stop - start) * p * q
            _gather(x, start, stop, g * c, patches, kernel.shape, (p, q), strides, pads, dilation, groups)
            np.dot(patches[:rows], matrix, product[:rows])
            to = y[start:stop].reshape(rows, filters)
            for r in range(rows):
                for t in range(k):
                    to[r, g * k + t] = product[r, t] + bias[g * k + t]


@njit(nogil=True, cache=True)
def _gather(x, start, stop, channel, patches, window, out, strides, pads, dilation, groups):
    """Copy windows into the rows of `patches`, zeros for pads; whole rows of a window at a time where they touch."""
    kh, kw, c, _ = window
    n, h, w, channels = x.shape
    together = dilation[1] == 1 and groups == 1
    runs, length = (1, kw * c) if together else (kw, c)
    flat = x.reshape(n, h, w * channels)
    row = 0
    for image in range(start, stop):
        for p in range(out[0]):
            for q in range(out[1]):
                at = 0
                for i in range(kh):
                    a = p * strides[0] + i * dilation[0] - pads[0][0]
                    for j in range(runs):
                        b = (q * strides[1] + j * dilation[1] - pads[1][0]) * channels + channel
                        low = max(0, -b) if 0 <= a < h else length
                        high = max(low, min(length, w * channels - b))
                        for t in range(min(low, length)):
                            patches[row, at + t] = 0
                        for t in range(low, min(high, length)):
                            patches[row, at + t] = flat[image, a, b + t]
                        for t in range(high, length):
                            patches[row, at + t] = 0
                        at += length
                row += 1


def conv2d_input_grad(
    g: np.ndarray, kernel: np.ndarray, x_shape: tuple[int, ...], strides: Pair, pads: Pads, dilation: Pair, groups: int
) -> np.ndarray:
    """See `reference.conv2d_input_grad`."""
    g, kernel = np.ascontiguousarray(g), np.ascontiguousarray(kernel, g.dtype)
    dx = np.empty(x_shape, g.dtype)
    share(_conv_input_grad, len(g), g.size * kernel[..., 0].size, g, kernel, dx, strides, pads, dilation, groups)
    return dx


@njit(nogil=True, cache=True)
def _conv_input_grad(first, last, g, kernel, dx, strides, pads, dilation, groups):
    kh, kw, c, filters = kernel.shape
    _, p, q, _ = g.shape
    k = filters // groups
    step = max(1, min(last - first, PIECE // (p * q * kh * kw * c)))
    shares = np.empty((step * p * q, kh * kw * c), g.dtype)
    dx[first:last] = 0
    for group in range(groups):
        matrix = np.ascontiguousarray(kernel[:, :, :, group * k : (group + 1) * k]).reshape(-1, k)
        back = np.ascontiguousarray(matrix.T)
        for start in range(first, last, step):
            stop = min(last, start + step)
            rows = (stop - start) * p * q
            part = g[start:stop].reshape(rows, filters)
            if groups > 1:
                part = np.ascontiguousarray(part[:, group * k : (group + 1) * k])
            np.dot(part, back, shares[:rows])
            _scatter(dx, start, stop, group * c, shares, kernel.shape, (p, q), strides, pads, dilation, groups)


@njit(nogil=True, cache=True)
def _scatter(dx, start, stop, channel, shares, window, out, strides, pads, dilation, groups):
    """Add the rows of `shares` back to the cells that their windows read: the reverse of `_gather`."""
    kh, kw, c, _ = window
    n, h, w, channels = dx.shape
    together = dilation[1] == 1 and groups == 1
    runs, length = (1, kw * c) if together else (kw, c)
    flat = dx.reshape(n, h, w * channels)
    row = 0
    for image in range(start, stop):
        for p in range(out[0]):
            for q in range(out[1]):
                at = 0
                for i in range(kh):
                    a = p * strides[0] + i * dilation[0] - pads[0][0]
                    for j in range(runs):
                        b = (q * strides[1] + j * dilation[1] - pads[1][0]) * channels + channel
                        if 0 <= a < h:
                            for t in range(max(0, -b), min(length, w * channels - b)):
                                flat[image, a, b + t] += shares[row, at + t]
                        at += length
                row += 1


def conv2d_kernel_grad(
    g: np.ndarray, x: np.ndarray, kernel_shape: tuple[int, ...], strides: Pair, pads: Pads, dilation: Pair, groups: int
) -> np.ndarray:
    """See `reference.conv2d_kernel_grad`."""
    g, x = np.ascontiguousarray(g), np.ascontiguousarray(x, g.dtype)
    work = g.size * int(np.prod(kernel_shape[:3]))
    loop = _conv_kernel_grad_one_channel if kernel_shape[2] == 1 and groups == 1 else _conv_kernel_grad
    shape = tuple(kernel_shape)
    parts = share(loop, len(g), work, g, x, shape, strides, pads, dilation, groups)
    return sum(parts[1:], parts[0]) if parts else np.zeros(shape, g.dtype)


@njit(nogil=True, cache=True)
def _conv_kernel_grad_one_channel(first, last, g, x, shape, strides, pads, dilation, groups):
    kh, kw, _, filters = shape
    _, h, w, _ = x.shape
    dk = np.zeros(shape, g.dtype)
    for n in range(first, last):
        for p in range(g.shape[1]):
            for q in range(g.shape[2]):
                share_of = g[n, p, q]
                for i in range(kh):
                    a = p * strides[0] + i * dilation[0] - pads[0][0]
                    if a < 0 or a >= h:
                        continue
                    for j in range(kw):
                        b = q * strides[1] + j * dilation[1] - pads[1][0]
                        if 0 <= b < w:
                            cell = x[n, a, b, 0]
                            to = dk[i, j, 0]
                            for k in range(filters):
                                to[k] += cell * share_of[k]
    return dk


@njit(nogil=True, cache=True)
def _conv_kernel_grad(first, last, g, x, shape, strides, pads, dilation, groups):
    kh, kw, c, filters = shape
    _, p, q, _ = g.shape
    k = filters // groups
    step = max(1, min(last - first, PIECE // (p * q * kh * kw * c)))
    patches = np.empty((step * p * q, kh * kw * c), g.dtype)
    product = np.empty((kh * kw * c, k), g.dtype)
    dk = np.zeros((kh * kw * c, filters), g.dtype)
    for group in range(groups):
        for start in range(first, last, step):
            stop = min(last, start + step)
            rows = (stop - start) * p * q
            _gather(x, start, stop, group * c, patches, shape, (p, q), strides, pads, dilation, groups)
            part = g[start:stop].reshape(rows, filters)
            if groups > 1:
                part = np.ascontiguousarray(part[:, group * k : (group + 1) * k])
            np.dot(patches[:rows].T, part, product)
            for r in range(kh * kw * c):
                for t in range(k):
                    dk[r, group * k + t] += product[r, t]
    return dk.reshape(shape)


def _out(x: tuple[int, ...], window: tuple[int, ...], strides: Pair, pads: Pads, dilation: Pair) -> Pair:
    p, q = ((x[1 + a] + sum(pads[a]) - (window[a] - 1) * dilation[a] - 1) // strides[a] + 1 for a in (0, 1))
    return p, q
