"""Sharing a batch out over the cores: one thread a core, each with a part of the images.

The compiled loops give up the interpreter's lock, so plain Python threads run at the same time. The caller's own
thread takes the first part. Nothing is shared but the arrays that the loops write into at different places.

Waking a sleeping thread takes longer than many a loop here, so a worker that has nothing to do looks for its next
part for a moment before it goes to sleep, as the threads of BLAS and OpenMP do.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

LITTLE = 50_000
"""Multiplications (about ten microseconds) below which a second core costs more than it saves."""
LOOKS = 1_000_000
"""How often a waiting thread looks before it sleeps: about a quarter of a millisecond."""
LINGER = 16_000
"""How many looks long a thread stays without the lock after a post: about what it takes to start a loop."""
NEVER = 2**62


@intrinsic
def _read(typing: Any, counter: Any = None) -> Any:
    """Read the one number of an array, afresh from memory each time."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.load_atomic(array.data, "acquire", 8)

    return types.int64(counter), generate


@njit(nogil=True, cache=True)
def _look(raised, more, watched, value, looks):
    if more:  # adding 0 would write, too, and could undo what another thread has just added
        raised[0] += more
    for _ in range(looks):
        if _read(watched) >= value:
            return True
    return False


class Signal:
    """A counter that one thread raises and another waits for, at first awake and then asleep.

    Who raises it does so without the interpreter's lock and stays without it for a moment, so that who sees it
    finds the lock free: queueing for the lock would mean to sleep and be woken again.
    """

    def __init__(self) -> None:
        self.counter = np.zeros(1, np.int64)
        self.asleep = False
        self.bell = threading.Semaphore(0)

    def post(self) -> None:
        """Raise the counter by one."""
        _look(self.counter, 1, self.counter, NEVER, LINGER)
        self.ring()

    def ring(self) -> None:
        """Wake who waits, if it sleeps; once too often does no harm."""
        if self.asleep:
            self.bell.release()

    def wait(self, value: int) -> None:
        """Return when the counter has reached `value`."""
        while not _look(self.counter, 0, self.counter, value, LOOKS):
            self.asleep = True
            # Asked again after saying so: a post in between has either been seen here or has rung the bell.
            if self.counter[0] < value:
                self.bell.acquire()
            self.asleep = False


class Worker:
    """A thread that waits for a task, does it, says so, and waits for the next."""

    def __init__(self, number: int) -> None:
        self.asked, self.done, self.count = Signal(), Signal(), 0
        self.task: Any = None
        self.result: Any = None
        self.error: BaseException | None = None
        threading.Thread(target=self._run, name=f"minicnn-{number}", daemon=True).start()

    def start(self, loop: Callable[..., Any], *args: Any) -> None:
        """Begin `loop(*args)`."""
        self.task, self.count = (loop, args), self.count + 1
        self.asked.post()

    def finish(self) -> Any:
        """Wait for the task and return its result, or raise its error."""
        self.done.wait(self.count)
        result, error, self.result, self.error, self.task = self.result, self.error, None, None, None
        if error is not None:
            raise error
        return result

    def _run(self) -> None:
        count = 1
        while True:
            self.asked.wait(count)
            count += 1
            loop, args = self.task
            try:
                self.result = loop(*args)
            except BaseException as error:
                self.error = error
            loop = args = None
            if not self.done.asleep:
                # Says so and looks for the next task in one go: in between it would queue for the lock.
                _look(self.done.counter, 1, self.asked.counter, count, LOOKS)
                self.done.ring()
            else:
                self.done.post()


_WORKERS: list[Worker] = []
_LOCK = threading.Lock()
_THREADS = 0


def threads() -> int:
    """Return how many cores the kernels use: MINICNN_THREADS, else OMP_NUM_THREADS, else all that this process has."""
    global _THREADS
    if not _THREADS:
        name = next((n for n in ("MINICNN_THREADS", "OMP_NUM_THREADS") if os.environ.get(n)), None)
        asked = os.environ[name] if name else ""
        if name and not (asked.isdigit() and int(asked)):
            raise ValueError(f"{name}={asked!r} is no number of threads. Use 1 or more, or unset it.")
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        _THREADS = int(asked) if asked else cores
    return _THREADS


def share(loop: Callable[..., Any], images: int, work: int, *args: Any) -> list[Any]:
    """Call `loop(first, last, *args)` for parts of the images, at the same time, and return the results in order.

    `work` is about how many multiplications it takes: a little stays on the caller's own core. So does a call while
    another thread's is under way, in the same parts, so that sums over parts come out the same to the last bit.
    """
    parts = min(threads() if work >= LITTLE else 1, images)
    if parts < 2:
        return [loop(0, images, *args)] if images else []
    spans = list(itertools.pairwise(images * i // parts for i in range(parts + 1)))
    if not _LOCK.acquire(blocking=False):
        return [loop(first, last, *args) for first, last in spans]
    try:
        while len(_WORKERS) < parts - 1:
            _WORKERS.append(Worker(len(_WORKERS) + 1))
        workers = _WORKERS[: parts - 1]
        for worker, span in zip(workers, spans[1:], strict=True):
            worker.start(loop, *span, *args)
        try:
            own = loop(*spans[0], *args)
        finally:
            others = [worker.finish() for worker in workers]
        return [own, *others]
    finally:
        _LOCK.release()


def _after_fork() -> None:
    """Forget the threads, which do not survive a fork."""
    global _LOCK
    _LOCK = threading.Lock()
    _WORKERS.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
