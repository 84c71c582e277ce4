"""Adaptive pooling, poolings of papers, indices and unpooling, convolution with copies in its padding."""

import copy
import math
from dataclasses import replace

import numpy as np
import oracles
import pytest
import test_ops
from numpy.testing import assert_allclose, assert_array_equal
from wrong import says

from minicnn import Tensor, grad, layers, ops, optim, trees, value_and_grad
from minicnn.geometry import windows
from minicnn.gradcheck import gradcheck
from minicnn.layers import initializers
from minicnn.ops.pooling_variants.adaptive import spans
from minicnn.validation import ShapeError

IMAGE = (2, 6, 5, 2)
POOLINGS = [*test_ops.POOLINGS, {"pool_size": (6, 5)}]


def distinct(shape, seed=7, dtype=np.float64):
    """Numbers of both signs that are all different, well apart from each other and from zero."""
    rng, size = np.random.default_rng(seed), math.prod(shape)
    numbers = rng.permutation(np.arange(1.0, 1 + size)) / size * 3 * rng.choice([-1, 1], size)
    return numbers.reshape(shape).astype(dtype)


def row(*numbers):
    """One window."""
    return np.array(numbers).reshape(1, 1, -1, 1)


# The formulas, one window at a time, on plain lists of numbers


def log_mean_exp(v, r=1.0):
    return math.log(sum(math.exp(r * a) for a in v) / len(v)) / r


def gem(v, p=3.0, epsilon=1e-6):
    return (sum(max(a, epsilon) ** p for a in v) / len(v)) ** (1 / p)


def soft(v):
    return sum(math.exp(a) * a for a in v) / sum(math.exp(a) for a in v)


def stochastic_mean(v):
    positive = [max(a, 0.0) for a in v]
    total = sum(positive)
    return sum(a * a / total for a in positive) if total else 0.0


FORMULAS = [
    (ops.log_mean_exp_pool2d, log_mean_exp, {}),
    (ops.log_mean_exp_pool2d, lambda v: log_mean_exp(v, 4.0), {"r": 4.0}),
    (ops.gem_pool2d, gem, {}),
    (ops.gem_pool2d, lambda v: gem(v, 1.5, 0.1), {"p": 1.5, "epsilon": 0.1}),
    (ops.gem_pool2d, lambda v: gem(v, -1.0), {"p": -1.0}),
    (ops.soft_pool2d, soft, {}),
    (ops.stochastic_pool2d, stochastic_mean, {}),
    (ops.max_average_pool2d, lambda v: max(v) + sum(v) / len(v), {}),
]
every_formula = pytest.mark.parametrize(
    ("op", "formula", "extra"), FORMULAS, ids=[f"{op.__name__}{how or ''}" for op, _, how in FORMULAS]
)
every_pooling = pytest.mark.parametrize("how", POOLINGS, ids=str)


def layout(shape, pool_size=2, strides=None, padding="valid", dilation_rate=1, ceil_mode=False):
    steps = pool_size if strides is None else strides
    w = windows("pooling", shape[1:3], pool_size, steps, padding, dilation_rate, ceil_mode=ceil_mode, pooling=True)
    return (w.rows.k, w.cols.k), w.strides, w.pads, w.dilation


def by_loops(formula, x, how):
    """The formula on the elements of the image in each window."""
    where = layout(x.shape, **how)
    y = np.full(oracles.out_shape(x.shape, *where), np.nan)
    for (image, p, q, channel), elements in oracles.windows(x.shape, *where):
        y[image, p, q, channel] = formula([x[image, r, c, channel] for _, _, r, c in elements])
    return y


@every_formula
@every_pooling
def test_poolings_are_their_formulas(op, formula, extra, how):
    x = distinct(IMAGE)
    y = op(x, **extra, **how)
    assert_allclose(y, by_loops(formula, x, how), rtol=1e-12, atol=1e-12)
    shape_extra = {name: () if name == "p" else value for name, value in extra.items()}
    assert op.shape(IMAGE, **shape_extra, **how) == y.shape


@every_formula
@every_pooling
def test_gradients_are_those_of_difference_quotients(op, formula, extra, how):
    x = distinct(IMAGE)
    report = gradcheck(lambda x: op(x, **extra, **how), x, tolerance=1e-7)
    assert report.ok, report


@pytest.mark.parametrize("p", [np.array(2.5), np.array([2.5]), np.array([0.7, 4.0])])
@every_pooling
def test_the_learned_exponent_has_its_gradient(p, how):
    x = distinct(IMAGE)
    report = gradcheck(lambda x, p: ops.gem_pool2d(x, p, **how), x, p, tolerance=1e-7)
    assert report.ok, report
    for c in range(2):
        power = float(np.broadcast_to(p, 2)[c])
        one = by_loops(lambda v, power=power: gem(v, power), x[..., c : c + 1], how)
        assert_allclose(ops.gem_pool2d(x, p, **how)[..., c : c + 1], one, rtol=1e-12)


