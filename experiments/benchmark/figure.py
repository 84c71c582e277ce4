"""Figure of the benchmark: time of a training step in each framework relative to minicnn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.benchmark.frameworks import title
from experiments.benchmark.table import BEST
from minicnn.optional import need
from minicnn.study.report import style


def draw(rows: list[dict[str, Any]], stem: Path) -> tuple[Path, Path]:
    """Plot the ratio of step times of each framework and task, minicnn being 1, and save it as PNG and SVG."""
    rows = [r for r in rows if r["mode"] == "training" and "minicnn" in r]
    names = list(dict.fromkeys(n for r in rows for n in r["minicnn"] if n != BEST))
    figure = need("matplotlib.figure").Figure(figsize=(8, 1.2 + 0.42 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for number, name in enumerate(names):
        points = [(i, r["minicnn"][name]) for i, r in enumerate(rows) if name in r["minicnn"]]
        medians = [quartiles[0] for _, quartiles in points]
        errors = [[q[0] - q[1] for _, q in points], [q[2] - q[0] for _, q in points]]
        marks = {"fmt": "osD^vP*X"[number % 8], "markersize": 6, "elinewidth": 1}
        axes.errorbar(medians, [i for i, _ in points], xerr=errors, label=title(name), **marks)
    axes.axvline(1, color="black", linewidth=1)
    ratios = [ratio for r in rows for quartiles in r["minicnn"].values() for ratio in quartiles]
    low, high = min([0.5, *(0.8 * ratio for ratio in ratios)]), 1.3 * max(ratios, default=1)
    axes.set(
        xscale="log",
        xlim=(low, high),
        yticks=range(len(rows)),
        yticklabels=[f"{r['net']}, {r['batch']}" for r in rows],
    )
    ticks = [t for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if low <= t <= high]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    axes.invert_yaxis()
    axes.grid(axis="x", linewidth=0.5, alpha=0.5)
    axes.set_xlabel("training step time relative to minicnn (compiled); bars are quartiles over rounds")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return style.save(figure, stem)
