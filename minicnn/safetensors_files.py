"""Files in the format of safetensors, read and written by its package; the header is checked before it is read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.files import FileFormatError, atomic_write, check_size
from minicnn.optional import need

LONGEST_HEADER = 2**23
DTYPES = {"BOOL", "U8", "U16", "U32", "U64", "I8", "I16", "I32", "I64", "F16", "F32", "F64"}
"""The names of the dtypes that are written, too."""


@contextlib.contextmanager
def opened(where: str, wanted: str, path: Path, max_bytes: int) -> Iterator[Any]:
    """Open a file for the package's `keys`, `metadata` and `get_tensor`; a damaged one raises FileFormatError.

    The package compares what the header claims with the size of the file before anything is allocated.
    """
    check_size(where, wanted, path, max_bytes)
    safetensors = need("safetensors", "interop")
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > min(LONGEST_HEADER, path.stat().st_size):
        raise FileFormatError(where, wanted, path, f"it claims a header of {length:,} bytes")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            yield file
    except safetensors.SafetensorError as error:
        raise FileFormatError(where, wanted, path, str(error)) from None


def tensor(file: Any, name: str) -> np.ndarray:
    """Return an array of an open file; raise ValueError for bfloat16 and others that NumPy does not have."""
    if (dtype := file.get_slice(name).get_dtype()) not in DTYPES:
        raise ValueError(f"{name} has dtype {dtype}, which NumPy does not have. Save float32, in PyTorch by .float()")
    return np.array(file.get_tensor(name))


def write(path: str | Path, arrays: Mapping[str, np.ndarray], metadata: dict[str, str]) -> Path:
    """Write arrays and texts, completely or not at all."""
    # the package would write the memory of a transposed array, not its elements in their order
    ordered = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    return atomic_write(path, need("safetensors.numpy", "interop").save(ordered, metadata), durable=True)


def is_supported(dtype: np.dtype[Any]) -> bool:
    """Say whether the format has a dtype: booleans, integers and floats of up to 64 bits, little-endian."""
    return dtype.kind in "biuf" and dtype.itemsize <= 8 and dtype == dtype.newbyteorder("<")
