"""Where trials run: in this process, in processes on this machine, or on a Dask cluster.

An executor is a function of trials that yields (trial, outcome) in the order of completion. The outcomes are the same
whichever it is; only the order may differ.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from typing import Any, TypeAlias

from minicnn.optional import need
from minicnn.study import interruption
from minicnn.study.cluster import DIED, on_cluster
from minicnn.study.trial import Outcome, Trial, run_trial

Executor: TypeAlias = Callable[[Sequence[Trial]], Iterator[tuple[Trial, Outcome]]]

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MINICNN_THREADS"), "1")


@contextlib.contextmanager
def chosen(jobs: int, dask: str | None) -> Iterator[Executor]:
    """Give the executor for `jobs` processes, or for the Dask scheduler at an address; its processes end with it."""
    if dask is not None:
        yield partial(on_cluster, address=dask)
    elif jobs == 1:
        yield serial
    else:
        with contextlib.closing(Processes(jobs)) as processes:
            yield processes


def serial(trials: Sequence[Trial]) -> Iterator[tuple[Trial, Outcome]]:
    """Run one trial after the other in this process."""
    for trial in trials:
        yield trial, run_trial(trial)


class Processes:
    """Runs `jobs` trials at a time, each in a process; the processes are kept for the next trials.

    If a process dies, nobody can tell which of the trials under way has killed it: each of them is tried once more,
    alone, and one that dies again has failed.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._pool: Any = None
        self._size = 0

    def __call__(self, trials: Sequence[Trial]) -> Iterator[tuple[Trial, Outcome]]:
        """Yield each trial with its outcome."""
        waiting = list(trials)
        while waiting:
            under_way: list[Trial] = []
            yield from self._run(waiting, under_way)
            for suspect in under_way:
                again: list[Trial] = []
                yield from self._run([suspect], again)
                yield from ((trial, Outcome(trial.id, error=DIED)) for trial in again)

    def close(self, *, kill: bool = False) -> None:
        """End the processes, after their trials or at once."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, kill_workers=kill)

    def _open(self, trials: int) -> Any:
        if self._pool is not None and self._size < min(self.jobs, trials):
            self.close()
        if self._pool is None:
            self._size = min(self.jobs, trials)
            make = need("joblib.externals.loky").ProcessPoolExecutor
            self._pool = make(max_workers=self._size, initializer=_begin, initargs=(os.getpid(),), env=ONE_THREAD)
        return self._pool

    def _run(self, waiting: list[Trial], under_way: list[Trial]) -> Iterator[tuple[Trial, Outcome]]:
        """Run trials, which are removed from `waiting` when they start, until none waits or a process dies.

        `under_way` are the trials that have started and have no outcome.
        """
        loky = need("joblib.externals.loky")
        futures: dict[Future[Outcome], Trial] = {}
        try:
            pool = self._open(len(waiting))
            while waiting or futures:
                while waiting and len(futures) <= self._size:  # one more than processes, so that none has to wait
                    under_way.append(waiting.pop(0))
                    with interruption.signals_blocked():
                        futures[pool.submit(run_trial, under_way[-1])] = under_way[-1]
                done, _ = wait(futures, return_when=FIRST_COMPLETED)
                for future in done:
                    outcome, trial = _outcome(future, futures[future], loky), futures.pop(future)
                    under_way.remove(trial)
                    yield trial, outcome
        except loky.process_executor.BrokenProcessPool:
            self.close(kill=True)
        finally:
            # Killing workers that have ended by themselves would leave semaphores of theirs to the resource tracker,
            # which complains of them.
            if futures:
                _wait_until_handed_over(futures)
                self.close(kill=True)


def _wait_until_handed_over(futures: Iterable[Future[Outcome]]) -> None:
    """Wait until a worker has been given each trial: loky's own thread fails if it is stopped with one in its list."""
    for _ in range(100):
        if all(future.running() or future.done() for future in futures):
            return
        time.sleep(0.01)


def _outcome(future: Future[Outcome], trial: Trial, loky: Any) -> Outcome:
    try:
        return future.result()
    except loky.process_executor.BrokenProcessPool:
        raise
    except Exception:  # a trial or an outcome that cannot be sent to another process
        return Outcome(trial.id, error=traceback.format_exc())


def _begin(parent: int) -> None:
    """Prepare a worker: signals are the parent's to handle, and a worker without a parent ends."""
    interruption.ignore_signals()
    # tqdm's own lock is a semaphore of the system, and Python complains of it when a worker is killed
    need("tqdm").tqdm.set_lock(threading.RLock())
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    # a parent that is killed cannot tell its workers; they would wait for the next trial for ever
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
