"""Records as JSON come back equal; what is not known is refused by name; nothing but constructors is run."""

import json
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_layers import TABLE

import minicnn
from minicnn import data, layers, models, optim, schedules

NETS = {
    "lenet5": models.lenet5(),
    "keras_mnist": models.keras_mnist(4),
    "mlp": models.mlp((8, 4)),
    "batch_norm": models.small_cnn("gem" if "gem" in models.HEADS else "max", batch_norm=True),
    "concat": layers.Concat([layers.Flatten(), layers.GlobalMaxPooling2D()]),
    "residual": layers.Residual(layers.Sequential([layers.Conv2D(1, 3, padding="same", kernel_initializer="zeros")])),
    **{head: models.small_cnn(head) for head in models.HEADS},
}


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_a_net_comes_back_equal_and_computes_the_same(net):
    again = minicnn.from_json(minicnn.to_json(net))
    assert again == net
    assert repr(again) == repr(net)
    assert minicnn.to_json(again) == minicnn.to_json(net)


@pytest.mark.parametrize("layer", [row[0] for row in TABLE], ids=lambda layer: repr(layer)[:60])
def test_every_layer_comes_back(layer):
    assert minicnn.from_json(minicnn.to_json(layer)) == layer


@pytest.mark.parametrize(
    "value",
    [
        optim.SGD(0.1, momentum=0.9, nesterov=True),
        optim.Adam(schedules.OneCycle(1e-2, warmup=0.25)),
        optim.AdamW(schedules.Cosine(0.1)),
        schedules.Step(0.1, every=3, factor=0.5),
        schedules.Constant(0.1),
        data.Augmentation(shift=0.7, rotate=10),
        layers.initializers.he_normal,
        {"a": (1, 2.5, None, True, "text"), "b": ((), {})},
        (math.inf, -math.inf),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_other_records_and_plain_values_come_back(value):
    assert minicnn.from_json(minicnn.to_json(value)) == value


def test_every_field_is_written_so_that_a_later_default_changes_nothing():
    fields = json.loads(minicnn.to_json(layers.MaxPooling2D(2)))["MaxPooling2D"]
    assert {"pool_size", "strides", "padding", "ties", "ceil_mode"} <= set(fields)


def test_floats_come_back_to_the_bit():
    for value in (0.1, 1e-308, 5e-324, 1.7976931348623157e308):
        assert minicnn.from_json(minicnn.to_json(optim.SGD(value))).learning_rate == value
    assert math.isnan(minicnn.from_json(minicnn.to_json(math.nan)))


@minicnn.register
@dataclass(frozen=True, repr=False)
class Halve(layers.Layer):
    """A layer of a user."""

    by: float = 2.0

    def output_shape(self, shape):
        return shape

    def __call__(self, params, x, rng=None):
        return x / self.by


@dataclass(frozen=True, repr=False)
class Unknown(layers.Layer):
    """A layer that nobody registered."""


def test_a_layer_of_ones_own_takes_part_once_it_is_registered():
    net = layers.Sequential([Halve(4.0), layers.Flatten()])
    again = minicnn.from_json(minicnn.to_json(net))
    assert again == net
    assert (again({}, np.full((1, 2, 2, 1), 8, np.float32)) == 2).all()
    with pytest.raises(TypeError, match=r"Sequential\.layers\[0\] must be a plain value or a registered record"):
        minicnn.to_json(layers.Sequential([Unknown()]))


def test_what_cannot_be_written_is_refused_with_its_place():
    net = layers.Sequential([layers.Dense(3, kernel_initializer=lambda rng, shape: np.zeros(shape, np.float32))])
    with pytest.raises(TypeError, match=r"to_json: Sequential\.layers\[0\]\.kernel_initializer must be"):
        minicnn.to_json(net)
    tree = []
    tree.append(tree)
    with pytest.raises(ValueError, match="nested at most 50 levels deep"):
        minicnn.to_json(tree)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be JSON"),
        ("[" * 100_000, "must be JSON"),
        ("[" * 200 + "]" * 200, "nested at most"),
        ('{"Conv2D": {"filters": 0, "kernel_size": 3}}', "filters must be"),
        ('{"Conv2D": {"filters": 8, "kernel": 3}}', "Use kernel_size"),
        ('{"Conv2D": [8, 3]}', "fields of 'Conv2D' must be an object"),
        ('{"conv2d": {"filters": 8}}', "Did you mean 'Conv2D'"),
        ('{"os.system": {"command": "true"}}', "must be of a known class"),
        ('{"__import__": {"name": "os"}}', "must be of a known class"),
        ('{"Flatten": {}, "ReLU": {}}', "one record by its class name"),
        ('{"float": "1e5"}', "fields of 'float' must be an object"),
        ('{"Sequential": {"layers": [1]}}', "Sequential"),
    ],
)  # fmt: skip
def test_a_text_that_was_not_written_here_is_one_clear_error(text, message):
    with pytest.raises((ValueError, TypeError), match=message):
        minicnn.from_json(text)


def test_wrong_registrations():
    with pytest.raises(TypeError, match="register: record must be a frozen dataclass"):
        minicnn.register(dict)
    clash = dataclass(frozen=True)(type("Conv2D", (), {"__annotations__": {}}))
    with pytest.raises(ValueError, match="must have a name of its own, got Conv2D"):
        minicnn.register(clash)
    assert minicnn.register(Halve) is Halve
    assert replace(Halve(), by=3.0) == Halve(3.0)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(plain)
def test_any_plain_value_comes_back_with_its_types(value):
    again = minicnn.from_json(minicnn.to_json(value))
    assert again == value
    assert repr(again) == repr(value)
