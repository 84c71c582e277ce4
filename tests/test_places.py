"""Convolution without the products with padding: the compiled kernels leave them out for several images at a time."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minicnn.geometry import windows
from minicnn.kernels import reference

compiled = pytest.importorskip("minicnn.kernels.compiled", reason="needs Numba")
from minicnn.kernels.compiled import places


def problem(
    size=(6, 5), channels=8, filters=32, kernel=(3, 3), padding="same", stride=1, dilation=1, pool=(1, 1), n=13
):
    rng = np.random.default_rng(0)
    geometry = windows("conv2d", size, kernel, stride, padding, dilation).geometry
    x, w = rng.standard_normal((n, *size, channels)), rng.standard_normal((*kernel, channels, filters))
    return x, w, rng.standard_normal(filters), geometry, 1, pool


def computed_without_padding(x, w, bias, geometry, groups, pool):
    y = np.empty((len(x), geometry.out[0] // pool[0], geometry.out[1] // pool[1], len(bias)), x.dtype)
    return places.whole_tiles(len(x), x, compiled.pack(w, groups), y, tuple(geometry), groups, pool)


CASES = {
    "a tile and some images": {"n": 7},
    "two blocks of images": {"n": 24},
    "one vector of filters": {"filters": 5, "n": 27},
    "a panel and a part": {"filters": 40, "n": 25},
    "other rows than columns": {"kernel": (5, 2), "size": (4, 7)},
    "rows only": {"padding": ((1, 1), (0, 0))},
    "columns only": {"padding": ((0, 0), (2, 1))},
    "windows of padding alone": {"padding": ((4, 5), (3, 6))},
    "an image smaller than the window": {"size": (1, 2)},
    "stride": {"stride": 2, "size": (8, 8)},
    "stride larger than the window": {"stride": (4, 5), "padding": ((2, 3), (4, 1)), "size": (9, 11)},
    "dilation of rows": {"dilation": (2, 1)},
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("pool", "relu"), [((1, 1), False), ((1, 1), True), ((2, 1), False), ((2, 3), True)])
@pytest.mark.parametrize("case", CASES)
def test_equal_to_the_definition(case, pool, relu, dtype):
    x, w, bias, geometry, groups, _ = problem(**CASES[case])
    pool = tuple(min(pair) for pair in zip(pool, geometry.out, strict=True))
    small = [a.astype(dtype) for a in (x, w, bias)]
    assert computed_without_padding(*small, geometry, groups, pool) >= 6
    y, argmax = compiled.conv2d_pool(*small, geometry, groups, pool, relu)
    full = reference.conv2d(x, w, bias, geometry, groups)
    expected, found = np.empty(y.shape), np.empty(y.shape, np.uint8)
    for n, i, j, k in np.ndindex(y.shape):
        elements = full[n, i * pool[0] : (i + 1) * pool[0], j * pool[1] : (j + 1) * pool[1], k].ravel()
        expected[n, i, j, k], found[n, i, j, k] = elements.max(), elements.argmax()
    if relu:
        expected, found = np.maximum(expected, 0), np.where(expected > 0, found, 255)
    assert_allclose(y, expected, rtol=0, atol=1e-4 if dtype is np.float32 else 1e-12)
    if argmax is not None:
        assert_array_equal(argmax, found)


@pytest.mark.parametrize("case", [{"dilation": 2}, {"padding": "valid"}, {"n": 5}, {"channels": 2}])
def test_what_is_computed_with_padding(case):
    assert computed_without_padding(*problem(**case)) == 0


def test_groups_are_computed_with_padding():
    x, w, bias, geometry, _, pool = problem(channels=16)
    assert computed_without_padding(x, w[:, :, :8].copy(), bias, geometry, 2, pool) == 0


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("tap", [(0, 0), (1, 1), (2, 1)])
def test_padding_times_weights_that_are_not_finite(value, tap):
    """0 times infinity is not a number: so are outputs of windows that have padding at an infinite weight."""
    x, w, bias, geometry, groups, pool = problem(size=(4, 4))
    w[(*tap, 3, 7)] = value
    assert computed_without_padding(x, w, bias, geometry, groups, pool) == 0
    y = compiled.conv2d(x, w, bias, geometry, groups)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    for n, i, j in np.ndindex(len(x), 4, 4):
        pixel = padded[n, i + tap[0], j + tap[1], 3]
        expected = np.nan if pixel == 0 else value * np.sign(pixel)
        assert_array_equal(y[n, i, j, 7], expected)
    assert np.isfinite(np.delete(y, 7, axis=3)).all()


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_pixels_that_are_not_finite_reach_their_own_windows_alone(value):
    x, w, bias, geometry, groups, _ = problem(size=(5, 5))
    x[2, 0, 4, 1] = x[7, 4, 0, 0] = value
    y = compiled.conv2d(x, w, bias, geometry, groups)
    reached = np.zeros(y.shape[:3], bool)
    reached[2, :2, 3:] = reached[7, 3:, :2] = True
    assert_array_equal(np.isfinite(y).all(axis=3), ~reached)
    assert_array_equal(np.isfinite(y).any(axis=3), ~reached)


def test_the_bits_of_an_image_do_not_depend_on_the_batch():
    x, w, bias, geometry, groups, _ = problem(n=31)
    x, w, bias = (a.astype(np.float32) for a in (x, w, bias))
    y = compiled.conv2d(x, w, bias, geometry, groups)
    for n in (1, 5, 6, 7, 12, 20):
        assert_array_equal(compiled.conv2d(x[-n:], w, bias, geometry, groups).view(np.uint32), y[-n:].view(np.uint32))
