"""Trees on disk: an uncompressed .npz with one array for each leaf, named by its path, and the structure as JSON.

NumPy reads the arrays without this module: ``np.load(path)["conv2d/kernel"]``. Nothing is pickled.
"""

from __future__ import annotations

import io
import itertools
import json
import math
import os
import re
import stat
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from minicnn.files import GIBIBYTE, atomic_write
from minicnn.hints import explained
from minicnn.validation import shown

STRUCTURE = "tree.json"
"""The entry with the structure; arrays are in entries that end in ".npy", so no leaf can have this name."""
DEPTH = 100
BITS = 2048
"""Of the longest integer: JSON has decimals, and Python may refuse to read more than 640 digits."""
HEADERS: dict[tuple[int, int], Callable[[BinaryIO], tuple[tuple[int, ...], bool, np.dtype[Any]]]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
EMPTY_ARCHIVE = 22


@explained
def save(path: str | Path, params: Any) -> Path:
    """Write a tree to one file, whole or not at all, and return its path.

    Parameters
    ----------
    path : path
        Of the file; nothing is added to its name.
    params : tree
        Dicts (keys are strings or integers), lists and tuples, nested up to 100 levels. Leaves are arrays and NumPy
        scalars of numbers, strings or dates, Python numbers (not complex ones), strings, booleans and None.

    Raises
    ------
    TypeError, ValueError
        A leaf, a key or a nesting that would not come back as it was; nothing is written then.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save(f"{folder}/state.npz", {"step": 3, "mean": [np.zeros(2), ()]})
    ...     load(path)
    {'step': 3, 'mean': [array([0., 0.]), ()]}
    """
    _check_path("save", path)
    if not isinstance(params, dict | list | tuple):
        raise ValueError(f"save: params must be a dict, list or tuple, got {_brief(params)} without a name.")
    arrays: dict[str, np.ndarray] = {}
    structure = json.dumps(_encode(params, (), arrays))
    return atomic_write(path, lambda file: _write(file, structure, arrays))


@explained
def load(path: str | Path, *, max_bytes: int = GIBIBYTE) -> Any:
    """Read a tree that `save` wrote: the same structure, and arrays equal to the bit, with their dtype and shape.

    A file of arrays alone, as `np.savez` writes it, becomes nested dicts by the slashes in the names. Nothing that
    a file claims of itself makes this need more memory than a few times its size, and nothing is unpickled.

    Raises
    ------
    ValueError
        The file is damaged or something else; the message names the path.
    OSError
        There is no such file, or it cannot be read.
    """
    _check_path("load", path)
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"load: path must be a file that `save` wrote, got {path}, which is not a regular file.")
    with open(path, "rb") as file:
        try:
            return _read(file, status.st_size)
        except _OtherFileError as other:
            raise ValueError(f"load: path must be a file that `save` wrote, got {path}, {other}") from None
        except Exception as error:  # a damaged archive can raise nearly everything
            reason = str(error) or type(error).__name__
            raise ValueError(f"load: path must be a file that `save` wrote, undamaged, got {path}: {reason}") from error


def _check_path(where: str, path: Any) -> None:
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{where}: path must be a string or a Path, got {shown(path)}.")


# Writing


def _encode(value: Any, place: tuple[Any, ...], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the structure of `value` for JSON, adding its arrays under their entries' names."""
    if len(place) > DEPTH:
        raise ValueError(
            f"save: params must be nested at most {DEPTH} levels deep and not contain itself, got {_where(place)}."
        )
    kind = type(value)
    if kind is dict:
        return {"dict": [[_key(key, place), _encode(value[key], (*place, key), arrays)] for key in value]}
    if kind is list or kind is tuple:
        return {kind.__name__: [_encode(child, (*place, i), arrays) for i, child in enumerate(value)]}
    if _is_plain(value):
        return {"value": value}
    if kind is np.ndarray or isinstance(value, np.generic):
        return {"array" if kind is np.ndarray else "scalar": _entry(np.asarray(value), place, arrays)}
    raise TypeError(
        f"save: {_where(place)} must be an array, a number, a string or None, in dicts, lists and tuples, "
        f"got {_brief(value)}. {_conversion(value)}"
    )


def _key(key: Any, place: tuple[Any, ...]) -> Any:
    if type(key) in {str, int} and _is_plain(key):
        return key
    kinds = {np.str_: "str(key)", np.integer: "int(key)"}
    fix = next((f" Use {call}, in dict(...)." for kind, call in kinds.items() if isinstance(key, kind)), "")
    raise TypeError(f"save: the keys of {_where(place)} must be strings or integers, got {shown(key)}.{fix}")


def _conversion(value: Any) -> str:
    kinds = {Mapping: "dict", list: "list", tuple: "tuple", np.ndarray: "np.asarray"}
    calls = (f"Use {call}(...), or leave it out." for kind, call in kinds.items() if isinstance(value, kind))
    return next(calls, "Convert it, or leave it out.")


def _is_plain(value: Any) -> bool:
    """Say whether JSON gives exactly this value back."""
    if type(value) is str:
        return not any("\ud800" <= character <= "\udfff" for character in value)
    if type(value) is int:
        return value.bit_length() <= BITS
    return value is None or type(value) in {bool, float}


def _entry(array: np.ndarray, place: tuple[Any, ...], arrays: dict[str, np.ndarray]) -> str:
    """Put an array under its path if that can be an entry's name and is free, else under a number."""
    if array.dtype.kind not in "biufcSUmM" or array.dtype.metadata is not None:
        raise TypeError(
            f"save: {_where(place)} must be an array of numbers, strings or dates, got dtype {array.dtype}. "
            "Store its parts, or convert it by astype."
        )
    parts = [str(key) for key in place]
    readable = all(re.fullmatch(r"[^\x00-\x1f/\\:]{1,100}", part) and part not in {".", ".."} for part in parts)
    numbered = (f"leaf {number}" for number in itertools.count(len(arrays)))
    names = itertools.chain(["/".join(parts)] if readable else [], numbered)
    name = next(name for name in names if name not in arrays)
    arrays[name] = array
    return name


def _write(file: BinaryIO, structure: str, arrays: dict[str, np.ndarray]) -> None:
    # not np.savez: a leaf could have the name of one of its parameters, and a list none at all
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo(STRUCTURE), structure)
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def _where(place: tuple[Any, ...]) -> str:
    text = "params" + "".join(f"[{key!r}]" for key in place)
    return text if len(text) <= 100 else f"{text[:60]}...{text[-37:]}"


