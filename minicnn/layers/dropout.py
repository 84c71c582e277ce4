"""Dropout as a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import ops
from minicnn.geometry import Shape
from minicnn.layers.base import Layer, Params
from minicnn.ops.activation import dropout_shape


@dataclass(frozen=True, repr=False)
class Dropout(Layer):
    """Zero a share `rate` of the numbers while training; do nothing without `rng`.

    >>> Dropout(0.5)({}, np.ones((1, 2)))
    array([[1., 1.]])
    """

    rate: float

    def __post_init__(self) -> None:
        dropout_shape((), self.rate)

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the input."""
        return shape

    def __call__(self, params: Params, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Drop numbers of a batch, each for itself."""
        return ops.dropout(x, self.rate, rng)
