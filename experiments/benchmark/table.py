"""Ratios of step times with their quartiles over rounds, as dictionaries for JSON and as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from experiments.benchmark.adapters.matrix_product import SIDE
from experiments.benchmark.frameworks import BASELINE, TORCH, title
from experiments.benchmark.rounds import Series
from experiments.benchmark.tasks import Task

Measurement = dict[str, Any]
BEST = "best of PyTorch"
EXPLANATION = (
    "Step times are medians over interleaved rounds. "
    f'"{BEST} / minicnn" is the ratio of the step times of the fastest PyTorch mode at default settings and of minicnn '
    "(compiled): the median over rounds, with quartiles. The last row of a table has geometric means of the ratios of "
    f"each framework and minicnn (compiled). The baseline is the product of two {SIDE}x{SIDE} float32 matrices; the "
    "last column is the fraction of its multiply-adds per second that minicnn (compiled) reaches."
)


def measurement(task: Task, found: dict[str, Series]) -> Measurement:
    """Return the results of a task: the median step time of each framework, and ratios of step times with quartiles.

    A ratio is the step time of another framework divided by that of minicnn in the same round: above 1 minicnn is
    faster. `baseline_fraction` is the fraction of the multiply-adds per second of the baseline that a framework
    reaches.
    """
    made: Measurement = {**vars(task), "multiply_adds": task.multiply_adds}
    made["step_ms"] = {name: 1e3 * float(np.median(s.steps)) for name, s in found.items() if name != BASELINE}
    best = _best_of(found, TORCH)
    for ours in ("minicnn", "minicnn-numpy"):
        if ours in found:
            others = {BEST: best} if best is not None else {}
            others |= {name: np.array(s.steps) for name, s in found.items() if name not in (ours, BASELINE)}
            made[ours] = {name: _quartiles(steps / np.array(found[ours].steps)) for name, steps in others.items()}
    if BASELINE in found:
        rate = SIDE**3 / np.array(found[BASELINE].steps)
        made["baseline_gflops"] = 2e-9 * float(np.median(rate))
        made["baseline_fraction"] = {
            name: float(np.median(task.multiply_adds / np.array(s.steps) / rate))
            for name, s in found.items()
            if name != BASELINE
        }
    return made


def _best_of(found: dict[str, Series], names: Iterable[str]) -> np.ndarray | None:
    """Return the step times of the framework with the smallest median."""
    measured = [np.array(found[name].steps) for name in names if name in found]
    return min(measured, key=lambda steps: float(np.median(steps)), default=None)


def _quartiles(ratios: np.ndarray) -> list[float]:
    return [float(q) for q in np.percentile(ratios, [50, 25, 75])]


def geometric_mean(rows: Iterable[Measurement], ours: str, other: str) -> float | None:
    """Return the geometric mean over tasks of the median ratio, or None if no task has it."""
    ratios = [r[ours][other][0] for r in rows if other in r.get(ours, {})]
    return float(np.exp(np.mean(np.log(ratios)))) if ratios else None


def markdown(rows: list[Measurement]) -> str:
    """Return a table of step times for training and one for inference."""
    parts = []
    for mode in ("training", "inference"):
        chosen = [r for r in rows if r["mode"] == mode]
        names = list(dict.fromkeys(name for r in chosen for name in r["step_ms"]))
        if not chosen:
            continue
        head = ["network, batch size", *(title(name) for name in names), f"{BEST} / minicnn", "fraction of baseline"]
        lines = [[_task(r), *(_ms(r, n) for n in names), _ratio(r), _fraction(r)] for r in chosen]
        means = [geometric_mean(chosen, "minicnn", name) for name in [*names, BEST]]
        last = ["geometric mean of ratios", *("" if m is None else f"{m:.2f}" for m in means), ""]
        parts.append(f"**{mode}**, milliseconds per step\n\n" + _lines([head, ["---"] * len(head), *lines, last]))
    return "\n\n".join(parts)


def _lines(cells: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def _task(r: Measurement) -> str:
    return f"{r['net']}, {r['batch']}"


def _ms(r: Measurement, name: str) -> str:
    return f"{r['step_ms'][name]:.2f}" if name in r["step_ms"] else ""


def _ratio(r: Measurement) -> str:
    quartiles = r.get("minicnn", {}).get(BEST)
    return "**{:.2f}** ({:.2f} to {:.2f})".format(*quartiles) if quartiles else ""


def _fraction(r: Measurement) -> str:
    fraction = r.get("baseline_fraction", {}).get("minicnn")
    return "" if fraction is None else f"{fraction:.0%}"


def report(found: Measurement) -> str:
    """Return all results as a Markdown page."""
    machine = ", ".join(f"{name} {value}" for name, value in found["environment"].items())
    machine += f"; {found['threads']} threads per framework."
    parts = ["# Benchmark", f"Measured: {found['measured']}.", machine, EXPLANATION, markdown(found["rows"])]
    if "imports" in found:
        cells = [["import", "seconds"], ["---", "---"], *([n, f"{s:.2f}"] for n, s in found["imports"].items())]
        parts.append(_lines(cells))
    if "memory" in found:
        cells = [["peak memory, training keras_mnist, batch size 128", "MB"], ["---", "---"]]
        parts.append(_lines(cells + [[title(n), f"{b / 1e6:.0f}"] for n, b in found["memory"].items()]))
    if "scaling" in found:
        head = ["network", "side", "batch size", "step, ms", "per image, us", "per multiply-add, ps", "peak memory, MB"]
        cells = [[r["net"], str(r["side"]), str(r["batch"]), f"{r['step_ms']:.2f}", f"{r['image_us']:.1f}",
                  f"{r['multiply_add_ps']:.1f}", f"{r['memory'] / 1e6:.0f}"] for r in found["scaling"]]  # fmt: skip
        caption = "minicnn (compiled), training: scaling with batch size and image side"
        parts.append(f"{caption}\n\n" + _lines([head, ["---"] * len(head), *cells]))
    if "accuracy" in found:
        head = ["keras_mnist to 99.0 % test accuracy on MNIST", "seed", "epochs", "test accuracy", "training steps, s"]
        cells = [[title(r["framework"]), str(r["seed"]), str(r["epochs"]), f"{r['accuracy']:.2%}",
                  f"{r['seconds']:.1f}"] for r in found["accuracy"]]  # fmt: skip
        parts.append(_lines([head, ["---"] * len(head), *cells]))
    return "\n\n".join(parts) + "\n"
