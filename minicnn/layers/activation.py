"""Activations and dropout as layers: each is the op of its name; the shape stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import ops
from minicnn.geometry import Shape
from minicnn.layers.base import Layer, OpLayer, Params
from minicnn.validation import flag, number


@dataclass(frozen=True, repr=False)
class ReLU(OpLayer):
    """max(x, 0)."""

    op = staticmethod(ops.relu)


@dataclass(frozen=True, repr=False)
class LeakyReLU(OpLayer):
    """x where positive, else negative_slope * x."""

    negative_slope: float = 0.3
    op = staticmethod(ops.leaky_relu)

    def __post_init__(self) -> None:
        number("LeakyReLU", "negative_slope", self.negative_slope)


@dataclass(frozen=True, repr=False)
class ELU(OpLayer):
    """x where positive, else alpha * (exp(x) - 1)."""

    alpha: float = 1.0
    op = staticmethod(ops.elu)

    def __post_init__(self) -> None:
        number("ELU", "alpha", self.alpha)


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
    """x times the normal distribution function of x."""

    approximate: bool = False
    op = staticmethod(ops.gelu)

    def __post_init__(self) -> None:
        flag("GELU", "approximate", self.approximate)


@dataclass(frozen=True, repr=False)
class Softplus(OpLayer):
    """log(1 + exp(x))."""

    op = staticmethod(ops.softplus)


@dataclass(frozen=True, repr=False)
class Softmax(OpLayer):
    """Probabilities along the last axis. Losses here take logits: a net for training does not end with it."""

    op = staticmethod(ops.softmax)


@dataclass(frozen=True, repr=False)
class Dropout(Layer):
    """Set a fraction `rate` of the elements to zero while training; do nothing without `rng`.

    >>> Dropout(0.5)({}, np.ones((1, 2)))
    array([[1., 1.]])
    """

    rate: float

    def __post_init__(self) -> None:
        number("Dropout", "rate", self.rate, least=0, below=1)

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the input."""
        return shape

    def __call__(self, params: Params, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Drop elements of a batch, each independently of the others."""
        return ops.dropout(x, self.rate, rng)
