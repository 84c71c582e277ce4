"""Convolution as a layer."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minicnn import ops
from minicnn.geometry import (
    Padding,
    Shape,
    Size,
    Windows,
    check_elements,
    check_image,
    check_padding,
    check_window,
    integer,
    windows,
)
from minicnn.layers.base import Params, WeightedLayer
from minicnn.layers.initializers import Initializer, draw, he_normal, initializer, zeros
from minicnn.ops.pad import Mode, check_mode
from minicnn.validation import LARGEST, ShapeError, flag


@dataclass(frozen=True, repr=False)
class Conv2D(WeightedLayer, op=ops.conv2d):
    """Convolution (cross-correlation): (H, W, C) -> (P, Q, filters). Parameters `kernel` and `bias`.

    Parameters
    ----------
    filters : int
        Output channels.
    kernel_size, strides, dilation_rate : int or pair of int
        Rows and columns.
    padding : "valid", "same", int, pair, or ((top, bottom), (left, right))
    groups : int
        Splits input channels and filters; as many groups as channels make a depthwise convolution.
    use_bias : bool
    kernel_initializer : Initializer
        He's normal initializer by default, because a ReLU usually follows.
    padding_mode : "constant", "reflect", "edge" or "wrap"
        What the padding contains: zeros, or copies of the image as in `Padding2D`.

    Examples
    --------
    >>> Conv2D(16, 3, padding="same").output_shape((28, 28, 1))
    (28, 28, 16)
    """

    filters: int
    kernel_size: Size
    strides: Size = 1
    padding: Padding = "valid"
    dilation_rate: Size = 1
    groups: int = 1
    use_bias: bool = True
    kernel_initializer: Initializer = he_normal
    bias_initializer: Initializer = zeros
    padding_mode: Mode = "constant"

    def __post_init__(self) -> None:
        # Channels are not known yet: param_shapes checks whether the groups divide them.
        filters = integer("Conv2D", "filters", self.filters, most=LARGEST)
        groups = integer("Conv2D", "groups", self.groups, most=LARGEST)
        if filters % groups:
            fix = f"Use filters={-(-filters // groups) * groups}."
            raise ValueError(
                f"Conv2D: filters must be a multiple of groups, got filters={filters} and groups={groups}. {fix}"
            )
        flag("Conv2D", "use_bias", self.use_bias)
        for name in ("kernel_initializer", "bias_initializer"):
            object.__setattr__(self, name, initializer("Conv2D", name, getattr(self, name)))
        check_window("Conv2D", self.kernel_size, self.strides, self.dilation_rate)
        check_padding("Conv2D", self.padding)
        check_mode("Conv2D", "padding_mode", self.padding_mode)

    def param_shapes(self, shape: Shape) -> dict[str, Shape]:
        """Return (kh, kw, C // groups, filters) and (filters,)."""
        check_image("conv2d", (1, *shape))
        if shape[2] % self.groups:
            fix = "Use a divisor of the number of channels."
            raise ShapeError(
                "conv2d", f"groups must divide the {shape[2]} channels of the input, got {self.groups}", fix
            )
        window, _, _ = check_window("Conv2D", self.kernel_size, 1)
        kernel = (*window, shape[2] // self.groups, self.filters)
        check_elements("conv2d", "kernel", kernel)
        return {"kernel": kernel, "bias": (self.filters,)} if self.use_bias else {"kernel": kernel}

    def output_shape(self, shape: Shape) -> Shape:
        """Ask the op's shape rule."""
        kernel = self.param_shapes(shape)["kernel"]
        return ops.conv2d.shape((1, *shape), kernel, **self.options)[1:]

    def init(self, rng: np.random.Generator, shape: Shape) -> Params:
        """Draw the kernel, then the bias."""
        self.output_shape(shape)
        # In this order: the bias must not change the kernel's weights for a seed.
        makers = {"kernel": self.kernel_initializer, "bias": self.bias_initializer}
        return draw("conv2d", makers, self.param_shapes(shape), rng)

    @functools.cached_property
    def options(self) -> dict[str, Any]:
        """The keywords of `ops.conv2d`."""
        return {name: getattr(self, name) for name in ("strides", "padding", "dilation_rate", "groups", "padding_mode")}

    def multiply_adds(self, shape: Shape) -> int:
        """Return one for each tap of each window of each filter."""
        kernel = self.param_shapes(shape)["kernel"]
        # Each filter reads C // groups channels only, which is the kernel's third axis: groups make fewer products.
        return math.prod(self.output_shape(shape)[:2]) * math.prod(kernel)

    def windows(self, shape: Shape) -> Windows:
        """Return how the windows lie on the input."""
        # Coverage follows the copies in the padding back to their pixels, so it must know what they are copies of.
        found = windows("conv2d", shape[:2], self.kernel_size, self.strides, self.padding, self.dilation_rate)  # type: ignore[arg-type]
        return replace(found, mode=self.padding_mode)
