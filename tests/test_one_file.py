"""docs/one_file.py tells the truth about minicnn: the same values and the same gradients, and it learns."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from minicnn import layers, ops, value_and_grad

PATH = Path(__file__).parent.parent / "docs" / "one_file.py"


@pytest.fixture(scope="module")
def one_file():
    spec = importlib.util.spec_from_file_location("one_file", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_values_and_gradients_are_those_of_minicnn(one_file):
    rng = np.random.default_rng(0)
    # Few grey levels, so that many windows have tied maxima; 9 x 9 pixels, so that pooling drops a row and a column.
    images = rng.integers(0, 3, (6, 9, 9, 1)) / 2
    labels = rng.integers(0, 10, 6)
    tensors = one_file.init(rng)
    loss = one_file.cross_entropy(one_file.net(tensors, one_file.Tensor(images)), labels)
    loss.backward()

    net = layers.Sequential([
        layers.Conv2D(8, 3, padding="same"), layers.ReLU(), layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(10),
    ])  # fmt: skip
    params = {
        "conv2d": {name: tensors[name].data for name in ("kernel", "bias")},
        "dense": {name: tensors[f"dense_{name}"].data for name in ("kernel", "bias")},
    }
    value, grads = value_and_grad(lambda params: ops.cross_entropy(net(params, images), labels))(params)
    assert_allclose(loss.data, value, rtol=1e-13)
    for name in ("kernel", "bias"):
        assert_allclose(tensors[name].grad, grads["conv2d"][name], rtol=1e-12, atol=1e-14)
        assert_allclose(tensors[f"dense_{name}"].grad, grads["dense"][name], rtol=1e-12, atol=1e-14)


def test_a_second_backward_gives_the_same_gradients(one_file):
    x = one_file.Tensor(np.array([[1.0, -2.0]]))
    y = one_file.cross_entropy(one_file.relu(x), np.array([1]))
    y.backward()
    first = x.grad
    y.backward()
    assert_allclose(x.grad, first)


def test_it_learns_to_read_digits(one_file):
    assert one_file.train() > 0.85  # ten classes: guessing gives 0.1


def test_it_is_short():
    lines = [line.strip() for line in PATH.read_text().splitlines()]
    assert len([line for line in lines if line]) <= 125
