"""Your own images: a folder with a folder of pictures for each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from minicnn import validation
from minicnn.data.pictures import picture_files as pictures_in
from minicnn.data.pictures import read_image
from minicnn.data.sets import Dataset, from_arrays
from minicnn.files import GIBIBYTE
from minicnn.hints import explained
from minicnn.notebook import progress_bar
from minicnn.optional import need


@explained
def from_folder(
    path: str | Path,
    *,
    size: tuple[int, int] | None = None,
    channels: int = 3,
    seed: int = 0,
    valid: float = 0.1,
    test: float = 0.2,
    max_bytes: int = GIBIBYTE,
) -> Dataset:
    """Return a data set of the pictures in `path`/<class>/<file>, split at random with the classes in proportion.

    Parameters
    ----------
    path : path
        Its folders are the classes, in the order of their names; their pictures are read in the order of theirs.
    size : pair of int, optional
        (height, width) to which pictures are scaled. Without it they must all have the same size.
    channels : int
        3, or 1 for grey levels.
    seed, valid, test
        As for `load`.
    max_bytes : int
        The most memory that the images may take.

    Returns
    -------
    Dataset
        Images (N, H, W, channels) float32 in [0, 1].

    Raises
    ------
    ValueError
        Fewer than two classes, a class without pictures, pictures of several sizes, or more than `max_bytes`.
    FileFormatError
        A file that is not a picture, with its path. Needs Pillow, from the extra `images`.
    """
    root = validation.path("from_folder", "path", path)
    wanted = None if size is None else validation.pair("from_folder", "size", size)
    classes = _classes(root)
    files = [(file, label) for label, name in enumerate(classes) for file in pictures_in(root / name)]
    images = _images(files, wanted, channels, max_bytes)
    labels = np.array([label for _, label in files])
    return from_arrays(images, labels, seed=seed, valid=valid, test=test, name=root.name, classes=classes)


def _classes(root: Path) -> list[str]:
    if not root.is_dir():
        raise ValueError(f"from_folder: path must be a folder, got {root}.")
    classes = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(classes) < 2:
        raise ValueError(
            f"from_folder: path must have a folder of pictures for each of at least two classes, got {root} with "
            f"{len(classes)}."
        )
    return classes


def _images(files: list[tuple[Path, int]], wanted: tuple[int, int] | None, channels: int, max_bytes: int) -> np.ndarray:
    first = _read(files[0][0], wanted, channels)
    need_bytes = first.nbytes * len(files)
    if need_bytes > max_bytes:
        raise ValueError(
            f"from_folder: max_bytes must be at least {need_bytes:,} for {len(files):,} pictures of "
            f"{first.shape[0]}x{first.shape[1]} pixels, got {max_bytes:,}. Give a smaller size."
        )
    images = np.empty((len(files), *first.shape), np.float32)
    with progress_bar(len(files), unit=" images", shown=None) as bar:
        for index, (file, _) in enumerate(files):
            image = _read(file, wanted, channels)
            if image.shape != first.shape:
                raise ValueError(
                    f"from_folder: size must be given where pictures differ in size, got {_size(first)} in "
                    f"{files[0][0]} and {_size(image)} in {file}."
                )
            images[index] = image
            bar.update(1)
    return images


def _read(file: Path, wanted: tuple[int, int] | None, channels: int) -> np.ndarray:
    image = read_image(file, channels=channels)
    return image if wanted is None or image.shape[:2] == wanted else resized(image, wanted)


def _size(image: np.ndarray) -> str:
    return f"{image.shape[0]}x{image.shape[1]}"


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return an image (H, W, C) in [0, 1] scaled to `size` (height, width), averaging where it becomes smaller."""
    pillow = need("PIL.Image", "images")
    levels = np.round(image * 255).astype(np.uint8)
    picture = pillow.fromarray(levels[..., 0] if image.shape[2] == 1 else levels)
    scaled = np.asarray(picture.resize((size[1], size[0]), pillow.Resampling.BILINEAR, reducing_gap=None), np.float32)
    return scaled.reshape(*size, image.shape[2]) / np.float32(255)
