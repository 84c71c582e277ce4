"""The published files: found or downloaded, verified, and read.

A file is used only if its MD5 is the published one; the checksum is taken of the very bytes that are then parsed.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import logging
import math
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.files import GIBIBYTE, FileFormatError, check_size

MOST_AXES = 8
MOST_PACKED = 100
"""How many times its size a gzip file may become; those of MNIST become at most eight times as large."""
WANTED = "a whole gzipped IDX file"
TIMEOUT = 30
"""Seconds without a byte after which a download ends."""
MOST_DOWNLOADED = 2**28
"""Bytes of a file that is downloaded: ten times as many as the largest of the published ones."""
TYPES: dict[bytes, np.dtype[Any]] = {b"\x08": np.dtype("u1"), b"\x0c": np.dtype(">i4")}
"""The types of values that the published files have, by their code in the header."""


def places(root: str | os.PathLike[str] | None = None) -> Iterator[Path]:
    """Yield the folders that may hold a folder for each data set, in search order; the last is the user's cache."""
    import pooch

    for place in (root, os.environ.get("MINICNN_DATASETS"), "datasets", pooch.os_cache("minicnn")):
        if place:
            yield _expanded(Path(place))


def _expanded(place: Path) -> Path:
    try:
        return place.expanduser()
    except RuntimeError as error:  # "~name" of a user that is not known
        raise ValueError(f"load: root must be a folder that can be found, got {place}: {error}") from None


def find(file: str, folders: list[Path]) -> Path | None:
    """Return the path of `file` in the first of `folders` that has it."""
    return next((folder / file for folder in folders if (folder / file).is_file()), None)


def download(url: str, md5: str, folder: Path) -> Path:
    """Download into `folder` with a progress bar; the file gets its name only after its MD5 was compared.

    Raises ValueError if the MD5 differs, OSError for everything that can go wrong on the way: no answer for half a
    minute, a connection that is cut, or more than MOST_DOWNLOADED bytes.
    """
    import pooch

    file, created = url.rpartition("/")[2], [place for place in (folder, *folder.parents) if not place.exists()]
    downloader = pooch.HTTPDownloader(progressbar=_limited_bar(file), timeout=TIMEOUT)
    try:
        with _without_log(pooch.get_logger()):
            return Path(pooch.retrieve(url, f"md5:{md5}", fname=file, path=folder, downloader=downloader))
    except OSError as error:
        raise OSError(
            f"load: {url} could not be downloaded into {folder}: {_reason(error)}. Nothing was kept. "
            f"Try again, or get {file} by other means and put it there."
        ) from error
    except ValueError as error:
        raise ValueError(
            f"load: {url} gave another file than the published one, which was not kept: {error}"
        ) from error
    finally:
        for place in created:  # the innermost first; a folder with a file in it stays
            with contextlib.suppress(OSError):
                place.rmdir()


@contextlib.contextmanager
def _without_log(log: logging.Logger) -> Iterator[None]:
    """Suppress what pooch writes to stderr, which the bar and the error say, too."""
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)


def _reason(error: OSError) -> str:
    """Return why there was no connection, without the addresses that requests and urllib3 put around it."""
    cause = getattr(error.args[0], "reason", None) or error if error.args else error
    return str(cause).rpartition("): ")[2].rstrip(".")


def _limited_bar(file: str) -> Any:
    """Return a progress bar that ends a download which has no end: it is the one thing that sees all bytes pass."""
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        def __bool__(self) -> bool:  # pooch asks before it knows the size, when tqdm has no answer
            return True

        def update(self, n: float | None = 1) -> bool | None:
            if self.n + (n or 0) > MOST_DOWNLOADED:
                raise OSError(f"the server sends more than {MOST_DOWNLOADED:,} bytes")
            shown: bool | None = super().update(n)
            return shown

    return Bar(desc=file, unit="B", unit_scale=True, dynamic_ncols=True, delay=1e-9)  # nothing before the first bytes


def read(path: Path, md5: str, *, max_bytes: int = GIBIBYTE) -> np.ndarray:
    """Return the array in a gzipped IDX file, after comparing the file's MD5.

    Raises FileFormatError, a ValueError, if the MD5 is another one (the file was truncated or altered), the content of
    another kind, or more than `max_bytes`.
    """
    content = verified(path, md5, WANTED, max_bytes)
    try:
        return parse_idx(_unzipped(path, content, max_bytes), str(path))
    except (OSError, EOFError, zlib.error, ValueError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError("load", WANTED, path, str(error)) from error


def verified(path: Path, md5: str, wanted: str, max_bytes: int) -> bytes:
    """Return the content of a file, or raise FileFormatError if its MD5 is not the published one."""
    check_size("load", wanted, path, max_bytes)
    content = path.read_bytes()
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise FileFormatError(
            "load",
            wanted,
            path,
            f"it is truncated or altered: the MD5 of its {len(content):,} bytes is {found}, that of the published file "
            f"is {md5}. Delete it, and load downloads it again; or put a good copy there.",
        )
    return content


def _unzipped(path: Path, content: bytes, max_bytes: int) -> bytes:
    """Return what is in a gzip file; its header says how much that is, and memory is taken for no more."""
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        head = file.read(4)
        head += file.read(4 * sum(head[3:]))  # the fourth byte is the rank
        sizes = np.frombuffer(head[4 : len(head) // 4 * 4], ">u4").tolist()
        claim = math.prod(sizes) * TYPES.get(head[2:3], np.dtype("u1")).itemsize
        if claim > min(max_bytes, MOST_PACKED * len(content) + 2**20):
            reason = f"it claims {sizes}, which is {claim:,} bytes, in a file of {len(content):,}"
            raise FileFormatError("load", WANTED, path, reason)
        return head + file.read(claim + 1)


def parse_idx(content: bytes, who: str) -> np.ndarray:
    """Return the array that an IDX file (not gzipped any more) holds.

    The format: two zero bytes, 8 for unsigned bytes or 12 for big-endian 32-bit integers, the rank, each size as a
    big-endian 32-bit integer, the values.
    Raises ValueError, naming `who`, if the content is anything else.

    Examples
    --------
    >>> parse_idx(bytes([0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 7, 8, 9]), "three.idx")
    array([[7, 8, 9]], dtype=uint8)
    """
    if content[:2] != b"\0\0" or content[2:3] not in TYPES or len(content) < 4:
        raise ValueError(
            f"{who}: an IDX file of unsigned bytes starts with 00 00 08 and its rank, one of integers with 00 00 0c, "
            f"this one with {content[:4].hex(' ') or 'nothing'}"
        )
    kind = TYPES[content[2:3]]
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise ValueError(f"{who}: {len(content)} bytes do not hold the {start}-byte header of rank {content[3]}")
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    # NumPy refuses these in words that do not name the file, even where a size is 0
    if len(shape) > MOST_AXES or math.prod(max(size, 1) for size in shape) >= 2**62:
        raise ValueError(f"{who}: the header must have up to {MOST_AXES} sizes that can be meant, got {shape[:9]}")
    size = math.prod(shape) * kind.itemsize
    if len(content) != start + size:
        raise ValueError(f"{who}: the header promises {shape}, which is {size} bytes; {len(content) - start} follow it")
    return np.frombuffer(content, kind, offset=start).reshape(shape)
