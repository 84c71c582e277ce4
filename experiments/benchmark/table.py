"""From rounds to ratios: who is how much faster, with the spread over rounds, and what share of sgemm it reaches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from experiments.benchmark.adapters.matrix_product import SIDE
from experiments.benchmark.frameworks import SGEMM, TORCH
from experiments.benchmark.rounds import Series
from experiments.benchmark.tasks import Task

Row = dict[str, Any]


def row(task: Task, found: dict[str, Series]) -> Row:
    """Return one task's figures: each contender's median step, and ratios round by round with their quartiles.

    A ratio is the other's step time over minicnn's in the same round: above 1 minicnn is faster.
    """
    made: Row = {**vars(task), "multiply_adds": task.multiply_adds}
    made["step_ms"] = {name: 1e3 * float(np.median(s.steps)) for name, s in found.items() if name != SGEMM}
    best = _best_of(found, TORCH)
    for ours in ("minicnn", "minicnn-reference"):
        if ours in found:
            others = {"best of PyTorch": best} if best is not None else {}
            others |= {name: np.array(s.steps) for name, s in found.items() if name not in (ours, SGEMM)}
            made[ours] = {name: _spread(steps / np.array(found[ours].steps)) for name, steps in others.items()}
    if SGEMM in found:
        rate = SIDE**3 / np.array(found[SGEMM].steps)
        made["sgemm_gflops"] = 2e-9 * float(np.median(rate))
        made["sgemm_share"] = {
            name: float(np.median(task.multiply_adds / np.array(s.steps) / rate))
            for name, s in found.items()
            if name != SGEMM
        }
    return made


def _best_of(found: dict[str, Series], names: Iterable[str]) -> np.ndarray | None:
    """Return the rounds of the contender whose median step is the shortest."""
    there = [np.array(found[name].steps) for name in names if name in found]
    return min(there, key=lambda steps: float(np.median(steps)), default=None)


def _spread(ratios: np.ndarray) -> list[float]:
    return [float(q) for q in np.percentile(ratios, [50, 25, 75])]


def geometric_mean(rows: Iterable[Row], ours: str, other: str) -> float | None:
    """Return the geometric mean over tasks of the median ratio, None if they never met."""
    ratios = [r[ours][other][0] for r in rows if other in r.get(ours, {})]
    return float(np.exp(np.mean(np.log(ratios)))) if ratios else None


def markdown(rows: list[Row], title: Callable[[str], str]) -> str:
    """Return the tables of training and inference."""
    parts = []
    for mode in ("training", "inference"):
        chosen = [r for r in rows if r["mode"] == mode]
        names = list(dict.fromkeys(name for r in chosen for name in r["step_ms"]))
        if not chosen:
            continue
        head = ["net, batch", *(title(name) for name in names), "best of PyTorch / minicnn", "share of sgemm"]
        lines = [[_task(r), *(_ms(r, n) for n in names), _ratio(r), _share(r)] for r in chosen]
        means = [geometric_mean(chosen, "minicnn", name) for name in [*names, "best of PyTorch"]]
        last = ["geometric mean of ratios", *("" if m is None else f"{m:.2f}" for m in means), ""]
        parts.append(f"**{mode}**, milliseconds a step\n\n" + _lines([head, ["---"] * len(head), *lines, last]))
    return "\n\n".join(parts)


def _lines(cells: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def _task(r: Row) -> str:
    return f"{r['net']}, {r['batch']}"


def _ms(r: Row, name: str) -> str:
    return f"{r['step_ms'][name]:.2f}" if name in r["step_ms"] else ""


def _ratio(r: Row) -> str:
    spread = r.get("minicnn", {}).get("best of PyTorch")
    return f"**{spread[0]:.2f}** ({spread[1]:.2f} to {spread[2]:.2f})" if spread else ""


def _share(r: Row) -> str:
    share = r.get("sgemm_share", {}).get("minicnn")
    return "" if share is None else f"{share:.0%}"


def report(found: Row, title: Callable[[str], str]) -> str:
    """Return everything that was measured as a page of Markdown."""
    machine = ", ".join(f"{name} {value}" for name, value in found["environment"].items())
    parts = ["# Speed", f"{machine}; {found['threads']} threads each.", markdown(found["rows"], title)]
    if "imports" in found:
        cells = [["import", "seconds"], ["---", "---"], *([n, f"{s:.2f}"] for n, s in found["imports"].items())]
        parts.append(_lines(cells))
    if "memory" in found:
        cells = [["peak memory, keras_mnist, 128, training", "MB"], ["---", "---"]]
        parts.append(_lines(cells + [[title(n), f"{b / 1e6:.0f}"] for n, b in found["memory"].items()]))
    if "growth" in found:
        head = ["net", "side", "batch", "step, ms", "image, us", "multiply-add, ps", "memory, MB"]
        cells = [[r["net"], str(r["side"]), str(r["batch"]), f"{r['step_ms']:.2f}", f"{r['image_us']:.1f}",
                  f"{r['multiply_add_ps']:.1f}", f"{r['memory'] / 1e6:.0f}"] for r in found["growth"]]  # fmt: skip
        parts.append("minicnn as batch and side grow\n\n" + _lines([head, ["---"] * len(head), *cells]))
    if "accuracy" in found:
        head = ["keras_mnist to 99.0 % of MNIST's test images", "seed", "epochs", "accuracy", "seconds of steps"]
        cells = [[title(r["contender"]), str(r["seed"]), str(r["epochs"]), f"{r['accuracy']:.2%}",
                  f"{r['seconds']:.1f}"] for r in found["accuracy"]]  # fmt: skip
        parts.append(_lines([head, ["---"] * len(head), *cells]))
    return "\n\n".join(parts) + "\n"
