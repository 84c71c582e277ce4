"""Values of the contract as JSON, and arrays as text, each of them once."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import math
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.explain.contract import Id, Layer, Packed

Compute = Callable[..., np.ndarray]
MOST_ELEMENTS = 2**18
"""Of one array of a page: a million bytes."""


class Arrays:
    """The arrays of a page by their ids, in the order in which they were first put in."""

    def __init__(self) -> None:
        self.packed: dict[Id, Packed] = {}
        self._values: dict[Id, np.ndarray] = {}

    def put(self, array: Any, what: str = "an array") -> Id:
        """Keep an array as float32 and return its id; raise ValueError if it is too large."""
        values = np.ascontiguousarray(array, dtype="<f4")
        if values.size > MOST_ELEMENTS:
            fix = "Use a smaller image, or draw=False if it is a parameter."
            raise ValueError(
                f"page: {what} must have at most {MOST_ELEMENTS:,} elements, got {values.size:,} of shape "
                f"{values.shape}. {fix}"
            )
        # NaNs differ in bits that mean nothing; np.asarray keeps the shape (), which ascontiguousarray makes (1,).
        shape = list(np.shape(array))
        data = values.tobytes()
        name = hashlib.sha256("x".join(map(str, shape)).encode() + data).hexdigest()[:12]
        if name not in self.packed:
            self.packed[name] = Packed(shape, compressed(data))
            self._values[name] = values.reshape(shape)
        return name

    def put_if_small(self, array: Any) -> Id | None:
        """Keep an array, or return None if it is too large."""
        return None if np.size(array) > MOST_ELEMENTS else self.put(array)

    def derive(self, target: Id, rule: str, layer: Layer, sources: list[Id], compute: Compute) -> None:
        """Tell an array as a rule and the difference of its bits from what the rule gives, if that takes less room."""
        packed = self.packed[target]
        if packed.rule or target in sources or any(target in self._behind(source) for source in sources):
            return
        found = compute(layer, *(self._values[source] for source in sources)).astype("<f4").reshape(packed.shape)
        if not np.isfinite(found).all():  # the bits of a NaN are not defined
            return
        difference = self._values[target].view("<i4") - found.view("<i4")
        z = compressed(difference.tobytes()) if difference.any() else ""
        short = Packed(packed.shape, z, [rule, layer.name, *sources])
        if len(str(short)) < len(str(packed)):
            self.packed[target] = short

    def _behind(self, name: Id) -> set[Id]:
        """Return the arrays that an array is computed from."""
        sources = (self.packed[name].rule or [])[2:]
        return {*sources, *(each for source in sources for each in self._behind(source))}


def compressed(data: bytes) -> str:
    """Return bytes as zlib's stream in base 64."""
    return base64.b64encode(zlib.compress(data, 9)).decode()


def unpack(packed: Packed) -> np.ndarray:
    """Return an array that is not told as a rule.

    >>> arrays = Arrays()
    >>> unpack(arrays.packed[arrays.put(np.eye(2))])
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    """
    return expanded(packed, "<f4")


def expanded(packed: Packed, kind: str) -> np.ndarray:
    """Return what `Packed.z` holds as numbers of a dtype."""
    data = zlib.decompress(base64.b64decode(packed.z))
    return np.frombuffer(data, kind).reshape(packed.shape)


def short(value: Any) -> float:
    """Return a number with nine digits, which is enough to tell every float32 from its neighbours.

    >>> short(np.float32(0.1)), float(np.float32(0.1))
    (0.100000001, 0.10000000149011612)
    """
    return float(f"{value:.9g}")


def plain(value: Any) -> Any:
    """Return a value of the contract as JSON's own types.

    >>> from minicnn.explain.contract import Check
    >>> plain(Check([0, 1], float("nan"), -0.5, 0.001, value=2.0))
    {'cell': [0, 1], 'exact': 'nan', 'numeric': -0.5, 'h': 0.001, 'smooth': True, 'value': 2.0}
    """
    if dataclasses.is_dataclass(value):
        pairs = ((f.name.rstrip("_"), getattr(value, f.name)) for f in dataclasses.fields(value))
        found = {name: plain(item) for name, item in pairs if item is not None and name != "options"}
        # What the contract names wins over an option of a user's layer that has the same name.
        return {**plain(getattr(value, "options", {})), **found}
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value


def json_text(value: Any) -> str:
    r"""Return a value of the contract as JSON that HTML can contain: no "<" ends the script that it stands in.

    >>> json_text({"title": "</script>"})
    '{"title":"\\u003c/script>"}'
    """
    text = json.dumps(plain(value), separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")
