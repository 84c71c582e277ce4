"""One line on stderr for conditions that are not errors but that a user should know."""

from __future__ import annotations

import contextlib
import sys


def say(text: str) -> None:
    """Write one line to stderr, where there is one."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):  # closed by its reader or by the program
            print(f"minicnn: {text}", file=sys.stderr)
