"""Pictures of poolings for their pages in the reference, drawn by `minicnn.show` for a part of a handwritten 0."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from minicnn import layers, ops, show

SIZE = 6
Picture = Callable[[], Figure]


@functools.cache
def image() -> np.ndarray:
    """Return a part of the first digit of scikit-learn, (6, 6, 1), with values in [0, 1]."""
    from sklearn.datasets import load_digits

    pixels: np.ndarray = load_digits().images[0][1:7, 1:7] / 16
    return pixels.reshape(SIZE, SIZE, 1)


def picture(name: str) -> Picture | None:
    """Return what draws the picture of the pooling behind a public name; None for any other name.

    >>> picture("minicnn.ops.max_pool2d")().get_suptitle()
    'layer: MaxPooling2D()'
    >>> picture("minicnn.ops.relu")
    """
    module, _, short = name.rpartition(".")
    if module == "minicnn.layers" and "Pooling2D" in short:
        return functools.partial(_of_layer, getattr(layers, short))
    if module == "minicnn.ops" and "pool" in short:
        return SPECIAL.get(short) or functools.partial(_of_layer, _layer_of(getattr(ops, short)))
    return None


def _layer_of(op: Callable[..., object]) -> type[layers.Layer]:
    """Return the layer that computes an op: the one with windows where a global one computes it, too."""
    kinds = [getattr(layers, name) for name in layers.__all__ if "Pooling2D" in name]
    return min((kind for kind in kinds if kind.op is op), key=lambda kind: len(kind.__name__))


def _of_layer(kind: type[layers.Layer]) -> Figure:
    layer = kind(4) if "output_size" in inspect.signature(kind).parameters else kind()  # type: ignore[call-arg]
    return show.pooling(layer, layer.init(np.random.default_rng(0), image().shape), image())


def _indices() -> Figure:
    found = ops.max_pool2d_indices(image()[None])[0].astype(float)
    return show.image(found, title="where each 2x2 window has its maximum: row * 6 + column")


def _unpooling() -> Figure:
    batch = image()[None]
    back = ops.max_unpool2d(ops.max_pool2d(batch), ops.max_pool2d_indices(batch), (SIZE, SIZE))
    return show.image(back[0], title="the maximum of each 2x2 window, put back to where it was")


def _convolved() -> Figure:
    net = layers.Sequential([layers.Conv2D(1, 3, padding="same"), layers.MaxPooling2D(2)])
    return show.pooling(net, net.init(np.random.default_rng(1), image().shape), image())


SPECIAL: dict[str, Picture] = {
    "max_pool2d_indices": _indices, "max_unpool2d": _unpooling, "conv2d_pool": _convolved,
}  # fmt: skip
"""Ops that are not the op of a layer with windows."""


def write(name: str, draw: Picture, folder: Path) -> Path:
    """Write the picture of a pooling as SVG, equal in every build, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.svg"
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        draw().savefig(path, metadata={"Date": None})
    return path
