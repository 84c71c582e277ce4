"""Texts of variable length among the attributes of an HDF5 file: Keras's configuration and lists of names.

They are read here and not by the HDF5 library, because damaged ones make the library (2.0.0) crash, run for ever, or
take 4 GB for a length that it has not compared with anything. Only attributes of known names are looked for, in the
whole file.
HDF5 File Format Specification, version 3.0: III.E (global heaps), IV.A.2.b (dataspaces), IV.A.2.m (attributes).
"""

from __future__ import annotations

import math
import mmap
import re
import struct
from collections.abc import Iterator
from typing import TypeAlias

Content: TypeAlias = bytes | mmap.mmap

HEAP = b"GCOL\x01\0\0\0"
OBJECT = struct.Struct("<HHIQ")  # index, number of references, padding, size
ATTRIBUTE = struct.Struct("<BBHHH")  # version, flags, sizes of name, datatype and dataspace
REFERENCE = struct.Struct("<IQI")  # length, address of a heap, index in it
NAMES = re.compile(rb"(model_config|layer_names\d*)\0")
VARIABLE = 9
"""The class of datatypes of variable length."""
MOST_BYTES, MOST_TEXTS, MOST_STEPS = 2**22, 10_000, 1_000_000
"""Limits for all texts together: that of a hundred layers has a hundred thousand bytes."""


def texts(content: Content) -> dict[str, list[str]]:
    """Return the texts of variable length by the attribute's name; raise ValueError for damaged ones."""
    # Byte 8 is the version of the superblock, which tells where the size of a length is.
    if content[14 if content[8] < 2 else 10] != 8:
        raise ValueError("its lengths must have 8 bytes, as Keras writes them, got another number")
    references: dict[str, list[tuple[int, int, int]]] = {}
    for match in NAMES.finditer(content):
        found = _references(content, match.start(), match.end() - match.start())
        if found is not None and references.setdefault(match[1].decode(), found) is not found:
            raise ValueError(f"the attribute {match[1].decode()} must be there once, got two")
    every = [reference for found in references.values() for reference in found]
    if len(every) > MOST_TEXTS or sum(length for length, _, _ in every) > MOST_BYTES:
        raise ValueError(f"its texts must be at most {MOST_TEXTS:,} of {MOST_BYTES:,} bytes together, got more")
    heaps = _heaps(content, {address for length, address, _ in every if length})
    return {name: [_text(content, heaps, *at) for at in found] for name, found in references.items()}


def _references(content: Content, name: int, size: int) -> list[tuple[int, int, int]] | None:
    """Return what an attribute refers to, None if what is at `name` is not an attribute of such texts."""
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
                end = data + REFERENCE.size * min(math.prod(_sizes(content, space)), MOST_TEXTS + 1)
                return list(REFERENCE.iter_unpack(content[data:end]))
    return None


def _sizes(content: Content, space: int) -> Iterator[int]:
    version, rank = content[space], content[space + 1]
    first = space + (8 if version == 1 else 4)
    return (int.from_bytes(content[first + 8 * i : first + 8 * i + 8], "little") for i in range(rank))


def _heaps(content: Content, addresses: set[int]) -> dict[tuple[int, int], tuple[int, int]]:
    """Return place and size of each object by its heap's address and its index."""
    found: dict[tuple[int, int], tuple[int, int]] = {}
    steps = 0
    for address in addresses:
        if content[address : address + len(HEAP)] != HEAP:
            raise ValueError(f"its texts must be in heaps, got something else at {address}")
        end = min(address + int.from_bytes(content[address + 8 : address + 16], "little"), len(content))
        place = address + 16
        while place + OBJECT.size <= end and steps < MOST_STEPS:
            steps += 1
            index, _, _, size = OBJECT.unpack_from(content, place)
            if not index:  # free space, up to the end
                break
            found[address, index] = place + OBJECT.size, size
            place += OBJECT.size + _padded(size, 8)
    return found


def _text(
    content: Content, heaps: dict[tuple[int, int], tuple[int, int]], length: int, address: int, index: int
) -> str:
    if not length:
        return ""
    place, size = heaps.get((address, index), (0, -1))
    if size != length or place + size > len(content):
        raise ValueError(f"a text of {length:,} bytes must be in its heap, got {max(size, 0):,} bytes there")
    return content[place : place + size].decode()


def _padded(size: int, step: int) -> int:
    return -(-size // step) * step
