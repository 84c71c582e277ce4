"""The poolings of papers, composed of other ops: what lies between the average and the maximum.

Pads never count: the mean, the sums and the weights are over the cells of the image. A pool_size of `x.shape[1:3]`
pools globally. Gated and tree poolings (Lee, Gallagher and Tu, 2016) are left out: a patent is reported on them.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from minicnn.autograd import Array, Tensor, op
from minicnn.checks import generator, number
from minicnn.errors import ShapeError
from minicnn.ops.activation import relu
from minicnn.ops.arithmetic import exp, log, maximum
from minicnn.ops.conv import conv2d
from minicnn.ops.pad import Mode, check_copies, check_mode
from minicnn.ops.patches import patches2d
from minicnn.ops.pool import average_pool2d, max_pool2d, pool_windows
from minicnn.ops.reduce import logsumexp
from minicnn.ops.reduce import sum as add_up
from minicnn.ops.window import Padding, Shape, Size, Windows, check_image, pair, windows

LARGE = 1e30
"""Beyond what activations come to, and finite in float32, as is its inverse."""


def pool_shape(
    where: str,
    x: Shape,
    pool_size: Size = 2,
    *,
    strides: Size | None = None,
    padding: Padding = "valid",
    dilation_rate: Size = 1,
    ceil_mode: bool = False,
) -> Shape:
    """Shape rule of a pooling: (N, H, W, C) -> (N, P, Q, C)."""
    w = pool_windows(where, x, pool_size, strides, padding, dilation_rate, ceil_mode)
    return x[0], *w.out, x[3]


def _cells(
    x: Any, pool_size: Size, strides: Size | None, padding: Padding, dilation_rate: Size, ceil_mode: bool
) -> tuple[Any, np.ndarray]:
    """Return the cells of each window (N, P, Q, T, C), and 1 for those of the image, 0 for pads (1, P, Q, T, 1)."""
    image = np.ones((1, *x.shape[1:3], 1), x.dtype)
    cells, real = (
        patches2d(a, pool_size, strides=strides, padding=padding, dilation_rate=dilation_rate, ceil_mode=ceil_mode)
        for a in (x, image)
    )
    return cells, real


def _masked(cells: Any, real: np.ndarray) -> Any:
    """Return the cells with -inf for pads."""
    with np.errstate(divide="ignore"):
        return cells if real.all() else cells + np.log(real)


def _log_mean_exp(cells: Any, real: np.ndarray, r: Any) -> Any:
    """Return log(mean(exp(r * cells))) / r of each window; logsumexp shifts by the window's own maximum."""
    count = np.maximum(real.sum(axis=3), 1)
    return (logsumexp(_masked(r * cells, real), axis=3) - np.log(count)) / r


def log_mean_exp_pool2d_shape(
    x: Shape,
    pool_size: Size = 2,
    *,
    r: float = 1.0,
    strides: Size | None = None,
    padding: Padding = "valid",
    dilation_rate: Size = 1,
    ceil_mode: bool = False,
) -> Shape:
    """Shape rule of log_mean_exp_pool2d: (N, H, W, C) -> (N, P, Q, C)."""
    if not number("log_mean_exp_pool2d", "r", r, least=0):
        raise ValueError("log_mean_exp_pool2d: r=0 divides by zero. Use one above 0, or average_pool2d, its limit.")
    w = pool_windows("log_mean_exp_pool2d", x, pool_size, strides, padding, dilation_rate, ceil_mode)
    return x[0], *w.out, x[3]


@op(log_mean_exp_pool2d_shape, composed=True)
def log_mean_exp_pool2d(
    x: Array,
    pool_size: Size = 2,
    *,
    r: float = 1.0,
    strides: Size | None = None,
    padding: Padding = "valid",
    dilation_rate: Size = 1,
    ceil_mode: bool = False,
) -> Any:
    """(1 / r) log(mean(exp(r x))) of each window: (N, H, W, C) -> (N, P, Q, C).

    From the average (r near 0) to the maximum (r large). Pinheiro and Collobert, "From image-level to pixel-level
    labeling with convolutional networks", 2015. A window of pads only gives -inf.

    >>> log_mean_exp_pool2d(np.array([1000.0, 1000.0, -9.0, -9.0]).reshape(1, 2, 2, 1)).ravel()
    array([999.306...])
    """
    return _log_mean_exp(*_cells(x, pool_size, strides, padding, dilation_rate, ceil_mode), float(r))


