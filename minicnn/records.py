"""Records as JSON: layers, initializers, optimizers and schedules are frozen dataclasses whose fields are plain values.

`to_json` writes such a value with the names of its classes and all of its fields, so that a default that changes later
does not change what was written. `from_json` builds the value again by calling constructors of registered classes
only: nothing is imported by name and no code is run from the text. A class of your own takes part once it is
registered; its constructor checks its arguments as always.

>>> from minicnn import layers
>>> text = to_json(layers.Dense(10))
>>> text[:46]
'{"Dense": {"units": 10, "use_bias": true, "ker'
>>> from_json(text)
Dense(units=10)
"""

from __future__ import annotations

import dataclasses
import json
import math
from types import SimpleNamespace
from typing import Any, TypeVar

from minicnn.hints import a_type, explained, near
from minicnn.validation import shown

T = TypeVar("T", bound=type)

DEPTH = 50
"""The deepest nesting that is read and written; nets of nets do not come near it."""
LONGEST = 2**24
"""The most characters of a text that is read: sixteen million. The nets of `models` have less than three thousand."""

_CLASSES: dict[str, type] = {}
_MUTABLE = SimpleNamespace(frozen=False)


@explained
def register(record: T) -> T:
    """Register a frozen dataclass with `to_json` and `from_json` under its class name; can be used as a decorator.

    Raises TypeError for a class that is not a frozen dataclass, ValueError for a name that another class has.

    >>> from dataclasses import dataclass
    >>> from minicnn import layers
    >>> @register
    ... @dataclass(frozen=True, repr=False)
    ... class Twice(layers.Layer):
    ...     factor: float = 2.0
    >>> from_json(to_json(Twice(3.0)))
    Twice(factor=3.0)
    """
    if not (isinstance(record, type) and getattr(record, "__dataclass_params__", _MUTABLE).frozen):
        raise TypeError(
            f"register: record must be a frozen dataclass, got {shown(record)}. Decorate the class by "
            "@dataclass(frozen=True)."
        )
    name = record.__name__
    known = _CLASSES.setdefault(name, record)
    # the same class again, or its new version after a notebook's cell has run twice
    if (known.__module__, known.__qualname__) != (record.__module__, record.__qualname__):
        raise ValueError(
            f"register: record must have a name of its own, got {name}, which is {known.__module__}.{name}. Rename it."
        )
    _CLASSES[name] = record
    return record


@explained
def to_json(value: Any) -> str:
    """Return a record, or a plain value that contains records, as JSON on one line; equal values give equal texts.

    Raises TypeError, with the place in the value, for what is neither a plain value nor a registered record.
    """
    return json.dumps(_encoded(value, type(value).__name__, 0), allow_nan=False)


@explained
def from_json(text: str) -> Any:
    """Return the value that `to_json` wrote; lists come back as tuples, as the fields of records are.

    Raises ValueError for a text that `to_json` did not write, TypeError or ValueError where a constructor refuses its
    arguments.
    """
    if not isinstance(text, str):
        raise TypeError(f"from_json: text must be a string, got {a_type(text)}.")
    if len(text) > LONGEST:
        raise ValueError(f"from_json: text must have at most {LONGEST:,} characters, got {len(text):,}.")
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"from_json: text must be JSON as to_json writes it, got {error}.") from None
    return _decoded(plain, 0)


def _encoded(value: Any, place: str, depth: int) -> Any:
    if depth > DEPTH:
        raise ValueError(f"to_json: value must be nested at most {DEPTH} levels deep, got more at {place[:100]}.")
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        # JSON has no infinity and no NaN
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, tuple | list):
        return [_encoded(each, f"{place}[{i}]", depth + 1) for i, each in enumerate(value)]
    if type(value) is dict and all(isinstance(key, str) for key in value):
        return {"dict": {key: _encoded(each, f"{place}[{key!r}]", depth + 1) for key, each in value.items()}}
    kind = type(value)
    if _CLASSES.get(kind.__name__) is not kind:
        raise TypeError(
            f"to_json: {place} must be a plain value or a registered record, got {shown(value)}. "
            "Register its class: @minicnn.register above @dataclass(frozen=True)."
        )
    fields = [field.name for field in dataclasses.fields(value) if field.init]
    return {kind.__name__: {name: _encoded(getattr(value, name), f"{place}.{name}", depth + 1) for name in fields}}


def _decoded(plain: Any, depth: int) -> Any:
    if depth > 2 * DEPTH:
        raise ValueError(f"from_json: text must be nested at most {DEPTH} records deep, got more.")
    if isinstance(plain, list):
        return tuple(_decoded(each, depth + 1) for each in plain)
    if not isinstance(plain, dict):
        return plain
    if len(plain) != 1:
        raise ValueError(f"from_json: an object must be one record by its class name, got the keys {shown([*plain])}.")
    ((name, fields),) = plain.items()
    if name == "float" and fields in {"inf", "-inf", "nan"}:
        return float(fields)
    if not isinstance(fields, dict):
        raise ValueError(f"from_json: the fields of {shown(name)} must be an object, got {shown(fields)}.")
    arguments = {key: _decoded(each, depth + 1) for key, each in fields.items()}
    return arguments if name == "dict" else _class(name)(**arguments)


def _class(name: str) -> type:
    if name not in _CLASSES:
        raise ValueError(
            f"from_json: a record must be of a known class, got {shown(name)}.{near(name, _CLASSES)} "
            "A class of your own must be registered by minicnn.register before it is read."
        )
    return _CLASSES[name]
