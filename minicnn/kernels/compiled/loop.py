"""What the compiled kernels are made of: the decorator, and the shortest loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401 - where np.dot in a compiled loop finds its products
from numba import njit
from numba.core import event
from threadpoolctl import ThreadpoolController

from minicnn.kernels.notice import Notice

Pair = tuple[int, int]
Pads = tuple[Pair, Pair]
NO_POOL: Pair = (1, 1)
DEAD = 255
"""In place of a winner: ReLU stops the gradient."""

for _pool in ThreadpoolController().lib_controllers:
    if _pool.user_api == "blas":
        # Each core multiplies for itself, and a BLAS thread that waits for work spins on the core of one that works.
        _pool.set_num_threads(1)
event.register("numba:compile", Notice())


def _forget_stale_loops() -> None:
    """Delete what Numba has cached on disk if a file here is newer: it only looks at a loop's own file."""
    here = Path(__file__).parent
    cached = list(here.glob("__pycache__/*.nb[ic]"))
    edited = max(file.stat().st_mtime for file in here.glob("*.py"))
    if any(file.stat().st_mtime < edited for file in cached):
        for file in cached:
            file.unlink(missing_ok=True)


_forget_stale_loops()
loop = njit(nogil=True, cache=True, error_model="numpy")


@loop
def copy(to, at, of, start, length):
    # Unsigned numbers: a signed index could mean "from the end", and that question costs the vector instructions.
    at, start = np.uintp(at), np.uintp(start)
    for t in range(np.uintp(length)):
        to[at + t] = of[start + t]


@loop
def fill(to, at, length, value):
    at = np.uintp(at)
    for t in range(np.uintp(length)):
        to[at + t] = value


@loop
def add(to, at, of, start, length):
    at, start = np.uintp(at), np.uintp(start)
    for t in range(np.uintp(length)):
        to[at + t] += of[start + t]


def out_size(x: tuple[int, ...], window: tuple[int, ...], strides: Pair, pads: Pads, dilation: Pair) -> Pair:
    p, q = ((x[1 + a] + sum(pads[a]) - (window[a] - 1) * dilation[a] - 1) // strides[a] + 1 for a in (0, 1))
    return p, q
