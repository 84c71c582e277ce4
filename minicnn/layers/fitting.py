"""What containers check: that their arguments are layers, and that shapes fit, before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from minicnn.geometry import Shape
from minicnn.layers.base import Layer
from minicnn.validation import ShapeError, shown

Visited: TypeAlias = tuple[str, Layer, Shape]
"""A child of a container with its name and its input shape."""


def check_layers(where: str, layers: Any) -> tuple[Layer, ...]:
    """Return a list of layers as a tuple, or raise TypeError."""
    if isinstance(layers, Layer) or not isinstance(layers, list | tuple) or not layers:
        fix = f"Use {where}([layer, ...]) with at least one."
        raise TypeError(f"{where}: layers must be a list of layers, got {shown(layers)}. {fix}")
    for number, layer in enumerate(layers):
        check_layer(where, f"layer {number}", layer)
    return tuple(layers)


def check_layer(where: str, name: str, layer: Any) -> None:
    """Raise TypeError for what is not a layer."""
    if not isinstance(layer, Layer):
        fix = "Use a value such as layers.ReLU(), with its parentheses."
        raise TypeError(f"{where}: {name} must be a layer, got {shown(layer)}. {fix}")


def have_shapes(params: Any, shapes: Any) -> bool:
    """Tell whether a tree of parameters has at least the leaves of these shapes."""
    # Superfluous leaves do no harm in a call; check_params is strict about them.
    if not isinstance(shapes, dict):
        return bool(np.shape(params) == shapes)
    return not shapes or (isinstance(params, dict) and all(have_shapes(params.get(n), s) for n, s in shapes.items()))


def shape_after(layer: Layer, shape: Shape, name: str, before: Sequence[Visited] = ()) -> Shape:
    """Return a layer's output shape; its ShapeError gets the layer's name and the history of sizes before it."""
    try:
        return layer.output_shape(shape)
    except ShapeError as error:
        error.place(name, _history(before))
        raise


def _history(before: Sequence[Visited]) -> str:
    """Tell through which layers the input shrank to what the last of them gets."""
    steps = [(name, at) for name, _, at in before if len(at) == 3]
    sizes = [_size(at) for _, at in steps]
    shrank = [i for i in range(1, len(sizes)) if sizes[i] != sizes[i - 1]]
    if not shrank:
        return ""
    through = [steps[i - 1][0] for i in shrank]
    names = through[0] if len(through) == 1 else f"{through[0]} .. {through[-1]}"
    areas = [at[0] * at[1] for _, at in steps]
    went = "shrank" if areas == sorted(areas, reverse=True) else "went"
    return f"The input {went} {' -> '.join([sizes[0], *(sizes[i] for i in shrank)])} through {names}"


def _size(shape: Shape) -> str:
    return str(shape[0]) if shape[0] == shape[1] else f"{shape[0]}x{shape[1]}"
