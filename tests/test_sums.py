"""Sums of many float32 numbers against float64: their error does not grow with their count."""

import importlib
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from oracles import geometry

from minicnn import Tensor, layers, ops, train, value_and_grad
from minicnn.kernels.arithmetic import BLOCK, RUN, add_up, sum_rows
from minicnn.ops.norm import moments

EPS = float(np.finfo(np.float32).eps)
RUN_ERROR, BLOCK_ERROR = RUN / 2 * EPS, BLOCK / 2 * EPS
VALUE = np.float32(0.1)


def constant(*shape, value=VALUE):
    return np.full(shape, value, np.float32)


def positive(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def error(found, right):
    """Largest relative error."""
    return float(np.max(np.abs(np.asarray(found, np.float64) / right - 1)))


@pytest.fixture(params=["reference", "numpy_blocked", "compiled"])
def kernels(request):
    if request.param == "compiled":
        pytest.importorskip("numba")
    return importlib.import_module(f"minicnn.kernels.{request.param}")


# Sums and means over any axes


@pytest.mark.parametrize("axis", [None, 0, 1, 2, 3, (0, 1, 2), (1, 2), (0, 3), (0, 1), (-1, -2), (0, 2, 3)])
@pytest.mark.parametrize("make", [constant, positive])
def test_sums_over_any_axes(axis, make):
    for shape in ((3, 500, 700, 3), (70, 40, 300, 2)):
        plain = make(*shape)
        for x in (plain, np.asfortranarray(plain), plain[:, ::2]):
            right = x.astype(np.float64)
            assert error(ops.sum(x, axis), right.sum(axis)) <= RUN_ERROR
            assert error(ops.mean(x, axis, True), right.mean(axis, keepdims=True)) <= RUN_ERROR
            assert ops.sum(x, axis).dtype == ops.mean(x, axis).dtype == np.float32


def test_the_mean_of_a_million_equal_numbers_is_that_number():
    x = constant(1_000_000, 3)
    assert error(ops.mean(x, axis=0), VALUE) <= 4 * EPS
    assert error(ops.mean(x), VALUE) <= 4 * EPS
    assert error(add_up(x, 0) / 1e6, VALUE) <= 4 * EPS
    assert error(sum_rows(x) / 1e6, VALUE) <= 1e-5


def test_the_logarithm_of_many_exponentials():
    x = constant(2_000_000, 2, value=0)
    assert error(ops.logsumexp(x, axis=0), np.log(2e6)) <= 2 * EPS


def test_the_weights_of_logsumexp_do_not_depend_on_a_shift():
    x = np.array([0.3, 0.1, -2.0, 1.0])
    shares = np.exp(x) / np.exp(x).sum()
    for shift in (0, 1e3, 1e5):
        small = (x + shift).astype(np.float32)
        right = np.exp(small.astype(float) - shift)
        _, g = value_and_grad(ops.logsumexp)(small)
        assert error(g, right / right.sum()) <= 4 * EPS
    assert error(shares, value_and_grad(ops.logsumexp)(x)[1]) <= 1e-15


@pytest.mark.parametrize("shape", [(1_500_000,), (1_500_000, 1), (2,), (1, 2), (1000, 1, 2)])
def test_gradients_of_broadcast_arguments(shape):
    big, small = constant(*((1_500_000, 2) if len(shape) < 3 else (1000, 1500, 2))), constant(*shape, value=3)
    if len(shape) == 1 and shape[0] > 2:
        big = constant(2, 1_500_000)
    for op, factor in ((ops.add, 1), (ops.multiply, VALUE)):
        small_tensor = Tensor(small)
        y = op(big, small_tensor)
        Tensor(np.float32(0), ((y, lambda g, y=y: np.ones(y.shape, np.float32)),)).backward()
        assert error(small_tensor.grad, big.size / small.size * float(factor)) <= RUN_ERROR


# Losses and layers


def test_losses_of_a_large_batch():
    n = 1_000_000
    logits, labels = np.tile(np.float32([0.3, 0.1]), (n, 1)), np.zeros(n, int)
    loss = np.log(np.exp(np.float64(logits[0])).sum()) - np.float64(logits[0, 0])
    assert error(ops.cross_entropy(logits, labels), loss) <= 8 * EPS
    assert error(ops.mean_squared_error(constant(n, 3), constant(n, 3, value=0)), float(VALUE) ** 2) <= 8 * EPS


def test_the_gradient_of_a_bias_of_a_large_batch():
    n = 1_000_000
    x, kernel, bias = constant(n, 1), constant(1, 3), constant(3)
    y, g = value_and_grad(lambda b: ops.mean(ops.dense(x, kernel, b)))(bias)
    assert error(g, 1 / 3) <= RUN_ERROR
    assert error(y, float(VALUE) + float(VALUE) ** 2) <= 8 * EPS


def test_the_bias_of_a_convolution_over_many_pixels(kernels):
    """The compiled kernels add up blocks in float32: 1e-4 for equal numbers, 1e-5 for others."""
    for make, most in ((constant, 1e-4), (positive, 1e-5)):
        g = make(32, 200, 200, 8)
        x = np.zeros((32, 200, 200, 1), np.float32)
        _, bias = kernels.conv2d_weight_grads(g, x, (1, 1, 1, 8), geometry(x.shape, (1, 1)), 1)
        assert error(bias, g.sum((0, 1, 2), dtype=np.float64)) <= most


# Poolings


@pytest.mark.parametrize("k", [(2, 2), (16, 16), (17, 16), (64, 64), (512, 1), (1, 700), (1000, 1000)])
@pytest.mark.parametrize("make", [constant, positive])
def test_large_windows_add_up(kernels, k, make):
    x = make(1, max(k[0], 20), max(k[1], 20), 3)
    y = kernels.sum_pool2d(x, geometry(x.shape, k, k))
    p, q = y.shape[1:3]
    cells = x[0, : p * k[0], : q * k[1]].reshape(p, k[0], q, k[1], 3)
    assert y.dtype == np.float32
    assert error(y[0], cells.sum((1, 3), dtype=np.float64)) <= RUN_ERROR


def test_gradients_of_many_windows_add_up(kernels):
    g = constant(1, 141, 141, 2)
    dx = kernels.sum_pool2d_grad(g, (1, 200, 200, 2), geometry((1, 200, 200, 2), (60, 60)))
    assert dx.dtype == np.float32
    assert error(dx[0, 100, 100], 3600 * float(VALUE)) <= 2 * EPS


@pytest.mark.parametrize("side", [1, 8, 28, 64, 1024])
@pytest.mark.parametrize("channels", [1, 3, 8])
def test_the_average_of_a_constant_image(side, channels):
    x = constant(1, side, side, channels)
    assert error(ops.global_average_pool2d(x), VALUE) <= 1e-5
    assert error(ops.average_pool2d(x, side), VALUE) <= RUN_ERROR
    assert error(ops.adaptive_average_pool2d(x, (1, 1)), VALUE) <= RUN_ERROR
    assert error(ops.global_average_pool2d(positive(2, side, side, channels)).mean(), 0.5) <= 2 / side + BLOCK_ERROR


def test_small_images_are_added_up_as_one_product():
    """The bits of nets on small images stay as they were."""
    x = positive(4, 28, 28, 5)
    ones = np.ones(784, np.float32)
    assert_array_equal(ops.global_average_pool2d(x), ones @ x.reshape(4, 784, 5) / 784)


# Batch normalisation


@pytest.mark.parametrize("value", [0, 0.1, 1000.1, -1e6, 1e18])
@pytest.mark.parametrize("shape", [(2, 1), (700, 3), (64, 28, 28, 2), (1_000_000, 1)])
def test_a_constant_channel_is_normalised_to_beta(value, shape):
    x, beta = constant(*shape, value=value), np.linspace(-1, 1, shape[-1], dtype=np.float32)
    gamma = np.ones_like(beta)
    y, g = value_and_grad(lambda a: ops.mean(ops.batch_norm(*a)))((x, gamma, beta))
    assert_array_equal(ops.batch_norm(x, gamma, beta), np.broadcast_to(beta, shape))
    assert np.isfinite(y)
    assert np.abs(g[0]).max() <= 1e-6
    assert np.abs(g[1]).max() == 0
    assert error(g[2], 1 / shape[-1]) <= BLOCK_ERROR


@pytest.mark.parametrize("mean", [0, 1, 100, 1000])
@pytest.mark.parametrize("shape", [(5, 3), (100, 100, 3), (100, 100, 100, 2)])
def test_moments_of_many_rows(mean, shape):
    x = (np.random.default_rng(0).normal(size=shape) + mean).astype(np.float32)
    rows = x.reshape(-1, shape[-1]).astype(np.float64)
    _, pivot, offset, variance = moments(x)
    assert np.abs(pivot + offset - rows.mean(0)).max() <= 1e-5 + EPS * mean
    assert error(variance, rows.var(0)) <= 1e-4


def test_moments_do_not_depend_on_an_outlier_in_the_first_row():
    x = np.random.default_rng(0).normal(size=(200_000, 1)).astype(np.float32)
    x[0] = 1e4
    _, pivot, offset, variance = moments(x)
    assert abs((pivot + offset).item() - x.mean(dtype=np.float64)) <= 1e-4
    assert error(variance, x.var(dtype=np.float64)) <= 1e-4


@pytest.mark.parametrize("mean", [0, 100])
def test_batch_normalisation_and_its_gradients_are_those_of_float64(mean):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(64, 28, 28, 3)) * [1, 0.1, 10] + mean).astype(np.float32)
    args = x, np.float32([1, -2, 0.5]), np.float32([0, 1, 2])
    weights = rng.normal(size=x.shape).astype(np.float32) + np.float32(0.5)

    def f(a):
        return (ops.batch_norm(*a) * weights.astype(a[0].dtype)).sum()

    small = value_and_grad(f)(args)
    large = value_and_grad(f)(tuple(a.astype(np.float64) for a in args))
    y, right = ops.batch_norm(*args), ops.batch_norm(*(a.astype(np.float64) for a in args))
    assert np.abs(y - right).max() <= 1e-4
    for found, expected in zip(small[1], large[1], strict=True):
        assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("mean", [0, 100])
