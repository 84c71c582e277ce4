"""Poolings from the literature between the average and the maximum.

Padding is ignored: means, sums and weights are over the pixels of the image. A pool_size of `x.shape[1:3]`
pools globally. Gated and tree poolings (Lee, Gallagher and Tu, 2016) are left out: a patent is reported on them.
"""

from __future__ import annotations

import functools
from typing import Any, Unpack

import numpy as np

from minicnn import kernels
from minicnn.geometry import Shape, Size, Windows
from minicnn.graph import Array, op
from minicnn.kernels.arithmetic import add_up
from minicnn.ops.elementwise import unbroadcast
from minicnn.ops.pool import PoolKeywords, average_pool2d, checked_pool_windows, max_pool2d, pool_keywords, pool_shape
from minicnn.ops.pooling_variants.elements import gather, real_elements, scatter
from minicnn.ops.pooling_variants.power_means import below_largest, log_mean_exp, relative, slope_in_r, softmax_weights
from minicnn.validation import ShapeError, number


def log_mean_exp_pool2d_shape(x: Shape, pool_size: Size = 2, *, r: float = 1.0, **how: Any) -> Shape:
    """Shape rule of log_mean_exp_pool2d: (N, H, W, C) -> (N, P, Q, C)."""
    if not number("log_mean_exp_pool2d", "r", r, least=0):
        raise ValueError("log_mean_exp_pool2d: r must be above 0, got 0. Use a small r, or average_pool2d, its limit.")
    return pool_shape("log_mean_exp_pool2d", x, pool_size, **how)


@op(log_mean_exp_pool2d_shape)
@pool_keywords
def log_mean_exp_pool2d(x: Array, pool_size: Size = 2, *, r: float = 1.0, **how: Unpack[PoolKeywords]) -> Any:
    """(1 / r) log(mean(exp(r x))) of each window: (N, H, W, C) -> (N, P, Q, C).

    From the average (r near 0) to the maximum (r large). Pinheiro and Collobert, "From image-level to pixel-level
    labeling with convolutional networks", 2015. A window of padding only gives -inf.

    For any r the error of the result is at most 8 eps of the largest absolute value in the window, and the
    relative error of a pixel's gradient at most 8 eps (1 + r d), d its distance from the window's maximum; eps is
    1.2e-7 in float32. This holds for windows of up to 16 elements; longer sums add a relative error of at most 2e-5.

    >>> log_mean_exp_pool2d(np.array([1000.0, 1000.0, -9.0, -9.0]).reshape(1, 2, 2, 1)).ravel()
    array([999.306...])
    >>> log_mean_exp_pool2d(np.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 2, 2, 1), r=1e-10).ravel()
    array([2.5])
    """
    w = checked_pool_windows("log_mean_exp_pool2d", x.shape, pool_size, **how)
    real = real_elements(w)
    found = log_mean_exp(gather(x, w), real, float(r))

    def vjp_x(g: np.ndarray) -> Any:
        return scatter(g[None] * softmax_weights(found.exponents, real), w)

    return found.value[0], (vjp_x,)


def gem_pool2d_shape(
    x: Shape, p: Shape | float = (), pool_size: Size = 2, *, epsilon: float = 1e-6, **how: Any
) -> Shape:
    """Shape rule of gem_pool2d: (N, H, W, C) with p of (), (1,) or (C,) -> (N, P, Q, C)."""
    shape = pool_shape("gem_pool2d", x, pool_size, **how)
    if isinstance(p, tuple) and p not in ((), (1,), x[3:]):
        what = f"p must have one value, or one for each of {x[3]} channels, got shape {p}"
        raise ShapeError("gem_pool2d", what, f"Use a number, (1,) or ({x[3]},).")
    if not number("gem_pool2d", "epsilon", epsilon, least=0):
        raise ValueError("gem_pool2d: epsilon must be above 0, got 0. Use a number such as 1e-6.")
    return shape


