"""Batch normalisation over all axes but the channels (Ioffe and Szegedy, 2015)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.checks import number
from minicnn.errors import ShapeError
from minicnn.geometry import Shape
from minicnn.graph import Array, op
from minicnn.kernels.sums import BLOCK, sum_rows


def batch_norm_shape(x: Shape, gamma: Shape, beta: Shape, *, epsilon: float = 1e-3) -> Shape:
    """Shape rule of batch_norm: (..., C) with (C,) and (C,) -> (..., C)."""
    if len(x) < 2 or not math.prod(x[:-1]):
        fix = "Give at least one row, or evaluate without rng: the moving statistics then serve."
        raise ShapeError("batch_norm", f"shape {x} has no rows to normalise over", fix)
    if number("batch_norm", "epsilon", epsilon, least=0) == 0:
        raise ValueError("batch_norm: epsilon=0 cannot guard a division. Use one above 0, as 1e-3.")
    if gamma != x[-1:] or beta != x[-1:]:
        what = f"gamma {gamma} and beta {beta} do not fit {x[-1]} channels of {x}"
        raise ShapeError("batch_norm", what, f"Use ({x[-1]},).")
    return x


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return rows about a pivot (R, C), and pivot, their mean from there and their variance: (..., C) -> (C,) each.

    The mean of `x` is pivot + mean, the variance the population's. Both come from sums about the pivot, a mean of the
    first rows, so that neither many rows nor a large mean costs digits: in float32 the mean is right to 1e-5
    deviations plus the rounding of the pivot, the variance to a relative 1e-4.
    """
    rows = x.reshape(-1, x.shape[-1])
    first = rows[:BLOCK]
    pivot = rows[0] + sum_rows(first - rows[0]) / len(first)  # a constant channel is its pivot, exactly
    offset = rows - pivot
    mean = sum_rows(offset) / len(rows)
    variance = sum_rows(np.square(offset)) / len(rows) - np.square(mean)
    return offset, pivot, mean, np.maximum(variance, 0)


@op(batch_norm_shape)
def batch_norm(x: Array, gamma: Array, beta: Array, *, epsilon: float = 1e-3) -> Any:
    """Scale each channel of this batch to mean beta and deviation gamma: (..., C) -> (..., C).

    The variance is the population's (divided by the count), `epsilon` is added to it. In float32 the result and its
    gradients are right to 1e-4 deviations for any number of rows; a constant channel gives beta.

    >>> batch_norm(np.full((60_000, 1), 1000.1, np.float32), np.ones(1, np.float32), np.zeros(1, np.float32)).max()
    np.float32(0.0)
    """
    offset, _, mean, variance = moments(x)
    count = len(offset)
    inverse = 1 / np.sqrt(variance + float(epsilon))
    # The normalised batch is (offset - mean) * inverse. It is never stored: its two constants for each channel join
    # gamma and beta here and the means of the gradients below, which saves a pass over the batch in either direction.
    scale = gamma * inverse
    y = offset * scale
    y += beta - mean * scale

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
