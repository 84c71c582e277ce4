"""Adaptive pooling as layers: the size of the result is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import ops
from minicnn.geometry import Shape, Size, Windows, check_image, pair
from minicnn.layers.base import OpLayer
from minicnn.ops.pool import Ties
from minicnn.ops.pooling_variants.adaptive import adaptive_windows


@dataclass(frozen=True, repr=False)
class AdaptiveAveragePooling2D(OpLayer):
    """Average of each of P x Q windows: (H, W, C) -> (P, Q, C). See `ops.adaptive_average_pool2d`.

    >>> AdaptiveAveragePooling2D(3).output_shape((7, 5, 8))
    (3, 3, 8)
    """

    output_size: Size
    op = staticmethod(ops.adaptive_average_pool2d)

    def __post_init__(self) -> None:
        self.op.shape((1, 1, 1, 1), **vars(self))  # type: ignore[attr-defined]

    def windows(self, shape: Shape) -> Windows:
        """Return how the windows lie on the input."""
        check_image("adaptive_pooling2d", (1, *shape))
        return adaptive_windows(shape[:2], pair("adaptive", "output_size", self.output_size))  # type: ignore[arg-type]

    def spread(self, light: np.ndarray) -> Any:
        """Return the windows that hold a lit cell."""
        return ops.adaptive_max_pool2d(light, self.output_size)


@dataclass(frozen=True, repr=False)
class AdaptiveMaxPooling2D(AdaptiveAveragePooling2D):
    """Maximum of each of P x Q windows: (H, W, C) -> (P, Q, C). See `ops.adaptive_max_pool2d`.

    >>> AdaptiveMaxPooling2D((1, 4)).output_shape((7, 5, 8))
    (1, 4, 8)
    """

    ties: Ties = "first"
    op = staticmethod(ops.adaptive_max_pool2d)
