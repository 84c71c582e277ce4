"""Heads and trunks: one table each, equal receptive fields, maps that windows tile; and what a new one needs."""

import numpy as np
import pytest

from minicnn import layers, models, trunks
from minicnn.layers import coverage, summary
from minicnn.layers.inspection.receptive_field import walk

L = layers
STRIDE_2 = ["max2", "average2", "max3s2", "max-blur", "strided", "all-conv", "conv-pool"]
SIZES = [(8, 8, 1), (12, 12, 3), (16, 16, 1), (27, 20, 1), (28, 28, 1), (32, 32, 3), (36, 36, 1)]


def field(net, shape):
    return summary(net, shape).rows[-1].receptive_field


def convolutions(net):
    return [layer for layer in net.layers if isinstance(layer, L.Conv2D)]


WINDOWS = (3, 2, 2, 2, 2, 5)
"""Of a map (3, 4, 4, 5): images, rows of windows, rows in one, columns of windows, columns in one, channels."""
DEFINITIONS = {
    "flatten": lambda x: x.reshape(3, -1),
    "max": lambda x: x.reshape(WINDOWS).max(axis=(2, 4)).reshape(3, -1),
    "average": lambda x: x.reshape(WINDOWS).mean(axis=(2, 4)).reshape(3, -1),
    "max-average": lambda x: (x.reshape(WINDOWS).max(axis=(2, 4)) + x.reshape(WINDOWS).mean(axis=(2, 4))).reshape(
        3, -1
    ),
    "global-max": lambda x: x.max(axis=(1, 2)),
    "global-average": lambda x: x.mean(axis=(1, 2)),
    "global-average-conv": lambda x: x.mean(axis=(1, 2)),
    "global-max-average": lambda x: np.concatenate([x.max(axis=(1, 2)), x.mean(axis=(1, 2))], axis=1),
    "gem": lambda x: np.cbrt((x**3).mean(axis=(1, 2))),
    "log-mean-exp": lambda x: np.log(np.exp(x).mean(axis=(1, 2))),
}
"""What each head computes of the values of each channel before its weights."""


@pytest.mark.parametrize("head", models.HEAD_MAKERS)
def test_every_head_gives_logits_of_its_own_parameters(head):
    net = models.make_head(head, 7)
    params = net.init(np.random.default_rng(1), (4, 4, 5))
    L.check_params(net, params, (4, 4, 5))
    y = net(params, np.ones((3, 4, 4, 5), np.float32))
    assert y.shape == (3, 7)
    assert np.isfinite(y).all()


@pytest.mark.parametrize("head", DEFINITIONS)
def test_a_head_computes_its_definition(head):
    """The head on a map that is its own trunk: logits are those of the formula on the values of each channel."""
    x = np.random.default_rng(0).uniform(0.1, 2, (3, 4, 4, 5))
    net = models.make_head(head, 7)
    params = {
        k: {n: w.astype(float) for n, w in v.items()} for k, v in net.init(np.random.default_rng(1), (4, 4, 5)).items()
    }
    pooled = DEFINITIONS[head](x)
    weights = params.get("dense") or params["conv2d"]
    expected = pooled @ weights["kernel"].reshape(pooled.shape[1], 7) + weights["bias"]
    np.testing.assert_allclose(net(params, x), expected, rtol=1e-10)


def test_a_head_of_one_s_own_enters_in_one_place(monkeypatch):
    def rows(classes):
        return [L.MaxPooling2D((1, 4)), L.Flatten(), L.Dense(classes)]

    monkeypatch.setitem(models.HEAD_MAKERS, "rows", rows)
    net = models.small_cnn("rows", classes=4)
    assert net.output_shape((12, 12, 3)) == (4,)
    assert models.pooled_cnn("max2", "rows", filters=(4,), stages=1, classes=4).output_shape((12, 12, 3)) == (4,)


@pytest.mark.parametrize("size", [(28, 28, 1), (8, 8, 1), (12, 12, 3)])
@pytest.mark.parametrize("wanted", [6, 7])
def test_trunks_that_halve_have_equal_fields_and_maps(size, wanted):
    nets = {name: trunks.pooled_trunk(name, field=wanted) for name in STRIDE_2}
    assert len({net.output_shape(size) for net in nets.values()}) == 1
    # One stage sees `wanted`; the second adds wanted - 1 elements 2 pixels apart, each 3x3 behind them 2 of 4 pixels.
    assert {field(net, size) for net in nets.values()} == {(wanted + 2 * (wanted - 1) + 2 * 2 * 4,) * 2}
    assert {name: len(convolutions(net)) for name, net in nets.items()} == {
        name: 6 if name in ("all-conv", "conv-pool") else 4 for name in STRIDE_2
    }


