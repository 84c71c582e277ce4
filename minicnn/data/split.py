"""Images with labels, and iteration over them in mini-batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np

from minicnn.hints import a_type, explained, frozen
from minicnn.validation import generator, integer, shown


@frozen(eq=False, repr=False)
class Split:
    """Images and their labels.

    Parameters
    ----------
    images : ndarray of shape (N, H, W, C)
        float32 (float64 for checks); in [0, 1] as `load` gives them.
    labels : ndarray of shape (N,)
        Class indices; any integer dtype, kept as int64.

    Raises
    ------
    TypeError
        Images that are not floats, labels that are not integers.
    ValueError
        Wrong rank, or not one label per image.

    Examples
    --------
    >>> split = Split(np.zeros((5, 8, 8, 1), np.float32), np.arange(5))
    >>> split
    Split(5 images of 8x8x1, float32)
    >>> split[1:3].labels, split[[4, 0]].labels
    (array([1, 2]), array([4, 0]))
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        labels = as_array("Split", "labels", self.labels)
        check_images("Split", self.images)
        _check_labels(labels, len(self.images))
        object.__setattr__(self, "labels", labels.astype(np.int64, copy=False))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Any) -> Split:
        """Return the images and labels at a slice (views), or at an array of indices or booleans (copies).

        Raises TypeError for anything else, ValueError for indices that are out of range.
        """
        if not isinstance(index, slice):
            index = _indices(index, len(self))
        return Split(self.images[index], self.labels[index])

    def __iter__(self) -> NoReturn:
        raise TypeError(
            "Split: a split must be iterated in batches, got iteration over itself. Use "
            "`for images, labels in data.batches(split, 32)`, or split.images and split.labels."
        )

    def __repr__(self) -> str:
        size = "x".join(map(str, self.images.shape[1:]))
        return f"Split({len(self)} images of {size}, {self.images.dtype})"


def as_array(who: str, name: str, values: Any) -> np.ndarray:
    """Return an array, a list or a tuple of numbers as an array; raise TypeError for anything else.

    NumPy would walk through other objects by their indices, which may never end.
    """
    if isinstance(values, list | tuple | int | float) or hasattr(values, "__array__"):
        try:
            return np.asarray(values)
        except ValueError:  # lists of different lengths
            pass
    raise TypeError(f"{who}: {name} must be one array of numbers, got {shown(values)}.")


def _indices(index: Any, count: int) -> np.ndarray:
    try:
        row = as_array("Split", "an index", index)
    except TypeError:
        row = np.zeros(())
    if row.ndim != 1 or (row.size and row.dtype.kind not in "iub"):
        raise TypeError(
            f"Split: an index must be a slice or one row of indices, got {shown(index)}. "
            "Use split[3:4] for a split of one image, split.images[3] for the image."
        )
    if row.dtype.kind == "b":
        if len(row) != count:
            raise ValueError(f"Split: booleans must be one for each of {count} images, got {len(row)}.")
        return row
    outside = row[(row < -count) | (row >= count)]
    if outside.size:
        raise ValueError(f"Split: indices must be from {-count} to {count - 1}, got {outside[0]}.")
    return row.astype(np.intp)


def _check_labels(labels: np.ndarray, count: int) -> None:
    if labels.dtype.kind not in "iu":
        raise TypeError(f"Split: labels must be integer class indices, got {labels.dtype}.")
    if labels.ndim != 1:
        hint = "; one-hot rows become indices by labels.argmax(axis=1)" if labels.ndim == 2 else ""
        raise ValueError(f"Split: labels must have shape (N,), got {labels.shape}, rank {labels.ndim}{hint}.")
    if labels.dtype == np.uint64 and labels.size and labels.max() >= 2**63:
        raise ValueError(f"Split: labels must be class indices, got {labels.max()}. Use integers from 0.")
    if len(labels) != count:
        raise ValueError(f"Split: labels must hold one label for each of {count} images, got {len(labels)} labels.")


@explained
def batches(
    split: Split, batch_size: int, *, rng: np.random.Generator | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Iterate once over a split in mini-batches (images, labels); the last one may be smaller.

    With `rng` the images (not merely the batches) are permuted, and the permutation is drawn at the call, not at the
    first batch; without it they come in order, as views.
    Raises TypeError or ValueError, also at the call, if `split` is not a Split or `batch_size` not an integer of at
    least 1.

    Examples
    --------
    >>> split = Split(np.zeros((5, 8, 8, 1), np.float32), np.arange(5))
    >>> [labels.tolist() for _, labels in batches(split, 2)]
    [[0, 1], [2, 3], [4]]
    """
    if not isinstance(split, Split):
        raise TypeError(f"batches: split must be a data.Split, got {a_type(split)}. Use data.Split(images, labels).")
    size = integer("batches", "batch_size", batch_size)
    slices = [slice(start, start + size) for start in range(0, len(split), size)]
    if rng is None:
        return ((split.images[here], split.labels[here]) for here in slices)
    check_generator("batches", rng)
    order = rng.permutation(len(split))
    return ((split.images[order[here]], split.labels[order[here]]) for here in slices)


def check_images(who: str, images: Any) -> None:
    """Raise TypeError or ValueError unless `images` is a float array of rank 4."""
    if not isinstance(images, np.ndarray) or images.dtype not in (np.float32, np.float64):
        arrived = images.dtype if isinstance(images, np.ndarray) else a_type(images)
        raise TypeError(
            f"{who}: images must be a float32 (or float64) array, got {arrived}. "
            "Bytes of 0 to 255 become images in [0, 1] by images.astype(np.float32) / 255."
        )
    if images.ndim != 4:
        hint = "; a channel axis is added by images[..., None]" if images.ndim == 3 else ""
        raise ValueError(f"{who}: images must have shape (N, H, W, C), got {images.shape}, rank {images.ndim}{hint}.")


def check_generator(who: str, rng: Any) -> None:
    """Raise TypeError unless `rng` is a NumPy Generator."""
    generator(who, rng)
