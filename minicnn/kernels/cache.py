"""The compiled loops on disk, so that a process need not compile what an earlier one has compiled.

Numba's own cache would load a loop from before an edit, because it looks at the loop's own file but not at those of
the loops that it calls, and lets processes that start together read one loop's code under another's name. This one
writes to the same folders with the same code, but has one file per loop and signature. The file ends in a hash over
its contents, the source of all kernels, and the versions of what has compiled it. A file with another hash is stale
or damaged; it is compiled again and replaced in one step, and no file is ever deleted.

Processes that start together, such as those of a study, would each compile all loops. Here one compiles a loop, and the
others wait for its file.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pickle
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core.caching import FunctionCache, IndexDataCacheFile

from minicnn.geometry import Geometry
from minicnn.kernels.notice import say

OTHERS = ("cache", "cores", "arithmetic", "program")
"""Modules beside `compiled` with functions or constants that are compiled into its loops."""


def _stamp() -> str:
    here = Path(__file__).parent
    files = [*(here / f"{name}.py" for name in OTHERS), *sorted(here.glob("compiled/*.py"))]
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return repr((sys.version, numba.__version__, llvmlite.__version__, np.__version__, Geometry._fields, hashes))


_STAMP = _stamp()
PATIENCE = 120.0
"""Seconds to wait for another process that compiles a loop: it may have been stopped, or may itself wait for a core."""
SAID_AFTER = 2.0
"""Seconds of waiting after which the user is told."""


class _Files(IndexDataCacheFile):
    """One file per signature, in place of Numba's index and numbered files."""

    def load(self, key: Any) -> Any:
        """Return what was saved, or None if it is absent, stale, or damaged."""
        try:
            data = Path(self._data_path(self._name(key))).read_bytes()
        except OSError:
            return None
        if data[-32:] != self._hash(key, data[:-32]):
            return None
        # Numba's format and its reader, but not its `_load_data`: that reads the file, which another process may have
        # replaced since the hash was compared.
        return pickle.loads(data[:-32])  # noqa: S301

    def save(self, key: Any, data: Any) -> None:
        """Write in one step, so that no other process reads half a file."""
        code = self._dump(data)
        with self._open_for_write(self._data_path(self._name(key))) as file:
            file.write(code + self._hash(key, code))

    def _name(self, key: Any) -> str:
        signature, target, _ = key
        digest = hashlib.sha256(repr((signature, target)).encode()).digest()
        return str(self._data_name(int.from_bytes(digest[:8], "big")))

    def place(self, key: Any) -> int:
        """Return the byte of the lock file for the loop and its signature."""
        return int.from_bytes(hashlib.sha256(self._name(key).encode()).digest()[:7], "big")

    def _hash(self, key: Any, code: bytes) -> bytes:
        return hashlib.sha256(repr((self._source_stamp, key)).encode() + code).digest()


class KernelCache(FunctionCache):
    """Numba's cache; a damaged or stale file is never used and never an error."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        name = f"{function.__module__}.{function.__qualname__}.{sys.implementation.cache_tag}"
        self._cache_file = self._files = _Files(self.cache_path, name, _STAMP)
        self._locked: list[int] = []

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Return the compiled loop, or None if it is for this process to compile."""
        found = self._load(signature, target)
        if found is not None:
            return found
        with contextlib.suppress(Exception):  # without locks, as on Windows, each process compiles
            file, place = _locks(self.cache_path), self._files.place(self._index_key(signature, target.codegen()))
            self._locked.append(place)  # before it is locked: an interruption in between must not leave it locked
            _lock(file, place)
        return self._load(signature, target)

    def _load(self, signature: Any, target: Any) -> Any:
        try:
            return super().load_overload(signature, target)
        except Exception:  # whatever is wrong with the file, the loop can be compiled again
            return None

    def unlock(self) -> None:
        """Let other processes load the loop, or compile it."""
        with contextlib.suppress(IndexError):  # another thread may take the last one
            while True:
                place = self._locked.pop()
                _unlock(_locks(self.cache_path), place)

    def save_overload(self, signature: Any, result: Any) -> None:
        """Save the compiled loop if that is possible."""
        try:
            super().save_overload(signature, result)
        except Exception:  # a full disk, a folder that has gone: the next process compiles again
            return


@functools.cache
def _locks(folder: str) -> int:
    """Return the descriptor of the lock file, which stays open: closing it would release the locks of this process."""
    return os.open(Path(folder) / "minicnn-compiling.lock", os.O_WRONLY | os.O_CREAT, 0o666)


def _lock(file: Any, place: int) -> None:
    """Lock one byte against other processes. A process that ends releases its locks."""
    import fcntl  # not on Windows

    start = time.monotonic()
    while True:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
            return
        except (BlockingIOError, PermissionError):  # both mean that another process has locked it
            waited = time.monotonic() - start
            if waited > PATIENCE:
                raise
            if waited > SAID_AFTER:
                _say_once()
            time.sleep(0.02)


@functools.cache
def _say_once() -> None:
    say("waiting for another process that compiles the kernels")


def _unlock(file: Any, place: int) -> None:
    import fcntl

    fcntl.lockf(file, fcntl.LOCK_UN, 1, place)


def njit(function: Callable[..., Any]) -> Any:
    """Return the loop compiled with Numba, without the GIL, and cached where there is a folder to write to."""
    if getattr(numba.config, "DISABLE_JIT", 0):  # the loops contain instructions that Python does not know
        raise RuntimeError("NUMBA_DISABLE_JIT switches Numba's compiler off")
    loop: Any = numba.njit(nogil=True, error_model="numpy")(function)
    try:
        cache = KernelCache(function)
    except Exception:  # no folder can be written to: Numba compiles in each process
        return loop
    compile_loop = loop.compile

    def compile_once(signature: Any) -> Any:
        try:
            return compile_loop(signature)
        finally:  # also after Ctrl-C
            cache.unlock()

    loop._cache, loop.compile = cache, compile_once
    return loop
