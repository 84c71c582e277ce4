"""The windows of a convolution or a pooling on its input, one after the other, with padding and overhang."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.geometry import Axis, Windows
from minicnn.hints import explained
from minicnn.layers import Layer
from minicnn.layers.base import Params
from minicnn.ops.pooling_variants.adaptive import spans
from minicnn.optional import need
from minicnn.show import style, subject
from minicnn.show.style import BLUE, INK, PALE
from minicnn.validation import integer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def taps(axis: Axis, rounding: str) -> list[np.ndarray]:
    """Return the rows (or columns) that each window reads; those below 0 or from n on are padding or overhang.

    >>> from minicnn.layers import MaxPooling2D
    >>> [places.tolist() for places in taps(MaxPooling2D(3, strides=2, padding="same").windows((5, 5, 1)).rows, "same")]
    [[-1, 0, 1], [1, 2, 3], [3, 4, 5]]
    """
    if rounding == "adaptive":
        return [np.arange(first, end) for first, end in spans(axis.n, axis.out)]
    return [start * axis.s - axis.before + np.arange(axis.k) * axis.d for start in range(axis.out)]


@explained
@style.styled
def windows(
    net: Layer,
    params: Params,
    image: np.ndarray,
    layer: str | None = None,
    *,
    channel: int = 0,
    output: int = 0,
    most: int = 4,
) -> Figure:
    """Draw where the windows of a convolution or a pooling lie on its input: one panel per window.

    The elements that the window reads are outlined; padding is hatched, and what the last window reads past the padding
    (with `ceil_mode`) is dotted. The number above each panel is what the layer returns for the window.

    Parameters
    ----------
    net, params : Layer, tree
    image : ndarray of shape (H, W, C)
    layer : str, optional
        The path of the layer; by default the first convolution or pooling.
    channel, output : int
        The channels of its input and of its result.
    most : int
        The largest number of windows in each direction; of more, the first ones and the last one are drawn.
    """
    most = integer("windows", "most", most)
    found = subject.calls("windows", net, params, image)
    chosen = subject.choose("windows", found, layer, "a convolution or a pooling", subject.has_windows)
    path, call = chosen
    channel = subject.channel_of("windows", "channel", channel, call.x.shape[-1])
    output = subject.channel_of("windows", "output", output, call.y.shape[-1])
    how = chosen.windows
    result = call.y[0].reshape(*how.out, -1)[..., output]
    values = call.x[0, ..., channel]
    limits = style.scale(values)
    down, across = (_some(n, most) for n in how.out)
    figure, panels = style.grid(_title(path, how, most), len(down), len(across), size=(1.75, 1.85))
    rows, cols = taps(how.rows, how.rounding), taps(how.cols, how.rounding)
    for panel, p in zip(panels, down, strict=True):
        for axes, q in zip(panel, across, strict=True):
            picture = draw_canvas(axes, values, how, limits, ticks=False)
            draw_window(axes, rows[p], cols[q])
            axes.set_title(f"({p}, {q}): {result[p, q]:.3g}".replace("-", "\N{MINUS SIGN}"), fontsize=8)
    style.scale_bar(figure, picture, panels, f"input, channel {channel}")
    _add_legend(figure, how, f"(row, column) of the window: result, channel {output}")
    return figure


def _some(count: int, most: int) -> list[int]:
    """Return the numbers of the first windows and the last one.

    >>> _some(3, 4), _some(8, 4)
    ([0, 1, 2], [0, 1, 2, 7])
    """
    return list(range(count)) if count <= most else [*range(most - 1), count - 1]


def _title(path: str, how: Windows, most: int) -> str:
    cut = f"\nthe first {most - 1} and the last in each direction" if max(how.out) > most else ""
    size, steps = (f"{a}x{b}" for a, b in ((how.rows.k, how.cols.k), how.strides))
    if how.rounding == "adaptive":
        return f"{path}: {how.out[0]}x{how.out[1]} windows, of up to {size}{cut}"
    rule = how.rows.formula(how.rounding)
    dilated = "" if how.dilation == (1, 1) else f", taps {how.dilation[0]}x{how.dilation[1]} apart"
    return f"{path}: {how.out[0]}x{how.out[1]} windows of {size}, strides {steps}{dilated}\nrows: {rule}{cut}"


def draw_canvas(axes: Axes, values: np.ndarray, how: Windows, limits: dict[str, Any], *, ticks: bool = True) -> Any:
    """Draw the input (H, W) of a window op with its padding and its overhang."""
    sides = [(max(a.before, 0), max(a.after, 0), a.overhang) for a in (how.rows, how.cols)]
    picture = style.draw_map(axes, values, limits, numbers=False, ticks=ticks)
    h, w = values.shape
    (top, bottom, below), (left, right, beyond) = sides
    if below or beyond:
        _frame(axes, (-top, -left, h + bottom + below, w + right + beyond), (h + bottom, w + right), "..")
    if top or bottom or left or right:
        _frame(axes, (-top, -left, h + bottom, w + right), (h, w), "////")
    axes.add_patch(_rectangle(0, 0, h, w, fill=False, edgecolor=INK, linewidth=0.8))
    axes.set_xlim(-left - 0.7, w + right + beyond - 0.3)
    axes.set_ylim(h + bottom + below - 0.3, -top - 0.7)
    for side in axes.spines.values():
        side.set_visible(False)
    return picture


def _frame(axes: Axes, outer: tuple[int, int, int, int], inner: tuple[int, int], hatch: str) -> None:
    """Hatch what lies between an outer rectangle (top, left, bottom, right) and the input."""
    top, left, bottom, right = outer
    h, w = inner
    for y, x, y_end, x_end in ((top, left, 0, right), (h, left, bottom, right), (0, left, h, 0), (0, w, h, right)):
        if y_end > y and x_end > x:
            axes.add_patch(
                _rectangle(y, x, y_end, x_end, facecolor="#f4f4f4", edgecolor=PALE, hatch=hatch, linewidth=0)
            )


def draw_window(axes: Axes, rows: np.ndarray, cols: np.ndarray, *, inset: float = 0.0, line: float = 1.8) -> None:
    """Outline a window, or each element that it reads where they lie apart."""
    if np.any(np.diff(rows) > 1) or np.any(np.diff(cols) > 1):
        for row in rows:
            for col in cols:
                axes.add_patch(_rectangle(row, col, row + 1, col + 1, fill=False, edgecolor=BLUE, linewidth=1.2))
        return
    edges = rows[0] + inset, cols[0] + inset, rows[-1] + 1 - inset, cols[-1] + 1 - inset
    axes.add_patch(_rectangle(*edges, fill=False, edgecolor=BLUE, linewidth=line))


def _rectangle(top: float, left: float, bottom: float, right: float, **how: Any) -> Any:
    """Return a rectangle around whole elements: element 0 lies from -0.5 to 0.5 in matplotlib's coordinates."""
    return need("matplotlib.patches").Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, **how)


def _add_legend(figure: Figure, how: Windows, note: str) -> None:
    patch = need("matplotlib.patches").Patch
    parts = [patch(fill=False, edgecolor=BLUE, linewidth=1.8, label="what the window reads")]
    if max(how.rows.before, how.rows.after, how.cols.before, how.cols.after) > 0:
        what = "padding" if how.mode == "constant" else f"padding: copies of the input ({how.mode})"
        parts.append(patch(facecolor="#f4f4f4", edgecolor=PALE, hatch="////", linewidth=0, label=what))
    if how.rows.overhang or how.cols.overhang:
        parts.append(patch(facecolor="#f4f4f4", edgecolor=PALE, hatch="..", linewidth=0, label="past the padding"))
    parts.append(patch(fill=False, linewidth=0, label=note))
    wide = figure.get_figwidth() > 7
    figure.legend(handles=parts, loc="outside lower left", ncols=4 if wide else 1)
