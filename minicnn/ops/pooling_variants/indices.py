"""Indices of the maxima of a max pooling, and unpooling with them."""

from __future__ import annotations

import functools
import math
from typing import Any, Unpack

import numpy as np

from minicnn.geometry import Shape, Size, check_area, check_image, pair
from minicnn.graph import Array, Node, op
from minicnn.kernels import reference
from minicnn.kernels.arithmetic import wide
from minicnn.ops.pool import PoolKeywords, checked_pool_windows, pool_keywords, pool_shape
from minicnn.validation import ShapeError

MOST_PIXELS = 2**24
"""The largest unpooled image, 4096 x 4096: the size before pooling cannot be derived from the input."""


@op(functools.partial(pool_shape, "max_pool2d_indices"), composed=True)
@pool_keywords
def max_pool2d_indices(x: Array, pool_size: Size = 2, **how: Unpack[PoolKeywords]) -> np.ndarray:
    """Return the index of the maximum of each window: (N, H, W, C) -> integers (N, P, Q, C).

    They are row * W + column in the image, of the first maximum in row order; -1 for a window of padding only.

    >>> max_pool2d_indices(np.arange(16.0).reshape(1, 4, 4, 1)).ravel()
    array([ 5,  7, 13, 15])
    """
    x = x.data if isinstance(x, Node) else x
    w = checked_pool_windows("max_pool2d_indices", x.shape, pool_size, **how)
    return reference.max_pool2d_indices(x, reference.max_pool2d(x, w.geometry), w.geometry)


def max_unpool2d_shape(x: Shape, indices: np.ndarray, output_size: Size) -> Shape:
    """Shape rule of max_unpool2d: (N, P, Q, C) with indices of the same shape -> (N, H, W, C)."""
    check_image("max_unpool2d", x)
    h, w = pair("max_unpool2d", "output_size", output_size)
    check_area("max_unpool2d", "the result", (h, w), x[1:3], "Use the size of the image that was pooled.", MOST_PIXELS)
    if not isinstance(indices, np.ndarray) or indices.dtype.kind not in "iu":
        kind = getattr(indices, "dtype", type(indices).__name__)
        raise TypeError(f"max_unpool2d: indices must be an integer array, got {kind}. Use those of max_pool2d_indices.")
    if indices.shape != x:
        fix = "Use the indices of the pooling that made this input."
        raise ShapeError("max_unpool2d", f"indices must have the shape of the input {x}, got {indices.shape}", fix)
    if indices.size and not -1 <= indices.min() <= indices.max() < h * w:
        found = f"{indices.min()} to {indices.max()}"
        what = f"indices must be from -1 to {h * w - 1} for an image of {h}x{w} = {h * w} pixels, got {found}"
        raise ShapeError("max_unpool2d", what, "Use the size of the image that was pooled.")
    return x[0], h, w, x[3]


@op(max_unpool2d_shape)
def max_unpool2d(x: Array, indices: np.ndarray, output_size: Size) -> Any:
    """Put pooled values back at their indices, zeros elsewhere: (N, P, Q, C) -> (N, H, W, C).

    Values of overlapping windows with the same index are added, so that unpooling is the transpose of max pooling
    (the VJP of `max_pool2d`, Zeiler and Fergus's deconvolution). An index of -1 is ignored.

    >>> image = np.arange(16.0).reshape(1, 4, 4, 1)
    >>> max_unpool2d(np.ones((1, 2, 2, 1)), max_pool2d_indices(image), 4)[0, :, :, 0]
    array([[0., 0., 0., 0.],
           [0., 1., 0., 1.],
           [0., 0., 0., 0.],
           [0., 1., 0., 1.]])
    """
    n, h, w, c = shape = max_unpool2d_shape(x.shape, indices, output_size)
    somewhere = indices >= 0
    image, _, _, channel = np.nonzero(somewhere)
    to = (image * h * w + indices[somewhere].astype(np.intp)) * c + channel
    # Every window of an image can have found its maximum in the same pixel.
    y = np.zeros(n * h * w * c, wide(x.dtype, math.prod(x.shape[1:3])))
    np.add.at(y, to, x[somewhere].astype(y.dtype, copy=False))

    def vjp_x(g: np.ndarray) -> Any:
        dx = np.zeros(x.shape, g.dtype)
        dx[somewhere] = g.reshape(-1)[to]
        return dx

    return y.astype(x.dtype, copy=False).reshape(shape), (vjp_x,)
