"""How much longer one net takes than another: both are timed in turn, and only their ratio is used."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median

import numpy as np

from minicnn import kernels, optim, train
from minicnn.layers import Layer
from minicnn.study.statistics import Interval, mean_interval
from minicnn.train.loop import train_step

BATCH, REPEATS = 64, 9


def log_ratios(slow: Callable[[], object], fast: Callable[[], object], rounds: int, repeats: int = REPEATS) -> Interval:
    """Return the mean of log(time of `slow` / time of `fast`) with a 95 % interval over rounds.

    In a round both are called `repeats` times in turn and the medians of their times are compared, so that a slow
    change of the machine's speed affects both alike; the first round is left out. Times are CPU times, which other
    programs on the machine affect less.
    """
    found = [_round((slow, fast), repeats) for _ in range(rounds + 1)][1:]
    return mean_interval([math.log(a / b) for a, b in found])


def _round(functions: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for function, took in zip(functions, times, strict=True):
            began = time.process_time()
            function()
            took.append(time.process_time() - began)
    return [median(took) for took in times]


def compared(nets: Mapping[str, Layer], shape: tuple[int, int, int], rounds: int) -> dict[str, Interval]:
    """Return log ratios "training" and "prediction" of two nets, the one that is expected to be slower first.

    A training step is one of `train.fit` with Adam, for 64 images; prediction is `train.predict` for the same images.
    Both run on one thread.
    """
    rng = np.random.default_rng(0)
    images, labels = rng.random((BATCH, *shape), np.float32), rng.integers(0, 10, BATCH)
    steps = [_step(net, images, labels) for net in nets.values()]
    predictions = [_prediction(net, images) for net in nets.values()]
    with kernels.one_thread():
        return {
            "training": log_ratios(steps[0], steps[1], rounds),
            "prediction": log_ratios(predictions[0], predictions[1], rounds),
        }


def _step(net: Layer, images: np.ndarray, labels: np.ndarray) -> Callable[[], object]:
    optimizer = optim.Adam(1e-3)
    params = net.init(np.random.default_rng(0), images.shape[1:])
    state = optimizer.init(params)
    rng = np.random.default_rng(1)
    return lambda: train_step(net, optimizer, params, state, images, labels, rng=rng)


def _prediction(net: Layer, images: np.ndarray) -> Callable[[], object]:
    params = net.init(np.random.default_rng(0), images.shape[1:])
    return lambda: train.predict(net, params, images)
