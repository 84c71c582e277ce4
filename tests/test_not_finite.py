"""Infinity, NaN, 0 and 1e20: all kernel sets agree, what is masked out gets 0, and limits are where they exist."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from tables import every_row, kernels, use  # noqa: F401 - the fixture
from test_kernels import CALLS, IMPLEMENTATIONS, arguments, calls, implementation

from minicnn import Tensor, grad, ops
from minicnn.kernels.arithmetic import scale

INF, NAN = math.inf, math.nan


@pytest.fixture(autouse=True)
def quiet():
    with np.errstate(all="ignore"):
        yield


def salted(arrays, rng, values):
    """Replace a part of the numbers, most of the time by zeros and infinities."""
    return [np.where(rng.random(a.shape) < 0.3, rng.choice(values, a.shape), a).astype(a.dtype) for a in arrays]


def result_and_gradients(row, arrays, seed, values, monkeypatch, name):
    use(monkeypatch, name)
    tensors = [Tensor(a) for a in arrays]
    y = row(*tensors)
    rng = np.random.default_rng(seed)
    (g,) = salted([rng.normal(size=y.shape)], rng, values)
    Tensor(np.float64(0), ((y, lambda _: np.asarray(g)),)).backward()
    return [y.data, *(t.grad for t in tensors)]


SALT = {"infinite": [INF, -INF, NAN, 0.0, 0.0], "large": [1e20, -1e20, 0.0, INF]}


@every_row
@pytest.mark.parametrize("salt", SALT)
@pytest.mark.parametrize("seed", range(3))
def test_all_kernel_sets_agree(row, salt, seed, monkeypatch):
    """In float64, where no product of these overflows; sums of large numbers agree to rounding of the largest."""
    arrays = salted(row.arrays(), np.random.default_rng(seed), SALT[salt])
    expected, *others = (
        result_and_gradients(row, arrays, seed, SALT[salt], monkeypatch, name) for name in IMPLEMENTATIONS
    )
    for found in others:
        for a, b in zip(expected, found, strict=True):
            assert_allclose(a, b, rtol=1e-9, atol=1e-9 * largest(a), equal_nan=True)


def largest(a):
    return max([1.0, *np.abs(a[np.isfinite(a)]).ravel()]) ** 2


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(5))
def test_kernels_agree_on_what_is_not_finite(name, dtype, seed):
    rng = np.random.default_rng(seed)
    given = [a.astype(dtype) for a in salted(arguments(), rng, SALT["infinite"])]
    expected, *others = (CALLS[name](k, *given) for k in map(implementation, IMPLEMENTATIONS) if name in calls(k))
    for found in others:
        assert_allclose(expected, found, rtol=1e-4, atol=1e-5, equal_nan=True)


def window(*numbers):
    return np.array(numbers, float).reshape(1, 1, -1, 1)


def given(g, f, *arrays):
    """Return the gradients of `arrays` where `g` is that of the result."""
    tensors = [Tensor(np.asarray(a, float)) for a in arrays]
    y = f(*tensors)
    Tensor(np.float64(0), ((y, lambda _: np.reshape(np.asarray(g, float), y.shape)),)).backward()
    return [t.grad.ravel() for t in tensors]


def fused(x, pool_size, relu):
    return ops.conv2d_pool(x, np.ones((1, 1, 1, 1)), pool_size=pool_size, relu=relu)


MASKED = {
    "relu": ([INF, NAN, 3], ops.relu, [-1, 0, 2], [0, 0, 3]),
    "leaky_relu without a slope": ([INF, NAN, 3], lambda x: ops.leaky_relu(x, 0.0), [-1, 0, 2], [0, 0, 3]),
    "elu without a floor": ([INF, NAN, 3], lambda x: ops.elu(x, 0.0), [-1, 0, 2], [0, 0, 3]),
    "abs": ([INF, NAN, INF], ops.abs, [0, 0, -2], [0, 0, -INF]),
    "maximum": ([INF, NAN, 3], lambda x: ops.maximum(x, 1.0), [0, -1, 1], [0, 0, 3]),
    "maximum, second": ([INF, NAN, 3], lambda x: ops.maximum(np.ones(3), x), [0, 1, 2], [0, 0, 3]),
    "power of 0": ([INF, NAN, -INF], lambda x: x**0, [0, 2, INF], [0, 0, 0]),
    "powers": ([INF, NAN, 3], lambda x: x ** np.array([0.0, 0.0, 1.0]), [0, 2, 5], [0, 0, 3]),
    "max": (INF, ops.max, [1, 2, 0], [0, INF, 0]),
    "getitem": (INF, lambda x: x[1], [1, 2, 0], [0, INF, 0]),
    "max_pool2d": (INF, lambda x: ops.max_pool2d(x, (1, 3)), window(1, 2, 0), [0, INF, 0]),
    "max_pool2d, split": (INF, lambda x: ops.max_pool2d(x, (1, 3), ties="split"), window(2, 2, 0), [INF, INF, 0]),
    "max_pool2d, NaN": (NAN, lambda x: ops.max_pool2d(x, (1, 3)), window(1, 2, 0), [0, NAN, 0]),
    "global_max_pool2d": (-INF, ops.global_max_pool2d, window(1, 2, 0), [0, -INF, 0]),
    "conv2d_pool": (INF, lambda x: fused(x, (1, 3), False), window(1, 2, 0), [0, INF, 0]),
    "conv2d_pool, NaN": (NAN, lambda x: fused(x, (1, 3), False), window(1, 2, 0), [0, NAN, 0]),
    "conv2d_pool, relu": (INF, lambda x: fused(x, (1, 3), True), window(-1, -2, -3), [0, 0, 0]),
    "conv2d, relu": ([INF, NAN, 3], lambda x: fused(x, 1, True), window(-1, 0, 2), [0, 0, 3]),
    "pad2d": ([INF, 2, NAN], lambda x: ops.pad2d(x, (0, 1))[:, :, :, 0], window(5), [2]),
    "softmax": ([INF, 1, 1], ops.softmax, [-INF, 0, 0], [0, 0, 0]),
    "softmax, NaN": ([NAN, 2, 0], ops.softmax, [-INF, 0, 0], [0, 0.5, -0.5]),
    "log_softmax": ([0, INF, 0], ops.log_softmax, [-INF, 0, 0], [0, NAN, -INF]),
    "logsumexp": (INF, ops.logsumexp, [-INF, 0, 0], [0, INF, INF]),
    "cross_entropy": (INF, lambda x: ops.cross_entropy(x[None], np.array([1])), [-INF, 0, 0], [0, -INF, INF]),
}  # fmt: skip


@pytest.mark.parametrize("name", MASKED)
@pytest.mark.usefixtures("kernels")
def test_what_is_masked_out_gets_exactly_0(name):
    g, f, x, expected = MASKED[name]
    assert_array_equal(given(g, f, x)[0], expected)


@pytest.mark.usefixtures("kernels")
def test_what_lost_a_fused_pool_adds_nothing_to_kernel_and_bias():
    """Of two filters one is stopped by ReLU; its share is 0 however large the gradient is."""
    x, kernel, bias = window(1, 2, 3), np.array([1.0, -1.0]).reshape(1, 1, 1, 2), np.zeros(2)
    g = [[INF, INF], [2, NAN], [1, -INF]]
    _, dk, db = given(g, lambda *args: ops.conv2d_pool(*args, relu=True), x, kernel, bias)
    assert_array_equal(dk, [INF, 0])
    assert_array_equal(db, [INF, 0])


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("value", [INF, -INF, NAN])
def test_what_dropout_drops_is_0(rate, value):
    x = np.ones(200)
    kept = ops.dropout(x, rate, np.random.default_rng(0)) > 0
    y = Tensor(np.full(200, value))
    dropped = ops.dropout(y, rate, np.random.default_rng(0))
    assert_array_equal(dropped.data, np.where(kept, value, 0))
    assert_array_equal(dropped.edges[0][1](np.full(200, value)), np.where(kept, value, 0))


def test_scaling_by_0_gives_0_and_finite_numbers_are_a_product():
    x, factor = np.array([1.0, -2.0, 3.0, 4.0], np.float32), np.array([0.3, 0.0, -1.0, INF], np.float32)
    assert_array_equal(scale(x, factor), x * factor)
    assert scale(x, factor).dtype == scale(x * np.float32(INF), factor).dtype == np.float32
    assert_array_equal(scale(np.array([INF, NAN, NAN, -INF]), factor), [INF, 0, NAN, -INF])
    assert_array_equal(scale(np.float64(INF), np.array([1.0, 0.0])), [INF, 0])


# Limits and documented values


def slope(f, x, dtype=np.float64):
    return grad(lambda x: f(x).sum())(np.atleast_1d(np.asarray(x, dtype)))


@pytest.mark.parametrize("approximate", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [50.0, 1e4, 1e14, 1e20, 1e38, INF])
def test_gelu_far_out_is_x_or_0(approximate, dtype, size):
    def gelu(x):
        return ops.gelu(x, approximate=approximate)

    x = np.array([size, -size], dtype)
    assert_array_equal(gelu(x), [x[0], 0])
    assert_array_equal(slope(gelu, x, dtype), [1, 0])


@pytest.mark.parametrize("x", [-37.0, -8.0, -1.0, 0.5, 6.0, 39.0])
def test_gelu_by_the_normal_distribution(x):
    cdf, density = math.erfc(-x / math.sqrt(2)) / 2, math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    assert_allclose(ops.gelu(np.array(x)), x * cdf, rtol=1e-12)
    assert_allclose(slope(ops.gelu, x), cdf + x * density, rtol=1e-11)


@pytest.mark.parametrize(
    ("exponent", "at_zero", "at_minus_two"),
    [(0, 0, 0), (1, 1, 1), (2, 0, -4), (3, 0, 12), (0.5, INF, NAN), (-1, -INF, -0.25)],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_slope_of_powers(exponent, at_zero, at_minus_two, dtype):
    for power in (exponent, np.array([exponent, exponent], dtype)):
        assert_array_equal(slope(lambda x, p=power: x**p, [0.0, -2.0], dtype), [at_zero, at_minus_two])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_slope_of_an_exponent_is_0_wherever_x_is_not_positive(dtype):
    x = np.array([0, 0, 0, 0, -2, -2, -2, -INF, INF, 2, 1], dtype)
    p = np.array([-1, 0, 0.5, 2, -1, 0.5, 2, 2, -1, 3, 5], dtype)
    expected = np.array([*[0] * 9, 8 * math.log(2), 0], dtype)
    assert_allclose(grad(lambda p: ops.power(x, p).sum())(p), expected, rtol=1e-6)
    assert_array_equal(grad(lambda p: ops.power(x[:9], p).sum())(p[:9]), np.zeros(9))
    assert np.isnan(grad(lambda p: ops.power(np.array([NAN], dtype), p).sum())(np.ones(1, dtype)))


def test_activations_at_both_ends():
    ends = np.array([-INF, INF])
    values = {
        ops.relu: ([0, INF], [0, 1]),
        ops.leaky_relu: ([-INF, INF], [0.3, 1]),
        ops.elu: ([-1, INF], [0, 1]),
        ops.sigmoid: ([0, 1], [0, 0]),
        ops.tanh: ([-1, 1], [0, 0]),
        ops.softplus: ([0, INF], [0, 1]),
        ops.gelu: ([0, INF], [0, 1]),
        ops.exp: ([0, INF], [0, INF]),
        ops.abs: ([INF, INF], [-1, 1]),
    }
    for f, (y, slopes) in values.items():
        assert_array_equal(f(ends), y, err_msg=f.__name__)
        assert_array_equal(slope(f, ends), slopes, err_msg=f.__name__)
        assert np.isnan(f(np.array([NAN]))).all()


def test_logsumexp_with_an_infinity():
    """The infinite element has all the weight, and NaN spreads."""
    assert_array_equal(slope(ops.logsumexp, [INF, 5.0, -INF])[1:], [0, 0])
    assert_array_equal(slope(ops.logsumexp, [NAN, 5.0]), [NAN, NAN])
    assert_array_equal(slope(ops.logsumexp, [-INF, -INF]), [0, 0])


def test_masked_classes():
    logits, labels = np.array([[-INF, 1.0, 1.0], [0.0, -INF, -INF]]), np.array([1, 0])
    assert_allclose(ops.softmax(logits), [[0, 0.5, 0.5], [1, 0, 0]])
    value = ops.cross_entropy(logits, labels)
    assert_allclose(value, math.log(2) / 2)
    g = slope(lambda x: ops.cross_entropy(x, labels), logits)
    assert_allclose(g, [[0, -0.25, 0.25], [0, 0, 0]], atol=1e-16)
    assert_allclose(slope(lambda x: ops.softmax(x)[:, 1] * 4, logits), [[0, 1, -1], [0, 0, 0]], atol=1e-16)


TORCH = {
    "relu": ({}, "relu"),
    "sigmoid": ({}, "sigmoid"),
    "tanh": ({}, "tanh"),
    "softplus": ({}, "softplus"),
    "gelu": ({}, "gelu"),
    "elu": ({}, "elu"),
    "leaky_relu": ({"negative_slope": 0.3}, "leaky_relu"),
}


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_and_slopes_are_pytorchs_where_it_has_any(name, dtype):
    torch = pytest.importorskip("torch")
    how, theirs = TORCH[name]
    x = np.array([-INF, -1e20, -20, -1, 0, 1, 20, 1e20, INF], dtype)
    t = torch.tensor(x, requires_grad=True)
    y = getattr(torch.nn.functional, theirs)(t, **how)
    y.sum().backward()
    known, known_slope = (~np.isnan(a) for a in (y.detach().numpy(), t.grad.numpy()))
    assert known.sum() >= 7
    assert_allclose(getattr(ops, name)(x, **how)[known], y.detach().numpy()[known], rtol=1e-5, atol=1e-7)
    assert_allclose(slope(getattr(ops, name), x, dtype)[known_slope], t.grad.numpy()[known_slope], rtol=1e-5, atol=1e-7)
