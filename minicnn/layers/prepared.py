"""A net prepared for prediction: its parameters packed once, its layers as the instructions of one compiled call."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import kernels, trees
from minicnn.geometry import Shape, pair
from minicnn.hints import explained, frozen
from minicnn.kernels.arithmetic import RUN, TERMS
from minicnn.kernels.program import AVERAGE, CONVOLVE, MAXIMUM, RELU, SCALE, WINOGRAD, Instruction, table
from minicnn.layers import fusion
from minicnn.layers.activation import Dropout, ReLU
from minicnn.layers.base import Layer, Params, check_params
from minicnn.layers.containers import Classifier, Sequential
from minicnn.layers.conv import Conv2D
from minicnn.layers.dense import Dense, Flatten
from minicnn.layers.norm import BatchNormalization
from minicnn.layers.pool import AveragePooling2D, GlobalAveragePooling2D, GlobalMaxPooling2D, MaxPooling2D
from minicnn.ops.pool import divisor
from minicnn.validation import shown

Translation = tuple[Instruction, list[np.ndarray]]
"""An instruction and the arrays that belong to it, in the order in which the loop reads them."""


@frozen(repr=False)
class Predictor:
    """A net with its parameters, prepared to be applied: call it with images (N, H, W, C).

    It holds copies of the parameters, so that later changes to them have no effect.
    """

    net: Layer
    params: Params
    input_shape: Shape
    parts: tuple[Callable[[np.ndarray], np.ndarray], ...]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the output of the net, such as logits (N, classes)."""
        shape = getattr(images, "shape", ())
        if shape[1:] != self.input_shape or not shape:
            wanted = ", ".join(map(str, ("N", *self.input_shape)))
            raise ValueError(f"Predictor: images must be an array of shape ({wanted}), got {shown(shape or images)}.")
        if images.dtype != np.float32:
            return self.net(self.params, images)  # type: ignore[no-any-return]
        for part in self.parts:
            images = part(images)
        return images

    def __repr__(self) -> str:
        return f"Predictor({self.net!r}, {self.input_shape})"


@explained
def prepare(net: Layer, params: Params, input_shape: Shape) -> Predictor:
    """Return a net as a function of images alone, several times as fast for few images.

    With the compiled kernels, consecutive layers run in one call, each core taking a few images through all of them:
    convolution, dense layers of at most 2,048 features, ReLU, max and average pooling, batch normalization, Flatten and
    Dropout. Other layers run as usual, and so does the whole net with other kernels, with MINICNN_FUSE=0, or for images
    that are not float32. Logits agree with `net(params, images)` to the rounding of sums, and where all layers run in
    that call, those of an image do not depend on how many are predicted with it. 3x3 convolutions with strides of 1,
    without dilation and groups, followed by no pooling or one of 2x2, with at least 16 channels and filters, both
    multiples of the processor's vectors, use Winograd's algorithm with 4/9 of the multiplications.

    Raises ValueError or TypeError if the net does not fit the shape, or the parameters the net.

    >>> from minicnn.models import lenet5
    >>> net = lenet5()
    >>> params = net.init(np.random.default_rng(0), (28, 28, 1))
    >>> predictor = prepare(net, params, (28, 28, 1))
    >>> predictor(np.zeros((1, 28, 28, 1), np.float32)).shape
    (1, 10)
    """
    check_params(net, params, input_shape)
    input_shape, params = tuple(input_shape), trees.map_leaves(np.copy, params)
    plain = any(leaf.dtype != np.float32 for _, leaf in trees.items(params))
    if plain or not fusion.is_on() or not kernels.can_run_programs():
        return Predictor(net, params, input_shape, (_Layer(net, params),))
    return Predictor(
        net, params, input_shape, tuple(_parts(_steps(net, params, input_shape, net.output_shape(input_shape))))
    )


@dataclass(frozen=True)
class _Layer:
    """A layer that runs as usual."""

    layer: Callable[..., Any]
    params: Params

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.layer(self.params, x)  # type: ignore[no-any-return]


class _Program:
    """Consecutive layers as one compiled call."""

    def __init__(self, translations: list[Translation], out: Shape) -> None:
        first, instructions, arrays = 0, [], []
        for instruction, numbers in translations:
            instructions.append(instruction._replace(first=first))
            arrays += [np.ravel(a) for a in numbers]
            first += sum(a.size for a in numbers)
        self.inputs, self.outputs = (math.prod(shape) for shape in (instructions[0].shape, out))
        self.out, self.table = out, table(instructions)
        self.weights = np.concatenate([np.zeros(0, np.float32), *arrays], dtype=np.float32)
        self.work = sum(i.multiplications for i in instructions)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        flat = x.reshape(len(x), self.inputs)
        y = kernels.run_program(flat, self.table, self.weights, self.outputs, self.work)
        return y.reshape(len(x), *self.out)  # type: ignore[no-any-return]


