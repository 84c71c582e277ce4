"""Data sets by name, split into stratified training, validation and test sets."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from minicnn import hints, validation
from minicnn.data import idx, svmlight
from minicnn.data.sources import SOURCES, Source
from minicnn.data.split import Split
from minicnn.notebook import html_table

MOST_CLASSES = 30
"""Of the table of a data set in a notebook."""


@hints.frozen(repr=False)
class Dataset:
    """What `load` returns: three splits that share no image, and the names of the classes."""

    name: str
    train: Split
    valid: Split
    test: Split
    classes: tuple[str, ...]

    def __iter__(self) -> NoReturn:
        raise TypeError(
            "Dataset: the splits must be accessed by name, got iteration. "
            "Use .train, .valid and .test, each with .images and .labels."
        )

    def __repr__(self) -> str:
        sizes = ", ".join(f"{part} {len(getattr(self, part)):,}" for part in ("train", "valid", "test"))
        size = "x".join(map(str, self.train.images.shape[1:]))
        return f"Dataset({self.name!r}: {sizes} images of {size}, {len(self.classes)} classes)"

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows: how many images of each class the splits have."""
        parts = {"train": self.train, "valid": self.valid, "test": self.test}
        counts = [np.bincount(part.labels, minlength=len(self.classes)) for part in parts.values()]
        rows = [(name, *(f"{count[k]:,}" for count in counts)) for k, name in enumerate(self.classes[:MOST_CLASSES])]
        rows += [("...", "", "", "")] * (len(self.classes) > MOST_CLASSES)
        rows.append(("all", *(f"{len(part):,}" for part in parts.values())))
        return html_table((f"{self.name}: class", *parts), rows)


@hints.explained
def load(
    name: str,
    *,
    seed: int = 0,
    valid: float = 0.1,
    test: float | None = None,
    root: str | os.PathLike[str] | None = None,
    download: bool = True,
) -> Dataset:
    """Load a data set in three stratified splits.

    Parameters
    ----------
    name : str
        "digits" (1,797 images of 8x8x1), "mnist", "fashion-mnist" or "kmnist" (60,000 + 10,000 images of 28x28x1),
        "qmnist" (60,000 + 60,000) or "usps" (7,291 + 2,007 images of 16x16x1).
    seed : int
        Decides which image belongs to which split, and the order within a split: `train[:n]` is a random subset.
    valid, test : float
        Fractions for validation and test: of all images for "digits" (`test` is 0.2 unless given), of the training
        images for the others, whose official test set is used unchanged. The test split does not depend on `valid`.
        0 gives an empty split.
    root : path, optional
        First place to look for ``<root>/<name>/<file>``; then come ``$MINICNN_DATASETS``, ``datasets/`` in the working
        directory, and the user's cache.
    download : bool
        Whether to download into the user's cache, with a progress bar, files that are not found.

    Returns
    -------
    Dataset
        Images (N, H, W, C) float32 in [0, 1], labels (N,) int64.

    Raises
    ------
    TypeError
        An argument of the wrong type.
    ValueError
        An unknown name, a fraction or seed out of range, or a file whose MD5 differs from the published one.
    FileNotFoundError
        A file is missing and `download` is False.
    OSError
        The download failed.

    Examples
    --------
    >>> digits = load("digits", seed=0)
    >>> digits.train, digits.valid, digits.test
    (Split(1258 images of 8x8x1, float32),
     Split(180 images of 8x8x1, float32),
     Split(359 images of 8x8x1, float32))
    """
    source = _source(name)
    _check_kinds(root, download)
    sizes = _held_out(name, source, test, valid)
    seed = validation.integer("load", "seed", seed, least=0, most=2**32 - 1)
    pixels, labels, official = _read(name, source, root, download)
    test_at, valid_at, train_at = stratified(labels, sizes, seed)
    return Dataset(
        name=name,
        train=_split(pixels[train_at], labels[train_at], source.white),
        valid=_split(pixels[valid_at], labels[valid_at], source.white),
        test=_split(pixels[test_at], labels[test_at], source.white) if official is None else official,
        classes=source.classes,
    )


