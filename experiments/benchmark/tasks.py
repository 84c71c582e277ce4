"""What is raced: nets by name, the images they get, and how many multiply-adds a step takes."""

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
SIDES = {name: 8 if name == "digits8" else 28 for name in NETS}
"""Rows and columns of the images that each net is made for."""


@dataclass(frozen=True)
class Task:
    """A net on square images of `side` pixels, so many at a time."""

    net: str
    side: int
    batch: int
    mode: Mode = "training"

    def __str__(self) -> str:
        return f"{self.net} {self.side}x{self.side}, {self.batch} images, {self.mode}"

    @property
    def multiply_adds(self) -> int:
        """Multiplications of a step, as `multiply_adds` counts them."""
        return self.batch * multiply_adds(self.net, self.side, self.mode)


def multiply_adds(net: str, side: int, mode: Mode) -> int:
    """Return the multiplications for one image, biases and pooling not counted.

    Training takes each layer's three times: forward, for its weights' gradient and for its input's gradient, which
    nobody needs of the first layer.
    """
    layers = [row.multiply_adds for row in summary(NETS[net], (side, side, 1)).rows if row.multiply_adds]
    return 3 * sum(layers) - layers[0] if mode == "training" else sum(layers)


def images(side: int, count: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Return batches of digits enlarged to `side`, (count, batch, side, side, 1), and their labels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    chosen = np.random.default_rng(0).permutation(count * batch).reshape(count, batch) % len(digits.target)
    cells = np.arange(side) * 8 // side
    pixels = digits.images[chosen][:, :, cells[:, None], cells, None] / 16
    return pixels.astype(np.float32), digits.target[chosen]
