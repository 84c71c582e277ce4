"""Changes of good files for the fuzzers: of bytes anywhere, and of what is inside, packed again as a whole container.

A change of bytes is mostly refused by the first check of a container, such as a checksum. The others open the
container, change one value, array, entry or row in it, and close it again with sizes and checksums that are right.
"""

from __future__ import annotations

import ast
import bz2
import copy
import gzip
import io
import json
import math
import re
import sqlite3
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, TypeAlias

import h5py
import numpy as np

Change: TypeAlias = Callable[[bytes, Random], bytes]

WORDS = [b"null", b"-1", b"1e999", b"[]", b"{}", b'"a"', b"true", b"NaN", b"0", b"9" * 30, b"{" * 200, b"[[" * 90]
SIZES = [0, 1, 2**7 - 1, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1]
DTYPES = ["<f4", ">f4", "<f8", "<f2", "|b1", "|u1", "<i8", ">i2", "<c8", "<U3", "|S2", "<M8[s]", "<m8", "|V4", "|O"]


def changed(content: bytes, seeds: list[bytes], change: Change, draw: Random) -> bytes:
    """Return a changed file: one in four by bytes; what is not a container, or breaks while it is opened, always so."""
    for source in (content, draw.choice(seeds)):
        if draw.random() > 0.25:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    return change(source, draw)
            except Exception:  # noqa: S112, a damaged file, or a value that its container cannot hold
                continue
    return bytes_changed(content, seeds, draw)


# Bytes


def bytes_changed(content: bytes, others: list[bytes], draw: Random) -> bytes:
    """Return the bytes with one to four changes, mostly one: more are refused before the reader comes far."""
    made = bytearray(content)
    for _ in range(draw.choice([1, 1, 1, 2, 4])):
        at = draw.randrange(len(made) + 1)
        draw.choice(BYTES)(made, at, others, draw)
    return bytes(made)


def _bits(made: bytearray, at: int, others: list[bytes], draw: Random) -> None:
    if at < len(made):
        made[at] ^= draw.choice([1 << draw.randrange(8), draw.randrange(256)])


def _number(made: bytearray, at: int, others: list[bytes], draw: Random) -> None:
    width, order = draw.choice([1, 2, 4, 8]), draw.choice(["little", "big"])
    made[at : at + width] = (draw.choice(SIZES) % 256**width).to_bytes(width, order)


def _cut(made: bytearray, at: int, others: list[bytes], draw: Random) -> None:
    del made[at : at + draw.choice([1, 1, 4, 64, len(made)])]


def _repeat(made: bytearray, at: int, others: list[bytes], draw: Random) -> None:
    part = made[at : at + draw.choice([1, 8, 100])]
    made[at:at] = part * draw.choice([1, 2, 50])


def _splice(made: bytearray, at: int, others: list[bytes], draw: Random) -> None:
    other = draw.choice(others)
    start = draw.randrange(len(other) + 1)
    made[at : at + draw.choice([0, 10, 1000])] = other[start : start + draw.choice([4, 40, 400])]


def _word(made: bytearray, at: int, others: list[bytes], draw: Random) -> None:
    """Put another value for one of a JSON text, or anywhere."""
    found = list(re.finditer(rb"-?\d[\d.e+-]*|true|false|null|\"[^\"]{0,40}\"", made))
    first, last = draw.choice(found).span() if found else (at, at)
    made[first:last] = draw.choice(WORDS)


def _digits(made: bytearray, at: int, others: list[bytes], draw: Random) -> None:
    if found := list(re.finditer(rb"\d+", made)):
        first, last = draw.choice(found).span()
        made[first:last] = str(draw.choice([*SIZES, draw.randrange(20), -draw.randrange(20)])).encode()


BYTES = [_bits, _bits, _number, _cut, _repeat, _splice, _word, _word, _digits, _digits]


# JSON


