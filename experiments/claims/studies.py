"""The studies of the claims: which nets are trained, and on what they are tested."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from experiments.claims import measures
from experiments.claims.nets import Setting
from minicnn.layers import Classifier, Conv2D, Dense, Flatten, Layer, ReLU, Sequential
from minicnn.models import make_head, mlp, small_cnn
from minicnn.study.matching import match
from minicnn.study.measures import Measure, Noisy, Rotated, Shifted, accuracy
from minicnn.study.spec import Arm
from minicnn.study.study import Study
from minicnn.study.tuning import with_rate

STRIDES = (1, 2, 3)
RATES = (0.01, 0.03)


def keeps(setting: Setting) -> Study:
    """Two nets that differ in their pooling alone, tested on noisy images and on grey backgrounds.

    How a net takes a background that it was not trained on depends on its learning rate, too. So there is a pair of
    nets for each rate, and no rate is chosen.
    """
    recipe = setting.recipe
    arms: dict[str, Layer | Arm] = {
        f"{name} ({rate:g})": Arm(
            setting.pooled(trunk),
            replace(recipe, optimizer=with_rate(recipe.optimizer, rate)),
            factors={"pooling": name, "rate": rate},
            control=f"average ({rate:g})",
        )
        for rate in RATES
        for name, trunk in (("average", "average2"), ("max", "max2"))
    }
    found: dict[str, Measure] = {
        "accuracy": accuracy,
        "maps": measures.PooledMaps(),
        "background": measures.BrightBackground(),
        "noise": Noisy((0, 0.2, 0.4)),
    }
    return replace(setting, tune=None).study("keeps", arms, f"average ({RATES[0]:g})", found)


def robust(setting: Setting) -> Study:
    """Nets that shrink their maps by the stride of their convolutions or by a pooling.

    The receptive field is equal; the net with strides is wider, so that the multiply-adds are equal, too.
    """
    pooled, strided = setting.pooled("max2"), setting.pooled("strided")
    arms: dict[str, Layer | Arm] = {
        "stride": match(strided, to=pooled, input_shape=setting.shape, on="multiply_adds", within=setting.within),
        "max": pooled,
        "average": setting.pooled("average2"),
        "max, global": setting.pooled("max2", "global-max"),
    }
    found: dict[str, Measure] = {"accuracy": accuracy, "shifted": Shifted((1, 2)), "rotated": Rotated((15, 30))}
    return setting.study("robust", arms, "stride", found)


def strides(setting: Setting) -> Study:
    """One 3x3 max pooling with stride 1, 2 and 3."""
    arms: dict[str, Layer | Arm] = {
        f"stride {s}": Arm(setting.pooled(f"max3s{s}", "global-average", stages=1, batch_norm=True), factors={"s": s})
        for s in STRIDES
    }
    return setting.study("strides", arms, "stride 1", {"accuracy": accuracy})


def paddings(setting: Setting) -> Study:
    """Three 3x3 convolutions with each padding, then a global maximum, tested with digits at the border."""
    arms: dict[str, Layer | Arm] = {name: convolutions(setting, name) for name in ("valid", "same")}
    return setting.study("paddings", arms, "valid", {"accuracy": accuracy, "placed": measures.AtBorder()})


def convolutions(setting: Setting, padding: Any) -> Classifier:
    """Return the net of claim 5 with one padding in all of its convolutions."""
    few, many = setting.filters
    layers = [layer for n in (few, many, many) for layer in (Conv2D(n, 3, padding=padding), ReLU())]
    return Classifier(Sequential(layers), make_head("global-max"))


def dense_or_global(setting: Setting) -> Study:
    """One trunk with two dense layers or a global pooling behind it."""

    def net(head: str | Layer) -> Layer:
        return small_cnn(head, filters=(*setting.filters, setting.filters[1]), batch_norm=True)

    dense = Sequential([Flatten(), Dense(64), ReLU(), Dense(10)])
    arms: dict[str, Layer | Arm] = {
        "dense": net(dense),
        "global average": net("global-average"),
        "global max": net("global-max"),
    }
    return setting.study("dense_or_global", arms, "dense", {"accuracy": accuracy})


def cnn(setting: Setting) -> Layer:
    """Return the CNN of claims 7 and 8."""
    few, many = setting.filters
    return small_cnn("max", filters=(few, many, many))


def equal_sizes(setting: Setting) -> Study:
    """The CNN against dense nets of its number of parameters and of its number of multiply-adds."""
    net = cnn(setting)
    arms: dict[str, Layer | Arm] = {
        "CNN": net,
        "dense, equal parameters": _dense(net, setting, "parameters"),
        "dense, equal multiply-adds": _dense(net, setting, "multiply_adds"),
    }
    return setting.study("equal_sizes", arms, "CNN", {"accuracy": accuracy, "shifted": Shifted((1, 2))})


def _dense(net: Layer, setting: Setting, on: str) -> Layer:
    return match(mlp((64,)), to=net, input_shape=setting.shape, on=on, within=setting.within)
