"""A study as a value: one recipe, several arms, several seeds; and how it is run.

Runs of one seed share the data split, the batches, the augmentation and the initial weights of equal layers at
equal places, so arms are compared pair by pair. Test images are used once a run, after the last step; no epoch and
no setting is chosen on them.
"""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from minicnn import data, train
from minicnn.layers import Layer, summary
from minicnn.optim import Optimizer
from minicnn.study.run import Run
from minicnn.train.loop import Augment


@dataclass(frozen=True)
class Recipe:
    """How every arm is trained: the data, the optimizer, and for how long."""

    dataset: str
    optimizer: Optimizer
    epochs: int
    batch_size: int = 64
    label_smoothing: float = 0.0
    augment: Augment | None = None


@dataclass(frozen=True)
class Study:
    """Arms by name, trained by one recipe with each of the seeds."""

    recipe: Recipe
    arms: Mapping[str, Layer]
    seeds: tuple[int, ...]

    def jobs(self) -> list[tuple[str, int]]:
        """Return (arm, seed) in the order to run: a seed's arms together, so that what is done early is paired."""
        return [(arm, seed) for seed in self.seeds for arm in self.arms]


def run_one(recipe: Recipe, arm: str, net: Layer, seed: int, tick: Callable[[], object] = lambda: None) -> Run:
    """Train one arm with one seed and test it; `tick` is called after each epoch.

    Raises KeyboardInterrupt if Ctrl-C cut the training short: half a run is no run.
    """

    def ticked(moment: train.Moment) -> None:
        tick()  # its result, such as tqdm's True for a bar that it drew, must not end the training

    parts = _load(recipe.dataset, seed)
    _warm_up(recipe, net, parts.train[: recipe.batch_size])
    result = train.fit(
        net,
        parts.train,
        valid=parts.valid,
        optimizer=recipe.optimizer,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        label_smoothing=recipe.label_smoothing,
        augment=recipe.augment,
        seed=seed,
        callbacks=[ticked],
        progress=False,
    )
    if result.interrupted:
        raise KeyboardInterrupt
    tested = train.evaluate(net, result.params, parts.test)
    size, rows = summary(net, parts.train.images.shape[1:]), result.history.rows
    elapsed = accumulate(row["seconds"] for row in rows)
    return Run(
        head=arm,
        seed=seed,
        test_accuracy=tested.accuracy,
        parameters=size.parameters,
        multiply_adds=size.multiply_adds,
        seconds_per_epoch=sum(row["seconds"] for row in rows) / len(rows),
        epochs=len(rows),
        test_loss=tested.loss,
        valid_accuracy=rows[-1]["valid_accuracy"],
        curve=tuple({**row, "seconds": seconds} for row, seconds in zip(rows, elapsed, strict=True)),
    )


def run_all(study: Study, *, processes: int = 1, tick: Callable[[], object] = lambda: None) -> Iterator[Run]:
    """Yield each run as it is done; `tick` is called after each epoch of any of them.

    With several processes each has one thread for its matrix products; with one it has all cores. Accuracies do
    not depend on it beyond rounding.
    """
    jobs = study.jobs()
    if processes == 1:
        yield from (run_one(study.recipe, arm, study.arms[arm], seed, tick) for arm, seed in jobs)
        return
    from multiprocessing import Manager

    from joblib import Parallel, delayed, parallel_config

    with Manager() as manager, parallel_config("loky", inner_max_num_threads=1):
        ticks = manager.Queue()
        threading.Thread(target=_forward, args=(ticks, tick), daemon=True).start()
        pool = Parallel(n_jobs=processes, return_as="generator_unordered")
        yield from pool(delayed(run_one)(study.recipe, arm, study.arms[arm], seed, _Put(ticks)) for arm, seed in jobs)
        ticks.put(None)


@dataclass(frozen=True)
class _Put:
    """A tick that crosses processes."""

    ticks: Any

    def __call__(self) -> None:
        self.ticks.put(1)


def _forward(ticks: queue.Queue[int | None], tick: Callable[[], object]) -> None:
    try:
        while ticks.get():
            tick()
    except (EOFError, OSError):
        return  # the manager went away with an interrupted study


def _warm_up(recipe: Recipe, net: Layer, batch: data.Split) -> None:
    """Train on one batch and forget it, so that no epoch is timed with a kernel being compiled or loaded."""
    train.fit(net, batch, optimizer=recipe.optimizer, epochs=1, batch_size=recipe.batch_size, progress=False)


@functools.lru_cache(maxsize=1)
def _load(dataset: str, seed: int) -> data.Dataset:
    return data.load(dataset, seed=seed)
