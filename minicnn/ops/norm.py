"""Batch normalisation over all axes but the channels (Ioffe and Szegedy, 2015)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.autograd import Array, op
from minicnn.checks import number
from minicnn.errors import ShapeError
from minicnn.ops.joint import jointly
from minicnn.ops.window import Shape


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


@op(batch_norm_shape)
def batch_norm(x: Array, gamma: Array, beta: Array, *, epsilon: float = 1e-3) -> Any:
    """Scale each channel of this batch to mean beta and deviation gamma: (..., C) -> (..., C).

    The variance is the population's (divided by the count), `epsilon` is added to it.
    """
    # Added up as products with ones: several times as fast as `mean` and `sum`, which walk over short rows.
    ones = np.ones(math.prod(x.shape[:-1]), x.dtype)

    def total(a: np.ndarray) -> Any:
        return ones @ a.reshape(len(ones), x.shape[-1])

    unit = x - total(x) / len(ones)
    scale = 1 / np.sqrt(total(np.square(unit)) / len(ones) + float(epsilon))
    unit *= scale

    def gradients(g: np.ndarray) -> Any:
        for_gamma, for_beta = total(g * unit), total(g)
        centred = g - for_beta / len(ones) - unit * (for_gamma / len(ones))
        return centred * (gamma * scale), for_gamma, for_beta

    return unit * gamma + beta, jointly(gradients, 3)
