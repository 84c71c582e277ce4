"""Pooling: each window of one channel becomes one number.

Padding is never the maximum and never receives a gradient; it counts in an average only on request. A window that
contains no pixel of the input at all (dilation can do that) has maximum -inf and average 0.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict, Unpack

import numpy as np

from minicnn import kernels
from minicnn.geometry import Padding, Shape, Size, Windows, check_image, one_window, windows
from minicnn.graph import Array, op, remembered
from minicnn.hints import C, spelled_out
from minicnn.kernels.arithmetic import sum_rows
from minicnn.validation import flag, one_of

Ties = Literal["first", "split"]


class PoolKeywords(TypedDict, total=False):
    """The keywords of every pooling by windows. Their defaults are those of `pool_windows`."""

    strides: Size | None
    padding: Padding
    dilation_rate: Size
    ceil_mode: bool


def pool_windows(
    where: str,
    x: Shape,
    pool_size: Size = 2,
    *,
    strides: Size | None = None,
    padding: Padding = "valid",
    dilation_rate: Size = 1,
    ceil_mode: bool = False,
) -> Windows:
    """Return how the windows of a pooling lie on images, or raise what does not fit."""
    # By default windows touch without overlapping, as in the other frameworks.
    steps = pool_size if strides is None else strides
    return windows(where, (x[1], x[2]), pool_size, steps, padding, dilation_rate, ceil_mode=ceil_mode, pooling=True)


checked_pool_windows = remembered(pool_windows)


def pool_keywords(pooling: C) -> C:
    """Decorate a pooling, so that its signature lists the keywords that it passes on to `pool_windows`."""
    return spelled_out(PoolKeywords, pool_windows)(pooling)


def pool_shape(where: str, x: Shape, pool_size: Size = 2, **how: Any) -> Shape:
    """Shape rule of every pooling by windows: (N, H, W, C) -> (N, P, Q, C). `where` names the op in errors."""
    check_image(where, x)
    return x[0], *pool_windows(where, x, pool_size, **how).out, x[3]


def check_ties(where: str, name: str, ties: str) -> None:
    """Raise ValueError unless the tie rule is known."""
    one_of(where, name, ties, ("first", "split"))


def max_pool2d_shape(x: Shape, pool_size: Size = 2, *, ties: Ties = "first", **how: Any) -> Shape:
    """Shape rule of max_pool2d: (N, H, W, C) -> (N, P, Q, C)."""
    check_ties("max_pool2d", "ties", ties)
    return pool_shape("max_pool2d", x, pool_size, **how)


@op(max_pool2d_shape)
@pool_keywords
def max_pool2d(x: Array, pool_size: Size = 2, *, ties: Ties = "first", **how: Unpack[PoolKeywords]) -> Any:
    """Maximum of each window: (N, H, W, C) -> (N, P, Q, C). `strides` defaults to the window.

    The gradient goes to the first maximum of each window in row order, or with `ties="split"` in equal parts to
    all of them. The maximum of a window with NaN is NaN.

    >>> max_pool2d(np.arange(16.0).reshape(1, 4, 4, 1)).ravel()
    array([ 5.,  7., 13., 15.])
    """
    w = checked_pool_windows("max_pool2d", x.shape, pool_size, **how)
    y = kernels.max_pool2d(x, w.geometry)
    # No argmax is stored: comparing x with y finds it again, and evaluation does not need it.
    return y, (lambda g: kernels.max_pool2d_grad(g, x, y, w.geometry, ties == "split"),)


def average_pool2d_shape(x: Shape, pool_size: Size = 2, *, count_include_pad: bool = False, **how: Any) -> Shape:
    """Shape rule of average_pool2d: (N, H, W, C) -> (N, P, Q, C)."""
    flag("average_pool2d", "count_include_pad", count_include_pad)
    return pool_shape("average_pool2d", x, pool_size, **how)


@op(average_pool2d_shape)
@pool_keywords
def average_pool2d(
    x: Array, pool_size: Size = 2, *, count_include_pad: bool = False, **how: Unpack[PoolKeywords]
) -> Any:
    """Average of each window: (N, H, W, C) -> (N, P, Q, C). `strides` defaults to the window.

    The divisor is the number of pixels of the input in the window; with `count_include_pad` padding counts too, but
    never what extends past it in ceil mode (PyTorch's rule). In float32 the error is at most 2e-5 of the average of
    absolute values, for windows of any size.

    >>> average_pool2d(np.arange(1.0, 10.0).reshape(1, 3, 3, 1), 2, strides=2, padding="same").ravel()
    array([3. , 4.5, 7.5, 9. ])
    """
    w = checked_pool_windows("average_pool2d", x.shape, pool_size, **how)
    counted = divisor(w, count_include_pad, x.dtype)
    # The kernels return sums; dividing here keeps one rule for what counts, forward and backward.
    y = kernels.sum_pool2d(x, w.geometry)
    y /= counted
    return y, (lambda g: kernels.sum_pool2d_grad(g / counted, x.shape, w.geometry),)


def divisor(w: Windows, include_pad: bool, dtype: np.dtype) -> np.ndarray:
    """Return by what the sum of each window is divided for its average: (P, Q, 1)."""
    down, across = (np.maximum(a.real_elements(include_pad=include_pad), 1) for a in (w.rows, w.cols))
    # A window of padding only has no pixels; its average is 0 / 1 = 0.
    return np.multiply.outer(down, across).astype(dtype)[:, :, None]


def global_pool_shape(where: str, x: Shape, keepdims: bool) -> Shape:
    """Shape rule of the global poolings: (N, H, W, C) -> (N, C), or (N, 1, 1, C)."""
    check_image(where, x)
    flag(where, "keepdims", keepdims)
    return (x[0], 1, 1, x[3]) if keepdims else (x[0], x[3])


def global_max_pool2d_shape(x: Shape, *, keepdims: bool = False, ties: Ties = "first") -> Shape:
    """Shape rule of global_max_pool2d."""
    check_ties("global_max_pool2d", "ties", ties)
    return global_pool_shape("global_max_pool2d", x, keepdims)


@op(global_max_pool2d_shape)
def global_max_pool2d(x: Array, *, keepdims: bool = False, ties: Ties = "first") -> Any:
    """Maximum of each channel: (N, H, W, C) -> (N, C). One window over the whole image, ties as in max_pool2d."""
    # A pooling with one window, so that ties and NaN follow the same rule and no second kernel is needed.
    whole = one_window(x.shape[1:3])
    y = kernels.max_pool2d(x, whole)

    def vjp_x(g: np.ndarray) -> Any:
        return kernels.max_pool2d_grad(g.reshape(y.shape), x, y, whole, ties == "split")

    return y.reshape(global_max_pool2d_shape(x.shape, keepdims=keepdims)), (vjp_x,)


def global_average_pool2d_shape(x: Shape, *, keepdims: bool = False) -> Shape:
    """Shape rule of global_average_pool2d."""
    return global_pool_shape("global_average_pool2d", x, keepdims)


@op(global_average_pool2d_shape)
def global_average_pool2d(x: Array, *, keepdims: bool = False) -> Any:
    """Average of each channel: (N, H, W, C) -> (N, C).

    In float32 accurate to 6e-5 of the average of absolute values for an image of any size.

    >>> global_average_pool2d(np.full((1, 1000, 1000, 1), 0.1, np.float32)).ravel().round(5)
    array([0.1], dtype=float32)
    """
    n, h, w, c = x.shape
    y = sum_rows(x.reshape(n, h * w, c)) / (h * w)

    def vjp_x(g: np.ndarray) -> Any:
        return np.repeat(g.reshape(n, c) / (h * w), h * w, axis=0).reshape(x.shape)

    return y.reshape(global_average_pool2d_shape(x.shape, keepdims=keepdims)), (vjp_x,)
