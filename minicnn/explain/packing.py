"""Values of the contract as JSON, and arrays as text."""

from __future__ import annotations

import dataclasses
import math
from typing import Any


def plain(value: Any) -> Any:
    """Return a value of the contract as JSON's own types.

    >>> from minicnn.explain.contract import Check
    >>> plain(Check([0, 1], float("nan"), -0.5, 0.001))
    {'cell': [0, 1], 'exact': 'nan', 'numeric': -0.5, 'h': 0.001}
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
