"""Stochastic pooling: one element of each window is drawn."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from minicnn.geometry import Shape, Size
from minicnn.graph import Array, op
from minicnn.kernels.arithmetic import add_up
from minicnn.ops.pool import PoolKeywords, checked_pool_windows, pool_keywords, pool_shape
from minicnn.ops.pooling_variants.elements import gather, scatter
from minicnn.ops.pooling_variants.power_means import relative
from minicnn.validation import generator


def stochastic_pool2d_shape(
    x: Shape, pool_size: Size = 2, *, rng: np.random.Generator | None = None, **how: Any
) -> Shape:
    """Shape rule of stochastic_pool2d: (N, H, W, C) -> (N, P, Q, C)."""
    if rng is not None:
        generator("stochastic_pool2d", rng)
    return pool_shape("stochastic_pool2d", x, pool_size, **how)


@op(stochastic_pool2d_shape)
@pool_keywords
def stochastic_pool2d(
    x: Array, pool_size: Size = 2, *, rng: np.random.Generator | None = None, **how: Unpack[PoolKeywords]
) -> Any:
    """Draw one element of each window with probability x / sum(x): (N, H, W, C) -> (N, P, Q, C).

    Without `rng` the mean weighted by these probabilities. For non-negative activations: negative values count as
    0, and a window of zeros gives 0. Infinite elements are equally probable; NaN in a window gives
    NaN. The gradient goes to the element drawn. Zeiler and Fergus, "Stochastic pooling for regularization of deep
    convolutional neural networks", 2013.

    >>> stochastic_pool2d(np.array([0.0, 1.0, 1.0, 2.0]).reshape(1, 2, 2, 1)).ravel()
    array([1.5])
    """
    w = checked_pool_windows("stochastic_pool2d", x.shape, pool_size, **how)
    elements = gather(np.maximum(x, 0), w)
    top = elements.max(axis=0, keepdims=True)
    odds = relative(elements, top)
    if rng is None:
        total = np.maximum(add_up(odds, 0, True), 1)
        mean = add_up(np.square(odds), 0, True) / total
        y, slopes = top * mean, (2 * odds - mean) / total
    else:
        drawn = _draw(odds, rng)
        y = np.take_along_axis(elements, drawn, axis=0)
        slopes = (np.arange(len(odds)).reshape(-1, 1, 1, 1, 1) == drawn).astype(x.dtype)
    return y[0], (lambda g: scatter(g[None] * slopes, w) * (x > 0),)


def _draw(odds: np.ndarray, rng: np.random.Generator) -> Any:
    """Draw one of the T elements of each window in proportion to its odds; the first NaN if there is one."""
    sums = np.cumsum(odds, axis=0, dtype=np.float64)
    level = rng.random(sums[-1:].shape) * sums[-1:]
    return np.argmax((sums > level) | np.isnan(sums), axis=0)[None]
