"""Padding and cropping as layers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from minicnn import ops
from minicnn.geometry import Axis, Pads, Shape, Size, Windows, check_image, windows
from minicnn.layers.base import OpLayer, checked
from minicnn.ops.pad import Mode, check_mode, check_pads


@dataclass(frozen=True, repr=False)
class ZeroPadding2D(OpLayer, op=ops.pad2d):
    """Zeros around images: (H, W, C) -> (H + top + bottom, W + left + right, C).

    >>> ZeroPadding2D(((0, 1), (2, 0))).output_shape((8, 8, 3))
    (9, 10, 3)
    """

    padding: Size | Pads = checked(1, check_pads)

    def windows(self, shape: Shape) -> Windows:
        """Return windows of one pixel, some of them on the padding."""
        return windows("padding", shape[:2], 1, 1, self.padding)  # type: ignore[arg-type]


@dataclass(frozen=True, repr=False)
class Padding2D(ZeroPadding2D):
    """Pixels around images: `constant` zeros, or copies of the image by `reflect`, `edge` or `wrap`.

    >>> Padding2D(2, mode="wrap").output_shape((8, 8, 3))
    (12, 12, 3)
    """

    mode: Mode = checked("reflect", check_mode)

    def windows(self, shape: Shape) -> Windows:
        """Return windows of one pixel, some of them on copies in the padding."""
        return replace(super().windows(shape), mode=self.mode)


@dataclass(frozen=True, repr=False)
class Cropping2D(OpLayer, op=ops.crop2d):
    """Pixels removed at the borders: (H, W, C) -> (H - top - bottom, W - left - right, C).

    >>> Cropping2D(1).output_shape((8, 8, 3))
    (6, 6, 3)
    """

    cropping: Size | Pads = checked(1, check_pads)

    def windows(self, shape: Shape) -> Windows:
        """Return windows of one pixel; cropping is negative padding."""
        check_image("cropping2d", (1, *shape))
        sides = check_pads("cropping2d", "cropping", self.cropping)
        rows, cols = (
            Axis(n, 1, 1, 1, -before, -after, n - before - after)
            for n, (before, after) in zip(shape[:2], sides, strict=True)
        )
        return Windows(rows, cols)
