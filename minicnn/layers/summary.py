"""What a net is made of, from shapes alone: sizes, parameters, multiply-adds, receptive fields."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from minicnn.layers.base import Layer
from minicnn.ops.window import Shape

Reach: TypeAlias = tuple[tuple[int, int], tuple[int, int]]
"""Receptive field and distance between neighbours, in pixels of the image, for rows and for columns."""


@dataclass(frozen=True)
class Row:
    """One layer of a summary."""

    name: str
    layer: Layer
    output_shape: Shape
    parameters: int
    multiply_adds: int
    receptive_field: tuple[int, int]


@dataclass(frozen=True)
class Summary:
    """A table of a net's layers; `str` draws it.

    Attributes
    ----------
    rows : tuple of Row
    parameters : int
        Numbers that training changes; the moving statistics of batch normalisation are not among them.
    multiply_adds : int
        Of a forward pass for one image, biases and pooling not counted.
    """

    input_shape: Shape
    rows: tuple[Row, ...]

    @property
    def parameters(self) -> int:
        """Sum over the layers."""
        return sum(row.parameters for row in self.rows)

    @property
    def multiply_adds(self) -> int:
        """Sum over the layers."""
        return sum(row.multiply_adds for row in self.rows)

    def __str__(self) -> str:
        head = ("layer", "output shape", "parameters", "multiply-adds", "sees")
        body = [
            (
                r.name,
                str(r.output_shape),
                f"{r.parameters:,}",
                f"{r.multiply_adds:,}",
                "x".join(map(str, r.receptive_field)),
            )
            for r in self.rows
        ]
        total = ("total", "", f"{self.parameters:,}", f"{self.multiply_adds:,}", "")
        table = [head, ("input", str(self.input_shape), "", "", ""), *body, total]
        widths = [max(len(line[i]) for line in table) for i in range(5)]
        lines = [
            "  ".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
            for line in table
        ]
        rule = "-" * len(lines[0])
        return "\n".join(line.rstrip() for line in (lines[0], rule, *lines[1:-1], rule, lines[-1]))


def summary(net: Layer, input_shape: Shape) -> Summary:
    """Return the table of a net for images of `input_shape` (H, W, C).

    "sees" is the receptive field: how many rows and columns of the image, pads included, one number depends on.

    >>> from minicnn.layers import Conv2D, Flatten, Dense, Sequential
    >>> print(summary(Sequential([Conv2D(4, 3, strides=2), Flatten(), Dense(10)]), (8, 8, 1)))
    layer    output shape  parameters  multiply-adds  sees
    ------------------------------------------------------
    input    (8, 8, 1)
    conv2d   (3, 3, 4)             40            324   3x3
    flatten  (36,)                  0              0   7x7
    dense    (10,)                370            360   7x7
    ------------------------------------------------------
    total                         410            684
    """
    net.output_shape(input_shape)
    rows, _ = _walk("", net, input_shape, ((1, 1), (1, 1)))
    return Summary(input_shape, tuple(rows))


def _walk(name: str, layer: Layer, shape: Shape, reach: Reach) -> tuple[list[Row], Reach]:
    children = layer.children(shape)
    if not children:
        reach = _reach(layer, shape, reach)
        return [_row(name or "layer", layer, shape, reach)], reach
    rows: list[Row] = []
    ends = [reach]
    for child_name, child, at in children:
        path = f"{name}/{child_name}" if name else child_name
        below, end = _walk(path, child, at, reach if layer.parallel else ends[-1])
        rows += below
        ends.append(end)
    return rows, _widest(ends) if layer.parallel else ends[-1]


def _row(name: str, layer: Layer, shape: Shape, reach: Reach) -> Row:
    learned = {leaf: size for leaf, size in layer.param_shapes(shape).items() if not leaf.startswith("moving_")}
    parameters = sum(math.prod(size) for size in learned.values())
    sees = (reach[0][0], reach[1][0])
    return Row(name, layer, layer.output_shape(shape), parameters, layer.multiply_adds(shape), sees)


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
