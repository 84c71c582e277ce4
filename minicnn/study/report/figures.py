"""The figures of a study: learning curves, accuracy against cost, differences from the control.

Each function returns a matplotlib Figure about 900 pixels wide, drawn without global state; `save` writes it. The
same data gives the same bytes. Accuracies are shown in percent and differences in percentage points. `colours` maps
the names of arms to colours; the default is a `palette` of the arms in the figure.
"""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from minicnn.files import atomic_write
from minicnn.notebook import shown
from minicnn.optional import need
from minicnn.study.inference import Interval, Row, accuracy_differences
from minicnn.study.ledger import Run, by_arm
from minicnn.study.report.label_layout import apart, name_lines, name_points
from minicnn.study.report.tables import points, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")
T = TypeVar("T")
Floats = NDArray[np.float64]

INK, PALE = "#222222", "#8a8a8a"
# the colour-blind-safe palette of Okabe and Ito, without black (used for the control) and yellow (too pale for text);
# orange, sky blue and pink are darker than in the original, so that text can be read
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#B8609A", "#C98500", "#3A9BD6", "#7A5C2E")
MEAN: dict[str, Any] = {"marker": "D", "linestyle": "none", "linewidth": 2, "markersize": 6}
DOT: dict[str, Any] = {"marker": "o", "linestyle": "none", "alpha": 0.55, "markersize": 4, "markeredgewidth": 0}
STYLE = {
    "font.size": 10,
    "figure.titlesize": 12,
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


def _styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Draw in the style of this module, independent of the user's matplotlibrc."""

    @wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> T:
        with need("matplotlib.style").context(["default", STYLE]):
            return draw(*args, **kwargs)

    return styled


@_styled
def learning_curves(runs: Sequence[Run], control: str, colours: Mapping[str, str] | None = None) -> Figure:
    """Draw the validation error against epochs and against seconds, one line per arm: the mean over its seeds.

    The band contains the middle half of the seeds. A line ends at the last epoch that every seed of the arm reached,
    because later means would be over different sets of runs.
    """
    curves = {arm: _curves(group) for arm, group in by_arm(runs).items()}
    colours = colours or palette(curves, control)
    figure, (by_epoch, by_second) = _panels("Validation error during training", 2, height=4.2)
    for arm, (epochs, seconds, errors) in curves.items():
        _band(by_epoch, epochs, errors, colours[arm])
        _band(by_second, seconds, errors, colours[arm])
    _error_axis(by_epoch, np.concatenate([errors.mean(axis=0) for _, _, errors in curves.values()]))
    by_epoch.set(xlabel="epoch", ylabel="validation error, %", xlim=(0, 1.05 * by_epoch.dataLim.x1))
    by_second.set(xlabel="seconds of training", xlim=(0, 1.05 * by_second.dataLim.x1))
    by_epoch.xaxis.set_major_locator(need("matplotlib.ticker").MaxNLocator(integer=True, steps=(1, 2, 5, 10)))
    figure.draw_without_rendering()
    floor = by_epoch.get_ylim()[0]
    ends = {arm: (epochs[-1], max(floor, errors.mean(axis=0)[-1])) for arm, (epochs, _, errors) in curves.items()}
    name_lines(by_epoch, ends, colours)
    return _settled(figure)


@_styled
def accuracy_against_cost(rows: Sequence[Row], colours: Mapping[str, str] | None = None) -> Figure:
    """Draw mean test accuracy with its 95 % confidence interval against multiply-adds and against parameters.

    Arms of nearly equal cost are drawn side by side.
    """
    colours = colours or palette([row.arm for row in rows], rows[0].control)
    figure, (work, size) = _panels("Test accuracy against cost", 2, height=4.4)
    bars = {row.arm: 100 * _half(row.accuracy) for row in rows}
    where = {}
    for axes, costs in ((work, [row.multiply_adds for row in rows]), (size, [row.parameters for row in rows])):
        xs = _cost_axis(axes, np.array(costs, dtype=float))
        where[axes] = {row.arm: (x, 100 * row.accuracy.mean) for row, x in zip(rows, xs, strict=True)}
        for arm, (x, y) in where[axes].items():
            axes.errorbar(x, y, bars[arm], fmt="o", color=colours[arm], linewidth=1.6, markersize=5)
    work.set(xlabel="multiply-adds for one image", ylabel="test accuracy, %")
    size.set(xlabel="parameters")
    _settled(figure)
    for axes, spots in where.items():
        name_points(axes, spots, colours, bars)
    return figure


@_styled
def differences(rows: Sequence[Row], runs: Sequence[Run], colours: Mapping[str, str] | None = None) -> Figure:
    """Draw the difference of each arm from the control: one dot per seed, and the mean with its 95 % interval.

    The arm with the largest mean is on top. Raises ValueError if no arm was compared.
    """
    compared = [(row.difference, row) for row in rows if row.difference is not None]
    if not compared:
        raise ValueError(
            "differences: rows must compare an arm with a control, got none. Run the control and one other arm."
        )
    compared.sort(key=lambda pair: pair[0].mean)
    control, rope = rows[0].control, 100 * rows[0].rope
    pairs, colours = accuracy_differences(runs, control), colours or palette([row.arm for row in rows], control)
    title = f"Test accuracy minus that of {printable(control)}, paired by seed"
    figure, (axes,) = _panels(title, 1, height=1.5 + 0.5 * len(compared))
    for height, (difference, row) in enumerate(compared):
        _dots(axes, height - 0.14, list(pairs[row.arm].values()), colours[row.arm])
        bar = 100 * _half(difference)
        axes.errorbar(100 * difference.mean, height + 0.12, xerr=bar, color=colours[row.arm], **MEAN)
        _margin(axes, height, points(difference), str(row.verdict))
    axes.set_yticks(range(len(compared)), [printable(row.arm) for _, row in compared])
    axes.set(xlabel="difference in test accuracy, percentage points", ylim=(-0.6, len(compared) - 0.4))
    axes.grid(visible=False, axis="y")
    _legend(figure, axes, rope)
    return _settled(figure)


def save(figure: Figure, stem: str | Path) -> tuple[Path, Path]:
    """Write `figure` as `stem`.png (1800 pixels wide) and `stem`.svg, each completely or not at all."""
    return (
        atomic_write(f"{stem}.png", image(figure, "png")),
        atomic_write(f"{stem}.svg", image(figure, "svg")),
    )


@_styled
def image(figure: Figure, kind: str) -> bytes:
    """Return `figure` as the bytes of a "png" or an "svg" file, without a date."""
    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=200, metadata={"Date": None} if kind == "svg" else {"Software": None})
    return file.getvalue()


