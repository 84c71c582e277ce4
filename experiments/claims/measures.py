"""Measures of the claims: what pooled maps keep, and accuracy on a bright background and at the border."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minicnn import train
from minicnn.data import Dataset
from minicnn.layers import Layer, Sequential
from minicnn.records import register
from minicnn.study import transforms
from minicnn.study.predictions import Params
from minicnn.study.robustness import Changed


@register
@dataclass(frozen=True)
class BrightBackground(Changed):
    """With every pixel darker than a level raised to that level: the background becomes grey, the strokes stay."""

    levels: tuple[float, ...] = (0, 0.1, 0.2, 0.3)
    magnitudes: ClassVar[str] = "levels"
    label: ClassVar[str] = "level {:g}"

    def versions(self, images: np.ndarray, amount: float, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield the images with a grey background."""
        yield np.maximum(images, images.dtype.type(amount))


@register
@dataclass(frozen=True)
class PooledMaps:
    """What the first pooling of a net does to maps, one value per test image for each condition.

    "peak": on the net's own first feature maps, the maximum of the pooled map as a fraction of the maximum of the map,
    the mean over the channels that are active.
    "noise": how much normal noise with standard deviation `level` changes the pooled image: the standard deviation of
    the change, around its mean, as a fraction of `level`.
    "background": of a background that is raised from 0 to `level`, the fraction that arrives in pooled pixels which
    contain a stroke (a pixel of at least twice the level); images without such a pixel have 0.
    """

    level: float = 0.2

    def __call__(self, net: Layer, params: Params, dataset: Dataset) -> dict[str, np.ndarray]:
        """Return the values by condition."""
        images = dataset.test.images
        pool = pooling(net)
        maps = first_maps(net, params, images)
        return {
            "peak": peak_kept(np.asarray(pool({}, maps)), maps),
            "noise": noise_kept(pool, images, self.level),
            "background": background_kept(pool, images, self.level),
        }


def pooling(net: Any) -> Any:
    """Return the first layer of the trunk that pools."""
    return next(layer for layer in net.trunk.layers if "Pooling2D" in type(layer).__name__)


def first_maps(net: Any, params: Params, images: np.ndarray) -> np.ndarray:
    """Return the feature maps that the first pooling is given."""
    layers = net.trunk.layers[: net.trunk.layers.index(pooling(net))]
    head = Sequential(layers)
    names = head.init(np.random.default_rng(0), images.shape[1:])
    return train.predict(head, {name: params["trunk"][name] for name in names}, images)


def peak_kept(pooled: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Return pooled maximum / maximum for each image, the mean over channels with a positive maximum; 1 without one.

    >>> maps = np.array([1.0, 0, 0, 0]).reshape(1, 2, 2, 1)
    >>> peak_kept(maps.mean(axis=(1, 2), keepdims=True), maps)
    array([0.25])
    """
    before, after = maps.max(axis=(1, 2)), pooled.max(axis=(1, 2))
    active = before > 0
    kept = np.divide(after, before, out=np.zeros_like(before), where=active).sum(axis=1)
    count = active.sum(axis=1)
    return np.asarray(np.divide(kept, count, out=np.ones_like(kept), where=count > 0))


def noise_kept(pool: Any, images: np.ndarray, level: float) -> np.ndarray:
    """Return for each image the standard deviation of what noise adds to the pooled image, as a fraction of its own."""
    noisy = transforms.noise(images, level, np.random.default_rng(0))
    change = np.asarray(pool({}, noisy)) - np.asarray(pool({}, images))
    return np.asarray(change.std(axis=(1, 2, 3)) / level)


def background_kept(pool: Any, images: np.ndarray, level: float) -> np.ndarray:
    """Return for each image the mean change of pooled pixels with a stroke, as a fraction of the level."""
    raised = np.maximum(images, images.dtype.type(level))
    change = np.asarray(pool({}, raised)) - np.asarray(pool({}, images))
    stroke = _windows_with_stroke(images, change.shape, 2 * level)
    count = stroke.sum(axis=(1, 2, 3))
    total = (change * stroke).sum(axis=(1, 2, 3))
    return np.asarray(np.divide(total, level * count, out=np.zeros_like(total), where=count > 0))


def _windows_with_stroke(images: np.ndarray, shape: tuple[int, ...], least: float) -> np.ndarray:
    """Tell for each 2x2 window whether a pixel in it is at least so bright."""
    n, rows, cols, c = shape
    bright = images[:, : 2 * rows, : 2 * cols] >= least
    return np.asarray(bright.reshape(n, rows, 2, cols, 2, c).any(axis=(2, 4)))


@register
@dataclass(frozen=True)
class AtBorder:
    """Accuracy where the strokes touch the border, per test image.

    "border": the mean over eight directions, in which the image is moved until its strokes touch one side or two;
    "centre": in the middle of the frame; "border - centre": the difference. Nothing leaves the frame.
    """

    def __call__(self, net: Layer, params: Params, dataset: Dataset) -> dict[str, np.ndarray]:
        """Return the accuracies by condition."""
        images, labels = dataset.test.images, dataset.test.labels

        def right(down: int, across: int) -> np.ndarray:
            logits = train.predict(net, params, moved_to(images, down, across))
            return np.asarray(logits.argmax(axis=1) == labels, np.float32)

        ways = [right(*direction) for direction in transforms.DIRECTIONS]
        border = np.asarray(np.mean(ways, axis=0, dtype=np.float32))
        centre = right(0, 0)
        return {"border": border, "centre": centre, "border - centre": border - centre}


def moved_to(images: np.ndarray, down: int, across: int) -> np.ndarray:
    """Return images whose strokes are moved: -1 to the top (left) border, 0 to the middle, 1 to the bottom (right).

    >>> moved_to(np.array([0.0, 1.0, 0.0, 0.0]).reshape(1, 1, 4, 1), 0, 1).ravel()
    array([0., 0., 0., 1.])
    """
    moved = np.zeros_like(images)
    for place, image in enumerate(images):
        by = [_step(image.any(axis=(axis, 2)), to) for axis, to in ((1, down), (0, across))]
        moved[place] = np.roll(image, by, axis=(0, 1))
    return moved


def _step(inked: np.ndarray, to: int) -> int:
    """Return how far rows (columns) are to be moved, from whether there is a stroke in them."""
    places = np.flatnonzero(inked)
    if not places.size:
        return 0
    before, after = int(places[0]), len(inked) - 1 - int(places[-1])
    return {-1: -before, 0: (after - before) // 2, 1: after}[to]
