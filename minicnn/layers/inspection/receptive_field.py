"""The layers of a network in order, with shapes and receptive fields: what `summary` and `explain_shapes` print."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from minicnn.geometry import Shape
from minicnn.layers.base import Layer

Reach: TypeAlias = tuple[tuple[int, int], tuple[int, int]]
"""Receptive field and distance between neighbours, in pixels of the image, for rows and for columns."""


@dataclass(frozen=True)
class Step:
    """One layer, named by its path through the containers."""

    name: str
    layer: Layer
    input_shape: Shape
    output_shape: Shape
    reach: Reach

    @property
    def receptive_field(self) -> tuple[int, int]:
        """Rows and columns of the image, padding included, that one element of the result depends on."""
        return self.reach[0][0], self.reach[1][0]

    @property
    def stride(self) -> tuple[int, int]:
        """Distance in the image, in rows and columns, between the receptive fields of neighbouring elements."""
        return self.reach[0][1], self.reach[1][1]


def walk(net: Layer, input_shape: Shape) -> list[Step]:
    """Return the layers in the order of execution, containers expanded; raise ShapeError for one that does not fit."""
    net.output_shape(input_shape)
    fields = _ReceptiveFields()
    net.flow(fields, ((1, 1), (1, 1)), input_shape)
    return fields.steps


class _ReceptiveFields:
    """Enlarges the receptive field layer by layer; after parallel branches it is the largest of theirs."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def layer(self, name: str, layer: Layer, shape: Shape, state: Reach) -> Reach:
        reach = _through(layer, shape, state)
        self.steps.append(Step(name or "layer", layer, shape, layer.output_shape(shape), reach))
        return reach

    def join(self, container: Layer, shape: Shape, state: Reach, ends: list[Reach]) -> Reach:
        return (max(end[0] for end in ends), max(end[1] for end in ends))


def _through(layer: Layer, shape: Shape, reach: Reach) -> Reach:
    windows = layer.windows(shape)
    if windows is None:
        return reach
    (rows, row_step), (cols, col_step) = reach
    return (
        (rows + (windows.rows.span - 1) * row_step, row_step * windows.rows.s),
        (cols + (windows.cols.span - 1) * col_step, col_step * windows.cols.s),
    )
