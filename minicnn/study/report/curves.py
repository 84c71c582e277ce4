"""Line charts of a study: accuracy under changes, training, tuning, and the interaction of two factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minicnn.optional import need
from minicnn.study.report.label_layout import name_lines
from minicnn.study.report.style import legend_below, palette, panels, settled, styled
from minicnn.study.report.words import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
Rows = Sequence[Mapping[str, float]]


@styled
def robustness(
    values: Mapping[str, Mapping[str, Sequence[float]]],
    conditions: Mapping[str, float],
    colours: Mapping[str, str],
    *,
    title: str,
    xlabel: str,
) -> Figure:
    """Draw accuracy in percent against the magnitude of a change, one line per arm: the mean over replicates.

    `values` maps arm -> condition -> one value per replicate, `conditions` each condition to its magnitude. The band
    contains all replicates.
    """
    figure, (axes,) = panels(title, height=4.4)
    ends = {}
    xs = np.array(list(conditions.values()), float)
    order = np.argsort(xs)
    for arm, by_condition in values.items():
        ys = 100 * np.array([by_condition[condition] for condition in conditions], float)[order].T
        axes.fill_between(xs[order], ys.min(axis=0), ys.max(axis=0), color=colours[arm], alpha=0.12, linewidth=0)
        axes.plot(xs[order], ys.mean(axis=0), color=colours[arm], linewidth=1.8, marker="o", markersize=4)
        ends[arm] = (float(xs.max()), float(ys.mean(axis=0)[-1]))
    axes.set(xlabel=xlabel, ylabel="test accuracy, %", xticks=xs[order])
    figure.draw_without_rendering()
    name_lines(axes, ends, colours)
    return settled(figure)


@styled
def learning(curves: Mapping[str, Sequence[Rows]], colours: Mapping[str, str], *, steps_per_epoch: int) -> Figure:
    """Draw training and validation error against steps, and validation error against CPU seconds.

    `curves` maps arm -> one list of rows per replicate, with the keys accuracy, valid_accuracy and cpu_seconds
    (cumulative). Lines are means over replicates. Training error is that of the batches during the epoch.
    """
    figure, axes = panels("Error during training, %", 1, 3, height=4.2)
    for arm, runs in curves.items():
        shared = min(map(len, runs))
        steps = steps_per_epoch * np.arange(1, shared + 1)
        train, valid, cpu = (
            np.array([[row[key] for row in run[:shared]] for run in runs], float)
            for key in ("accuracy", "valid_accuracy", "cpu_seconds")
        )
        # the median of the times: the first trial of a process also loads or compiles kernels
        train, valid, cpu = train.mean(axis=0), valid.mean(axis=0), np.median(cpu, axis=0)
        for panel, xs, accuracy in ((axes[0], steps, train), (axes[1], steps, valid), (axes[2], cpu, valid)):
            error = 100 * (1 - accuracy)
            panel.plot(xs, error, color=colours[arm], linewidth=1.5, marker="o" if shared == 1 else "")
    _error_axis(axes[0])
    for panel, name, xlabel in zip(
        axes, ("training", "validation", "validation"), ("steps", "steps", "CPU seconds"), strict=True
    ):
        panel.set(title=name, xlabel=xlabel)
        # autoscaled margins are a share of what the points span, which is little for one epoch
        panel.set_xlim(0, max(panel.get_xlim()[1], 1.04 * panel.dataLim.xmax))
    legend_below(figure, {arm: colours[arm] for arm in curves})
    return settled(figure)


@styled
def tuning(
    grid: Mapping[str, Mapping[float, Sequence[float]]],
    chosen: Mapping[str, float],
    colours: Mapping[str, str],
    *,
    ylabel: str,
) -> Figure:
    """Draw the validation value of each arm against the learning rate; a ring marks the rate that was chosen."""
    figure, (axes,) = panels("Learning rates tried on validation images", height=4.2)
    ends = {}
    for arm, by_rate in grid.items():
        # without the rates at which training has diverged
        rates = [rate for rate in sorted(by_rate) if np.isfinite(by_rate[rate]).all()]
        means = [float(np.mean(by_rate[rate])) for rate in rates]
        axes.plot(rates, means, color=colours[arm], linewidth=1.6, marker="o", markersize=4)
        best = chosen[arm]
        axes.plot(best, means[rates.index(best)], "o", markersize=11, mfc="none", mec=colours[arm], mew=1.6)
        ends[arm] = (rates[-1], means[-1])
    ticker = need("matplotlib.ticker")
    # logarithmic, so that a rate at which one arm diverges does not flatten all others
    axes.set(xscale="log", yscale="log", xlabel="learning rate", ylabel=ylabel)
    axes.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axes.yaxis.set_minor_formatter(ticker.NullFormatter())
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_locator(ticker.FixedLocator(sorted({rate for by_rate in grid.values() for rate in by_rate})))
    axes.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    figure.draw_without_rendering()
    name_lines(axes, ends, colours)
    return settled(figure)


@styled
def interaction(
    values: Mapping[tuple[str, str], Sequence[float]], *, rows: str, lines: str, ylabel: str = "test accuracy, %"
) -> Figure:
    """Draw the mean of each cell of two crossed factors: the first along the axis, one line for each second level.

    `values` maps (first level, second level) -> one value per replicate. Lines that are not parallel are an
    interaction: what one factor does depends on the other.
    """
    firsts, seconds = (list(dict.fromkeys(key[i] for key in values)) for i in (0, 1))
    colours = palette(seconds, seconds[0])
    figure, (axes,) = panels(f"{rows} and {lines}", height=4.2)
    for second in seconds:
        present = [first for first in firsts if (first, second) in values]
        places = [firsts.index(first) for first in present]
        cells = [100 * np.asarray(values[first, second], float) for first in present]
        axes.plot(places, [cell.mean() for cell in cells], color=colours[second], linewidth=1.6, marker="D")
        for place, cell in zip(places, cells, strict=True):
            axes.plot([place] * len(cell), cell, "o", color=colours[second], alpha=0.5, markersize=4, mew=0)
    axes.set_xticks(range(len(firsts)), [printable(first) for first in firsts], rotation=20, ha="right")
    axes.set(ylabel=ylabel, xlabel=rows)
    legend_below(figure, colours)
    return settled(figure)


def _error_axis(axes: Axes) -> None:
    """Scale the shared y axis logarithmically; an error of zero lies on the lower edge."""
    ticker = need("matplotlib.ticker")
    drawn = np.concatenate([line.get_ydata() for panel in axes.figure.axes for line in panel.lines])
    positive = drawn[drawn > 0] if (drawn > 0).any() else np.array([1.0])
    # limits first: matplotlib warns of a logarithmic axis without limits if all errors are zero
    axes.set_ylim(0.8 * positive.min(), 1.25 * positive.max())
    axes.set_yscale("log", nonpositive="clip")
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axes.yaxis.set_minor_locator(ticker.NullLocator())
