"""Trunks: what is put between convolutions to shrink the feature map, at equal receptive field; and trunks that tile.

`TRUNK_MAKERS` has the ways to shrink by name, `pooled_trunk` makes a trunk of them, and `covering` finds the settings
of a trunk whose receptive field covers the image and whose map 2x2 windows tile.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from minicnn.geometry import Padding, Pads, Shape, check_image
from minicnn.hints import explained
from minicnn.layers import (
    AveragePooling2D,
    BatchNormalization,
    BlurPooling2D,
    Conv2D,
    Layer,
    MaxPooling2D,
    ReLU,
    Sequential,
    summary,
)
from minicnn.layers.guards import check_shape
from minicnn.validation import LARGEST, flag, integer, one_of, shown

__all__ = ["TRUNK_MAKERS", "Stage", "covering", "pooled_trunk"]


@dataclass(frozen=True)
class Stage:
    """How the layers of one stage of a trunk are made: what the makers in `TRUNK_MAKERS` are given."""

    filters: int
    padding: Padding = "same"
    batch_norm: bool = False

    def conv(self, kernel_size: int, strides: int = 1) -> list[Layer]:
        """Return a convolution with its ReLU; batch normalization comes between them and replaces the bias."""
        conv = Conv2D(self.filters, kernel_size, strides=strides, padding=self.padding, use_bias=not self.batch_norm)
        return [conv, BatchNormalization(), ReLU()] if self.batch_norm else [conv, ReLU()]


Maker: TypeAlias = Callable[[Stage, int], list[Layer]]

TRUNK_MAKERS: dict[str, Maker] = {
    "max2": lambda stage, k: [*stage.conv(k), MaxPooling2D(2, padding=stage.padding)],
    "average2": lambda stage, k: [*stage.conv(k), AveragePooling2D(2, padding=stage.padding)],
    "max3s1": lambda stage, k: [*stage.conv(k), MaxPooling2D(3, strides=1, padding=stage.padding)],
    "max3s2": lambda stage, k: [*stage.conv(k), MaxPooling2D(3, strides=2, padding=stage.padding)],
    "max3s3": lambda stage, k: [*stage.conv(k), MaxPooling2D(3, strides=3, padding=stage.padding)],
    "max-blur": lambda stage, k: [
        *stage.conv(k),
        MaxPooling2D(2, strides=1, padding=stage.padding),
        BlurPooling2D(3, strides=2),
    ],
    "strided": lambda stage, k: stage.conv(k, strides=2),
    "all-conv": lambda stage, k: [*stage.conv(k), *stage.conv(3, strides=2)],
    "conv-pool": lambda stage, k: [*stage.conv(k), *stage.conv(3), MaxPooling2D(2, padding=stage.padding)],
}
"""The layers of a stage for each way to shrink a map, for a `Stage` and the kernel size of its first convolution.

max2, average2          2x2 windows, as in the tutorials
max3s1, max3s2, max3s3  3x3 windows with stride 1, 2 and 3
max-blur                2x2 maximum with stride 1, then blurred and every second taken (Zhang, 2019)
strided                 the convolution itself has stride 2 (Springenberg et al., 2015: Strided-CNN)
all-conv                a 3x3 convolution with stride 2 instead of the pooling (All-CNN)
conv-pool               the same extra convolution without a stride, then the pooling: the control of all-conv

