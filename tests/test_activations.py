"""Intermediate outputs: by the paths of the layers, and with the bits of inference."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import minicnn
from minicnn import activations, layers, models, ops, train
from minicnn.layers.inspection.receptive_field import walk

L = layers
IMAGES = np.random.default_rng(0).random((5, 8, 8, 1), np.float32)


@dataclass(frozen=True, repr=False)
class Twice(L.Layer):
    """A layer of a user's."""

    def output_shape(self, shape):
        return shape

    def __call__(self, params, x, rng=None):
        return 2 * x


class Shifted(L.Sequential):
    """A container of a user's that computes something else than its layers one by one."""

    def __call__(self, params, x, rng=None):
        return super().__call__(params, x, rng) + 1


def block(filters):
    return L.Sequential([L.Conv2D(filters, 3, padding="same"), L.BatchNormalization(), L.ReLU()])


NETS = {
    "fused": L.Sequential([L.Conv2D(4, 3), L.ReLU(), L.MaxPooling2D(2), L.Flatten(), L.Dense(10)]),
    "classifier": models.small_cnn("global-max-average", filters=(4, 4), strides=(1, 2), batch_norm=True),
    "nested": L.Sequential([
        L.Residual(L.Sequential([block(4), L.Residual(block(4))]), L.Conv2D(4, 1)),
        L.Concat([L.MaxPooling2D(2), L.Sequential([L.Conv2D(2, 1), L.AveragePooling2D(2)]), L.MaxPooling2D(2)]),
        L.Dropout(0.5), L.StochasticPooling2D(2), Twice(), L.GlobalAveragePooling2D(), L.Dense(3),
    ]),
    "own container": L.Sequential([Shifted([L.Conv2D(2, 3), L.ReLU()]), L.Flatten()]),
    "one layer": L.Conv2D(3, 3),
    "concat": L.Concat([L.Conv2D(3, 3), L.MaxPooling2D(3, strides=1)]),
    "residual": L.Residual(L.Conv2D(1, 3, padding="same")),
}  # fmt: skip


def trained(net):
    """Return parameters in which nothing is 0 or 1 by chance of initialisation."""
    params = net.init(np.random.default_rng(1), (8, 8, 1))
    return train.calibrate(net, params, IMAGES)


@pytest.mark.parametrize("name", NETS)
def test_the_last_result_has_the_bits_of_inference(name):
    net = NETS[name]
    params = trained(net)
    found = activations(net, params, IMAGES)
    assert list(found.values())[-1].tobytes() == net(params, IMAGES).tobytes()
    # a prepared net adds up dense layers in another order
    predicted = train.predict(net, params, IMAGES)
    np.testing.assert_allclose(list(found.values())[-1], predicted, rtol=1e-5, atol=1e-5 * abs(predicted).max())


@pytest.mark.parametrize("name", NETS)
def test_every_layer_of_the_summary_is_there_in_its_shape(name):
    net = NETS[name]
    found = activations(net, trained(net), IMAGES)
    for step in walk(net, (8, 8, 1)):
        if name != "own container" or "shifted/" not in step.name:
            assert found[step.name].shape == (5, *step.output_shape)


@pytest.mark.parametrize("name", ["fused", "own container"])
def test_each_result_has_the_bits_of_the_net_that_ends_there(name):
    net = NETS[name]
    params, found = trained(net), activations(net, trained(net), IMAGES)
    for count, (path, _) in enumerate(net.parts(), 1):
        prefix = L.Sequential(net.layers[:count])  # with fusion, where there is any
        assert found[path].tobytes() == prefix(params, IMAGES).tobytes()


def test_paths_are_in_the_order_of_computation_and_containers_follow_their_layers():
    net = NETS["nested"]
    assert list(activations(net, trained(net), IMAGES)) == [
        "residual/body/sequential/conv2d", "residual/body/sequential/batch_normalization",
        "residual/body/sequential/relu", "residual/body/sequential",
        "residual/body/residual/body/conv2d", "residual/body/residual/body/batch_normalization",
        "residual/body/residual/body/relu", "residual/body/residual/body", "residual/body/residual",
        "residual/body", "residual/shortcut", "residual",
        "concat/max_pooling2d", "concat/sequential/conv2d", "concat/sequential/average_pooling2d", "concat/sequential",
        "concat/max_pooling2d_1", "concat",
        "dropout", "stochastic_pooling2d", "twice", "global_average_pooling2d", "dense",
    ]  # fmt: skip


def test_containers_join_what_is_in_them():
    net = NETS["nested"]
    found = activations(net, trained(net), IMAGES)
    assert_array_equal(found["residual"], found["residual/body"] + found["residual/shortcut"])
    inner = found["residual/body/residual/body"] + found["residual/body/sequential"]
    assert_array_equal(found["residual/body/residual"], inner)
    parts = [found[f"concat/{name}"] for name in ("max_pooling2d", "sequential", "max_pooling2d_1")]
    assert_array_equal(found["concat"], np.concatenate(parts, axis=-1))
    assert_array_equal(found["dropout"], found["concat"])
    assert_array_equal(found["twice"], 2 * found["stochastic_pooling2d"])


def test_a_container_of_ones_own_is_one_layer():
    net = NETS["own container"]
    params = trained(net)
    found = activations(net, params, IMAGES)
    assert list(found) == ["shifted", "flatten"]
    conv = ops.conv2d(IMAGES, params["shifted"]["conv2d"]["kernel"], params["shifted"]["conv2d"]["bias"])
    assert_array_equal(found["shifted"], ops.relu(conv) + 1)


def test_it_has_one_home_and_takes_no_batch_and_float64():
    assert minicnn.activations is layers.activations
    net = NETS["fused"]
    params = trained(net)
    assert activations(net, params, IMAGES[:0])["dense"].shape == (0, 10)
    assert activations(net, params, IMAGES.astype(np.float64))["dense"].dtype == np.float64


@pytest.mark.parametrize(("call", "words"), [
    (lambda net, params: activations(net, params, IMAGES[0]), r"images must have shape \(N, H, W, C\).*images\[None\]"),
    (lambda net, params: activations(net, params, IMAGES.astype(int)), "images must be a float32 .* int64.*255"),
    (lambda net, params: activations(net, params, None), "images must be a float32 .* NoneType"),
    (lambda net, params: activations(3, params, IMAGES), "net must be a layer, got 3"),
    (lambda net, params: activations(net, {}, IMAGES), "params must contain .*'conv2d'"),
    (lambda net, params: activations(net, params, IMAGES[:, :2]), "conv2d: .*does not fit a 2x8 input"),
    (activations, "'images' must be given"),
])  # fmt: skip
def test_what_does_not_fit_is_told(call, words):
    net = NETS["fused"]
    with pytest.raises((TypeError, ValueError), match=words):
        call(net, trained(net))
