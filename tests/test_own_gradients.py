"""Each gradient handed out is the caller's own: writable, and sharing memory with nothing else."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from tables import every_row, kernels  # noqa: F401 - the fixture

from minicnn import Tensor, grad, layers, models, ops, trees
from minicnn.graph import walk
from minicnn.kernels.arithmetic import disjoint

LOSSES = {
    "sum": lambda y: y.sum(),
    "squares": lambda y: (y * y).sum(),
    "twice": lambda y: (y + y).sum(),
    "flat": lambda y: ops.reshape(y, (-1,)).sum(),
    "with another": lambda y: (y + Tensor(np.ones(y.shape))).sum(),
}


def check_owned(gradients, *others):
    for i, g in enumerate(gradients):
        assert g.flags.writeable
        rest = [*gradients[:i], *gradients[i + 1 :], *others]
        before = [other.copy() for other in rest]
        g[...] = 7
        for other, same in zip(rest, before, strict=True):
            assert not np.shares_memory(g, other)
            assert_array_equal(other, same)


@every_row
@pytest.mark.usefixtures("kernels")
def test_gradients_of_every_op(row):
    for loss in LOSSES.values():
        arrays = row.arrays()
        check_owned(grad(lambda p, loss=loss: loss(row(*p)))(arrays), *arrays)


@every_row
@pytest.mark.usefixtures("kernels")
def test_backward_gives_every_tensor_its_own(row):
    for loss in LOSSES.values():
        y = loss(row(*map(Tensor, row.arrays())))
        tensors = [t for t, _ in walk(y)]
        y.backward()
        first = [t.grad.copy() for t in tensors]
        check_owned([t.grad for t in tensors], *[t.data for t in tensors])
        y.backward()
        for t, same in zip(tensors, first, strict=True):
            assert_array_equal(t.grad, same)


def test_both_arguments_of_a_sum():
    g = grad(lambda p: (p[0] + p[1]).sum())([np.ones(3), np.ones(3)])
    g[0][0] = 5
    assert_array_equal(g[1], [1, 1, 1])


def test_the_gradient_of_a_sum_can_be_clipped_in_place():
    g = grad(lambda x: x.sum())(np.ones((2, 3)))
    g *= 0.5
    assert_array_equal(g, np.full((2, 3), 0.5))


def test_the_parameter_itself_as_result_and_one_array_twice():
    x = np.array(5.0)
    g = grad(lambda x: x)(x)
    g[...] = 3
    assert x == 5
    w = np.ones(3)
    a, b = grad(lambda p: (p[0] + p[1] - p[0] * 2).sum())([w, w])
    check_owned([a, b], w)


def test_dropout_that_is_off_and_residuals():
    net = layers.Sequential([layers.Dense(4), layers.Residual(layers.Dropout(0.5)), layers.Residual(layers.ReLU())])
    params = net.init(np.random.default_rng(0), (4,))
    x = np.ones((2, 4), np.float32)
    gradients = grad(lambda p: net(p["net"], p["x"]).sum())({"net": params, "x": x})
    check_owned(list(trees.leaves(gradients)), x, *trees.leaves(params))


def test_parts_of_one_array_are_each_their_own():
    """Views of one array that do not overlap are handed on as they are."""
    x = np.zeros((2, 6))
    parts = [x[0], x[1], x[1, :3], x.T, np.broadcast_to(x[0], (3, 6)), np.zeros(2)]
    own = list(dict(disjoint(enumerate(parts))).values())
    assert own[0] is parts[0]
    assert own[1] is parts[1]
    assert own[5] is parts[5]
    check_owned(own)


@pytest.mark.parametrize("model", [models.keras_mnist, models.lenet5, models.small_cnn])
@pytest.mark.usefixtures("kernels")
def test_a_training_step_copies_no_gradient(model):
    net = model()
    params = net.init(np.random.default_rng(0), (28, 28, 1))
    images = np.random.default_rng(1).random((4, 28, 28, 1), np.float32)
    leaves = trees.map_leaves(Tensor, params)
    loss = ops.cross_entropy(net(leaves, images, np.random.default_rng(0)), np.array([0, 1, 2, 3]))
    wanted = set(trees.leaves(leaves))
    found = [g for t, g in walk(loss) if t in wanted]
    assert all(found[i] is g for i, g in disjoint(enumerate(found)))
