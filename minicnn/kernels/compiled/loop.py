"""The decorator of compiled loops, and the shortest loops, which the kernels are built from."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401 - where np.dot in a compiled loop finds its products
from numba.core import event
from threadpoolctl import ThreadpoolController

from minicnn.geometry import Pair
from minicnn.kernels.arithmetic import PIECE_TERMS, TERMS
from minicnn.kernels.cache import njit
from minicnn.kernels.notice import say

NO_POOL: Pair = (1, 1)
BLOCKED = 255
"""In place of an argmax: ReLU stops the gradient."""

for _pool in ThreadpoolController().lib_controllers:
    if _pool.user_api == "blas":
        # Each core multiplies for itself, and a BLAS thread that waits for work spins on the core of one that works.
        _pool.set_num_threads(1)


class _Notice(event.Listener):
    """Prints a line before Numba compiles the first function of minicnn that is not on disk: it takes seconds."""

    said = False

    def on_start(self, event: Any) -> None:
        if not self.said and event.data["dispatcher"].py_func.__module__.startswith("minicnn."):
            self.said = True
            say("compiling its kernels for this machine (first run only), which takes up to a minute")

    def on_end(self, event: Any) -> None:
        """Say nothing more."""


event.register("numba:compile", _Notice())
loop = njit


class _Writable:
    """The memory of a read-only array, which NumPy takes for writable."""

    def __init__(self, x: np.ndarray) -> None:
        self.owner = x
        self.__array_interface__ = {**x.__array_interface__, "data": (x.ctypes.data, False)}


def contiguous(x: Any, dtype: Any = None) -> np.ndarray:
    """Return an array in row order, which loops read only: a copy if it has another order or dtype.

    For read-only arrays Numba would compile each loop a second time, which takes seconds.
    """
    x = np.asarray(x, dtype, order="C")
    return x if x.flags.writeable else np.asarray(_Writable(x))


@loop
def copy(target, offset, source, start, length):
    """Copy `length` elements of a flat array, from `start`, to `offset` of another one."""
    # Unsigned numbers: a signed index could mean "from the end"; checking for that prevents vector instructions.
    offset, start = np.uintp(offset), np.uintp(start)
    for t in range(np.uintp(length)):
        target[offset + t] = source[start + t]


@loop
def fill(target, offset, length, value):
    """Set `length` elements of a flat array, from `offset`, to a value."""
    offset = np.uintp(offset)
    for t in range(np.uintp(length)):
        target[offset + t] = value


@loop
def multiply(a, b, product):
    """Write the matrix product `a @ b`; a sum of many terms is computed block by block, see `kernels.arithmetic`."""
    terms = a.shape[1]
    if terms <= PIECE_TERMS:
        np.dot(a, b, product)
        return
    sums, total = product.reshape(product.size), np.zeros(product.size, np.float64)
    for start in range(0, terms, TERMS):
        stop = min(terms, start + TERMS)
        np.dot(np.ascontiguousarray(a[:, start:stop]), b[start:stop], product)
        add(total, 0, sums, 0, sums.size)
    for i in range(np.uintp(sums.size)):
        sums[i] = total[i]


@loop
def add(target, offset, source, start, length):
    """Add `length` elements of a flat array, from `start`, to those from `offset` of another one."""
    offset, start = np.uintp(offset), np.uintp(start)
    for t in range(np.uintp(length)):
        target[offset + t] += source[start + t]


@loop
def is_finite(x):
    """Tell whether a flat array has neither infinities nor NaN."""
    others = 0
    for i in range(np.uintp(x.size)):
        others += x[i] - x[i] != 0
    return others == 0
