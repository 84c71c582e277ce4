"""Which pixels of an image the last feature map depends on, and how often."""

from __future__ import annotations

import functools

import numpy as np

from minicnn.geometry import Axis, Shape, Windows, check_image
from minicnn.hints import explained
from minicnn.layers.base import Layer, check_net
from minicnn.ops.pooling_variants.adaptive import spans
from minicnn.validation import ShapeError

MOST_PIXELS = 2**16
"""Of an image whose coverage is asked for: the work grows with the square of them."""


@explained
def coverage(net: Layer, input_shape: Shape) -> np.ndarray:
    """Return for each pixel of an image (H, W, C) how many elements of the last feature map depend on it, (H, W).

    The last feature map is the result of the last layer before the network flattens or pools globally. A pixel with 0
    has no influence, one with a large count is read by many windows. Only the geometry counts, not weights and
    values.

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
        fix = "Use a smaller one: it is passed through the network once for each pixel."
        raise ShapeError("coverage", f"the image must have at most {MOST_PIXELS:,} pixels, got {h}x{w}", fix)
    net.output_shape(input_shape)
    count = np.zeros((h, w), int)
    for row in range(h):
        marked = np.zeros((w, h, w), np.float32)  # one image for each pixel of the row, in which it alone is 1
        marked[range(w), row, range(w)] = 1
        count[row] = np.count_nonzero(net.flow(_Marks(), marked, input_shape), axis=(1, 2))
    return count


class _Marks:
    """Passes marks (N, H, W) through the layers: an output is marked if its window reads a marked pixel."""

    def layer(self, name: str, layer: Layer, shape: Shape, state: np.ndarray) -> np.ndarray:
        windows = layer.windows(shape)
        if windows is None or not _is_map(layer, shape):
            return state
        rows, cols = (reads(axis, windows).astype(state.dtype) for axis in (windows.rows, windows.cols))
        return np.sign(rows @ state @ cols.T)  # type: ignore[no-any-return]

    def join(self, container: Layer, shape: Shape, state: np.ndarray, ends: list[np.ndarray]) -> np.ndarray:
        return functools.reduce(np.maximum, ends) if _is_map(container, shape) else state


def _is_map(layer: Layer, shape: Shape) -> bool:
    return len(layer.output_shape(shape)) == 3


def reads(axis: Axis, windows: Windows) -> np.ndarray:
    """Return which elements along an axis each window reads, also by their copies in the padding: (out, n) booleans.

    >>> from minicnn.layers import Conv2D
    >>> windows = Conv2D(1, (1, 2), strides=2, padding=((0, 0), (1, 0))).windows((1, 3, 1))
    >>> reads(windows.cols, windows).astype(int)
    array([[1, 0, 0],
           [0, 1, 1]])
    """
    elements = np.arange(axis.n)
    if windows.rounding == "adaptive":
        first, end = np.transpose(spans(axis.n, axis.out))[..., None]
        return np.asarray((first <= elements) & (elements < end))
    places = np.arange(axis.out)[:, None] * axis.s + np.arange(axis.k) * axis.d - axis.before
    if windows.mode != "constant":
        copies = np.pad(elements, (axis.before, axis.after), windows.mode)  # type: ignore[call-overload]
        places = copies[places + axis.before]
    return np.asarray((places[..., None] == elements).any(axis=1))
