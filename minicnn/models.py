"""Well-known networks as values: print them, change them with `dataclasses.replace`.

>>> from dataclasses import replace
>>> from minicnn.layers import summary
>>> net = small_cnn(head="max")
>>> other = replace(net, head=HEADS["global-average"])
>>> summary(net, (8, 8, 1)).parameters, summary(other, (8, 8, 1)).parameters
(15338, 14378)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from minicnn.hints import explained, no_attribute
from minicnn.layers import (
    AveragePooling2D,
    BatchNormalization,
    Classifier,
    Concat,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    Layer,
    MaxPooling2D,
    ReLU,
    Sequential,
)
from minicnn.validation import LARGEST, ShapeError, flag, integer, one_of, shown

__all__ = ["HEADS", "HEAD_MAKERS", "keras_mnist", "lenet5", "make_head", "mlp", "small_cnn"]


def _count(where: str, name: str, count: Any) -> int:
    return integer(where, name, count, most=LARGEST)


def _counts(where: str, name: str, counts: Any) -> None:
    if not isinstance(counts, list | tuple):
        raise TypeError(f"{where}: {name} must be a tuple of integers, got {shown(counts)}. Use one such as (16, 32).")
    for count in counts:
        integer(where, name, count, counts, most=LARGEST)


@explained
def lenet5(classes: int = 10) -> Sequential:
    """Return LeNet-5 for 28x28 images, after LeCun et al., 1998, with ReLU, max pooling and full connections.

    The first convolution pads to the 32x32 of the paper.
    """
    _count("lenet5", "classes", classes)
    return Sequential([
        Conv2D(6, 5, padding="same"), ReLU(), MaxPooling2D(2),
        Conv2D(16, 5), ReLU(), MaxPooling2D(2),
        Flatten(), Dense(120), ReLU(), Dense(84), ReLU(), Dense(classes),
    ])  # fmt: skip


@explained
def keras_mnist(classes: int = 10) -> Sequential:
    """Return the network of Keras's first MNIST example, without its dropout: 34,826 parameters on 28x28 images."""
    _count("keras_mnist", "classes", classes)
    return Sequential([
        Conv2D(32, 3), ReLU(), MaxPooling2D(2),
        Conv2D(64, 3), ReLU(), MaxPooling2D(2),
        Flatten(), Dense(classes),
    ])  # fmt: skip


HEAD_MAKERS: dict[str, Callable[[int], list[Layer]]] = {
    "flatten": lambda classes: [Flatten(), Dense(classes)],
    "max": lambda classes: [MaxPooling2D(2), Flatten(), Dense(classes)],
    "average": lambda classes: [AveragePooling2D(2), Flatten(), Dense(classes)],
    "global-max": lambda classes: [GlobalMaxPooling2D(), Dense(classes)],
    "global-average": lambda classes: [GlobalAveragePooling2D(), Dense(classes)],
    "global-average-conv": lambda classes: [Conv2D(classes, 1), GlobalAveragePooling2D()],
    "global-max-average": lambda classes: [Concat([GlobalMaxPooling2D(), GlobalAveragePooling2D()]), Dense(classes)],
}
"""The layers of each head for a number of classes. A head that is added here is known everywhere."""


@explained
def make_head(name: str, classes: int = 10) -> Layer:
    """Return what turns the feature maps of a trunk into logits.

    flatten             every element of the feature maps into a dense layer: no pooling, the control
    max, average        2x2 windows, then a dense layer
    global-max, global-average, global-max-average
                        one value (two) per channel, then a dense layer
    global-average-conv a 1x1 convolution to one feature map per class, averaged: no dense layer (Lin et al., 2014)

    >>> make_head("global-average-conv")
    Sequential(layers=(Conv2D(filters=10, kernel_size=1), GlobalAveragePooling2D()))
    """
    _count("make_head", "classes", classes)
    return Sequential(HEAD_MAKERS[one_of("make_head", "name", name, HEAD_MAKERS)](classes))


HEADS = {name: make_head(name) for name in HEAD_MAKERS}
"""Every head, for ten classes."""


@explained
def small_cnn(
    head: str | Layer = "max",
    *,
    filters: tuple[int, ...] = (16, 32, 32),
    strides: tuple[int, ...] = (1, 2, 1),
    batch_norm: bool = False,
    classes: int | None = None,
) -> Classifier:
    """Return 3x3 convolutions with ReLU that shrink by stride, so that only the head pools.

    `batch_norm` puts batch normalisation between each convolution, then without bias, and its ReLU. `classes` is 10
    for a head given by name; a head given as a layer has its own number, and another one is a ValueError.

    >>> small_cnn("global-max").output_shape((28, 28, 1))
    (10,)
    """
    for name, counts in (("filters", filters), ("strides", strides)):
        _counts("small_cnn", name, counts)
    if len(filters) != len(strides):
        got = f"{len(filters)} filters and {len(strides)} strides"
        raise ValueError(f"small_cnn: filters and strides must have the same length, got {got}.")
    flag("small_cnn", "batch_norm", batch_norm)
    trunk: list[Layer] = []
    for count, stride in zip(filters, strides, strict=True):
        conv = Conv2D(count, 3, strides=stride, padding="same", use_bias=not batch_norm)
        trunk += [conv, BatchNormalization(), ReLU()] if batch_norm else [conv, ReLU()]
    if isinstance(head, Layer):
        net = Classifier(Sequential(trunk), head)
        _check_classes(net, classes)
        return net
    return Classifier(Sequential(trunk), make_head(head, 10 if classes is None else classes))


def _check_classes(net: Classifier, classes: int | None) -> None:
    """Raise ValueError if a number of classes is asked for that a ready-made head does not have."""
    if classes is None:
        return
    try:
        has = net.output_shape((64, 64, 1))
    except ShapeError:  # a head for other sizes
        has = ()
    if has != (_count("small_cnn", "classes", classes),):
        fix = "Use small_cnn(name, classes=...) or make_head(name, classes), or leave classes out."
        raise ValueError(f"small_cnn: classes must be that of the head, {shown(has)}, got classes={classes}. {fix}")


@explained
def mlp(units: tuple[int, ...] = (128,), classes: int = 10) -> Sequential:
    """Return dense layers with ReLU on the pixels: no convolution, for comparison.

    >>> mlp((32,))
    Sequential(layers=(Flatten(), Dense(units=32), ReLU(), Dense(units=10)))
    """
    _counts("mlp", "units", units)
    _count("mlp", "classes", classes)
    hidden = [layer for count in units for layer in (Dense(count), ReLU())]
    return Sequential([Flatten(), *hidden, Dense(classes)])


if not TYPE_CHECKING:  # for which a name that is not there is an error

    def __getattr__(name: str) -> Any:
        raise no_attribute(__name__, name, __all__, {})
