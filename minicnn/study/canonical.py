"""One text for one configuration, and digests of data sets: what the id of a trial is made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.train.canonical import canonical, data_digest, digest_of

__all__ = ["canonical", "data_digest", "measure_id", "numerics", "trial_id"]

SCHEMA = 2
"""The version of what a trial does with its configuration. Trials of different versions are never mixed."""


def trial_id(configuration: Mapping[str, Any]) -> str:
    """Return the id of a trial: a digest of its configuration, which is made of plain values."""
    return digest_of(json.dumps({"schema": SCHEMA, **configuration}, sort_keys=True).encode())[:32]


def measure_id(measure: Any) -> str:
    """Return the id of a measure: a digest of its text, whatever name a study gives it."""
    return digest_of(json.dumps({"schema": SCHEMA, "measure": canonical(measure)}).encode())[:16]


def numerics() -> dict[str, str]:
    """Return what rounding depends on: the kernels, NumPy, and that a trial runs on one core."""
    return {"kernels": kernels.name(), "sources": kernels.digest(), "numpy": np.__version__, "threads": "1"}