@every_pooling
def test_gradients_are_the_same_when_computed_again(how):
    """They are computed in place, but not in what the forward pass keeps for them."""
    x = Tensor(np.maximum(distinct(IMAGE), 0))
    for y in (
        ops.gem_pool2d(x, p := Tensor([1.5, 4.0]), **how),
        ops.log_mean_exp_pool2d(x, **how),
        ops.soft_pool2d(x, **how),
    ):
        loss, found = (y**2).sum(), []
        for _ in range(2):
            loss.backward()
            found.append([x.grad, p.grad])
        assert_array_equal(*(grads[0] for grads in found))
        assert_array_equal(*(grads[1] for grads in found))


def test_the_exponent_makes_no_difference_to_equal_pixels():
    x = np.zeros((3, 4, 4, 2), np.float32)
    x[1], x[2, :2, :2] = 0.7, np.pi
    assert grad(lambda p: ops.gem_pool2d(x, p).sum())(np.array([3.0], np.float32)) == 0
    x[2, 0, 0, 0] = 4
    assert grad(lambda p: ops.gem_pool2d(x, p).sum())(np.array([3.0], np.float32)) > 0


@every_formula
@every_pooling
def test_float32_stays_float32_and_arguments_as_they_were(op, formula, extra, how):
    x = distinct(IMAGE, dtype=np.float32)
    tensor, before = Tensor(x), x.copy()
    x.setflags(write=False)
    y = op(tensor, **extra, **how)
    assert y.dtype == np.float32
    assert_allclose(y.data, op(x.astype(np.float64), **extra, **how), rtol=2e-5, atol=2e-5)
    y.sum().backward()
    assert (tensor.grad.dtype, tensor.grad.shape) == (np.float32, x.shape)
    assert_array_equal(x, before)
    assert_array_equal(op(np.asfortranarray(x), **extra, **how), y.data)


@every_formula
@every_pooling
def test_a_batch_of_no_images_is_fine(op, formula, extra, how):
    x = Tensor(np.zeros((0, *IMAGE[1:])))
    y = op(x, **extra, **how)
    assert y.shape == (0, *op(distinct(IMAGE), **extra, **how).shape[1:])
    y.sum().backward()
    assert x.grad.shape == x.shape


# What the formulas promise at their ends


def test_nothing_overflows_and_nothing_vanishes():
    high = row(1e3, 1e3, -1e3, -1e3)
    for dtype in (np.float32, np.float64):
        for shift in (0, 1e3, -1e3):
            x = (row(0.0, 1.0, 2.0, 3.0) + shift).astype(dtype)
            assert_allclose(ops.log_mean_exp_pool2d(x, (1, 4)).item(), log_mean_exp([0, 1, 2, 3]) + shift, rtol=1e-6)
            assert_allclose(ops.soft_pool2d(x, (1, 4)).item(), soft([0, 1, 2, 3]) + shift, rtol=1e-6)
        x = high.astype(dtype)
        assert_allclose(ops.log_mean_exp_pool2d(x, (1, 4), r=50.0).item(), 1e3 - math.log(2) / 50, rtol=1e-6)
        assert_allclose(ops.soft_pool2d(x, (1, 4)).item(), 1e3, rtol=1e-6)
        assert_allclose(ops.gem_pool2d(x, 90.0, (1, 4)).item(), 1e3 * 0.5 ** (1 / 90), rtol=1e-5)
    for op in (ops.log_mean_exp_pool2d, ops.soft_pool2d, ops.gem_pool2d, ops.stochastic_pool2d):
        g = grad(lambda x, op=op: op(x, pool_size=(1, 4)).sum())(high.astype(np.float32))
        assert np.isfinite(g).all()


@pytest.mark.parametrize("p", [1.0, 3.0, 20.0])
def test_gem_of_zeros_is_epsilon_and_has_no_nan(p):
    x, p = np.zeros((1, 2, 2, 1), np.float32), np.full(1, p, np.float32)
    value, g = value_and_grad(lambda a: ops.gem_pool2d(a[0], a[1]).sum())((x, p))
    assert_allclose(value, 1e-6, rtol=1e-4)
    assert not g[0].any()
    assert abs(g[1]) < 1e-5


def test_from_average_to_maximum():
    x = np.abs(distinct((1, 4, 4, 1)))
    average, most = ops.average_pool2d(x), ops.max_pool2d(x)
    assert_allclose(ops.gem_pool2d(x, 1.0), average, rtol=1e-12)
    assert_allclose(ops.log_mean_exp_pool2d(x, r=1e-6), average, rtol=1e-5)
    for between, end in ((ops.gem_pool2d(x, 3.0), ops.gem_pool2d(x, 3000.0)),
                         (ops.log_mean_exp_pool2d(x, r=3.0), ops.log_mean_exp_pool2d(x, r=3000.0)),
                         (ops.soft_pool2d(x), ops.soft_pool2d(3000 * x) / 3000)):  # fmt: skip
        assert (average < between).all()
        assert (between < most).all()
        assert_allclose(end, most, rtol=2e-3)


