"""Ratios of step times with their quartiles over rounds, as dictionaries for JSON and as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from experiments.benchmark.adapters.matrix_product import SIDE
from experiments.benchmark.frameworks import BASELINE, PEERS, title
from experiments.benchmark.rounds import Series
from experiments.benchmark.tasks import MODES, Task

Measurement = dict[str, Any]
BEST = "best of PyTorch"
EXPLANATION = (
    "Step times are medians over interleaved rounds. A ratio is the step time of another framework divided by that of "
    "minicnn (compiled): the median over rounds, with quartiles; above 1 minicnn is faster. The best is the framework "
    "with the shortest step: in training the fastest of PyTorch's modes, some of which keep freed memory in the "
    "process as minicnn does; in inference also ONNX Runtime, if the table has it. The last row of a table has "
    f"geometric means of the ratios. The baseline is the product of two {SIDE}x{SIDE} float32 matrices; its fraction "
    "is that of its multiply-adds per second which minicnn reaches, counting all multiply-adds of the layers, also "
    "those that minicnn skips: it may exceed 100 %."
)


def measurement(task: Task, found: dict[str, Series]) -> Measurement:
    """Return the results of a task: the median step time of each framework, and ratios of step times with quartiles.

    A ratio is the step time of another framework divided by that of minicnn in the same round: above 1 minicnn is
    faster. `baseline_fraction` is the fraction of the multiply-adds per second of the baseline that a framework
    reaches.
    """
    made: Measurement = {**vars(task), "multiply_adds": task.multiply_adds}
    made["step_ms"] = {name: 1e3 * float(np.median(s.steps)) for name, s in found.items() if name != BASELINE}
    for ours in ("minicnn", "minicnn-numpy"):
        if ours in found:
            others = {name: np.array(s.steps) for name, s in found.items() if name not in (ours, BASELINE)}
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


def peers(row: Measurement) -> dict[str, float]:
    """Return the step time of each framework that minicnn is to be as fast as, the fastest one first."""
    times = {name: ms for name, ms in row["step_ms"].items() if name in PEERS}
    return dict(sorted(times.items(), key=lambda item: item[1]))


def ratio(row: Measurement, ours: str = "minicnn", other: str = BEST) -> list[float] | None:
    """Return the median and the quartiles of a framework's ratio to ours, if both were measured."""
    other = next(iter(peers(row)), "") if other == BEST else other
    found: list[float] | None = row.get(ours, {}).get(other)
    return found


def _quartiles(ratios: np.ndarray) -> list[float]:
    return [float(q) for q in np.percentile(ratios, [50, 25, 75])]


def geometric_mean(rows: Iterable[Measurement], ours: str, other: str) -> float | None:
    """Return the geometric mean over tasks of the median ratio, or None if no task has it."""
    ratios = [found[0] for row in rows if (found := ratio(row, ours, other))]
    return float(np.exp(np.mean(np.log(ratios)))) if ratios else None


def markdown(rows: list[Measurement]) -> str:
    """Return for training and for inference a table of ratios to the best peer, and one of all step times."""
    return "\n\n".join(
        f"**{mode}**\n\n{brief(chosen)}\n\nmilliseconds per step\n\n{_step_times(chosen)}"
        for mode in MODES
        if (chosen := [row for row in rows if row["mode"] == mode])
    )


def brief(rows: list[Measurement]) -> str:
    """Return a table of one mode: minicnn (compiled) and the fastest of its peers; the README has it, too."""
    best = BEST + " and ONNX Runtime" * any("onnxruntime" in row["step_ms"] for row in rows)
    head = ["network, batch size", "minicnn, ms", f"{best}, ms", "which", f"{best} / minicnn", "fraction of baseline"]
    lines = [[_task(r), _ms(r, "minicnn"), *_fastest(r), _ratio(r), _fraction(r)] for r in rows]
    mean = geometric_mean(rows, "minicnn", BEST)
    last = ["geometric mean of ratios", "", "", "", "" if mean is None else f"**{mean:.2f}**", ""]
    return _lines([head, ["---", *["---:"] * 2, "---", *["---:"] * 2], *lines, last])


def _step_times(rows: list[Measurement]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row["step_ms"]))
    head = ["network, batch size", *map(title, names)]
    means = [geometric_mean(rows, "minicnn", name) for name in names]
    last = ["geometric mean of ratios", *("" if m is None else f"{m:.2f}" for m in means)]
    lines = [[_task(row), *(_ms(row, name) for name in names)] for row in rows]
    return _lines([head, ["---", *["---:"] * len(names)], *lines, last])


def _lines(cells: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def _task(r: Measurement) -> str:
    return f"{r['net']}, {r['batch']}"


def _ms(r: Measurement, name: str) -> str:
    ms = r["step_ms"].get(name)
    return "" if ms is None else f"{ms:.2f}" if ms >= 1 else f"{ms:.3f}"  # a step of one image takes 0.05 ms


def _ratio(r: Measurement) -> str:
    quartiles = ratio(r)
    return "**{:.2f}** ({:.2f} to {:.2f})".format(*quartiles) if quartiles else ""


def _fastest(r: Measurement) -> list[str]:
    name = next(iter(peers(r)), "")
    return [_ms(r, name), title(name)] if name else ["", ""]


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
