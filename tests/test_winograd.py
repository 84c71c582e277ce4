"""Convolutions by tiles of 2x2 outputs: what the definition computes, also for what is not finite, and the same bits in
any batch."""

from contextlib import nullcontext

import numpy as np
import pytest

from minicnn import kernels, layers
from minicnn.kernels import program, reference
from minicnn.layers import fusion

pytestmark = pytest.mark.skipif(
    not (kernels.can_run_programs() and fusion.is_on()), reason="these kernels run no programs"
)
RELATIVE = 2e-6
"""Error relative to the largest output. Measured: 5e-7."""


def net_of(filters, padding, pooled, relu, use_bias=True, **options):
    after = [layers.MaxPooling2D(2)] * pooled + [layers.ReLU()] * relu
    return layers.Sequential([layers.Conv2D(filters, 3, padding=padding, use_bias=use_bias, **options), *after])


def parameters(rng, c, filters, use_bias=True):
    bias = {"bias": rng.standard_normal(filters).astype(np.float32)} if use_bias else {}
    return {"conv2d": {"kernel": rng.standard_normal((3, 3, c, filters)).astype(np.float32), **bias}}


def definition(net, params, x, pooled, relu):
    """The convolution of `reference` in float64, then the maximum of squares and of zero."""
    conv, weights = net.layers[0], params["conv2d"]
    geometry = conv.windows(x.shape[1:]).geometry
    bias = np.float64(weights["bias"]) if "bias" in weights else None
    y = reference.conv2d(np.float64(x), np.float64(weights["kernel"]), bias, geometry, 1)
    if pooled:
        n, p, q, k = y.shape
        y = y[:, : p // 2 * 2, : q // 2 * 2].reshape(n, p // 2, 2, q // 2, 2, k).max(axis=(2, 4))
    return np.maximum(y, 0) if relu else y


def kinds(predictor):
    return [row[0] for part in predictor.parts for row in part.table]


PADDINGS = ["same", "valid", 1, (2, 0), ((0, 1), (3, 2))]


@pytest.mark.parametrize("seed", range(40))
def test_the_results_are_those_of_the_definition(seed):
    rng = np.random.default_rng(seed)
    c, filters = int(rng.choice([16, 24, 32, 40])), int(rng.choice([16, 24, 32, 40, 72]))
    shape, count = (int(rng.integers(4, 20)), int(rng.integers(4, 20)), c), int(rng.integers(1, 6))
    pooled, relu, use_bias = (bool(rng.integers(2)) for _ in range(3))
    net = net_of(filters, PADDINGS[seed % len(PADDINGS)], pooled, relu, use_bias)
    params, x = parameters(rng, c, filters, use_bias), rng.standard_normal((count, *shape)).astype(np.float32)
    predictor, exact = layers.prepare(net, params, shape), definition(net, params, x, pooled, relu)
    assert kinds(predictor) == [program.WINOGRAD]
    for threads in (kernels.one_thread, nullcontext):
        with threads():
            found = predictor(x)
        assert found.shape == exact.shape and found.dtype == np.float32
        np.testing.assert_allclose(found, exact, rtol=0, atol=RELATIVE * abs(exact).max())


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 98), (3, 98), (98, 3), (5, 200)])
@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize("pooled", [False, True])
def test_small_long_and_no_images(size, count, pooled):
    """Wider than the tiles that are computed at a time, and smaller than one of them."""
    rng, padding = np.random.default_rng(0), ((1, 2), (2, 1))
    net, params = net_of(16, padding, pooled, True), parameters(rng, 16, 16)
    x = rng.standard_normal((count, *size, 16)).astype(np.float32)
    predictor, exact = layers.prepare(net, params, x.shape[1:]), definition(net, params, x, pooled, True)
    assert kinds(predictor) == [program.WINOGRAD]
    np.testing.assert_allclose(predictor(x), exact, rtol=0, atol=RELATIVE * abs(exact).max(initial=1e-9))


def test_tiny_weights_raise_nothing():
    net, params = net_of(16, "same", False, False), parameters(np.random.default_rng(0), 16, 16)
    params["conv2d"]["kernel"] *= np.float32(1e-38)
    with np.errstate(all="raise"):
        layers.prepare(net, params, (4, 4, 16))


