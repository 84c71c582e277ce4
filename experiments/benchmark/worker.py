"""One contender's process: `python -m experiments.benchmark.worker NAME`, requests and answers as lines of JSON."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmark.frameworks import CONTENDERS
from experiments.benchmark.problem import MOMENTUM, RATE, check, read
from experiments.benchmark.tasks import NETS
from minicnn import data
from minicnn.kernels import memory

WARM_UP = 3
RATE_MNIST, RAMP = 0.1, 200


class Worker:
    """Answers `prepare`, then `round` as often as it is asked."""

    def __init__(self, name: str) -> None:
        self.contender = CONTENDERS[name]
        self.step: Any = None

    def prepare(self, problem: str, net: str, mode: str) -> dict[str, Any]:
        """Make the net, check that it computes what it should, and warm up."""
        given = read(problem)
        shape = given.images.shape[2:]
        racer = self.contender.make()(NETS[net], shape, given.params, RATE, MOMENTUM)
        batches = [racer.batch(*batch) for batch in given.batches]
        logits = racer.infer(batches[0])
        losses = [racer.learn(batch) for batch in batches]
        if not self.contender.yardstick:
            check(given, logits, losses)
        work = racer.learn if mode == "training" else racer.infer
        self.step = lambda number: work(batches[number % len(batches)])
        for number in range(WARM_UP):
            self.step(number)
        return {}

    def round(self, seconds: float) -> dict[str, Any]:
        """Take steps for about so long; return the time of each, and the processor's time for a second of wall time."""
        times, processor, start = [], time.process_time(), time.perf_counter()
        while not times or time.perf_counter() - start < seconds:
            before = time.perf_counter()
            self.step(len(times))
            times.append(time.perf_counter() - before)
        busy = (time.process_time() - processor) / (time.perf_counter() - start)
        return {"times": times, "busy": busy}

    def reach(self, net: str, seed: int, accuracy: float, epochs: int) -> dict[str, Any]:
        """Train on MNIST and return the seconds of all steps up to the first epoch that is right so often.

        The learning rate rises for `RAMP` steps and falls in a straight line to 0 at the last epoch.
        """
        images = data.load("mnist", seed=seed, valid=0.0)
        first, order = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2))
        shape = images.train.images.shape[1:]
        racer = self.contender.make()(NETS[net], shape, NETS[net].init(first, shape), RATE_MNIST, MOMENTUM)
        tests = [(racer.batch(x, y), y) for x, y in data.batches(images.test, 1000)]
        steps = epochs * (len(images.train) // 128)
        seconds, right, epoch, step = 0.0, 0.0, 0, 0
        while right < accuracy and epoch < epochs:
            epoch += 1
            for x, y in data.batches(images.train, 128, rng=order):
                if len(y) == 128:  # torch.compile and jit would compile the odd batch anew
                    racer.set_rate(RATE_MNIST * min(1, (step + 1) / RAMP) * (1 - step / steps))
                    batch, start, step = racer.batch(x, y), time.perf_counter(), step + 1
                    racer.learn(batch)
                    seconds += time.perf_counter() - start
            hits = [(np.asarray(racer.infer(batch)).argmax(axis=1) == y).mean() for batch, y in tests]
            right = float(np.mean(hits))
        return {"seconds": seconds, "epochs": epoch, "accuracy": right}

    def memory(self) -> dict[str, Any]:
        """Return the most memory this process has had, in bytes."""
        # Linux hands ru_maxrss down to a child, so that it begins at its parent's; VmHWM begins anew.
        peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return {"bytes": int(peak.split()[1]) * 1024}


def main() -> None:
    """Answer requests until stdin ends."""
    if CONTENDERS[sys.argv[1]].keeps_memory:
        memory.keep()
    worker, out = Worker(sys.argv[1]), sys.stdout
    sys.stdout = sys.stderr  # what a framework prints is no answer
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("ask"))(**request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main()
