"""Convolution and pooling as nested loops over single numbers: slow, obvious, and written from the definitions."""

import numpy as np

from minicnn.geometry import Geometry


def reads(n, window, stride, pad, dilation):
    """For each window along one axis, the elements under its taps; None for a tap that lies on padding."""
    span = (window - 1) * dilation + 1
    count = (n + pad[0] + pad[1] - span) // stride + 1
    at = [[i * stride - pad[0] + t * dilation for t in range(window)] for i in range(count)]
    return [[element if 0 <= element < n else None for element in elements] for elements in at]


def windows(shape, size, strides, pads, dilation):
    """Yield (image, p, q, channel) and the elements (tap row, tap column, row, column) of the image in that window."""
    n, h, w, c = shape
    down = reads(h, size[0], strides[0], pads[0], dilation[0])
    across = reads(w, size[1], strides[1], pads[1], dilation[1])
    for p, rows in enumerate(down):
        for q, cols in enumerate(across):
            elements = [
                (i, j, row, col)
                for i, row in enumerate(rows)
                for j, col in enumerate(cols)
                if row is not None and col is not None
            ]
            for image in range(n):
                for channel in range(c):
                    yield (image, p, q, channel), elements


def out_shape(shape, size, strides, pads, dilation):
    p, q = (len(reads(shape[1 + a], size[a], strides[a], pads[a], dilation[a])) for a in (0, 1))
    return shape[0], p, q, shape[3]


def geometry(shape, size, strides=(1, 1), pads=((0, 0), (0, 0)), dilation=(1, 1)):
    """The record that the kernels take, with the number of windows counted here."""
    size = tuple(size[:2])
    return Geometry(size, strides, pads, dilation, out_shape(shape, size, strides, pads, dilation)[1:3])


def conv2d(x, kernel, bias, strides, pads, dilation, groups):
    y = np.zeros((*out_shape(x.shape, kernel.shape[:2], strides, pads, dilation)[:3], kernel.shape[3]))
    for to, at, kernel_at in links(x.shape, kernel.shape, strides, pads, dilation, groups):
        y[to] += x[at] * kernel[kernel_at]
    return y if bias is None else y + bias


def conv2d_grads(g, x, kernel, strides, pads, dilation, groups):
    dx, dk = np.zeros(x.shape), np.zeros(kernel.shape)
    for to, at, kernel_at in links(x.shape, kernel.shape, strides, pads, dilation, groups):
        dx[at] += g[to] * kernel[kernel_at]
        dk[kernel_at] += g[to] * x[at]
    return dx, dk


def conv2d_pool(x, kernel, bias, strides, pads, dilation, groups, pool_size, relu):
    """Convolution, pools side by side, ReLU; and what each result of the convolution gets of a gradient."""
    whole, beside = conv2d(x, kernel, bias, strides, pads, dilation, groups), (pool_size, ((0, 0), (0, 0)), (1, 1))
    best = max_pool2d(whole, pool_size, *beside)
    y = np.where(best < 0, 0, best) if relu else best

    def back(g):
        return max_pool2d_grad(np.where(y > 0, g, 0) if relu else g, whole, pool_size, *beside, False)

    return y, back


def links(x_shape, kernel_shape, strides, pads, dilation, groups):
    """Yield (result, input, kernel) indices of every product in a convolution."""
    kh, kw, width, filters = kernel_shape
    for (image, p, q, _), elements in windows((*x_shape[:3], 1), (kh, kw), strides, pads, dilation):
        for i, j, row, col in elements:
            for k in range(filters):
                group = k // (filters // groups)
                for c in range(width):
                    yield (image, p, q, k), (image, row, col, group * width + c), (i, j, c, k)


def max_pool2d(x, size, strides, pads, dilation):
    y = np.full(out_shape(x.shape, size, strides, pads, dilation), -np.inf)
    for to, elements in windows(x.shape, size, strides, pads, dilation):
        values = [x[to[0], row, col, to[3]] for _, _, row, col in elements]
        if any(np.isnan(v) for v in values):
            y[to] = np.nan
        elif values:
            y[to] = max(values)
    return y


def maxima(x, size, strides, pads, dilation):
    """Yield each window with the elements that hold its maximum, in row order; NaN is the maximum if it is there."""
    y = max_pool2d(x, size, strides, pads, dilation)
    for to, elements in windows(x.shape, size, strides, pads, dilation):
        at = [(to[0], row, col, to[3]) for _, _, row, col in elements]
        yield to, [element for element in at if x[element] == y[to] or np.isnan(x[element])]


def max_pool2d_grad(g, x, size, strides, pads, dilation, split):
    dx = np.zeros(x.shape)
    for to, elements in maxima(x, size, strides, pads, dilation):
        for element in elements if split else elements[:1]:
            dx[element] += g[to] / (len(elements) if split else 1)
    return dx


def max_pool2d_indices(x, size, strides, pads, dilation):
    where = np.full(out_shape(x.shape, size, strides, pads, dilation), -1)
    for to, elements in maxima(x, size, strides, pads, dilation):
        if elements:
            where[to] = elements[0][1] * x.shape[2] + elements[0][2]
    return where


def sum_pool2d(x, size, strides, pads, dilation):
    y = np.zeros(out_shape(x.shape, size, strides, pads, dilation))
    for to, elements in windows(x.shape, size, strides, pads, dilation):
        for _, _, row, col in elements:
            y[to] += x[to[0], row, col, to[3]]
    return y


def sum_pool2d_grad(g, x_shape, size, strides, pads, dilation):
    dx = np.zeros(x_shape)
    for to, elements in windows(x_shape, size, strides, pads, dilation):
        for _, _, row, col in elements:
            dx[to[0], row, col, to[3]] += g[to]
    return dx
