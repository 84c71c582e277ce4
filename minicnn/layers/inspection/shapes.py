"""Where sizes come from, layer by layer."""

from __future__ import annotations

import html
import math

from minicnn.geometry import Axis, Shape
from minicnn.hints import explained, frozen
from minicnn.layers.base import Layer, check_net
from minicnn.layers.inspection.receptive_field import Step, walk


@frozen(repr=False)
class Explanation:
    """The sizes of an image from layer to layer of a network: `print` it, or let a notebook display it.

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
    """Return how each size is computed for images of `input_shape` (H, W, C); print it.

    For each layer: the size formula with its numbers, the padding at each side, the rows and columns of its input that
    no window reads, the receptive field (the pixels of the image that one element of the result depends on), and the
    stride so far: the distance in the image between the receptive fields of neighbours.

    Raises
    ------
    ShapeError
        If a layer does not fit its input, with the history of sizes before it.

    >>> from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D, ReLU, Sequential
    >>> net = Sequential([Conv2D(4, 3, strides=2, padding="same"), ReLU(), MaxPooling2D((2, 3)), Flatten(), Dense(10)])
    >>> print(explain_shapes(net, (9, 8, 1)))
    input: 9x8x1
    conv2d: 9x8x1 -> 5x4x4
        rows: ceil(9 / 2) = 5; padding 1 before, 1 after; all are read
        columns: ceil(8 / 2) = 4; padding 0 before, 1 after; all are read
        receptive field 3x3 pixels; stride so far 2
    relu: 5x4x4
    max_pooling2d: 5x4x4 -> 2x1x4
        rows: floor((5 - 2) / 2) + 1 = 2; no padding; never read: 4
        columns: floor((4 - 3) / 3) + 1 = 1; no padding; never read: 3
        receptive field 5x7 pixels; stride so far 4x6
    flatten: 2x1x4 -> 8 = 2 * 1 * 4
        receptive field 9x7 pixels
    dense: 8 -> 10
    """
    input_shape = check_net("explain_shapes", net, input_shape)
    return Explanation(input_shape, tuple(walk(net, input_shape)))


def _tell(step: Step) -> str:
    windows = step.layer.windows(step.input_shape)
    field = f"    receptive field {_size(step.receptive_field)} pixels"
    if (
        len(step.output_shape) == 1
        and len(step.input_shape) == 3
        and math.prod(step.input_shape) == step.output_shape[0]
    ):
        return f"{_change(step)} = {' * '.join(map(str, step.input_shape))}\n{field}"
    if windows is None:
        return _change(step)
    axes = {"rows": windows.rows, "columns": windows.cols}
    if windows.rows == windows.cols:
        axes = {"rows and columns": windows.rows}
    lines = [f"    {name}: {_axis(axis, windows.rounding)}" for name, axis in axes.items()]
    return "\n".join([_change(step), *lines, f"{field}; stride so far {_pair(step.stride)}"])


def _change(step: Step) -> str:
    before, after = _size(step.input_shape), _size(step.output_shape)
    return f"{step.name}: {before}" if before == after else f"{step.name}: {before} -> {after}"


def _axis(axis: Axis, rounding: str) -> str:
    pads = f"padding {axis.before} before, {axis.after} after" if max(axis.before, axis.after) > 0 else "no padding"
    over = f", the last window extends past the input by {axis.overhang}" if axis.overhang else ""
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
