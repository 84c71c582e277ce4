"""Augmentation: random shift, rotation and elastic distortion of each image.

The three motions become one coordinate map, so that each image is interpolated (and so blurred) only once.
Background is 0. Angles are in degrees, counterclockwise as the image is looked at; distances in pixels, rows before
columns, positive downwards and to the right.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import numpy as np

from minicnn import hints, kernels, validation
from minicnn.data.split import as_array, check_generator, check_images
from minicnn.records import register

MOST = {"elastic_sigma": 1_000}
"""The Gaussian is cut off at four times its standard deviation, and takes time in proportion."""
AT_A_TIME = 2**16
"""Pixels whose coordinates are computed at a time, so that they do not take several times the memory of the images."""


@register
@hints.frozen
class Augmentation:
    """Random shift, rotation and elastic distortion, as a value: call it with images and a generator.

    Parameters
    ----------
    shift : float
        Each image moves by up to this many pixels along rows, and independently along columns; uniform.
    rotate : float
        Each image turns about its centre by up to this many degrees, either way; uniform.
    elastic : float
        The factor alpha of Simard et al., in pixels: noise in [-1, 1], one value per pixel and direction, is smoothed
        by a Gaussian and multiplied by alpha. Away from the edges the displacement's root mean square is then about
        ``0.163 * elastic / elastic_sigma`` pixels; their 34 with sigma 4, for 28x28 digits, is 1.4 pixels.
    elastic_sigma : float
        Standard deviation of that Gaussian in pixels: small values crumple, large values bend the image.

    Raises
    ------
    TypeError
        An amount is not a number.
    ValueError
        An amount is negative, not finite, or beyond a million (`elastic_sigma`: a thousand).

    References
    ----------
    P. Y. Simard, D. Steinkraus, J. C. Platt: Best practices for convolutional neural networks applied to visual
    document analysis. ICDAR 2003, https://doi.org/10.1109/ICDAR.2003.1227801

    Examples
    --------
    >>> distort = Augmentation(shift=2, rotate=10)
    >>> distort
    Augmentation(shift=2, rotate=10, elastic=0.0, elastic_sigma=4.0)
    >>> distort(np.ones((3, 28, 28, 1), np.float32), np.random.default_rng(0)).shape
    (3, 28, 28, 1)
    """

    shift: float = 0.0
    rotate: float = 0.0
    elastic: float = 0.0
    elastic_sigma: float = 4.0

    def __post_init__(self) -> None:
        for field in fields(self):
            amount = getattr(self, field.name)
            found = validation.number("augment", field.name, amount, least=0, most=MOST.get(field.name, 1_000_000))
            # a NumPy scalar becomes Python's number, so that equal amounts are equal values with one repr
            object.__setattr__(self, field.name, amount if type(amount) is int else found)

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the images (N, H, W, C) distorted, each by its own draw from `rng`; same shape and dtype."""
        check_images("augment", images)
        check_generator("augment", rng)
        count, height, width, _ = images.shape
        shifts = rng.uniform(-self.shift, self.shift, (count, 2))
        angles = rng.uniform(-self.rotate, self.rotate, (count,))
        return _warp(images, shifts, angles, self._displacements(rng, (count, 2, height, width)))

    def _displacements(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray | float:
        if self.elastic == 0:
            return 0.0
        from scipy.ndimage import gaussian_filter

        noise = rng.uniform(-1.0, 1.0, shape)
        smooth: np.ndarray = gaussian_filter(noise, self.elastic_sigma, axes=(2, 3), mode="constant")
        return self.elastic * smooth


@hints.explained
def augment(
    images: np.ndarray,
    rng: np.random.Generator,
    *,
    shift: float = 0.0,
    rotate: float = 0.0,
    elastic: float = 0.0,
    elastic_sigma: float = 4.0,
) -> np.ndarray:
    """Distort images (N, H, W, C) at random -> same shape and dtype; `Augmentation` says what the amounts mean.

    The argument is left untouched, values in [0, 1] stay there, and the same generator state gives the same bytes.
    Raises TypeError or ValueError if the images are not floats of rank 4, or an amount is negative.

    Examples
    --------
    >>> images = np.ones((2, 8, 8, 1), np.float32)
    >>> moved = augment(images, np.random.default_rng(0), shift=1, rotate=10, elastic=5)
    >>> moved.shape, moved.dtype.name
    ((2, 8, 8, 1), 'float32')
    """
    return Augmentation(shift, rotate, elastic, elastic_sigma)(images, rng)


@hints.explained
def warp(
    images: np.ndarray, shifts: np.ndarray, angles: np.ndarray, displacements: np.ndarray | float = 0.0
) -> np.ndarray:
    """Turn each image about its centre, then shift it; the deterministic half of `augment`.

    Parameters
    ----------
    images : ndarray of shape (N, H, W, C)
        float32 or float64.
    shifts : ndarray of shape (N, 2)
        Pixels down, pixels to the right.
    angles : ndarray of shape (N,)
        Degrees, counterclockwise.
    displacements : ndarray of shape (N, 2, H, W), optional
        How much farther down and to the right each pixel of the result looks for its value, in pixels.

    Returns
    -------
    ndarray of shape (N, H, W, C)
        Bilinear interpolation of the images, 0 outside them; same dtype.

    Raises
    ------
    TypeError, ValueError
        An argument that is not of numbers, has another shape, or is not finite.

    Examples
    --------
    >>> image = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
    >>> warp(image, shifts=np.array([[0, 1]]), angles=np.zeros(1))[0, :, :, 0]
    array([[0., 1.],
           [0., 3.]])
    """
    check_images("warp", images)
    count, height, width, _ = images.shape
    shifts = _motion("shifts", shifts, (count, 2))
    angles = _motion("angles", angles, (count,))
    if np.ndim(displacements):
        displacements = _motion("displacements", displacements, (count, 2, height, width))
    else:
        displacements = validation.number("warp", "displacements", displacements, least=-math.inf)
    return _warp(images, shifts, angles, displacements)


def _motion(name: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
    motion = as_array("warp", name, values)
    if motion.dtype.kind not in "iuf":
        raise TypeError(f"warp: {name} must be one array of numbers, got {motion.dtype}. Use shape {shape}.")
    if motion.shape != shape:
        raise ValueError(f"warp: {name} must have shape {shape} for these images, got {motion.shape}.")
    if not np.isfinite(motion).all():
        raise ValueError(f"warp: {name} must be finite, got {motion[~np.isfinite(motion)][0]}.")
    return motion


def _warp(images: np.ndarray, shifts: np.ndarray, angles: np.ndarray, displacements: np.ndarray | float) -> np.ndarray:
    moved, step = np.empty(images.shape, images.dtype), max(1, AT_A_TIME // max(1, math.prod(images.shape[1:3])))
    for start in range(0, len(images), step):
        some = slice(start, start + step)
        rows, columns = _sources(images.shape[1:3], shifts[some], angles[some])
        if isinstance(displacements, np.ndarray):
            rows, columns = rows + displacements[some, 0], columns + displacements[some, 1]
        elif displacements:
            rows, columns = rows + displacements, columns + displacements
        moved[some] = kernels.bilinear(images[some], rows, columns)
    return moved


def _sources(size: tuple[int, ...], shifts: np.ndarray, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column that each pixel of the result is read from: the inverse of the motion.

    Each is (N, H, W). Without a rotation a row of the result is read from one row, and a column from one column: the
    shapes are then (N, H, 1) and (N, 1, W), with which 64 images of 12x12 take half the time.
    """
    down, across = ((n - 1) / 2 for n in size)
    rows = (np.arange(size[0]) - down)[:, None] - shifts[:, 0, None, None]
    columns = np.arange(size[1]) - across - shifts[:, 1, None, None]
    if not angles.any():
        return rows + down, columns + across
    radians = np.radians(angles)[:, None, None]
    cos, sin = np.cos(radians), np.sin(radians)
    return cos * rows + sin * columns + down, cos * columns - sin * rows + across
