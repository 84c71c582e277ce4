"""Sums of gradients over the elements of many images, see `kernels.arithmetic` for the bounds of their errors."""

from __future__ import annotations

import numpy as np

from minicnn.kernels.arithmetic import PIECE_TERMS
from minicnn.kernels.compiled.loop import BLOCKED, add, fill, loop


# Loops instead of expressions of whole arrays, for each of which Numba takes half a second more to compile.
@loop
def accumulators(size, long, dtype):
    """Return an accumulator for the pieces and, if there are many, a float64 accumulator for sums of pieces."""
    return np.zeros(size, dtype), np.zeros(size if long else 0, np.float64)


@loop
def move(pieces, total):
    """Add the pieces to the total and start again at 0."""
    add(total, 0, pieces, 0, pieces.size)
    fill(pieces, 0, pieces.size, 0)


@loop
def together(pieces, total):
    """Return the sum of both in the memory of the pieces."""
    for i in range(np.uintp(total.size)):
        pieces[i] = total[i] + pieces[i]
    return pieces


@loop
def bias_grads(g, argmax, first, last):
    """Return the sum of the gradients of some images that ReLU does not block, for each filter."""
    filters, image = g.shape[3], g.shape[1] * g.shape[2] * g.shape[3]
    values, indices = g.reshape(g.size), argmax.reshape(argmax.size)
    total, rounded = np.zeros(filters, np.float64), np.empty(filters, g.dtype)
    for start in range(first * image, last * image, PIECE_TERMS * filters):
        stop = min(last * image, start + PIECE_TERMS * filters)
        add(total, 0, _sum_rows(values[start:stop], indices[start:stop], filters), 0, filters)
    for f in range(filters):
        rounded[f] = total[f]
    return rounded


@loop
def _sum_rows(g, argmax, filters):
    # Sixteen rows at a time: a loop over six or ten filters is too short for vector instructions.
    # With a plain 0 the other branch, and the sum, would be in float64: three times the time.
    lanes, zero = np.zeros(16 * filters, g.dtype), g.dtype.type(0)
    for start in range(0, len(g), len(lanes)):
        offset, length = np.uintp(start), np.uintp(min(len(lanes), len(g) - start))
        if len(argmax):
            for t in range(length):
                lanes[t] += g[offset + t] if argmax[offset + t] != BLOCKED else zero
        else:
            for t in range(length):
                lanes[t] += g[offset + t]
    sums = np.zeros(filters, g.dtype)
    for start in range(0, len(lanes), filters):
        add(sums, 0, lanes, start, filters)
    return sums
