"""Rows of features as images, their scale, and their application in blocks of equal size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import train_test_split

from minicnn.validation import integer, shown

BLOCK = 64
"""Rows that are predicted together. Every call uses blocks of this size, filled up with zeros, so that the result for a
row does not depend on how many rows are predicted with it: matrix products of other sizes round differently."""


def image_shape(rows: np.ndarray, given: Sequence[int] | None) -> tuple[int, ...]:
    """Return (H, W, C) of the images in `rows`, which are (N, features), (N, H, W) or (N, H, W, C).

    A flat row has the shape that is `given`; without one it is a square if its length is, and (1, n, 1) otherwise.

    >>> [image_shape(np.zeros((5, n)), given) for n, given in ((64, None), (10, None), (10, (2, 5)))]
    [(8, 8, 1), (1, 10, 1), (2, 5, 1)]
    """
    if rows.ndim > 4:
        raise ValueError(f"CNNClassifier: X must have 2, 3 or 4 axes, got shape {rows.shape}.")
    if rows.ndim > 2:
        return (*rows.shape[1:], 1)[:3]
    count, side = rows.shape[1], math.isqrt(rows.shape[1])
    shape = given if given is not None else ((side, side) if side * side == count else (1, count))
    if not isinstance(shape, Sequence | np.ndarray) or len(shape) not in {2, 3}:
        raise ValueError(f"CNNClassifier: image_shape must be (H, W) or (H, W, C), got {shown(shape)}.")
    shape = (*(integer("CNNClassifier", "image_shape", n, shape) for n in shape), 1)[:3]
    if math.prod(shape) != count:
        raise ValueError(
            f"CNNClassifier: image_shape must have as many elements as a row of X, {count:,}, got {shown(shape)}."
        )
    return shape


def numbers(name: str, given: Sequence[int]) -> tuple[int, ...]:
    """Return an argument with a number per convolution as a tuple."""
    if isinstance(given, str) or not isinstance(given, Sequence | np.ndarray):
        raise TypeError(f"CNNClassifier: {name} must be a tuple with a number per convolution, got {shown(given)}.")
    return tuple(given)


def as_images(rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return `rows` as images of this shape, or raise ValueError if they have another one."""
    flat = rows.ndim == 2 and rows.shape[1] == math.prod(shape)
    if not flat and (*rows.shape[1:], 1)[:3] != shape:
        raise ValueError(f"CNNClassifier: X must hold images of shape {shape}, as in fit, got shape {rows.shape}.")
    return rows.reshape(len(rows), *shape)


@dataclass(frozen=True, eq=False)
class Scale:
    """Images minus `mean`, divided by `sd`, both per channel or for all; the result is float32."""

    mean: np.ndarray
    sd: np.ndarray

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the scaled images."""
        scaled: np.ndarray = ((images - self.mean) / self.sd).astype(np.float32)
        return scaled


UNSCALED = Scale(np.zeros(1), np.ones(1))


def standard(images: np.ndarray) -> Scale:
    """Return the scale that gives each channel of these images a mean of 0 and a standard deviation of 1."""
    # float64: a sum of many float32 pixels would round
    sd = images.std(axis=(0, 1, 2), dtype=np.float64)
    return Scale(images.mean(axis=(0, 1, 2), dtype=np.float64), np.where(sd > 0, sd, 1.0))


def divided(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of two parts, with equal proportions of classes where each part can have all of them."""
    counts = np.bincount(labels)
    enough = counts.min() > 1 and len(labels) * min(fraction, 1 - fraction) >= len(counts)
    stratify = labels if enough else None
    kept, held = train_test_split(np.arange(len(labels)), test_size=fraction, random_state=seed, stratify=stratify)
    return kept, held


def by_blocks(function: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> np.ndarray:
    """Apply a function to blocks of BLOCK images, the last one filled up with zeros."""
    results = []
    for first in range(0, len(images), BLOCK):
        block = images[first : first + BLOCK]
        filled = np.zeros((BLOCK, *images.shape[1:]), images.dtype)
        filled[: len(block)] = block
        results.append(function(filled)[: len(block)])
    return np.concatenate(results)