def json_text(content: bytes, draw: Random) -> bytes:
    """Change one or two values of a JSON text."""
    value = [json.loads(content)]
    for _ in range(draw.choice([1, 1, 1, 2])):
        value_changed(value, draw)
    return json.dumps(value[0] if value else None).encode()


def value_changed(root: list[Any], draw: Random) -> None:
    """Change one value somewhere in what a list holds: lists and dicts of plain values."""
    nodes = list(_nodes(root))
    holder, key = draw.choice(nodes)
    match draw.randrange(10):
        case 0 if holder is not root:
            del holder[key]
        case 1:
            holder[key] = copy.deepcopy((other := draw.choice(nodes))[0][other[1]])
        case 2:
            holder[key] = draw.choice([[holder[key]], {"a": holder[key]}, [holder[key]] * draw.choice([2, 300])])
        case 3 if isinstance(holder, dict):
            holder[draw.choice([*holder, "", "x", "name"])] = holder.pop(key)
        case 3 | 4 if isinstance(holder, list):
            draw.shuffle(holder)
        case 5:
            for _ in range(draw.choice([5, 40, 150])):
                holder[key] = draw.choice([[holder[key]], {"a": holder[key]}])
        case _:
            holder[key] = _other(holder[key], draw)


def _nodes(holder: Any) -> Iterator[tuple[Any, Any]]:
    ahead = [holder]
    while ahead:
        holder = ahead.pop()
        for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
            yield holder, key
            if isinstance(holder[key], dict | list):
                ahead.append(holder[key])


def _other(value: Any, draw: Random) -> Any:
    """Return another value, mostly of the same kind."""
    if draw.random() < 0.2:
        return draw.choice([None, True, -1, 0, 1.5, math.inf, math.nan, "", "a", [], {}, "x" * 5000, 10**25])
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return draw.choice([value + 1, value - 1, -value, 2 * value, float(value), draw.choice(SIZES), str(value)])
    if isinstance(value, float):
        return draw.choice([-value, value * 1e30, value / 1e30, math.nan, -math.inf, int(value) if value < 9e9 else 0])
    if isinstance(value, str):
        at = draw.randrange(len(value) + 1)
        return draw.choice([value[:at], value[at:], value.upper(), value + value, f"{value[:at]}\0{value[at:]}", "/"])
    return draw.choice([0, "", None])


# Arrays


def npy(content: bytes, draw: Random) -> bytes:
    """Change dtype, shape, order or elements of an array as `np.save` writes it; the elements mostly fit the rest."""
    length = int.from_bytes(content[8:10], "little")
    header = ast.literal_eval(content[10 : 10 + length].decode())
    elements, shape, dtype = content[10 + length :], list(header["shape"]), header["descr"]
    match draw.randrange(6):
        case 0:
            dtype = draw.choice(DTYPES)
        case 1 | 2:
            shape = _shape(shape, draw)
        case 3:
            header["fortran_order"] = not header["fortran_order"]
        case _:
            elements = _elements(elements, draw)
    if draw.random() < 0.8:
        elements = _fitted(elements, math.prod(shape) * np.dtype(dtype).itemsize)
    text = repr({**header, "descr": dtype, "shape": tuple(shape)}).encode()
    return content[:8] + struct.pack("<H", len(text) + 1) + text + b"\n" + elements


def _shape(shape: list[int], draw: Random) -> list[int]:
    at = draw.randrange(len(shape) + 1)
    size = draw.choice([0, 1, 2, 3, draw.choice(SIZES), -1])
    return draw.choice([[*shape[:at], size, *shape[at:]], [*shape[:at], *shape[at + 1 :]], shape[::-1], [size], []])


