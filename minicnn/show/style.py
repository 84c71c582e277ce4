"""The style of the pictures: few colours that colour-blind readers can tell apart, maps with numbers, scale bars.

Ink and grey for values, blue for windows, orange for what a pooling keeps; each of these also has a form of its own.
"""

from __future__ import annotations

import functools
import math
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from minicnn.notebook import shown
from minicnn.optional import need

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")
T = TypeVar("T")

INK, PALE = "#222222", "#8a8a8a"
BLUE, ORANGE = "#0072B2", "#D55E00"
"""Of the palette of Okabe and Ito, as in the figures of a study."""
MOST_NUMBERS = 12
"""Rows or columns of a map up to which its values are written into it."""
WIDTHS = {".": 0.32, "\N{MINUS SIGN}": 0.84}
"""Of characters, in units of the font size; that of a digit is 0.64."""
STYLE = {
    "font.size": 9,
    "figure.titlesize": 11,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.edgecolor": PALE,
    "axes.labelcolor": INK,
    "xtick.color": PALE,
    "ytick.color": PALE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "hatch.color": PALE,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "svg.hashsalt": "minicnn",
    "text.parse_math": False,  # names of classes and layers are not formulas
    "text.usetex": False,
}


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Draw in the style of this module, whatever the user's matplotlibrc says."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> T:
        with need("matplotlib.style").context(["default", STYLE]):
            return draw(*args, **kwargs)

    return drawn


def grid(title: str, rows: int, columns: int, *, size: tuple[float, float]) -> tuple[Figure, np.ndarray]:
    """Return a figure that displays itself, and its panels as an array; `size` of one panel is in inches."""
    width, height = columns * size[0] + 0.9, rows * size[1] + 0.6
    figure: Figure = shown(need("matplotlib.figure").Figure(figsize=(max(width, 4.5), height), layout="constrained"))
    figure.get_layout_engine().set(w_pad=0.04, h_pad=0.05)  # type: ignore[union-attr, call-arg]
    room = int(figure.get_figwidth() * 10)  # characters of 11 points per inch
    lines = [part for line in title.split("\n") for part in textwrap.wrap(line, room)]
    figure.suptitle("\n".join(lines), color=INK, x=0.01, ha="left", weight="bold")
    return figure, figure.subplots(rows, columns, squeeze=False)


def squarish(count: int) -> tuple[int, int]:
    """Return rows and columns for a number of panels, wider than high.

    >>> [squarish(n) for n in (1, 4, 10, 16, 32)]
    [(1, 1), (1, 4), (2, 5), (2, 8), (4, 8)]
    """
    columns = min(count, 8) if count > 12 else math.ceil(count / math.ceil(count / 6))
    return math.ceil(count / columns), columns


def scale(*values: np.ndarray, reach: float = 0.0) -> dict[str, Any]:
    """Return colour map and limits: white to ink from 0 up, or blue, white, orange where values have both signs.

    The limits hold all of the maps, and `reach`.
    """
    finite = np.concatenate([v[np.isfinite(v)].ravel() for v in values])
    least, most = float(finite.min(initial=0)), float(finite.max(initial=reach))
    if least >= 0:
        return {"cmap": _colours("white to ink", "#ffffff", "#3c3c3c"), "vmin": 0.0, "vmax": most or 1.0}
    bound = max(-least, most)
    return {"cmap": _colours("blue, white, orange", BLUE, "#ffffff", ORANGE), "vmin": -bound, "vmax": bound}


@functools.cache
def _colours(name: str, *colours: str) -> Any:
    return need("matplotlib.colors").LinearSegmentedColormap.from_list(name, colours)


