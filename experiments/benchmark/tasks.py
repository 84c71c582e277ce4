"""What is measured: the networks by name, their images, and the number of multiply-adds per step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from minicnn.layers import Conv2D, Dense, Flatten, GlobalAveragePooling2D, MaxPooling2D, ReLU, Sequential, summary
from minicnn.models import keras_mnist, lenet5

Mode = Literal["training", "inference"]
MODES: tuple[Mode, ...] = ("training", "inference")
TRUNK = (
    Conv2D(16, 3, padding="same"), ReLU(), MaxPooling2D(2),
    Conv2D(32, 3, padding="same"), ReLU(), MaxPooling2D(2),
)  # fmt: skip
NETS = {
    "keras_mnist": keras_mnist(),
    "lenet5": lenet5(),
    "gap28": Sequential([*TRUNK, Conv2D(10, 1), GlobalAveragePooling2D()]),
    "digits8": Sequential([*TRUNK, Flatten(), Dense(10)]),
}
BATCHES: dict[Mode, tuple[int, ...]] = {"training": (32, 128), "inference": (1, 32, 128, 1024)}
SIDES = {name: 8 if name == "digits8" else 28 for name in NETS}
"""Height and width of the images for each network."""


@dataclass(frozen=True)
class Task:
    """A network on batches of square images of side x side pixels."""

    net: str
    side: int
    batch: int
    mode: Mode = "training"

    def __str__(self) -> str:
        return f"{self.net} {self.side}x{self.side}, {self.batch} images, {self.mode}"

    @property
    def multiply_adds(self) -> int:
        """Number of multiply-adds per step; see the function `multiply_adds`."""
        return self.batch * multiply_adds(self.net, self.side, self.mode)


def multiply_adds(net: str, side: int, mode: Mode) -> int:
    """Return the number of multiply-adds per image, without biases and pooling.

    Training takes three times those of the forward pass: forward, gradient of the weights, gradient of the input. The
    gradient of the input is not needed in the first layer.
    """
    per_layer = [row.multiply_adds for row in summary(NETS[net], (side, side, 1)).rows if row.multiply_adds]
    return 3 * sum(per_layer) - per_layer[0] if mode == "training" else sum(per_layer)


def images(side: int, count: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `count` batches of enlarged digits, (count, batch, side, side, 1), and their labels, (count, batch)."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    chosen = np.random.default_rng(0).permutation(count * batch).reshape(count, batch) % len(digits.target)
    nearest = np.arange(side) * 8 // side
    pixels = digits.images[chosen][:, :, nearest[:, None], nearest, None] / 16
    return pixels.astype(np.float32), digits.target[chosen]
