"""A tree as JSON and arrays: its structure with Python's types, and one array for each leaf of NumPy.

`encode` refuses what would not come back as it was, and `decode` refuses what `encode` does not write.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minicnn.train import npz
from minicnn.validation import shown

DEPTH = 100
BITS = 2048
"""Of the longest integer: JSON has decimals, and Python may refuse to read more than 640 digits."""


def encode(value: Any, place: tuple[Any, ...], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the structure of `value` for JSON, adding its arrays under their entries' names."""
    if len(place) > DEPTH:
        raise ValueError(
            f"save: params must be nested at most {DEPTH} levels deep and not contain itself, got {_where(place)}."
        )
    kind = type(value)
    if kind is dict:
        return {"dict": [[_key(key, place), encode(value[key], (*place, key), arrays)] for key in value]}
    if kind is list or kind is tuple:
        return {kind.__name__: [encode(child, (*place, i), arrays) for i, child in enumerate(value)]}
    if _is_plain(value):
        return {"value": value}
    if kind is np.ndarray or isinstance(value, np.generic):
        return {"array" if kind is np.ndarray else "scalar": _entry(np.asarray(value), place, arrays)}
    raise TypeError(
        f"save: {_where(place)} must be an array, a number, a string or None, in dicts, lists and tuples, "
        f"got {brief(value)}. {_conversion(value)}"
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
    if array.dtype.kind not in npz.KINDS or array.dtype.metadata is not None:
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


def decode(node: Any, array: Callable[[str], np.ndarray]) -> Any:
    """Return the tree of a structure; `array` gives the array of an entry."""
    match node:
        case {"dict": [*pairs], **rest} if not rest:
            tree = {key: decode(child, array) for key, child in pairs}
            if len(tree) == len(pairs) and all(type(key) in {str, int} for key in tree):
                return tree
        case {"list": [*children], **rest} if not rest:
            return [decode(child, array) for child in children]
        case {"tuple": [*children], **rest} if not rest:
            return tuple(decode(child, array) for child in children)
        case {"array": str(name), **rest} if not rest:
            return array(name)
        case {"scalar": str(name), **rest} if not rest:
            return array(name)[()]
        case {"value": None | bool() | int() | float() | str() as value, **rest} if not rest:
            return value
    start = "".join(itertools.islice(json.JSONEncoder().iterencode(node), 20))  # all of it could be millions
    raise ValueError(f"the structure has {start:.60}")


def _where(place: tuple[Any, ...]) -> str:
    text = "params" + "".join(f"[{key!r}]" for key in place)
    return text if len(text) <= 100 else f"{text[:60]}...{text[-37:]}"


def brief(value: Any) -> str:
    """Return a value that cannot be stored as an error shows it."""
    return "one array" if type(value) is np.ndarray else f"{shown(value)} of type {type(value).__name__}"
