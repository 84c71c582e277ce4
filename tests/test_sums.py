"""Sums of many float32 numbers against float64: their error does not grow with their count."""

import importlib
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from oracles import geometry

from minicnn import Tensor, clipping, layers, ops, train, value_and_grad
from minicnn.geometry import Geometry
from minicnn.kernels.arithmetic import BLOCK, PIECE_TERMS, RUN, TERMS, add_up, sum_rows
from minicnn.ops.norm import moments

EPS = float(np.finfo(np.float32).eps)
RUN_ERROR, BLOCK_ERROR = RUN / 2 * EPS, BLOCK / 2 * EPS
TERMS_ERROR, PIECE_ERROR = TERMS / 2 * EPS, PIECE_TERMS / 2 * EPS
MANY = 2**20
THIRD = np.float32(1 / 3)
VALUE = np.float32(0.1)


def constant(*shape, value=VALUE):
    return np.full(shape, value, np.float32)


def positive(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def error(found, right):
    """Largest relative error."""
    return float(np.max(np.abs(np.asarray(found, np.float64) / right - 1)))


def every_window(shape, size):
    """Windows without padding and strides: the oracle's list of pixels would be long."""
    (p, q), none = (n - k + 1 for n, k in zip(shape[1:3], size, strict=True)), (0, 0)
    return Geometry(tuple(size), (1, 1), (none, none), (1, 1), (p, q))


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


# Products


def gradient(op, *args, g, of):
    """Gradient of one argument from that of the result."""
    args = [Tensor(a) for a in args]
    y = op(*args)
    Tensor(np.float32(0), ((y, lambda _: g),)).backward()
    return args[of].grad


@pytest.mark.parametrize("op", [ops.matmul, ops.dense])
@pytest.mark.parametrize("features", [(1, 3), (1, 16), (16, 1)])
def test_the_weight_gradient_of_many_rows(op, features):
    width, units = features
    for rows in (TERMS + 1, 2**16 + 1, MANY):
        for x, g in ((1, THIRD), (VALUE, 1)):
            given = constant(rows, width, value=x), constant(width, units)
            found = gradient(op, *given, g=constant(rows, units, value=g), of=1)
            assert found.dtype == np.float32
            assert error(found, rows * float(np.float32(x)) * float(g)) <= TERMS_ERROR


def test_products_over_many_elements():
    right = MANY * float(THIRD)
    row, matrix = constant(1, MANY, value=1), constant(MANY, 3, value=THIRD)
    assert error(ops.matmul(row, matrix), right) <= TERMS_ERROR
    assert error(ops.matmul(row[0], matrix), right) <= TERMS_ERROR
    assert error(ops.matmul(matrix.T, row[0]), right) <= TERMS_ERROR
    assert error(ops.dense(row, matrix), right) <= TERMS_ERROR
    for op in (ops.matmul, ops.dense):
        assert error(gradient(op, constant(1, 3), matrix.T, g=row, of=0), right) <= TERMS_ERROR


def test_products_of_stacks_of_matrices():
    """The last block is a short one."""
    a, b = positive(2, 3, 5000), positive(3, 2, 5000, 2, seed=1)
    right = a.astype(np.float64) @ b.astype(np.float64)
    assert ops.matmul(a, b).dtype == np.float32
    assert error(ops.matmul(a, b), right) <= 1e-6
    g = positive(*right.shape, seed=2)
    right = (g.astype(np.float64) @ b.swapaxes(-1, -2)).sum(0)
    assert error(gradient(ops.matmul, a, b, g=g, of=0), right) <= 1e-6


@pytest.mark.parametrize("length", [1600, TERMS])
def test_the_products_of_small_networks_keep_their_bits(length):
    x, kernel = positive(32, length), positive(length, 10, seed=1)
    assert_array_equal(ops.dense(x, kernel), x @ kernel)
    g = positive(length, 10, seed=2)
    assert_array_equal(gradient(ops.dense, x.T, x @ kernel, g=g, of=1), x @ g)


# Convolutions


@pytest.mark.parametrize("shape", [(1, 1, MANY, 1), (1, 1, MANY, 2), (1, 1024, 1024, 1), (2**16, 4, 4, 1)])
def test_the_kernel_gradient_of_many_windows(kernels, shape):
    c = shape[3]
    x, g = constant(*shape, value=1), constant(*shape[:3], 3, value=THIRD)
    kernel, bias = kernels.conv2d_weight_grads(g, x, (1, 1, c, 3), every_window(shape, (1, 1)), 1)
    assert kernel.dtype == bias.dtype == np.float32
    assert error(kernel, MANY * float(THIRD)) <= TERMS_ERROR
    assert error(bias, MANY * float(THIRD)) <= BLOCK_ERROR


def test_the_kernel_gradient_of_many_windows_with_overlap(kernels):
    """Pieces of 14,563 windows, which one product of the compiled kernels adds up."""
    x, g = constant(1, 1026, 1026, 1, value=1), constant(1, 1024, 1024, 4, value=THIRD)
    kernel, bias = kernels.conv2d_weight_grads(g, x, (3, 3, 1, 4), every_window(x.shape, (3, 3)), 1)
    assert error(kernel, MANY * float(THIRD)) <= PIECE_ERROR
    assert error(bias, MANY * float(THIRD)) <= BLOCK_ERROR


def test_the_kernel_gradient_of_a_group(kernels):
    x, g = constant(1, 1, MANY, 2, value=1), constant(1, 1, MANY, 4, value=THIRD)
    kernel, bias = kernels.conv2d_weight_grads(g, x, (1, 1, 1, 4), every_window(x.shape, (1, 1)), 2)
    assert error(kernel, MANY * float(THIRD)) <= TERMS_ERROR
    assert error(bias, MANY * float(THIRD)) <= BLOCK_ERROR


def test_the_kernel_gradient_of_many_pieces(monkeypatch):
    """A kernel so large that the compiled kernels take one window at a time."""
    compiled = pytest.importorskip("minicnn.kernels.compiled", reason="needs Numba")
    monkeypatch.setattr("minicnn.kernels.cores.threads", lambda: 1)
    windows, taps, filters, value = 2**14, 1001, 500, np.float32(0.51)
    x, g = constant(windows, 1, 1, taps, value=1), constant(windows, 1, 1, filters, value=value)
    grads = compiled.conv2d_weight_grads(g, x, (1, 1, taps, filters), every_window(x.shape, (1, 1)), 1)
    for found in grads:
        assert error(found, windows * float(value)) <= TERMS_ERROR


@pytest.mark.parametrize("shape", [(1, 1, 1, MANY), (1, 32, 32, 1024)])
def test_windows_of_many_elements(kernels, shape):
    x, kernel = constant(*shape, value=1), constant(*shape[1:], 3, value=THIRD)
    y = kernels.conv2d(x, kernel, None, every_window(shape, shape[1:3]), 1)
    assert y.dtype == np.float32
    assert error(y, MANY * float(THIRD)) <= TERMS_ERROR


def test_the_image_gradient_of_many_filters(kernels):
    kernel, g = constant(1, 1, 3, MANY, value=THIRD), constant(1, 1, 1, MANY, value=1)
    dx = kernels.conv2d_input_grad(g, kernel, (1, 1, 1, 3), every_window((1, 1, 1, 3), (1, 1)), 1)
    assert error(dx, MANY * float(THIRD)) <= TERMS_ERROR


def test_the_image_gradient_of_many_windows(kernels):
    """All windows read the pixel in the middle."""
    n = 2**12
    kernel, g, shape = constant(1, n, 1, 1, value=THIRD), constant(1, 1, n, 1, value=1), (1, 1, 2 * n - 1, 1)
    dx = kernels.conv2d_input_grad(g, kernel, shape, every_window(shape, (1, n)), 1)
    assert dx.dtype == np.float32
    assert error(dx[0, 0, n - 1], n * float(THIRD)) <= 2 * EPS


# Losses and layers


def test_softmax_of_many_classes_in_any_order():
    x = np.asfortranarray(positive(2, MANY))
    right = np.exp(x.astype(np.float64))
    total = right.sum(axis=1, keepdims=True)
    assert error(ops.softmax(x), right / total) <= 2e-6
    assert error(ops.log_softmax(x), np.log(right / total)) <= 4 * EPS
    assert error(ops.cross_entropy(x, np.zeros(2, int)), -np.log(right / total)[:, 0].mean()) <= 4 * EPS


def test_the_norm_of_many_gradients():
    for shape in ((MANY,), (3, MANY), (MANY, 3)):
        g = constant(*shape)
        assert error(clipping.global_norm({"a": g}), np.sqrt(g.size) * float(VALUE)) <= 2e-5


def test_gradients_of_an_element_that_is_taken_many_times():
    x, g = constant(2), constant(MANY)
    assert error(gradient(lambda a: ops.getitem(a, np.zeros(MANY, int)), x, g=g, of=0)[0], MANY * float(VALUE)) <= EPS
    image, g = constant(1, 1, 3, 2), constant(1, 1, 2**16 + 3, 2)
    found = gradient(lambda a: ops.pad2d(a, ((0, 0), (0, 2**16)), mode="edge"), image, g=g, of=0)
    assert error(found[0, 0, 2], (2**16 + 1) * float(VALUE)) <= EPS
    y = ops.max_unpool2d(constant(1, 1024, 1024, 1), np.zeros((1, 1024, 1024, 1), int), 2048)
    assert error(y[0, 0, 0], MANY * float(VALUE)) <= EPS


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
    elements = x[0, : p * k[0], : q * k[1]].reshape(p, k[0], q, k[1], 3)
    assert y.dtype == np.float32
    assert error(y[0], elements.sum((1, 3), dtype=np.float64)) <= RUN_ERROR


def test_gradients_of_many_windows_add_up(kernels):
    g = constant(1, 141, 141, 2)
    dx = kernels.sum_pool2d_grad(g, (1, 200, 200, 2), geometry((1, 200, 200, 2), (60, 60)))
    assert dx.dtype == np.float32
    assert error(dx[0, 100, 100], 3600 * float(VALUE)) <= 2 * EPS


@pytest.mark.parametrize("split", [True, False])
def test_gradients_of_many_windows_with_one_maximum(kernels, split):
    n = 2**12
    x, g = constant(1, 1, 2 * n - 1, 1, value=0), constant(1, 1, n, 1)
    x[0, 0, n - 1] = 1
    windows = every_window(x.shape, (1, n))
    dx = kernels.max_pool2d_grad(g, x, kernels.max_pool2d(x, windows), windows, split)
    assert dx.dtype == np.float32
    assert error(dx[0, 0, n - 1], n * float(VALUE)) <= EPS


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