A way that is added here is known everywhere.
"""


@explained
def pooled_trunk(
    name: str = "max2",
    *,
    filters: tuple[int, ...] = (16, 32, 32, 32),
    stages: int = 2,
    field: int | None = 6,
    padding: Padding = "same",
    batch_norm: bool = False,
) -> Sequential:
    """Return stages that shrink the map in one way of `TRUNK_MAKERS`, then 3x3 convolutions.

    Parameters
    ----------
    name : str
        How each stage shrinks the map.
    filters : tuple of int
        Of each stage, then of the 3x3 convolutions behind them.
    stages : int
        How many stages there are.
    field : int or None
        Rows and columns of its input that one element of a stage depends on, equal for all names: the first
        convolution of a stage is as large as the rest of it leaves. 6 is a 5x5 convolution and a 2x2 window, or two 3x3
        convolutions and the window. None: that convolution is 3x3, and receptive fields differ.
    padding : "same" or "valid"
        Of convolutions and window poolings.
    batch_norm : bool

    Returns
    -------
    Sequential

    Notes
    -----
    Stages of stride 2 give the same receptive field and, with `padding="same"`, the same map. `all-conv` and
    `conv-pool` have two convolutions in a stage, the others one. Strides 1 and 3 (`max3s1`, `max3s3`) change what
    follows: the receptive field of a stage is still that of the others, that of the trunk is not.

    Examples
    --------
    >>> pooled_trunk("strided", filters=(8,), stages=1)
    Sequential(layers=(Conv2D(filters=8, kernel_size=6, strides=2, padding='same'), ReLU()))
    >>> {summary(pooled_trunk(name), (28, 28, 1)).rows[-1].receptive_field for name in ("max2", "all-conv", "max-blur")}
    {(32, 32)}
    """
    maker = TRUNK_MAKERS[one_of("pooled_trunk", "name", name, TRUNK_MAKERS)]
    check_counts("pooled_trunk", "filters", filters)
    integer("pooled_trunk", "stages", stages, least=0)
    flag("pooled_trunk", "batch_norm", batch_norm)
    one_of("pooled_trunk", "padding", padding, ("same", "valid"))
    if not 1 <= len(filters) >= stages:
        raise ValueError(f"pooled_trunk: filters must have one for each of {stages} stages, got {shown(filters)}.")
    k = 3 if field is None else _kernel_size(name, maker, integer("pooled_trunk", "field", field, most=LARGEST))
    made = [Stage(count, padding, batch_norm) for count in filters]
    shrinking = [layer for stage in made[:stages] for layer in maker(stage, k)]
    return Sequential([*shrinking, *(layer for stage in made[stages:] for layer in stage.conv(3))])


def _kernel_size(name: str, maker: Maker, field: int) -> int:
    """Return the kernel size with which a stage has this receptive field."""
    own = summary(Sequential(maker(Stage(1), 1)), (64, 64, 1)).rows[-1].receptive_field[0]
    if field < own:
        raise ValueError(f"pooled_trunk: field must be at least {own} for {name!r}, got {field}. Use field={own}.")
    return field - own + 1


@explained
def covering(input_shape: Shape, *, filters: tuple[int, int] = (16, 32), halvings: int | None = None) -> dict[str, Any]:
    """Return settings for `models.small_cnn` whose field covers the image and whose map 2x2 windows tile exactly.

    Parameters
    ----------
    input_shape : tuple
        (H, W, C).
    filters : pair of int
        Of the convolutions that halve the map by their stride, and of those behind them, of which there are as many as
        the receptive field needs to be at least as large as the image.
    halvings : int, optional
        How often the map is halved; as often as leaves at most 7 rows and columns unless given.

    Returns
    -------
    dict
        `filters`, `strides` and `zero_padding`, which makes the size of the map even.

    Notes
    -----
    If the feature map is halved k times, a shift of the image by a multiple of 2**k pixels shifts the feature map; a
    smaller shift changes its values. For a study of shifts use few halvings: the default trunk of `models.small_cnn`,
    which halves once and has a receptive field of 9x9 pixels, covers digits padded to 16x16 pixels.

    Examples
    --------
    >>> covering((28, 28, 1))
    {'filters': (16, 16, 32, 32, 32), 'strides': (2, 2, 1, 1, 1), 'zero_padding': ((2, 2), (2, 2))}
    >>> covering((8, 8, 1))
    {'filters': (16, 32, 32), 'strides': (2, 1, 1), 'zero_padding': ((0, 0), (0, 0))}
    """
    shape = check_shape("covering", input_shape)
    check_image("covering", (1, *shape))
    check_counts("covering", "filters", filters)
    if len(filters) != 2:
        raise ValueError(f"covering: filters must be two integers, got {shown(filters)}.")
    size = max(shape[:2])
    if halvings is None:
        halvings = max(0, math.ceil(math.log2(size / 7)))
    halvings = integer("covering", "halvings", halvings, least=0, most=30)
    # A 3x3 convolution adds two elements of its input to the field: 2, 4, 8 .. pixels for those that halve, and
    # 2 * 2**halvings for each one behind them.
    halved = 2 ** (halvings + 1) - 1
    more = max(1, -(-(size - halved) // 2 ** (halvings + 1)))
    return {
        "filters": (filters[0],) * halvings + (filters[1],) * more,
        "strides": (2,) * halvings + (1,) * more,
        "zero_padding": _up_to_multiple(shape, 2 ** (halvings + 1)),
    }


def _up_to_multiple(shape: Shape, of: int) -> Pads:
    """Return the padding that makes rows and columns multiples, half of it on each side."""
    (rows, cols) = (-n % of for n in shape[:2])
    return (rows // 2, rows - rows // 2), (cols // 2, cols - cols // 2)


def check_counts(where: str, name: str, counts: Any) -> None:
    """Raise TypeError or ValueError unless `counts` is a tuple of positive integers."""
    if not isinstance(counts, list | tuple):
        raise TypeError(f"{where}: {name} must be a tuple of integers, got {shown(counts)}. Use one such as (16, 32).")
    for count in counts:
        integer(where, name, count, counts, most=LARGEST)
