"""A check of HDF5 files that the HDF5 library lacks: a damaged heap of texts makes it run for ever.

Texts of variable length, as Keras's lists of names, are in global heaps: "GCOL", version 1, the size of the heap, then
objects, each with an index, the number of references and its size. Free space is an object of index 0 whose size is
that of all its bytes; the library (2.0.0) goes on by this size, so that it never comes to an end at 0.
HDF5 File Format Specification, version 3.0, section III.E.
"""

from __future__ import annotations

import mmap
import struct

START = b"GCOL\x01\0\0\0"
OBJECT = struct.Struct("<HHIQ")
MOST_OBJECTS = 1_000_000


def check_heaps(content: bytes | mmap.mmap) -> None:
    """Raise ValueError for a file with a heap that does not end, or with numbers of other sizes than Keras writes."""
    # Byte 8 is the version of the superblock, which tells where the size of a length is.
    if content[14 if content[8] < 2 else 10] != 8:
        raise ValueError("its lengths must have 8 bytes, as Keras writes them, got another number")
    objects, at = 0, content.find(START)
    while at >= 0:
        end = min(at + int.from_bytes(content[at + 8 : at + 16], "little"), len(content))
        place = at + 16
        while place + OBJECT.size <= end:
            index, _, _, size = OBJECT.unpack_from(content, place)
            step = OBJECT.size + -(-size // 8) * 8 if index else size
            objects += 1
            if not 0 < step <= end - place:
                raise ValueError(f"the texts in a heap must lie in its {end - at:,} bytes, got one of {size:,}")
            if objects > MOST_OBJECTS:
                raise ValueError(f"its heaps must have at most {MOST_OBJECTS:,} texts, got more")
            place += step
        at = content.find(START, at + 8)
