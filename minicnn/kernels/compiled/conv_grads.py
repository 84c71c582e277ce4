"""Gradients of convolution, and of the pooling and the ReLU after it.

The gradient of each pool goes to the element that was its maximum, the others get 0. This gives a matrix in the order
of the product in `conv`. Multiplied with the kernel it gives the gradient of the pixels of the windows, multiplied with
the windows that of the kernel.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy import ndarray

from minicnn.geometry import Geometry, Pair, Shape
from minicnn.kernels.arithmetic import PIECE_TERMS, TERMS, wide
from minicnn.kernels.compiled.gather import (
    element_windows,
    gather,
    gather_taps,
    lines_at_once,
    one_channel,
    planes_size,
    scatter,
)
from minicnn.kernels.compiled.loop import BLOCKED, NO_POOL, add, contiguous, fill, loop, multiply
from minicnn.kernels.cores import in_parallel


def conv2d_input_grad(g: ndarray, kernel: ndarray, x_shape: Shape, geometry: Geometry, groups: int) -> ndarray:
    """See `reference.conv2d_input_grad`."""
    return conv2d_pool_input_grad(g, None, kernel, x_shape, geometry, groups, NO_POOL)


def conv2d_weight_grads(
    g: ndarray, x: ndarray, kernel_shape: Shape, geometry: Geometry, groups: int
) -> tuple[ndarray, ndarray]:
    """See `reference.conv2d_weight_grads`."""
    return conv2d_pool_weight_grads(g, None, x, kernel_shape, geometry, groups, NO_POOL)


def conv2d_pool_input_grad(
    g: ndarray, argmax: ndarray | None, kernel: ndarray, x_shape: Shape, geometry: Geometry, groups: int, pool: Pair
) -> ndarray:
    """See `numpy_blocked.conv2d_pool_input_grad`."""
    g, kernel = contiguous(g), contiguous(kernel, g.dtype)
    dx = np.empty(x_shape, wide(g.dtype, math.prod(geometry.window)))
    work = g.size * pool[0] * pool[1] * kernel[..., 0].size
    in_parallel(_input_grad, len(g), work, g, _or_empty(argmax), kernel, dx, tuple(geometry), groups, pool)
    return dx.astype(g.dtype, copy=False)


def conv2d_pool_weight_grads(
    g: ndarray, argmax: ndarray | None, x: ndarray, kernel_shape: Shape, geometry: Geometry, groups: int, pool: Pair
) -> tuple[ndarray, ndarray]:
    """See `numpy_blocked.conv2d_pool_weight_grads`."""
    g, x, shape = contiguous(g), contiguous(x, g.dtype), tuple(kernel_shape)
    work = g.size * pool[0] * pool[1] * shape[0] * shape[1] * shape[2]
    correlate = _weight_grads_one_channel if one_channel(shape, groups) else _weight_grads
    parts = in_parallel(correlate, len(g), work, g, _or_empty(argmax), x, shape, tuple(geometry), groups, pool)
    if not parts:
        return np.zeros(shape, g.dtype), np.zeros(shape[3], g.dtype)
    both: Any = sum(parts[1:], parts[0])
    return both[:-1].reshape(shape), both[-1]


def _or_empty(argmax: ndarray | None) -> ndarray:
    return np.empty((0, 0, 0, 0), np.uint8) if argmax is None else contiguous(argmax)


@loop
def _input_grad(first, last, g, argmax, kernel, dx, geometry, groups, pool_size):
    kh, kw, c, filters = kernel.shape
    _, p, q, _ = g.shape
    k, taps, elements = filters // groups, kh * kw * c, pool_size[0] * pool_size[1]
    step = lines_at_once(taps, k, q * elements, (last - first) * p)
    spread = np.empty((step * q * elements, k), g.dtype)
    products = np.empty((step * q * elements, taps), g.dtype)
    dx[first:last] = 0
    for group in range(groups):
        matrix = np.ascontiguousarray(kernel[:, :, :, group * k : (group + 1) * k]).reshape(taps, k)
        back = np.ascontiguousarray(matrix.T)
        for start in range(first * p, last * p, step):
            stop = min(last * p, start + step)
            rows = (stop - start) * q
            gradients = _columns(g, start * q, rows, group * k, k)
            part = _spread(gradients, _columns(argmax, start * q, rows, group * k, k), elements, k, spread)
            multiply(part, back, products[: len(part)])
            for element in range(elements):
                windows = element_windows(geometry, pool_size, element)
                scatter(dx, start, stop, group * c, c, products[element * rows : (element + 1) * rows], windows)


@loop
def _weight_grads(first, last, g, argmax, x, shape, geometry, groups, pool_size):
    """Return the gradient of kernel and bias as the rows of one matrix, the bias last."""
    kh, kw, c, filters = shape
    _, p, q, _ = g.shape
    k, taps, elements = filters // groups, kh * kw * c, pool_size[0] * pool_size[1]
    step = lines_at_once(taps, k, q * elements, (last - first) * p)
    patches = np.empty((step * q * elements, taps), g.dtype)
    spread = np.empty((step * q * elements, k), g.dtype)
    product = np.empty((taps, k), g.dtype)
    both, total = _sums(taps + 1, filters, (last - first) * p > step * TERMS, g.dtype)
    for group in range(groups):
        for start in range(first * p, last * p, step):
            stop = min(last * p, start + step)
            rows = (stop - start) * q
            if len(total) and (start - first * p) % (step * TERMS) == 0:
                _move(both, total)
            for element in range(elements):
                windows = element_windows(geometry, pool_size, element)
                gather(x, start, stop, group * c, c, patches[element * rows : (element + 1) * rows], windows)
            gradients = _columns(g, start * q, rows, group * k, k)
            group_argmax = _columns(argmax, start * q, rows, group * k, k)
            part = _spread(gradients, group_argmax, elements, k, spread)
            multiply(patches[: len(part)].T, part, product)
            if groups == 1:
                add(both.reshape(both.size), 0, product.reshape(product.size), 0, product.size)
            else:
                _add_columns(both, group * k, product)
            add(both.reshape(both.size), taps * filters + group * k, _bias_grads(gradients, group_argmax, k), 0, k)
    return _together(both, total)


@loop
def _weight_grads_one_channel(first, last, g, argmax, x, shape, geometry, groups, pool_size):
    kh, kw, _, k = shape
    _, p, q, _ = g.shape
    taps, elements = kh * kw, pool_size[0] * pool_size[1]
    step = lines_at_once(taps, k, q * elements, (last - first) * p)
    size = planes_size(step, geometry, pool_size)
    planes, gathered = np.empty(size, x.dtype), np.empty(step * q * elements * taps, x.dtype)
    spread = np.empty((step * q * elements, k), g.dtype)
    product = np.empty((taps, k), g.dtype)
    both, total = _sums(taps + 1, k, (last - first) * p > step * TERMS, g.dtype)
    for start in range(first * p, last * p, step):
        stop = min(last * p, start + step)
        rows = (stop - start) * q
        if len(total) and (start - first * p) % (step * TERMS) == 0:
            _move(both, total)
        patches = gathered[: taps * elements * rows].reshape(taps, elements * rows)
        gather_taps(x, start, stop, planes, patches, geometry, pool_size)
        gradients, group_argmax = _columns(g, start * q, rows, 0, k), _columns(argmax, start * q, rows, 0, k)
        part = _spread(gradients, group_argmax, elements, k, spread)
        multiply(patches, part, product)
        add(both.reshape(both.size), 0, product.reshape(product.size), 0, product.size)
        add(both.reshape(both.size), taps * k, _bias_grads(gradients, group_argmax, k), 0, k)
    return _together(both, total)


@loop
def _sums(rows, columns, long, dtype):
    """Return an accumulator for the pieces and, if there are many, a float64 accumulator for sums of pieces."""
    return np.zeros((rows, columns), dtype), np.zeros((rows if long else 0, columns), np.float64)


# Loops instead of expressions of whole arrays, for each of which Numba takes half a second more to compile.
@loop
def _add_columns(both, first, product):
    for row in range(len(product)):
        add(both[row], first, product[row], 0, product.shape[1])


@loop
def _move(both, total):
    parts, sums = both.reshape(both.size), total.reshape(total.size)
    add(sums, 0, parts, 0, parts.size)
    fill(parts, 0, parts.size, 0)


@loop
def _together(both, total):
    parts, sums = both.reshape(both.size), total.reshape(total.size)
    for i in range(np.uintp(sums.size)):
        parts[i] = sums[i] + parts[i]
    return both


@loop
def _columns(a, start, rows, filter_, k):
    """Return the filters of one group in some rows, one after the other."""
    filters = a.shape[3]
    if a.size == 0 or k == filters:
        return a.reshape(a.size)[start * k : (start + rows) * k]
    part = a.reshape(-1, filters)[start : start + rows, filter_ : filter_ + k]
    return np.ascontiguousarray(part).reshape(rows * k)


@loop
def _spread(g, argmax, elements, k, spread):
    """Write the gradient of each pool to the element that was its maximum, 0 to the others."""
    if len(argmax) == 0:
        return g.reshape(-1, k)
    n, target = np.uintp(len(g)), spread.reshape(spread.size)
    for element in range(elements):
        offset, number = np.uintp(element) * n, np.uint8(element)
        for i in range(n):
            target[offset + i] = g[i] if argmax[i] == number else 0
    return spread[: len(g) // k * elements]


@loop
def _bias_grads(g, argmax, k):
    """Return the sum of the gradients that ReLU does not block, for each filter."""
    total, rounded = np.zeros(k, np.float64), np.empty(k, g.dtype)
    for start in range(0, len(g), PIECE_TERMS * k):
        stop = min(len(g), start + PIECE_TERMS * k)
        add(total, 0, _sum_rows(g[start:stop], argmax[start:stop], k), 0, k)
    for f in range(k):
        rounded[f] = total[f]
    return rounded


@loop
def _sum_rows(g, argmax, k):
    # Sixteen rows at a time: a loop over six or ten filters is too short for vector instructions.
    lanes = np.zeros(16 * k, g.dtype)
    for start in range(0, len(g), len(lanes)):
        offset, length = np.uintp(start), np.uintp(min(len(lanes), len(g) - start))
        if len(argmax):
            for t in range(length):
                lanes[t] += g[offset + t] if argmax[offset + t] != BLOCKED else 0
        else:
            for t in range(length):
                lanes[t] += g[offset + t]
    sums = np.zeros(k, g.dtype)
    for start in range(0, len(lanes), k):
        add(sums, 0, lanes, start, k)
    return sums
