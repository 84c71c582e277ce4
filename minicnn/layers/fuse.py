"""The order and the company in which Sequential computes its layers: the same numbers in fewer passes over memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import ops
from minicnn.geometry import pair
from minicnn.layers.activation import ReLU
from minicnn.layers.base import Layer, Params
from minicnn.layers.conv import Conv2D
from minicnn.layers.pool import GlobalMaxPooling2D, MaxPooling2D
from minicnn.ops.fused import MOST_ELEMENTS

Steps = list[tuple[str, Layer]]


@dataclass(frozen=True, repr=False)
class FusedConv2D(Layer):
    """A convolution, the max pooling and the ReLU after it as one step, with the convolution's parameters."""

    conv: Conv2D
    pool_size: tuple[int, int]
    relu: bool

    def __call__(self, params: Params, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Compute all three."""
        return self.conv.apply(ops.conv2d_pool, params, x, pool_size=self.pool_size, relu=self.relu)


def fuse(named: Steps) -> Steps:
    """Return the steps to compute for layers one after the other; a layer of one's own is left as it is.

    ReLU keeps the order of numbers, so the maximum of ReLUs is the ReLU of the maximum, in each bit, and the
    gradients, too: where they could differ, at a maximum of 0 or below, both are 0. So the two come in either order.
    """
    steps: Steps = []
    rest = list(named)
    while rest:
        (name, layer), *rest = rest
        if type(layer) is Conv2D and layer.padding_mode == "constant":
            pool_size, relu, rest = _followers(rest)
            if relu or pool_size != (1, 1):
                layer = FusedConv2D(layer, pool_size, relu)
        elif type(layer) is ReLU and rest and _keeps_cells(rest[0][1]):
            steps.append(rest.pop(0))  # after pooling a quarter of the numbers are left
        steps.append((name, layer))
    return steps


def _followers(rest: Steps) -> tuple[tuple[int, int], bool, Steps]:
    """Take the pooling and the ReLU that directly follow a convolution off the rest, each at most once."""
    pool_size, relu = (1, 1), False
    while rest:
        layer = rest[0][1]
        if type(layer) is ReLU and not relu:
            relu = True
        elif type(layer) is MaxPooling2D and _side_by_side(layer) and pool_size == (1, 1):
            pool_size = pair("MaxPooling2D", "pool_size", layer.pool_size)
        else:
            break
        rest = rest[1:]
    return pool_size, relu, rest


def _side_by_side(layer: MaxPooling2D) -> bool:
    """Tell whether windows neither overlap nor leave gaps nor hang over, so that each result is in at most one."""
    window = pair("MaxPooling2D", "pool_size", layer.pool_size)
    strides = window if layer.strides is None else pair("MaxPooling2D", "strides", layer.strides)
    plain = (layer.padding, layer.ceil_mode, layer.ties) == ("valid", False, "first")
    return plain and strides == window and _keeps_cells(layer) and math.prod(window) <= MOST_ELEMENTS


def _keeps_cells(layer: Layer) -> bool:
    """Tell whether it is a max pooling that reads a cell in each window; a dilated window may hold none."""
    pooling = type(layer) in (MaxPooling2D, GlobalMaxPooling2D)
    return pooling and getattr(layer, "dilation_rate", 1) in (1, (1, 1))
