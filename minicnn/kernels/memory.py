"""Keeping freed memory for the next step instead of giving it back to the operating system.

Every training step allocates and frees the same few large arrays. The C library of Linux returns large blocks to the
system at once, and then each step pays for thousands of page faults: a third of its time for a small net.
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of glibc's malloc.h
_LIMIT = 2**30
"""Bytes that the process may hold on to, and the size from which a block still goes back at once."""


def keep_freed_memory() -> bool:
    """Ask glibc to keep up to a gigabyte of freed memory; return whether it could be asked.

    >>> keep_freed_memory() in (True, False)
    True
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_MMAP_THRESHOLD, _LIMIT) and mallopt(_TRIM_THRESHOLD, _LIMIT))