def _elements(content: bytes, draw: Random) -> bytes:
    made = bytearray(content)
    for _ in range(draw.choice([1, 3, 20])):
        if len(made) >= 4:
            at = draw.randrange(len(made) // 4) * 4
            made[at : at + 4] = draw.choice(
                [b"\xff" * 4, b"\0\0\xc0\x7f", b"\0\0\x80\x7f", draw.randbytes(4), b"\0" * 4]
            )
    return bytes(made)


def _fitted(content: bytes, size: int) -> bytes:
    return (content + bytes(min(size, 2**20)))[: max(size, 0)]


def idx(content: bytes, draw: Random) -> bytes:
    """Change type, sizes or elements of a gzipped IDX file; the elements mostly fit the rest."""
    inside = gzip.decompress(content)
    kind, rank = inside[2:4]
    start = 4 + 4 * rank
    shape, elements = list(struct.unpack(f">{rank}I", inside[4:start])), inside[start:]
    match draw.randrange(4):
        case 0:
            kind = draw.choice([8, 9, 11, 12, 13, 14, draw.randrange(256)])
        case 1 | 2:
            shape = [abs(size) % 2**32 for size in _shape(shape, draw)]
        case _:
            elements = _elements(elements, draw)
    if draw.random() < 0.8:
        elements = _fitted(elements, math.prod(shape) * (4 if kind == 12 else 1))
    return gzip.compress(bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + elements, mtime=0)


def lines(content: bytes, draw: Random) -> bytes:
    """Change numbers, or leave out or repeat some, in a text that is compressed by bzip2."""
    made = bytearray(bz2.decompress(content))
    for _ in range(draw.choice([1, 1, 2, 5])):
        draw.choice([_digits, _digits, _word, _cut, _repeat])(made, draw.randrange(len(made) + 1), [], draw)
    return bz2.compress(made)


# Containers


def archive(content: bytes, draw: Random) -> bytes:
    """Change one entry of a zip archive by what it holds, or leave it out, name it otherwise, or add it twice."""
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        entries = [(info.filename, opened.read(info)) for info in opened.infolist()]
    at = draw.randrange(len(entries))
    name, inside = entries[at]
    match draw.randrange(12):
        case 0:
            del entries[at]
        case 1:
            entries[at] = draw.choice([f"{name}x", name.upper(), f"../{name}", draw.choice(entries)[0]]), inside
        case 2:
            entries.insert(at, draw.choice(entries))
        case 3:
            draw.shuffle(entries)
        case _:
            entries[at] = name, INSIDE.get(name.rpartition(".")[2], _elements)(inside, draw)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as opened:
        for name, inside in entries:
            opened.writestr(zipfile.ZipInfo(name), inside)
    return made.getvalue()


def hdf5(content: bytes, draw: Random) -> bytes:
    """Change one data set or attribute of an HDF5 file."""
    buffer = io.BytesIO(content)
    with h5py.File(buffer, "r+") as file:
        groups = [file]
        file.visititems(lambda _, found: groups.append(found))
        attributes = [(found, name) for found in groups for name in found.attrs]
        sets = [found for found in groups if isinstance(found, h5py.Dataset)]
        if attributes and draw.random() < 0.5:
            _attribute(*draw.choice(attributes), draw)
        else:
            _dataset(file, draw.choice(sets).name, draw)
    return buffer.getvalue()


def _attribute(found: Any, name: str, draw: Random) -> None:
    value = found.attrs[name]
    if isinstance(value, np.ndarray):
        texts = value.ravel().tolist()
        value_changed(texts, draw)
        value = [text if isinstance(text, str | bytes) else repr(text) for text in texts]
    elif isinstance(value, str) and value.startswith("{"):
        value = json_text(value.encode(), draw).decode()
    else:
        value = _other(value, draw)
    del found.attrs[name]
    if draw.random() < 0.95:
        found.attrs[name] = draw.choice([value, value, value, np.array(value, h5py.string_dtype())])


def _dataset(file: Any, name: str, draw: Random) -> None:
    array = file[name][()]
    if draw.random() < 0.5:  # a good array that is kept in another way
        array = np.frombuffer(_elements(array.tobytes(), draw), array.dtype).reshape(array.shape)
        how = draw.choice([{}, {"chunks": True}, {"compression": "gzip"}, {"dtype": draw.choice(DTYPES[:8])}])
    else:
        shape = [min(abs(size), 50) for size in _shape(list(array.shape), draw)]
        array, how = np.resize(array, shape), {}
    del file[name]
    match draw.randrange(12):
        case 0:
            return
        case 1:
            file[name] = h5py.SoftLink(draw.choice(["/", "/layers", name]))
        case 2:
            file.create_dataset(name, (2**40,), "<f4", chunks=(2**20,))
        case 3:
            file.create_dataset(f"{name}x", data=array)
        case 4:
            file.create_group(name)
        case _:
            file.create_dataset(name, data=array, **how)


def safetensors(content: bytes, draw: Random) -> bytes:
    """Change one array or text of a safetensors file."""
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    parts = {
        name: [part["dtype"], part["shape"], data[slice(*part["data_offsets"])]]
        for name, part in header.items()
        if name != "__metadata__"
    }
    texts = header.get("__metadata__", {})
    if texts and (draw.random() < 0.5 or not parts):
        name = draw.choice(list(texts))
        texts[name] = (
            json_text(texts[name].encode(), draw).decode() if texts[name][0] in "{[" else draw.choice(["", "{"])
        )
    elif parts:
        _tensor(parts, draw.choice(list(parts)), draw)
    made, at = {"__metadata__": texts} if texts else {}, 0
    for name, (dtype, shape, inside) in parts.items():
        made[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(inside)]}
        at += len(inside)
    text = json.dumps(made).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(inside for _, _, inside in parts.values())


WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "U8": 1, "BOOL": 1, "F8_E5M2": 1, "F4": 1, "C64": 8}


def _tensor(parts: dict[str, list[Any]], name: str, draw: Random) -> None:
    dtype, shape, inside = parts[name]
    match draw.randrange(6):
        case 0:
            parts[draw.choice([f"{name}x", name.replace(".", "/"), "1.weight", ""])] = parts.pop(name)
        case 1:
            dtype = draw.choice(list(WIDTHS))
        case 2 | 3:
            shape = [abs(size) for size in _shape(shape, draw)]
        case _:
            inside = _elements(inside, draw)
    if name in parts:
        fitted = _fitted(inside, math.prod(shape) * WIDTHS.get(dtype, 4))
        parts[name] = [dtype, shape, draw.choice([inside, fitted, fitted, fitted])]


def ledger(content: bytes, draw: Random) -> bytes:
    """Change one value in one row of an SQLite file, or leave the row out."""
    connection = sqlite3.connect(":memory:")
    connection.deserialize(content)
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    table = draw.choice([*tables, "description"])
    rows = connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608, a name that is in the file
    names = [column[1] for column in connection.execute(f"PRAGMA table_info({table})")]
    row = draw.choice(rows)
    at = draw.randrange(len(row))
    here = " AND ".join(f"{name} IS ?" for name in names)
    if draw.random() < 0.1:
        connection.execute(f"DELETE FROM {table} WHERE {here}", row)  # noqa: S608, names in the file
    else:
        new = _sql(row[at], draw)
        connection.execute(f"UPDATE OR REPLACE {table} SET {names[at]} = ? WHERE {here}", (new, *row))  # noqa: S608
    connection.commit()
    made = connection.serialize()
    connection.close()
    return made


def _sql(value: Any, draw: Random) -> Any:
    if isinstance(value, str) and value[:1] in {"{", "["} and draw.random() < 0.8:
        return json_text(value.encode(), draw).decode()
    other = draw.choice([_other(value, draw), value.encode() if isinstance(value, str) else value])
    return other if isinstance(other, str | bytes | int | float | None) else str(other)


INSIDE: dict[str, Change] = {"json": json_text, "npy": npy, "h5": hdf5}