def _brief(value: Any) -> str:
    return "one array" if type(value) is np.ndarray else f"{shown(value)} of type {type(value).__name__}"


# Reading


class _OtherFileError(Exception):
    """A file that is whole, but that `save` did not write; the message continues a sentence and has a remedy."""


def _read(file: BinaryIO, size: int) -> Any:
    if file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX:
        raise _OtherFileError("which holds one array without a name, as np.save writes it. Use np.load.")
    with zipfile.ZipFile(file) as archive:
        entries = {info.filename: info for info in archive.infolist()}
        if len(entries) < len(archive.infolist()):
            raise ValueError("two entries have the same name")
        if any(info.compress_type != zipfile.ZIP_STORED for info in entries.values()):
            fix = "Use np.savez(new, **np.load(path)), and load the new file."
            raise _OtherFileError(f"which is compressed, as np.savez_compressed writes it. {fix}")
        if sum(info.file_size for info in entries.values()) > size:
            raise ValueError("it claims more than it holds")

        def content(name: str) -> bytes:
            if name not in entries:
                raise ValueError(f"the entry {name} is missing")
            return archive.read(entries.pop(name))

        if STRUCTURE in entries:
            structure = json.loads(content(STRUCTURE))
            tree = _decode(structure, lambda name: _array(content(f"{name}.npy")))
        elif entries or size == EMPTY_ARCHIVE:
            tree = _nested({name: _array(content(f"{name}.npy")) for name in map(_array_name, list(entries))})
        else:
            raise ValueError("it has no entries")
        if entries:
            raise ValueError(f"{', '.join(entries)}: not in the structure")
        return tree


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
        raise _OtherFileError(
            "which has an array of objects, as np.savez writes it. They are pickles, which are not read "
            "(allow_pickle=False). Use arrays of numbers or strings."
        )
    left = len(content) - file.tell()
    if math.prod(shape) * dtype.itemsize != left:
        raise ValueError(f"an array claims shape {shape} of {dtype}, but {left} bytes are there")
    file.seek(0)
    array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _decode(node: Any, array: Callable[[str], np.ndarray]) -> Any:
    """Return the tree of a structure; `array` gives the array of an entry."""
    match node:
        case {"dict": [*pairs], **rest} if not rest:
            tree = {key: _decode(child, array) for key, child in pairs}
            if len(tree) == len(pairs) and all(type(key) in {str, int} for key in tree):
                return tree
        case {"list": [*children], **rest} if not rest:
            return [_decode(child, array) for child in children]
        case {"tuple": [*children], **rest} if not rest:
            return tuple(_decode(child, array) for child in children)
        case {"array": str(name), **rest} if not rest:
            return array(name)
        case {"scalar": str(name), **rest} if not rest:
            return array(name)[()]
        case {"value": None | bool() | int() | float() | str() as value, **rest} if not rest:
            return value
    raise ValueError(f"the structure has {json.dumps(node):.60}")


def _nested(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for name, array in arrays.items():
        *folders, last = name.split("/")
        place: Any = params
        for folder in folders:
            place = place.setdefault(folder, {})
            if not isinstance(place, dict):
                break
        if not isinstance(place, dict) or last in place:
            raise _OtherFileError(
                f"whose names cannot become nested dicts: at {shown(name)} there are a leaf and a folder. "
                "Use np.load, and np.savez with other names."
            )
        place[last] = array
    return params