def gem_pool2d_shape(
    x: Shape,
    p: Shape | float = (),
    pool_size: Size = 2,
    *,
    epsilon: float = 1e-6,
    strides: Size | None = None,
    padding: Padding = "valid",
    dilation_rate: Size = 1,
    ceil_mode: bool = False,
) -> Shape:
    """Shape rule of gem_pool2d: (N, H, W, C) with p of (), (1,) or (C,) -> (N, P, Q, C)."""
    w = pool_windows("gem_pool2d", x, pool_size, strides, padding, dilation_rate, ceil_mode)
    if isinstance(p, tuple) and p not in ((), (1,), x[3:]):
        raise ShapeError("gem_pool2d", f"p has shape {p} for {x[3]} channels", f"Use a number, (1,) or ({x[3]},).")
    if not number("gem_pool2d", "epsilon", epsilon, least=0):
        raise ValueError("gem_pool2d: epsilon=0 has no logarithm. Use a number above 0, as 1e-6.")
    return x[0], *w.out, x[3]


@op(gem_pool2d_shape, composed=True)
def gem_pool2d(
    x: Array,
    p: Array = 3.0,
    pool_size: Size = 2,
    *,
    epsilon: float = 1e-6,
    strides: Size | None = None,
    padding: Padding = "valid",
    dilation_rate: Size = 1,
    ceil_mode: bool = False,
) -> Any:
    """Generalised mean of each window, mean(max(x, epsilon)^p)^(1 / p): (N, H, W, C) -> (N, P, Q, C).

    From the average (p = 1) to the maximum (p large); p is one learned number or one a channel, not 0. Radenovic,
    Tolias and Chum, "Fine-tuning CNN image retrieval with no human annotation", 2018. Computed as the
    log-mean-exp of logarithms with r = p, so that no power overflows or vanishes. A window of pads only gives 0.

    >>> gem_pool2d(np.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 2, 2, 1), 3.0).ravel() ** 3
    array([25.])
    """
    if not np.all(p.data if isinstance(p, Tensor) else p):
        raise ValueError("gem_pool2d: p=0 divides by zero. Use p=1 for the average, a larger one towards the maximum.")
    logarithms = log(maximum(x, float(epsilon)))
    return exp(_log_mean_exp(*_cells(logarithms, pool_size, strides, padding, dilation_rate, ceil_mode), p))


@op(functools.partial(pool_shape, "soft_pool2d"), composed=True)
def soft_pool2d(
    x: Array,
    pool_size: Size = 2,
    *,
    strides: Size | None = None,
    padding: Padding = "valid",
    dilation_rate: Size = 1,
    ceil_mode: bool = False,
) -> Any:
    """Mean of each window weighted by its softmax, sum(exp(x) x) / sum(exp(x)): (N, H, W, C) -> (N, P, Q, C).

    Stergiou, Poppe and Kalliatakis, "Refining activation downsampling with SoftPool", 2021. A window of pads only
    gives 0.

    >>> soft_pool2d(np.array([0.0, 0.0, 0.0, 1000.0]).reshape(1, 2, 2, 1)).ravel()
    array([1000.])
    """
    cells, real = _cells(x, pool_size, strides, padding, dilation_rate, ceil_mode)
    logits = _masked(cells, real)
    top = np.max(logits.data if isinstance(logits, Tensor) else logits, axis=3, keepdims=True)
    weights = exp(logits - np.maximum(top, -LARGE))  # any shift gives the same quotient, this one cannot overflow
    return add_up(weights * cells, axis=3) / maximum(add_up(weights, axis=3), 1 / LARGE)


def stochastic_pool2d_shape(
    x: Shape, pool_size: Size = 2, *, rng: np.random.Generator | None = None, **how: Any
) -> Shape:
    """Shape rule of stochastic_pool2d: (N, H, W, C) -> (N, P, Q, C)."""
    if rng is not None:
        generator("stochastic_pool2d", rng)
    return pool_shape("stochastic_pool2d", x, pool_size, **how)


