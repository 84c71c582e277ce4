"""Sharing a batch out over the cores: one thread a core, each with a part of the images.

The loops give up the interpreter's lock, so plain Python threads run at the same time. The caller's own thread
takes the first part. Nothing is shared but the arrays that the loops write into at different places, so callers
from several threads, or from processes that were forked, do not disturb each other.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

LITTLE = 200_000
"""Multiplications below which waking a second core costs more than it saves."""

_WORKERS: list[SimpleQueue[Any]] = []
_LOCK = threading.Lock()


def count() -> int:
    """Return how many cores the kernels use: what this process may use, or MINICNN_THREADS."""
    asked = os.environ.get("MINICNN_THREADS", "")
    if asked:
        if not asked.isdigit() or not int(asked):
            raise ValueError(f"MINICNN_THREADS={asked!r} is no number of threads. Use 1 or more, or unset it.")
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share(loop: Callable[..., Any], images: int, work: int, *args: Any) -> list[Any]:
    """Call `loop(first, last, *args)` for parts of the images, at the same time, and return the results in order."""
    parts = min(_count(), images) if work > LITTLE else min(1, images)
    bounds = [images * i // parts for i in range(parts + 1)] if parts else []
    answers: SimpleQueue[Any] = SimpleQueue()
    for i in range(1, parts):
        _worker(i - 1).put((loop, i, bounds[i], bounds[i + 1], args, answers))
    results: list[Any] = [None] * parts
    failure = None
    if parts:
        results[0] = loop(bounds[0], bounds[1], *args)
    for _ in range(1, parts):
        i, result, error = answers.get()
        results[i], failure = result, failure or error
    if failure:
        raise failure
    return results


def _worker(i: int) -> SimpleQueue[Any]:
    with _LOCK:
        while len(_WORKERS) <= i:
            tasks: SimpleQueue[Any] = SimpleQueue()
            threading.Thread(target=_work, args=(tasks,), name=f"minicnn-{len(_WORKERS) + 1}", daemon=True).start()
            _WORKERS.append(tasks)
    return _WORKERS[i]


def _work(tasks: SimpleQueue[Any]) -> None:
    while True:
        loop, i, first, last, args, answers = tasks.get()
        try:
            answers.put((i, loop(first, last, *args), None))
        except BaseException as error:
            answers.put((i, None, error))


_COUNT = 0


def _count() -> int:
    global _COUNT
    _COUNT = _COUNT or count()
    return _COUNT


def _after_fork() -> None:
    """Forget workers that did not survive the fork."""
    global _LOCK
    _LOCK = threading.Lock()
    _WORKERS.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
