"""The picture of the race: how many times as long as minicnn the others take for a training step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from minicnn.study import pictures
from minicnn.study.extras import need


def draw(rows: list[dict[str, Any]], title: Callable[[str], str], stem: Path) -> tuple[Path, Path]:
    """Draw a dot for each contender and task, minicnn's line at 1, and write it as PNG and SVG."""
    rows = [r for r in rows if r["mode"] == "training" and "minicnn" in r]
    names = list(dict.fromkeys(n for r in rows for n in r["minicnn"] if n != "best of PyTorch"))
    figure = need("matplotlib.figure").Figure(figsize=(8, 1.2 + 0.42 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for number, name in enumerate(names):
        at = [(i, r["minicnn"][name]) for i, r in enumerate(rows) if name in r["minicnn"]]
        middle = [spread[0] for _, spread in at]
        around = [[s[0] - s[1] for _, s in at], [s[2] - s[0] for _, s in at]]
        style = {"fmt": "osD^vP*X"[number % 8], "markersize": 6, "elinewidth": 1}
        axes.errorbar(middle, [i for i, _ in at], xerr=around, label=title(name), **style)
    axes.axvline(1, color="black", linewidth=1)
    most = max((spread[2] for r in rows for spread in r["minicnn"].values()), default=1)
    axes.set(
        xscale="log",
        xlim=(0.5, 1.3 * most),
        yticks=range(len(rows)),
        yticklabels=[f"{r['net']}, {r['batch']}" for r in rows],
    )
    ticks = [t for t in (0.5, 1, 2, 5, 10, 20, 50) if t <= 1.3 * most]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    axes.invert_yaxis()
    axes.grid(axis="x", linewidth=0.5, alpha=0.5)
    axes.set_xlabel("time of a training step, minicnn (compiled) = 1; quartiles over rounds")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return pictures.save(figure, stem)
