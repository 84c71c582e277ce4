"""One text for one configuration, and digests of data sets: what the id of a trial is made of."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from minicnn import kernels, records
from minicnn.data import Dataset

SCHEMA = 1
"""The version of what a trial does with its configuration. Trials of different versions are never mixed."""


def canonical(value: Any) -> str:
    """Return a record, or a function, as text; equal configurations have equal texts.

    A function is described by its name, its code, its defaults and the values it closes over, so that editing it gives
    another text; what it calls is not looked at. Raises TypeError for what is neither a function nor a registered
    record, as a value or closed over.

    >>> canonical(abs)
    'builtins.abs'
    """
    if inspect.isroutine(value):
        function: Any = value
        code = getattr(function, "__code__", None)
        name = f"{function.__module__}.{function.__qualname__}"
        if code is None:
            return name
        closed = [_closed(cell.cell_contents) for cell in function.__closure__ or ()]
        rest = json.dumps([repr(function.__defaults__), repr(function.__kwdefaults__), closed])
        return f"{name} {_digest(_code(code), rest.encode())[:16]}"
    return records.to_json(value)


def _closed(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.shape} {value.dtype} {_digest(np.ascontiguousarray(value).tobytes())}"
    return data_digest(value) if isinstance(value, Dataset) else canonical(value)


def _code(code: Any) -> bytes:
    """Return a function's instructions and constants; those of functions inside it, without their addresses."""
    constants = [_code(c).hex() if inspect.iscode(c) else _constant(c) for c in code.co_consts]
    instructions: bytes = code.co_code
    return instructions + json.dumps([constants, code.co_names]).encode()


def _constant(value: Any) -> str:
    # the order of a set of strings differs from one process to the next
    return repr(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)


def trial_id(configuration: Mapping[str, Any]) -> str:
    """Return the id of a trial: a digest of its configuration, which is made of plain values."""
    return _digest(json.dumps({"schema": SCHEMA, **configuration}, sort_keys=True).encode())[:32]


def data_digest(dataset: Dataset) -> str:
    """Return a digest of all images and labels of a data set, and of how they are divided."""
    digest = hashlib.sha256()
    for part in (dataset.train, dataset.valid, dataset.test):
        for array in (part.images, part.labels):
            digest.update(f"{array.shape} {array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:32]


def numerics() -> dict[str, str]:
    """Return what rounding depends on: the kernels, NumPy, and that a trial runs on one core."""
    return {"kernels": kernels.name(), "sources": kernels.digest(), "numpy": np.__version__, "threads": "1"}


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()
