"""Poolings by powers and exponentials at both ends of their range, against decimal arithmetic of 120 digits."""

import decimal
import math
from decimal import Decimal

import numpy as np
import oracles
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from test_pool_variants import layout

from minicnn import Tensor, grad, layers, ops, value_and_grad

decimal.setcontext(decimal.Context(prec=120, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN))
EPSILON = Decimal("1e-6")
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
WAYS = [
    {"pool_size": (1, 4)},
    {"pool_size": 3, "strides": 1, "padding": "same"},
    {"pool_size": 2, "strides": 1, "dilation_rate": 2},
    {"pool_size": 3, "strides": 2, "padding": 1, "ceil_mode": True},
    {"pool_size": (4, 5)},
]
every_way = pytest.mark.parametrize("how", WAYS, ids=str)


def exp(a):
    return Decimal(0) if a < -100_000 else a.exp()


def mean(v):
    return sum(v) / len(v)


# The formulas on the numbers of one window: the value, and its derivative with respect to each of them


def lp(v, p):
    top = max(abs(a) for a in v)
    if not top:
        return Decimal(0), [Decimal(0)] * len(v)
    norm = sum((abs(a) / top) ** p for a in v) ** (1 / p)
    slopes = [(abs(a) / top / norm) ** (p - 1) if a else Decimal(0) for a in v]
    return top * norm, [s.copy_sign(a) for s, a in zip(slopes, v, strict=True)]


def log_mean_exp(v, r):
    top = max(v)
    powers = [exp(r * (a - top)) for a in v]
    return top + mean(powers).ln() / r, [a / sum(powers) for a in powers]


def gem(v, p):
    logs = [max(a, EPSILON).ln() for a in v]
    y = log_mean_exp(logs, p)[0] if p > 0 else -log_mean_exp([-a for a in logs], -p)[0]
    return exp(y), [exp((p - 1) * (a - y)) / len(v) if x >= EPSILON else 0 for a, x in zip(logs, v, strict=True)]


def gem_slope(v, p):
    """The derivative with respect to p."""
    logs = [max(a, EPSILON).ln() for a in v]
    y = gem(v, p)[0]
    shares = [exp(p * (a - y.ln())) / len(v) for a in logs]
    return y * (sum(s * a for s, a in zip(shares, logs, strict=True)) - y.ln()) / p


def soft(v):
    top = max(v)
    powers = [exp(a - top) for a in v]
    weights = [a / sum(powers) for a in powers]
    y = sum(w * a for w, a in zip(weights, v, strict=True))
    return y, [w * (1 + a - y) for w, a in zip(weights, v, strict=True)]


def stochastic(v):
    total = sum(v)
    if not total:
        return Decimal(0), [Decimal(0)] * len(v)
    y = sum(a * a for a in v) / total
    return y, [(2 * a - y) / total for a in v]


def by_windows(formula, x, how):
    """Value, gradient of the sum of all windows, and the sum of absolute parts of that: what errors are relative to."""
    where = layout(x.shape, **how)
    y = np.zeros(oracles.out_shape(x.shape, *where), object)
    dx, parts = np.zeros(x.shape, object), np.zeros(x.shape, object)
    for (image, p, q, channel), elements in oracles.windows(x.shape, *where):
        at = [(image, r, c, channel) for _, _, r, c in elements]
        y[image, p, q, channel], slopes = formula([Decimal(float(x[i])) for i in at])
        for i, slope in zip(at, slopes, strict=True):
            dx[i] += slope
            parts[i] += abs(slope)
    return y.astype(float), dx.astype(float), parts.astype(float)


def check(op, formula, x, how, value_error, slope_error, floor=0.0, **extra):
    """Compare; errors are multiples of eps: of the value, or `floor` if that is larger, and of the gradient's parts."""
    eps = np.finfo(x.dtype).eps
    y, dx, parts = by_windows(formula, x, how)
    tensor = Tensor(x)
    with np.errstate(under="ignore"):
        ours = op(tensor, **extra, **how)
        ours.sum().backward()
    assert ours.dtype == tensor.grad.dtype == x.dtype
    assert np.isfinite(ours.data).all()
    assert np.isfinite(tensor.grad).all()
    tiny = 4 * float(np.finfo(x.dtype).smallest_normal)
    assert (np.abs(ours.data - y) <= value_error * eps * np.maximum(np.abs(y), floor) + tiny).all()
    assert (np.abs(tensor.grad - dx) <= slope_error * eps * parts + tiny).all()


