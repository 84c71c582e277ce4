"""Nets of equal size: counted by hand-written formulas, for any net made of the library's records."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from minicnn import layers, models, trunks
from minicnn.layers import Layer, summary
from minicnn.study.matching import match, widths, with_widths

L = layers
SHAPE = (12, 12, 3)


def counts(net, shape):
    """Return parameters, from arrays that were made, and multiply-adds."""
    params = net.init(np.random.default_rng(0), shape)
    held = [params]
    total = 0
    while held:
        for name, value in held.pop().items():
            if isinstance(value, dict):
                held.append(value)
            else:
                total += 0 if name.startswith("moving") else value.size
    return {"parameters": total, "multiply_adds": summary(net, shape).multiply_adds}


def body(*inside):
    return L.Sequential([L.Conv2D(16, 3, padding="same"), *inside])


LOGITS = [L.GlobalAveragePooling2D(), L.Dense(4)]
BRANCHES = L.Concat([L.Conv2D(8, 1), L.Sequential([L.Conv2D(8, 1), L.ReLU(), L.Conv2D(12, 3, padding="same")])])
RESIDUAL = L.Residual(L.Sequential([L.Conv2D(24, 3, padding="same"), L.ReLU(), L.Conv2D(16, 3, padding="same")]))
PROJECTED = L.Residual(L.Conv2D(24, 3, strides=2, padding="same"), L.Conv2D(24, 1, strides=2))
NETS = {
    "small_cnn": models.small_cnn("flatten", classes=4),
    "normalised": models.small_cnn("max", classes=4, **trunks.covering(SHAPE), batch_norm=True),
    "pooled": models.pooled_cnn("all-conv", classes=4),
    "mlp": models.mlp((64, 32), 4),
    "logits of a convolution": models.small_cnn("global-average-conv", classes=4),
    "branches": L.Sequential([body(BRANCHES, L.ReLU()), *LOGITS]),
    "residual": L.Sequential([body(RESIDUAL), *LOGITS]),
    "projected": L.Sequential([body(PROJECTED), L.ReLU(), *LOGITS]),
    "depthwise": L.Sequential([body(L.Conv2D(16, 3, groups=16), L.Conv2D(32, 1)), *LOGITS]),
    "groups": L.Sequential([body(L.Conv2D(32, 3, groups=4, padding="same")), *LOGITS]),
}


@pytest.mark.parametrize("on", ["parameters", "multiply_adds"])
@pytest.mark.parametrize("share", [0.4, 1.7])
@pytest.mark.parametrize("name", NETS)
def test_any_net_becomes_as_large_as_another(name, share, on):
    net = NETS[name]
    wanted = share * counts(net, SHAPE)[on]
    # a dense net whose size is the wanted one to within 12 parameters
    other = models.mlp((max(1, round(wanted / (12 * 12 * 3 + 5))),), 4)
    within = 0.08 if name == "groups" else 0.02  # widths are multiples of 4 there
    made = match(net, to=other, input_shape=SHAPE, on=on, within=within)
    assert made.output_shape(SHAPE) == (4,)
    assert counts(made, SHAPE)[on] == pytest.approx(counts(other, SHAPE)[on], rel=within)
    factors = np.divide(widths(made), widths(net))
    middle = np.median(factors)
    # One factor for all, to within rounding and one more; the median itself is as much off.
    unit = 4 if name == "groups" else 1
    assert np.all(np.abs(np.array(widths(made)) - middle * np.array(widths(net))) <= 3 * unit), widths(made)


def test_only_widths_change():
    net = NETS["normalised"]
    wide = match(net, to=models.mlp((100,), 4), input_shape=SHAPE)
    assert wide != net
    assert with_widths(wide, widths(net)) == net
    assert wide.head == net.head
    assert all(type(a) is type(b) for a, b in zip(wide.trunk.layers, net.trunk.layers, strict=True))


def test_a_net_that_is_as_large_already_stays_itself():
    net = NETS["small_cnn"]
    assert match(net, to=net, input_shape=SHAPE, within=0) == net
    assert match(models.small_cnn("gem"), to=models.small_cnn("global-max"), input_shape=SHAPE) == models.small_cnn(
        "gem"
    )


def test_the_heads_of_the_study_reach_one_per_cent():
    settings = trunks.covering((28, 28, 1))
    nets = {name: models.small_cnn(name, **settings, batch_norm=True) for name in models.HEADS}
    for name, to in (("global-average", "flatten"), ("global-max", "flatten"), ("max", "flatten"),
                     ("flatten", "global-average")):  # fmt: skip
        made = match(nets[name], to=nets[to], input_shape=(28, 28, 1))
        wanted = counts(nets[to], (28, 28, 1))["parameters"]
        assert abs(counts(made, (28, 28, 1))["parameters"] / wanted - 1) <= 0.01


@dataclass(frozen=True)
class Named:
    """A record with a net, as an arm of a study is."""

    net: Layer
    about: str = ""


def test_an_arm_keeps_what_else_it_has():
    arm, other = Named(NETS["small_cnn"], "kept"), Named(NETS["mlp"])
    made = match(arm, to=other, input_shape=SHAPE)
    assert isinstance(made, Named)
    assert made.about == "kept"
    assert made.net == match(arm.net, to=other.net, input_shape=SHAPE)


def test_a_layer_of_one_s_own_that_holds_layers_is_widened_inside():
    @dataclass(frozen=True, repr=False)
    class Twice(L.Sequential):
        """A container of one's own."""

    made = match(L.Sequential([Twice([L.Conv2D(8, 3), L.ReLU()]), *LOGITS]), to=NETS["mlp"], input_shape=SHAPE)
    assert isinstance(made.layers[0], Twice)
    assert made.layers[0].layers[0].filters > 8