@hints.explained
def from_arrays(
    images: np.ndarray,
    labels: np.ndarray,
    *,
    seed: int = 0,
    valid: float = 0.1,
    test: float = 0.2,
    name: str = "arrays",
    classes: Sequence[str] | None = None,
) -> Dataset:
    """Return a data set of your own images, split at random with the classes in proportion.

    Images are (N, H, W, C) floats, labels (N,) integers from 0; `classes` are their names, by default the numbers.
    `seed`, `valid` and `test` are those of `load`. Raises ValueError for labels outside the classes and for fractions
    that leave fewer images than classes for training.

    >>> from_arrays(np.zeros((40, 5, 5, 3), np.float32), np.arange(40) % 2).train
    Split(28 images of 5x5x3, float32)
    """
    whole = Split(images, labels)
    if classes is not None and not isinstance(classes, list | tuple):
        raise TypeError(f"from_arrays: classes must be a list of names, got {validation.shown(classes)}.")
    highest = int(whole.labels.max(initial=-1))
    if classes is None and highest >= max(len(whole), 1):
        raise ValueError(
            f"from_arrays: labels must be from 0 to the number of classes less 1, got {highest} for {len(whole)} "
            "images. Number the classes from 0, or give their names as classes."
        )
    names = tuple(map(str, range(highest + 1))) if classes is None else tuple(classes)
    if not len(whole) or whole.labels.min() < 0 or whole.labels.max() >= len(names):
        raise ValueError(f"from_arrays: labels must be from 0 to {len(names) - 1}, one per image, got others or none.")
    seed = validation.integer("from_arrays", "seed", seed, least=0, most=2**32 - 1)
    fractions = {"test": test, "valid": valid}
    sizes = [
        round(validation.number("from_arrays", part, fraction, least=0, below=1) * len(whole))
        for part, fraction in fractions.items()
    ]
    if len(whole) - sum(sizes) < len(names):
        raise ValueError(
            f"from_arrays: test and valid must leave one image per class for training, got test={test} and "
            f"valid={valid} of {len(whole)} images. Use smaller fractions."
        )
    test_at, valid_at, train_at = stratified(whole.labels, (sizes[0], sizes[1]), seed, where="from_arrays")
    return Dataset(name, whole[train_at], whole[valid_at], whole[test_at], names)


def _source(name: str) -> Source:
    if not isinstance(name, str) or name not in SOURCES:
        close = difflib.get_close_matches(name.lower() if isinstance(name, str) else "", SOURCES, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"load: name must be one of {', '.join(map(repr, SOURCES))}, got {validation.shown(name)}.{hint}"
        )
    return SOURCES[name]


def _held_out(name: str, source: Source, test: float | None, valid: float) -> tuple[int, int]:
    """Return how many images of those to be divided go to the test part, and how many to the validation part."""
    if source.md5 and test is not None:
        raise ValueError(f"load: test must be left out for {name}, which has an official test set, got test={test}.")
    default = 0.0 if source.md5 else 0.2
    fractions = {"test": default if test is None else test, "valid": valid}
    sizes = [_size(name, source, part, fraction) for part, fraction in fractions.items()]
    left = source.count - sum(sizes)
    if left < len(source.classes):
        raise ValueError(
            f"load: test and valid must leave one image per class for training, got fractions that are too large: "
            f"of the {source.count} images of {name}, test={fractions['test']} and valid={valid} leave {left} for "
            f"training, too few for {len(source.classes)} classes. Use smaller fractions."
        )
    return sizes[0], sizes[1]


