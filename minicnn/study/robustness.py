"""Accuracy, and agreement with the unchanged image, under shift, rotation, scale, noise, blur and contrast.

Each measure is a value whose first argument lists the magnitudes; see `Changed` for what it returns.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minicnn.data import Dataset
from minicnn.layers import Layer
from minicnn.records import register
from minicnn.study import transforms
from minicnn.study.predictions import Applied, Params, applied, logits
from minicnn.validation import flag, integer

CHUNK = 1024
"""Images that are changed at a time, so that memory does not grow with the test set."""


@dataclass(frozen=True, kw_only=True)
class Changed:
    """What the measures under a change of the images share: each magnitude is a condition, and so is their mean.

    Parameters
    ----------
    consistency : bool
        False: a condition has the accuracy of each test image, (N,) float32. A shift, for example, goes in eight
        directions, and the value of an image is the share of them in which it is classified correctly.
        True: a condition has one number: of the images that are classified correctly when unchanged, the share that
        still are. Others are left out, because a net of higher accuracy agrees with itself more often. NaN if no
        image is classified correctly.
    first : int or None
        Only the first test images, as ten thousand of them in many conditions take their time.

    Notes
    -----
    "mean" is the mean over the magnitudes that change an image, with equal weights: the area under the curve.
    """

    consistency: bool = False
    first: int | None = None

    magnitudes: ClassVar[str]  # the field that lists them
    least: ClassVar[float] = 0
    unchanged: ClassVar[float] = 0
    label: ClassVar[str] = "{:g}"

    def __post_init__(self) -> None:
        where = type(self).__name__
        transforms.check_amounts(where, self.magnitudes, self.amounts(), least=self.least)
        flag(where, "consistency", self.consistency)
        if self.first is not None:
            integer(where, "first", self.first)

    def amounts(self) -> tuple[float, ...]:
        """Return the magnitudes in order."""
        return getattr(self, self.magnitudes)  # type: ignore[no-any-return]

    def condition(self, amount: float) -> str:
        """Return the name of the condition.

        >>> Shifted().condition(2), Scaled().condition(0.7), Contrast().condition(-1)
        ('2 px', 'x0.7', 'inverted')
        """
        return self.label.format(amount)

    def versions(self, images: np.ndarray, amount: float, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield the images changed by this magnitude, once for each direction that it has."""
        raise TypeError(f"{type(self).__name__}: versions() must be defined by the measure, got none.")

    def generator(self) -> np.random.Generator:
        """Return what `versions` draws from: the same for every net and every magnitude."""
        return np.random.default_rng(0)

    def check(self, dataset: Dataset) -> None:
        """Raise ValueError for a data set whose images cannot be changed so; ask before training."""

    def __call__(self, net: Layer, params: Params, dataset: Dataset) -> dict[str, Any]:
        """Return for each condition the accuracy of each image, or the consistency."""
        self.check(dataset)
        test = dataset.test[: self.first]
        clean = (logits(net, params, dataset)[: len(test)].argmax(axis=1) == test.labels).astype(np.float32)
        apply = applied(net, params, test.images.shape[1:])
        rights = {
            amount: clean if amount == self.unchanged else self._right(apply, test.images, test.labels, amount)
            for amount in self.amounts()
        }
        changed = [right for amount, right in rights.items() if amount != self.unchanged] or [clean]
        found = {self.condition(amount): right for amount, right in rights.items()}
        found["mean"] = np.mean(changed, axis=0, dtype=np.float32)
        return {name: _share(right, clean) for name, right in found.items()} if self.consistency else found

    def _right(self, apply: Applied, images: np.ndarray, labels: np.ndarray, amount: float) -> np.ndarray:
        """Return for each image the share of its versions that are classified correctly."""
        rng, parts = self.generator(), []
        for start in range(0, len(images), CHUNK):
            some = slice(start, start + CHUNK)
            predicted = [apply(version).argmax(axis=1) for version in self.versions(images[some], amount, rng)]
            parts.append(np.mean([p == labels[some] for p in predicted], axis=0, dtype=np.float32))
        return np.concatenate(parts)


def _pixels(count: int) -> str:
    return f"{count} pixel{'s' * (count != 1)}"


def _share(right: np.ndarray, clean: np.ndarray) -> float:
    return float((right * clean).sum(dtype=np.float64) / clean.sum()) if clean.any() else math.nan


