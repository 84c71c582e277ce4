"""Layers whose parts are side by side: parallel branches, and a body with a shortcut around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import ops
from minicnn.geometry import Shape
from minicnn.layers.base import Flow, Layer, Params, State, unique_names
from minicnn.layers.containers import Container, joined
from minicnn.layers.fitting import check_layer, check_layers
from minicnn.validation import ShapeError


@dataclass(frozen=True, repr=False)
class Concat(Container):
    """Branches over the same input, their results concatenated along the channels."""

    branches: Sequence[Layer]

    def __post_init__(self) -> None:
        object.__setattr__(self, "branches", check_layers("Concat", self.branches))

    def parts(self) -> list[tuple[str, Layer]]:
        """Return the branches, named by kind."""
        branches = tuple(self.branches)
        return list(zip(unique_names(branches), branches, strict=True))

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shapes joined along the channels."""
        shapes = [branch.output_shape(shape) for _, branch, _ in self._visit(shape)]
        return ops.concatenate.shape(*((1, *s) for s in shapes))[1:]

    def __call__(self, params: Params, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Apply each branch and join."""
        if x.shape[1:] not in self._fitting:
            self.check(params, x.shape[1:])
        return ops.concatenate(*(_apply(name, branch, params, x, rng) for name, branch in self.parts()))

    def calibrate(self, params: Params, x: np.ndarray) -> tuple[Params, Any]:
        """Calibrate each branch."""
        done = {name: branch.calibrate(params.get(name, {}), x) for name, branch in self.parts()}
        params = params | {name: part for name, (part, _) in done.items() if part}
        return params, ops.concatenate(*(y for _, y in done.values()))

    def flow(self, way: Flow[State], state: State, shape: Shape, name: str = "") -> State:
        """Pass the state through each branch and join what comes out."""
        ends = [branch.flow(way, state, at, joined(name, child)) for child, branch, at in self.children(shape)]
        return way.join(self, shape, state, ends)


@dataclass(frozen=True, repr=False)
class Residual(Container):
    """body(x) + x, or body(x) + shortcut(x) where the shapes differ. Parameters `body` and `shortcut`."""

    body: Layer
    shortcut: Layer | None = None

    def __post_init__(self) -> None:
        check_layer("Residual", "body", self.body)
        if self.shortcut is not None:
            check_layer("Residual", "shortcut", self.shortcut)

    def parts(self) -> list[tuple[str, Layer]]:
        """Return body and shortcut."""
        return [("body", self.body)] + ([("shortcut", self.shortcut)] if self.shortcut else [])

    def output_shape(self, shape: Shape) -> Shape:
        """Return the body's, which must be the shortcut's."""
        body, *rest = (part.output_shape(shape) for _, part, _ in self._visit(shape))
        _check_same(body, rest[0] if rest else shape)
        return body

    def __call__(self, params: Params, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Add what body and shortcut give."""
        if x.shape[1:] not in self._fitting:
            self.check(params, x.shape[1:])
        # The shortcut first: where both draw random numbers, the result for a seed depends on this order.
        around = _apply("shortcut", self.shortcut, params, x, rng) if self.shortcut else x
        return _sum(_apply("body", self.body, params, x, rng), around)

    def calibrate(self, params: Params, x: np.ndarray) -> tuple[Params, Any]:
        """Calibrate body and shortcut."""
        done = {name: part.calibrate(params.get(name, {}), x) for name, part in self.parts()}
        around = done["shortcut"][1] if self.shortcut else x
        return params | {name: part for name, (part, _) in done.items() if part}, _sum(done["body"][1], around)

    def flow(self, way: Flow[State], state: State, shape: Shape, name: str = "") -> State:
        """Pass the state through body and shortcut; without a shortcut the state itself goes around the body."""
        ends = [part.flow(way, state, at, joined(name, child)) for child, part, at in self.children(shape)]
        return way.join(self, shape, state, ends if self.shortcut else [*ends, state])


def _apply(name: str, child: Layer, params: Params, x: Any, rng: np.random.Generator | None) -> Any:
    try:
        return child(params.get(name, {}), x, rng)
    except ShapeError as error:
        error.place(name)
        raise


def _sum(body: Any, around: Any) -> Any:
    # The op would broadcast a shortcut of another shape instead of refusing it.
    _check_same(body.shape[1:], around.shape[1:])
    return body + around


def _check_same(body: Shape, other: Shape) -> None:
    if body != other:
        fix = "Use padding='same' and stride 1 in the body, or a shortcut with the body's strides and filters."
        raise ShapeError("residual", f"body and shortcut must give the same shape, got {body} and {other}", fix)
