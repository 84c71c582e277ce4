"""Layers made of layers: one after the other, side by side, around a shortcut, trunk and head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from minicnn import ops
from minicnn.checks import shown
from minicnn.errors import ShapeError
from minicnn.geometry import Shape
from minicnn.layers.base import Layer, Params, unique_names
from minicnn.layers.fuse import fuse

Steps: TypeAlias = Sequence[tuple[str, Layer, Shape]]


class _Container(Layer):
    """What containers share: parameters by child. A child draws its weights by its place, whatever its siblings do."""

    def _parts(self) -> list[tuple[str, Layer]]:
        raise TypeError(f"{type(self).__name__} does not say its parts")

    def init(self, rng: np.random.Generator, shape: Shape) -> Params:
        """Return the children's parameters by name, children without any left out."""
        children = self.children(shape)
        made = {
            name: child.init(place, at)
            for (name, child, at), place in zip(children, rng.spawn(len(children)), strict=True)
        }
        return {name: params for name, params in made.items() if params}

    def param_shapes(self, shape: Shape) -> dict[str, Any]:
        """Return the children's trees by name, children without parameters left out."""
        made = {name: child.param_shapes(at) for name, child, at in self.children(shape)}
        return {name: shapes for name, shapes in made.items() if shapes}

    def multiply_adds(self, shape: Shape) -> int:
        """Return the children's sum."""
        return sum(child.multiply_adds(at) for _, child, at in self.children(shape))


