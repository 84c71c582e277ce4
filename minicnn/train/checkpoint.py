"""Parameters on disk: a NumPy .npz with one array a leaf, named by its path. No pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from minicnn import tree
from minicnn.files import atomic_write


def save(path: str | Path, params: Any) -> Path:
    """Write a tree of dicts of arrays; names must not contain a slash."""
    leaves = dict(tree.items(params))
    if not all(leaves):
        raise ValueError("save: the parameters are one array without a name. Use a dict of arrays.")
    return atomic_write(path, lambda file: np.savez(file, **leaves))


def load(path: str | Path) -> dict[str, Any]:
    """Read a tree that `save` wrote, in the order in which it was written."""
    params: dict[str, Any] = {}
    with np.load(path, allow_pickle=False) as file:
        for name in file.files:
            *folders, last = name.split("/")
            place = params
            for folder in folders:
                place = place.setdefault(folder, {})
            place[last] = file[name]
    return params
