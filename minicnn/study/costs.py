"""What arms cost: the time of a training step and of a prediction, each arm in turn, many times.

Times are measured apart from the study's training, whose clock runs while other trials share the cores: here one arm
follows the other in short rounds, so that a change in the machine's speed meets all of them, and the median counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median

import numpy as np

from minicnn import kernels, train
from minicnn.data import Split
from minicnn.layers import Layer
from minicnn.notebook import progress_bar
from minicnn.optim import SGD
from minicnn.validation import integer

BATCH = 64


def costs(
    nets: Mapping[str, Layer], split: Split, *, rounds: int = 15, progress: bool | None = None
) -> dict[str, dict[str, float]]:
    """Return microseconds per image of a training step ("train") and of a prediction ("predict"), on one core.

    Batches are of 64 images. The medians are over `rounds` rounds in which the arms take turns.
    """
    rounds = integer("costs", "rounds", rounds)
    batch = split[:BATCH]
    with kernels.one_thread():
        jobs = {name: _jobs(net, batch) for name, net in nets.items()}
        times: dict[str, dict[str, list[float]]] = {name: {what: [] for what in jobs[name]} for name in nets}
        with progress_bar(rounds, unit=" rounds", shown=progress) as bar:
            bar.set_description("costs", refresh=False)
            for _ in range(rounds):
                for name in nets:
                    for what, job in jobs[name].items():
                        times[name][what].append(_seconds(job))
                bar.update(1)
    return {name: {what: 1e6 * median(found) / len(batch) for what, found in by.items()} for name, by in times.items()}


def _jobs(net: Layer, batch: Split) -> dict[str, Callable[[], object]]:
    rng = np.random.default_rng(0)
    params = net.init(rng, batch.images.shape[1:])
    optimizer = SGD(0.0)  # the parameters stay as they are, whatever the number of steps
    state = optimizer.init(params)
    jobs: dict[str, Callable[[], object]] = {
        "train": lambda: train.train_step(net, optimizer, params, state, batch.images, batch.labels, rng=rng),
        "predict": lambda: net(params, batch.images),
    }
    for job in jobs.values():  # the first call loads or compiles kernels
        job()
    return jobs


def _seconds(job: Callable[[], object]) -> float:
    """Return the time of one call, from as many as take two milliseconds."""
    began, calls = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - began) < 2e-3:
        job()
        calls += 1
    return elapsed / calls