@register
@dataclass(frozen=True)
class Shifted(Changed):
    """Test images moved by whole pixels in the eight directions; a diagonal shift moves rows and columns equally far.

    Nothing may be cut off: `check`, and the call, raise ValueError unless the largest shift fits between every test
    image's content and its border. `study.padded` makes a data set with such a margin; train on it, too.
    """

    pixels: tuple[int, ...] = (0, 1, 2, 3, 4)
    magnitudes: ClassVar[str] = "pixels"
    label: ClassVar[str] = "{} px"

    def __post_init__(self) -> None:
        super().__post_init__()
        for amount in self.pixels:
            integer("Shifted", "pixels", amount, self.pixels, least=0)

    def check(self, dataset: Dataset) -> None:
        """Raise ValueError unless the test images have a margin of zeros as wide as the largest shift."""
        p = max(self.pixels)
        images = dataset.test[: self.first].images
        inner = images[:, p : images.shape[1] - p, p : images.shape[2] - p]
        if np.count_nonzero(inner) < np.count_nonzero(images):
            raise ValueError(
                f"Shifted: the test images must have a margin of zeros, {_pixels(p)} wide, got images of "
                f"{dataset.name} from which a shift by {_pixels(p)} would cut something off. "
                f"Train and test on study.padded(dataset, {p})."
            )

    def versions(self, images: np.ndarray, amount: float, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield the images moved in each direction."""
        p = int(amount)
        yield from (transforms.shift(images, p * down, p * right) for down, right in transforms.DIRECTIONS)


@register
@dataclass(frozen=True)
class Rotated(Changed):
    """Test images turned about their centre by each angle, in both directions."""

    degrees: tuple[float, ...] = (0, 10, 20, 30)
    magnitudes: ClassVar[str] = "degrees"
    label: ClassVar[str] = "{:g} degrees"

    def versions(self, images: np.ndarray, amount: float, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield the images turned counterclockwise, then clockwise."""
        yield from (transforms.rotate(images, sign * amount) for sign in (1, -1))


@register
@dataclass(frozen=True)
class Scaled(Changed):
    """Test images enlarged about their centre by each factor; factors below 1 shrink them.

    What lies beyond the border afterwards is lost.
    """

    factors: tuple[float, ...] = (0.7, 0.85, 1.0, 1.15, 1.3)
    magnitudes: ClassVar[str] = "factors"
    least: ClassVar[float] = 0.01
    unchanged: ClassVar[float] = 1
    label: ClassVar[str] = "x{:g}"

    def versions(self, images: np.ndarray, amount: float, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield the images enlarged."""
        yield transforms.scale(images, amount)


@register
@dataclass(frozen=True)
class Noisy(Changed):
    """Test images with normal noise of each standard deviation: the same noise for every net and every magnitude."""

    sds: tuple[float, ...] = (0, 0.1, 0.2, 0.4)
    seed: int = 0
    magnitudes: ClassVar[str] = "sds"
    label: ClassVar[str] = "sd {:g}"

    def __post_init__(self) -> None:
        super().__post_init__()
        integer("Noisy", "seed", self.seed, least=0)

    def generator(self) -> np.random.Generator:
        """Return a generator with the seed."""
        return np.random.default_rng(self.seed)

    def versions(self, images: np.ndarray, amount: float, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield the images with noise."""
        yield transforms.noise(images, amount, rng)


@register
@dataclass(frozen=True)
class Blurred(Changed):
    """Test images smoothed by a Gaussian of each standard deviation, in pixels."""

    sigmas: tuple[float, ...] = (0, 0.5, 1.0, 1.5)
    magnitudes: ClassVar[str] = "sigmas"
    label: ClassVar[str] = "{:g} px"

    def versions(self, images: np.ndarray, amount: float, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield the images smoothed."""
        yield transforms.blur(images, amount)


@register
@dataclass(frozen=True)
class Contrast(Changed):
    """Test images with their contrast multiplied by each factor.

    1 changes nothing, -1 exchanges dark and light within each image's range.
    """

    factors: tuple[float, ...] = (1.0, 0.5, 0.25, -1.0)
    magnitudes: ClassVar[str] = "factors"
    least: ClassVar[float] = -1
    unchanged: ClassVar[float] = 1

    def condition(self, amount: float) -> str:
        """Return the name of the condition."""
        return "inverted" if amount == -1 else f"x{amount:g}"

    def versions(self, images: np.ndarray, amount: float, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield the images with another contrast."""
        yield transforms.invert(images) if amount == -1 else transforms.contrast(images, amount)
