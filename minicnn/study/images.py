"""Where the images of a study come from, and how its replicates divide them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from minicnn import data
from minicnn.data import Dataset, Split
from minicnn.validation import shown

Source: TypeAlias = str | Dataset | Callable[[int], Dataset]


def base(source: Source, seed: int) -> Dataset:
    """Return the data set of a source: a name, a data set, or a function of the seed."""
    if isinstance(source, str):
        return data.load(source, seed=seed)
    found = source if isinstance(source, Dataset) else source(seed) if callable(source) else source
    if not isinstance(found, Dataset):
        raise TypeError(
            f"Study: data must be a name, a data.Dataset or a function seed -> data.Dataset, got {shown(found)}."
        )
    return found


def pooled(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the images and labels of all parts of a data set."""
    return joined(dataset.train, dataset.valid, dataset.test)


def joined(*parts: Split) -> tuple[np.ndarray, np.ndarray]:
    """Return the images and labels of some parts of a data set."""
    return np.concatenate([p.images for p in parts]), np.concatenate([p.labels for p in parts])


def divided(whole: Dataset, images: np.ndarray, labels: np.ndarray, *indices: np.ndarray) -> Dataset:
    """Return a data set of the images at the indices of training, validation and test images."""
    train, valid, test = (Split(images[at], labels[at]) for at in indices)
    return Dataset(name=whole.name, train=train, valid=valid, test=test, classes=whole.classes)
