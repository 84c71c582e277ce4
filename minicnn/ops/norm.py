"""Batch normalization over all axes but the channels (Ioffe and Szegedy, 2015)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.graph import Array, Shape, op
from minicnn.kernels.arithmetic import BLOCK, sum_rows
from minicnn.validation import ShapeError, number


def batch_norm_shape(x: Shape, gamma: Shape, beta: Shape, *, epsilon: float = 1e-3) -> Shape:
    """Shape rule of batch_norm: (..., C) with (C,) and (C,) -> (..., C)."""
    if len(x) < 2 or not math.prod(x[:-1]):
        fix = "Give at least one row, or evaluate without rng, which uses the moving statistics."
        raise ShapeError("batch_norm", f"x must have shape (..., C) with at least one row, got {x}", fix)
    if number("batch_norm", "epsilon", epsilon, least=0) == 0:
        raise ValueError("batch_norm: epsilon must be positive, got 0. Use for example 1e-3.")
    if gamma != x[-1:] or beta != x[-1:]:
        what = f"gamma and beta must have one value per channel, got {gamma} and {beta} for {x[-1]} channels of {x}"
        raise ShapeError("batch_norm", what, f"Use ({x[-1]},).")
    return x


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows minus a pivot (R, C), the pivot, their mean and their variance: (..., C) -> (C,) each.

    The mean of `x` is pivot + mean, the variance that of the population. Both are sums relative to the pivot, a mean of
    the first rows, so that neither many rows nor a large mean reduces the precision: in float32 the mean is
    accurate to 1e-5 standard deviations plus the rounding of the pivot, the variance to a relative 1e-4.
    """
    rows = x.reshape(-1, x.shape[-1])
    first = rows[:BLOCK]
    pivot = rows[0] + sum_rows(first - rows[0]) / len(first)  # a constant channel is its pivot, exactly
    offset = rows - pivot
    mean = sum_rows(offset) / len(rows)
    variance = sum_rows(np.square(offset)) / len(rows) - np.square(mean)
    return offset, pivot, mean, np.maximum(variance, 0)  # rounding can make the difference slightly negative


@op(batch_norm_shape)
def batch_norm(x: Array, gamma: Array, beta: Array, *, epsilon: float = 1e-3) -> Any:
    """Scale each channel of this batch to mean beta and standard deviation gamma: (..., C) -> (..., C).

    The variance is the population's (divided by the count), `epsilon` is added to it. In float32 the result and its
    gradients are accurate to 1e-4 standard deviations for any number of rows; a constant channel gives beta.

    >>> batch_norm(np.full((60_000, 1), 1000.1, np.float32), np.ones(1, np.float32), np.zeros(1, np.float32)).max()
    np.float32(0.0)
    """
    offset, _, mean, variance = moments(x)
    count = len(offset)
    inverse = 1 / np.sqrt(variance + float(epsilon))
    # The normalized batch is (offset - mean) * inverse. It is never stored: its two constants per channel are
    # merged with gamma and beta here, and with the means of the gradients below, which saves a pass each way.
    scale = gamma * inverse
    y = offset * scale
    y += beta - mean * scale

    # The three gradients share two sums over the rows, so one function finds them all.
    def gradients(g: np.ndarray) -> Any:
        rows = g.reshape(offset.shape)
        for_beta = sum_rows(rows)
        for_gamma = (sum_rows(rows * offset) - mean * for_beta) * inverse
        slope = inverse * for_gamma / count
        dx = rows - offset * slope
        dx -= for_beta / count - mean * slope
        dx *= scale
        return dx.reshape(x.shape), for_gamma, for_beta

    return y.reshape(x.shape), (gradients, gradients, gradients)
