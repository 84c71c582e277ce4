"""Window arithmetic: how many windows fit, which padding they need, which pixels they read. The only home of it.

Notation, along one axis: n pixels, a window of k taps that lie d apart (so it spans (k - 1) * d + 1 pixels), one
window every s pixels, padding of `before` and `after`::

    valid      out = floor((n - span) / s) + 1
    same       out = ceil(n / s), padding max(0, (out - 1) * s + span - n), the odd one after (TensorFlow, Keras)
    explicit   out = floor((n + before + after - span) / s) + 1
    ceil mode  ceil instead of floor, but the last window must start inside the input or its leading padding (PyTorch)
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from minicnn.axis import Axis
from minicnn.hints import near
from minicnn.validation import ShapeError, check_area, check_elements, flag, integer, pair, shown

__all__ = [
    "Axis",
    "Geometry",
    "Padding",
    "Pads",
    "Pair",
    "Shape",
    "Size",
    "Windows",
    "check_area",
    "check_elements",
    "check_image",
    "check_padding",
    "check_window",
    "integer",
    "one_window",
    "pair",
    "windows",
]

Shape: TypeAlias = tuple[int, ...]
Pair: TypeAlias = tuple[int, int]
Size: TypeAlias = int | Pair
Pads: TypeAlias = tuple[Pair, Pair]
Padding: TypeAlias = str | int | Pair | Pads


class Geometry(NamedTuple):
    """How the windows lie on the images, each pair (vertical, horizontal): all that a kernel has to know.

    A named tuple of tuples of integers, because compiled loops take tuples, and integers in them, as they are.
    """

    window: Pair  # taps of a window
    strides: Pair  # pixels from one window to the next
    pads: Pads  # padding at ((top, bottom), (left, right))
    dilation: Pair  # pixels from one tap to the next
    out: Pair  # number of windows


def one_window(size: Pair) -> Geometry:
    """Return the geometry of one window over the whole of an image of `size` (H, W).

    >>> one_window((28, 28)).out
    (1, 1)
    """
    return Geometry(size, (1, 1), ((0, 0), (0, 0)), (1, 1), (1, 1))


@dataclass(frozen=True)
class Windows:
    """Both axes of a window op; `rounding` is the size rule: floor, ceil, same, adaptive.

    `mode` is what padding contains: constants, or copies by reflect, edge or wrap.
    """

    rows: Axis
    cols: Axis
    rounding: str = "floor"
    mode: str = "constant"

    @property
    def out(self) -> tuple[int, int]:
        """Windows down and across."""
        return self.rows.out, self.cols.out

    @property
    def strides(self) -> tuple[int, int]:
        """Pixels between windows."""
        return self.rows.s, self.cols.s

    @property
    def dilation(self) -> tuple[int, int]:
        """Pixels between taps."""
        return self.rows.d, self.cols.d

    @property
    def pads(self) -> Pads:
        """Padding at ((top, bottom), (left, right)), overhang included."""
        (t, b), (le, r) = ((a.before, a.after + a.overhang) for a in (self.rows, self.cols))
        return (t, b), (le, r)

    @functools.cached_property
    def geometry(self) -> Geometry:
        """What the kernels need to know."""
        return Geometry((self.rows.k, self.cols.k), self.strides, self.pads, self.dilation, self.out)


def windows(
    where: str,
    size: tuple[int, int],
    window: Size,
    strides: Size,
    padding: Padding = "valid",
    dilation: Size = 1,
    *,
    ceil_mode: bool = False,
    pooling: bool = False,
) -> Windows:
    """Return both axes of a window op over an input of `size` (H, W), or raise what does not fit.

    >>> windows("conv2d", (28, 28), 3, 2, "same").pads
    ((0, 1), (0, 1))
    """
    if len(size) != 2:
        raise ShapeError(where, f"the input must have shape (H, W, C), got {size}", "Put it before Flatten and Dense.")
    taps, steps, gaps = check_window(where, window, strides, dilation, pooling=pooling)
    pads = check_padding(where, padding)
    ceil = flag(where, "ceil_mode", ceil_mode)
    rounding = "same" if pads is None else "ceil" if ceil else "floor"
    return _windows(where, size, taps, steps, gaps, pads, rounding, pooling)


@functools.lru_cache(maxsize=4096)
def _windows(
    where: str,
    size: tuple[int, int],
    taps: tuple[int, int],
    steps: tuple[int, int],
    gaps: tuple[int, int],
    pads: Pads | None,
    rounding: str,
    pooling: bool,
) -> Windows:
    for name, n in zip(("rows", "columns"), size, strict=True):
        if n < 1:
            what = f"the input must have at least one row and column, got {size[0]}x{size[1]} with no {name}"
            raise ShapeError(where, what, "Use a larger image.")
    rows, cols = (
        _axis(size[i], taps[i], steps[i], gaps[i], None if pads is None else pads[i], rounding) for i in (0, 1)
    )
    if pooling:
        _check_pool_pads(where, rows, cols)
    _check_padded(where, size, (rows, cols), "pool_size" if pooling else "kernel_size")
    for name, axis in (("rows", rows), ("columns", cols)):
        if axis.out < 1:
            raise _does_not_fit(where, size, (rows, cols), f"{axis.formula(rounding)} {name}", pooling=pooling)
    return Windows(rows, cols, rounding)


def _axis(n: int, k: int, s: int, d: int, pads: tuple[int, int] | None, rounding: str) -> Axis:
    span = (k - 1) * d + 1
    if pads is None:
        out = -(-n // s)  # ceil(n / s) in integers: a float would round for large n
        total = max(0, (out - 1) * s + span - n)
        return Axis(n, k, s, d, total // 2, total - total // 2, out)
    before, after = pads
    free = n + before + after - span
    out = (-(-free // s) if rounding == "ceil" else free // s) + 1
    # Rounding up can add a window that starts in the padding after the image: it would contain no pixel.
    if rounding == "ceil" and (out - 1) * s >= n + before:
        out -= 1
    return Axis(n, k, s, d, before, after, out)


def _check_pool_pads(where: str, *axes: Axis) -> None:
    # A convolution may pad more: a window of zeros gives its bias. A maximum of no pixel would be -inf.
    for axis in axes:
        if max(axis.before, axis.after) >= axis.span:
            raise ShapeError(
                where,
                f"padding must be smaller than the window extent {axis.span}, got {(axis.before, axis.after)}:"
                " some windows would contain only padding",
                f"Use a padding of at most {axis.span - 1}, padding='same', or pad before pooling with pad2d.",
            )


def _check_padded(where: str, size: tuple[int, int], axes: tuple[Axis, Axis], name: str) -> None:
    """Raise ShapeError for padding that no memory can hold, including what "same" adds for a wide window."""
    padded = [a.before + a.n + a.after for a in axes]
    what = f"the window spans {axes[0].span}x{axes[1].span} and the padded input"
    check_area(where, what, padded, size, f"Use a smaller padding, dilation_rate or {name}.")


def _does_not_fit(
    where: str, size: tuple[int, int], axes: tuple[Axis, Axis], formula: str, *, pooling: bool
) -> ShapeError:
    rows, cols = axes
    dilated = f" (it spans {rows.span}x{cols.span})" if max(rows.d, cols.d) > 1 else ""
    padded = max(rows.before + rows.after, cols.before + cols.after) > 0
    what = f"a {rows.k}x{cols.k} window{dilated} does not fit a {size[0]}x{size[1]} input{' with its padding' * padded}"
    name = "pool_size" if pooling else "kernel_size"
    down, across = (max(0, a.n + a.before + a.after - 1) // a.d + 1 for a in axes)
    most = f"{name} <= {down if down == across else (down, across)}"
    smaller = most if max(down, across) > 1 else f"a smaller {name}"  # a window of 1x1 would pool nothing
    return ShapeError(where, f"{what}: {formula}", f'Use padding="same", {smaller}, or drop this layer.')


def check_image(where: str, x: Shape) -> None:
    """Raise ShapeError unless `x` is (N, H, W, C) with at least one row, column and channel."""
    if len(x) != 4:
        axes = "Add the channel axis with x[..., None], the batch axis with x[None]."
        fixes = {3: axes, 5: "Use reshape. The input shape of a layer leaves the batch axis out: (H, W, C)."}
        fix = fixes.get(len(x), "Use reshape.")
        raise ShapeError(where, f"the input must have 4 axes (N, H, W, C), got {len(x)} axes {x}", fix)
    for n, name in zip(x[1:], ("rows", "columns", "channels"), strict=True):
        if n < 1:
            what = f"the input must have at least one row, column and channel, got {x} with no {name}"
            raise ShapeError(where, what, "Use a larger image; only the batch may be empty.")


def check_window(
    where: str, window: Any, strides: Any, dilation: Any = 1, *, pooling: bool = False
) -> tuple[Any, Any, Any]:
    """Return window, strides and dilation as pairs of positive ints, or raise."""
    name = "kernel_size" if "conv" in where.lower() and not pooling else "pool_size"
    return pair(where, name, window), pair(where, "strides", strides), pair(where, "dilation_rate", dilation)


def check_padding(where: str, padding: Any, name: str = "padding") -> Pads | None:
    """Return ((top, bottom), (left, right)), or None for "same" whose padding depends on the input.

    >>> check_padding("conv2d", (1, 2))
    ((1, 1), (2, 2))
    """
    if isinstance(padding, str):
        if padding not in ("valid", "same"):
            hint = near(padding.lower(), ("valid", "same"))
            raise ValueError(f"{where}: {name} must be 'valid', 'same', {_PADDING}, got {shown(padding)}.{hint}")
        return None if padding == "same" else ((0, 0), (0, 0))
    if _is_pair(padding) and all(_is_pair(side) for side in padding):
        (top, bottom), (left, right) = (pair(where, name, side, least=0) for side in padding)
        return (top, bottom), (left, right)
    if isinstance(padding, list | tuple) and not _is_pair(padding):
        raise ValueError(f"{where}: {name} must be {_PADDING}, got {shown(padding)} of length {len(padding)}.")
    ph, pw = pair(where, name, padding, least=0)
    return (ph, ph), (pw, pw)


_PADDING = "an int, (ph, pw), or ((top, bottom), (left, right))"


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2