def test_integers_have_no_rounding():
    rng = np.random.default_rng(0)
    net, shape = net_of(16, "same", False, False), (7, 9, 16)
    params = {"conv2d": {"kernel": 4.0 * rng.integers(-3, 4, (3, 3, 16, 16)), "bias": rng.integers(-3, 4, 16)}}
    params = {"conv2d": {name: leaf.astype(np.float32) for name, leaf in params["conv2d"].items()}}
    x = rng.integers(-5, 6, (3, *shape)).astype(np.float32)
    np.testing.assert_array_equal(layers.prepare(net, params, shape)(x), definition(net, params, x, False, False))


@pytest.mark.parametrize(
    ("c", "filters", "options"),
    [
        (8, 16, {}),
        (16, 8, {}),
        (17, 16, {}),
        (20, 16, {}),
        (16, 20, {}),
        (16, 16, {"strides": 2}),
        (16, 16, {"dilation_rate": (1, 2)}),
    ],
)
def test_other_convolutions_read_windows(c, filters, options):
    rng, shape = np.random.default_rng(0), (9, 8, c)
    net, params = net_of(filters, "same", True, True, **options), parameters(rng, c, filters)
    x = rng.standard_normal((3, *shape)).astype(np.float32)
    predictor, exact = layers.prepare(net, params, shape), definition(net, params, x, True, True)
    assert kinds(predictor) == [program.CONVOLVE]
    np.testing.assert_allclose(predictor(x), exact, rtol=0, atol=RELATIVE * abs(exact).max())


def test_a_pooling_of_other_windows_reads_windows():
    net = layers.Sequential([layers.Conv2D(16, 3), layers.MaxPooling2D(3), layers.ReLU()])
    predictor = layers.prepare(net, parameters(np.random.default_rng(0), 16, 16), (9, 9, 16))
    assert kinds(predictor) == [program.CONVOLVE]


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_is_not_finite_reaches_the_same_outputs(value, relu, pooled):
    rng, shape = np.random.default_rng(1), (8, 7, 16)
    net, params = net_of(24, "same", pooled, relu), parameters(rng, 16, 24)
    predictor, x = layers.prepare(net, params, shape), rng.standard_normal((5, *shape)).astype(np.float32)
    finite = predictor(x)
    x[[1, 2, 4], [0, 3, 7], [0, 3, 6], [0, 15, 9]] = value
    found, exact = predictor(x), definition(net, params, x, pooled, relu)
    for test in (np.isnan, np.isposinf, np.isneginf):
        np.testing.assert_array_equal(test(found), test(exact))
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found[[0, 3]], finite[[0, 3]])
    np.testing.assert_array_equal(np.concatenate([predictor(x[i : i + 1]) for i in range(5)]), found)


def test_sums_of_the_algorithm_do_not_overflow_where_those_of_the_definition_are_finite():
    rng, shape = np.random.default_rng(1), (6, 6, 16)
    net, params = net_of(16, "valid", False, False), parameters(rng, 16, 16)
    x = np.zeros((2, *shape), np.float32)
    x[0, 1, 1, 0], x[0, 3, 1, 0], x[0, 3, 3, 0], x[0, 1, 3, 0] = 3e38, -3e38, 3e38, -3e38  # whose differences overflow
    x[1] = np.float32(2.0**59)
    params["conv2d"]["kernel"][..., 0, :] = np.clip(params["conv2d"]["kernel"][..., 0, :], -0.2, 0.2)
    found, exact = layers.prepare(net, params, shape)(x), definition(net, params, x, False, False)
    assert abs(exact).max() < np.finfo(np.float32).max
    for image, wanted in zip(found, exact, strict=True):
        np.testing.assert_allclose(image, wanted, rtol=0, atol=RELATIVE * abs(wanted).max())


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_weights_that_are_not_finite_or_enormous_read_windows(value):
    rng, shape = np.random.default_rng(1), (6, 6, 16)
    net, params = net_of(16, "valid", False, False), parameters(rng, 16, 16)
    params["conv2d"]["kernel"][1, 2, 3, 4] = value
    predictor, x = layers.prepare(net, params, shape), rng.standard_normal((2, *shape)).astype(np.float32)
    assert kinds(predictor) == [program.CONVOLVE]
    np.testing.assert_allclose(predictor(x), definition(net, params, x, False, False), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_bias_that_is_not_finite_comes_out(value):
    rng, shape = np.random.default_rng(1), (6, 6, 16)
    net, params = net_of(16, "valid", True, True), parameters(rng, 16, 16)
    params["conv2d"]["bias"][3] = value
    x = rng.standard_normal((2, *shape)).astype(np.float32)
    np.testing.assert_allclose(
        layers.prepare(net, params, shape)(x), definition(net, params, x, True, True), rtol=1e-4, atol=1e-4
    )
