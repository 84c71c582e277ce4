"""Measurements besides step times: peak memory, scaling with batch and image size, import time, time to an accuracy."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from experiments.benchmark.rounds import THREADS, Process, prepared, run_rounds
from experiments.benchmark.tasks import Task

BATCHES, SIDES = (32, 64, 128, 256, 512, 1024), (8, 16, 28, 32, 48, 64)
EPOCHS = 6
IMPORTS = ("numpy", "minicnn", "torch", "jax")


def peak_memory(names: Iterable[str], task: Task) -> dict[str, int]:
    """Return for each framework the peak memory in bytes of a process that runs only the task."""
    found = {}
    for name in names:
        with prepared([name], task) as processes:
            for process in processes.values():
                process.request("round", seconds=1.0)
                found[name] = int(process.request("peak_memory")["bytes"])
    return found


def scaling(name: str, rounds: int) -> list[dict[str, Any]]:
    """Return time and memory of a training step for growing batches (keras_mnist) and growing images (gap28).

    Images grow twice: with a fixed batch size of 128, where the fixed cost of a step dominates for small images, and
    with a fixed number of pixels per batch, which shows the effect of the image size alone.
    """
    tasks = [Task("keras_mnist", 28, batch) for batch in BATCHES]
    tasks += [Task("gap28", side, 128) for side in SIDES]
    tasks += [Task("gap28", side, round(128 * (SIDES[-1] / side) ** 2)) for side in SIDES[:-1]]
    rows = []
    for task in tasks:
        step = float(np.median(run_rounds([name], task, rounds)[name].steps))
        per = {"image_us": step / task.batch * 1e6, "multiply_add_ps": step / task.multiply_adds * 1e12}
        rows.append({**vars(task), "step_ms": step * 1e3, **per, "memory": peak_memory([name], task)[name]})
    return rows


def import_seconds(repeats: int = 5) -> dict[str, float]:
    """Return the median time in seconds that a new Python process takes to import each package."""
    found: dict[str, list[float]] = {}
    for _ in range(repeats):
        for package in IMPORTS:
            start = time.perf_counter()
            done = subprocess.run([sys.executable, "-c", f"import {package}"], capture_output=True, check=False)  # noqa: S603 - names from above
            if done.returncode == 0:
                found.setdefault(package, []).append(time.perf_counter() - start)
    return {package: float(np.median(seconds)) for package, seconds in found.items()}


def time_to_accuracy(names: Iterable[str], seeds: int, target: float = 0.99) -> list[dict[str, Any]]:
    """Return for each seed how long each framework trains keras_mnist to the `target` test accuracy on MNIST.

    Initial weights, batches and the optimizer (SGD with momentum) are the same: results differ only by rounding.
    """
    rows = []
    for seed in range(seeds):
        for name in names:
            process = Process(name, THREADS)
            try:
                answer = process.request(
                    "train_to_accuracy", net="keras_mnist", seed=seed, accuracy=target, epochs=EPOCHS
                )
                rows.append({"framework": name, "seed": seed, **answer})
            except RuntimeError as error:
                print(error, file=sys.stderr)
            finally:
                process.end()
    return rows


def has_mnist() -> bool:
    """Return whether MNIST is available without a download."""
    return bool(os.environ.get("MINICNN_DATASETS"))
