"""Padding and cropping of images as ops of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from minicnn.geometry import Pads, Shape, Size, check_area, check_image, check_padding
from minicnn.graph import Array, op
from minicnn.kernels.arithmetic import wide
from minicnn.validation import ShapeError, one_of, real, shown

Mode = Literal["constant", "reflect", "edge", "wrap"]
MODES = ("constant", "reflect", "edge", "wrap")


def pad2d_shape(x: Shape, padding: Size | Pads = 1, *, mode: Mode = "constant", value: float = 0.0) -> Shape:
    """Shape rule of pad2d: (N, H, W, C) -> (N, H + top + bottom, W + left + right, C)."""
    check_image("pad2d", x)
    check_mode("pad2d", "mode", mode)
    pads = check_pads("pad2d", "padding", padding)
    real("pad2d", "value", value)
    check_copies("pad2d", (x[1], x[2]), pads, mode)
    rows, cols = x[1] + sum(pads[0]), x[2] + sum(pads[1])
    check_area("pad2d", "the result", (rows, cols), x[1:3], "Use a smaller padding.")
    return x[0], rows, cols, x[3]


def check_mode(where: str, name: str, mode: str) -> None:
    """Raise ValueError unless the mode is known."""
    one_of(where, name, mode, MODES)


def check_copies(where: str, size: tuple[int, int], pads: Pads, mode: Mode) -> None:
    """Raise ShapeError unless an image of `size` (H, W) has the pixels that its padding is copied from."""
    for n, side in zip(size, pads, strict=True):
        # reflect does not repeat the edge, so one pixel fewer can be copied than with wrap.
        most = {"reflect": n - 1, "wrap": n}.get(mode, max(side))
        if max(side) > most:
            what = f"{mode} padding must be at most {most}, the pixels that it can copy from {n}, got {side}"
            raise ShapeError(where, what, f"Use a padding of at most {most}, or the mode constant or edge.")


def check_pads(where: str, name: str, value: Size | Pads) -> Pads:
    """Return ((top, bottom), (left, right)), or raise."""
    if isinstance(value, str):
        fix = "Names of a padding are for operations with a window."
        raise TypeError(f"{where}: {name} must be an integer, a pair or two pairs, got {shown(value)}. {fix}")
    # "same" has been refused, so that None cannot occur: `or` is needed by the type checker.
    return check_padding(where, value, name) or ((0, 0), (0, 0))


@op(pad2d_shape)
def pad2d(x: Array, padding: Size | Pads = 1, *, mode: Mode = "constant", value: float = 0.0) -> Any:
    """Pad images: (N, H, W, C) -> (N, H + top + bottom, W + left + right, C).

    `constant` puts `value`; `reflect` mirrors without repeating the edge, `edge` repeats it, `wrap` continues
    at the opposite edge; a pixel that is copied also gets the gradient of its copies.

    >>> pad2d(np.array([1.0, 2.0, 3.0]).reshape(1, 1, 3, 1), (0, 2), mode="reflect").ravel()
    array([3., 2., 1., 2., 3., 2., 1.])
    """
    y, vjp_x = padded(x, check_pads("pad2d", "padding", padding), mode, value)
    return y, (vjp_x,)


def padded(x: np.ndarray, pads: Pads, mode: Mode, value: float = 0.0) -> tuple[np.ndarray, Callable[[np.ndarray], Any]]:
    """Return the padded images, and the function that maps their gradient to that of the images."""
    (top, bottom), (left, right) = pads
    h, w = x.shape[1:3]
    extra = {"constant_values": value} if mode == "constant" else {}
    y = np.pad(x, ((0, 0), *pads, (0, 0)), mode=mode, **extra)  # type: ignore[call-overload]

    def vjp_x(g: np.ndarray) -> Any:
        if mode == "constant":
            return g[:, top : top + h, left : left + w]
        # Padding the indices instead of the pixels gives the source of each copy, for every mode of NumPy.
        return _fold(
            _fold(g, 1, np.pad(np.arange(h), (top, bottom), mode)),
            2,
            np.pad(np.arange(w), (left, right), mode),
        )

    return y, vjp_x


def _fold(g: np.ndarray, axis: int, sources: np.ndarray) -> np.ndarray:
    """Add each line of `g` along an axis to the line that it was copied from."""
    copies = np.bincount(sources)
    folded = np.zeros((*g.shape[:axis], len(copies), *g.shape[axis + 1 :]), wide(g.dtype, copies.max()))
    to, lines = np.moveaxis(folded, axis, 0), np.moveaxis(g, axis, 0)
    # One by one, because a source occurs several times: folded[sources] += lines would add only one of them.
    for line, source in zip(lines, sources, strict=True):
        to[source] += line
    return folded.astype(g.dtype, copy=False)


def crop2d_shape(x: Shape, cropping: Size | Pads = 1) -> Shape:
    """Shape rule of crop2d: (N, H, W, C) -> (N, H - top - bottom, W - left - right, C)."""
    check_image("crop2d", x)
    rows, cols = (n - sum(side) for n, side in zip(x[1:3], check_pads("crop2d", "cropping", cropping), strict=True))
    if min(rows, cols) < 1:
        what = f"cropping must leave a row and a column of the {x[1]}x{x[2]} input, got {cropping}"
        raise ShapeError("crop2d", what, f"That leaves {rows}x{cols}. Crop less.")
    return x[0], rows, cols, x[3]


@op(crop2d_shape)
def crop2d(x: Array, cropping: Size | Pads = 1) -> Any:
    """Crop images: (N, H, W, C) -> (N, H - top - bottom, W - left - right, C).

    >>> crop2d(np.arange(9.0).reshape(1, 3, 3, 1)).ravel()
    array([4.])
    """
    (top, bottom), (left, right) = pads = check_pads("crop2d", "cropping", cropping)
    inner = x[:, top : x.shape[1] - bottom, left : x.shape[2] - right]
    return inner, (lambda g: np.pad(g, ((0, 0), *pads, (0, 0))),)
