"""Training and testing the arms of a study.

Runs with the same seed share the data split, the mini-batches, the augmentation and the initial weights of equal
layers at equal positions, so arms are compared in pairs. The test images are used once per run, after the last step;
no epoch and no setting is selected on them.
"""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from minicnn import data, train
from minicnn.layers import Layer, summary
from minicnn.study.ledger import Run
from minicnn.study.legacy import Recipe, Study


def run_one(recipe: Recipe, arm: str, net: Layer, seed: int, tick: Callable[[], object] = lambda: None) -> Run:
    """Train one arm with one seed and test it; `tick` is called after each epoch.

    Raises KeyboardInterrupt if Ctrl-C ended the training early: an interrupted run is discarded.
    """

    def ticked(moment: train.Moment) -> None:
        tick()  # its result is dropped: a callback that returns True, as tqdm's update may, would end the training

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
        arm=arm,
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
    """Yield each run when it is complete; `tick` is called after each epoch of every run.

    With several processes each process uses one thread; a single process uses all cores. The number of threads
    changes the order of sums and thereby their rounding, which can change the prediction for single test images.
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
    """A tick that is sent to the parent process."""

    ticks: Any

    def __call__(self) -> None:
        self.ticks.put(1)


def _forward(ticks: queue.Queue[int | None], tick: Callable[[], object]) -> None:
    try:
        while ticks.get():
            tick()
    except (EOFError, OSError):
        return  # the manager of an interrupted study has ended


def _warm_up(recipe: Recipe, net: Layer, batch: data.Split) -> None:
    """Train on one batch and discard the result, so that no timed epoch includes compiling or loading kernels."""
    train.fit(net, batch, optimizer=recipe.optimizer, epochs=1, batch_size=recipe.batch_size, progress=False)


@functools.lru_cache(maxsize=1)
def _load(dataset: str, seed: int) -> data.Dataset:
    return data.load(dataset, seed=seed)