def _panels(title: str, count: int, height: float) -> tuple[Figure, Sequence[Axes]]:
    figure: Figure = shown(need("matplotlib.figure").Figure(figsize=(9, height), layout="constrained"))
    figure.get_layout_engine().set(w_pad=0.1)  # type: ignore[union-attr, call-arg]
    # the placement of labels measures text, which needs an Agg canvas
    need("matplotlib.backends.backend_agg").FigureCanvasAgg(figure)
    figure.suptitle(title, color=INK, x=0.01, ha="left", weight="bold")
    return figure, figure.subplots(1, count, sharey=True, squeeze=False)[0]


def _settled(figure: Figure) -> Figure:
    """Fix the layout of `figure`, so that it is saved the same each time."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def palette(arms: Iterable[str], control: str) -> dict[str, str]:
    """Return a colour for each arm by its position among `arms`; the control is black.

    Pass the palette of all arms to figures of some of them, so that each arm has the same colour in all figures.
    """
    others = [arm for arm in arms if arm != control]
    return {control: INK} | {arm: COLOURS[i % len(COLOURS)] for i, arm in enumerate(others)}


def _curves(runs: Sequence[Run]) -> tuple[Floats, Floats, Floats]:
    """Return epochs (E,), mean seconds (E,) and validation errors in percent (seeds, E) of one arm."""
    shared = min(len(run.curve) for run in runs)
    if shared == 0:
        raise ValueError(
            f"learning_curves: each run must have a curve, got none for {runs[0].arm}. "
            "Runs that were read from a CSV file have none; omit them."
        )
    epochs, seconds, accuracy = (
        np.array([[row[key] for row in run.curve[:shared]] for run in runs])
        for key in ("epoch", "seconds", "valid_accuracy")
    )
    return epochs[0], seconds.mean(axis=0), 100 * (1 - accuracy)


def _band(axes: Axes, x: Floats, errors: Floats, colour: str) -> None:
    low, high = np.quantile(errors, (0.25, 0.75), axis=0)
    axes.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
    axes.plot(x, errors.mean(axis=0), color=colour, linewidth=1.6, marker="o" if len(x) == 1 else "")


def _error_axis(axes: Axes, means: Floats) -> None:
    """Scale the y axis logarithmically; an error of zero lies on the lower edge."""
    ticker = need("matplotlib.ticker")
    positive = means[means > 0] if means.any() else np.array([1.0])
    # limits first: matplotlib warns of a logarithmic axis without limits if all errors are zero
    axes.set_ylim(0.8 * positive.min(), 1.25 * positive.max())
    axes.set_yscale("log", nonpositive="clip")
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axes.yaxis.set_minor_locator(ticker.NullLocator())


def _cost_axis(axes: Axes, costs: Floats) -> Floats:
    """Scale the x axis for `costs` and return the positions, with those too close moved side by side."""
    ticker = need("matplotlib.ticker")
    wide = costs.max() > 3 * costs.min() > 0
    scaled = np.log10(costs) if wide else costs
    # the axis spans at least 30 % of the cost, so that small differences look small
    half = 0.62 * np.ptp(scaled) if wide else max(0.62 * np.ptp(scaled), 0.15 * scaled.max())
    middle = (scaled.min() + scaled.max()) / 2
    ends = np.array([middle - half, middle + half, *apart(scaled, gap=0.026 * half)])
    left, right, *places = 10**ends if wide else ends
    axes.set(xscale="log" if wide else "linear", xlim=(left, right))
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)) if wide else ticker.MaxNLocator(5))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.xaxis.set_major_formatter(ticker.EngFormatter(sep=""))
    return np.array(places)


def _half(interval: Interval) -> float:
    return 0.0 if math.isnan(interval.half) else interval.half


def _dots(axes: Axes, height: float, pairs: Sequence[float], colour: str) -> None:
    """Draw one dot per seed; dots at the same position are drawn one below the other."""
    seen: Counter[float] = Counter()
    for pair in pairs:
        place = round(100 * pair, 2)
        axes.plot(place, height - 0.07 * seen[place], color=colour, **DOT)
        seen[place] += 1


def _margin(axes: Axes, height: float, difference: str, judged: str) -> None:
    for offset, text in ((12, difference.replace("-", "\N{MINUS SIGN}")), (148, judged)):
        axes.annotate(
            text,
            (1, height),
            (offset, 0),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            va="center",
            annotation_clip=False,
        )


def _legend(figure: Figure, axes: Axes, rope: float) -> None:
    axes.axvspan(
        -rope, rope, color="#ececec", lw=0, zorder=0, label=f"equivalent: within ±{rope:.2g} percentage points"
    )
    axes.axvline(0, color=INK, linewidth=1, zorder=1)
    axes.plot([], [], color=PALE, label="one seed", **DOT)
    axes.plot([], [], color=PALE, label="mean with 95 % interval", **MEAN | {"linestyle": "-"})
    figure.legend(loc="outside lower center", ncols=3)
