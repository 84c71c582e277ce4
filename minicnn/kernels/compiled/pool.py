"""Maximum and sum of windows, forward and backward."""

from __future__ import annotations

import math

import numpy as np
from numpy import ndarray

from minicnn.geometry import Geometry, Shape
from minicnn.kernels.arithmetic import comparable, wide
from minicnn.kernels.compiled.loop import add, contiguous, copy, fill, loop
from minicnn.kernels.cores import in_parallel


def max_pool2d(x: ndarray, geometry: Geometry) -> ndarray:
    """See `reference.max_pool2d`."""
    x = contiguous(x)
    y = np.empty((len(x), *geometry.out, x.shape[3]), x.dtype)
    in_parallel(max_windows, len(x), y.size * math.prod(geometry.window), x, y, tuple(geometry))
    return y


@loop
def max_windows(first, last, x, y, geometry):
    """Write the maxima of the windows of some images."""
    _, h, w, c = x.shape
    window, strides, pads, dilation, (p, q) = geometry
    pixels, target = x.reshape(x.size), y.reshape(y.size)
    for n in range(first, last):
        for row in range(p):
            for col in range(q):
                offset = ((n * p + row) * q + col) * c
                found = False
                for i in range(window[0]):
                    a = row * strides[0] + i * dilation[0] - pads[0][0]
                    if a < 0 or a >= h:
                        continue
                    for j in range(window[1]):
                        b = col * strides[1] + j * dilation[1] - pads[1][0]
                        if 0 <= b < w:
                            pixel = ((n * h + a) * w + b) * c
                            if found:
                                _maximum(target, offset, pixels, pixel, c)
                            else:
                                copy(target, offset, pixels, pixel, c)
                            found = True
                if not found:
                    fill(target, offset, c, -np.inf)


@loop
def _maximum(target, offset, source, start, length):
    offset, start = np.uintp(offset), np.uintp(start)
    for t in range(np.uintp(length)):
        new, old = source[start + t], target[offset + t]
        target[offset + t] = new if new > old or new != new else old


def max_pool2d_grad(g: ndarray, x: ndarray, y: ndarray, geometry: Geometry, split: bool) -> ndarray:
    """See `reference.max_pool2d_grad`."""
    g, x, y = map(contiguous, (g, *comparable(x, y, g.dtype)))
    dx = np.empty(x.shape, wide(g.dtype, math.prod(map(min, geometry.window, geometry.out))))
    work = y.size * math.prod(geometry.window)
    backward = _max_pool_split if split else _max_pool_first
    in_parallel(backward, len(g), work, g, x, y, dx, tuple(geometry))
    return dx.astype(g.dtype, copy=False)


@loop
def _max_pool_first(first, last, g, x, y, dx, geometry):
    _, h, w, c = x.shape
    window, strides, pads, dilation, (p, q) = geometry
    pixels, maxima, gradients, target = x.reshape(x.size), y.reshape(y.size), g.reshape(g.size), dx.reshape(dx.size)
    argmax = np.empty(c, np.int64)
    dx[first:last] = 0
    for n in range(first, last):
        for row in range(p):
            for col in range(q):
                offset = ((n * p + row) * q + col) * c
                argmax[:] = -1
                # Backwards, so that the first of several maxima is stored last.
                for i in range(window[0] - 1, -1, -1):
                    a = row * strides[0] + i * dilation[0] - pads[0][0]
                    if a < 0 or a >= h:
                        continue
                    for j in range(window[1] - 1, -1, -1):
                        b = col * strides[1] + j * dilation[1] - pads[1][0]
                        if 0 <= b < w:
                            _note_maxima(argmax, pixels, ((n * h + a) * w + b) * c, maxima, offset)
                for t in range(c):
                    if argmax[t] >= 0:
                        target[argmax[t]] += gradients[offset + t]


@loop
def _note_maxima(argmax, pixels, pixel, maxima, offset):
    pixel, offset = np.uintp(pixel), np.uintp(offset)
    for t in range(np.uintp(len(argmax))):
        v = pixels[pixel + t]
        argmax[t] = np.int64(pixel + t) if v == maxima[offset + t] or v != v else argmax[t]


@loop
def _max_pool_split(first, last, g, x, y, dx, geometry):
    _, h, w, c = x.shape
    window, strides, pads, dilation, (p, q) = geometry
    dx[first:last] = 0
    for n in range(first, last):
        for row in range(p):
            for col in range(q):
                for t in range(c):
                    maxima, count = y[n, row, col, t], 0
                    for counting in (True, False):
                        for i in range(window[0]):
                            a = row * strides[0] + i * dilation[0] - pads[0][0]
                            for j in range(window[1]):
                                b = col * strides[1] + j * dilation[1] - pads[1][0]
                                if 0 <= a < h and 0 <= b < w:
                                    v = x[n, a, b, t]
                                    if v == maxima or v != v:
                                        if counting:
                                            count += 1
                                        else:
                                            dx[n, a, b, t] += g[n, row, col, t] / count


def sum_pool2d(x: ndarray, geometry: Geometry) -> ndarray:
    """See `reference.sum_pool2d`."""
    x = contiguous(x)
    y = np.empty((len(x), *geometry.out, x.shape[3]), wide(x.dtype, math.prod(geometry.window)))
    in_parallel(sum_windows, len(x), y.size * math.prod(geometry.window), x, y, tuple(geometry))
    return y.astype(x.dtype, copy=False)


@loop
def sum_windows(first, last, x, y, geometry):
    """Write the sums of the windows of some images."""
    _, h, w, c = x.shape
    window, strides, pads, dilation, (p, q) = geometry
    pixels, sums = x.reshape(x.size), y.reshape(y.size)
    y[first:last] = 0
    for line in range(first * p, last * p):
        image, row = divmod(line, p)
        for i in range(window[0]):
            a = row * strides[0] + i * dilation[0] - pads[0][0]
            if a < 0 or a >= h:
                continue
            for col in range(q):
                for j in range(window[1]):
                    b = col * strides[1] + j * dilation[1] - pads[1][0]
                    if 0 <= b < w:
                        add(sums, (line * q + col) * c, pixels, ((image * h + a) * w + b) * c, c)


def sum_pool2d_grad(g: ndarray, x_shape: Shape, geometry: Geometry) -> ndarray:
    """See `reference.sum_pool2d_grad`."""
    g = contiguous(g)
    dx = np.empty(x_shape, wide(g.dtype, math.prod(map(min, geometry.window, geometry.out))))
    in_parallel(_sum_pool_grad, len(g), g.size * math.prod(geometry.window), g, dx, tuple(geometry))
    return dx.astype(g.dtype, copy=False)


@loop
def _sum_pool_grad(first, last, g, dx, geometry):
    _, h, w, c = dx.shape
    window, strides, pads, dilation, (p, q) = geometry
    sums, pixels = g.reshape(g.size), dx.reshape(dx.size)
    dx[first:last] = 0
    for line in range(first * p, last * p):
        image, row = divmod(line, p)
        for i in range(window[0]):
            a = row * strides[0] + i * dilation[0] - pads[0][0]
            if a < 0 or a >= h:
                continue
            for col in range(q):
                for j in range(window[1]):
                    b = col * strides[1] + j * dilation[1] - pads[1][0]
                    if 0 <= b < w:
                        add(pixels, ((image * h + a) * w + b) * c, sums, (line * q + col) * c, c)