def draw_map(
    axes: Axes,
    values: np.ndarray,
    how: dict[str, Any],
    *,
    numbers: bool | None = None,
    width: float = 2.0,
    ticks: bool = True,
) -> Any:
    """Draw a map (H, W) with its first row on top, and its values where a panel of `width` inches has room."""
    picture = axes.imshow(values, interpolation="nearest", **how)
    rows, cols = values.shape
    if ticks:
        _mark_ticks(axes, rows, cols)
    else:
        _no_ticks(axes)
    if numbers if numbers is not None else max(values.shape) <= MOST_NUMBERS:
        _write_values(axes, values, how, 72 * width / cols)
    return picture


def _write_values(axes: Axes, values: np.ndarray, how: dict[str, Any], room: float) -> None:
    form, exponent = _format(values)
    if exponent:
        axes.set_xlabel(f"in units of 1e{_signed(exponent, 0)}", fontsize=8)
    dark = np.abs(values) > (0.6 if how["vmin"] < 0 else 0.5) * how["vmax"]
    for at, value in np.ndenumerate(values):
        text = form(float(value))
        colour = "white" if dark[at] else INK
        axes.text(at[1], at[0], text, ha="center", va="center", color=colour, fontsize=_fitting(room, text))


def draw_image(axes: Axes, image: np.ndarray) -> None:
    """Draw an image (H, W, C): in colour if it has three channels in [0, 1], else the mean of its channels."""
    colour = image.shape[-1] == 3 and image.min() >= 0 and image.max() <= 1
    if colour:
        axes.imshow(image, interpolation="nearest")
        _no_ticks(axes)
    else:
        gray = image.mean(axis=-1)
        draw_map(axes, gray, scale(gray), numbers=False, ticks=False)
    axes.set_title("image" if colour or image.shape[-1] == 1 else "image, mean of channels")


def _mark_ticks(axes: Axes, rows: int, cols: int) -> None:
    """Number the rows and columns, all of them or each fourth, each seventh."""
    step_rows, step_cols = (1 if n <= MOST_NUMBERS else 4 if n <= 32 else max(1, n // 8) for n in (rows, cols))
    axes.set_xticks(range(0, cols, step_cols))
    axes.set_yticks(range(0, rows, step_rows))
    axes.tick_params(length=0, pad=1.5)


def _no_ticks(axes: Axes) -> None:
    """Take the numbers of rows and columns away, where panels are small."""
    axes.set_xticks([])
    axes.set_yticks([])


def scale_bar(figure: Figure, picture: Any, axes: Any, label: str = "") -> None:
    """Draw the scale of a map beside its panels."""
    bar = figure.colorbar(picture, ax=axes, shrink=0.8, pad=0.02, aspect=18)
    bar.outline.set_visible(False)
    bar.formatter.set_powerlimits((-2, 4))  # type: ignore[attr-defined]  # else small gradients have labels of many zeros
    bar.ax.tick_params(length=2)
    if label:
        bar.set_label(label)


def _format(values: np.ndarray) -> tuple[Callable[[float], str], int]:
    """Return how to write the values of a map, and the power of ten in which they are written, 0 for most.

    Integers have no fraction, other values two or three digits. Where all are tiny or the largest is huge, they are
    written as integers of two or three digits in units of that power.
    """
    finite = np.abs(values[np.isfinite(values)])
    largest = float(finite.max(initial=0))
    if np.all(values == np.round(values)) and largest < 1000:
        return lambda value: _signed(value, 0), 0
    if largest and not 1e-2 <= largest < 1000:
        exponent = max(math.floor(math.log10(largest)) - 1, -300)
        return lambda value: _signed(value / 10.0**exponent, 0), exponent
    digits = 1 if largest >= 10 else 2
    return lambda value: f"{value:.{digits}f}".removeprefix("0") if 0 < value < 1 else _signed(value, digits), 0


def _signed(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")
    return "0" if float(f"{value:.{digits}f}") == 0 else text.replace("\N{MINUS SIGN}0.", "\N{MINUS SIGN}.")


def _fitting(room: float, text: str) -> float:
    """Return a font size with which a number fits into a square of `room` points."""
    ems = sum(WIDTHS.get(character, 0.64) for character in text)
    return min(9.0, 0.8 * room / max(ems, 1.28))
