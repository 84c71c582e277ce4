"""All implementations of the kernels against nested loops, and against each other's signatures."""

import importlib
import inspect
import math
import platform
from dataclasses import dataclass

import numpy as np
import oracles
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

import minicnn.kernels
from minicnn.geometry import windows
from minicnn.kernels import numpy_blocked, reference
from minicnn.validation import ShapeError

IMPLEMENTATIONS = ["reference", "numpy_blocked", "compiled"]
ONLY_REFERENCE = {"max_pool2d_indices"}
FUSED = {"conv2d_pool", "conv2d_pool_input_grad", "conv2d_pool_weight_grads"}


def implementation(name):
    if name == "compiled":
        pytest.importorskip("numba")
    return importlib.import_module(f"minicnn.kernels.{name}")


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def kernels(request):
    return implementation(request.param)


@pytest.fixture(scope="module", params=IMPLEMENTATIONS[1:])
def fused_kernels(request):
    return implementation(request.param)


@dataclass(frozen=True)
class Case:
    """Images, a window over them, and the seed of what is in them."""

    shape: tuple
    size: tuple
    strides: tuple
    pads: tuple
    dilation: tuple
    groups: int
    filters: int
    seed: int

    @property
    def how(self):
        return self.strides, self.pads, self.dilation

    @property
    def geometry(self):
        return oracles.geometry(self.shape, self.size, *self.how)

    @property
    def rng(self):
        return np.random.default_rng(self.seed)

    @property
    def kernel_shape(self):
        return (*self.size, self.shape[3] // self.groups, self.filters)

    @property
    def out(self):
        return oracles.out_shape(self.shape, self.size, *self.how)


@st.composite
def cases(draw, pooling):
    pair = st.tuples
    size = draw(pair(st.integers(1, 5), st.integers(1, 5)))
    strides = draw(pair(st.integers(1, 4), st.integers(1, 4)))
    dilation = draw(pair(st.integers(1, 3), st.integers(1, 3)))
    spans = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    pads = tuple(draw(pair(*[st.integers(0, span - 1 if pooling else 3)] * 2)) for span in spans)
    padding = draw(st.sampled_from(["valid", "same", pads, ((p := pads[0][0]), p)]))
    ceil = pooling and draw(st.booleans())
    h, w, n = draw(st.integers(1, 12)), draw(st.integers(1, 12)), draw(st.integers(0, 2))
    try:
        w_ = windows("x", (h, w), size, strides, padding, dilation, ceil_mode=ceil, pooling=pooling)
    except ShapeError:
        w_ = windows("x", (h, w), size, strides, "same", dilation)
    groups = draw(st.integers(1, 3))
    channels, filters = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    seed = draw(st.integers(0, 2**32 - 1))
    return Case((n, h, w, channels), size, strides, w_.pads, dilation, groups, filters, seed)


several = settings(derandomize=True, deadline=None, max_examples=120)


def close(found, expected, dtype):
    assert found.dtype == dtype
    assert found.shape == expected.shape
    at_most = 1e-12 if dtype == np.float64 else 1e-4
    assert_allclose(found, expected, rtol=at_most, atol=at_most)


@several
@given(case=cases(pooling=False), dtype=st.sampled_from([np.float64, np.float32]))
def test_convolution(kernels, case, dtype):
    rng = case.rng
    x, kernel, bias = (rng.normal(size=s).astype(dtype) for s in (case.shape, case.kernel_shape, (case.filters,)))
    g = rng.normal(size=(*case.out[:3], case.filters)).astype(dtype)
    dx, dk = oracles.conv2d_grads(g, x, kernel, *case.how, case.groups)
    for b in (bias, None):
        expected = oracles.conv2d(x, kernel, b, *case.how, case.groups)
        close(kernels.conv2d(x, kernel, b, case.geometry, case.groups), expected, dtype)
    close(kernels.conv2d_input_grad(g, kernel, x.shape, case.geometry, case.groups), dx, dtype)
    found, db = kernels.conv2d_weight_grads(g, x, kernel.shape, case.geometry, case.groups)
    close(found, dk, dtype)
    close(db, g.reshape(-1, case.filters).sum(axis=0), dtype)


@several
@given(
    case=cases(pooling=False),
    dtype=st.sampled_from([np.float64, np.float32]),
    pool_size=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    relu=st.booleans(),
)
def test_convolution_with_pooling_and_relu(fused_kernels, case, dtype, pool_size, relu):
    """Small integers: results are exact and many elements of a pool are equal."""
    assume(all(out >= pool for out, pool in zip(case.out[1:3], pool_size, strict=True)))
    rng, how = case.rng, (*case.how, case.groups)
    sizes = (case.shape, case.kernel_shape, (case.filters,))
    x, kernel, bias = (rng.integers(-2, 3, size).astype(dtype) for size in sizes)
    where = (case.geometry, case.groups)
    y, argmax = fused_kernels.conv2d_pool(x, kernel, bias, *where, pool_size, relu)
    expected, back = oracles.conv2d_pool(x, kernel, bias, *how, pool_size, relu)
    assert y.dtype == dtype
    assert_array_equal(y, expected)
    g = rng.integers(-9, 9, y.shape).astype(dtype)
    spread = back(g)
    dx, dk = oracles.conv2d_grads(spread, x, kernel, *how)
    assert_array_equal(fused_kernels.conv2d_pool_input_grad(g, argmax, kernel, x.shape, *where, pool_size), dx)
    found, db = fused_kernels.conv2d_pool_weight_grads(g, argmax, x, kernel.shape, *where, pool_size)
    assert found.dtype == db.dtype == dtype
    assert_array_equal(found, dk)
    assert_array_equal(db, spread.sum(axis=(0, 1, 2)))


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("channels", [1, 2])
def test_what_is_not_a_number_wins_a_fused_pool_at_its_first_place(fused_kernels, channels, relu):
    rng = np.random.default_rng(0)
    x = rng.choice([np.nan, np.inf, -np.inf, -1, 0, 1], (6, 6, 6, channels), p=[0.1, 0.1, 0.1, 0.3, 0.1, 0.3])
    x[..., 1:] = 0
    kernel, how = np.ones((1, 1, channels, 1)), ((1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    geometry = oracles.geometry(x.shape, kernel.shape)
    y, argmax = fused_kernels.conv2d_pool(x, kernel, None, geometry, 1, (2, 3), relu)
    expected, back = oracles.conv2d_pool(x[..., :1], kernel[:, :, :1], None, *how, (2, 3), relu)
    assert np.isnan(expected).any()
    assert_array_equal(y, expected)
    g = rng.integers(1, 9, y.shape).astype(float)
    dx = fused_kernels.conv2d_pool_input_grad(g, argmax, kernel, x.shape, geometry, 1, (2, 3))
    assert_array_equal(dx[..., :1], back(g))


@several
@given(case=cases(pooling=True), dtype=st.sampled_from([np.float64, np.float32]))
def test_sums(kernels, case, dtype):
    x, g = (case.rng.normal(size=s).astype(dtype) for s in (case.shape, case.out))
    close(kernels.sum_pool2d(x, case.geometry), oracles.sum_pool2d(x, case.size, *case.how), dtype)
    expected = oracles.sum_pool2d_grad(g, x.shape, case.size, *case.how)
    close(kernels.sum_pool2d_grad(g, x.shape, case.geometry), expected, dtype)


@several
@given(
    case=cases(pooling=True),
    dtype=st.sampled_from([np.float64, np.float32]),
    values=st.sampled_from([[-2, -1, 0, 1], [-1, 0], [0], [-np.inf, 0, 1], [-np.inf], [np.nan, 0, 1, 2, np.inf]]),
)
def test_maxima_and_who_gets_their_gradient(kernels, case, dtype, values):
    rng = case.rng
    x, g = rng.choice(values, case.shape).astype(dtype), rng.integers(-9, 9, case.out).astype(dtype)
    y = kernels.max_pool2d(x, case.geometry)
    assert y.dtype == dtype
    assert_array_equal(y, oracles.max_pool2d(x, case.size, *case.how))
    first = kernels.max_pool2d_grad(g, x, y, case.geometry, False)
    assert first.dtype == dtype
    assert_array_equal(first, oracles.max_pool2d_grad(g, x, case.size, *case.how, False))
    split = kernels.max_pool2d_grad(g, x, y, case.geometry, True)
    close(split, oracles.max_pool2d_grad(g, x, case.size, *case.how, True), dtype)
    if kernels is reference:
        found = kernels.max_pool2d_indices(x, y, case.geometry)
        assert_array_equal(found, oracles.max_pool2d_indices(x, case.size, *case.how))


@several
@given(shape=st.lists(st.integers(0, 5), max_size=4), seed=st.integers(0, 2**32 - 1))
def test_relu(kernels, shape, seed):
    rng = np.random.default_rng(seed)
    x, g = rng.choice([-2.0, -0.0, 0.0, 3.0, np.nan, np.inf], shape), rng.normal(size=shape)
    y = kernels.relu(x)
    assert y.shape == kernels.relu_grad(g, y).shape == tuple(shape)
    assert_array_equal(y, np.array([0.0 if v <= 0 else v for v in x.ravel()]).reshape(shape))
    expected = np.array([h if v > 0 else 0.0 for h, v in zip(g.ravel(), x.ravel(), strict=True)])
    assert_array_equal(kernels.relu_grad(g, y), expected.reshape(shape))


def test_a_window_of_pads_only(kernels):
    """One element, two taps three apart, padding of two: neither tap of the only window is on the element."""
    x = np.full((1, 1, 1, 1), 7.0)
    geometry = oracles.geometry(x.shape, (2, 1), (1, 1), ((2, 2), (0, 0)), (3, 1))
    y = kernels.max_pool2d(x, geometry)
    assert_array_equal(y.ravel(), [-np.inf, -np.inf])
    g = np.ones_like(y)
    for split in (False, True):
        assert_array_equal(kernels.max_pool2d_grad(g, x, y, geometry, split).ravel(), [0])
    assert_array_equal(kernels.sum_pool2d(x, geometry).ravel(), [0, 0])
    assert_array_equal(reference.max_pool2d_indices(x, y, geometry).ravel(), [-1, -1])


def test_a_window_of_minus_infinities_has_an_argmax(kernels):
    x = np.full((1, 2, 2, 1), -np.inf)
    geometry = oracles.geometry(x.shape, (2, 2), (2, 2), ((1, 1), (1, 1)))
    y = kernels.max_pool2d(x, geometry)
    assert_array_equal(kernels.max_pool2d_grad(np.ones_like(y), x, y, geometry, False).ravel(), [1, 1, 1, 1])


def test_nan_comes_out_and_the_first_one_gets_the_gradient(kernels):
    x = np.array([1.0, np.nan, np.nan, 9.0]).reshape(1, 2, 2, 1)
    geometry = oracles.geometry(x.shape, (2, 2))
    y = kernels.max_pool2d(x, geometry)
    assert np.isnan(y).all()
    assert_array_equal(kernels.max_pool2d_grad(np.ones_like(y), x, y, geometry, False).ravel(), [0, 1, 0, 0])
    assert_array_equal(kernels.max_pool2d_grad(np.ones_like(y), x, y, geometry, True).ravel(), [0, 0.5, 0.5, 0])


@pytest.mark.parametrize("piece", [1, 50, 1000])
def test_pieces_of_any_size_give_the_same(monkeypatch, piece):
    rng = np.random.default_rng(0)
    x, kernel, g = (rng.normal(size=s) for s in ((5, 6, 4, 4), (3, 2, 2, 6), (5, 3, 3, 6)))
    how = ((2, 1), ((1, 0), (0, 0)), (1, 1), 2)
    where = (oracles.geometry(x.shape, kernel.shape, *how[:3]), 2)
    monkeypatch.setattr(numpy_blocked, "PIECE", piece)
    dx, dk = oracles.conv2d_grads(g, x, kernel, *how)
    close(numpy_blocked.conv2d(x, kernel, None, *where), oracles.conv2d(x, kernel, None, *how), np.float64)
    close(numpy_blocked.conv2d_input_grad(g, kernel, x.shape, *where), dx, np.float64)
    close(numpy_blocked.conv2d_weight_grads(g, x, kernel.shape, *where)[0], dk, np.float64)


@pytest.mark.parametrize(("images", "side"), [(2, 190), (3, 95), (90, 12)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("strides", "pool_size"), [((1, 1), (2, 2)), ((2, 1), (3, 1)), ((1, 3), (1, 1))])
def test_pieces_begin_and_end_within_images(fused_kernels, images, side, channels, strides, pool_size):
    """Integers again; one image at a time, in small pieces, says what is right."""
    rng = np.random.default_rng(side)
    x, kernel, bias = (
        rng.integers(-3, 4, s) * 1.0 for s in ((images, side, side, channels), (4, 3, channels, 5), (5,))
    )
    how = oracles.geometry(x.shape, kernel.shape, strides, ((2, 1), (0, 3)), (1, 2)), 1, pool_size
    y, argmax = fused_kernels.conv2d_pool(x, kernel, bias, *how, True)
    g = rng.integers(-3, 4, y.shape) * 1.0
    dx = fused_kernels.conv2d_pool_input_grad(g, argmax, kernel, x.shape, *how)
    dk, db = fused_kernels.conv2d_pool_weight_grads(g, argmax, x, kernel.shape, *how)
    for i in (0, images // 2, images - 1):
        one = slice(i, i + 1)
        expected = numpy_blocked.conv2d_pool(x[one], kernel, bias, *how, True)
        assert_array_equal(y[one], expected[0])
        assert_array_equal(argmax[one], expected[1])
        assert_array_equal(
            dx[one], numpy_blocked.conv2d_pool_input_grad(g[one], argmax[one], kernel, x[one].shape, *how)
        )
    parts = [slice(i, i + 1) for i in range(images)]
    grads = [numpy_blocked.conv2d_pool_weight_grads(g[i], argmax[i], x[i], kernel.shape, *how) for i in parts]
    assert_array_equal(dk, sum(grad[0] for grad in grads))
    assert_array_equal(db, sum(grad[1] for grad in grads))


SHAPE, OUT = (3, 6, 5, 2), (3, 3, 5, 2)
GEOMETRY = oracles.geometry(SHAPE, (3, 3), (2, 1), ((1, 0), (1, 1)))


ADAM = (0.9, 0.999), (0.19, 0.04), 1e-7, 0.01, 0.1


def won(y):
    return np.where(y > 1, 0, 255).astype(np.uint8, order="K")


CALLS = {
    **{
        f"adam_step, {part}": (lambda k, x, g, y, w, b, i=i: k.adam_step(g, y, -g, y * y, *ADAM)[i])
        for i, part in enumerate(("parameter", "mean", "square"))
    },
    "bilinear": (lambda k, x, g, y, w, b: k.bilinear(x, g[..., 0], y[..., 1])),
    "bilinear, lines": (lambda k, x, g, y, w, b: k.bilinear(x, g[:, :, :1, 0], y[:, :1, :, 1])),
    "conv2d": (lambda k, x, g, y, w, b: k.conv2d(x, w, b, GEOMETRY, 1)),
    "conv2d_input_grad": (lambda k, x, g, y, w, b: k.conv2d_input_grad(g, w, x.shape, GEOMETRY, 1)),
    "conv2d_weight_grads": (lambda k, x, g, y, w, b: k.conv2d_weight_grads(g, x, w.shape, GEOMETRY, 1)[0]),
    "conv2d_weight_grads, bias": (lambda k, x, g, y, w, b: k.conv2d_weight_grads(g, x, w.shape, GEOMETRY, 1)[1]),
    "conv2d_pool": (lambda k, x, g, y, w, b: k.conv2d_pool(x, w, b, GEOMETRY, 1, (1, 2), True)[0]),
    "conv2d_pool, argmax": (lambda k, x, g, y, w, b: k.conv2d_pool(x, w, b, GEOMETRY, 1, (1, 2), True)[1]),
    "conv2d_pool_input_grad": (
        lambda k, x, g, y, w, b: k.conv2d_pool_input_grad(g, won(y), w, x.shape, GEOMETRY, 1, (1, 1))
    ),
    "conv2d_pool_weight_grads": (
        lambda k, x, g, y, w, b: k.conv2d_pool_weight_grads(g, won(y), x, w.shape, GEOMETRY, 1, (1, 1))[0]
    ),
    "conv2d_pool_weight_grads, bias": (
        lambda k, x, g, y, w, b: k.conv2d_pool_weight_grads(g, won(y), x, w.shape, GEOMETRY, 1, (1, 1))[1]
    ),
    "relu": (lambda k, x, g, y, w, b: k.relu(x)),
    "relu_grad": (lambda k, x, g, y, w, b: k.relu_grad(g, y)),
    "max_pool2d": (lambda k, x, g, y, w, b: k.max_pool2d(x, GEOMETRY)),
    "max_pool2d_grad": (lambda k, x, g, y, w, b: k.max_pool2d_grad(g, x, y, GEOMETRY, False)),
    "max_pool2d_grad, split": (lambda k, x, g, y, w, b: k.max_pool2d_grad(g, x, y, GEOMETRY, True)),
    "sum_pool2d": (lambda k, x, g, y, w, b: k.sum_pool2d(x, GEOMETRY)),
    "sum_pool2d_grad": (lambda k, x, g, y, w, b: k.sum_pool2d_grad(g, x.shape, GEOMETRY)),
}


def arguments():
    rng = np.random.default_rng(3)
    x, g, w, b = (rng.normal(size=s) for s in (SHAPE, OUT, (3, 3, 2, 2), (2,)))
    return x, g, reference.max_pool2d(x, GEOMETRY), w, b


def every_other(array):
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]))
    wide[..., ::2] = array
    return wide[..., ::2]


LAYOUTS = {
    "Fortran order": np.asfortranarray,
    "every other number": every_other,
    "backwards": lambda a: np.flip(np.flip(a).copy()),
    "another order of axes": lambda a: np.swapaxes(np.swapaxes(a, 0, -1).copy(), 0, -1),
}


def calls(kernels):
    """The rows of the table for what these kernels have: the reference does not fuse."""
    return {name: call for name, call in CALLS.items() if hasattr(kernels, name.split(",")[0])}


def test_every_kernel_is_in_the_table(kernels):
    names = {name.split(",")[0] for name in CALLS}
    assert set(kernels.__all__) - ONLY_REFERENCE == {name.split(",")[0] for name in calls(kernels)}
    assert names - set(kernels.__all__) == (FUSED if kernels is reference else set())
    assert names == set(minicnn.kernels.__all__)


def called(kernels, name):
    if name not in calls(kernels):
        pytest.skip("these kernels do not fuse")
    return lambda *arrays: CALLS[name](kernels, *arrays)


@pytest.mark.parametrize("name", CALLS)
def test_how_arguments_lie_in_memory_makes_no_difference(kernels, name):
    expected = called(kernels, name)(*arguments())
    for layout in LAYOUTS.values():
        found = called(kernels, name)(*map(layout, arguments()))
        assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CALLS)
def test_arguments_are_not_written_to(kernels, name):
    given_, before = arguments(), arguments()
    result = called(kernels, name)(*given_)
    for array, same in zip(given_, before, strict=True):
        assert_array_equal(array, same)
        assert not np.shares_memory(result, array)


@pytest.mark.parametrize("name", CALLS)
def test_read_only_arguments_are_fine(kernels, name):
    frozen = arguments()
    for array in frozen:
        array.flags.writeable = False
    assert_array_equal(called(kernels, name)(*frozen), called(kernels, name)(*arguments()))


@pytest.mark.parametrize("name", minicnn.kernels.__all__)
def test_implementations_have_the_same_signatures(kernels, name):
    if name not in FUSED or kernels is not reference:
        one, other = getattr(kernels, name), getattr(numpy_blocked, name)
        assert inspect.signature(one) == inspect.signature(other)


def interpolated(images, rows, columns):
    """SciPy's interpolation of each image and channel, in float64."""
    rows, columns = np.broadcast_arrays(rows, columns)
    y = np.empty((*rows.shape, images.shape[3]))
    for n, c in np.ndindex(len(images), images.shape[3]):
        plane, at = images[n, :, :, c].astype(np.float64), (rows[n], columns[n])
        y[n, :, :, c] = ndimage.map_coordinates(plane, at, order=1, mode="grid-constant")
    return y


def same_bits(found, expected):
    """Compare with results of SciPy, whose compiler may contract a product and a sum on other machines."""
    if platform.machine() in {"x86_64", "AMD64"}:
        assert_array_equal(found, expected, strict=True)
        assert_array_equal(np.signbit(found) & ~np.isnan(found), np.signbit(expected) & ~np.isnan(expected))
    assert_allclose(found, expected, rtol=0, atol=1e-6 if found.dtype == np.float32 else 1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [(12, 11, 2), (28, 28, 1), (1, 6, 3), (5, 1, 1)])
def test_interpolation_has_the_bits_of_scipy(kernels, size, dtype):
    """Studies that were made with SciPy's function give the same numbers."""
    rng, (h, w, _) = np.random.default_rng(1), size
    images = rng.random((50, *size), dtype=dtype) - dtype(0.5)
    images[0], images[1, 0], images[2, -1, 0], images[3, 0] = -0.0, np.inf, -np.inf, np.nan
    at = rng.uniform(-4, 15, (50, 2, h, w))
    at[4] = at[4].round()
    at[5], at[6] = -1e6, 1e6
    with np.errstate(invalid="ignore"):
        expected = interpolated(images, at[:, 0], at[:, 1])
        same_bits(kernels.bilinear(images.astype(np.float64), at[:, 0], at[:, 1]), expected)
        same_bits(kernels.bilinear(images, at[:, 0], at[:, 1]), expected.astype(dtype))


@pytest.mark.parametrize("images", [0, 1, 7, 300])
@pytest.mark.parametrize("columns", [(1, 9), (4, 9), (4, 1)])
@pytest.mark.parametrize("rows", [(4, 1), (4, 9)])
@pytest.mark.parametrize("one", [(), (0,), (1,), (0, 1)])
def test_coordinates_of_length_one_are_repeated(kernels, images, rows, columns, one):
    rng = np.random.default_rng(2)
    x = rng.random((images, 8, 6, 2), dtype=np.float32)
    shapes = [(1 if i in one else images, *shape) for i, shape in enumerate((rows, columns))]
    at = [rng.uniform(-3, 9, shape) for shape in shapes]
    whole = [np.broadcast_to(a, (images, 4, max(rows[1], columns[1]))) for a in at]
    if columns[1] < rows[1]:
        at[1] = np.repeat(at[1], 9, axis=2)  # the last axis of the columns says how wide the result is
    expected = reference.bilinear(x, *whole)
    assert_array_equal(kernels.bilinear(x, *at), expected, strict=True)
    assert_array_equal(expected, interpolated(x, *whole).astype(np.float32), strict=True)


def test_a_coordinate_that_is_not_a_number_gives_none(kernels):
    x, at = np.ones((1, 3, 3, 1)), np.array([[[0.0], [np.nan], [np.inf], [-np.inf]]])
    assert_array_equal(kernels.bilinear(x, at, np.ones((1, 1, 1))).ravel(), [1, np.nan, 0, 0])
    assert_array_equal(kernels.bilinear(x, np.ones((1, 1, 1)), at.reshape(1, 1, 4)).ravel(), [1, np.nan, 0, 0])


@pytest.mark.parametrize("values", [1, 100, 10**6])
def test_parts_of_any_size_are_interpolated_as_all(monkeypatch, values):
    rng = np.random.default_rng(3)
    x, rows, columns = rng.random((9, 5, 4, 2)), rng.uniform(-2, 6, (9, 5, 1)), rng.uniform(-2, 6, (1, 1, 4))
    monkeypatch.setattr(numpy_blocked, "AT_A_TIME", values)
    assert_array_equal(numpy_blocked.bilinear(x, rows, columns), reference.bilinear(x, rows, columns), strict=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("decay", [0.0, 0.01])
@pytest.mark.parametrize("shape", [(), (1,), (7, 3), (3, 3, 16, 33), (70_001,)])
def test_a_step_of_adam_is_that_of_the_definition_to_the_last_bit(kernels, shape, decay, dtype):
    """A training continues with the same parameters, and a seed has the same results, whatever the kernels."""
    rng = np.random.default_rng(len(shape))
    w, g, mean = (np.asarray(rng.standard_normal(shape), dtype) for _ in range(3))
    square = np.asarray(rng.random(shape) * 10.0 ** rng.integers(-30, 3, shape), dtype)
    how = (0.9, 0.999), (1 - 0.9**7, (1 - 0.999**7) ** 0.5), 1e-7, 3e-2 / 7, decay
    found, expected = kernels.adam_step(w, g, mean, square, *how), reference.adam_step(w, g, mean, square, *how)
    assert [a.tobytes() for a in found] == [a.tobytes() for a in expected]
    assert all((a.shape, a.dtype) == (w.shape, w.dtype) for a in found)


def test_a_step_of_adam_is_what_python_computes():
    w, g, mean, square = 0.5, -2.0, 0.25, 3.0
    average, of_squares = 0.9 * mean + 0.1 * g, 0.99 * square + 0.01 * g * g
    moved = w - 0.1 * (average / 0.5 / (math.sqrt(of_squares) / 0.25 + 1e-3) + 0.02 * w)
    arrays = (np.array([v]) for v in (w, g, mean, square))
    found = reference.adam_step(*arrays, (0.9, 0.99), (0.5, 0.25), 1e-3, 0.1, 0.02)
    assert [a.item() for a in found] == pytest.approx([moved, average, of_squares], rel=1e-14)


@several
@given(
    case=cases(pooling=False),
    dtype=st.sampled_from([np.float64, np.float32]),
    values=st.sampled_from([None, [-2, -1, 0, 1], [np.nan, np.inf, -1, 0, 1, 2]]),
)
def test_the_blocked_kernels_compute_what_the_reference_defines(case, dtype, values):
    rng, where = case.rng, (case.geometry, case.groups)

    def draw(shape):
        return (rng.normal(size=shape) if values is None else rng.choice(values, shape)).astype(dtype)

    x, kernel, bias, g = map(draw, (case.shape, case.kernel_shape, (case.filters,), (*case.out[:3], case.filters)))
    with np.errstate(invalid="ignore"):
        results = [
            (
                k.conv2d(x, kernel, bias, *where),
                k.conv2d_input_grad(g, kernel, x.shape, *where),
                *k.conv2d_weight_grads(g, x, kernel.shape, *where),
            )
            for k in (numpy_blocked, reference)
        ]
    for found, expected in zip(*results, strict=True):
        close(found, expected, dtype)


@pytest.mark.parametrize("dtype", [np.float16, ">f4", np.longdouble, np.uint8, bool])
def test_images_of_other_types_are_interpolated_as_by_the_definition(kernels, dtype):
    rng = np.random.default_rng(0)
    images = (rng.random((2, 5, 4, 3)) * 2).astype(dtype)
    rows, columns = rng.uniform(-2, 6, (2, 5, 4)), rng.uniform(-2, 5, (2, 5, 4))
    found, expected = kernels.bilinear(images, rows, columns), reference.bilinear(images, rows, columns)
    assert found.dtype == expected.dtype == images.dtype
    assert_array_equal(found, expected)
