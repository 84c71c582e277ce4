"""What moving the images by a few pixels does to the answers of a net."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minicnn import train
from minicnn.explain.contract import Real, Shift
from minicnn.study.transforms import shift

RANGE = 3
MOST_IMAGES = 500

Table = list[list[Real]]


def shift_tables(nets: Mapping[str, tuple[Any, Any]], images: np.ndarray, labels: np.ndarray) -> Shift:
    """Return accuracy and consistency of each net for shifts of -3 to 3 pixels of images (N, H, W, C)."""
    tables = {name: _tables(*pair, images, labels) for name, pair in nets.items()}
    consistency, accuracy = ({name: pair[k] for name, pair in tables.items()} for k in (0, 1))
    return Shift(RANGE, len(images), consistency, accuracy)


def _tables(net: Any, params: Any, images: np.ndarray, labels: np.ndarray) -> tuple[Table, Table]:
    moves = range(-RANGE, RANGE + 1)
    answers = {(i, j): _answers(net, params, shift(images, i, j)) for i in moves for j in moves}
    both = [[[_share(answers[i, j], right) for j in moves] for i in moves] for right in (answers[0, 0], labels)]
    return both[0], both[1]  # type: ignore[return-value]


def _answers(net: Any, params: Any, images: np.ndarray) -> np.ndarray:
    answers: np.ndarray = train.predict(net, params, images).argmax(axis=1)
    return answers


def _share(answers: np.ndarray, right: np.ndarray) -> float:
    return float(np.mean(answers == right))
