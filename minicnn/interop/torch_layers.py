"""How PyTorch stores the parameters of each layer, and the order of the elements behind its Flatten.

PyTorch's feature maps are (N, C, H, W), so its Flatten gives the elements of an image in another order than ours. Up to
the next dense layer everything with a value for each feature has to be rearranged; copied as it is, it would fit by its
shape and predict nonsense.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from minicnn import layers
from minicnn.geometry import Shape
from minicnn.interop.walk import LAYERS, check_kinds, join_path
from minicnn.layers import Concat, Layer

Order: TypeAlias = np.ndarray | None
"""For each feature here its index in PyTorch; None where they are the same."""

TENSORS: dict[type[Layer], dict[str, tuple[str, tuple[int, ...]]]] = {
    layers.Conv2D: {"kernel": ("weight", (2, 3, 1, 0)), "bias": ("bias", (0,))},  # OIHW -> HWIO
    layers.Dense: {"kernel": ("weight", (1, 0)), "bias": ("bias", (0,))},
    layers.BatchNormalization: {
        "gamma": ("weight", (0,)),
        "beta": ("bias", (0,)),
        "moving_mean": ("running_mean", (0,)),
        "moving_variance": ("running_var", (0,)),
    },
    layers.GeMPooling2D: {"p": ("p", (0,))},
    layers.GlobalGeMPooling2D: {"p": ("p", (0,))},
}
"""For each parameter the name that PyTorch gives to it and the axes that bring it into the order here."""


@dataclass(frozen=True)
class Leaf:
    """One parameter: its path here, its name and shape in PyTorch, and the way there and back."""

    path: str
    name: str
    axes: tuple[int, ...]
    shape: Shape
    order: Order

    def from_torch(self, array: np.ndarray) -> np.ndarray:
        """Return the parameter here for PyTorch's."""
        here = np.asarray(array, np.float32).transpose(self.axes)
        return np.ascontiguousarray(here if self.order is None else here[self.order])

    def to_torch(self, array: np.ndarray) -> np.ndarray:
        """Return PyTorch's parameter for that here."""
        there = np.asarray(array, np.float32)
        if self.order is not None:
            there = there[np.argsort(self.order)]
        return np.ascontiguousarray(there.transpose(np.argsort(self.axes)))


@dataclass(frozen=True)
class Stored:
    """A layer with parameters: its path here, its place among all layers in the order they run, its parameters."""

    path: str
    place: int
    leaves: tuple[Leaf, ...]

    @property
    def shapes(self) -> dict[str, Shape]:
        """The shapes in PyTorch by their names there."""
        return {leaf.name: leaf.shape for leaf in self.leaves}


def stored_layers(where: str, net: Layer, shape: Shape) -> list[Stored]:
    """Return the layers with parameters in the order in which they run."""
    check_kinds(where, net, shape, LAYERS)
    way = _Orders(where)
    net.flow(way, None, shape)
    return way.found


class _Orders:
    """The flow of the features' order through a net."""

    def __init__(self, where: str) -> None:
        self.where, self.place, self.found = where, 0, list[Stored]()

    def layer(self, name: str, layer: Layer, shape: Shape, state: Order) -> Order:
        shapes = layer.param_shapes(shape)
        if shapes:
            self.found.append(Stored(name, self.place, _leaves(name, layer, shapes, state)))
        self.place += 1
        if len(shape) == 1:
            return None if isinstance(layer, layers.Dense) else state
        return _flattened(shape) if isinstance(layer, layers.Flatten) else None

    def join(self, container: Layer, shape: Shape, state: Order, ends: list[Order]) -> Order:
        if all(end is None for end in ends):
            return None
        if isinstance(container, Concat):
            sizes = [branch.output_shape(at)[0] for _, branch, at in container.children(shape)]
            starts = np.cumsum([0, *sizes])
            parts = [np.arange(n) if end is None else end for n, end in zip(sizes, ends, strict=True)]
            return np.concatenate([part + start for part, start in zip(parts, starts[:-1], strict=True)])
        first = ends[0]
        if not all(end is not None and first is not None and np.array_equal(end, first) for end in ends):
            rule = "net must add features behind Flatten to such features only, since PyTorch flattens in another order"
            raise ValueError(f"{self.where}: {rule}, got a Residual of both. Put Flatten behind the Residual.")
        return first


def _flattened(shape: Shape) -> Order:
    h, w, c = shape
    return np.arange(h * w * c).reshape(c, h, w).transpose(1, 2, 0).ravel()


def _leaves(path: str, layer: Layer, shapes: dict[str, Shape], order: Order) -> tuple[Leaf, ...]:
    made = []
    for leaf, shape in shapes.items():
        name, axes = TENSORS[type(layer)][leaf]
        there = tuple(shape[axis] for axis in np.argsort(axes))
        features = leaf != "bias" if isinstance(layer, layers.Dense) else isinstance(layer, layers.BatchNormalization)
        made.append(Leaf(join_path(path, leaf), name, axes, there, order if features else None))
    return tuple(made)
