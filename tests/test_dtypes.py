"""Mixed dtypes give NumPy's promotion, numbers promote nothing, and each gradient has its argument's dtype."""

import inspect
import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose
from tables import EVERY, every_row, implementation, kernels  # noqa: F401 - the fixture
from test_kernels import CALLS, IMPLEMENTATIONS, arguments, calls

from minicnn import Tensor, grad, layers, models, ops, trees, value_and_grad

FLOATS = (np.float32, np.float64)
several_arrays = pytest.mark.parametrize("row", [r for r in EVERY if len(r.shapes) > 1], ids=str)
close = {"rtol": 2e-4, "atol": 2e-5}


def arrays_of(row, dtypes):
    return [a.astype(dtype) for a, dtype in zip(row.arrays(), dtypes, strict=True)]


def backward(row, arrays):
    """Return result and gradients of a sum with weights, so that no two results count the same."""
    tensors = [Tensor(a) for a in arrays]
    y = row(*tensors)
    weights = np.random.default_rng(3).normal(size=y.shape).astype(y.dtype)
    (y * weights).sum().backward()
    return y.data, [t.grad for t in tensors]


@several_arrays
@pytest.mark.usefixtures("kernels")
def test_every_mix_of_dtypes_is_the_float64_computation(row):
    expected, expected_grads = backward(row, row.arrays())
    for mix in itertools.product(FLOATS, repeat=len(row.shapes)):
        y, grads = backward(row, arrays_of(row, mix))
        assert y.dtype == np.result_type(*mix) == np.asarray(row(*arrays_of(row, mix))).dtype
        assert_allclose(y, expected, **close)
        for g, dtype, right in zip(grads, mix, expected_grads, strict=True):
            assert g.dtype == dtype
            assert_allclose(g, right, **close)


@several_arrays
def test_one_tensor_among_plain_arrays_of_another_dtype(row):
    for i, dtype in itertools.product(range(len(row.shapes)), FLOATS):
        mix = [FLOATS[0] if dtype is FLOATS[1] else FLOATS[1]] * len(row.shapes)
        mix[i] = dtype
        arrays = arrays_of(row, mix)
        tensor = Tensor(arrays[i])
        y = row(*arrays[:i], tensor, *arrays[i + 1 :])
        y.sum().backward()
        assert (y.dtype, tensor.grad.dtype) == (np.float64, dtype)


def numpys(value):
    """Python floats as NumPy's, whose repr is the same and whose promotion is not."""
    return np.float64(value) if isinstance(value, float) else value


@every_row
def test_numpy_scalars_promote_nothing(row):
    rest = [numpys(float(value)) if row.name == "power" else numpys(value) for value in row.rest]
    arrays = row.arrays(np.float32)
    for given in (arrays, [Tensor(a) for a in arrays]):
        how = {name: value() if callable(value) else numpys(value) for name, value in row.how.items()}
        y = getattr(ops, row.name)(*given, *rest, **how)
        assert y.dtype == np.float32
        assert_allclose(y.data if isinstance(y, Tensor) else y, row(*arrays), rtol=1e-6)


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "maximum", "power"])
def test_numbers_are_weak_and_arrays_of_no_axes_are_not(name):
    f, x = getattr(ops, name), np.array([1.5, 2.0], np.float32)
    for number in (2, 2.0, np.float64(2), np.float32(2), np.int64(2)):
        for args in ((x, number), (number, x), (Tensor(x), number), (number, Tensor(x))):
            assert f(*args).dtype == np.float32
    for given in (x, Tensor(x)):
        assert f(given, np.array(2.0)).dtype == f(np.array(2.0), given).dtype == np.float64
    assert grad(lambda x: f(x, np.array(2.0)).sum())(x).dtype == np.float32


def test_operators_of_a_tensor_with_numpys_numbers():
    x = Tensor(np.array([1.5, 2.0], np.float32))
    two, scalar = np.float64(2), np.array(2.0)
    for y in (x**two, two * x, two**x, two - x, two / x, x + two, x @ x * two):
        assert y.dtype == np.float32
    for y in (x**scalar, scalar * x, scalar**x, x - scalar, x @ np.ones(2)):
        assert y.dtype == np.float64
        y.sum().backward()
        assert x.grad.dtype == np.float32