def test_a_window_of_pads_only():
    """One element, two taps three apart, padding of two at each side: no tap of either window is on the element."""
    x = np.full((1, 1, 1, 1), 5.0)
    how = {"pool_size": (1, 2), "strides": 1, "padding": (0, 2), "dilation_rate": (1, 3)}
    values = {
        ops.log_mean_exp_pool2d: -np.inf,
        ops.soft_pool2d: 0,
        ops.gem_pool2d: 0,
        ops.stochastic_pool2d: 0,
    }
    for op, value in values.items():
        y, g = value_and_grad(lambda x, op=op: op(x, **how).sum())(x)
        assert y == value
        assert g == 0
    assert ops.max_pool2d_indices(x, **how).ravel().tolist() == [-1, -1]


# Stochastic pooling


def test_cells_are_drawn_as_often_as_they_are_large():
    n = 20_000
    x = np.tile(row(0.0, 1.0, 3.0, -2.0, 4.0), (n, 1, 1, 1))
    y = ops.stochastic_pool2d(x, (1, 5), rng=np.random.default_rng(3)).ravel()
    for value, p in ((0, 0), (1, 1 / 8), (3, 3 / 8), (-2, 0), (4, 4 / 8)):
        assert abs((y == value).mean() - p) <= 4 * math.sqrt(p * (1 - p) / n)
    assert abs(y.mean() - ops.stochastic_pool2d(x[:1], (1, 5)).item()) < 4 * y.std() / math.sqrt(n)


def test_windows_and_channels_are_drawn_apart():
    y = ops.stochastic_pool2d(np.tile(np.arange(1.0, 5).reshape(1, 2, 2, 1), (1, 20, 20, 3)), rng=seeded())
    assert len({tuple(y[..., c].ravel()) for c in range(3)}) == 3
    assert {*np.unique(y)} == {1, 2, 3, 4}


def seeded():
    return np.random.default_rng(11)


def test_the_same_generator_draws_the_same_bytes():
    x = distinct(IMAGE)
    one, two = (ops.stochastic_pool2d(x, rng=seeded()) for _ in range(2))
    assert one.tobytes() == two.tobytes()
    assert one.tobytes() != ops.stochastic_pool2d(x, rng=np.random.default_rng(12)).tobytes()


def test_the_gradient_goes_to_the_cell_drawn():
    x = np.abs(distinct(IMAGE))
    y, g = value_and_grad(lambda x: (ops.stochastic_pool2d(x, rng=seeded())).sum())(x)
    assert_allclose((x * g).sum(), y)
    assert {*np.unique(g)} == {0, 1}
    assert_array_equal(ops.average_pool2d(g), np.full((2, 3, 2, 2), 0.25))
    assert gradcheck(lambda x: ops.stochastic_pool2d(x, 3, strides=1, padding="same", rng=seeded()), x, tolerance=1e-7)


def test_zeros_are_drawn_from_zeros_without_a_warning():
    for rng in (None, seeded()):
        y, g = value_and_grad(lambda x, rng=rng: ops.stochastic_pool2d(x, rng=rng).sum())(np.zeros((1, 4, 4, 1)))
        assert y == 0
        assert not g.any()


# Blur pooling


