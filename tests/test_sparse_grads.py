"""Gradients of a convolution under a max pooling: the compiled kernels sum over the elements with a gradient alone."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minicnn.geometry import windows
from minicnn.kernels import reference

compiled = pytest.importorskip("minicnn.kernels.compiled", reason="needs Numba")
from minicnn.kernels.compiled import conv_grads, lists, sparse


def problem(size=(9, 8), channels=4, filters=6, kernel=3, padding="same", stride=1, dilation=1, groups=1, pool=2, n=3):
    rng = np.random.default_rng(0)
    geometry = windows("conv2d", size, (kernel, kernel), stride, padding, dilation).geometry
    x = rng.standard_normal((n, *size, channels))
    w = rng.standard_normal((kernel, kernel, channels // groups, filters))
    y, argmax = compiled.conv2d_pool(x, w, None, geometry, groups, (pool, pool), True)
    return x, w, rng.standard_normal(y.shape), argmax, (geometry, groups, (pool, pool))


def unpooled(g, argmax, geometry, pool):
    """The gradient of all outputs of the convolution, as a loop over pools writes it."""
    full = np.zeros((len(g), geometry.out[0], geometry.out[1], g.shape[3]))
    for n, i, j, k in np.ndindex(g.shape):
        if argmax[n, i, j, k] != 255:
            a, b = divmod(int(argmax[n, i, j, k]), pool[1])
            full[n, i * pool[0] + a, j * pool[1] + b, k] = g[n, i, j, k]
    return full


CASES = {
    "one vector": {},
    "runs that end within a vector": {"channels": 5, "padding": "valid"},
    "one channel, five by five": {"channels": 1, "filters": 3, "kernel": 5},
    "twelve vectors and one": {"channels": 35, "filters": 4},
    "groups": {"channels": 8, "groups": 2},
    "dilation": {"channels": 8, "dilation": 2},
    "stride": {"channels": 8, "stride": 2, "size": (13, 14)},
    "pools of nine": {"pool": 3, "size": (11, 10)},
    "an image larger than a block": {"channels": 16, "size": (30, 31), "n": 2},
    "a line larger than a block": {"channels": 64, "filters": 3, "size": (6, 70), "n": 2},
    "other padding above than below": {"padding": ((0, 2), (1, 0)), "channels": 8},
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_equal_to_the_definition(case, dtype):
    x, w, g, argmax, (geometry, groups, pool) = problem(**CASES[case])
    assert sparse.is_shorter(g.astype(dtype), argmax, w.shape, geometry, groups, pool, 1)
    full = unpooled(g, argmax, geometry, pool)
    given = geometry, groups, pool
    dx = compiled.conv2d_pool_input_grad(g.astype(dtype), argmax, w.astype(dtype), x.shape, *given)
    dw, db = compiled.conv2d_pool_weight_grads(g.astype(dtype), argmax, x.astype(dtype), w.shape, *given)
    assert dx.dtype == dw.dtype == db.dtype == dtype
    tolerance = {"rtol": 0, "atol": 1e-4 if dtype is np.float32 else 1e-12}
    assert_allclose(dx, reference.conv2d_input_grad(full, w, x.shape, geometry, groups), **tolerance)
    expected, expected_bias = reference.conv2d_weight_grads(full, x, w.shape, geometry, groups)
    assert_allclose(dw, expected, **tolerance)
    assert_allclose(db, expected_bias, **tolerance)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("pool", [(1, 1), (2, 2)])
@pytest.mark.parametrize(("pools", "filters"), [(1, 1), (7, 3), (8, 8), (30, 13), (41, 32)])
def test_lists_of_the_pools_with_a_gradient(pools, filters, pool, share):
    rng = np.random.default_rng(pools)
    g = rng.choice([np.nan, -1.0, 1e-320, np.inf], (3, 1, pools, filters))
    g[rng.random(g.shape) >= share] = -0.0
    argmax = rng.choice([0, pool[0] * pool[1] - 1, 255], g.shape).astype(np.uint8)
    begins, steps = rng.permutation(pools), np.arange(256) * (pool != (1, 1))
    room, places, gradients = lists.list_room(pools, filters), np.zeros(pools, np.int64), np.zeros(pools)
    for first, count in ((0, pools), (pools, pools), (2 * pools, pools - pools // 3)):  # the memory is used again
        lists.find_entries(g, argmax, first, count, room)
        for f in range(filters):
            given = g.ravel(), argmax.ravel(), first, filters, f, room, begins[:count], pool, steps, places, gradients
            found = lists.list_entries(*given)
            some, elements = (a.reshape(-1, filters)[first : first + count, f] for a in (g, argmax))
            entries = [i for i in range(count) if some[i] != 0 and elements[i] != 255]
            assert_array_equal(places[:found], [begins[i] + steps[elements[i]] for i in entries])
            assert_array_equal(gradients[:found], [some[i] for i in entries])


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("relu", [False, True])
def test_few_gradients_without_a_pooling(relu, stride):
    """As a global maximum gives them: zeros in the gradient are left out like the elements that are not the maximum."""
    x, w, g, argmax, (geometry, groups, pool) = problem(channels=16, filters=8, stride=stride, pool=1)
    g[np.random.default_rng(1).random(g.shape) < 0.95] = 0
    assert sparse.is_shorter(g, argmax, w.shape, geometry, groups, pool, 2)
    full, argmax = (unpooled(g, argmax, geometry, pool), argmax) if relu else (g, None)
    dx = compiled.conv2d_pool_input_grad(g, argmax, w, x.shape, geometry, groups, pool)
    dw, db = compiled.conv2d_pool_weight_grads(g, argmax, x, w.shape, geometry, groups, pool)
    expected, expected_bias = reference.conv2d_weight_grads(full, x, w.shape, geometry, groups)
    assert_allclose(dx, reference.conv2d_input_grad(full, w, x.shape, geometry, groups), atol=1e-12)
    assert_allclose(dw, expected, atol=1e-12)
    assert_allclose(db, expected_bias, atol=1e-12)


@pytest.mark.parametrize("case", ["one vector", "an image larger than a block"])
def test_the_bits_of_an_image_do_not_depend_on_the_batch(case):
    """Under a pooling; without one, the share of elements with a gradient in the batch determines the way."""
    x, w, g, argmax, given = problem(**{**CASES[case], "n": 9})
    g, w = g.astype(np.float32), w.astype(np.float32)
    together = compiled.conv2d_pool_input_grad(g, argmax, w, x.shape, *given)
    for i in range(len(g)):
        alone = compiled.conv2d_pool_input_grad(g[i : i + 1], argmax[i : i + 1], w, (1, *x.shape[1:]), *given)
        assert_array_equal(alone[0], together[i])


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_zero_gradients_times_numbers_that_are_not_finite(value):
    """As in the definition, 0 times infinity is NaN, whatever the kernels leave out."""
    x, w, g, argmax, (geometry, groups, pool) = problem(size=(8, 8))
    full = unpooled(g, argmax, geometry, pool)
    x[1, 4, 4, 2] = w[1, 0, 3, 2] = value
    with np.errstate(invalid="ignore"):
        expected = reference.conv2d_weight_grads(full, x, w.shape, geometry, groups)[0]
        expected_x = reference.conv2d_input_grad(full, w, x.shape, geometry, groups)
    dw = compiled.conv2d_pool_weight_grads(g, argmax, x, w.shape, geometry, groups, pool)[0]
    dx = compiled.conv2d_pool_input_grad(g, argmax, w, x.shape, geometry, groups, pool)
    assert np.isnan(expected).any() and not np.isnan(expected).all() and np.isnan(expected_x).any()
    assert_allclose(dw, expected, atol=1e-12)
    assert_allclose(dx, expected_x, atol=1e-12)


@pytest.mark.parametrize("padding", ["valid", "same", ((0, 2), (1, 0)), 2])
@pytest.mark.parametrize("value", [1.0, np.inf])
def test_the_mirrored_convolution_multiplies_no_padding(value, padding):
    """Without pooling and stride the gradient of the pixels is a convolution, except where 0 times infinity counts."""
    x, w, g, _, (geometry, groups, pool) = problem(padding=padding, pool=1)
    w[0, 0, 1, 2] = value
    mirrored = conv_grads._mirrored(x.shape, w.shape, geometry, pool)
    assert mirrored is not None
    with np.errstate(invalid="ignore"):
        expected = reference.conv2d_input_grad(g, w, x.shape, geometry, groups)
    assert_allclose(compiled.conv2d_input_grad(g, w, x.shape, geometry, groups), expected, atol=1e-12)


@pytest.mark.parametrize("pool", [(1, 1), (2, 2)])
def test_long_sums_keep_their_digits(pool):
    """Of so many equal terms a running sum in float32 would be off by 1e-3."""
    x, w = np.full((200, 40, 40, 16), 0.1, np.float32), np.ones((2, 2, 16, 8), np.float32)
    geometry = windows("conv2d", (40, 40), (2, 2), 1, "same", 1).geometry
    y, argmax = compiled.conv2d_pool(x, w, None, geometry, 1, pool, True)
    assert sparse.is_shorter(np.ones_like(y), argmax, w.shape, geometry, 1, pool, 1) == (pool == (2, 2))
    dw, db = compiled.conv2d_pool_weight_grads(np.ones_like(y), argmax, x, w.shape, geometry, 1, pool)
    assert_allclose(dw[0, 0], 0.1 * y[..., 0].size, rtol=1e-5)
    assert_allclose(db, y[..., 0].size, rtol=1e-5)


def test_indices_of_pools_fit_their_type():
    """A block has at most as many pools as pixels."""
    assert np.iinfo(lists.ONES.dtype).max + 1 >= sparse.PIXELS
