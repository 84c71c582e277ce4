"""Pooling as layers: each is the op of its name with its arguments."""

from __future__ import annotations

from dataclasses import dataclass

from minicnn import ops
from minicnn.geometry import Padding, Shape, Size, Windows, check_padding, check_window, windows
from minicnn.layers.base import OpLayer, checked, snake_case
from minicnn.ops.pool import Ties, check_ties
from minicnn.validation import flag, number


@dataclass(frozen=True, repr=False)
class WindowPooling(OpLayer):
    """Base class of poolings by windows. `strides` defaults to the window."""

    pool_size: Size = 2
    # None means pool_size: poolings usually do not overlap, and `replace(layer, pool_size=3)` keeps it so.
    strides: Size | None = None
    padding: Padding = "valid"
    dilation_rate: Size = 1
    ceil_mode: bool = checked(False, flag)

    def __post_init__(self) -> None:
        super().__post_init__()
        name = type(self).__name__
        check_window(name, self.pool_size, self.pool_size if self.strides is None else self.strides, self.dilation_rate)
        check_padding(name, self.padding)
        # Whether a window fits depends on the input: that is left to output_shape.

    def windows(self, shape: Shape) -> Windows:
        """Return how the windows lie on the input."""
        # Coverage and receptive fields depend only on where windows lie, so one method serves all poolings.
        steps = self.pool_size if self.strides is None else self.strides
        return windows(
            "pooling",
            shape[:2],  # type: ignore[arg-type]
            self.pool_size,
            steps,
            self.padding,
            self.dilation_rate,
            ceil_mode=self.ceil_mode,
            pooling=True,
        )


@dataclass(frozen=True, repr=False)
class MaxPooling2D(WindowPooling, op=ops.max_pool2d):
    """Maximum of each window: (H, W, C) -> (P, Q, C). See `ops.max_pool2d`.

    >>> MaxPooling2D(3, strides=2, padding="same").output_shape((28, 28, 8))
    (14, 14, 8)
    """

    ties: Ties = checked("first", check_ties)


@dataclass(frozen=True, repr=False)
class AveragePooling2D(WindowPooling, op=ops.average_pool2d):
    """Average of each window: (H, W, C) -> (P, Q, C). See `ops.average_pool2d`.

    >>> AveragePooling2D(2).output_shape((7, 7, 8))
    (3, 3, 8)
    """

    count_include_pad: bool = checked(False, flag)


@dataclass(frozen=True, repr=False)
class LpPooling2D(WindowPooling, op=ops.lp_pool2d):
    """Lp norm of each window: (H, W, C) -> (P, Q, C). See `ops.lp_pool2d`.

    >>> LpPooling2D(2, p=3.0).output_shape((8, 8, 8))
    (4, 4, 8)
    """

    p: float = checked(2.0, number, least=1)


@dataclass(frozen=True, repr=False)
class GlobalPooling(OpLayer):
    """Base class of global poolings, with one window over the whole image."""

    # keepdims gives (1, 1, C), for a convolution instead of a dense layer behind it.
    keepdims: bool = checked(False, flag)

    def windows(self, shape: Shape) -> Windows:
        """Return one window over the whole image."""
        return windows(snake_case(type(self).__name__), shape[:2], shape[:2], 1)  # type: ignore[arg-type]


@dataclass(frozen=True, repr=False)
class GlobalMaxPooling2D(GlobalPooling, op=ops.global_max_pool2d):
    """Maximum of each channel: (H, W, C) -> (C,). See `ops.global_max_pool2d`.

    >>> GlobalMaxPooling2D(keepdims=True).output_shape((7, 7, 32))
    (1, 1, 32)
    """

    ties: Ties = checked("first", check_ties)


@dataclass(frozen=True, repr=False)
class GlobalAveragePooling2D(GlobalPooling, op=ops.global_average_pool2d):
    """Average of each channel: (H, W, C) -> (C,). See `ops.global_average_pool2d`.

    >>> GlobalAveragePooling2D().output_shape((7, 7, 32))
    (32,)
    """
