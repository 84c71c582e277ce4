"""Checks of the texts in HDF5 files that the HDF5 library (2.0.0) lacks.

Texts of variable length, as Keras's lists of names and its configuration, are in global heaps, and attributes refer to
them by length, address of the heap, and index. The library takes memory for a length before it compares it with the
heap, up to 4 GB; and it goes on through a heap by the sizes that it finds, for ever where one is 0.
HDF5 File Format Specification, version 3.0: III.E (global heaps), IV.A.2.b (dataspaces), IV.A.2.m (attributes).
"""

from __future__ import annotations

import math
import mmap
import re
import struct
from collections.abc import Iterator

HEAP = b"GCOL\x01\0\0\0"
OBJECT = struct.Struct("<HHIQ")  # index, number of references, padding, size
ATTRIBUTE = struct.Struct("<BBHHH")  # version, flags, sizes of name, datatype and dataspace
REFERENCE = struct.Struct("<IQI")  # length, address, index
NAMES = re.compile(rb"(model_config|(?:layer|weight)_names\d*)\0")
MOST_TEXTS = 1_000_000
VARIABLE = 9
"""The class of datatypes of variable length."""


def check_texts(content: bytes | mmap.mmap) -> set[str]:
    """Raise ValueError if a text cannot be read safely; return the names of the attributes whose texts can."""
    # Byte 8 is the version of the superblock, which tells where the size of a length is.
    if content[14 if content[8] < 2 else 10] != 8:
        raise ValueError("its lengths must have 8 bytes, as Keras writes them, got another number")
    _check_heaps(content)
    found = set()
    for match in NAMES.finditer(content):
        lengths = _lengths(content, match.start(), match.end() - match.start())
        if lengths is not None:
            found.add(match[1].decode())
            if max(lengths, default=0) > len(content):
                raise ValueError(f"a text must be shorter than the file, got one of {max(lengths):,} bytes")
    return found


def _check_heaps(content: bytes | mmap.mmap) -> None:
    texts, at = 0, content.find(HEAP)
    while at >= 0:
        end = min(at + int.from_bytes(content[at + 8 : at + 16], "little"), len(content))
        place = at + 16
        while place + OBJECT.size <= end:
            index, _, _, size = OBJECT.unpack_from(content, place)
            # Free space is an object of index 0, whose size is that of all its bytes.
            step = OBJECT.size + _padded(size, 8) if index else size
            texts += 1
            if not 0 < step <= end - place:
                raise ValueError(f"the texts in a heap must lie in its {end - at:,} bytes, got one of {size:,}")
            if texts > MOST_TEXTS:
                raise ValueError(f"its heaps must have at most {MOST_TEXTS:,} texts, got more")
            place += step
        at = content.find(HEAP, at + 8)


def _lengths(content: bytes | mmap.mmap, name: int, size: int) -> list[int] | None:
    """Return the lengths of an attribute's texts, None if what is at `name` is not an attribute of such texts."""
    for before, versions in ((8, (1, 2)), (9, (3,))):  # version 3 has one byte more, the encoding of the name
        if name < before:
            continue
        version, _, name_size, type_size, space_size = ATTRIBUTE.unpack_from(content, name - before)
        if version in versions and name_size == size:
            step = 8 if version == 1 else 1
            datatype = name + _padded(name_size, step)
            space = datatype + _padded(type_size, step)
            data = space + _padded(space_size, step)
            if data <= len(content) and content[datatype] & 15 == VARIABLE:
                count = math.prod(_sizes(content, space))
                return [length for length, _, _ in _references(content, data, count)]
    return None


def _sizes(content: bytes | mmap.mmap, space: int) -> list[int]:
    version, rank = content[space], content[space + 1]
    first = space + (8 if version == 1 else 4)
    return [int.from_bytes(content[first + 8 * i : first + 8 * i + 8], "little") for i in range(rank)]


def _references(content: bytes | mmap.mmap, data: int, count: int) -> Iterator[tuple[int, ...]]:
    if count > min(MOST_TEXTS, (len(content) - data) // REFERENCE.size):
        raise ValueError(f"the texts of an attribute must be in the file, got {count:,} texts")
    return REFERENCE.iter_unpack(content[data : data + count * REFERENCE.size])


def _padded(size: int, step: int) -> int:
    return -(-size // step) * step
