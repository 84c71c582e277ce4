"""A net as a table of numbers, one row per instruction: what one compiled call walks from images to logits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minicnn.geometry import Geometry, Pair, Shape, one_window

CONVOLVE, WINOGRAD, MAXIMUM, AVERAGE, RELU, SCALE = range(6)
"""Kinds of instruction. A dense layer is a convolution with one window; WINOGRAD is a convolution, see
`compiled.winograd`."""


OUT, GROUPS, POOL, RELU_TOO, FIRST, WINDOWS = 4, 7, 8, 10, 11, 12
"""Where the numbers of an instruction lie in its row of the table; the kind and the input's shape come first."""


class Instruction(NamedTuple):
    """What to do with the feature maps of an image, and where in the packed weights its numbers begin.

    Attributes
    ----------
    kind : int
        One of the kinds above.
    shape : (int, int, int)
        Rows, columns and channels of the input.
    out : (int, int, int)
        Those of the output.
    geometry : Geometry
        Windows of a convolution or a pooling; otherwise one window.
    groups, pool, relu
        Of a convolution, with the pooling and the ReLU that are part of it.
    first : int
        Index of the weights: biases and panels of a convolution, and those of its tiles, divisors of an average,
        factors and terms of a scale.
    """

    kind: int
    shape: Shape
    out: Shape
    geometry: Geometry = one_window((1, 1))
    groups: int = 1
    pool: Pair = (1, 1)
    relu: bool = False
    first: int = 0

    @property
    def multiplications(self) -> int:
        """About how many the instruction takes for an image."""
        outputs = math.prod(self.out) * math.prod(self.pool)
        return outputs * math.prod(self.geometry.window) * self.shape[2] // self.groups

    def row(self) -> list[int]:
        """Return the numbers of the row; compiled loops cannot read records with tuples inside."""
        g = self.geometry
        windows = [*g.window, *g.strides, *g.pads[0], *g.pads[1], *g.dilation, *g.out]
        return [self.kind, *self.shape, *self.out, self.groups, *self.pool, self.relu, self.first, *windows]


def table(instructions: Sequence[Instruction]) -> np.ndarray:
    """Return the rows of all instructions.

    >>> table([Instruction(RELU, (2, 2, 1), (2, 2, 1))])[0, :7]
    array([4, 2, 2, 1, 2, 2, 1])
    """
    return np.array([i.row() for i in instructions], np.int64)
