"""The known bugs: description, source, the check that detects each, and a network that it affects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from experiments.known_bugs import incorrect
from experiments.known_bugs.checks import Op
from minicnn import layers, ops
from minicnn.geometry import Padding, Shape, Size
from minicnn.layers import Layer, Sequential
from minicnn.layers.base import Params, leaf


@dataclass(frozen=True, repr=False)
class Pool(Layer):
    """A layer that applies any pooling op, correct or incorrect."""

    op: Op
    pool_size: Size = 2
    strides: Size | None = None
    padding: Padding = "valid"

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape given by the shape rule of the op, which may be incorrect."""
        options = {"strides": self.strides, "padding": self.padding}
        return self.op.shape((1, *shape), self.pool_size, **options)[1:]  # type: ignore[attr-defined, no-any-return]

    def __call__(self, params: Params, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Apply the op."""
        return self.op(x, self.pool_size, strides=self.strides, padding=self.padding)


@dataclass(frozen=True, repr=False)
class Convolve(layers.Conv2D):
    """A convolution layer that applies any op, correct or incorrect."""

    op: Op = field(default=ops.conv2d)

    def __call__(self, params: Params, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Apply the op."""
        return self.op(x, leaf(self, params, "kernel"), leaf(self, params, "bias"), padding=self.padding)


def without_relu(pool: Layer) -> Layer:
    """Return a network without ReLU: negative values reach the pooling, and the gradient reaches all elements."""
    conv, conv_1 = (layers.Conv2D(filters, 3, padding="same") for filters in (8, 16))
    return Sequential([conv, pool, conv_1, pool, layers.Flatten(), layers.Dense(10)])


def with_relu(pool: Layer, conv: Callable[..., Layer] = layers.Conv2D) -> Layer:
    """Return the common small network: convolution, ReLU and pooling, twice, then a dense layer."""
    first, second = (conv(filters, 3, padding="same") for filters in (8, 16))
    return Sequential([
        first, layers.ReLU(), pool, second, layers.ReLU(), pool, layers.Flatten(), layers.Dense(10),
    ])  # fmt: skip


def overlapping(op: Op) -> Layer:
    """Return a network with overlapping 3x3 windows: stride 2, same padding."""
    return without_relu(Pool(op, 3, 2, "same"))


def non_overlapping(op: Op) -> Layer:
    """Return a network with non-overlapping 2x2 windows."""
    return without_relu(Pool(op))


def averaging(op: Op) -> Layer:
    """Return a network with 2x2 average pooling."""
    return with_relu(Pool(op))


def non_square(op: Op) -> Layer:
    """Return a network with 1x2 average pooling, stride 2: windows that still fit with height and width swapped."""
    return with_relu(Pool(op, (1, 2), 2))


def convolving(op: Op) -> Layer:
    """Return the common small network with `op` as its convolution."""
    return with_relu(layers.MaxPooling2D(2), partial(Convolve, op=op))


@dataclass(frozen=True)
class Bug:
    """A published bug.

    Attributes
    ----------
    name : str
    incorrect, correct : callable
        The incorrect implementation and the op of minicnn that is correct.
    description : str
        What is incorrect.
    why_it_trains : str
        Why training does not show the bug.
    published : str
        Where the bug was published.
    detected_by : str
        Name of the check that detects it.
    net : callable
        Returns a network that the bug affects, given one of the two implementations.
    """

    name: str
    incorrect: Op
    correct: Op
    description: str
    why_it_trains: str
    published: str
    detected_by: str
    net: Callable[[Op], Layer]


BUGS = (
    Bug(
        "zero padding",
        incorrect.zero_padding,
        ops.max_pool2d,
        "max pooling pads with 0 instead of -inf, so that padding exceeds negative values",
        "forward and backward pass are consistent, so the network adapts to it",
        "Deep Learning from Scratch, DeZero, numpy-ml; ZeroPadding2D before any valid max pooling",
        "padded values",
        overlapping,
    ),
    Bug(
        "overwritten gradient",
        incorrect.overwritten_gradient,
        ops.max_pool2d,
        "gradients are assigned instead of accumulated: the maximum of several windows gets only one of its gradients",
        "the remaining gradient still has about the same direction",
        "0809zheng/CS231n-assignment2019#19, FluxML/NNlib.jl#205",
        "gradient 3x3",
        overlapping,
    ),
    Bug(
        "gradient to all ties",
        incorrect.gradient_to_all_ties,
        ops.max_pool2d,
        "every element equal to the maximum gets the whole gradient",
        "in digits, ties occur in the background, where pixels are 0 and only the bias gets too large a gradient",
        "Theano/Theano#5248, DeZero F.max",
        "gradient at ties",
        non_overlapping,
    ),
    Bug(
        "early return",
        incorrect.early_return,
        ops.max_pool2d,
        "the return statement is inside the loop: only the first window of an image gets a gradient",
        "the dense layer comes after the bug and learns from features that hardly change",
        "riccardoandreoni0/CNN-from-scratch#1",
        "gradient 2x2",
        non_overlapping,
    ),
    Bug(
        "padding missing in shape",
        incorrect.padding_missing_in_shape,
        ops.max_pool2d,
        "the output size is computed without padding, the windows with padding",
        "it does not: the results do not fit the computed shape, or the next layer expects another shape",
        "Deep Learning from Scratch (oreilly-japan#38), p2irc/deepplantphenomics#20",
        "shape",
        overlapping,
    ),
    Bug(
        "padding missing in loop",
        incorrect.padding_missing_in_loop,
        ops.max_pool2d,
        "the same error in a loop over windows: the last row and column of windows are never computed",
        "forward and backward pass are consistent for a smaller feature map; only the border is lost",
        "as above, wherever code loops over windows",
        "shape",
        overlapping,
    ),
    Bug(
        "reshape axis order",
        incorrect.reshape_axis_order,
        ops.max_pool2d,
        "pooling by reshape with the axes in the wrong order: correct shape, incorrect values",
        "forward and backward pass are consistent, and every pixel is still in exactly one window",
        "HIPS/autograd#245",
        "values",
        non_overlapping,
    ),
    Bug(
        "missing divisor",
        incorrect.missing_divisor,
        ops.average_pool2d,
        "the gradient of an average is that of a sum",
        "it has the correct direction but is 4 or 16 times too large: Adam rescales it, SGD takes larger steps",
        "from lists of common mistakes; no issue found",
        "gradient 2x2",
        averaging,
    ),
    Bug(
        "swapped axes",
        incorrect.swapped_axes,
        ops.average_pool2d,
        "the backward pass swaps height and width of the window, which is correct only for square windows",
        "one of two elements gets its gradient, the other half goes to a row that no window reads",
        "DeZero AveragePooling; of the same kind deeplearning4j#964, mlpack#3376, NNPACK#15",
        "gradient 1x2",
        non_square,
    ),
    Bug(
        "unflipped kernel",
        incorrect.unflipped_kernel,
        ops.conv2d,
        "the input gradient is a correlation instead of a convolution, which is correct only for symmetric kernels",
        "the center of the kernel is correct, and only the first convolution comes before the bug",
        "from lists of common mistakes; asked about in numpy-ml#27",
        "gradient 3x3",
        convolving,
    ),
)
