"""What else a reader wants to know: memory, growth with batch and side, time to import, time to an accuracy."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from experiments.benchmark.frameworks import CONTENDERS
from experiments.benchmark.rounds import THREADS, Process, race, ready
from experiments.benchmark.tasks import Task

BATCHES, SIDES = (32, 64, 128, 256, 512, 1024), (8, 16, 28, 32, 48, 64)
EPOCHS = 6
IMPORTS = ("numpy", "minicnn", "torch", "jax")


def memory(names: Iterable[str], task: Task) -> dict[str, int]:
    """Return the peak memory in bytes of a process that does nothing but the task."""
    found = {}
    for name in names:
        with ready([name], task) as processes:
            for process in processes.values():
                process.ask("round", seconds=1.0)
                found[name] = int(process.ask("memory")["bytes"])
    return found


def growth(name: str, rounds: int) -> list[dict[str, Any]]:
    """Return time and memory of a training step as the batch grows (keras_mnist) and as the side grows (gap28).

    The side grows twice: in batches of 128, of which small images are so quickly done that what a step takes at any
    size shows, and in batches of the same number of pixels, which shows what the size of an image does.
    """
    tasks = [Task("keras_mnist", 28, batch) for batch in BATCHES]
    tasks += [Task("gap28", side, 128) for side in SIDES]
    tasks += [Task("gap28", side, round(128 * (SIDES[-1] / side) ** 2)) for side in SIDES[:-1]]
    rows = []
    for task in tasks:
        step = float(np.median(race([name], task, rounds)[name].steps))
        per = {"image_us": step / task.batch * 1e6, "multiply_add_ps": step / task.multiply_adds * 1e12}
        rows.append({**vars(task), "step_ms": step * 1e3, **per, "memory": memory([name], task)[name]})
    return rows


def imports(repeats: int = 5) -> dict[str, float]:
    """Return the seconds that a new process takes to import each package, the median over some."""
    found: dict[str, list[float]] = {}
    for _ in range(repeats):
        for package in IMPORTS:
            start = time.perf_counter()
            done = subprocess.run([sys.executable, "-c", f"import {package}"], capture_output=True, check=False)  # noqa: S603 - names from above
            if done.returncode == 0:
                found.setdefault(package, []).append(time.perf_counter() - start)
    return {package: float(np.median(seconds)) for package, seconds in found.items()}


def accuracy(names: Iterable[str], seeds: int, target: float = 0.99) -> list[dict[str, Any]]:
    """Return for each seed how long each contender trains keras_mnist until `target` of MNIST's test images are right.

    Same weights to start with, same batches, SGD with momentum: the frameworks differ in rounding alone.
    """
    rows = []
    for seed in range(seeds):
        for name in names:
            process = Process(name, THREADS)
            try:
                answer = process.ask("reach", net="keras_mnist", seed=seed, accuracy=target, epochs=EPOCHS)
                rows.append({"contender": name, "seed": seed, **answer})
            except RuntimeError as error:
                print(error, file=sys.stderr)
            finally:
                process.end()
    return rows


def has_mnist() -> bool:
    """Tell whether MNIST is there without a download."""
    return bool(os.environ.get("MINICNN_DATASETS"))


def title(name: str) -> str:
    """Return a contender's name for people."""
    return CONTENDERS[name].title