class _Chain(_Container):
    """A container whose children follow each other."""

    def _steps(self) -> list[tuple[str, Layer]]:
        return self._parts()

    def children(self, shape: Shape) -> list[tuple[str, Layer, Shape]]:
        """Return each layer with the shape that reaches it."""
        found: list[tuple[str, Layer, Shape]] = []
        for name, layer in self._parts():
            found.append((name, layer, shape))
            shape = _shape_after(layer, shape, name, found)
        return found

    def output_shape(self, shape: Shape) -> Shape:
        """Return the last layer's."""
        _, last, at = self.children(shape)[-1]
        return last.output_shape(at)

    def __call__(self, params: Params, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Apply one layer after the other."""
        given = x
        for name, layer in self._steps():
            try:
                x = layer(_of(params, name), x, rng)
            except ShapeError as error:
                self._tell_way(np.shape(given)[1:], error)
                error.place(name)
                raise
        return x

    def _tell_way(self, shape: Shape, error: ShapeError) -> None:
        """Raise what the shapes alone give, which names the layer and the way there, if it is the same complaint."""
        try:
            self.output_shape(shape)
        except ShapeError as found:
            if found.what.startswith(error.what):
                raise
        except (TypeError, ValueError):  # an axis of no elements
            return

    def calibrate(self, params: Params, x: np.ndarray) -> tuple[Params, Any]:
        """Calibrate one layer after the other."""
        params = dict(params)
        for name, layer in self._parts():
            part, x = layer.calibrate(_of(params, name), x)
            if part:
                params[name] = part
        return params, x


@dataclass(frozen=True, repr=False)
class Sequential(_Chain):
    """Layers one after the other.

    Their parameters are named by kind as in Keras: conv2d, conv2d_1, dense.

    >>> from minicnn.layers import Dense, Flatten
    >>> net = Sequential([Flatten(), Dense(10)])
    >>> net.init(np.random.default_rng(0), (8, 8, 1))["dense"]["kernel"].shape
    (64, 10)
    >>> net
    Sequential(layers=(Flatten(), Dense(units=10)))
    """

    layers: Sequence[Layer]

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", _layers("Sequential", self.layers))
        named = list(zip(unique_names(tuple(self.layers)), self.layers, strict=True))
        object.__setattr__(self, "_named", named)
        object.__setattr__(self, "_order", fuse(named))

    def _parts(self) -> list[tuple[str, Layer]]:
        return self._named  # type: ignore[attr-defined, no-any-return]

    def _steps(self) -> list[tuple[str, Layer]]:
        return self._order  # type: ignore[attr-defined, no-any-return]


@dataclass(frozen=True, repr=False)
class Classifier(_Chain):
    """A trunk and the head on it: `replace(net, head=other)` keeps the trunk's weights for a seed.

    Parameters are `{"trunk": ..., "head": ...}`.
    """

    trunk: Layer
    head: Layer

    def __post_init__(self) -> None:
        _layer("Classifier", "trunk", self.trunk)
        _layer("Classifier", "head", self.head)

    def _parts(self) -> list[tuple[str, Layer]]:
        return [("trunk", self.trunk), ("head", self.head)]


@dataclass(frozen=True, repr=False)
class Concat(_Container):
    """Branches over the same input, their results one after the other along the channels."""

    branches: Sequence[Layer]
    parallel = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "branches", _layers("Concat", self.branches))

    def _parts(self) -> list[tuple[str, Layer]]:
        branches = tuple(self.branches)
        return list(zip(unique_names(branches), branches, strict=True))

    def children(self, shape: Shape) -> list[tuple[str, Layer, Shape]]:
        """Return each branch with the shape of the input."""
        return [(name, branch, shape) for name, branch in self._parts()]

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shapes joined along the channels."""
        shapes = [_shape_after(branch, shape, name) for name, branch in self._parts()]
        return ops.concatenate.shape(*((1, *s) for s in shapes))[1:]

    def __call__(self, params: Params, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Apply each branch and join."""
        return ops.concatenate(*(branch(_of(params, name), x, rng) for name, branch in self._parts()))

    def calibrate(self, params: Params, x: np.ndarray) -> tuple[Params, Any]:
        """Calibrate each branch."""
        done = {name: branch.calibrate(_of(params, name), x) for name, branch in self._parts()}
        params = {name: part for name, (part, _) in done.items() if part}
        return params, ops.concatenate(*(y for _, y in done.values()))


@dataclass(frozen=True, repr=False)
class Residual(_Container):
    """body(x) + x, or body(x) + shortcut(x) where the shapes differ. Parameters `body` and `shortcut`."""

    body: Layer
    shortcut: Layer | None = None
    parallel = True

    def __post_init__(self) -> None:
        _layer("Residual", "body", self.body)
        if self.shortcut is not None:
            _layer("Residual", "shortcut", self.shortcut)

    def _parts(self) -> list[tuple[str, Layer]]:
        return [("body", self.body)] + ([("shortcut", self.shortcut)] if self.shortcut else [])

    def children(self, shape: Shape) -> list[tuple[str, Layer, Shape]]:
        """Return body and shortcut with the shape of the input."""
        return [(name, part, shape) for name, part in self._parts()]

    def output_shape(self, shape: Shape) -> Shape:
        """Return the body's, which must be the shortcut's."""
        body, *rest = (_shape_after(part, shape, name) for name, part in self._parts())
        other = rest[0] if rest else shape
        _check_same(body, other)
        return body

    def __call__(self, params: Params, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Add what body and shortcut give."""
        around = self.shortcut(_of(params, "shortcut"), x, rng) if self.shortcut else x
        return _sum(self.body(_of(params, "body"), x, rng), around)

    def calibrate(self, params: Params, x: np.ndarray) -> tuple[Params, Any]:
        """Calibrate body and shortcut."""
        done = {name: part.calibrate(_of(params, name), x) for name, part in self._parts()}
        around = done["shortcut"][1] if self.shortcut else x
        return {name: part for name, (part, _) in done.items() if part}, _sum(done["body"][1], around)


def _sum(body: Any, around: Any) -> Any:
    _check_same(body.shape[1:], around.shape[1:])
    return body + around


def _check_same(body: Shape, other: Shape) -> None:
    if body != other:
        fix = "Use padding='same' and stride 1 in the body, or a shortcut with the body's strides and filters."
        raise ShapeError("residual", f"the body gives {body}, the shortcut {other}", fix)


def _layers(where: str, layers: Any) -> tuple[Layer, ...]:
    if isinstance(layers, Layer) or not isinstance(layers, list | tuple) or not layers:
        fix = f"Use {where}([layer, ...]) with at least one."
        raise TypeError(f"{where}: layers must be a list of layers, got {shown(layers)}. {fix}")
    for number, layer in enumerate(layers):
        _layer(where, f"layer {number}", layer)
    return tuple(layers)


def _layer(where: str, name: str, layer: Any) -> None:
    if not isinstance(layer, Layer):
        fix = "Use a value such as layers.ReLU(), with its brackets."
        raise TypeError(f"{where}: {name} must be a layer, got {shown(layer)}. {fix}")


def _of(params: Any, name: str) -> Any:
    return params.get(name, {})


def _shape_after(layer: Layer, shape: Shape, name: str, before: Steps = ()) -> Shape:
    try:
        return layer.output_shape(shape)
    except ShapeError as error:
        error.place(name, _history(before))
        raise


def _history(before: Steps) -> str:
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
