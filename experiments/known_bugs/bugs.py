"""The animals: what is wrong, where it was published, which check is its own, and a net in which it matters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from experiments.known_bugs import incorrect as wrong
from experiments.known_bugs.checks import Op
from minicnn import layers, ops
from minicnn.layers import Layer, Sequential
from minicnn.layers.base import Params, leaf
from minicnn.ops.window import Padding, Shape, Size


@dataclass(frozen=True, repr=False)
class Pool(Layer):
    """Any op over windows as a layer, right or wrong."""

    op: Op
    pool_size: Size = 2
    strides: Size | None = None
    padding: Padding = "valid"

    def output_shape(self, shape: Shape) -> Shape:
        """Ask the op's shape rule, which may be wrong."""
        how = {"strides": self.strides, "padding": self.padding}
        return self.op.shape((1, *shape), self.pool_size, **how)[1:]  # type: ignore[attr-defined, no-any-return]

    def __call__(self, params: Params, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Apply the op."""
        return self.op(x, self.pool_size, strides=self.strides, padding=self.padding)


@dataclass(frozen=True, repr=False)
class Convolve(layers.Conv2D):
    """A convolution by any op, right or wrong."""

    op: Op = field(default=ops.conv2d)

    def __call__(self, params: Params, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Apply the op."""
        return self.op(x, leaf(self, params, "kernel"), leaf(self, params, "bias"), padding=self.padding)


def bare(pool: Layer) -> Layer:
    """Return a net whose only bends are its poolings: negative numbers and ties reach them, and gradient all cells."""
    conv, conv_1 = (layers.Conv2D(filters, 3, padding="same") for filters in (8, 16))
    return Sequential([conv, pool, conv_1, pool, layers.Flatten(), layers.Dense(10)])


def rectified(pool: Layer, conv: Callable[..., Layer] = layers.Conv2D) -> Layer:
    """Return the net of every tutorial: convolution, ReLU, pooling, twice."""
    first, second = (conv(filters, 3, padding="same") for filters in (8, 16))
    return Sequential([
        first, layers.ReLU(), pool, second, layers.ReLU(), pool, layers.Flatten(), layers.Dense(10),
    ])  # fmt: skip


def overlapping(op: Op) -> Layer:
    """Return a net with 3x3 windows, stride 2, same."""
    return bare(Pool(op, 3, 2, "same"))


def tiling(op: Op) -> Layer:
    """Return a net with 2x2 windows."""
    return bare(Pool(op))


def averaging(op: Op) -> Layer:
    """Return a net with 2x2 averages."""
    return rectified(Pool(op))


def narrow(op: Op) -> Layer:
    """Return a net with 1x2 averages, stride 2: windows that are not square, and swapped still fit."""
    return rectified(Pool(op, (1, 2), 2))


def convolving(op: Op) -> Layer:
    """Return a net of tutorials with the op as its convolution."""
    return rectified(layers.MaxPooling2D(2), partial(Convolve, op=op))


@dataclass(frozen=True)
class Bug:
    """A wrong op beside the right one, the name of the check that catches it, and a net for either."""

    name: str
    wrong: Op
    right: Op
    what: str
    why: str
    published: str
    caught_by: str
    net: Callable[[Op], Layer]


ZOO = (
    Bug(
        "zeros win",
        wrong.zeros_win,
        ops.max_pool2d,
        "maximum with pads of 0 instead of -inf: they beat negative numbers",
        "forward and backward agree, so the net learns around it",
        "Deep Learning from Scratch, DeZero, numpy-ml; ZeroPadding2D before any valid max pooling",
        "padded values",
        overlapping,
    ),
    Bug(
        "= for +=",
        wrong.assigned,
        ops.max_pool2d,
        "a cell that wins in several windows keeps one gradient instead of their sum",
        "what is left still points much the same way",
        "0809zheng/CS231n-assignment2019#19, FluxML/NNlib.jl#205",
        "gradient 3x3",
        overlapping,
    ),
    Bug(
        "all ties",
        wrong.all_ties,
        ops.max_pool2d,
        "every cell that equals the maximum gets the whole gradient",
        "digits tie on the empty background, where the pixels are 0 and only the bias gets too much",
        "Theano/Theano#5248, DeZero F.max",
        "gradient at ties",
        tiling,
    ),
    Bug(
        "returns early",
        wrong.returns_early,
        ops.max_pool2d,
        "return stands inside the loop: only the first window of an image gets gradient",
        "the dense layer is above the bug and learns on features that hardly move",
        "riccardoandreoni0/CNN-from-scratch#1",
        "gradient 2x2",
        tiling,
    ),
    Bug(
        "pads not in the shape",
        wrong.pads_not_in_shape,
        ops.max_pool2d,
        "the output size is computed without the pads, the windows with them",
        "it does not: the windows do not fill the shape, or fill another than the next layer was made for",
        "Deep Learning from Scratch (oreilly-japan#38), p2irc/deepplantphenomics#20",
        "shape",
        overlapping,
    ),
    Bug(
        "pads not in the loop",
        wrong.pads_not_in_loop,
        ops.max_pool2d,
        "the same mistake in a loop: the last row and column of windows are never looked at",
        "forward and backward agree on a smaller map; what is lost is the border",
        "as above, wherever windows are visited one by one",
        "shape",
        overlapping,
    ),
    Bug(
        "far cells",
        wrong.far_cells,
        ops.max_pool2d,
        "pooling by reshape with the axes in the wrong order: right shape, wrong content",
        "forward and backward agree, and every pixel is still in one window",
        "HIPS/autograd#245",
        "values",
        tiling,
    ),
    Bug(
        "divisor forgotten",
        wrong.undivided,
        ops.average_pool2d,
        "the gradient of an average is that of a sum",
        "it points the right way, 4 and 16 times too long: Adam divides that out, SGD takes longer steps",
        "from lists of common mistakes; no thread found",
        "gradient 2x2",
        averaging,
    ),
    Bug(
        "swapped axes",
        wrong.swapped_axes,
        ops.average_pool2d,
        "the backward pass takes height for width: right for square windows only",
        "one cell of two gets its gradient, the other half goes to a row that is never read",
        "DeZero AveragePooling; of the same kind deeplearning4j#964, mlpack#3376, NNPACK#15",
        "gradient 1x2",
        narrow,
    ),
    Bug(
        "kernel not flipped",
        wrong.unflipped,
        ops.conv2d,
        "the input gradient correlates with the kernel instead of convolving: right for symmetric kernels only",
        "the centre of the kernel is right, and only the first convolution is below the bug",
        "from lists of common mistakes; asked about in numpy-ml#27",
        "gradient 3x3",
        convolving,
    ),
)