def test_numbers_alone_are_float64_and_follow_ieee():
    """Python's own would raise ZeroDivisionError and OverflowError, or turn complex."""
    with np.errstate(all="ignore"):
        assert ops.divide(1.0, 0.0) == ops.power(0.0, -1) == ops.power(10.0, 1000) == np.inf
        assert np.isnan(ops.power(-1.0, 0.5))
        assert np.isnan(ops.divide(0, 0))
    for y in (ops.add(1, 2), ops.multiply(2.0, 3), ops.maximum(1, 2.0), ops.subtract(np.int64(1), 3)):
        assert y.dtype == np.float64
    assert ops.add(1.0, np.float32(2)).dtype == np.float32


HEADS = {
    "fused": [layers.GlobalMaxPooling2D(), layers.Dense(3)],
    "gem": [layers.GeMPooling2D(2), layers.Flatten(), layers.Dense(3)],
    "norm": [
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.LogMeanExpPooling2D(2),
        layers.Flatten(),
        layers.Dense(3),
    ],
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("mix", [FLOATS, FLOATS[::-1]], ids=["float64 images", "float32 images"])
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.usefixtures("kernels")
def test_a_net_whose_parameters_and_images_differ(head, mix, training):
    trunk = [layers.Conv2D(4, 3), layers.MaxPooling2D(2), layers.ReLU(), layers.Conv2D(4, 3, padding="same", groups=2)]
    net = layers.Sequential([*trunk, *HEADS[head]])
    rng = np.random.default_rng(0)
    params, images = net.init(rng, (10, 12, 2)), rng.normal(size=(5, 10, 12, 2)).astype(np.float32)
    labels = np.array([0, 1, 2, 0, 1])

    def loss(params, images):
        return ops.cross_entropy(net(params, images, np.random.default_rng(1) if training else None), labels)

    def run(dtype, image_dtype):
        return value_and_grad(loss)(trees.map_leaves(lambda a: a.astype(dtype), params), images.astype(image_dtype))

    expected, right = run(np.float64, np.float64)
    value, grads = run(*mix)
    assert value.dtype == np.float64
    assert_allclose(value, expected, rtol=1e-6)
    for (path, g), r in zip(trees.items(grads), trees.leaves(right), strict=True):
        assert g.dtype == mix[0], path
        assert_allclose(g, r, rtol=1e-5, atol=1e-7, err_msg=path)


@pytest.mark.usefixtures("kernels")
def test_pooling_after_a_float64_kernel_sends_gradients_to_the_maximum():
    """The maximum was kept in float32 and the elements were not: none equalled it, and the last got the gradient."""
    rng = np.random.default_rng(0)
    images, kernel = rng.normal(size=(2, 7, 8, 3)).astype(np.float32), rng.normal(size=(2, 3, 3, 4))

    def loss(p):
        return (ops.conv2d_pool(p[0], p[1], pool_size=2, relu=True) ** 2).sum()

    found, right = grad(loss)([images, kernel]), grad(loss)([images.astype(np.float64), kernel])
    assert_allclose(found[0], right[0], rtol=1e-5, atol=1e-5)
    assert_allclose(found[1], right[1], rtol=1e-12)


def test_fitting_models_in_either_dtype_keeps_it():
    for net in (models.lenet5(), models.keras_mnist()):
        params = net.init(np.random.default_rng(0), (28, 28, 1))
        images = np.random.default_rng(1).normal(size=(2, 28, 28, 1)).astype(np.float32)
        assert net(params, images).dtype == np.float32
        assert net(params, images.astype(np.float64)).dtype == np.float64


FIRST = {"bilinear": "x", "conv2d": "x", "conv2d_pool": "x", "relu": "x", "max_pool2d": "x", "sum_pool2d": "x"}


@pytest.mark.parametrize("name", [name for name in CALLS if "argmax" not in name])
def test_kernels_convert_to_the_dtype_of_their_first_argument(name):
    """The ops give them one dtype; called directly they agree on another, too."""
    sets = [k for k in map(implementation, IMPLEMENTATIONS) if name in calls(k)]
    _, *parameters = [n for n, p in inspect.signature(CALLS[name]).parameters.items() if p.default is p.empty]
    exact = CALLS[name](sets[0], *arguments())
    first = parameters.index(FIRST.get(name.split(",")[0], "g"))
    for mix in itertools.product(FLOATS, repeat=len(parameters)):
        given = [a.astype(dtype) for a, dtype in zip(arguments(), mix, strict=True)]
        for kernel_set in sets:
            found = CALLS[name](kernel_set, *given)
            assert found.dtype == mix[first]
            assert_allclose(found, exact, rtol=1e-4, atol=1e-5)
