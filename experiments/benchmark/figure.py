"""Figure of the benchmark: step time of other frameworks relative to minicnn, in training and in inference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.benchmark.frameworks import title
from experiments.benchmark.tasks import MODES
from minicnn.optional import need
from minicnn.study.report import style

TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


def draw(rows: list[dict[str, Any]], stem: Path) -> tuple[Path, Path]:
    """Plot the ratio of step times of each framework and task, minicnn being 1, and save it as PNG and SVG."""
    rows = [row for row in rows if "minicnn" in row]
    names = list(dict.fromkeys(name for row in rows for name in row["minicnn"]))
    parts = {mode: [row for row in rows if row["mode"] == mode] for mode in MODES}
    parts = {mode: some for mode, some in parts.items() if some} or {"training": []}
    heights = [1 + len(some) for some in parts.values()]
    figure = need("matplotlib.figure").Figure(figsize=(8, 1.2 + 0.42 * sum(heights)), layout="constrained")
    panels = figure.subplots(len(parts), sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (mode, some) in zip(panels, parts.items(), strict=True):
        _panel(axes, mode, some, names)
    ratios = [ratio for row in rows for quartiles in row["minicnn"].values() for ratio in quartiles]
    low, high = min([0.5, *(0.8 * ratio for ratio in ratios)]), 1.3 * max(ratios, default=1)
    panels[-1].set(xscale="log", xlim=(low, high))
    ticks = [t for t in TICKS if low <= t <= high]
    panels[-1].set_xticks(ticks, [f"{t:g}" for t in ticks])
    panels[-1].minorticks_off()
    panels[-1].set_xlabel("step time relative to minicnn (compiled); bars are quartiles over rounds")
    named = {label: mark for axes in panels for mark, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(named.values(), named.keys(), loc="outside upper center", ncols=3, frameon=False)
    return style.save(figure, stem)


def _panel(axes: Any, mode: str, rows: list[dict[str, Any]], names: list[str]) -> None:
    """Plot one mode: a row per task, a mark per framework."""
    for number, name in enumerate(names):
        points = [(i, row["minicnn"][name]) for i, row in enumerate(rows) if name in row["minicnn"]]
        if points:
            medians = [quartiles[0] for _, quartiles in points]
            errors = [[q[0] - q[1] for _, q in points], [q[2] - q[0] for _, q in points]]
            marks = {
                "fmt": "osD^vP*Xd"[number % 9],
                "color": style.COLOURS[number % 9],
                "markersize": 6,
                "elinewidth": 1,
            }
            axes.errorbar(medians, [i for i, _ in points], xerr=errors, label=title(name), **marks)
    axes.axvline(1, color="black", linewidth=1)
    axes.set(title=mode, yticks=range(len(rows)), yticklabels=[f"{row['net']}, {row['batch']}" for row in rows])
    axes.invert_yaxis()
    axes.grid(axis="x", linewidth=0.5, alpha=0.5)