def image(dtype, seed=0, low=0.1, high=1.0, signs=True):
    rng = np.random.default_rng(seed)
    x = rng.uniform(low, high, (1, 4, 5, 1)) * (rng.choice([-1, 1], (1, 4, 5, 1)) if signs else 1)
    return x.astype(dtype)


def row(*numbers, dtype=np.float64):
    return np.array(numbers, dtype).reshape(1, 1, -1, 1)


# Lp


@every_way
@DTYPES
@pytest.mark.parametrize("p", [1, 1.1, 2, 3, 30, 100, 1e4])
@pytest.mark.parametrize("scale", [1e-30, 1e-8, 1, 1e8, 1e30])
def test_lp_neither_overflows_nor_vanishes(how, dtype, p, scale):
    x = image(dtype) * dtype(scale)
    x[0, 1:3, 1:3] = 0
    bound = 8 * (1 + abs(math.log(scale)))
    check(ops.lp_pool2d, lambda v: lp(v, Decimal(p)), x, how, bound, bound * p, p=p)


@DTYPES
@pytest.mark.parametrize("p", [1, 1.1, 2, 7, 1e4])
def test_lp_of_numbers_sixty_powers_of_ten_apart(dtype, p):
    x = row(1e-30, -1e30, 1e-10, 1e30, 1.0, 0.0, dtype=dtype)
    bound = 8 * (1 + math.log(1e30))
    for size in (2, 6):
        check(ops.lp_pool2d, lambda v: lp(v, Decimal(p)), x, {"pool_size": (1, size)}, bound, bound * p, p=p)


def test_lp_of_everyday_numbers():
    for numbers, p, expected in [([16, 20, 1, 0], 30, 20.00082), ([0.1] * 4, 100, 0.1 * 4**0.01)]:
        x = row(*numbers, dtype=np.float32)
        value, g = value_and_grad(lambda x, p=p: ops.lp_pool2d(x, (1, 4), p=p).sum())(x)
        assert value == pytest.approx(expected, rel=1e-6)
        assert_allclose(g.ravel(), (np.array(numbers) / expected) ** (p - 1), rtol=1e-5, atol=1e-30)
        assert layers.LpPooling2D((1, 4), p=p)({}, x) == value
        assert layers.GlobalLpPooling2D(p=p)({}, x) == value


@pytest.mark.parametrize("p", [2.0, 3.0, 30.0])
def test_lp_of_infinity_and_nan(p):
    x = row(1, -np.inf, 5, np.inf, 1, np.nan, 1, 2, dtype=np.float32)
    y, g = value_and_grad(lambda x: ops.lp_pool2d(x, (1, 2), p=p)[:, :, :2].sum())(x)
    assert_array_equal(ops.lp_pool2d(x, (1, 2), p=p).ravel()[:2], [np.inf, np.inf])
    assert np.isnan(ops.lp_pool2d(x, (1, 2), p=p).ravel()[2])
    assert_allclose(ops.lp_pool2d(x, (1, 2), p=p).ravel()[3], (1 + 2**p) ** (1 / p), rtol=1e-6)
    assert y == np.inf
    assert g.ravel()[:4].tolist() == [0, -1, 0, 1]
    both = grad(lambda x: ops.lp_pool2d(x, (1, 2), p=p).sum())(row(np.inf, np.inf))
    assert_allclose(both.ravel(), 0.5 ** (1 - 1 / p), rtol=1e-12)


# Log-mean-exp


@every_way
@DTYPES
@pytest.mark.parametrize("r", [1e-30, 1e-10, 1e-7, 1e-3, 1, 50, 1e4, 1e30])
@pytest.mark.parametrize("shift", [0, 1000])
def test_log_mean_exp_at_any_sharpness(how, dtype, r, shift):
    x = image(dtype) * dtype(3) + dtype(shift)
    largest = float(np.abs(x).max())
    slope = 16 * (1 + min(6 * r, 800))  # weights below exp(-800) are 0
    check(ops.log_mean_exp_pool2d, lambda v: log_mean_exp(v, Decimal(r)), x, how, 16, slope, largest, r=r)


