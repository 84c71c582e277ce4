"""Padding and cropping as layers."""

from __future__ import annotations

from dataclasses import dataclass

from minicnn import ops
from minicnn.layers.base import OpLayer
from minicnn.ops.pad import Mode
from minicnn.ops.window import Pads, Size


@dataclass(frozen=True, repr=False)
class ZeroPadding2D(OpLayer):
    """Zeros around images: (H, W, C) -> (H + top + bottom, W + left + right, C).

    >>> ZeroPadding2D(((0, 1), (2, 0))).output_shape((8, 8, 3))
    (9, 10, 3)
    """

    padding: Size | Pads = 1
    op = staticmethod(ops.pad2d)

    def __post_init__(self) -> None:
        self.op.shape((1, 10**9, 10**9, 1), **vars(self))  # type: ignore[attr-defined]


@dataclass(frozen=True, repr=False)
class Padding2D(ZeroPadding2D):
    """Cells around images: `constant` zeros, or copies of the image by `reflect`, `edge` or `wrap`.

    >>> Padding2D(2, mode="wrap").output_shape((8, 8, 3))
    (12, 12, 3)
    """

    mode: Mode = "reflect"


@dataclass(frozen=True, repr=False)
class Cropping2D(OpLayer):
    """Cells taken away: (H, W, C) -> (H - top - bottom, W - left - right, C).

    >>> Cropping2D(1).output_shape((8, 8, 3))
    (6, 6, 3)
    """

    cropping: Size | Pads = 1
    op = staticmethod(ops.crop2d)

    def __post_init__(self) -> None:
        self.op.shape((1, 10**9, 10**9, 1), **vars(self))  # type: ignore[attr-defined]
