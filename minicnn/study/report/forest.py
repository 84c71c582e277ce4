"""The forest plot: each arm's difference from its control, one panel for each measure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from minicnn.hints import explained
from minicnn.optional import need
from minicnn.study.report.style import INK, PALE, SHADE, palette, panels, settled, styled
from minicnn.study.report.words import printable
from minicnn.study.statistics import Comparison, Contrast

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEAN: dict[str, Any] = {"marker": "D", "linestyle": "none", "linewidth": 2, "markersize": 6}
DOT: dict[str, Any] = {"marker": "o", "linestyle": "none", "alpha": 0.55, "markersize": 4, "markeredgewidth": 0}
SPAN = 4.0
"""An arm that is more than so many times as far from zero as the next one is drawn at the edge of the panel, with its
value as text: one arm that fails must not flatten all the others."""

MARGIN = 1.06
"""How far a panel goes, over the largest value that is drawn in it."""


@explained
@styled
def forest(
    comparisons: Mapping[str, Comparison], colours: Mapping[str, str] | None = None, *, title: str = "Arm minus control"
) -> Figure:
    """Draw the simultaneous intervals of each comparison beside each other, in percentage points.

    There is one dot per replicate. Arms are ordered by their mean in the last panel, the largest on top; the grey
    region contains differences too small to matter. Raises ValueError without a comparison.
    """
    if not comparisons:
        raise ValueError("forest: comparisons must have at least one entry, got none. Run the control and another arm.")
    last = [*comparisons.values()][-1].contrasts
    order = [c.arm for c in sorted(last, key=lambda c: -math.inf if math.isnan(c.mean) else c.mean)]
    colours = colours or palette([*order, last[0].control], last[0].control)
    figure, axes = panels(title, 1, len(comparisons), height=1.7 + 0.5 * len(order))
    for panel, (name, comparison) in zip(axes, comparisons.items(), strict=True):
        _panel(panel, name, comparison, order, colours)
    labels = {c.arm: f"{printable(c.arm)}\nminus {printable(c.control)}" for c in last}
    axes[0].set_yticks(range(len(order)), [labels[arm] for arm in order])
    axes[0].set_ylim(-0.6, len(order) - 0.4)
    _legend(figure, axes[0])
    return settled(figure)


def _panel(axes: Axes, name: str, comparison: Comparison, order: Sequence[str], colours: Mapping[str, str]) -> None:
    by_arm = {contrast.arm: contrast for contrast in comparison.contrasts}
    reach = _reach(comparison)
    rope = 100 * comparison.rope
    axes.axvspan(-rope, rope, color=SHADE, lw=0, zorder=0)
    axes.axvline(0, color=INK, linewidth=1, zorder=1)
    for height, arm in enumerate(order):
        if arm in by_arm:
            _arm(axes, height, by_arm[arm], colours[arm], reach)
    axes.set(title=printable(name), xlabel="percentage points", xlim=(-MARGIN * reach, MARGIN * reach))
    axes.grid(visible=False, axis="y")


def _reach(comparison: Comparison) -> float:
    """Return how far the axis goes, in percentage points: to all arms but those far beyond the others."""
    ends = sorted(_end(contrast) for contrast in comparison.contrasts)
    reach = ends[0]
    for end in ends[1:]:
        if end > SPAN * max(reach, 100 * comparison.rope):
            break
        reach = end
    return max(reach, 150 * comparison.rope, 1e-3)


def _end(contrast: Contrast) -> float:
    values = [abs(v) for v in (contrast.low, contrast.high, *contrast.differences.values()) if not math.isnan(v)]
    return 100 * max(values, default=0.0)


def _arm(axes: Axes, height: float, contrast: Contrast, colour: str, reach: float) -> None:
    if math.isnan(contrast.mean):
        return
    mean = 100 * contrast.mean
    if abs(mean) > reach:
        side = math.copysign(1, mean)
        axes.annotate(
            f"{mean:+.1f}".replace("-", "\N{MINUS SIGN}"),
            (side * reach, height),
            (-side * 30, 0),
            textcoords="offset points",
            color=colour,
            va="center",
            ha="center",
            arrowprops={"arrowstyle": "->", "color": colour},
        )
    else:
        half = 0.0 if math.isnan(contrast.low) else 100 * (contrast.high - contrast.low) / 2
        axes.errorbar(mean, height + 0.12, xerr=half, color=colour, **MEAN)
        for end, marker in ((mean - half, "<"), (mean + half, ">")):
            if abs(end) > MARGIN * reach:  # the bar goes on beyond the panel
                axes.plot(math.copysign(MARGIN * reach, end), height + 0.12, marker, color=colour, clip_on=False)
        _dots(axes, height - 0.14, list(contrast.differences.values()), colour)
    axes.annotate(
        contrast.verdict,
        (1, height + 0.12),
        (-2, 12),
        xycoords=axes.get_yaxis_transform(),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=8.5,
        color=PALE if contrast.verdict == "undecided" else INK,
    )


def _dots(axes: Axes, height: float, values: Sequence[float], colour: str) -> None:
    """Draw one dot per replicate; dots at the same position are drawn one below the other."""
    seen: Counter[float] = Counter()
    for value in values:
        place = round(100 * value, 2)
        axes.plot(place, height - 0.07 * seen[place], color=colour, **DOT)
        seen[place] += 1


def _legend(figure: Figure, axes: Axes) -> None:
    handles = [
        need("matplotlib.patches").Patch(color=SHADE, label="too small to matter"),
        axes.plot([], [], color=PALE, label="one replicate", **DOT)[0],
        axes.plot([], [], color=PALE, label="mean, simultaneous 95 % interval", **MEAN | {"linestyle": "-"})[0],
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
