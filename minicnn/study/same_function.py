"""Whether two nets are one function under two names."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from minicnn import trees
from minicnn.autograd import value_and_grad
from minicnn.geometry import Shape
from minicnn.layers import Layer
from minicnn.study.structure import inside, with_inside

SAME: dict[str, Any] = {"kernel_initializer": "zeros", "bias_initializer": "zeros", "ties": "first"}
"""Fields that do not change the function of a layer, each with a value."""


def same_function(one: Layer, two: Layer, input_shape: Shape) -> bool:
    """Tell whether two nets are found to be one function.

    They are if their parameters have the same sizes in the same order, and if with the same random numbers in them they
    give the same logits, and in training the same gradients, for random images. That finds layers that commute or
    coincide: a 1x1 convolution before or behind a global average, a pooling before or behind a ReLU, a window or a
    convolution over the whole map. It does not find nets whose parameters are in another order, such as exchanged
    branches. Nets that differ in initial weights alone, or in which of tied maxima gets the gradient, are taken as
    different: they are arms of such a comparison.

    >>> from minicnn import models
    >>> global_average, as_convolution = (models.small_cnn(f"global-average{end}") for end in ("", "-conv"))
    >>> same_function(global_average, as_convolution, (8, 8, 1))
    True
    """
    if one != two and _plain(one) == _plain(two):
        return False
    if _leaf_sizes(one, input_shape) != _leaf_sizes(two, input_shape):
        return False
    weights = [trees.map_leaves(_spread, net.init(np.random.default_rng(0), input_shape)) for net in (one, two)]
    given = iter(trees.leaves(weights[0]))
    weights[1] = trees.map_leaves(lambda leaf: next(given).reshape(leaf.shape), weights[1])
    rng = np.random.default_rng(1)
    images = rng.standard_normal((4, *input_shape))
    images[:, : input_shape[0] // 2] = 0  # a background, in which maxima are tied
    if _differ_clearly(*((net, params, images) for net, params in zip((one, two), weights, strict=True))):
        return False
    answers = [_answers(net, params, images) for net, params in zip((one, two), weights, strict=True)]
    return all(np.allclose(a, b, rtol=1e-6, atol=1e-9) for a, b in zip(*answers, strict=True))


def _differ_clearly(*nets: tuple[Layer, Any, np.ndarray]) -> bool:
    """Tell whether already the logits in float32 differ, by more than rounding can explain.

    Most nets do, and for those the kernels for float64, which nothing else in a study needs, are not compiled.
    """
    with np.errstate(all="ignore"):  # what overflows in float32 is compared in float64
        one, two = (
            net(trees.map_leaves(lambda leaf: leaf.astype(np.float32), params), images.astype(np.float32))
            for net, params, images in nets
        )
    if one.shape != two.shape or not (np.isfinite(one).all() and np.isfinite(two).all()):
        return False
    return bool(np.abs(one - two).max() > 1e-2 * max(np.abs(one).max(), np.abs(two).max()))


def _leaf_sizes(net: Layer, shape: Shape) -> list[int]:
    def sizes(held: Any) -> list[int]:
        return (
            [size for inner in held.values() for size in sizes(inner)] if isinstance(held, dict) else [math.prod(held)]
        )

    return sizes(net.param_shapes(shape))


def _spread(leaf: np.ndarray) -> np.ndarray:
    """Return initial weights a little changed, so that none is 0 and scales and exponents stay positive."""
    return leaf + 0.1 * np.random.default_rng(leaf.size).standard_normal(leaf.shape)


def _answers(net: Layer, params: Any, images: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the logits in evaluation, then the value and the gradients of a sum of those in training."""
    logits = net(params, images)
    yield logits  # most nets differ here, and the rest is not computed
    factors = np.random.default_rng(2).standard_normal(logits.shape)
    value, grads = value_and_grad(lambda p: (net(p, images, np.random.default_rng(3)) * factors).sum())(params)
    yield np.asarray(value)
    yield from (leaf.ravel() for leaf in trees.leaves(grads))


def _plain(layer: Layer) -> Layer:
    """Return a net without what does not change its function: initial weights, and where the gradient of ties goes."""
    if not dataclasses.is_dataclass(layer):
        return layer
    plain = {field.name: SAME[field.name] for field in dataclasses.fields(layer) if field.name in SAME}
    changed = dataclasses.replace(layer, **plain) if plain else layer
    children = inside(changed)
    return with_inside(changed, map(_plain, children)) if children else changed
