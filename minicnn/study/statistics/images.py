"""Differences for new images: the variance over seeds and over test images at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from minicnn.optional import need
from minicnn.study.statistics.intervals import ROUNDING, Interval, checked_confidence
from minicnn.validation import ShapeError


@dataclass(frozen=True)
class ImagesInterval(Interval):
    """An interval for the mean over new seeds and new images, with the variances that it is made of.

    `seed`, `image` and `rest` are the variances of one difference D[seed, image] over seeds, over images, and of what
    is left; `degrees` are Satterthwaite's degrees of freedom; `n` is the number of seeds.
    """

    seed: float
    image: float
    rest: float
    degrees: float


def new_images(
    a: np.ndarray, b: np.ndarray, *, confidence: float = 0.95, resolution: float = ROUNDING
) -> ImagesInterval:
    """Return the mean of a - b with its interval for new seeds and new images of the same kind.

    The differences D[s, i] = mean + seed effect + image effect + rest are crossed, one per cell. With S seeds, N
    images and the mean squares of the two-way table (Searle, Casella and McCulloch, "Variance components", 1992,
    section 4.3),

        variance of the mean = (MS_seed + MS_image - MS_rest) / (S N),

    with mean squares of seeds and images of at least MS_rest, so that no component is negative, and Student's quantile
    with Satterthwaite's degrees of freedom. An interval over seeds alone holds for this test set; this one is wider.

    Parameters
    ----------
    a, b : array (seeds, images)
        One value per seed and test image, such as 1 where the prediction is right, of two arms on the same images.

    Raises
    ------
    ShapeError
        If the shapes are not equal (seeds, images), both at least 2.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> difficulty = rng.normal(size=300)
    >>> found = new_images(rng.normal(0.3, 1, (5, 300)) + difficulty, rng.normal(0.0, 1, (5, 300)))
    >>> found.low < 0.3 < found.high, found.image > 10 * found.seed
    (True, True)
    """
    checked_confidence("new_images", confidence)
    differences = _differences(a, b)
    seeds, images = differences.shape
    mean, by_seed, by_image = differences.mean(), differences.mean(axis=1), differences.mean(axis=0)
    rest = differences - by_seed[:, None] - by_image + mean
    degrees = np.array([seeds - 1, images - 1, (seeds - 1) * (images - 1)])
    squares = np.array([images * by_seed.var() * seeds, seeds * by_image.var() * images, (rest**2).sum()]) / degrees
    squares[:2] = np.maximum(squares[:2], squares[2])
    total = squares[0] + squares[1] - squares[2]
    error = math.sqrt(total / (seeds * images))
    seed, image = (squares[0] - squares[2]) / images, (squares[1] - squares[2]) / seeds
    if error * math.sqrt(seeds) < resolution:
        freedom = half = math.nan
    else:
        freedom = total**2 / (squares**2 / degrees).sum()
        half = need("scipy.stats").t.ppf((1 + confidence) / 2, freedom) * error
    ends = (float(mean), float(mean - half), float(mean + half))
    return ImagesInterval(*ends, seeds, float(seed), float(image), float(squares[2]), float(freedom))


def _differences(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape or a.ndim != 2 or min(a.shape) < 2:
        raise ShapeError(
            "new_images",
            f"a and b must have one shape (seeds, images), both at least 2, got {a.shape} and {b.shape}",
            "Use the same seeds and test images for both arms",
        )
    found: np.ndarray = a - b
    if not np.isfinite(found).all():
        raise ValueError("new_images: a and b must be finite, got NaN or infinity. Leave out replicates that failed.")
    return found