@pytest.mark.parametrize("name", trunks.TRUNK_MAKERS)
def test_a_stage_of_every_trunk_sees_as_much(name):
    assert field(trunks.pooled_trunk(name, filters=(8,), stages=1), (28, 28, 1)) == (6, 6)
    natural = trunks.pooled_trunk(name, filters=(8,), stages=1, field=None)
    assert convolutions(natural)[0].kernel_size == 3


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_strides_of_a_3x3_window(stride):
    net = trunks.pooled_trunk(f"max3s{stride}", filters=(8,), stages=1)
    assert net.output_shape((28, 28, 1))[0] == -(-28 // stride)


def test_valid_shrinks_and_same_does_not():
    same, valid = (trunks.pooled_trunk("max2", stages=1, filters=(8, 8), padding=p) for p in ("same", "valid"))
    assert same.output_shape((28, 28, 1)) == (14, 14, 8)
    assert valid.output_shape((28, 28, 1)) == ((28 - 4) // 2 - 2,) * 2 + (8,)


@pytest.mark.parametrize("name", trunks.TRUNK_MAKERS)
def test_batch_norm_replaces_the_bias_everywhere(name):
    net = trunks.pooled_trunk(name, batch_norm=True)
    kinds = [type(layer) for layer in net.layers]
    assert all(not conv.use_bias for conv in convolutions(net))
    assert kinds.count(L.BatchNormalization) == kinds.count(L.Conv2D) == kinds.count(L.ReLU)


@pytest.mark.parametrize("halvings", [None, 0, 1, 2])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_covering_trunk_sees_the_image_and_is_tiled(size, halvings):
    settings = trunks.covering(size, halvings=halvings)
    assert halvings in (None, settings["strides"].count(2))
    if halvings is None:
        assert 3 < max(size[:2]) / 2 ** settings["strides"].count(2) <= 7
    for head in ("max", "flatten", "global-max-average"):
        net = models.small_cnn(head, **settings, batch_norm=True)
        assert head != "max" or coverage(net, size).min() > 0
        for step in walk(net.head, net.trunk.output_shape(size)):
            windows = step.layer.windows(step.input_shape)
            assert windows is None or not (windows.rows.unread or windows.cols.unread), (head, step.name)
    rows, cols, _ = net.trunk.output_shape(size)
    assert rows % 2 == cols % 2 == 0
    assert min(field(net.trunk, size)) >= max(size[:2])


def test_the_study_s_trunk_is_the_one_that_was_designed():
    net = models.small_cnn("max", **trunks.covering((28, 28, 1)), batch_norm=True)
    assert net.trunk.layers[0] == L.ZeroPadding2D(((2, 2), (2, 2)))
    assert net.trunk.output_shape((28, 28, 1)) == (8, 8, 32)
    assert field(net.trunk, (28, 28, 1)) == (31, 31)
    # The five convolutions and the dense layer by hand: 3x3 taps for each output position and pair of channels.
    sizes = [(16, 1, 16), (8, 16, 16), (8, 16, 32), (8, 32, 32), (8, 32, 32)]
    by_hand = sum(n * n * 9 * before * after for n, before, after in sizes) + 4 * 4 * 32 * 10
    assert summary(net, (28, 28, 1)).multiply_adds == by_hand == 1_664_000


def test_the_default_trunk_covers_a_padded_digit():
    """Padded by 4 pixels for shifts: the digit itself is 8x8, the map 8x8 and tiled."""
    net = models.small_cnn("max")
    assert min(field(net.trunk, (16, 16, 1))) == 9
    assert net.trunk.output_shape((16, 16, 1)) == (8, 8, 32)
    assert coverage(net, (16, 16, 1)).min() > 0


def test_a_trunk_of_one_s_own_enters_in_one_place(monkeypatch):
    monkeypatch.setitem(
        trunks.TRUNK_MAKERS, "lp2", lambda stage, k: [*stage.conv(k), L.LpPooling2D(2, padding=stage.padding)]
    )
    assert field(trunks.pooled_trunk("lp2"), (28, 28, 1)) == field(trunks.pooled_trunk("max2"), (28, 28, 1))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: trunks.pooled_trunk("max"), "pooled_trunk: name must be one of max2"),
        (lambda: trunks.pooled_trunk("conv-pool", field=3), "field must be at least 4 for 'conv-pool', got 3"),
        (lambda: trunks.pooled_trunk(filters=(4,)), "filters must have one for each of 2 stages, got (4,)"),
        (lambda: trunks.pooled_trunk(padding=1), "padding must be 'same' or 'valid', got 1"),
        (lambda: trunks.covering((28, 28)), "covering"),
        (lambda: trunks.covering((28, 28, 1), filters=(1, 2, 3)), "filters must be two integers, got (1, 2, 3)"),
        (lambda: models.small_cnn(zero_padding="same"), "ZeroPadding2D"),
        (
            lambda: models.pooled_cnn(head=models.HEADS["max"], classes=3),
            "pooled_cnn: classes must be that of the head",
        ),
    ],
)
def test_wrong_calls_say_what_would_fit(call, words):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert words in str(caught.value)
