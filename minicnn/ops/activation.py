"""Activations, softmax and dropout: the result has the shape of the input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.checks import flag, generator, number
from minicnn.errors import ShapeError
from minicnn.graph import Array, op
from minicnn.kernels.arrays import scale
from minicnn.ops.elementwise import same_shape

Shape = tuple[int, ...]
SATURATED = 40.0
"""From here on the normal distribution function is 0 or 1 to the last bit, also in float64."""


@op(same_shape)
def relu(x: Array) -> Any:
    """max(x, 0), with slope 0 at 0."""
    y = kernels.relu(np.asarray(x))
    return y, (lambda g: kernels.relu_grad(g, y),)


def slope_shape(x: Shape, negative_slope: float = 0.3) -> Shape:
    """Shape rule of leaky_relu."""
    number("leaky_relu", "negative_slope", negative_slope)
    return x


@op(slope_shape)
def leaky_relu(x: Array, negative_slope: float = 0.3) -> Any:
    """x where positive, else negative_slope * x; the slope at 0 is negative_slope."""
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
    low = alpha * np.expm1(np.minimum(x, 0))
    return np.where(x > 0, x, low), (lambda g: np.where(x > 0, g, g * (low + alpha) if alpha else 0),)


@op(same_shape)
def sigmoid(x: Array) -> Any:
    """1 / (1 + exp(-x)), to full precision at both ends."""
    y = _sigmoid(x)
    return y, (lambda g: g * y * _sigmoid(-x),)


def _sigmoid(x: np.ndarray) -> Any:
    z = np.exp(-np.abs(x))
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
    """x times the normal distribution function of x; `approximate` uses the tanh formula.

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
    """log(1 + exp(x)), stable at both ends."""
    return np.logaddexp(x, 0), (lambda g: g * _sigmoid(x),)


def softmax_shape(x: Shape) -> Shape:
    """Shape rule of softmax and log_softmax: at least one axis, with at least one class in it."""
    if not x or not x[-1]:
        raise ShapeError("softmax", f"shape {x} has no classes on its last axis", "Give at least one.")
    return x


@op(softmax_shape)
def softmax(x: Array) -> Any:
    """exp(x) / sum(exp(x)) along the last axis.

    >>> softmax(np.array([0.0, 0.0, 1000.0]))
    array([0., 0., 1.])
    """
    y = np.exp(_log_softmax(x))
    return y, (lambda g: scale(g - np.sum(scale(g, y), axis=-1, keepdims=True), y),)


@op(softmax_shape)
def log_softmax(x: Array) -> Any:
    """Logarithm of the softmax along the last axis, never through exp and log of a small number."""
    y = _log_softmax(x)
    return y, (lambda g: g - scale(np.sum(g, axis=-1, keepdims=True), np.exp(y)),)


def _log_softmax(x: np.ndarray) -> Any:
    shifted = x - np.max(x, axis=-1, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))


def dropout_shape(x: Shape, rate: float, rng: np.random.Generator | None = None) -> Shape:
    """Shape rule of dropout."""
    number("dropout", "rate", rate, least=0, below=1)
    if rng is not None:
        generator("dropout", rng)
    return x


@op(dropout_shape)
def dropout(x: Array, rate: float, rng: np.random.Generator | None = None) -> Any:
    """Zero a share `rate` of the numbers and scale the rest by 1 / (1 - rate); without `rng` do nothing."""
    if rng is None or not rate:
        return x, (lambda g: g,)
    keep = (rng.random(x.shape, dtype=np.float32) >= rate).astype(x.dtype) / (1 - float(rate))
    return scale(x, keep), (lambda g: scale(g, keep),)