def _parts(steps: Iterator[_Step]) -> Iterator[Callable[..., Any]]:
    """Yield the programs and the layers between them."""
    waiting: list[Translation] = []
    idle: list[_Layer] = []  # layers without an instruction, such as Flatten, which a program does by its shapes
    before: Shape = ()
    for run, params, translations, out in steps:
        if translations is None:
            yield from [_Program(waiting, before)] if waiting else idle
            yield _Layer(run, params)
            waiting, idle = [], []
        else:
            waiting += translations
            idle += [] if translations else [_Layer(run, params)]
        before = out
    yield from [_Program(waiting, before)] if waiting else idle


_Step = tuple[Callable[..., Any], Params, list[Translation] | None, Shape]
"""What runs some layers, their parameters, their translation if they have one, and their output shape."""


def _steps(net: Layer, params: Params, shape: Shape, out: Shape) -> Iterator[_Step]:
    if type(net) not in (Classifier, Sequential):  # a subclass may compute something else
        yield net, params, _translations((net,), params, shape, out), out
        return
    children = net.children(shape)
    shapes = [at for _, _, at in children[1:]] + [out]
    done = 0
    for step in net.steps():
        below, done = params.get(step.names[0], {}), done + len(step.names)
        after = shapes[done - 1]
        if isinstance(step.run, Layer):
            yield from _steps(step.run, below, shape, after)
        elif fused := fusion.convolution(step):
            yield step.run, below, [_convolution(*fused, below, shape, after)], after
        else:
            yield step.run, below, _translations(fusion.in_order(step), below, shape, after), after
        shape = after


def _translations(layers: tuple[Layer, ...], params: Params, shape: Shape, out: Shape) -> list[Translation] | None:
    """Return the instructions of a layer, or of a pooling and the ReLU after it; None if there are none for it."""
    found: list[Translation] = []
    for layer in layers:
        translation = _TRANSLATE.get(type(layer), _none)(layer, params, _cube(shape), _cube(out))
        if translation is None:
            return None
        found += translation
        shape = out
    return found


def _cube(shape: Shape) -> Shape:
    """Return a shape as rows, columns and channels."""
    return (*(1,) * (3 - len(shape)), *shape)


def _none(layer: Layer, params: Params, shape: Shape, out: Shape) -> None:
    return None


def _nothing(layer: Layer, params: Params, shape: Shape, out: Shape) -> list[Translation]:
    return []


def _convolution(conv: Conv2D, options: dict[str, Any], params: Params, shape: Shape, out: Shape) -> Translation:
    pool, relu = pair("prepare", "pool_size", options.get("pool_size", 1)), options.get("relu", False)
    geometry, (kernel, bias) = conv.windows(shape).geometry, conv.weights(params)
    tiles = kernels.winograd_panels(kernel, geometry, conv.groups, pool)
    kind, more = (CONVOLVE, []) if tiles is None else (WINOGRAD, [tiles])
    made = Instruction(kind, shape, out, geometry, conv.groups, pool, relu)
    return made, _weights(kernel, bias, conv.groups) + more


def _weights(kernel: np.ndarray, bias: np.ndarray | None, groups: int) -> list[np.ndarray]:
    return [np.zeros(kernel.shape[3]) if bias is None else bias, kernels.pack(kernel, groups)]


def _alone(conv: Conv2D, params: Params, shape: Shape, out: Shape) -> list[Translation] | None:
    return [_convolution(conv, {}, params, shape, out)] if conv.padding_mode == "constant" else None


def _dense(dense: Dense, params: Params, shape: Shape, out: Shape) -> list[Translation] | None:
    if shape[2] > TERMS:  # sums of so many terms are taken in blocks
        return None
    kernel, bias = dense.weights(params)
    return [(Instruction(CONVOLVE, shape, out), _weights(kernel[None, None], bias, 1))]


def _relu(layer: ReLU, params: Params, shape: Shape, out: Shape) -> list[Translation]:
    return [(Instruction(RELU, shape, out), [])]


def _maximum(layer: Layer, params: Params, shape: Shape, out: Shape) -> list[Translation]:
    return [(Instruction(MAXIMUM, shape, out, layer.windows(shape).geometry), [])]  # type: ignore[union-attr]


def _average(layer: Any, params: Params, shape: Shape, out: Shape) -> list[Translation] | None:
    windows = layer.windows(shape)
    if math.prod(windows.geometry.window) > RUN:  # sums of so many terms are taken in float64
        return None
    counted = divisor(windows, getattr(layer, "count_include_pad", False), np.dtype(np.float32))
    return [(Instruction(AVERAGE, shape, out, windows.geometry), [counted])]


def _batch_norm(layer: BatchNormalization, params: Params, shape: Shape, out: Shape) -> list[Translation]:
    return [(Instruction(SCALE, shape, out), list(layer.factors(params)))]


_TRANSLATE: dict[type, Callable[..., list[Translation] | None]] = {
    AveragePooling2D: _average,
    BatchNormalization: _batch_norm,
    Conv2D: _alone,
    Dense: _dense,
    Dropout: _nothing,
    Flatten: _nothing,
    GlobalAveragePooling2D: _average,
    GlobalMaxPooling2D: _maximum,
    MaxPooling2D: _maximum,
    ReLU: _relu,
}
"""By exact type: a subclass may compute something else."""
