"""Activations as layers: each is the op of its name; the shape stays."""

from __future__ import annotations

from dataclasses import dataclass

from minicnn import ops
from minicnn.layers.base import OpLayer


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
        self.output_shape(())


@dataclass(frozen=True, repr=False)
class ELU(OpLayer):
    """x where positive, else alpha * (exp(x) - 1)."""

    alpha: float = 1.0
    op = staticmethod(ops.elu)

    def __post_init__(self) -> None:
        self.output_shape(())


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
        self.output_shape(())


@dataclass(frozen=True, repr=False)
class Softplus(OpLayer):
    """log(1 + exp(x))."""

    op = staticmethod(ops.softplus)


@dataclass(frozen=True, repr=False)
class Softmax(OpLayer):
    """Probabilities along the last axis. Losses here take logits: a net for training does not end with it."""

    op = staticmethod(ops.softmax)
