"""The style that all figures of a study share: colours, panels, labels, and how a figure becomes a file.

Figures are drawn without global state and independently of the user's matplotlibrc. The same data gives the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

from minicnn.files import atomic_write
from minicnn.notebook import shown
from minicnn.optional import need
from minicnn.study.report.words import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")
T = TypeVar("T")

INK, PALE, SHADE = "#222222", "#8a8a8a", "#ececec"
# the colour-blind-safe palette of Okabe and Ito, without black (used for the control) and yellow (too pale for text);
# orange, sky blue and pink are darker than in the original, so that text can be read
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#B8609A", "#C98500", "#3A9BD6", "#7A5C2E", "#5B5EA6", "#6B8E23")
STYLE = {
    "font.size": 10,
    "figure.titlesize": 12,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.edgecolor": PALE,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.8,
    "xtick.color": PALE,
    "ytick.color": PALE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "svg.hashsalt": "minicnn",
    # names are not mathematical formulas: "$", "_" and "^" are drawn as they are
    "text.parse_math": False,
    "text.usetex": False,
}


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Draw in the style of this module."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> T:
        with need("matplotlib.style").context(["default", STYLE]):
            return draw(*args, **kwargs)

    return drawn


def panels(
    title: str,
    rows: int = 1,
    columns: int = 1,
    *,
    width: float = 9,
    height: float,
    share_y: bool = True,
    layout: Literal["constrained", "compressed"] = "constrained",
) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure of 9 inches with a title, and its panels row by row; "compressed" is for those of images."""
    figure: Figure = shown(need("matplotlib.figure").Figure(figsize=(width, height), layout=layout))
    figure.get_layout_engine().set(w_pad=0.1)  # type: ignore[union-attr, call-arg]
    # the placement of labels measures text, which needs an Agg canvas
    need("matplotlib.backends.backend_agg").FigureCanvasAgg(figure)
    figure.suptitle(title, color=INK, x=0.01, ha="left", weight="bold")
    return figure, list(figure.subplots(rows, columns, sharey=share_y, squeeze=False).flat)


def settled(figure: Figure) -> Figure:
    """Fix the layout of a figure, so that it is saved the same each time."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def palette(arms: Iterable[str], control: str) -> dict[str, str]:
    """Return a colour for each arm by its position; the control is black.

    Pass the palette of all arms to figures of some of them, so that each arm has the same colour in all figures.

    >>> palette(["max", "average"], control="max")
    {'max': '#222222', 'average': '#0072B2'}
    """
    arms = list(arms)
    others = [arm for arm in arms if arm != control]
    colours = {control: INK} | {arm: COLOURS[i % len(COLOURS)] for i, arm in enumerate(others)}
    return {arm: colours[arm] for arm in arms}


def legend_below(figure: Figure, colours: Mapping[str, str]) -> None:
    """Write the names of arms with their colours below the panels."""
    lines = need("matplotlib.lines")
    handles = [lines.Line2D([], [], color=colour, linewidth=2, label=printable(arm)) for arm, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 5))


def save(figure: Figure, stem: str | Path) -> tuple[Path, Path]:
    """Write `figure` as `stem`.png (1800 pixels wide) and `stem`.svg, each completely or not at all."""
    return atomic_write(f"{stem}.png", image(figure, "png")), atomic_write(f"{stem}.svg", image(figure, "svg"))


@styled
def image(figure: Figure, kind: str) -> bytes:
    """Return `figure` as the bytes of a "png" or an "svg" file, without a date."""
    file = io.BytesIO()
    metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(file, format=kind, dpi=200, metadata=metadata)
    return file.getvalue()
