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
class ReLU(OpLayer, op=ops.relu):
    """max(x, 0)."""


@dataclass(frozen=True, repr=False)
class LeakyReLU(OpLayer, op=ops.leaky_relu):
    """x where positive, else negative_slope * x."""

    negative_slope: float = checked(0.3, number)


@dataclass(frozen=True, repr=False)
class ELU(OpLayer, op=ops.elu):
    """x where positive, else alpha * (exp(x) - 1)."""

    alpha: float = checked(1.0, number)


@dataclass(frozen=True, repr=False)
class Sigmoid(OpLayer, op=ops.sigmoid):
    """1 / (1 + exp(-x))."""


@dataclass(frozen=True, repr=False)
class Tanh(OpLayer, op=ops.tanh):
    """Hyperbolic tangent."""


@dataclass(frozen=True, repr=False)
class GELU(OpLayer, op=ops.gelu):
    """x times the standard normal cumulative distribution function of x."""

    approximate: bool = checked(False, flag)


@dataclass(frozen=True, repr=False)
class Softplus(OpLayer, op=ops.softplus):
    """log(1 + exp(x))."""


@dataclass(frozen=True, repr=False)
class Softmax(OpLayer, op=ops.softmax):
    """Probabilities along the last axis. The losses take logits, so a network that is trained does not end with it."""


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
