"""Writing files: completely or not at all, one line at a time, and one process at a time for each folder."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows, where a file that another process has open cannot be deleted anyway
    fcntl = None  # type: ignore[assignment]

PREFIX, SUFFIX = ".minicnn-", ".tmp"
GIBIBYTE = 2**30


class FileFormatError(ValueError):
    """A file that is damaged, larger than allowed, or something else than it should be.

    Attributes
    ----------
    path : str
        Of the file.
    reason : str
        What is wrong with it.

    Examples
    --------
    >>> print(FileFormatError("from_keras", "a file that Keras wrote", "net.h5", "it has no layers"))
    from_keras: path must be a file that Keras wrote, got net.h5: it has no layers
    """

    def __init__(self, where: str, wanted: str, path: str | Path, reason: str) -> None:
        super().__init__(where, wanted, str(path), reason)
        self.where, self.wanted, self.path, self.reason = where, wanted, str(path), reason

    def __str__(self) -> str:
        return f"{self.where}: path must be {self.wanted}, got {self.path}: {self.reason}"


def check_size(where: str, wanted: str, path: Path, max_bytes: int) -> None:
    """Raise FileFormatError unless `path` is a regular file of at most `max_bytes`, OSError if there is none."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise FileFormatError(where, wanted, path, "it is not a regular file")
    if status.st_size > max_bytes:
        reason = f"it has {status.st_size:,} bytes, and max_bytes is {max_bytes:,}"
        raise FileFormatError(where, wanted, path, reason)


def atomic_write(
    path: str | Path, content: str | bytes | Callable[[BinaryIO], object], *, durable: bool = False
) -> Path:
    """Write text (as UTF-8), bytes, or what a function writes, to a temporary neighbour and move it into place.

    Readers see the old file or the new one, never a part. A symbolic link stays and its target is written; an
    existing file keeps its mode, a new one gets what the umask leaves. A device or a pipe is written directly.
    Temporary files of killed processes are removed by the next write into the same folder. With `durable`, which takes
    some milliseconds, an existing file is replaced once the disk has the new one: a power failure leaves one of them.
    Raises OSError where the folder is missing, or the folder or the file cannot be written.
    """
    content = content.encode() if isinstance(content, str) else content
    before = _status(Path(path))
    if before is not None and not stat.S_ISREG(before.st_mode):
        with open(path, "wb") as file:  # the system refuses a folder here
            _fill(file, content)
        return Path(path)
    if before is not None and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, "the file is write-protected", str(path))
    target = Path(os.path.realpath(path))
    _remove_stale(target.parent)
    try:
        with _temporary(target.parent, before) as (file, name):
            _fill(file, content)
            file.flush()
            if durable and before is not None:
                os.fsync(file.fileno())
            if fcntl is None:
                file.close()  # Windows moves closed files only
            os.replace(name, target)
    except OSError as error:
        if error.errno is not None:  # otherwise str(error) is its message
            error.filename = error.filename or str(path)  # ENOSPC does not name a file
        raise
    return Path(path)


def append_line(path: str | Path, line: str) -> None:
    """Add a line to a text file; lines of several processes neither mix nor get lost.

    A last line that a killed process left without its end stays alone. Raises ValueError for a line break in `line`,
    OSError where the file cannot be written; what did not fit on the disk is taken back.
    """
    if "\n" in line or "\r" in line:
        raise ValueError(f"append_line: line must be one line, got {line!r}. Append each line by itself.")
    with open(path, "a+b", buffering=0) as file:
        _lock(file.fileno(), wait=True)
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 1))
        torn = file.read(1) not in {b"", b"\n"}
        data = b"\n" * torn + line.encode() + b"\n"
        if file.write(data) != len(data):
            file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def writable_folder(path: str | Path) -> Path:
    """Make a folder if need be and prove that a file can be written in it.

    Raises
    ------
    OSError
        With the reason, before any work is lost to it.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "must be a folder, got a file", str(path))
    path.mkdir(parents=True, exist_ok=True)
    with _temporary(path, None):
        return path


@contextlib.contextmanager
def only_writer(folder: str | Path) -> Iterator[Path]:
    """Hold a folder, so that a second process that asks for it meanwhile gets BlockingIOError (an OSError).

    Without file locks (Windows, some network file systems) nobody is refused.
    """
    if fcntl is None:
        yield Path(folder)
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        if _lock(handle, wait=False) is False:
            raise BlockingIOError(errno.EWOULDBLOCK, "another process is writing its results there", str(folder))
        yield Path(folder)
    finally:
        os.close(handle)


def _status(path: Path) -> os.stat_result | None:
    """Return what is at `path` or where its links lead, None for nothing."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _fill(file: BinaryIO, content: bytes | Callable[[BinaryIO], object]) -> None:
    if callable(content):
        content(file)
    else:
        file.write(content)


@contextlib.contextmanager
def _temporary(folder: Path, like: os.stat_result | None) -> Iterator[tuple[BinaryIO, Path]]:
    """Open a new file in `folder`, locked while it is written, with the owner and mode of the file it will replace."""
    handle, name = _create(folder, 0o666 if like is None else 0o600)
    try:
        with os.fdopen(handle, "w+b") as file:
            if like is not None:
                _adopt(name, like)
            yield file, name
    finally:
        name.unlink(missing_ok=True)


def _create(folder: Path, mode: int) -> tuple[int, Path]:
    while True:
        name = folder / f"{PREFIX}{secrets.token_hex(8)}{SUFFIX}"
        try:
            handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(folder)) from None
        _lock(handle, wait=True)
        # until it was locked, another process could take the file for a stale one and remove it
        if fcntl is None or os.fstat(handle).st_nlink:
            return handle, name
        os.close(handle)


def _adopt(name: Path, like: os.stat_result) -> None:
    # only root can give a file away; for everybody else the file becomes the writer's
    with contextlib.suppress(OSError, AttributeError):
        os.chown(name, like.st_uid, like.st_gid)
    name.chmod(stat.S_IMODE(like.st_mode))


def _remove_stale(folder: Path) -> None:
    """Remove the temporary files whose lock is free: the system frees a lock when its process ends."""
    with contextlib.suppress(OSError):
        stale = [n for n in os.listdir(folder) if n.startswith(PREFIX) and n.endswith(SUFFIX)]
        for name in stale:
            _remove_if_free(folder / name)


def _remove_if_free(name: Path) -> None:
    with contextlib.suppress(OSError):
        if fcntl is None:
            name.unlink()  # Windows refuses while a process has the file open
            return
        with open(name, "r+b") as file:
            if _lock(file.fileno(), wait=False):
                name.unlink()


def _lock(handle: int, *, wait: bool) -> bool | None:
    """Lock an open file for this process; False if another one has it, None if there are no locks here."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
