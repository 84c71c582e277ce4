"""The net and the tape in the data of a page; `contract` has the rules and the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from minicnn.axis import Axis

Id: TypeAlias = str
Real: TypeAlias = float | str


@dataclass(frozen=True)
class Packed:
    """An array: float32, little-endian, in C order.

    shape   () for a scalar.
    z       Its bytes, compressed and as text. Of an array with a rule: the difference of its bits, as int32, from those
            of what the rule gives; "" where they are equal.
    rule    How the page computes it: the name of a function in `explain.derived`, the path of a layer, and the ids of
            its arguments. Left out for an array that is told as it is.
    """

    shape: list[int]
    z: str
    rule: list[str] | None = None


@dataclass(frozen=True)
class Layer:
    """A layer of the net. Sequential and Classifier are opened: their layers stand in the list themselves.

    kind       The class name in minicnn.layers: "Conv2D", "GlobalMaxPooling2D", "Concat"; of a layer of the user's
               own its module and class, which has a dot: "__main__.Swish". The page computes no kind with a dot.
    name       The path.
    call       The Python call that makes the layer, defaults left out.
    input, output
               Shapes without the batch axis: (H, W, C) or (features,).
    rows, cols, rounding, mode
               How windows lie on the input; left out for layers that work point by point. Flatten and the global
               poolings have one window over the image, and cropping has negative padding. With the `rounding` "ceil"
               the last window may end past n + after, with "adaptive" window i reads floor(i n / out) to
               ceil((i + 1) n / out); the others are "floor" and "same". `mode` is
               what padding contains: "constant" (zeros for convolutions and Padding2D, nothing for poolings),
               "reflect", "edge" or "wrap".
    params     Arrays by leaf: "kernel", "bias", "gamma", "p"; a nested leaf is a path, "inner/kernel". Left out for a
               layer without parameters and in a page without drawing.
    branches   Of Concat: one list per branch, in order. Of Residual: body and shortcut, whose list is empty where the
               input itself is added. An own container has none.
    parameters, multiply_adds
               Trained values, and multiplications for one image, as in `layers.summary`.
    node       The index of the tape's node that is the output of this layer, left out where there is none (a layer
               that returns its input, such as dropout in evaluation, has the node of its input).
    options    Written into the layer's own object: each further field of the Python layer whose value is plain, under
               its name: filters, kernel_size, strides, padding, dilation_rate, groups, use_bias, padding_mode,
               pool_size, ceil_mode, ties, count_include_pad, keepdims, p, r, epsilon, output_size, negative_slope,
               alpha, approximate, rate, units, cropping. Tuples are lists; strides of a pooling may be null, which is
               the window. An initializer is left out.
    """

    kind: str
    name: str
    call: str
    input: list[int]
    output: list[int]
    parameters: int
    multiply_adds: int
    rows: Axis | None = None
    cols: Axis | None = None
    rounding: str | None = None
    mode: str | None = None
    params: dict[str, Id] | None = None
    branches: list[list[Layer]] | None = None
    node: int | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class From:
    """An argument of an op: the node that it is, and the part of the gradient that the op sends to it.

    A node's gradient is the sum of its parts, `+=` in the order of the backward pass, which is the nodes' order from
    the last to the first. `part` is left out where the tape has no gradients, and for arrays that were left out;
    `largest` is the largest finite absolute value of its elements.
    """

    node: int
    part: Id | None = None
    largest: Real | None = None


@dataclass(frozen=True)
class Check:
    """A central difference beside one element of a gradient, (f(x + h) - f(x - h)) / 2h, computed in float64.

    cell      The index of the element, with the batch axis.
    exact     The element of `grad`.
    numeric   The difference of the loss.
    h         The step.
    value     The element itself.
    after     Of a parameter: the element after the update by the optimizer.
    smooth    False where the slopes to both sides differ, as at the threshold of a ReLU: the two numbers may differ.
    """

    cell: list[int]
    exact: Real
    numeric: Real
    h: float
    smooth: bool = True
    value: Real = 0.0
    after: Real | None = None


@dataclass(frozen=True)
class Node:
    """A tensor of the tape. Nodes stand in the order of the forward pass: arguments before results.

    op       "image", "parameter", "array" (a tensor that no op made and that has no name), or the name of the op in
             minicnn.ops: "conv2d", "relu", "max_pool2d", "dense", "cross_entropy", "add", "concatenate".
    layer    The path of the layer that the node belongs to; left out for the image and the loss.
    leaf     The name of a parameter in its layer.
    shape    With the batch axis; [] for the loss.
    value, grad
             Arrays; `grad` is d loss / d value. Left out for an array of more than 2^18 elements, and grad also on a
             tape of a tensor that is not a scalar. A gradient that is not there is not zero: it is not known.
    from     The arguments; in Python the field is `from_`. Arguments without a gradient (labels) are not on the tape.
    checks   Beside the elements with the largest gradients, at most three; of parameters, the image, and the outputs of
             layers.
    after    A parameter after the update by the optimizer; left out for more than 512 elements, see `Check.after`.
    known, arrives, complete
             Steps of the page, see `Tape.steps`, from which the value is known, a part of the gradient has arrived, and
             the gradient is complete. Left out where that never happens, and in the walk.
    """

    op: str
    shape: list[int]
    from_: list[From]
    checks: list[Check]
    layer: str | None = None
    leaf: str | None = None
    value: Id | None = None
    grad: Id | None = None
    after: Id | None = None
    known: int | None = None
    arrives: int | None = None
    complete: int | None = None


@dataclass(frozen=True)
class Tape:
    """A training step with one image, each layer run on its own, without fusion. The last node is the loss.

    steps       The node of each step that the page shows: all but parameters forward, in their order, then those with
                a gradient back, and -1 for the update.
    rules       How the ops of the tape hand on a gradient, a part of a sentence each, by name; unknown ops have none.
    svg         The drawing, of 1:1 CSS pixels: for node i a <g class="node" data-node="i"> with a <rect> and two
                <text>, for each argument a <path class="edge" data-from="j" data-to="i">. Its colours are
                currentColor; the page may style the classes.
    loss        The name of the loss function.
    optimizer   The Python call that makes the optimizer, left out where no update is shown.
    training    Whether the layers ran as in training: dropout drops, batch normalization takes the image's statistics.
    """

    nodes: list[Node]
    steps: list[int]
    rules: dict[str, str]
    svg: str
    loss: str
    training: bool
    optimizer: str | None = None
