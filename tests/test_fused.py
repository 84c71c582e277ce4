"""conv2d_pool is relu(max_pool2d(conv2d)) with every kernel set, to the last bit where the arithmetic is exact."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from tables import kernels  # noqa: F401 - the fixture

import minicnn.kernels
from minicnn import Tensor, ops

HOW = [{}, {"strides": 2, "padding": "same"}, {"dilation_rate": (1, 2), "groups": 2}]


def result_and_gradients(f, g, *arrays):
    tensors = [Tensor(a) for a in arrays]
    y = f(*tensors)
    Tensor(np.float64(0), ((y, lambda _: g),)).backward()
    return [y.data, *(t.grad for t in tensors)]


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("pool_size", [1, 2, (1, 3)])
@pytest.mark.parametrize(
    "how", [{}, {"strides": 2, "padding": "same"}, {"dilation_rate": (1, 2), "groups": 2}], ids=str
)
def test_fused_and_composed_are_the_same(kernels, relu, pool_size, how):  # noqa: F811
    assert minicnn.kernels.can_fuse() == hasattr(kernels, "conv2d_pool")
    rng = np.random.default_rng(0)
    shapes = (3, 11, 12, 4), (3, 2, 4 // how.get("groups", 1), 6), (6,)
    arrays = [rng.integers(-2, 3, shape).astype(float) for shape in shapes]

    def composed(x, kernel, bias):
        y = ops.max_pool2d(ops.conv2d(x, kernel, bias, **how), pool_size)
        return ops.relu(y) if relu else y

    def fused(x, kernel, bias):
        return ops.conv2d_pool(x, kernel, bias, pool_size=pool_size, relu=relu, **how)

    g = rng.integers(-9, 9, composed(*arrays).shape).astype(float)
    found, expected = (result_and_gradients(f, g, *arrays) for f in (fused, composed))
    for a, b in zip(found, expected, strict=True):
        assert_array_equal(a, b)
