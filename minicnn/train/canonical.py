"""One text for one configuration: records, functions and data sets, the same in every process."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
import re
from typing import Any

import numpy as np

from minicnn import records
from minicnn.data import Dataset


def canonical(value: Any) -> str:
    """Return a record, or a function, as text; equal configurations have equal texts.

    A function is described by its name, its code, its defaults, the values it closes over and the object it is bound
    to; a class of your own by its fields and the code of its methods: editing one gives another text. The functions
    that they call and global variables are not looked at. Raises TypeError for what is neither a function nor a
    registered record, as a value or closed over.

    >>> canonical(abs)
    'builtins.abs'
    """
    if isinstance(value, functools.partial):
        return json.dumps([canonical(value.func), *map(_closed, [value.args, value.keywords])])
    if inspect.isroutine(value):
        function: Any = value
        code = getattr(function, "__code__", None)
        name = f"{function.__module__}.{function.__qualname__}"
        if code is None:
            return name
        bound = [function.__self__] if inspect.ismethod(function) else []
        closed = [_closed(each) for each in (*bound, *(cell.cell_contents for cell in function.__closure__ or ()))]
        rest = json.dumps([_defaults(function.__defaults__), _defaults(function.__kwdefaults__), closed])
        return f"{name} {digest_of(_code(code), rest.encode())[:16]}"
    text, methods = records.to_json(value), sorted(_own_methods(value))
    return text if not methods else f"{text} {digest_of(*methods)[:16]}"


def _own_methods(value: Any) -> set[bytes]:
    """Return the code of the methods of all classes in a record that are not minicnn's, whose version has an id."""
    if isinstance(value, tuple | list):
        return set().union(*map(_own_methods, value))
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return set()
    kind = type(value)
    found = set().union(*(_own_methods(getattr(value, f.name)) for f in dataclasses.fields(value)))
    if not kind.__module__.startswith("minicnn."):
        functions = {name: inspect.unwrap(f) for name, f in vars(kind).items() if inspect.isfunction(f)}
        found |= {name.encode() + _code(f.__code__) for name, f in functions.items()}
    return found


def _defaults(values: Any) -> str:
    """Return defaults as text. The representation of a function has its address, that of an array not all values."""
    if isinstance(values, dict):
        return without_addresses({name: _default(value) for name, value in values.items()})
    return without_addresses(values and tuple(map(_default, values)))


def _default(value: Any) -> Any:
    told = inspect.isroutine(value) or isinstance(value, functools.partial | np.ndarray | Dataset)
    return _closed(value) if told else value


def _closed(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.shape} {value.dtype} {digest_of(np.ascontiguousarray(value).tobytes())}"
    return data_digest(value) if isinstance(value, Dataset) else canonical(value)


def _code(code: Any) -> bytes:
    """Return a function's instructions and constants; those of functions inside it, without their addresses."""
    constants = [_code(c).hex() if inspect.iscode(c) else _constant(c) for c in code.co_consts]
    instructions: bytes = code.co_code
    return instructions + json.dumps([constants, code.co_names]).encode()


def _constant(value: Any) -> str:
    # the order of a set of strings differs from one process to the next
    return repr(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)


def data_digest(dataset: Dataset) -> str:
    """Return a digest of all images and labels of a data set, and of how they are divided."""
    digest = hashlib.sha256()
    for part in (dataset.train, dataset.valid, dataset.test):
        for array in (part.images, part.labels):
            digest.update(f"{array.shape} {array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:32]


def without_addresses(value: Any) -> str:
    """Return the `repr` of a value without the places in memory that some have in it."""
    return re.sub(" at 0x[0-9a-fA-F]+", "", repr(value))


def digest_of(*parts: bytes) -> str:
    """Return the SHA-256 of some parts as text."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()
