"""A loop over images in parallel: one thread per core, each with a part of the batch.

The compiled loops release the GIL, so plain Python threads run at the same time. The caller's own thread takes the
first part. Threads share nothing but the arrays that the loops write into at different places.

Why a pool of its own: handing a part over costs about ten microseconds here and thirty to seventy with
`concurrent.futures.ThreadPoolExecutor`, which wakes a sleeping thread for each part, and many a loop of a small net
takes less than that. So a worker without work spins for a moment before it sleeps, as the threads of BLAS do.
Numba's own threading layers abort when two threads use them at once (workqueue) or after a fork (OpenMP).

Why an interruption does no harm: Python runs signal handlers in the main thread between any two bytecodes, so a
KeyboardInterrupt may end a call at any of them, and no `finally` is sure to run to its end. The pool is therefore in
one place at a time: in the list `_IDLE`, or with the one call that has taken it out. It is put back only by a call
that has run to its end. Whatever ends a call earlier leaves the pool to the garbage collector, and with it goes its
half-finished state; the workers notice and end, and the next call makes another pool. Each step that others rely on
(list.pop, the slice assignment, SimpleQueue.put, start_new_thread, the callback of a weak reference) is one operation
in C, which no signal handler can divide.
"""

from __future__ import annotations

import _thread
import contextlib
import functools
import itertools
import os
import queue
import re
import sys
import weakref
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minicnn.kernels.cache import njit

MIN_WORK = 50_000
"""Multiplications (about ten microseconds) below which a second core costs more than it saves."""
MAX_THREADS = 256
"""More threads than this are not started, whatever the environment asks for."""
SPINS = 1_000_000
"""How often a waiting thread reads the counter before it sleeps: about a quarter of a millisecond.

It does not yield the core in between: that helps where other programs keep all cores busy, and costs a training step
of a small net five percent where they keep some busy.
"""
SPINS_AFTER_POST = 16_000
"""How long, in reads, a thread stays without the GIL after an increment: about what it takes to start a loop."""
_UNREACHABLE = 2**62