def test_log_mean_exp_of_one_to_four():
    x = row(1, 2, 3, 4, dtype=np.float32)
    for r in (1e-45, 1e-10, 1e-7):
        assert ops.log_mean_exp_pool2d(x, (1, 4), r=r).item() == pytest.approx(2.5, rel=1e-6)
        assert layers.GlobalLogMeanExpPooling2D(r=r)({}, x).item() == pytest.approx(2.5, rel=1e-6)
        assert_allclose(grad(lambda x, r=r: ops.log_mean_exp_pool2d(x, (1, 4), r=r).sum())(x).ravel(), 0.25, rtol=1e-6)
    for r in (1e6, 1e38, 1e300):
        assert ops.log_mean_exp_pool2d(x, (1, 4), r=r).item() == pytest.approx(4, rel=1e-6)


@DTYPES
@pytest.mark.parametrize("scale", [1e-30, 1e30])
@pytest.mark.parametrize("r", [1e-10, 1, 1e10])
def test_log_mean_exp_of_tiny_and_huge_numbers(dtype, scale, r):
    x = image(dtype) * dtype(scale)
    slope = 16 * (1 + min(2 * r * scale, 800))
    largest = float(np.abs(x).max())
    check(ops.log_mean_exp_pool2d, lambda v: log_mean_exp(v, Decimal(r)), x, {}, 16, slope, largest, r=r)


# Generalised mean


POWERS = [1e-30, 1e-12, 1e-5, 0.1, 1, 3, 90, 1e4, -1e-12, -1e-5, -1, -50]


@every_way
@DTYPES
@pytest.mark.parametrize("p", POWERS)
def test_gem_from_minimum_to_maximum(how, dtype, p):
    x = image(dtype, signs=False) * dtype(10)
    x[0, 0, :2] = -1
    m = math.log(1e6)
    p = float(dtype(p))
    bounds = 8 * (1 + m), 8 * (1 + abs(p)) * (1 + m)
    check(ops.gem_pool2d, lambda v: gem(v, Decimal(p)), x, how, *bounds, p=np.array(p, dtype))


@DTYPES
@pytest.mark.parametrize("p", [1e-5, 1, 1.5, 90, -1])
def test_gem_of_numbers_thirty_powers_of_ten_apart(dtype, p):
    x, m = row(1e-5, 1e25, 1e25, 1.0, 3.0, 1e-4, dtype=dtype), math.log(1e25)
    p = float(dtype(p))
    how = {"pool_size": (1, 2)}
    bounds = 8 * (1 + m), 8 * (1 + abs(p)) * (1 + m)
    check(ops.gem_pool2d, lambda v: gem(v, Decimal(p)), x, how, *bounds, p=np.array(p, dtype))


@every_way
@DTYPES
@pytest.mark.parametrize("p", POWERS)
def test_the_gradient_for_the_exponent_of_gem(how, dtype, p):
    x = image(dtype, signs=False) * dtype(10)
    p = dtype(p)
    expected, where = 0.0, layout(x.shape, **how)
    largest = 0.0
    for _, elements in oracles.windows(x.shape, *where):
        v = [Decimal(float(x[0, r, c, 0])) for _, _, r, c in elements]
        expected += float(gem_slope(v, Decimal(float(p))))
        largest += max(abs(math.log(a)) for a in v) ** 2 / 2 * float(max(v))
    found = grad(lambda p: ops.gem_pool2d(x, p, **how).sum())(np.array(p))
    assert found.dtype == dtype
    m = math.log(10)
    assert abs(found - expected) <= 8 * np.finfo(dtype).eps * (1 + m) * min(largest, 8 * abs(expected) + 1e-6)


def test_gem_with_an_exponent_for_each_channel():
    """One of them nearly 0, one very large, one negative: geometric mean, maximum, harmonic mean."""
    x = np.abs(np.random.default_rng(0).normal(2, 0.3, (2, 3, 3, 3))).astype(np.float32)
    p = np.array([1e-9, 1e5, -1], np.float32)
    y, slopes = value_and_grad(lambda a: ops.gem_pool2d(a[0], a[1], 3).sum())((x, p))
    elements = x.reshape(2, 9, 3).astype(float)
    ends = [np.exp(np.log(elements[..., 0]).mean(1)), elements[..., 1].max(1), 1 / (1 / elements[..., 2]).mean(1)]
    assert_allclose(ops.gem_pool2d(x, p, 3).reshape(2, 3).T, ends, rtol=3e-5)
    assert_allclose(y, np.sum(ends), rtol=3e-5)
    assert_allclose(slopes[1][0], (ends[0] * np.log(elements[..., 0]).var(1) / 2).sum(), rtol=1e-4)
    assert 0 <= slopes[1][1] < 1e-8
    assert np.isfinite(slopes[0]).all()
    assert_array_equal(layers.GlobalGeMPooling2D()({"p": p[:1]}, x), ops.gem_pool2d(x, p[:1], 3).reshape(2, 3))


