"""NumPy's kernels for a part of a program: what runs once costs less than compiling its loops would.

Compiled loops are made for each dtype. A training has none for float64, and compiling them takes about ten seconds.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from minicnn import kernels
from minicnn.kernels import numpy_blocked
from minicnn.kernels.names import KERNELS

_one_at_a_time = threading.RLock()


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
        before = {name: getattr(kernels, name) for name in KERNELS}
        me = threading.get_ident()
        vars(kernels).update(
            {name: _in_thread(me, getattr(numpy_blocked, name), fast) for name, fast in before.items()}
        )
        try:
            yield
        finally:
            vars(kernels).update(before)


def _in_thread(me: int, plain: Callable[..., Any], fast: Callable[..., Any]) -> Callable[..., Any]:
    """Return a kernel that is the plain one in a thread and the fast one in the others."""

    def kernel(*args: Any, **kwargs: Any) -> Any:
        return (plain if threading.get_ident() == me else fast)(*args, **kwargs)

    return kernel