def test_calibration_stores_the_variance_that_is_there(mean):
    x = (np.random.default_rng(0).normal(size=(64, 100, 100, 2)) + mean).astype(np.float32)
    layer = layers.BatchNormalization()
    params = layer.init(np.random.default_rng(0), x.shape[1:])
    found, _ = layer.calibrate(params, x)
    net = layers.Sequential([layer, layers.GlobalAveragePooling2D(), layers.Dense(2)])
    whole = train.calibrate(net, net.init(np.random.default_rng(0), x.shape[1:]), x)["batch_normalization"]
    for stored in (found, whole):
        assert {a.dtype for a in stored.values()} == {np.dtype(np.float32)}
        assert error(stored["moving_variance"], x.var((0, 1, 2), dtype=np.float64)) <= 1e-4
        assert np.abs(stored["moving_mean"] - x.mean((0, 1, 2), dtype=np.float64)).max() <= 1e-5 + EPS * mean


def test_training_and_evaluation_agree_after_calibration():
    """On the images that it was calibrated with, both normalise alike."""
    x = (np.random.default_rng(0).normal(size=(32, 30, 30, 4)) + 20).astype(np.float32)
    layer = replace(layers.BatchNormalization(), epsilon=1e-5)
    params, y = layer.calibrate(layer.init(np.random.default_rng(0), x.shape[1:]), x)
    assert np.abs(layer(params, x, np.random.default_rng(0)) - y).max() <= 1e-4