def blurred(x, k, s):
    """Zhang's formula with nested loops, after the reflection of NumPy."""
    filters = {1: [1], 2: [1, 1], 3: [1, 2, 1], 4: [1, 3, 3, 1], 5: [1, 4, 6, 4, 1]}
    taps = [[a * b for b in filters[k[1]]] for a in filters[k[0]]]
    before = [(n - 1) // 2 for n in k]
    padded = np.pad(x, ((0, 0), *((b, n - 1 - b) for b, n in zip(before, k, strict=True)), (0, 0)), "reflect")
    y = np.zeros((len(x), -(-x.shape[1] // s[0]), -(-x.shape[2] // s[1]), x.shape[3]))
    for p, q, i, j in np.ndindex(y.shape[1], y.shape[2], *k):
        y[:, p, q] += taps[i][j] / np.sum(taps) * padded[:, p * s[0] + i, q * s[1] + j]
    return y


@pytest.mark.parametrize("size", [(6, 5), (7, 8)])
@pytest.mark.parametrize(("k", "s"), [((3, 3), (2, 2)), ((4, 4), (2, 2)), ((5, 3), (1, 2)), ((2, 1), (3, 1))])
def test_blur_is_a_binomial_filter_with_a_stride(size, k, s):
    x = distinct((2, *size, 3))
    y = ops.blur_pool2d(x, k, strides=s)
    assert_allclose(y, blurred(x, k, s), rtol=1e-12, atol=1e-12)
    assert ops.blur_pool2d.shape(x.shape, k, strides=s) == y.shape
    report = gradcheck(lambda x: ops.blur_pool2d(x, k, strides=s), x, tolerance=1e-7)
    assert report.ok, report


@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
def test_blur_leaves_what_is_even_and_takes_out_what_is_too_fine(mode):
    even = np.full((1, 7, 8, 2), 3.0, np.float32)
    y = ops.blur_pool2d(even, mode=mode)
    assert y.dtype == np.float32
    assert_allclose(y, np.full((1, 4, 4, 2), 3.0))
    stripes = np.tile([0.0, 1.0], 4).reshape(1, 1, 8, 1)
    assert_array_equal(ops.max_pool2d(stripes, 1, strides=2).ravel(), [0] * 4)
    inside = ops.blur_pool2d(stripes, (1, 3), mode=mode).ravel()[1:]
    assert_allclose(inside, [0.5] * 3)


# Adaptive pooling


@pytest.mark.parametrize(
    ("n", "out", "expected"),
    [
        (5, 3, [(0, 2), (1, 4), (3, 5)]),
        (7, 3, [(0, 3), (2, 5), (4, 7)]),
        (3, 5, [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)]),
        (8, 4, [(0, 2), (2, 4), (4, 6), (6, 8)]),
    ],
)
def test_adaptive_windows_as_in_pytorch_and_keras(n, out, expected):
    assert spans(n, out) == expected
    x = distinct((2, n, 1, 2))
    average = ops.adaptive_average_pool2d(x, (out, 1))
    most = ops.adaptive_max_pool2d(x, (out, 1))
    for i, (start, end) in enumerate(expected):
        assert_allclose(average[:, i, 0], sum(x[:, j, 0] for j in range(start, end)) / (end - start))
        assert_array_equal(most[:, i, 0], np.max([x[:, j, 0] for j in range(start, end)], axis=0))


@pytest.mark.parametrize("out", [(1, 1), (3, 2), (5, 7), (4, 3), (8, 6)])
@pytest.mark.parametrize("ours, theirs", [("average", "avg"), ("max", "max")])
def test_adaptive_pooling_as_in_pytorch(out, ours, theirs):
    torch = pytest.importorskip("torch")
    x = distinct((2, 7, 6, 3))
    mine, other = Tensor(x), torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    y = getattr(ops, f"adaptive_{ours}_pool2d")(mine, out)
    z = getattr(torch.nn.functional, f"adaptive_{theirs}_pool2d")(other, out)
    g = np.random.default_rng(0).normal(size=y.shape)
    (y * g).sum().backward()
    z.backward(torch.tensor(g.transpose(0, 3, 1, 2)))
    assert_allclose(y.data, z.detach().numpy().transpose(0, 2, 3, 1), rtol=1e-12)
    assert_allclose(mine.grad, other.grad.numpy().transpose(0, 2, 3, 1), rtol=1e-12)


def test_even_adaptive_windows_are_those_of_pooling_in_values_and_ties():
    x = np.zeros((1, 6, 4, 1))
    x[0, ::2, 1] = 1
    for ties in ("first", "split"):
        adaptive = value_and_grad(lambda x, t=ties: (ops.adaptive_max_pool2d(x, (3, 2), ties=t) ** 2 * 3).sum())(x)
        plain = value_and_grad(lambda x, t=ties: (ops.max_pool2d(x, ties=t) ** 2 * 3).sum())(x)
        assert adaptive[0] == plain[0]
        assert_array_equal(adaptive[1], plain[1])
    first, split = (grad(lambda x, t=t: ops.adaptive_max_pool2d(x, 1, ties=t).sum())(x) for t in ("first", "split"))
    assert_array_equal(first.ravel(), (np.arange(24) == 1).astype(float))
    assert_allclose(split, x / 3)


def test_nan_comes_out_of_its_adaptive_windows_only():
    x = np.arange(5.0).reshape(1, 1, 5, 1)
    x[0, 0, 4] = np.nan
    for op in (ops.adaptive_max_pool2d, ops.adaptive_average_pool2d):
        assert_array_equal(np.isnan(op(x, (1, 3)).ravel()), [False, False, True])


# Indices and unpooling


@every_pooling
def test_indices_say_where_the_maxima_are(how):
    x = distinct(IMAGE)
    y, at = ops.max_pool2d(x, **how), ops.max_pool2d_indices(x, **how)
    assert at.dtype.kind == "i"
    assert ops.max_pool2d_indices.shape(IMAGE, **how) == at.shape == y.shape
    for (image, p, q, channel), place in np.ndenumerate(at):
        assert x[image, place // 5, place % 5, channel] == y[image, p, q, channel]
    assert_array_equal(ops.max_pool2d_indices(Tensor(x), **how), at)
    assert ops.max_pool2d_indices(x[:0], **how).shape == (0, *at.shape[1:])


@pytest.mark.parametrize(
    "k, s, p, d, ceil", [(2, 2, 0, 1, False), (3, 2, 1, 1, True), (3, 1, 1, 1, False), (2, 1, 1, 2, False)]
)
def test_indices_as_in_pytorch_ties_included(k, s, p, d, ceil):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).integers(-2, 2, (2, 7, 6, 3)).astype(float)
    _, theirs = torch.nn.functional.max_pool2d(
        torch.tensor(x.transpose(0, 3, 1, 2)), k, s, p, d, ceil_mode=ceil, return_indices=True
    )
    ours = ops.max_pool2d_indices(x, k, strides=s, padding=p, dilation_rate=d, ceil_mode=ceil)
    assert_array_equal(ours, theirs.numpy().transpose(0, 2, 3, 1))


def test_the_first_of_ties_has_the_index():
    assert ops.max_pool2d_indices(np.ones((1, 2, 2, 1))).item() == 0
    assert ops.max_pool2d_indices(np.ones((1, 2, 2, 1)), padding=1).ravel().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("size", [(6, 4), (7, 5)])
def test_unpooling_as_in_pytorch(size):
    torch = pytest.importorskip("torch")
    x = distinct((2, *size, 3))
    nchw = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    pooled, indices = torch.nn.functional.max_pool2d(nchw, 2, return_indices=True)
    pooled.retain_grad()
    back = torch.nn.functional.max_unpool2d(pooled, indices, 2, output_size=size)
    mine = Tensor(ops.max_pool2d(x))
    y = ops.max_unpool2d(mine, ops.max_pool2d_indices(x), size)
    assert_array_equal(y.data, back.detach().numpy().transpose(0, 2, 3, 1))
    g = np.random.default_rng(0).normal(size=y.shape)
    (y * g).sum().backward()
    back.backward(torch.tensor(g.transpose(0, 3, 1, 2)))
    assert_array_equal(mine.grad, pooled.grad.numpy().transpose(0, 2, 3, 1))


@every_pooling
def test_unpooling_is_the_transpose_of_picking(how):
    """So it is what the backward pass of max pooling does with its gradients."""
    x = distinct(IMAGE)
    indices = ops.max_pool2d_indices(x, **how)
    g = distinct(indices.shape, seed=3)
    back = ops.max_unpool2d(g, indices, IMAGE[1:3])
    assert_allclose(back, grad(lambda x: (ops.max_pool2d(x, **how) * g).sum())(x), rtol=1e-12)
    assert ops.max_unpool2d.shape(g.shape, indices, IMAGE[1:3]) == back.shape
    report = gradcheck(lambda g: ops.max_unpool2d(g, indices, IMAGE[1:3]), g, tolerance=1e-7)
    assert report.ok, report
    small = Tensor(np.asfortranarray(g.astype(np.float32)))
    y = ops.max_unpool2d(small, indices.astype(np.uint64), IMAGE[1:3])
    assert_allclose(y.data, back, rtol=1e-5, atol=1e-6)
    y.sum().backward()
    assert y.dtype == small.grad.dtype == np.float32
    assert ops.max_unpool2d(g[:0], indices[:0], 6).shape == (0, 6, 6, 2)


def test_an_index_of_minus_one_puts_nothing_anywhere():
    x, indices = np.array([-np.inf, 2.0]).reshape(1, 1, 2, 1), np.array([-1, 3]).reshape(1, 1, 2, 1)
    assert ops.max_unpool2d(x, indices, 2).ravel().tolist() == [0, 0, 0, 2]
    assert grad(lambda x: ops.max_unpool2d(x, indices, 2).sum())(x).ravel().tolist() == [0, 1]


# Convolution with copies in its padding

PADS = [{"padding": "same"}, {"padding": ((2, 1), (0, 3)), "strides": 2}, {"padding": 2, "dilation_rate": 2}]


@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
@pytest.mark.parametrize("how", PADS, ids=str)
def test_convolution_with_copies_is_padding_and_then_convolution(mode, how):
    x, kernel, bias = distinct(IMAGE), distinct((3, 3, 2, 4), seed=1), distinct((4,), seed=2)
    w = windows("conv2d", IMAGE[1:3], 3, how.get("strides", 1), how["padding"], how.get("dilation_rate", 1))
    rest = {name: value for name, value in how.items() if name != "padding"}

    def ours(a):
        return (ops.conv2d(*a, **how, padding_mode=mode) ** 2).sum()

    def theirs(a):
        return (ops.conv2d(ops.pad2d(a[0], w.pads, mode=mode), *a[1:], **rest) ** 2).sum()

    (y, dy), (z, dz) = value_and_grad(ours)((x, kernel, bias)), value_and_grad(theirs)((x, kernel, bias))
    assert_allclose(y, z, rtol=1e-12)
    for a, b in zip(dy, dz, strict=True):
        assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("mode", "theirs"), [("reflect", "reflect"), ("edge", "replicate"), ("wrap", "circular")])
def test_convolution_with_copies_as_in_pytorch(mode, theirs):
    torch = pytest.importorskip("torch")
    x, kernel = distinct(IMAGE), distinct((3, 5, 2, 4), seed=1)
    conv = torch.nn.Conv2d(2, 4, (3, 5), padding=(1, 2), padding_mode=theirs, bias=False, dtype=torch.float64)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor(kernel.transpose(3, 2, 0, 1)))
        expected = conv(torch.tensor(x.transpose(0, 3, 1, 2))).numpy().transpose(0, 2, 3, 1)
    assert_allclose(ops.conv2d(x, kernel, padding="same", padding_mode=mode), expected, rtol=1e-12, atol=1e-12)
    layer = layers.Conv2D(4, (3, 5), padding="same", padding_mode=mode, use_bias=False)
    assert_allclose(layer({"kernel": kernel}, x), expected, rtol=1e-12, atol=1e-12)
    assert layer.output_shape(IMAGE[1:]) == expected.shape[1:]


# Layers

L = layers
SHAPE = (9, 7, 3)
TABLE = [
    (L.AdaptiveAveragePooling2D((4, 3)), (4, 3, 3), 0),
    (L.AdaptiveMaxPooling2D(10, ties="split"), (10, 10, 3), 0),
    (L.LogMeanExpPooling2D(2, r=2.0), (4, 3, 3), 0),
    (L.LogMeanExpPooling2D(3, strides=2, padding="same"), (5, 4, 3), 0),
    (L.SoftPooling2D(2, ceil_mode=True), (5, 4, 3), 0),
    (L.MaxAveragePooling2D((3, 2), padding=1), (3, 4, 3), 0),
    (L.StochasticPooling2D(3, strides=1), (7, 5, 3), 0),
    (L.GeMPooling2D(2, p=2.0), (4, 3, 3), 1),
    (L.BlurPooling2D(), (5, 4, 3), 0),
    (L.BlurPooling2D(4, strides=(1, 3), mode="edge"), (9, 3, 3), 0),
    (L.GlobalLpPooling2D(p=3.0), (3,), 0),
    (L.GlobalLogMeanExpPooling2D(r=5.0), (3,), 0),
    (L.GlobalSoftPooling2D(), (3,), 0),
    (L.GlobalSoftPooling2D(keepdims=True), (1, 1, 3), 0),
    (L.GlobalGeMPooling2D(), (3,), 1),
    (L.GlobalGeMPooling2D(keepdims=True, p=4.0, epsilon=1e-3), (1, 1, 3), 1),
]
every_layer = pytest.mark.parametrize(("layer", "out", "count"), TABLE, ids=[repr(r[0]) for r in TABLE])


def made(layer, dtype=np.float64):
    params = trees.map_leaves(lambda w: w.astype(dtype), layer.init(np.random.default_rng(0), SHAPE))
    return params, distinct((3, *SHAPE), dtype=dtype)


def test_the_table_has_every_layer_of_this_file():
    kinds = {kind for kind in vars(layers).values() if isinstance(kind, type)}
    assert {kind for kind in kinds if kind.__module__.endswith("pooling_variants")} == {type(r[0]) for r in TABLE}


@every_layer
def test_shapes_and_parameters_are_those_promised(layer, out, count):
    params, x = made(layer)
    assert layer.output_shape(SHAPE) == out
    assert layer(params, x).shape == (3, *out)
    assert layer(params, x, np.random.default_rng(0)).shape == (3, *out)
    assert layer(params, x[:0]).shape == (0, *out)
    assert trees.map_leaves(np.shape, params) == layer.param_shapes(SHAPE)
    assert L.summary(layer, SHAPE).parameters == count
    L.check_params(layer, params, SHAPE)


@every_layer
def test_the_repr_is_the_configuration(layer, out, count):
    again = eval(repr(layer), {**vars(layers), **vars(initializers)})  # noqa: S307 - that it can be done is the point
    assert again == layer == copy.copy(layer)
    assert hash(again) == hash(layer)


@every_layer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes_stay_and_parameters_learn(layer, out, count, dtype):
    params, x = made(layer, dtype)
    _, grads = value_and_grad(lambda p: (layer(p["w"], p["x"]) ** 2).sum())({"w": params, "x": x})
    assert layer(params, x).dtype == dtype
    assert {g.dtype for g in trees.leaves(grads)} == {np.dtype(dtype)}
    assert all(g.any() for g in trees.leaves(grads))


@every_layer
def test_gradients_of_layers(layer, out, count):
    params, x = made(layer)
    names = list(params)

    def f(x, *leaves):
        return layer(dict(zip(names, leaves, strict=True)), x, np.random.default_rng(5))

    report = gradcheck(f, x, *params.values(), tolerance=1e-7)
    assert report.ok, report


@every_layer
def test_a_batch_is_its_images_one_by_one(layer, out, count):
    params, x = made(layer)
    one_by_one = np.concatenate([layer(params, x[i : i + 1]) for i in range(len(x))])
    assert_allclose(layer(params, x), one_by_one, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("layer", "formula"),
    [
        (L.GlobalLpPooling2D(p=3.0), lambda v: sum(abs(a) ** 3 for a in v) ** (1 / 3)),
        (L.GlobalLogMeanExpPooling2D(r=5.0), lambda v: log_mean_exp(v, 5.0)),
        (L.GlobalSoftPooling2D(), soft),
        (L.GlobalGeMPooling2D(p=2.0, epsilon=0.5), lambda v: gem(v, 2.0, 0.5)),
    ],
)
def test_global_poolings_are_their_formulas_over_the_image(layer, formula):
    params, x = made(layer)
    expected = [[formula(x[i, :, :, c].ravel().tolist()) for c in range(3)] for i in range(3)]
    assert_allclose(layer(params, x), expected, rtol=1e-12)
    assert_array_equal(replace(layer, keepdims=True)(params, x), layer(params, x)[:, None, None])


def test_stochastic_pooling_draws_in_training_only():
    layer, x = L.StochasticPooling2D(), np.abs(distinct((2, 4, 4, 1)))
    assert_array_equal(layer({}, x), layer({}, x))
    assert np.isin(layer({}, x, seeded()), x).all()
    net = L.Sequential([L.ReLU(), layer, L.Flatten()])
    assert_array_equal(net({}, x, seeded()), layer({}, x, seeded()).reshape(2, -1))


def test_gem_learns_the_exponent_that_made_the_data():
    """Targets of p = 5; descent from 3 has to find it."""
    x = np.random.default_rng(0).uniform(0.2, 1, (64, 4, 4, 2))
    target, layer = ops.gem_pool2d(x, 5.0, (4, 4)).reshape(64, 2), L.GlobalGeMPooling2D()
    params, optimizer = {"p": np.full(1, 3.0)}, optim.Adam(0.1)
    state = optimizer.init(params)
    for _ in range(300):
        _, grads = value_and_grad(lambda p: ops.mean_squared_error(layer(p, x), target))(params)
        params, state = optimizer.update(grads, state, params)
    assert params["p"].item() == pytest.approx(5, abs=1e-2)


def test_a_net_with_these_heads_learns():
    x = np.random.default_rng(0).normal(size=(8, 6, 6, 1)).astype(np.float32)
    labels = np.arange(8) % 2
    for head in (L.GlobalGeMPooling2D(), L.GlobalSoftPooling2D(), L.GlobalLogMeanExpPooling2D(), L.GeMPooling2D(2)):
        net = L.Sequential([L.Conv2D(8, 3), L.ReLU(), head, L.Flatten(), L.Dense(2)])
        params, optimizer = net.init(np.random.default_rng(0), (6, 6, 1)), optim.Adam(0.03)
        state = optimizer.init(params)
        losses = []
        for _ in range(60):
            loss, grads = value_and_grad(lambda p, net=net: ops.cross_entropy(net(p, x), labels))(params)
            params, state = optimizer.update(grads, state, params)
            losses.append(loss)
        assert losses[-1] < losses[0] / 3
        assert {w.dtype for w in trees.leaves(params)} == {np.dtype(np.float32)}


# Wrong calls

X, ONE = np.ones((1, 4, 4, 2)), np.zeros((1, 2, 2, 2), int)
WRONG = [
    (lambda: ops.gem_pool2d(X, np.ones(3)), ShapeError, ["gem_pool2d", "(3,)", "2 channels", "(2,)"]),
    (lambda: ops.gem_pool2d(X, 0.0), ValueError, ["gem_pool2d", "p must", "got 0", "p=1"]),
    (lambda: ops.gem_pool2d(X, 3.0, epsilon=0), ValueError, ["gem_pool2d", "epsilon must be above 0, got 0"]),
    (lambda: ops.gem_pool2d(X.astype(int)), TypeError, ["gem_pool2d", "int64", "float32"]),
    (lambda: ops.gem_pool2d(X, 3.0, 5), ShapeError, ["gem_pool2d", "5x5", "4x4", "pool_size <= 4"]),
    (
        lambda: ops.log_mean_exp_pool2d(X, r=0),
        ValueError,
        ["log_mean_exp_pool2d", "r must", "got 0", "average_pool2d"],
    ),
    (lambda: ops.log_mean_exp_pool2d(X, r=-1), ValueError, ["log_mean_exp_pool2d", "r=-1"]),
    (lambda: ops.log_mean_exp_pool2d(X, r="1"), TypeError, ["log_mean_exp_pool2d", "r='1'"]),
    (lambda: ops.soft_pool2d(X[0]), ShapeError, ["soft_pool2d", "x[None]"]),
    (lambda: ops.soft_pool2d(X, stride=2), TypeError, ["soft_pool2d", "stride"]),
    (lambda: ops.soft_pool2d(X, 2, padding=2), ShapeError, ["soft_pool2d", "padding must", "(2, 2)", "at most 1"]),
    (lambda: ops.stochastic_pool2d(X, rng=3), TypeError, ["stochastic_pool2d", "int", "Generator"]),
    (lambda: ops.stochastic_pool2d(X, 2, striding=3), TypeError, ["stochastic_pool2d", "striding"]),
    (lambda: ops.max_average_pool2d(X, 5), ShapeError, ["max_average_pool2d", "5x5"]),
    (lambda: ops.blur_pool2d(X, 10), ShapeError, ["blur_pool2d", "reflect", "at most 3"]),
    (lambda: ops.blur_pool2d(X, mode="mirror"), ValueError, ["blur_pool2d", "'mirror'", "reflect"]),
    (lambda: ops.blur_pool2d(X, strides=0), ValueError, ["blur_pool2d", "strides=0"]),
    (lambda: ops.patches2d(X, 5), ShapeError, ["patches2d", "5x5", "4x4"]),
    (lambda: ops.adaptive_average_pool2d(X, 0), ValueError, ["adaptive_average_pool2d", "output_size=0"]),
    (lambda: ops.adaptive_max_pool2d(X, 2.0), TypeError, ["adaptive_max_pool2d", "output_size=2.0"]),
    (lambda: ops.adaptive_max_pool2d(X, 2, ties="last"), ValueError, ["adaptive_max_pool2d", "ties='last'"]),
    (lambda: ops.adaptive_max_pool2d(X[:, :0], 2), ShapeError, ["adaptive_max_pool2d", "no rows"]),
    (lambda: ops.max_pool2d_indices(X, 5), ShapeError, ["max_pool2d_indices", "5x5"]),
    (lambda: ops.max_unpool2d(X, ONE, 8), ShapeError, ["max_unpool2d", "(1, 2, 2, 2)", "(1, 4, 4, 2)"]),
    (lambda: ops.max_unpool2d(X, X, 8), TypeError, ["max_unpool2d", "float64", "max_pool2d_indices"]),
    (lambda: ops.max_unpool2d(X[:, :2, :2], ONE + 9, 3), ShapeError, ["max_unpool2d", "9 to 9", "3x3 = 9 pixels"]),
    (lambda: ops.max_unpool2d(X[:, :2, :2], ONE - 2, 3), ShapeError, ["max_unpool2d", "-2", "3x3"]),
    (lambda: ops.conv2d(X, np.ones((3, 3, 2, 1)), padding_mode="zeros"), ValueError, ["conv2d", "'zeros'", "wrap"]),
    (
        lambda: ops.conv2d(X, np.ones((3, 3, 2, 1)), padding=4, padding_mode="reflect"),
        ShapeError,
        ["conv2d", "reflect", "(4, 4)", "from 4", "at most 3"],
    ),
    (lambda: L.Conv2D(4, 3, padding_mode="mirror"), ValueError, ["Conv2D", "padding_mode='mirror'", "reflect"]),
    (lambda: L.GeMPooling2D(p=0), ValueError, ["GeMPooling2D", "p=0"]),
    (lambda: L.GeMPooling2D(epsilon=0), ValueError, ["epsilon must be a finite number above 0, got 0"]),
    (lambda: L.GlobalGeMPooling2D(p="3"), TypeError, ["p='3'"]),
    (lambda: L.GlobalGeMPooling2D()({}, X), ValueError, ["global_gem_pooling2d", "'p'", "init"]),
    (lambda: L.GlobalLogMeanExpPooling2D(r=0), ValueError, ["r must be a finite number above 0, got 0"]),
    (lambda: L.GlobalLpPooling2D(p=0.5), ValueError, ["p=0.5"]),
    (lambda: L.GlobalSoftPooling2D().output_shape((4, 4)), ShapeError, ["global_soft_pooling2d", "channel axis"]),
    (lambda: L.SoftPooling2D(2.5), TypeError, ["SoftPooling2D", "pool_size=2.5"]),
    (lambda: L.BlurPooling2D(0), ValueError, ["pool_size=0"]),
    (lambda: L.AdaptiveMaxPooling2D(0), ValueError, ["output_size=0"]),
    (
        lambda: L.Sequential([L.Conv2D(2, 3), L.GeMPooling2D(3)]).output_shape((4, 4, 1)),
        ShapeError,
        ["gem_pooling2d: ", "3x3", "2x2 input", "4 -> 2", "pool_size <= 2"],
    ),
]


@pytest.mark.parametrize(("call", "kind", "words"), WRONG, ids=range(len(WRONG)))
def test_wrong_calls_say_what_would_fit(call, kind, words):
    with pytest.raises(kind) as caught:
        call()
    assert all(says(str(caught.value), word) for word in words), str(caught.value)
