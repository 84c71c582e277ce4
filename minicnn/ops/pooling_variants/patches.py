"""The elements of each window on a separate axis, of which poolings without a kernel are composed."""

from __future__ import annotations

import math
from typing import Any, Unpack

import numpy as np

from minicnn.geometry import Shape, Size, pair
from minicnn.graph import Array, op
from minicnn.ops.pool import PoolKeywords, checked_pool_windows, pool_keywords, pool_shape
from minicnn.ops.pooling_variants.elements import gather, scatter


def patches2d_shape(x: Shape, pool_size: Size = 2, **how: Any) -> Shape:
    """Shape rule of patches2d: (N, H, W, C) -> (N, P, Q, T, C), T elements per window."""
    n, p, q, c = pool_shape("patches2d", x, pool_size, **how)
    return n, p, q, math.prod(pair("patches2d", "pool_size", pool_size)), c


@op(patches2d_shape)
@pool_keywords
def patches2d(x: Array, pool_size: Size = 2, **how: Unpack[PoolKeywords]) -> Any:
    """Gather windows: (N, H, W, C) -> (N, P, Q, T, C), the T elements of a window in row order, 0 for padding.

    Any function over axis 3 then is a pooling: `max(patches2d(x), axis=3)` is max pooling of positive values.

    >>> patches2d(np.arange(16.0).reshape(1, 4, 4, 1))[0, 0, :, :, 0]
    array([[0., 1., 4., 5.],
           [2., 3., 6., 7.]])
    """
    w = checked_pool_windows("patches2d", x.shape, pool_size, **how)
    y = np.empty((len(x), *w.out, w.rows.k * w.cols.k, x.shape[3]), x.dtype)
    gather(x, w, np.moveaxis(y, 3, 0))
    return y, (lambda g: scatter(np.moveaxis(g, 3, 0), w),)
