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

from minicnn.geometry import Padding, Pads, Size
from minicnn.hints import explained, unknown_names
from minicnn.layers import (
    AveragePooling2D,
    Classifier,
    Concat,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePooling2D,
    GlobalGeMPooling2D,
    GlobalLogMeanExpPooling2D,
    GlobalMaxPooling2D,
    Layer,
    MaxAveragePooling2D,
    MaxPooling2D,
    ReLU,
    Sequential,
    ZeroPadding2D,
)
from minicnn.layers.initializers import glorot_uniform
from minicnn.trunks import Stage, check_counts, pooled_trunk
from minicnn.validation import LARGEST, ShapeError, flag, integer, one_of, shown

__all__ = ["HEADS", "HEAD_MAKERS", "keras_mnist", "lenet5", "make_head", "mlp", "pooled_cnn", "small_cnn"]


def _count(where: str, name: str, count: Any) -> int:
    return integer(where, name, count, most=LARGEST)


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
    "max-average": lambda classes: [MaxAveragePooling2D(2), Flatten(), Dense(classes)],
    "global-max": lambda classes: [GlobalMaxPooling2D(), Dense(classes)],
    "global-average": lambda classes: [GlobalAveragePooling2D(), Dense(classes)],
    # The same function as global-average, as a control: it begins in the same way, too.
    "global-average-conv": lambda classes: [
        Conv2D(classes, 1, kernel_initializer=glorot_uniform),
        GlobalAveragePooling2D(),
    ],
    "global-max-average": lambda classes: [Concat([GlobalMaxPooling2D(), GlobalAveragePooling2D()]), Dense(classes)],
    "gem": lambda classes: [GlobalGeMPooling2D(), Dense(classes)],
    "log-mean-exp": lambda classes: [GlobalLogMeanExpPooling2D(), Dense(classes)],
}
"""The layers of each head for a number of classes. A head that is added here is known everywhere."""


@explained
def make_head(name: str, classes: int = 10) -> Layer:
    """Return what turns the feature maps of a trunk into logits.

    flatten             every element of the feature maps into a dense layer: no pooling, the control
    max, average, max-average
                        2x2 windows, their maximum, their average or the sum of both, then a dense layer
    global-max, global-average, global-max-average
                        one value (two) per channel, then a dense layer
    gem, log-mean-exp   one value per channel between its average and its maximum, then a dense layer: the generalised
                        mean with a learned exponent (Radenovic et al., 2018), and log(mean(exp(x)))
    global-average-conv
                        a 1x1 convolution to one feature map per class, averaged. The same function as global-average,
                        with other random initial weights: the difference of the two is noise

    The layers that give the logits have the same initializer in all heads.

    >>> make_head("global-average")
    Sequential(layers=(GlobalAveragePooling2D(), Dense(units=10)))
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
    zero_padding: Size | Pads = 0,
    classes: int | None = None,
) -> Classifier:
    """Return 3x3 convolutions with ReLU that shrink by stride, so that only the head pools.

    `batch_norm` puts batch normalization between each convolution, then without bias, and its ReLU. `zero_padding` is
    put around the image; `trunks.covering` finds one with which 2x2 windows tile the map. `classes` is 10 for a head
    given by name; a head given as a layer has its own number, and another one is a ValueError.

    >>> small_cnn("global-max").output_shape((28, 28, 1))
    (10,)
    """
    for name, counts in (("filters", filters), ("strides", strides)):
        check_counts("small_cnn", name, counts)
    if len(filters) != len(strides):
        got = f"{len(filters)} filters and {len(strides)} strides"
        raise ValueError(f"small_cnn: filters and strides must have the same length, got {got}.")
    flag("small_cnn", "batch_norm", batch_norm)
    border = ZeroPadding2D(zero_padding)
    trunk: list[Layer] = [] if border.output_shape((1, 1, 1)) == (1, 1, 1) else [border]
    for count, stride in zip(filters, strides, strict=True):
        trunk += Stage(count, batch_norm=batch_norm).conv(3, stride)
    return _with_head("small_cnn", Sequential(trunk), head, classes)


@explained
def pooled_cnn(
    trunk: str = "max2",
    head: str | Layer = "global-average",
    *,
    filters: tuple[int, ...] = (16, 32, 32, 32),
    stages: int = 2,
    field: int | None = 6,
    padding: Padding = "same",
    batch_norm: bool = False,
    classes: int | None = None,
) -> Classifier:
    """Return a net that pools between its convolutions: the trunk is that of `trunks.pooled_trunk`.

    >>> pooled_cnn("strided", "flatten", classes=3).output_shape((28, 28, 1))
    (3,)
    """
    body = pooled_trunk(trunk, filters=filters, stages=stages, field=field, padding=padding, batch_norm=batch_norm)
    return _with_head("pooled_cnn", body, head, classes)


def _with_head(where: str, trunk: Layer, head: str | Layer, classes: int | None) -> Classifier:
    if isinstance(head, Layer):
        net = Classifier(trunk, head)
        _check_classes(where, net, classes)
        return net
    return Classifier(trunk, make_head(head, 10 if classes is None else classes))


def _check_classes(where: str, net: Classifier, classes: int | None) -> None:
    """Raise ValueError if a number of classes is asked for that a ready-made head does not have."""
    if classes is None:
        return
    try:
        has = net.output_shape((64, 64, 1))
    except ShapeError:  # a head for other sizes
        has = ()
    if has != (_count(where, "classes", classes),):
        fix = f"Use {where}(name, classes=...) or make_head(name, classes), or leave classes out."
        raise ValueError(f"{where}: classes must be that of the head, {shown(has)}, got classes={classes}. {fix}")


@explained
def mlp(units: tuple[int, ...] = (128,), classes: int = 10) -> Sequential:
    """Return dense layers with ReLU on the pixels: no convolution, for comparison.

    >>> mlp((32,))
    Sequential(layers=(Flatten(), Dense(units=32), ReLU(), Dense(units=10)))
    """
    check_counts("mlp", "units", units)
    _count("mlp", "classes", classes)
    hidden = [layer for count in units for layer in (Dense(count), ReLU())]
    return Sequential([Flatten(), *hidden, Dense(classes)])


if not TYPE_CHECKING:  # with a __getattr__ a type checker accepts every name
    __getattr__ = unknown_names(__name__, __all__, {})
