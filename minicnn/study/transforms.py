"""Changes to images that a classifier should withstand: shift, rotation, scale, noise, blur, contrast.

Each takes images (N, H, W, C) and an amount and returns images of the same shape and dtype. What comes from outside
the image is 0, the background of digits; interpolation is linear. Moves and angles are as the image is looked at: rows
downwards, columns to the right, degrees counterclockwise. Blur is SciPy's.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from minicnn import kernels
from minicnn.data import Dataset, Split
from minicnn.hints import explained
from minicnn.validation import integer, number, shown

DIRECTIONS = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
"""Down and right: the eight neighbours, beginning at the right and going round clockwise."""


@explained
def padded(dataset: Dataset, pixels: int) -> Dataset:
    """Return a data set with zeros around the images of all three splits: (N, H, W, C) -> (N, H + 2p, W + 2p, C).

    Pad before training, so that a later shift by up to `pixels` moves nothing out of the image.

    >>> from minicnn import data
    >>> padded(data.load("digits"), 4).test
    Split(359 images of 16x16x1, float32)
    """
    if not isinstance(dataset, Dataset):
        raise TypeError(f"padded: dataset must be a data.Dataset, got {shown(dataset)}. Use data.load(name).")
    p = integer("padded", "pixels", pixels, least=0)
    train, valid, test = (_padded(part, p) for part in (dataset.train, dataset.valid, dataset.test))
    return replace(dataset, name=f"{dataset.name}, padded by {p}", train=train, valid=valid, test=test)


def _padded(split: Split, p: int) -> Split:
    return Split(np.pad(split.images, ((0, 0), (p, p), (p, p), (0, 0))), split.labels)


def shift(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Return images moved by whole pixels; what leaves the image is lost.

    >>> shift(np.array([1.0, 2.0, 3.0]).reshape(1, 1, 3, 1), 0, 1).ravel()
    array([0., 1., 2.])
    """
    moved = np.zeros_like(images)
    (to_rows, rows), (to_cols, cols) = _overlap(down, images.shape[1]), _overlap(right, images.shape[2])
    moved[:, to_rows, to_cols] = images[:, rows, cols]
    return moved


def _overlap(by: int, n: int) -> tuple[slice, slice]:
    """Return where the elements along an axis of length n go to, and where they come from."""
    by = max(-n, min(n, by))
    return slice(max(by, 0), n + min(by, 0)), slice(max(-by, 0), n + min(-by, 0))


def rotate(images: np.ndarray, degrees: float) -> np.ndarray:
    """Return images turned counterclockwise about their centre.

    >>> rotate(np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1), 90).reshape(2, 2).round(6)
    array([[2., 4.],
           [1., 3.]])
    """
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    return _affine(images, np.array([[cosine, sine], [-sine, cosine]]))


def scale(images: np.ndarray, factor: float) -> np.ndarray:
    """Return images enlarged by a factor about their centre; below 1 they shrink, with zeros around them."""
    return _affine(images, np.eye(2) / factor)


def _affine(images: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return images whose pixel at p, from the centre, is that of the input at matrix @ p."""
    height, width = images.shape[1:3]
    centre = np.array([0, (height - 1) / 2, (width - 1) / 2])
    # 3x3, because BLAS rounds a product of 2x2 in another order: results of earlier versions have these bits.
    whole = np.pad(matrix, ((1, 0), (1, 0)))
    origin = (centre - whole @ centre)[1:]
    i, j = np.arange(height)[:, None], np.arange(width)
    rows, columns = (at + i * down + j * right for at, (down, right) in zip(origin, matrix, strict=True))
    return kernels.bilinear(images, rows[None], columns[None])


def noise(images: np.ndarray, sd: float, rng: np.random.Generator) -> np.ndarray:
    """Return images plus normal noise with this standard deviation; they are not clipped."""
    return images + sd * rng.standard_normal(images.shape, np.float32).astype(images.dtype)


def blur(images: np.ndarray, sigma: float) -> np.ndarray:
    """Return images smoothed by a Gaussian with this standard deviation in pixels, with zeros outside."""
    from scipy import ndimage

    return np.asarray(ndimage.gaussian_filter(images, (0, sigma, sigma, 0), mode="constant"))


def contrast(images: np.ndarray, factor: float) -> np.ndarray:
    """Return images whose distances from the mean of their own pixels are multiplied by a factor; 0 leaves the mean.

    >>> contrast(np.array([0.0, 1.0]).reshape(1, 1, 2, 1), 0.5).ravel()
    array([0.25, 0.75])
    """
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    return np.asarray(mean + images.dtype.type(factor) * (images - mean))


def invert(images: np.ndarray) -> np.ndarray:
    """Return images with dark and light exchanged within the range of each image: low + high - x."""
    low, high = (extreme(images, axis=(1, 2, 3), keepdims=True) for extreme in (np.min, np.max))
    return np.asarray(low + high - images)


def check_amounts(
    where: str, name: str, amounts: object, *, least: float = -math.inf, above: float = -math.inf
) -> None:
    """Raise TypeError or ValueError unless `amounts` is a tuple of different finite numbers, at least one."""
    if not isinstance(amounts, tuple | list) or not amounts or len(set(map(repr, amounts))) < len(amounts):
        raise ValueError(f"{where}: {name} must be a tuple of different numbers, got {shown(amounts)}.")
    for amount in amounts:
        number(where, name, amount, least=least, above=above)
