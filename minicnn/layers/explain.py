"""Where sizes come from, layer by layer, and which pixels count: for reading, not for running."""

from __future__ import annotations

import functools
import html
import math
from dataclasses import dataclass

import numpy as np

from minicnn.checks import explained
from minicnn.errors import ShapeError
from minicnn.geometry import Axis, Shape, check_image
from minicnn.layers.base import Layer, check_net
from minicnn.layers.combine import Residual
from minicnn.layers.walk import Step, walk

MOST_PIXELS = 2**16
"""Of an image whose coverage is asked for: the work grows with the square of them."""


@dataclass(frozen=True, repr=False)
class Explanation:
    """The sizes of an image on its way through a net: `print` it, or let a notebook display it.

    Attributes
    ----------
    steps : tuple of Step
        One for each layer, with its shapes, and receptive field and stride so far.
    """

    input_shape: Shape
    steps: tuple[Step, ...]

    def __repr__(self) -> str:
        return f"Explanation({len(self.steps)} layers, {_size(self.input_shape)} -> {_size(self._output_shape)})"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    @property
    def _output_shape(self) -> Shape:
        return self.steps[-1].output_shape if self.steps else self.input_shape

    def __str__(self) -> str:
        return "\n".join([f"input: {_size(self.input_shape)}", *(_tell(step) for step in self.steps)])


@explained
def explain_shapes(net: Layer, input_shape: Shape) -> Explanation:
    """Return how each size comes about for images of `input_shape` (H, W, C); print it.

    For each layer: the size formula with its numbers, the pads at each side, the rows and columns of its input that no
    window reads, how many pixels of the image one number of the result sees, and the stride so far, the distance in
    the image between what two neighbours see. A net that does not fit raises the error that says so.

    >>> from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D, ReLU, Sequential
    >>> net = Sequential([Conv2D(4, 3, strides=2, padding="same"), ReLU(), MaxPooling2D((2, 3)), Flatten(), Dense(10)])
    >>> print(explain_shapes(net, (9, 8, 1)))
    input: 9x8x1
    conv2d: 9x8x1 -> 5x4x4
        rows: ceil(9 / 2) = 5; pads 1 before, 1 after; all are read
        columns: ceil(8 / 2) = 4; pads 0 before, 1 after; all are read
        sees 3x3 pixels; stride so far 2
    relu: 5x4x4
    max_pooling2d: 5x4x4 -> 2x1x4
        rows: floor((5 - 2) / 2) + 1 = 2; no pads; never read: 4
        columns: floor((4 - 3) / 3) + 1 = 1; no pads; never read: 3
        sees 5x7 pixels; stride so far 4x6
    flatten: 2x1x4 -> 8 = 2 * 1 * 4
        sees 9x7 pixels
    dense: 8 -> 10
    """
    input_shape = check_net("explain_shapes", net, input_shape)
    return Explanation(input_shape, tuple(walk(net, input_shape)))


@explained
def coverage(net: Layer, input_shape: Shape) -> np.ndarray:
    """Return for each pixel of an image (H, W, C) how many places of the last map depend on it: (H, W) whole numbers.

    The last map is the result of the last layer before the net flattens or pools globally. A pixel with 0 plays no
    part, one with many is read by many windows. Depending is a matter of geometry: weights and values are not looked
    at.

    >>> from minicnn.layers import Conv2D, MaxPooling2D, Sequential
    >>> coverage(Sequential([Conv2D(1, (1, 3))]), (1, 5, 1))
    array([[1, 2, 3, 2, 1]])
    >>> coverage(Sequential([Conv2D(1, (1, 3)), MaxPooling2D((1, 2))]), (1, 5, 1))
    array([[1, 1, 1, 1, 0]])
    """
    input_shape = check_net("coverage", net, input_shape)
    check_image("coverage", (1, *input_shape))
    h, w = input_shape[:2]
    if h * w > MOST_PIXELS:
        fix = f"Use an image of at most {MOST_PIXELS:,} pixels."
        raise ShapeError("coverage", f"an image of {h}x{w} would be pushed through the net {h * w:,} times", fix)
    net.output_shape(input_shape)
    count = np.zeros((h, w), int)
    for row in range(h):
        light = np.zeros((w, h, w, 1), np.float32)  # one image for each pixel of the row, in which it alone is lit
        light[range(w), row, range(w)] = 1
        count[row] = (_spread(net, input_shape, light) > 0).sum(axis=(1, 2, 3))
    return count


def _spread(layer: Layer, shape: Shape, light: np.ndarray) -> np.ndarray:
    """Return where the light gets to; a layer whose result is no map ends the way."""
    children = layer.children(shape)
    if children and not layer.parallel:
        for _, child, at in children:
            light = _spread(child, at, light)
        return light
    if len(layer.output_shape(shape)) != 3:
        return light
    if not children:
        return np.asarray(np.sign(layer.spread(light)))
    ends = [_spread(child, at, light) for _, child, at in children]
    around = isinstance(layer, Residual) and layer.shortcut is None
    return functools.reduce(np.maximum, [*ends, light] if around else ends)


def _tell(step: Step) -> str:
    windows = step.layer.windows(step.input_shape)
    sees = f"    sees {step.sees[0]}x{step.sees[1]} pixels"
    if len(step.output_shape) == 1 and len(step.input_shape) == 3 and _cells(step) == step.output_shape[0]:
        return f"{_change(step)} = {' * '.join(map(str, step.input_shape))}\n{sees}"
    if windows is None:
        return _change(step)
    axes = {"rows": windows.rows, "columns": windows.cols}
    if windows.rows == windows.cols:
        axes = {"rows and columns": windows.rows}
    lines = [f"    {name}: {_axis(axis, windows.rounding)}" for name, axis in axes.items()]
    return "\n".join([_change(step), *lines, f"{sees}; stride so far {_pair(step.stride)}"])


def _cells(step: Step) -> int:
    return math.prod(step.input_shape)


def _change(step: Step) -> str:
    before, after = _size(step.input_shape), _size(step.output_shape)
    return f"{step.name}: {before}" if before == after else f"{step.name}: {before} -> {after}"


def _axis(axis: Axis, rounding: str) -> str:
    pads = f"pads {axis.before} before, {axis.after} after" if max(axis.before, axis.after) > 0 else "no pads"
    over = f", the last window hangs over by {axis.overhang}" if axis.overhang else ""
    unread = f"never read: {_numbers(axis.unread)}" if axis.unread else "all are read"
    taps = f"{axis.k} taps {axis.d} apart span {axis.span}; " if axis.d > 1 else ""
    return f"{taps}{axis.formula(rounding)}; {pads}{over}; {unread}"


def _numbers(cells: tuple[int, ...], most: int = 8) -> str:
    shown = ", ".join(map(str, cells[:most]))
    return shown if len(cells) <= most else f"{shown} .. ({len(cells)} in all)"


def _size(shape: Shape) -> str:
    return "x".join(map(str, shape))


def _pair(pair: tuple[int, int]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}x{pair[1]}"
