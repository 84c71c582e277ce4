"""Writing files so that a half-written one never stands under its final name."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def atomic_write(path: str | Path, content: str | bytes | Callable[[BinaryIO], object]) -> Path:
    """Write text (as UTF-8), bytes, or what a function writes, to a temporary neighbour and move it into place.

    Raises OSError where the folder is missing or cannot be written.
    """
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content.encode() if isinstance(content, str) else content)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def writable_folder(path: str | Path) -> Path:
    """Make a folder if need be and prove that a file can be written in it.

    Raises
    ------
    OSError
        With the reason, before any work is lost to it.
    """
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path):
        return path