# Soft and stochastic pooling


@every_way
@DTYPES
@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1, 1e3, 1e8, 1e30])
@pytest.mark.parametrize("shift", [0, 1, -1])
def test_soft_pooling_of_any_numbers(how, dtype, scale, shift):
    x = (image(dtype) + dtype(shift)) * dtype(scale)
    largest = float(np.abs(x).max())
    check(ops.soft_pool2d, soft, x, how, 16, 16 * (1 + min(4 * scale, 800)) ** 2, largest)


@DTYPES
@pytest.mark.parametrize("scale", [1e-35, 1, 1e35])
def test_the_mean_of_stochastic_pooling_of_any_numbers(dtype, scale):
    x = image(dtype, signs=False) * dtype(scale)
    for how in WAYS:
        y, dx, _ = by_windows(stochastic, x, how)
        value, g = value_and_grad(lambda x, how=how: ops.stochastic_pool2d(x / scale, **how).sum())(x * dtype(1))
        assert_allclose(ops.stochastic_pool2d(x, **how), y, rtol=1e-6)
        assert_allclose(value, y.sum() / scale, rtol=1e-6)
        assert_allclose(grad(lambda x, how=how: ops.stochastic_pool2d(x, **how).sum())(x), dx, rtol=2e-5, atol=2e-6)
        assert np.isfinite(g).all()


@pytest.mark.parametrize("rng", [None, 0])
@DTYPES
def test_stochastic_pooling_of_nan_and_infinity(rng, dtype):
    """NaN comes out; an infinite element has probability 1, several of them equal shares."""
    n = 2000
    x = np.tile(row(1, np.nan, np.inf, 2, 3, np.inf, 9, np.inf, 0, 0, 0, 0, dtype=dtype), (n, 1, 1, 1))

    def pool(x):
        return ops.stochastic_pool2d(x, (1, 4), rng=None if rng is None else np.random.default_rng(rng))

    y = pool(x)[:, 0, :, 0]
    assert np.isnan(y[:, 0]).all()
    assert (y[:, 1] == np.inf).all()
    assert not y[:, 2].any()
    g = grad(lambda x: pool(x)[:, :, 1:].sum())(x)[:, 0, :, 0]
    if rng is not None:
        assert not g[:, [4, 6]].any()
        assert_array_equal(g[:, 5] + g[:, 7], np.ones(n))
        assert abs(g[:, 5].mean() - 0.5) < 4 * 0.5 / math.sqrt(n)
    assert not g[:, 8:].any()
    large = row(1, 3, dtype=dtype) * dtype(np.finfo(dtype).max / 4)
    drawn = ops.stochastic_pool2d(np.tile(large, (n, 1, 1, 1)), (1, 2), rng=np.random.default_rng(0))
    assert abs((drawn == large.max()).mean() - 0.75) < 4 * math.sqrt(0.75 * 0.25 / n)


def test_infinity_and_nan_in_the_other_means():
    x = row(1, np.inf, -np.inf, 2, -np.inf, -np.inf, np.nan, 1)
    how = {"pool_size": (1, 2)}
    expected = {
        ops.log_mean_exp_pool2d: [np.inf, 2 - math.log(2), -np.inf, np.nan],
        ops.soft_pool2d: [np.inf, 2, -np.inf, np.nan],
        ops.gem_pool2d: [np.inf, (8 / 2 + 1e-18 / 2) ** (1 / 3), 1e-6, np.nan],
    }
    for op, values in expected.items():
        assert_allclose(op(x, **how).ravel(), values, rtol=1e-12)
        tensor = Tensor(x[:, :, :6])
        y = op(tensor, **how)
        Tensor(0.0, ((y, lambda g: np.ones((1, 1, 3, 1))),)).backward()
        g = tensor.grad.ravel()
        assert np.isfinite(g).all()
        assert_allclose(g[0], 0, atol=1e-12)
        assert_allclose(g[1], 0.5 ** (1 / 3) if op is ops.gem_pool2d else 1, rtol=1e-12)