@op(gem_pool2d_shape)
@pool_keywords
def gem_pool2d(
    x: Array, p: Array = 3.0, pool_size: Size = 2, *, epsilon: float = 1e-6, **how: Unpack[PoolKeywords]
) -> Any:
    """Generalised mean of each window, mean(max(x, epsilon)^p)^(1 / p): (N, H, W, C) -> (N, P, Q, C).

    From the minimum (p far below 0) over the geometric mean (p near 0) and the average (p = 1) to the maximum (p
    large); p is one learned number or one for each channel, not 0. Radenovic, Tolias and Chum, "Fine-tuning CNN image
    retrieval with no human annotation", 2018. A window of padding only gives 0.

    Computed as the log-mean-exp of logarithms with r = p, so that no power overflows or underflows. With m the largest
    ``|log(max(x, epsilon))|`` in the window, the relative error of the result is at most 8 eps (1 + m) and that of the
    gradient of a pixel at most ``8 eps (1 + |p|) (1 + m)``. The error of the gradient of p is at most the same
    fraction of its largest possible value, m^2 / 2 times the result.

    >>> gem_pool2d(np.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 2, 2, 1), 3.0).ravel() ** 3
    array([25.])
    >>> gem_pool2d(np.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 2, 2, 1), 1e-12).ravel() ** 4
    array([24.])
    """
    if not np.all(p):
        raise ValueError("gem_pool2d: p must be a number other than 0, got 0. Use p=1 for the average.")
    w = checked_pool_windows("gem_pool2d", x.shape, pool_size, **how)
    real, sign, epsilon = real_elements(w), np.sign(p).astype(x.dtype), float(epsilon)
    # The mean for -p is the inverse of that of inverses: with sign * logarithms, r = |p| is enough.
    logs = np.clip(x, epsilon, np.inf)  # the maximum, in a third of the time that np.maximum with a number takes
    np.log(logs, out=logs)
    logs *= sign
    found = log_mean_exp(gather(logs, w), real, np.abs(p))
    with np.errstate(over="ignore"):
        y = np.where(real.any(axis=0, keepdims=True), np.exp(sign * found.value), 0)

    def vjp_x(g: np.ndarray) -> Any:
        # (x / y)^(p - 1) / count; the quotient of x and y may overflow or underflow.
        with np.errstate(over="ignore"):
            powers = (found.r - sign) * found.below
            powers += (sign / found.r - 1) * found.log_mean
            np.exp(powers, out=powers)
            powers *= g
            powers /= found.reals
        dx = scatter(powers, w)
        dx *= x >= epsilon
        return dx

    def vjp_p(g: np.ndarray) -> Any:
        return unbroadcast(g * (y * slope_in_r(found, real))[0], np.shape(p))

    return y[0], (vjp_x, vjp_p)


@op(functools.partial(pool_shape, "soft_pool2d"))
@pool_keywords
def soft_pool2d(x: Array, pool_size: Size = 2, **how: Unpack[PoolKeywords]) -> Any:
    """Mean of each window weighted by its softmax, sum(exp(x) x) / sum(exp(x)): (N, H, W, C) -> (N, P, Q, C).

    Stergiou, Poppe and Kalliatakis, "Refining activation downsampling with SoftPool", 2021. A window of padding only
    gives 0.

    The error of the result is at most 8 eps of the largest absolute value in the window, that of a pixel's gradient
    8 eps (1 + d)^2 times its weight, d its distance from the window's maximum, in windows of up to 16 elements; see
    log_mean_exp_pool2d.

    >>> soft_pool2d(np.array([0.0, 0.0, 0.0, 1000.0]).reshape(1, 2, 2, 1)).ravel()
    array([1000.])
    """
    w = checked_pool_windows("soft_pool2d", x.shape, pool_size, **how)
    real = real_elements(w)
    top, below = below_largest(gather(x, w), real)
    weights = softmax_weights(below, real)
    mean = add_up(weights * below, 0, True)
    y = np.where(real.any(axis=0, keepdims=True), top + mean, 0)

    def vjp_x(g: np.ndarray) -> Any:
        return scatter(g[None] * weights * (1 + below - mean), w)

    return y[0], (vjp_x,)


