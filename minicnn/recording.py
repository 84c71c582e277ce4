"""The calls of ops, noted while they run, for those who want to repeat them; see `train/replay.py`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple


class Call(NamedTuple):
    """A call of an op: its function, the arguments as they were given, and what came of it."""

    function: Callable[..., Any]
    given: list[Any]
    rest: tuple[Any, ...]
    options: dict[str, Any]
    vjps: tuple[Any, ...]
    result: Any


CALLS: ContextVar[list[Call] | None] = ContextVar("CALLS", default=None)


@contextlib.contextmanager
def recorded() -> Iterator[list[Call]]:
    """Give a list to which each op that is called meanwhile, in this thread, adds its call.

    >>> import numpy as np
    >>> from minicnn import ops
    >>> with recorded() as calls:
    ...     y = ops.relu(np.array([-1.0, 2.0]))
    >>> [(call.given, call.result) for call in calls]
    [([array([-1.,  2.])], array([0., 2.]))]
    """
    calls: list[Call] = []
    token = CALLS.set(calls)
    try:
        yield calls
    finally:
        CALLS.reset(token)