def _size(name: str, source: Source, part: str, fraction: float) -> int:
    size = round(validation.number("load", part, fraction, least=0, below=1) * source.count)
    if fraction > 0 and size < len(source.classes):
        raise ValueError(
            f"load: {part} must be 0 or at least {len(source.classes)} / {source.count}, got a fraction that is too "
            f"small: {part}={fraction} of the {source.count} images of {name} is {size}, too few for "
            f"{len(source.classes)} classes."
        )
    return size


def _check_kinds(root: Any, download: Any) -> None:
    if root is not None and not isinstance(root, str | os.PathLike):
        raise TypeError(f"load: root must be a string, a Path or None, got {validation.shown(root)}.")
    validation.flag("load", "download", download)


def _read(
    name: str, source: Source, root: str | os.PathLike[str] | None, download: bool
) -> tuple[np.ndarray, np.ndarray, Split | None]:
    """Return the pixels and labels to divide, and the official test set if there is one."""
    if not source.md5:
        return *_digits(), None
    pixels, labels, test_pixels, test_labels = _arrays(paths(name, root, download=download), source)
    return pixels, labels, _split(test_pixels, test_labels, source.white)


@hints.explained
def paths(name: str, root: str | os.PathLike[str] | None = None, *, download: bool = True) -> list[Path]:
    """Return the paths of a data set's files, [] for "digits"; where they are looked for is described at `load`.

    Their checksums are verified when they are read. Raises FileNotFoundError for a missing file if `download` is False.

    >>> paths("digits")
    []
    """
    source = _source(name)
    folders = [place / name for place in idx.places(root)]
    return [_path(name, source, file, folders, download) for file in source.md5]


def _arrays(files: list[Path], source: Source) -> list[np.ndarray]:
    """Return pixels and labels for training, then those of the test set."""
    if len(files) == 2:
        return [array for pair in map(svmlight.read, files, source.md5.values()) for array in pair]
    # QMNIST has eight numbers for each image, of which the first is the digit; the others say who wrote it.
    found = map(idx.read, files, source.md5.values())
    return [array[:, 0] if array.ndim == 2 else array for array in found]


def _digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images, digits.target


def _path(name: str, source: Source, file: str, folders: list[Path], download: bool) -> Path:
    path = idx.find(file, folders)
    if path is None and download:
        return idx.download(source.url + file, source.md5[file], folders[-1])
    if path is None:
        raise FileNotFoundError(
            f"load: {name} needs {file}, which is in none of {', '.join(map(str, folders))}. "
            f"Use download=True, or get it from {source.url}{file} and put it into one of them."
        )
    return path


def stratified(labels: np.ndarray, sizes: tuple[int, int], seed: int, *, where: str = "stratified") -> list[np.ndarray]:
    """Return the indices of parts of these sizes, then those of the rest; all shuffled, classes in proportion."""
    from sklearn.model_selection import train_test_split

    rest = np.random.default_rng(seed).permutation(len(labels))
    parts = []
    for size in sizes:
        part = rest[:0]
        if size:
            _check_divisible(where, labels[rest], size)
            rest, part = train_test_split(rest, test_size=size, stratify=labels[rest], random_state=seed)
        parts.append(part)
    return [*parts, rest]


def _check_divisible(where: str, labels: np.ndarray, size: int) -> None:
    """Raise ValueError unless `size` images can be taken from these with the classes in proportion."""
    classes, counts = np.unique(labels, return_counts=True)
    if counts.min(initial=2) < 2:
        raise ValueError(
            f"{where}: labels must have at least two images of each class in what is divided, got one of class "
            f"{classes[counts.argmin()]}. Leave that class out, or hold out fewer images."
        )
    if min(size, len(labels) - size) < len(classes):
        raise ValueError(
            f"{where}: each part must have at least one image per class, {len(classes)}, got parts of {size} and "
            f"{len(labels) - size} images. Use other fractions, or more images."
        )


def _split(pixels: np.ndarray, labels: np.ndarray, white: int) -> Split:
    return Split(np.divide(pixels[..., np.newaxis], white, dtype=np.float32), labels)
