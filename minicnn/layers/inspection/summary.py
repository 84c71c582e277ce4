"""What a network consists of, from shapes alone: sizes, parameters, multiply-adds, receptive fields."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass

from minicnn.geometry import Shape
from minicnn.hints import explained, frozen
from minicnn.layers.base import Layer, check_net
from minicnn.layers.inspection.receptive_field import Step, walk


@dataclass(frozen=True)
class Row:
    """One layer of a summary."""

    name: str
    layer: Layer
    output_shape: Shape
    parameters: int
    multiply_adds: int
    receptive_field: tuple[int, int]


@frozen(repr=False)
class Summary:
    """A table of a net's layers: `print` it, or let a notebook display it.

    Attributes
    ----------
    rows : tuple of Row
    parameters : int
        Values that training changes; the moving statistics of batch normalization are not among them.
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

    def __repr__(self) -> str:
        return f"Summary({len(self.rows)} layers, {self.parameters:,} parameters, {self.multiply_adds:,} multiply-adds)"

    def __str__(self) -> str:
        table = self._table()
        widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
        lines = [
            "  ".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
            for line in table
        ]
        rule = "-" * len(lines[0])
        return "\n".join(line.rstrip() for line in (lines[0], rule, *lines[1:-1], rule, lines[-1]))

    def _repr_html_(self) -> str:
        head, *body = self._table()
        rows = [_html_row("th", head), *(_html_row("td", line) for line in body)]
        return f"<table>{''.join(rows)}</table>"

    def _table(self) -> list[tuple[str, ...]]:
        """Return the texts of the table, with its head and its totals."""
        head = ("layer", "output shape", "parameters", "multiply-adds", "receptive field")
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
        return [head, ("input", str(self.input_shape), "", "", ""), *body, total]


def _html_row(tag: str, line: tuple[str, ...]) -> str:
    sides = ["left"] * 2 + ["right"] * 3
    cells = [
        f'<{tag} style="text-align:{side}">{html.escape(cell)}</{tag}>' for side, cell in zip(sides, line, strict=True)
    ]
    return f"<tr>{''.join(cells)}</tr>"


@explained
def summary(net: Layer, input_shape: Shape) -> Summary:
    """Return the table of a net for images of `input_shape` (H, W, C).

    The receptive field is the number of rows and columns of the image, padding included, that one element depends on.

    >>> from minicnn.layers import Conv2D, Flatten, Dense, Sequential
    >>> print(summary(Sequential([Conv2D(4, 3, strides=2), Flatten(), Dense(10)]), (8, 8, 1)))
    layer    output shape  parameters  multiply-adds  receptive field
    -----------------------------------------------------------------
    input    (8, 8, 1)
    conv2d   (3, 3, 4)             40            324              3x3
    flatten  (36,)                  0              0              7x7
    dense    (10,)                370            360              7x7
    -----------------------------------------------------------------
    total                         410            684
    """
    input_shape = check_net("summary", net, input_shape)
    return Summary(input_shape, tuple(_row(step) for step in walk(net, input_shape)))


def _row(step: Step) -> Row:
    shapes = step.layer.param_shapes(step.input_shape)
    parameters = sum(math.prod(size) for leaf, size in shapes.items() if not leaf.startswith("moving_"))
    work = step.layer.multiply_adds(step.input_shape)
    return Row(step.name, step.layer, step.output_shape, parameters, work, step.receptive_field)
