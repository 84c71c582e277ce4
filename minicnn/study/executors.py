"""Where trials run: in this process, in processes on this machine, or on a Dask cluster.

An executor is a function of trials that yields (trial, outcome) in the order of completion. The outcomes are the same
whichever it is; only the order may differ.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from typing import Any, TypeAlias

from minicnn.optional import need
from minicnn.study.cluster import DIED, on_cluster
from minicnn.study.trial import Outcome, Trial, run_trial

Executor: TypeAlias = Callable[[Sequence[Trial]], Iterator[tuple[Trial, Outcome]]]

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MINICNN_THREADS"), "1")


def choose(jobs: int, dask: str | None) -> Executor:
    """Return the executor for `jobs` processes, or for the Dask scheduler at an address."""
    if dask is not None:
        return partial(on_cluster, address=dask)
    return serial if jobs == 1 else partial(processes, jobs=jobs)


def serial(trials: Sequence[Trial]) -> Iterator[tuple[Trial, Outcome]]:
    """Run one trial after the other in this process."""
    for trial in trials:
        yield trial, run_trial(trial)


def processes(trials: Sequence[Trial], *, jobs: int) -> Iterator[tuple[Trial, Outcome]]:
    """Run `jobs` trials at a time, each in a process.

    If a process dies, nobody can tell which of the trials under way has killed it: each of them is tried once more,
    alone, and one that dies again has failed.
    """
    waiting = list(trials)
    while waiting:
        under_way: list[Trial] = []
        yield from _pool(waiting, jobs, under_way)
        for suspect in under_way:
            again: list[Trial] = []
            yield from _pool([suspect], 1, again)
            yield from ((trial, Outcome(trial.id, error=DIED)) for trial in again)


def _pool(waiting: list[Trial], jobs: int, under_way: list[Trial]) -> Iterator[tuple[Trial, Outcome]]:
    """Run trials, which are removed from `waiting` when they start, until none waits or a process dies.

    `under_way` are the trials that have started and have no outcome.
    """
    loky = need("joblib.externals.loky")
    jobs = min(jobs, len(waiting))
    pool = loky.ProcessPoolExecutor(max_workers=jobs, initializer=_begin, initargs=(os.getpid(),), env=ONE_THREAD)
    futures: dict[Future[Outcome], Trial] = {}
    try:
        while waiting or futures:
            while waiting and len(futures) <= jobs:  # one more than there are processes, so that none has to wait
                under_way.append(waiting.pop(0))
                with _ctrl_c_later():
                    futures[pool.submit(run_trial, under_way[-1])] = under_way[-1]
            done, _ = wait(futures, return_when=FIRST_COMPLETED)
            for future in done:
                outcome, trial = _outcome(future, futures[future], loky), futures.pop(future)
                under_way.remove(trial)
                yield trial, outcome
        pool.shutdown(wait=True)
    except loky.process_executor.BrokenProcessPool:
        return
    finally:
        # after an interruption: nobody waits for the trials under way. Killing workers that have ended by themselves
        # would leave semaphores of theirs to the resource tracker, which complains of them
        if futures:
            pool.shutdown(wait=True, kill_workers=True)


def _outcome(future: Future[Outcome], trial: Trial, loky: Any) -> Outcome:
    try:
        return future.result()
    except loky.process_executor.BrokenProcessPool:
        raise
    except Exception:  # a trial or an outcome that cannot be sent to another process
        return Outcome(trial.id, error=traceback.format_exc())


@contextlib.contextmanager
def _ctrl_c_later() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach, not even before `_begin`; in this one it arrives afterwards."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(parent: int) -> None:
    """Prepare a worker: Ctrl-C is the parent's to handle, and a worker without a parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # tqdm's own lock is a semaphore of the system, and Python complains of it when a worker is killed
    need("tqdm").tqdm.set_lock(threading.RLock())
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    # a parent that is killed cannot tell its workers; they would wait for the next trial for ever
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