@op(stochastic_pool2d_shape, composed=True)
def stochastic_pool2d(
    x: Array,
    pool_size: Size = 2,
    *,
    rng: np.random.Generator | None = None,
    strides: Size | None = None,
    padding: Padding = "valid",
    dilation_rate: Size = 1,
    ceil_mode: bool = False,
) -> Any:
    """Draw one cell of each window with probability x / sum(x): (N, H, W, C) -> (N, P, Q, C).

    Without `rng` the mean weighted by these probabilities. For activations that are not negative: what is negative
    counts as 0, a window of zeros gives 0. The gradient goes to the cell drawn. Zeiler and Fergus, "Stochastic
    pooling for regularization of deep convolutional neural networks", 2013.

    >>> stochastic_pool2d(np.array([0.0, 1.0, 1.0, 2.0]).reshape(1, 2, 2, 1)).ravel()
    array([1.5])
    """
    cells, _ = _cells(relu(x), pool_size, strides, padding, dilation_rate, ceil_mode)
    if rng is not None:
        return _draw(cells, rng)
    probabilities = cells / maximum(add_up(cells, axis=3, keepdims=True), 1 / LARGE)
    return add_up(probabilities * cells, axis=3)


def _draw_shape(cells: Shape, rng: np.random.Generator) -> Shape:
    return *cells[:3], cells[4]


@op(_draw_shape)
def _draw(cells: Array, rng: np.random.Generator) -> Any:
    """Draw one of each T cells, as likely as it is large: (N, P, Q, T, C) -> (N, P, Q, C)."""
    sums = np.cumsum(cells, axis=3, dtype=np.float64)
    level = rng.random(sums[:, :, :, -1:].shape) * sums[:, :, :, -1:]
    at = np.argmax(sums > level, axis=3)[:, :, :, None]

    def vjp_cells(g: np.ndarray) -> Any:
        d = np.zeros(cells.shape, g.dtype)
        np.put_along_axis(d, at, g[:, :, :, None], axis=3)
        return d

    return np.take_along_axis(cells, at, axis=3)[:, :, :, 0], (vjp_cells,)


@op(functools.partial(pool_shape, "max_average_pool2d"), composed=True)
def max_average_pool2d(
    x: Array,
    pool_size: Size = 2,
    *,
    strides: Size | None = None,
    padding: Padding = "valid",
    dilation_rate: Size = 1,
    ceil_mode: bool = False,
) -> Any:
    """Maximum plus average of each window: (N, H, W, C) -> (N, P, Q, C). The mix is fixed, nothing is learned.

    >>> max_average_pool2d(np.array([0.0, 1.0, 2.0, 5.0]).reshape(1, 2, 2, 1)).ravel()
    array([7.])
    """
    most, average = (
        pool(x, pool_size, strides=strides, padding=padding, dilation_rate=dilation_rate, ceil_mode=ceil_mode)
        for pool in (max_pool2d, average_pool2d)
    )
    return most + average


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
    """Blur, then take every second cell: (N, H, W, C) -> (N, ceil(H / s), ceil(W / s), C).

    The filter is binomial, (1 1), (1 2 1), (1 3 3 1) .. in each direction, normalised to a sum of 1; the pads are
    filled by `mode` as in `pad2d`. Zhang, "Making convolutional networks shift-invariant again", 2019, who puts it
    after a max pooling of stride 1 or in the place of a stride.

    >>> blur_pool2d(np.array([0.0, 4.0, 0.0, 4.0]).reshape(1, 1, 4, 1), (1, 3)).ravel()
    array([2., 2.])
    """
    w = blur_windows(x.shape[1:3], pool_size, strides)
    kernel = np.multiply.outer(_binomial(w.rows.k), _binomial(w.cols.k)).astype(x.dtype)
    kernel = np.tile(kernel[:, :, None, None], x.shape[3])
    return conv2d(x, kernel, strides=w.strides, padding=w.pads, groups=x.shape[3], padding_mode=mode)


def _binomial(k: int) -> np.ndarray:
    return np.array([math.comb(k - 1, i) / 2 ** (k - 1) for i in range(k)])