def test_what_cannot_be_reached_is_said_with_the_nearest_before_anything_is_made(monkeypatch):
    monkeypatch.setattr(L.Conv2D, "init", lambda *_: pytest.fail("weights were made"))
    one = L.Sequential([L.Conv2D(1, 1), L.Flatten(), L.Dense(4)])
    # k filters: 3k + k, then 144k * 4 + 4: 584 for one filter, 1164 for two
    with pytest.raises(ValueError) as caught:
        match(one, to=models.mlp((2,), 4), input_shape=SHAPE)
    text = str(caught.value)
    assert text.startswith("match: arm must come to within 1.00% of 878 parameters, got ")
    assert "584" in text or "1,164" in text
    assert "Use within=0.3" in text
    with pytest.raises(ValueError, match="got 584 as the nearest"):
        match(one, to=models.small_cnn("global-max", filters=(1,), strides=(1,), classes=4), input_shape=SHAPE)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: match(NETS["mlp"], to=NETS["small_cnn"], input_shape=SHAPE, on="params"),
            "Did you mean 'parameters'?",
        ),
        (lambda: match(NETS["mlp"], to=NETS["small_cnn"], input_shape=SHAPE, within=-1), "within must be"),
        (lambda: match(NETS["mlp"], to="flatten", input_shape=SHAPE), "match: to must be a layer or have a layer"),
        (lambda: match(5, to=NETS["mlp"], input_shape=SHAPE), "match: arm must be a layer or have a layer"),
        (lambda: match(models.mlp(()), to=NETS["mlp"], input_shape=SHAPE), "arm must have a layer whose width"),
        (lambda: match(NETS["mlp"], to=L.Flatten(), input_shape=SHAPE), "match: to must have parameters"),
        (lambda: match(NETS["mlp"], to=NETS["small_cnn"], input_shape=12), "the input shape must be a tuple"),
        (lambda: match(NETS["mlp"], NETS["small_cnn"]), "match: too many arguments"),
    ],
)
def test_wrong_calls_say_what_would_fit(call, words):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert words in str(caught.value)


def test_a_very_large_size_is_reached():
    huge = replace(NETS["mlp"], layers=(L.Flatten(), L.Dense(2**20), L.Dense(2**10), L.Dense(4)))
    assert summary(match(NETS["mlp"], to=huge, input_shape=SHAPE), SHAPE).parameters > 10**9
