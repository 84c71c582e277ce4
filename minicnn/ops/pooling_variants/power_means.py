"""Means by powers and exponentials over the elements of each window, on plain arrays, accurate over their range.

Elements are (T, N, P, Q, C), `real` (T, 1, P, Q, 1) is false for padding, and what is reduced keeps its first axis with
size 1. All is computed relative to the largest element, so that nothing overflows, and gradients use the same
differences, so that no large numbers are subtracted from one another.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minicnn.kernels.arithmetic import add_up
from minicnn.ops.pooling_variants.elements import only
from minicnn.ops.reduce import below_maximum


class LogMeanExp(NamedTuple):
    """(1 / r) log(mean(exp(r v))) of each window, and the quantities its gradients need.

    Attributes
    ----------
    value : ndarray
    below : ndarray
        v minus the largest element of its window, 0 for padding.
    log_mean : ndarray
        log(mean(exp(r below))).
    r : ndarray
        r, raised where a smaller value would underflow.
    reals : ndarray
        Pixels of the image in the window, at least 1.
    """

    value: np.ndarray
    below: np.ndarray
    log_mean: np.ndarray
    r: np.ndarray
    reals: np.ndarray

    @property
    def exponents(self) -> np.ndarray:
        """Compute r below again, so that no second array of this size is kept until the gradients."""
        with np.errstate(over="ignore"):
            return np.asarray(self.r * self.below)


def below_largest(v: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest pixel of each window (-inf if it has none), and `v` minus it, finite, 0 for padding.

    `v` may be written to.
    """
    top, below = below_maximum(only(real, v, -np.inf), 0, out=v)
    if not below.min(initial=0) > -np.inf:
        np.maximum(below, np.finfo(v.dtype).min, out=below)  # finite, so that its product with a weight of 0 is 0
    return top, only(real, below)


def log_mean_exp(v: np.ndarray, real: np.ndarray, r: Any) -> LogMeanExp:
    """Return the log-mean-exp of each window without its padding, r > 0: (T, N, P, Q, C) -> (1, N, P, Q, C).

    Where the exponents are small, log(1 + mean(exp - 1)) keeps the digits that log(mean(exp)) loses. An r so small that
    only the mean is left of it is raised to where it still is: a smaller one would underflow.
    """
    kind = np.finfo(v.dtype)
    top, below = below_largest(v, real)
    extent = np.maximum(-np.minimum.reduce(below, 0, keepdims=True), kind.tiny)
    r = np.maximum(np.minimum(r, float(kind.max)).astype(v.dtype), kind.eps / extent)
    reals = np.maximum(real.sum(axis=0, keepdims=True), 1).astype(v.dtype)
    with np.errstate(over="ignore", divide="ignore"):
        exponents = r * below
        exponentials = np.exp(exponents)
        mean = add_up(only(real, exponentials), 0, True) / reals
        excess = add_up(np.expm1(exponents, out=exponentials), 0, True) / reals
        log_mean = np.where(excess > -0.5, np.log1p(excess), np.log(mean))
    return LogMeanExp(top + log_mean / r, below, log_mean, r, reals)


def softmax_weights(exponents: np.ndarray, real: np.ndarray) -> Any:
    """Return the fraction of each element in its window's sum of exponentials, 0 for padding."""
    with np.errstate(over="ignore"):
        exponentials = only(real, np.exp(exponents))
    return exponentials / np.maximum(add_up(exponentials, 0, True), 1)


def slope_in_r(found: LogMeanExp, real: np.ndarray) -> Any:
    """Return the derivative of the log-mean-exp with respect to r, of each window: (1, N, P, Q, C).

    It is K / r^2, K the divergence of the softmax weights from equal ones: the mean of b exp(b) - exp(b) + 1 with b the
    logarithm of weight times count. For small b that is its series: the terms cancel.
    """
    b = np.ravel(found.exponents - found.log_mean)
    if not b.min(initial=0) > -1e3:
        np.maximum(b, -1e3, out=b)  # exp gives 0 there, and -inf * 0 would give NaN
    terms = np.exp(b)
    terms *= b
    others = np.expm1(b)
    terms -= others
    size = np.abs(b, out=others)
    # By their indices: np.where would compute the series of all. The term of 0 is 0, of which maps of zeros have many.
    some = np.flatnonzero((size < np.finfo(b.dtype).eps ** 0.2) & (size > 0))
    small = b[some]
    terms[some] = small * small * (1 / 2 + small * (1 / 3 + small * (1 / 8 + small / 30)))
    return add_up(only(real, terms.reshape(found.below.shape)), 0, True) / found.reals / found.r / found.r


def relative(elements: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Divide elements >= 0 by the largest of their window: 0 where that is 0, 1 for each infinite one."""
    if not np.isfinite(top).all():
        elements, top = np.where(top == np.inf, elements == np.inf, elements), np.where(top == np.inf, 1, top)
    return elements / np.where(top > 0, top, 1)
