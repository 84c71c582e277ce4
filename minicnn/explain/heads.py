"""Class maps: how much each place of the last feature map contributes to each logit; the contributions add up to it."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import layers, ops, trees
from minicnn.autograd import Tensor
from minicnn.explain.contract import Head, Layer
from minicnn.explain.net import CHAINS, Describer, apply
from minicnn.explain.packing import short
from minicnn.kernels.uncompiled import uncompiled
from minicnn.layers.inspection.class_maps import contributions
from minicnn.layers.inspection.summary import summary

TOLERANCE = 1e-4
"""Of the largest logit, or of 1: a smaller remainder is rounding."""
MAXIMA = (layers.MaxPooling2D, layers.GlobalMaxPooling2D, layers.AdaptiveMaxPooling2D)


def describe_head(name: str, net: Any, params: Any, image: np.ndarray, describer: Describer) -> Head:
    """Return a net on an image (H, W, C) with its class maps.

    They are computed in float64: activation times gradient of the logit, summed over channels. Where the head is
    linear for a fixed choice of maxima, the sums plus the bias are the logits (Euler's theorem on homogeneous
    functions); the remainder says where it is not.
    """
    described = describer.chain(net, params, image.shape)
    place = map_layer(described, net, image.shape)
    maps, activation = class_maps(net, params, image, place)
    logits = np.asarray(net(params, image[None])[0])
    bias = _bias(described, place, params, len(logits))
    remainder = logits - bias - maps.sum(axis=(1, 2))
    total = summary(net, image.shape)
    found = _winners(net, params, described, place, activation)
    size = max(1.0, float(np.abs(logits).max()))
    return Head(
        name=name,
        net=described,
        parameters=total.parameters,
        multiply_adds=total.multiply_adds,
        logits=[short(v) for v in logits],
        class_maps=describer.arrays.put(maps, f"the class maps of {name}"),
        map_of=place,
        bias=[short(v) for v in bias],
        remainder=[short(v) for v in remainder],
        exact=bool(np.abs(remainder).max() <= TOLERANCE * size),
        winners=None if found is None else describer.arrays.put(found),
    )


def map_layer(described: list[Layer], net: Any, shape: tuple[int, ...]) -> str:
    """Return the layer whose output the class maps belong to, "" for the image of a net without feature maps.

    It is the end of the trunk of a Classifier; else the last layer with weights that gives feature maps, with the
    activations behind it.
    """
    maps = [i for i, layer in enumerate(described) if len(layer.output) == 3]
    if type(net) is layers.Classifier:
        trunk = [i for i in maps if described[i].name.startswith("trunk")]
        if trunk and len(net.trunk.output_shape(shape)) == 3:
            return described[trunk[-1]].name
    weighted = [i for i in maps if described[i].multiply_adds]
    if not weighted:
        return ""
    last = weighted[-1]
    while last + 1 in maps and described[last + 1].rows is None and not described[last + 1].multiply_adds:
        last += 1
    return described[last].name


@uncompiled()  # in float64, for which a training compiles no loops
def class_maps(net: Any, params: Any, image: np.ndarray, place: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the class maps (classes, H, W) and the activation (H, W, C) that they belong to, in float64."""
    params = trees.map_leaves(lambda a: np.asarray(a, np.float64), params)
    x: Any = image[None].astype(np.float64)
    kept = [Tensor(x)]

    def look(name: str, y: Any) -> Any:
        if name != place:
            return y
        kept[0] = Tensor(y)
        return kept[0]

    logits = apply(net, params, x if place else kept[0], None, look)
    maps = [contributions(logits[:, k], kept[0])[0] for k in range(logits.data.shape[-1])]
    return np.stack(maps), kept[0].data[0]


def _bias(described: list[Layer], place: str, params: Any, classes: int) -> np.ndarray:
    """Return the bias of the last layer with weights behind the class maps, zeros if it has none."""
    names = [layer.name for layer in described]
    behind = described[names.index(place) + 1 :] if place else described
    found = [layer.name for layer in behind if layer.multiply_adds]
    leaves = dict(trees.items(params))
    bias = leaves.get(f"{found[-1]}/bias" if found[-1] != "layer" else "bias") if found else None
    return np.zeros(classes) if bias is None or len(bias) != classes else np.asarray(bias, np.float64)


@uncompiled()
def _winners(net: Any, params: Any, described: list[Layer], place: str, activation: np.ndarray) -> np.ndarray | None:
    """Return in how many channels each place is a maximum of the max pooling that directly follows, or None."""
    names = [layer.name for layer in described]
    behind = names[names.index(place) + 1 :] if place else names
    layer: Any = _layer_of(net, behind[0]) if behind else None
    if type(layer) not in MAXIMA:
        return None
    x = Tensor(activation[None])
    ops.sum(layer({}, x)).backward()
    return None if x.grad is None else np.count_nonzero(x.grad[0], axis=-1).astype(np.float32)


def _layer_of(net: Any, name: str) -> Any:
    for child in name.split("/"):
        if type(net) not in CHAINS:
            break
        net = dict(net.parts()).get(child)
    return net
