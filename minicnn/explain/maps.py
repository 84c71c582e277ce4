"""Which maps the window can slide over, and which element of the net the page shows at first."""

from __future__ import annotations

import numpy as np

from minicnn.explain.contract import Bench, Layer
from minicnn.explain.packing import Arrays
from minicnn.explain.step import Step
from minicnn.explain.walk import PICTURE

LARGEST = 12
"""Rows and columns of a map that the window slides over."""


def results_of(net: list[Layer], step: Step) -> list[np.ndarray | None]:
    """Return the output of each layer, (H, W, C) or (features,), None where the tape has none."""
    return [None if layer.node is None else step.nodes[layer.node].value[0] for layer in net]


def bench_of(image: np.ndarray, net: list[Layer], results: list[np.ndarray | None], arrays: Arrays) -> Bench:
    """Return what the window can slide over."""
    inputs = {"Small picture": arrays.put(PICTURE)}
    if _is_small(image):
        inputs["This image"] = arrays.put(image[..., _strongest(image), None])
    maps = {
        layer.name: [n, _strongest(value)]
        for n, (layer, value) in enumerate(zip(net, results, strict=False))
        if value is not None and _is_small(value)
    }
    return Bench(inputs, maps)


def _is_small(value: np.ndarray) -> bool:
    return value.ndim == 3 and 2 <= max(value.shape[:2]) <= LARGEST


def _strongest(value: np.ndarray) -> int:
    """Return the channel with the largest element, which is finite."""
    return int(np.where(np.isfinite(value), np.abs(value), 0).max(axis=(0, 1)).argmax())


def start_of(results: list[np.ndarray | None]) -> list[int]:
    """Return the largest element of the last feature map, NaN if there is one: it has seen much of the image."""
    maps = [(n, value) for n, value in enumerate(results) if value is not None and value.ndim == 3 and len(value) > 2]
    if not maps:
        return [0, 0, 0, 0]
    n, value = maps[-1]
    row, column, channel = np.unravel_index(value.argmax(), value.shape)
    return [n, int(channel), int(row), int(column)]
