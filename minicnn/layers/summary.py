"""What a net is made of, from shapes alone: sizes, parameters, multiply-adds, receptive fields."""

from __future__ import annotations

import math
from dataclasses import dataclass

from minicnn.checks import explained
from minicnn.layers.base import Layer, check_net
from minicnn.layers.walk import Step, walk
from minicnn.ops.window import Shape


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


@explained
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
    input_shape = check_net("summary", net, input_shape)
    return Summary(input_shape, tuple(_row(step) for step in walk(net, input_shape)))


def _row(step: Step) -> Row:
    shapes = step.layer.param_shapes(step.input_shape)
    parameters = sum(math.prod(size) for leaf, size in shapes.items() if not leaf.startswith("moving_"))
    work = step.layer.multiply_adds(step.input_shape)
    return Row(step.name, step.layer, step.output_shape, parameters, work, step.sees)
