"""Activations, softmax and dropout: the result has the shape of the input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.graph import Array, Shape, op
from minicnn.kernels.arithmetic import add_up, scale
from minicnn.ops.elementwise import same_shape
from minicnn.validation import ShapeError, flag, generator, number

SATURATED = 40.0
"""Beyond this the normal distribution function is exactly 0 or 1, also in float64."""


@op(same_shape)
def relu(x: Array) -> Any:
    """max(x, 0), with derivative 0 at 0."""
    y = kernels.relu(np.asarray(x))
    # y > 0 exactly where x > 0, so the gradient needs y alone.
    return y, (lambda g: kernels.relu_grad(g, y),)


def slope_shape(x: Shape, negative_slope: float = 0.3) -> Shape:
    """Shape rule of leaky_relu."""
    number("leaky_relu", "negative_slope", negative_slope)
    return x


@op(slope_shape)
def leaky_relu(x: Array, negative_slope: float = 0.3) -> Any:
    """x where positive, else negative_slope * x; the derivative at 0 is negative_slope."""
    slope = float(negative_slope)
    if not slope:  # 0 * inf would be NaN
        return np.maximum(x, 0), (lambda g: scale(g, x > 0),)
    return np.where(x > 0, x, slope * x), (lambda g: np.where(x > 0, g, slope * g),)


def elu_shape(x: Shape, alpha: float = 1.0) -> Shape:
    """Shape rule of elu."""
    number("elu", "alpha", alpha)
    return x


@op(elu_shape)
def elu(x: Array, alpha: float = 1.0) -> Any:
    """x where positive, else alpha * (exp(x) - 1)."""
    alpha = float(alpha)
    low = alpha * np.expm1(np.minimum(x, 0))  # exp of a large x would overflow, and is not used there
    return np.where(x > 0, x, low), (lambda g: np.where(x > 0, g, g * (low + alpha) if alpha else 0),)


@op(same_shape)
def sigmoid(x: Array) -> Any:
    """1 / (1 + exp(-x)), to full precision for large positive and negative x."""
    # The derivative is y * (1 - y), but 1 - y would lose all digits where y is near 1: it is sigmoid(-x).
    y = _sigmoid(x)
    return y, (lambda g: g * y * _sigmoid(-x),)


def _sigmoid(x: np.ndarray) -> Any:
    z = np.exp(-np.abs(x))  # at most 1: nothing overflows
    return np.where(x >= 0, 1, z) / (1 + z)


@op(same_shape)
def tanh(x: Array) -> Any:
    """Hyperbolic tangent."""
    y = np.tanh(x)
    return y, (lambda g: g * (1 - y * y),)


def gelu_shape(x: Shape, approximate: bool = False) -> Shape:
    """Shape rule of gelu."""
    flag("gelu", "approximate", approximate)
    return x


@op(gelu_shape)
def gelu(x: Array, approximate: bool = False) -> Any:
    """x times the standard normal cumulative distribution function of x; `approximate` uses the tanh formula.

    Hendrycks and Gimpel, "Gaussian error linear units", 2016.
    """
    z = np.clip(x, -SATURATED, SATURATED)  # x**3 would overflow
    if approximate:
        inner = math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)
        half = 0.5 * (1 + np.tanh(inner))
        steep = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * z**2)
        return np.maximum(x, -SATURATED) * half, (lambda g: g * (half + z * 2 * half * (1 - half) * steep),)
    from scipy.special import ndtr

    phi = ndtr(z)
    return np.maximum(x, -SATURATED) * phi, (lambda g: g * (phi + z * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)),)


@op(same_shape)
def softplus(x: Array) -> Any:
    """log(1 + exp(x)), without overflow."""
    return np.logaddexp(x, 0), (lambda g: g * _sigmoid(x),)


def softmax_shape(x: Shape) -> Shape:
    """Shape rule of softmax and log_softmax: at least one axis, with at least one class in it."""
    if not x or not x[-1]:
        raise ShapeError(
            "softmax", f"x must have at least one class on its last axis, got shape {x}", "Add the classes."
        )
    return x


@op(softmax_shape)
def softmax(x: Array) -> Any:
    """exp(x) / sum(exp(x)) along the last axis.

    >>> softmax(np.array([0.0, 0.0, 1000.0]))
    array([0., 0., 1.])
    """
    y = np.exp(_log_softmax(x))
    # dy_i / dx_j = y_i * ((i == j) - y_j): the matrix is never formed; its product with g takes two passes over a row.
    return y, (lambda g: scale(g - add_up(scale(g, y), -1, True), y),)


@op(softmax_shape)
def log_softmax(x: Array) -> Any:
    """Logarithm of the softmax along the last axis; small probabilities do not underflow."""
    y = _log_softmax(x)
    return y, (lambda g: g - scale(add_up(g, -1, True), np.exp(y)),)


def _log_softmax(x: np.ndarray) -> Any:
    shifted = x - np.max(x, axis=-1, keepdims=True)  # the softmax stays the same, and exp cannot overflow
    return shifted - np.log(add_up(np.exp(shifted), -1, True))


def dropout_shape(x: Shape, rate: float, rng: np.random.Generator | None = None) -> Shape:
    """Shape rule of dropout."""
    number("dropout", "rate", rate, least=0, below=1)
    if rng is not None:
        generator("dropout", rng)
    return x


@op(dropout_shape)
def dropout(x: Array, rate: float, rng: np.random.Generator | None = None) -> Any:
    """Set a fraction `rate` of the elements to 0, multiply the rest by 1 / (1 - rate); without `rng` return x."""
    if rng is None or not rate:
        return x, (lambda g: g,)
    # The factor keeps the expected value, so that evaluation needs no other formula than the identity.
    keep = (rng.random(x.shape, dtype=np.float32) >= rate).astype(x.dtype) / (1 - float(rate))
    return scale(x, keep), (lambda g: scale(g, keep),)