@op(functools.partial(pool_shape, "max_average_pool2d"), composed=True)
@pool_keywords
def max_average_pool2d(x: Array, pool_size: Size = 2, **how: Unpack[PoolKeywords]) -> Any:
    """Maximum plus average of each window: (N, H, W, C) -> (N, P, Q, C). The mix is fixed, nothing is learned.

    >>> max_average_pool2d(np.array([0.0, 1.0, 2.0, 5.0]).reshape(1, 2, 2, 1)).ravel()
    array([7.])
    """
    return max_pool2d(x, pool_size, **how) + average_pool2d(x, pool_size, **how)


def lp_pool2d_shape(x: Shape, pool_size: Size = 2, *, p: float = 2.0, **how: Any) -> Shape:
    """Shape rule of lp_pool2d: (N, H, W, C) -> (N, P, Q, C)."""
    number("lp_pool2d", "p", p, least=1)
    return pool_shape("lp_pool2d", x, pool_size, **how)


@op(lp_pool2d_shape)
@pool_keywords
def lp_pool2d(x: Array, pool_size: Size = 2, *, p: float = 2.0, **how: Unpack[PoolKeywords]) -> Any:
    """Lp norm of each window, ``(sum |x|^p)^(1/p)``, the sum and not the mean: (N, H, W, C) -> (N, P, Q, C).

    p = 1 is the sum of absolute values; for large p the result approaches the maximum. The gradient at a window of
    zeros is zero. An infinite pixel makes the result infinite and, for p above 1, gets the gradient, in equal parts if
    there are several; NaN propagates.

    For any p and any numbers the relative error of the result y is at most ``8 eps (1 + |log y|)``, that of the
    gradient p times as large (eps is 1.2e-7 in float32), in windows of up to 16 elements; longer sums add at most 2e-5.

    >>> lp_pool2d(np.array([3.0, 4.0, 0.0, 0.0]).reshape(1, 2, 2, 1)).ravel()
    array([5.])
    >>> lp_pool2d(np.array([3.0, 4.0, 0.0, 0.0]).reshape(1, 2, 2, 1), p=1e4).ravel()
    array([4.])
    """
    w = checked_pool_windows("lp_pool2d", x.shape, pool_size, **how)
    p = float(p)
    size = np.abs(x)
    if not _powers_fit(size, p):
        return _scaled_norm(x, w, p)
    powers = np.square(size) if p == 2 else size**p  # the usual power: `**` takes four times as long
    y = kernels.sum_pool2d(powers, w.geometry)
    y **= 1 / p

    def vjp_x(g: np.ndarray) -> Any:
        factor = g * np.where(y > 0, y, 1) ** (1 - p)
        factor[y == 0] = 0
        slope = x if p == 2 else size ** (p - 1) * np.sign(x)
        return kernels.sum_pool2d_grad(factor, x.shape, w.geometry) * slope

    return y, (vjp_x,)


def _powers_fit(size: np.ndarray, p: float) -> bool:
    """Tell whether the p-th powers of numbers >= 0 are far from overflow and, but for those of 0, from underflow."""
    limit = float(np.finfo(size.dtype).max) ** (0.75 / p)
    # The bits of floats >= 0, read as integers, are in the order of the floats; 0 - 1 wraps to the largest integer.
    bits, least = (a.view(f"u{a.itemsize}") for a in (size, np.array(1 / limit, size.dtype)))
    return bool(size.max(initial=0) < limit) and bool((bits - 1 >= least).all())


def _scaled_norm(x: np.ndarray, w: Windows, p: float) -> Any:
    """Return the largest number of each window times the norm of the window divided by it: slower, but safe."""
    elements = gather(np.abs(x), w)
    top = elements.max(axis=0)
    # Of square roots, because a quotient of 1e-60 would vanish, and its power for p near 1 would not.
    roots = relative(np.sqrt(elements), np.sqrt(top)[None])
    total = np.maximum(add_up(roots ** (2 * p), 0), 1)

    def vjp_x(g: np.ndarray) -> Any:
        return scatter(g * total ** (1 / p - 1) * roots ** (2 * (p - 1)), w) * np.sign(x)

    return top * total ** (1 / p), (vjp_x,)
