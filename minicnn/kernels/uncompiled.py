"""NumPy's kernels for a part of a program: what runs once costs less than compiling its loops would.

Compiled loops are made for each dtype. A training has none for float64, and compiling them takes about ten seconds.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

from minicnn import kernels
from minicnn.kernels import numpy_blocked
from minicnn.kernels.names import KERNELS

_one_at_a_time = threading.RLock()
_compiled: dict[str, Callable[..., Any]] = {}
"""The kernels to be put back; empty where they are in place."""


@contextlib.contextmanager
def uncompiled() -> Iterator[None]:
    """Use the fast NumPy kernels in place of the compiled ones meanwhile, in this thread; other threads keep theirs.

    >>> with uncompiled():
    ...     pass
    """
    if kernels.name() != "compiled":
        yield
        return
    with _one_at_a_time:
        before, me = {name: getattr(kernels, name) for name in KERNELS}, threading.get_ident()
        outermost = not _compiled
        try:  # whenever Ctrl-C comes, the kernels are put back
            _compiled.update(before if outermost else {})
            vars(kernels).update({name: _in_thread(me, getattr(numpy_blocked, name), before[name]) for name in KERNELS})
            yield
        finally:
            vars(kernels).update(before)
            if outermost:
                _compiled.clear()


def _put_back() -> None:
    """Leave nothing in a forked process of what another thread was doing."""
    global _one_at_a_time  # noqa: PLW0603 - a lock that another thread holds cannot be released here
    _one_at_a_time = threading.RLock()
    vars(kernels).update(_compiled)
    _compiled.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_put_back)


def _in_thread(me: int, plain: Callable[..., Any], fast: Callable[..., Any]) -> Callable[..., Any]:
    """Return a kernel that is the plain one in a thread and the fast one in the others."""

    def kernel(*args: Any, **kwargs: Any) -> Any:
        return (plain if threading.get_ident() == me else fast)(*args, **kwargs)

    return kernel