@intrinsic
def _read(typing: Any, counter: Any = None) -> Any:
    """Read the element of a one-element array from memory, not from a register."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.load_atomic(array.data, "acquire", 8)

    return types.int64(counter), generate


@njit
def _spin(raised, increment, watched, value, spins):
    if increment:  # adding 0 would write, too, and could undo what another thread has just added
        raised[0] += increment
    for _ in range(spins):
        if _read(watched) >= value:
            return True
    return False


class Counter:
    """A counter that one thread increments and another one waits for, at first spinning and then asleep.

    The increment happens without the GIL, and the thread stays without it for a moment, so that the one that waits
    finds the GIL free: queueing for it would mean to sleep and be woken again.
    """

    def __init__(self) -> None:
        self.value = np.zeros(1, np.int64)
        self.asleep = False
        self.bell: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def increment(self) -> None:
        """Add one."""
        _spin(self.value, 1, self.value, _UNREACHABLE, SPINS_AFTER_POST)
        self.wake()

    def wake(self) -> None:
        """Wake the thread that waits, if it sleeps; an extra call does no harm."""
        if self.asleep:
            self.bell.put(None)

    def wait(self, value: int) -> bool:
        """Return True when the counter has reached `value`, False when the bell has brought something else."""
        while not _spin(self.value, 0, self.value, value, SPINS):
            self.asleep = True
            # Read again after saying so: an increment in between has either been seen here or has rung the bell.
            if self.value[0] < value and self.bell.get() is not None:
                return False
            self.asleep = False
        return True


class Worker:
    """A thread that waits for a task, runs it, says so, and waits for the next, until its pool is gone."""

    def __init__(self, pool: Pool) -> None:
        self.asked, self.done, self.count = Counter(), Counter(), 0
        self.task: Any = None
        self.result: Any = None
        self.error: BaseException | None = None
        # The thread itself must not keep the pool alive; when the pool goes, the weak reference rings the bell.
        lifeline = weakref.ref(pool, self.asked.bell.put)
        # Not threading.Thread, whose start() leaves its lists wrong if it is interrupted half-way.
        self.thread = _thread.start_new_thread(self._run, (lifeline,))

    def start(self, loop: Callable[..., Any], *args: Any) -> None:
        """Begin `loop(*args)`."""
        self.task, self.count = (loop, args), self.count + 1
        self.asked.increment()

    def finish(self) -> Any:
        """Wait for the task and return its result, or raise its error."""
        self.done.wait(self.count)
        result, error, self.result, self.error = self.result, self.error, None, None
        if error is not None:
            raise error
        return result

    def _run(self, lifeline: weakref.ref[Pool]) -> None:
        count = 1
        while self.asked.wait(count):
            count += 1
            (loop, args), self.task = self.task, None
            try:
                self.result = loop(*args)
            except BaseException as error:
                self.error = error
            loop = args = None
            if not self.done.asleep:
                # Says so and spins for the next task in one call: in between it would queue for the GIL.
                _spin(self.done.value, 1, self.asked.value, count, SPINS)
                self.done.wake()
            else:
                self.done.increment()


class Pool:
    """Workers that live as long as this object."""

    def __init__(self) -> None:
        self.workers: list[Worker] = []
        self.threads: list[int] = []

    def first(self, number: int) -> list[Worker]:
        """Return up to `number` workers; fewer where the system allows no more threads."""
        while len(self.workers) < number:
            try:
                worker = Worker(self)
            except RuntimeError:  # a limit on threads, or the interpreter is about to end
                break
            self.threads.append(worker.thread)
            self.workers.append(worker)
        return self.workers if len(self.workers) == number else self.workers[:number]


_IDLE: list[Pool] = []
"""The pool, while no call uses it."""
_THREADS = 0


def threads() -> int:
    """Return how many cores the kernels use: MINICNN_THREADS, else OMP_NUM_THREADS, else all that this process has.

    Of OpenMP's list for nested loops, such as 4,2, the first number counts. ValueError for anything else.
    """
    global _THREADS
    if not _THREADS:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        _THREADS = min(_asked() or cores, MAX_THREADS)
    return _THREADS


@contextlib.contextmanager
def limit(count: int) -> Iterator[None]:
    """Use at most `count` cores within the context."""
    global _THREADS
    before = threads()
    _THREADS = min(before, count)
    try:
        yield
    finally:
        _THREADS = before


def _asked() -> int:
    name = next((n for n in ("MINICNN_THREADS", "OMP_NUM_THREADS") if os.environ.get(n)), None)
    if name is None:
        return 0
    text = os.environ[name]
    numbers = [part.strip(" \t") for part in (text.split(",") if name == "OMP_NUM_THREADS" else [text])]
    if not all(re.fullmatch(r"0*[1-9][0-9]*", number, re.ASCII) for number in numbers):
        raise ValueError(f"{name} must be a positive integer, got {text!r}. Unset it to use all cores.")
    digits = numbers[0].lstrip("0")
    return int(digits) if len(digits) < 10 else MAX_THREADS  # int() refuses thousands of digits


def in_parallel(loop: Callable[..., Any], images: int, work: int, *args: Any) -> list[Any]:
    """Call `loop(first, last, *args)` for parts of the images, at the same time, and return the results in order.

    `work` is the approximate number of multiplications: small calls run on the caller's thread. So does a call while
    another one is running, in the same parts, so that sums over parts are the same to the last bit.
    """
    parts = min(threads() if work >= MIN_WORK else 1, images)
    if parts < 2:
        return [loop(0, images, *args)] if images else []
    spans = _spans(images, parts)
    # When the interpreter ends, threads other than the main one stop for good: nothing may wait for them.
    if sys.is_finalizing() or (not _IDLE and _under_way()):
        return [loop(*span, *args) for span in spans]
    return _in_parallel(loop, spans, args)


@functools.lru_cache(maxsize=256)
def _spans(images: int, parts: int) -> list[tuple[int, int]]:
    """Return first and last image of each part."""
    return list(itertools.pairwise(images * i // parts for i in range(parts + 1)))


def _in_parallel(loop: Callable[..., Any], spans: list[tuple[int, int]], args: tuple[Any, ...]) -> list[Any]:
    try:
        pool = _IDLE.pop()
    except IndexError:
        pool = Pool()
    workers = pool.first(len(spans) - 1)
    if _thread.get_ident() in pool.threads:
        workers = []  # a destructor that the garbage collector runs in a worker: it cannot wait for itself
    for worker, span in zip(workers, spans[1:], strict=False):
        worker.start(loop, *span, *args)
    own = loop(*spans[0], *args)
    results = [own, *[worker.finish() for worker in workers]]
    if len(results) < len(spans):  # fewer workers than parts
        results += [loop(*span, *args) for span in spans[len(results) :]]
    _IDLE[:] = [pool]
    return results


def _under_way() -> bool:
    """Whether some thread is inside `_in_parallel` at this moment.

    Asked of the threads themselves: whatever is noted down for it, an interruption could leave there for ever.
    """
    for top in sys._current_frames().values():
        frame: FrameType | None = top
        while frame is not None:
            if frame.f_code is _in_parallel.__code__:
                return True
            frame = frame.f_back
    return False


if hasattr(os, "register_at_fork"):
    # Threads do not survive a fork.
    os.register_at_fork(after_in_child=_IDLE.clear)
