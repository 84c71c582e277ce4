"""Fully connected layers, and Flatten, which turns images into rows for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minicnn import ops
from minicnn.geometry import Shape, Windows, check_elements, integer, windows
from minicnn.layers.base import OpLayer, Params, WeightedLayer
from minicnn.layers.initializers import Initializer, draw, glorot_uniform, initializer, zeros
from minicnn.validation import LARGEST, ShapeError, flag


@dataclass(frozen=True, repr=False)
class Flatten(OpLayer, op=ops.flatten):
    """Each image as one row: (H, W, C) -> (H * W * C,).

    >>> Flatten().output_shape((7, 7, 32))
    (1568,)
    """

    def windows(self, shape: Shape) -> Windows | None:
        """Return one window over the whole image: each element that follows may depend on every pixel."""
        return windows("flatten", shape[:2], shape[:2], 1) if len(shape) == 3 else None


@dataclass(frozen=True, repr=False)
class Dense(WeightedLayer, op=ops.dense):
    """x @ kernel + bias: (features,) -> (units,). Parameters `kernel` (features, units) and `bias` (units,).

    >>> Dense(10).param_shapes((32,))
    {'kernel': (32, 10), 'bias': (10,)}
    """

    units: int
    use_bias: bool = True
    # Glorot's, as in Keras: He's assumes a ReLU after the layer, which the last dense layer does not have.
    kernel_initializer: Initializer = glorot_uniform
    bias_initializer: Initializer = zeros

    def __post_init__(self) -> None:
        integer("Dense", "units", self.units, most=LARGEST)
        flag("Dense", "use_bias", self.use_bias)
        for name in ("kernel_initializer", "bias_initializer"):
            object.__setattr__(self, name, initializer("Dense", name, getattr(self, name)))

    def param_shapes(self, shape: Shape) -> dict[str, Shape]:
        """Return (features, units) and (units,)."""
        # x @ kernel would accept feature maps and apply the layer to each pixel, which is a 1x1 convolution.
        if len(shape) != 1:
            fix = "Put Flatten or a global pooling before it."
            raise ShapeError("dense", f"the input must have shape (features,), got {shape}", fix)
        kernel = (shape[0], self.units)
        check_elements("dense", "kernel", kernel)
        return {"kernel": kernel, "bias": (self.units,)} if self.use_bias else {"kernel": kernel}

    def output_shape(self, shape: Shape) -> Shape:
        """Return (units,)."""
        return self.param_shapes(shape)["kernel"][1:]

    def init(self, rng: np.random.Generator, shape: Shape) -> Params:
        """Draw the kernel, then the bias."""
        # In this order: the bias must not change the kernel's weights for a seed.
        makers = {"kernel": self.kernel_initializer, "bias": self.bias_initializer}
        return draw("dense", makers, self.param_shapes(shape), rng)

    def multiply_adds(self, shape: Shape) -> int:
        """Return features times units."""
        return int(np.prod(self.param_shapes(shape)["kernel"]))
