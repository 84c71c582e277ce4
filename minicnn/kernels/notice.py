"""One line on stderr when kernels are compiled for the first time, so that nobody wonders about the wait."""

from __future__ import annotations

import sys
from typing import Any

from numba.core import event

_TEXT = "minicnn: compiling its kernels for this machine, once; this takes some seconds"


class Notice(event.Listener):
    """Speaks at the first function of minicnn that Numba compiles and does not find in its cache on disk."""

    def __init__(self) -> None:
        self.said = False

    def on_start(self, event: Any) -> None:
        """Say it, once in a process."""
        module = event.data["dispatcher"].py_func.__module__
        if not self.said and module.startswith("minicnn."):
            self.said = True
            print(_TEXT, file=sys.stderr)

    def on_end(self, event: Any) -> None:
        """Say nothing more."""
