"""The process of one framework: ``python -m experiments.benchmark.worker NAME``.

Requests on stdin and answers on stdout are JSON objects, one per line.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmark.frameworks import FRAMEWORKS
from experiments.benchmark.problem import LEARNING_RATE, MOMENTUM, check, read
from experiments.benchmark.tasks import NETS
from minicnn import data
from minicnn.kernels import memory

WARM_UP = 3
PEAK_LEARNING_RATE, RAMP = 0.1, 200


class Worker:
    """The methods that can be requested: `prepare` first, then `round` any number of times."""

    def __init__(self, name: str) -> None:
        self.framework = FRAMEWORKS[name]
        self.step: Any = None

    def prepare(self, problem: str, net: str, mode: str) -> dict[str, Any]:
        """Build the network, check its results against the expected ones, and warm up."""
        given = read(problem)
        shape = given.images.shape[2:]
        adapter = self.framework.load()(NETS[net], shape, given.params, LEARNING_RATE, MOMENTUM)
        batches = [adapter.make_batch(*batch) for batch in given.batches]
        logits = adapter.infer(batches[0])
        losses = [adapter.train_step(batch) for batch in batches] if mode == "training" else []
        if not self.framework.is_baseline:
            check(given, logits, losses)
        step = adapter.train_step if mode == "training" else adapter.infer
        self.step = lambda number: step(batches[number % len(batches)])
        for number in range(WARM_UP):
            self.step(number)
        return {}

    def round(self, seconds: float) -> dict[str, Any]:
        """Take steps for about `seconds`; return the time of each, and the CPU seconds per second of wall time."""
        times, cpu, start = [], time.process_time(), time.perf_counter()
        while not times or time.perf_counter() - start < seconds:
            before = time.perf_counter()
            self.step(len(times))
            times.append(time.perf_counter() - before)
        return {"times": times, "cpu": (time.process_time() - cpu) / (time.perf_counter() - start)}

    def train_to_accuracy(self, net: str, seed: int, accuracy: float, epochs: int) -> dict[str, Any]:
        """Train on MNIST until the test accuracy is reached after an epoch; return the sum of all step times.

        The learning rate increases for `RAMP` steps and decreases linearly to 0 at the last epoch.
        """
        images = data.load("mnist", seed=seed, valid=0.0)
        initial, order = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2))
        shape = images.train.images.shape[1:]
        params = NETS[net].init(initial, shape)
        adapter = self.framework.load()(NETS[net], shape, params, PEAK_LEARNING_RATE, MOMENTUM)
        tests = [(adapter.make_batch(x, y), y) for x, y in data.batches(images.test, 1000)]
        steps = epochs * (len(images.train) // 128)
        seconds, reached, epoch, step = 0.0, 0.0, 0, 0
        while reached < accuracy and epoch < epochs:
            epoch += 1
            for x, y in data.batches(images.train, 128, rng=order):
                if len(y) == 128:  # a smaller last batch would make torch.compile and jit compile again
                    rate = PEAK_LEARNING_RATE * min(1, (step + 1) / RAMP) * (1 - step / steps)
                    adapter.set_learning_rate(rate)
                    batch, start, step = adapter.make_batch(x, y), time.perf_counter(), step + 1
                    adapter.train_step(batch)
                    seconds += time.perf_counter() - start
            correct = [(np.asarray(adapter.infer(batch)).argmax(axis=1) == y).mean() for batch, y in tests]
            reached = float(np.mean(correct))
        return {"seconds": seconds, "epochs": epoch, "accuracy": reached}

    def peak_memory(self) -> dict[str, Any]:
        """Return the peak memory of this process in bytes."""
        # not ru_maxrss: on Linux a child inherits it, so that it would be at least the peak of the parent
        peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return {"bytes": int(peak.split()[1]) * 1024}


def main() -> None:
    """Answer requests until stdin is closed."""
    if FRAMEWORKS[sys.argv[1]].keeps_freed_memory:
        memory.keep_freed_memory()
    worker, out = Worker(sys.argv[1]), sys.stdout
    sys.stdout = sys.stderr  # what a framework prints must not be read as an answer
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("method"))(**request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main()
