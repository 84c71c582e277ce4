"""What a picture is of: one layer of a net, with what one image gave it and what it returned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minicnn.geometry import Windows
from minicnn.hints import near
from minicnn.layers import Conv2D, Cropping2D, Flatten, ZeroPadding2D
from minicnn.layers.inspection.activations import Call, check_batch, trace
from minicnn.validation import integer, shown

MOVES = (ZeroPadding2D, Cropping2D, Flatten)
"""Layers with windows that compute nothing: each element of their result is one of the input, or padding."""


class Subject(NamedTuple):
    """A layer of a net, named by its path, and its call for one image."""

    path: str
    call: Call

    @property
    def windows(self) -> Windows:
        """How its windows lie on its input."""
        found = self.call.layer.windows(self.call.x.shape[1:])
        if found is None:
            raise TypeError(f"{self.path}: the layer must have windows, got {shown(self.call.layer)}.")
        return found


def check_image(where: str, image: Any) -> None:
    """Raise ValueError unless `image` is one image (H, W, C)."""
    if not isinstance(image, np.ndarray) or image.ndim != 3:
        got = f"shape {image.shape}" if isinstance(image, np.ndarray) else shown(image)
        fix = "Use one image, as images[0]; a channel axis is added by image[..., None]."
        raise ValueError(f"{where}: image must be an array of shape (H, W, C), got {got}. {fix}")


def calls(where: str, net: Any, params: Any, image: Any) -> dict[str, Call]:
    """Return the calls of all layers for one image (H, W, C), or raise what does not fit."""
    check_image(where, image)
    check_batch(where, net, params, image[None])
    return trace(net, params, image[None])


def choose(where: str, found: dict[str, Call], layer: Any, kind: str, fits: Callable[[Call], bool]) -> Subject:
    """Return the layer at a path, or the first that fits; raise ValueError for any other path."""
    fitting = [path for path, call in found.items() if fits(call)]
    if layer is None and fitting:
        layer = fitting[0]
    if not isinstance(layer, str) or layer not in fitting:
        known = f"one of {', '.join(fitting)}" if fitting else "in the net, which has none"
        got = "None" if layer is None else shown(layer)
        raise ValueError(f"{where}: layer must be the path of {kind}, {known}, got {got}.{near(layer, fitting)}")
    return Subject(layer, found[layer])


def channel_of(where: str, name: str, channel: Any, count: int) -> int:
    """Return the number of a channel of a map, or raise TypeError or ValueError."""
    return integer(where, name, channel, least=0, most=count - 1)


def is_map(call: Call) -> bool:
    """Tell whether a layer returns a map (N, H, W, C)."""
    return bool(call.y.ndim == 4)


def has_windows(call: Call) -> bool:
    """Tell whether a layer is a convolution or a pooling, by windows of any size."""
    return (
        bool(call.x.ndim == 4)
        and call.layer.windows(call.x.shape[1:]) is not None
        and not isinstance(call.layer, MOVES)
    )


def is_pooling(call: Call) -> bool:
    """Tell whether a layer is a pooling, one of the user's own among them: its windows have no kernel."""
    return has_windows(call) and not isinstance(call.layer, Conv2D)
