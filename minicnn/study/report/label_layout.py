"""Placement of labels in a figure: next to what they name and without overlaps, so that no legend is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minicnn.optional import need
from minicnn.study.report.words import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

LEADER = {"arrowstyle": "-", "linewidth": 0.7, "shrinkA": 1, "shrinkB": 3}
# directions from a point to its label; longer distances (in points of 1/72 inch) follow the shorter ones
DIRECTIONS = ((1, 0), (-1, 0), (0.9, 0.4), (0.9, -0.4), (-0.9, 0.4), (-0.9, -0.4))
STEEP = ((0.7, 0.7), (0.7, -0.7), (-0.7, 0.7), (-0.7, -0.7), (0.3, 0.95), (0.3, -0.95), (-0.3, 0.95), (-0.3, -0.95))
PLACES = np.array([distance * np.array(DIRECTIONS + STEEP) for distance in (9, 16, 25, 36, 50, 65, 80)]).reshape(-1, 2)
ROUNDS = 4


def apart(values: ArrayLike, gap: float, low: float = -np.inf, high: float = np.inf) -> Floats:
    """Move `values` as little as possible (least squares) until neighbours are at least `gap` apart, in their order.

    They stay between `low` and `high` if there is room. After subtraction of multiples of the gap, such values do not
    decrease: the solution is an isotonic regression, and with bounds it is the clipped one.

    >>> apart([1.0, 1.0, 9.0], gap=2.0).tolist()
    [0.0, 2.0, 9.0]
    """
    values = np.asarray(values, dtype=float)
    order = np.argsort(values, kind="stable")
    stairs = gap * np.arange(len(values))
    moved = np.empty_like(values)
    level = need("scipy.optimize").isotonic_regression(values[order] - stairs).x
    moved[order] = level.clip(low, max(low, high - stairs[-1])) + stairs
    return moved


def name_lines(axes: Axes, ends: Mapping[str, tuple[float, float]], colours: Mapping[str, str]) -> None:
    """Write the name of each line to the right of `axes`, connected to its end (x, y), after the layout is final.

    A line whose end is not a number has no name.
    """
    ends = {name: end for name, end in ends.items() if np.isfinite(end).all()}
    if not ends:
        return
    box = axes.get_window_extent()
    heights = axes.transData.transform(list(ends.values()))[:, 1]
    shares = (apart(heights, 15 * _pixels_per_point(axes), box.y0, box.y1) - box.y0) / box.height
    for (name, end), share in zip(ends.items(), shares, strict=True):
        axes.annotate(
            printable(name),
            end,
            (1.05, share),
            textcoords="axes fraction",
            va="center",
            color=colours[name],
            arrowprops={**LEADER, "color": colours[name], "relpos": (0, 0.5)},
            annotation_clip=False,
        )


def name_points(
    axes: Axes,
    points: Mapping[str, tuple[float, float]],
    colours: Mapping[str, str],
    bars: Mapping[str, float],
) -> None:
    """Write the name of each point (x, y ± bar) where it overlaps least with the others, after the layout is final.

    Coordinate descent: each name in turn takes the best place given the others, for ROUNDS rounds.
    """
    marks = np.array([_mark(axes, *points[name], bars[name]) for name in points])
    places = {name: _places(axes, name, points[name]) for name in points}
    chosen: dict[str, int] = {}
    for _ in range(ROUNDS):
        for name, boxes in places.items():
            others = [places[other][place] for other, place in chosen.items() if other != name]
            taken = np.concatenate([marks, *others])
            chosen[name] = int(np.argmin([_cost(axes, candidate, taken) for candidate in boxes]))
    for name, place in chosen.items():
        _write(axes, name, points[name], PLACES[place], colours[name])


def _places(axes: Axes, name: str, point: tuple[float, float]) -> Floats:
    """Return for each of PLACES the boxes (x0, y0, x1, y1), in pixels, of the label and along its leader line."""
    text = axes.text(0, 0, printable(name))
    size = text.get_window_extent()
    text.remove()
    spot = axes.transData.transform(point)
    starts = spot + PLACES * _pixels_per_point(axes)
    left = np.where(PLACES[:, 0] > 0, starts[:, 0], starts[:, 0] - size.width)
    low = starts[:, 1] - size.height / 2
    words = np.stack([left - 2, low, left + size.width + 2, low + size.height], axis=1)
    # without the last third of the leader, which touches the marker of its own point
    steps = np.linspace(0, 0.67, 8)[:, None, None]
    beads = (1 - steps) * starts + steps * spot
    return np.stack([words, *np.concatenate([beads - 1.5, beads + 1.5], axis=2)], axis=1)


def _mark(axes: Axes, x: float, y: float, bar: float) -> Floats:
    low, high = axes.transData.transform([(x, y - bar), (x, y + bar)])
    return np.array([*(low - 5), *(high + 5)])


def _cost(axes: Axes, boxes: Floats, taken: Floats) -> float:
    """Return the area of the label outside the axes (twice) and on others, plus 60 per overlap of the leader."""
    words, beads = boxes[:1], boxes[1:]
    outside = (words[0, 2:] - words[0, :2]).prod() - _overlaps(words, _extent(axes)).sum()
    touches = (_overlaps(beads, taken) > 0).sum()
    return float(2 * outside + 60 * touches + _overlaps(words, taken).sum())


def _overlaps(a: Floats, b: Floats) -> Floats:
    """Return the area that each of the boxes `a` (m, 4) shares with each of `b` (n, 4): (m, n)."""
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    area: Floats = sides.clip(min=0).prod(axis=2)
    return area


def _extent(axes: Axes) -> Floats:
    return np.array([axes.get_window_extent().extents])


def _write(axes: Axes, name: str, point: tuple[float, float], place: Sequence[float] | Floats, colour: str) -> None:
    leader = {**LEADER, "color": colour, "relpos": (0, 0.5) if place[0] > 0 else (1, 0.5)}
    axes.annotate(
        printable(name),
        point,
        (place[0], place[1]),
        textcoords="offset points",
        ha="left" if place[0] > 0 else "right",
        va="center",
        color=colour,
        arrowprops=leader,
    )


def _pixels_per_point(axes: Axes) -> float:
    figure: Any = axes.figure
    return float(figure.dpi) / 72
