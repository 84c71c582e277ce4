"""Blur pooling: a low-pass filter before subsampling."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.geometry import Shape, Size, Windows, check_image, pair, windows
from minicnn.graph import Array, op
from minicnn.ops.conv import conv2d
from minicnn.ops.pad import Mode, check_copies, check_mode


def blur_windows(size: tuple[int, int], pool_size: Size, strides: Size) -> Windows:
    """Return how the windows of a blur pooling lie: padded so that ceil(n / stride) of them fit."""
    (top, left) = (k - 1 for k in pair("blur_pool2d", "pool_size", pool_size))
    pads = ((top // 2, top - top // 2), (left // 2, left - left // 2))
    return windows("blur_pool2d", size, pool_size, strides, pads)


def blur_pool2d_shape(x: Shape, pool_size: Size = 3, *, strides: Size = 2, mode: Mode = "reflect") -> Shape:
    """Shape rule of blur_pool2d: (N, H, W, C) -> (N, ceil(H / s), ceil(W / s), C)."""
    check_image("blur_pool2d", x)
    check_mode("blur_pool2d", "mode", mode)
    w = blur_windows((x[1], x[2]), pool_size, strides)
    check_copies("blur_pool2d", (x[1], x[2]), w.pads, mode)
    return x[0], *w.out, x[3]


@op(blur_pool2d_shape, composed=True)
def blur_pool2d(x: Array, pool_size: Size = 3, *, strides: Size = 2, mode: Mode = "reflect") -> Any:
    """Blur, then take every second pixel: (N, H, W, C) -> (N, ceil(H / s), ceil(W / s), C).

    The filter is binomial, (1 1), (1 2 1), (1 3 3 1) .. in each direction, normalized to a sum of 1; padding is
    filled by `mode` as in `pad2d`. Zhang, "Making convolutional networks shift-invariant again", 2019, who puts it
    after a max pooling of stride 1 or instead of a stride.

    >>> blur_pool2d(np.array([0.0, 4.0, 0.0, 4.0]).reshape(1, 1, 4, 1), (1, 3)).ravel()
    array([2., 2.])
    """
    w = blur_windows(x.shape[1:3], pool_size, strides)
    kernel = np.multiply.outer(_binomial(w.rows.k), _binomial(w.cols.k)).astype(x.dtype)
    kernel = np.tile(kernel[:, :, None, None], x.shape[3])
    return conv2d(x, kernel, strides=w.strides, padding=w.pads, groups=x.shape[3], padding_mode=mode)


def _binomial(k: int) -> np.ndarray:
    return np.array([math.comb(k - 1, i) / 2 ** (k - 1) for i in range(k)])
