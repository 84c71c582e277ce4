"""Activations and dropout as layers: each is the op of its name; the shape stays."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minicnn import ops
from minicnn.geometry import Shape
from minicnn.layers.base import Layer, OpLayer, Params, checked
from minicnn.validation import flag, number


@dataclass(frozen=True, repr=False)
class ReLU(OpLayer):
    """max(x, 0)."""

    op = staticmethod(ops.relu)


@dataclass(frozen=True, repr=False)
class LeakyReLU(OpLayer):
    """x where positive, else negative_slope * x."""

    negative_slope: float = checked(0.3, number)
    op = staticmethod(ops.leaky_relu)


@dataclass(frozen=True, repr=False)
class ELU(OpLayer):
    """x where positive, else alpha * (exp(x) - 1)."""

    alpha: float = checked(1.0, number)
    op = staticmethod(ops.elu)


@dataclass(frozen=True, repr=False)
class Sigmoid(OpLayer):
    """1 / (1 + exp(-x))."""

    op = staticmethod(ops.sigmoid)


@dataclass(frozen=True, repr=False)
class Tanh(OpLayer):
    """Hyperbolic tangent."""

    op = staticmethod(ops.tanh)


@dataclass(frozen=True, repr=False)
class GELU(OpLayer):
    """x times the standard normal cumulative distribution function of x."""

    approximate: bool = checked(False, flag)
    op = staticmethod(ops.gelu)


@dataclass(frozen=True, repr=False)
class Softplus(OpLayer):
    """log(1 + exp(x))."""

    op = staticmethod(ops.softplus)


@dataclass(frozen=True, repr=False)
class Softmax(OpLayer):
    """Probabilities along the last axis. The losses take logits, so a network that is trained does not end with it."""

    op = staticmethod(ops.softmax)


@dataclass(frozen=True, repr=False)
class Dropout(Layer):
    """Set a fraction `rate` of the elements to zero while training; do nothing without `rng`.

    >>> Dropout(0.5)({}, np.ones((1, 2)))
    array([[1., 1.]])
    """

    rate: float = field(metadata={"check": functools.partial(number, least=0, below=1)})

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the input."""
        return shape

    def __call__(self, params: Params, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Drop elements of a batch, each independently of the others."""
        return ops.dropout(x, self.rate, rng)
