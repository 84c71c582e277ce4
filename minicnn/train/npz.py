"""Archives of arrays and short texts, as `np.savez` writes them but for the texts; nothing in them is believed."""

from __future__ import annotations

import contextlib
import io
import math
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

HEADERS: dict[tuple[int, int], Callable[[BinaryIO], tuple[tuple[int, ...], bool, np.dtype[Any]]]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
KINDS = "biufcSUmM"
"""The kinds of dtypes that are written and read: numbers, strings and dates."""
EMPTY_ARCHIVE = 22
MOST_ARRAYS = 60_000
"""A directory of more entries needs another form, and memory before anything is known of them."""
LONGEST_TEXT = 2**22
"""JSON takes up to thirty times its length in memory."""


class OtherFileError(Exception):
    """A file that is whole, but that `save` did not write; the message has a remedy."""


@dataclass(frozen=True)
class Content:
    """What is in a file: texts and the names of arrays, which are read one by one."""

    texts: Mapping[str, str]
    names: list[str]
    array: Callable[[str], np.ndarray]


def write(file: BinaryIO, texts: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> None:
    """Write an uncompressed archive, the texts in entries that end in ".json"."""
    # not np.savez: a leaf could have the name of one of its parameters, and a list none at all
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in texts.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.json"), text)
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def check_amount(texts: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError for what `opened` would refuse."""
    for text in texts.values():
        if len(text) > LONGEST_TEXT:
            raise ValueError(
                f"save: the structure must have at most {LONGEST_TEXT:,} characters as JSON, got {len(text):,}. "
                "Put numbers into arrays."
            )
    if len(arrays) > MOST_ARRAYS:
        raise ValueError(f"save: params must have at most {MOST_ARRAYS:,} arrays, got {len(arrays):,}.")


@contextlib.contextmanager
def opened(path: Path, known: tuple[str, ...]) -> Iterator[Content]:
    """Open an archive whose texts have known names; all sizes are compared with that of the file."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        if file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX:
            raise OtherFileError("it holds one array without a name, as np.save writes it. Use np.load.")
        _check_directory(file, size)
        with zipfile.ZipFile(file) as archive:
            entries = _entries(archive, size)
            texts = {}
            for name in known:
                if (info := entries.pop(f"{name}.json", None)) is not None:
                    if info.file_size > LONGEST_TEXT:
                        raise ValueError(f"{info.filename} has {info.file_size:,} bytes")
                    texts[name] = archive.read(info).decode()
            if not entries and not texts and size != EMPTY_ARCHIVE:
                raise ValueError("it has no entries")
            names = [_array_name(entry) for entry in entries]
            yield Content(texts, names, lambda name: _array(archive.read(entries[f"{name}.npy"])))


def _check_directory(file: BinaryIO, size: int) -> None:
    """Raise ValueError for a list of more entries than `write` makes, before it is read."""
    start = file.seek(max(0, size - 2**16 - EMPTY_ARCHIVE))
    end = file.read()
    place = end.rfind(b"PK\x05\x06")
    if start + place + EMPTY_ARCHIVE <= size and place >= 0:
        count = int.from_bytes(end[place + 10 : place + 12], "little")
        if count > MOST_ARRAYS + 10:
            raise ValueError(f"it has more than {MOST_ARRAYS:,} entries")
    file.seek(0)


def _entries(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    entries = {info.filename: info for info in archive.infolist()}
    if len(entries) < len(archive.infolist()):
        raise ValueError("two entries have the same name")
    if any(info.compress_type != zipfile.ZIP_STORED for info in entries.values()):
        fix = "Use np.savez(new, **np.load(path)), and load the new file."
        raise OtherFileError(f"it is compressed, as np.savez_compressed writes it. {fix}")
    if sum(info.file_size for info in entries.values()) > size:
        raise ValueError("it claims more than it holds")
    return entries


def _array_name(entry: str) -> str:
    name, ending = entry[:-4], entry[-4:]
    if ending != ".npy":
        raise ValueError(f"the entry {entry} is not an array")
    return name


def _array(content: bytes) -> np.ndarray:
    """Return the array of a .npy file; what its header claims is compared with what is there, then allocated."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version not in HEADERS:
        raise ValueError(f".npy version {version} is not known")
    shape, _, dtype = HEADERS[version](file)
    if dtype.hasobject:
        raise OtherFileError(
            "it has an array of objects, as np.savez writes it. They are pickles, which are not read "
            "(allow_pickle=False). Use arrays of numbers or strings."
        )
    if dtype.kind not in KINDS:
        raise OtherFileError(f"it has an array of {dtype}: neither numbers, strings nor dates. Use np.load.")
    left = len(content) - file.tell()
    if math.prod(shape) * dtype.itemsize != left:
        raise ValueError(f"an array claims shape {shape} of {dtype}, but {left} bytes are there")
    file.seek(0)
    array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
    if dtype.kind == "U":
        points = np.frombuffer(content, np.dtype("u4").newbyteorder(dtype.byteorder), offset=len(content) - left)
        if points.max(initial=0) > sys.maxunicode:
            raise ValueError("a string has a character that does not exist")
    return array
