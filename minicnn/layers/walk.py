"""The way of an image through a net, from shapes alone: what `summary` and `explain_shapes` tell about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from minicnn.geometry import Shape
from minicnn.layers.base import Layer

Reach: TypeAlias = tuple[tuple[int, int], tuple[int, int]]
"""Receptive field and distance between neighbours, in pixels of the image, for rows and for columns."""


@dataclass(frozen=True)
class Step:
    """One layer on the way, named by its path through the containers."""

    name: str
    layer: Layer
    input_shape: Shape
    output_shape: Shape
    reach: Reach

    @property
    def sees(self) -> tuple[int, int]:
        """Rows and columns of the image, pads included, that one number of the result depends on."""
        return self.reach[0][0], self.reach[1][0]

    @property
    def stride(self) -> tuple[int, int]:
        """Pixels of the image, down and across, between neighbours of the result."""
        return self.reach[0][1], self.reach[1][1]


def walk(net: Layer, input_shape: Shape) -> list[Step]:
    """Return the layers in the order of the way, containers opened; raise what does not fit."""
    net.output_shape(input_shape)
    return _walk("", net, input_shape, ((1, 1), (1, 1)))[0]


def _walk(name: str, layer: Layer, shape: Shape, reach: Reach) -> tuple[list[Step], Reach]:
    children = layer.children(shape)
    if not children:
        reach = _reach(layer, shape, reach)
        return [Step(name or "layer", layer, shape, layer.output_shape(shape), reach)], reach
    steps: list[Step] = []
    ends = [reach]
    for child_name, child, at in children:
        path = f"{name}/{child_name}" if name else child_name
        below, end = _walk(path, child, at, reach if layer.parallel else ends[-1])
        steps += below
        ends.append(end)
    return steps, _widest(ends) if layer.parallel else ends[-1]


def _widest(ends: list[Reach]) -> Reach:
    return (max(e[0] for e in ends), max(e[1] for e in ends))


def _reach(layer: Layer, shape: Shape, reach: Reach) -> Reach:
    windows = layer.windows(shape)
    if windows is None:
        return reach
    (rows, row_step), (cols, col_step) = reach
    return (
        (rows + (windows.rows.span - 1) * row_step, row_step * windows.rows.s),
        (cols + (windows.cols.span - 1) * col_step, col_step * windows.cols.s),
    )
