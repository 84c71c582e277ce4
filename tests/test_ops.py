"""One table of every op, properties that hold for all of them, and known numbers."""

import functools
import inspect
import itertools
import math
import re
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minicnn import Tensor, grad, ops
from minicnn.gradcheck import gradcheck
from minicnn.validation import ShapeError


def seeded():
    return np.random.default_rng(5)


@dataclass(frozen=True)
class Row:
    """One way to call an op: the shapes of its arrays, what follows them, its keywords."""

    name: str
    shapes: tuple
    rest: tuple = ()
    how: dict = field(default_factory=dict)
    positive: bool = False

    def __call__(self, *arrays):
        how = {k: v() if callable(v) else v for k, v in self.how.items()}
        return getattr(ops, self.name)(*arrays, *self.rest, **how)

    def arrays(self, dtype=np.float64):
        """Numbers that are all different, well apart from each other and from zero."""
        sizes = [int(np.prod(s)) for s in self.shapes]
        numbers = np.random.default_rng(7).permutation(np.arange(1.0, 1 + sum(sizes))) / (1 + sum(sizes)) * 3
        signs = 1 if self.positive else np.random.default_rng(8).choice([-1, 1], numbers.size)
        parts = np.split(numbers * signs, np.cumsum(sizes)[:-1])
        return [part.reshape(shape).astype(dtype) for part, shape in zip(parts, self.shapes, strict=True)]

    @property
    def promised(self):
        how = {k: v() if callable(v) else v for k, v in self.how.items()}
        rest = [np.shape(number) for number in self.rest] if self.name == "power" else self.rest
        return getattr(ops, self.name).shape(*self.shapes, *rest, **how)

    def __str__(self):
        # without the address of a function, so that every process that collects the tests has the same names
        how = {k: v.__name__ if callable(v) else v for k, v in self.how.items()}
        return f"{self.name}{list(self.shapes)}{self.rest or ''}{how or ''}"


def row(name, *shapes, rest=(), positive=False, **how):
    return Row(name, shapes, rest, how, positive)


IMAGE = (2, 6, 5, 2)
POOLINGS = [
    {},
    {"pool_size": (3, 2), "strides": (1, 2)},
    {"pool_size": 3, "strides": 2, "padding": "same"},
    {"pool_size": 2, "strides": 3},
    {"pool_size": (2, 1), "padding": ((1, 0), (0, 0)), "dilation_rate": (2, 1)},
    {"pool_size": 3, "strides": 2, "padding": 1, "ceil_mode": True},
]
CONVOLUTIONS = [
    {},
    {"strides": (2, 1), "padding": "same"},
    {"padding": ((2, 0), (0, 1)), "dilation_rate": (2, 1)},
    {"padding": (1, 2), "strides": 3},
]
TABLE = [
    *[row(name, IMAGE, **how) for name in ("max_pool2d", "average_pool2d") for how in POOLINGS],
    *[row("lp_pool2d", IMAGE, p=p, **how) for p, how in zip(itertools.cycle([1, 2, 2.5]), POOLINGS, strict=False)],
    row("max_pool2d", IMAGE, ties="split", pool_size=3, strides=1),
    row("average_pool2d", IMAGE, pool_size=3, strides=2, padding=1, ceil_mode=True, count_include_pad=True),
    *[row("conv2d", IMAGE, (3, 2, 2, 3), (3,), **how) for how in CONVOLUTIONS],
    row("conv2d", IMAGE, (2, 2, 2, 3)),
    row("conv2d", (2, 5, 4, 1), (3, 3, 1, 2), (2,), padding="same"),
    row("conv2d", (2, 4, 5, 4), (2, 3, 2, 6), (6,), groups=2, padding=1),
    row("conv2d", (2, 4, 5, 3), (3, 3, 1, 3), groups=3),
    *[row("conv2d", IMAGE, (3, 2, 2, 3), (3,), padding="same", padding_mode=m) for m in ("reflect", "edge", "wrap")],
    row("conv2d", IMAGE, (3, 3, 1, 2), groups=2, padding=((2, 1), (0, 3)), strides=2, padding_mode="reflect"),
    *[row("conv2d_pool", IMAGE, (3, 2, 2, 3), (3,), **how) for how in CONVOLUTIONS],
    row("conv2d_pool", (2, 7, 6, 1), (3, 3, 1, 2), (2,), padding="same", pool_size=2, relu=True),
    row("conv2d_pool", (2, 5, 6, 4), (2, 3, 2, 6), groups=2, padding=1, pool_size=(1, 3), relu=True),
    *[row("patches2d", IMAGE, **how) for how in POOLINGS],
    *[row("adaptive_average_pool2d", IMAGE, rest=(size,)) for size in (1, (4, 3), (3, 7))],
    *[row("adaptive_max_pool2d", IMAGE, rest=(size,)) for size in (1, (4, 3), (3, 7))],
    row("adaptive_max_pool2d", IMAGE, rest=((4, 2),), ties="split"),
    row("global_max_pool2d", IMAGE),
    row("global_max_pool2d", IMAGE, keepdims=True, ties="split"),
    row("global_average_pool2d", IMAGE),
    row("global_average_pool2d", IMAGE, keepdims=True),
    row("pad2d", IMAGE),
    row("pad2d", IMAGE, rest=(((0, 2), (1, 3)),), value=7.0),
    *[row("pad2d", IMAGE, rest=(((2, 3), (4, 1)),), mode=mode) for mode in ("reflect", "edge", "wrap")],
    row("crop2d", IMAGE),
    row("crop2d", IMAGE, rest=(((0, 3), (2, 1)),)),
    *[row(name, (3, 4), (4,)) for name in ("add", "subtract", "multiply", "divide", "maximum")],
    *[row(name, (2, 1, 3), (4, 1)) for name in ("add", "subtract", "multiply", "divide", "maximum")],
    row("add", (), (2, 2)),
    row("power", (3, 4), (4,), positive=True),
    row("power", (3, 4), rest=(3,)),
    row("power", (3, 4), rest=(-2.0,)),
    *[row("matmul", *s) for s in (((3, 4), (4, 2)), ((4,), (4, 2)), ((3, 4), (4,)), ((4,), (4,)))],
    row("matmul", (2, 1, 3, 4), (5, 4, 2)),
    row("matmul", (4,), (2, 4, 3)),
    row("matmul", (2, 3, 4), (4,)),
    row("dense", (3, 4), (4, 2), (2,)),
    row("dense", (3, 4), (4, 2)),
    *[row(name, (3, 4)) for name in ("negate", "abs", "exp", "relu", "sigmoid", "tanh", "softplus")],
    *[row(name, ()) for name in ("negate", "exp", "sigmoid", "tanh", "gelu", "sum", "mean", "max", "logsumexp")],
    row("log", (3, 4), positive=True),
    row("sqrt", (3, 4), positive=True),
    *[row(name, (3, 4)) for name in ("leaky_relu", "elu", "gelu")],
    row("leaky_relu", (3, 4), negative_slope=0.01),
    row("elu", (3, 4), alpha=0.5),
    row("gelu", (3, 4), approximate=True),
    *[row(name, shape) for name in ("softmax", "log_softmax") for shape in ((4,), (3, 4), (2, 3, 1))],
    row("dropout", (3, 4), rest=(0.4,), rng=seeded),
    row("dropout", (3, 4), rest=(0.4,)),
    *[row(name, (2, 3, 4), **how) for name in ("sum", "mean", "max", "logsumexp") for how in (
        {}, {"axis": 1}, {"axis": -1, "keepdims": True}, {"axis": (2, 0)}, {"axis": ()},
    )],
    row("reshape", (2, 6), rest=((3, -1),)),
    row("flatten", (2, 3, 4)),
    row("transpose", (2, 3, 4)),
    row("transpose", (2, 3, 4), rest=((1, -1, 0),)),
    row("concatenate", (2, 3), (2, 1), (2, 2)),
    row("concatenate", (1, 3), (4, 3), axis=0),
    row("getitem", (4, 5), rest=(1,)),
    row("getitem", (4, 5), rest=((slice(None, None, -2), None, 2),)),
    row("getitem", (4, 5), rest=((np.array([0, 0, 3]), np.array([1, 1, 2])),)),
    row("getitem", (4, 5), rest=(np.arange(20).reshape(4, 5) % 3 == 0,)),
    row("cross_entropy", (3, 4), rest=(np.array([0, 3, 1]),)),
    row("cross_entropy", (3, 4), rest=(np.array([2, 2, 2], np.uint8),), label_smoothing=0.2),
    row("mean_squared_error", (3, 4), (3, 4)),
    row("batch_norm", (3, 4), (4,), (4,)),
    row("batch_norm", IMAGE, (2,), (2,), epsilon=0.1),
]  # fmt: skip
every_row = pytest.mark.parametrize("row", TABLE, ids=str)


# Made of other ops, so that their edges lead to those; and indices, which go along with a batch.
ELSEWHERE = {"gem_pool2d", "log_mean_exp_pool2d", "soft_pool2d", "stochastic_pool2d", "max_average_pool2d"}
ELSEWHERE |= {"blur_pool2d", "max_pool2d_indices", "max_unpool2d"}  # tests/test_pool_variants.py


def test_every_op_is_in_the_table():
    assert {row.name for row in TABLE} == set(ops.__all__) - ELSEWHERE


@every_row
def test_the_shape_rule_keeps_its_promise(row):
    assert np.shape(row(*row.arrays())) == row.promised


@every_row
def test_gradients_along_random_directions(row):
    report = gradcheck(row, *row.arrays(), tolerance=1e-7)
    assert report.ok, report
    assert not any(r.nonsmooth for r in report.rows), "the ops of this table should be smooth at its values"


@every_row
def test_gradients_element_by_element(row):
    assert gradcheck(row, *row.arrays(), mode="elements")


@every_row
def test_float32_stays_float32(row):
    tensors = [Tensor(a) for a in row.arrays(np.float32)]
    y = row(*tensors)
    assert y.dtype == np.float32
    assert_allclose(y.data, row(*row.arrays()), rtol=2e-5, atol=2e-5)
    y.sum().backward()
    for t in tensors:
        assert (t.grad.dtype, t.grad.shape) == (np.float32, t.shape)


def one_step_back(y, g):
    """Return each tensor among the arguments of an op, with the gradient that its VJP gives."""
    found = []
    for parent, vjp in y.edges:
        pairs = zip(parent, vjp(g), strict=True) if isinstance(parent, tuple) else [(parent, vjp(g))]
        found += [(t, part) for t, part in pairs if t is not None]
    return found


@every_row
def test_vjps_give_the_dtype_and_shape_of_the_argument(row):
    """Before the engine could put it right."""
    tensors = [Tensor(a) for a in row.arrays(np.float32)]
    y = row(*tensors)
    for (t, g), tensor in zip(one_step_back(y, np.ones(y.shape, np.float32)), tensors, strict=True):
        assert t is tensor
        assert (np.shape(g), np.asarray(g).dtype) == (t.shape, np.float32)


@every_row
def test_arguments_and_gradients_are_not_written_to(row):
    arrays, before = row.arrays(), row.arrays()
    y = row(*map(Tensor, arrays))
    g = np.full(y.shape, 2.0)
    one_step_back(y, g)
    assert (g == 2).all()
    for array, same in zip(arrays, before, strict=True):
        assert_array_equal(array, same)


@every_row
def test_plain_arrays_in_plain_arrays_out(row):
    y = row(*row.arrays())
    assert isinstance(y, np.ndarray | np.floating)
    assert isinstance(row(*map(Tensor, row.arrays())), Tensor)


@every_row
def test_one_tensor_among_arrays_is_enough(row):
    arrays = row.arrays()
    whole = row(*map(Tensor, arrays))
    for i in range(len(arrays)):
        y = row(*arrays[:i], Tensor(arrays[i]), *arrays[i + 1 :])
        assert len(y.edges) == 1
        g = np.ones(y.shape)
        [(_, dx)] = one_step_back(y, g)
        assert_array_equal(dx, one_step_back(whole, g)[i][1])


@every_row
def test_how_arrays_lie_in_memory_makes_no_difference(row):
    expected = row(*row.arrays())
    assert_allclose(row(*map(np.asfortranarray, row.arrays())), expected, rtol=1e-12, atol=1e-12)
    wide = [np.stack([a, a], axis=-1) for a in row.arrays()]
    assert_allclose(row(*[a[..., 0] for a in wide]), expected, rtol=1e-12, atol=1e-12)


IMAGE_OPS = [r for r in TABLE if r.shapes[0] == IMAGE and r.name != "batch_norm"]


@pytest.mark.parametrize("row", IMAGE_OPS, ids=str)
def test_a_batch_of_no_images_is_fine(row):
    images = Tensor(np.zeros((0, *IMAGE[1:])))
    others = [Tensor(a) for a in row.arrays()[1:]]
    y = row(images, *others)
    assert y.shape == (0, *row.promised[1:])
    y.sum().backward()
    assert images.grad.shape == images.shape
    for t in others:
        assert_array_equal(t.grad, np.zeros(t.shape))


@pytest.mark.parametrize("row", IMAGE_OPS, ids=str)
def test_a_batch_is_its_images_one_by_one(row):
    images, *others = row.arrays()
    one_by_one = np.concatenate([row(image[None], *others) for image in images])
    assert_allclose(row(images, *others), one_by_one, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["max", "sum", "mean", "logsumexp"])
def test_reductions_of_an_empty_batch(name):
    x = Tensor(np.zeros((0, 3)))
    y = getattr(ops, name)(x, axis=1)
    assert y.shape == (0,)
    y.sum().backward()
    assert x.grad.shape == (0, 3)


WINDOWS = {"strides": 1, "padding": "valid", "dilation_rate": 1}
POOLS = {"pool_size": 2, **WINDOWS, "strides": None, "ceil_mode": False}
SIGNATURES = {
    **dict.fromkeys(("conv2d", "conv2d_pool"), WINDOWS),
    **{
        row.name: POOLS for row in TABLE if "pool2d" in row.name and not re.match("global|adaptive|blur|conv", row.name)
    },
    **dict.fromkeys(("patches2d", "max_pool2d_indices"), POOLS),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_list_every_keyword_with_its_default(name):
    parameters = inspect.signature(getattr(ops, name)).parameters
    assert not any(p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in parameters.values())
    assert {n: parameters[n].default for n in SIGNATURES[name]} == SIGNATURES[name]


def test_the_defaults_that_signatures_list_are_those_used():
    x, kernel = np.random.default_rng(0).normal(size=(1, 7, 9, 1)), np.ones((3, 2, 1, 1))
    for name, defaults in SIGNATURES.items():
        f = functools.partial(getattr(ops, name), x, *([kernel] if "conv" in name else []))
        assert_array_equal(f(), f(**defaults))


def test_numpy_integers_are_sizes():
    x, k = np.ones((1, 6, 6, 1)), np.ones((2, 2, 1, 1))
    two = np.int64(2)
    assert ops.max_pool2d(x, two, strides=two, padding=np.int32(1)).shape == (1, 4, 4, 1)
    assert ops.conv2d(x, k, strides=(two, two), dilation_rate=two, groups=np.int64(1)).shape == (1, 2, 2, 1)
    assert ops.sum(x, axis=np.int64(1)).shape == (1, 6, 1)
    assert ops.reshape(x, (two, -1)).shape == (2, 18)


# Known numbers


def arange(n):
    return np.arange(1.0, n * n + 1).reshape(1, n, n, 1)


def table(text):
    return np.array([[float(v) for v in line.split()] for line in text.split("/")])


SAME = [
    (3, 2, 1, "5 6 6 / 8 9 9 / 8 9 9", "3 4 4.5 / 6 7 7.5 / 7.5 8.5 9"),
    (3, 2, 2, "5 6 / 8 9", "3 4.5 / 7.5 9"),
    (4, 3, 2, "11 12 / 15 16", "6 7.5 / 12 13.5"),
    (5, 3, 2, "7 9 10 / 17 19 20 / 22 24 25", "4 5.5 7 / 11.5 13 14.5 / 19 20.5 22"),
    (5, 2, 3, "7 10 / 22 25", "4 7 / 19 22"),
    (5, 1, 3, "1 4 / 16 19", "1 4 / 16 19"),
    (7, 2, 3, "9 12 14 / 30 33 35 / 44 47 49", "5 8 10.5 / 26 29 31.5 / 43.5 46.5 49"),
]


@pytest.mark.parametrize(("n", "k", "s", "most", "average"), SAME)
def test_same_pooling_as_in_keras(n, k, s, most, average):
    assert_array_equal(ops.max_pool2d(arange(n), k, strides=s, padding="same")[0, :, :, 0], table(most))
    assert_allclose(ops.average_pool2d(arange(n), k, strides=s, padding="same")[0, :, :, 0], table(average))


def test_same_with_the_odd_pad_first_by_explicit_pads():
    """SAME_LOWER of ONNX and JAX."""
    how = {"strides": 1, "padding": ((1, 0), (1, 0))}
    assert_array_equal(ops.max_pool2d(arange(3), 2, **how)[0, :, :, 0], table("1 2 3 / 4 5 6 / 7 8 9"))
    average = ops.average_pool2d(arange(3), 2, **how)[0, :, :, 0]
    assert_allclose(average, table("1 1.5 2.5 / 2.5 3 4 / 5.5 6 7"))


@pytest.mark.parametrize(
    ("ceil_mode", "count_include_pad", "expected"),
    [
        (True, True, "1.5556 3.3333 2 / 6.3333 11 6 / 4.5 7.5 4"),
        (True, False, "3.5 5 6 / 9.5 11 12 / 13.5 15 16"),
        (False, True, "1.5556 3.3333 / 6.3333 11"),
        (False, False, "3.5 5 / 9.5 11"),
    ],
)
def test_divisors_of_the_average(ceil_mode, count_include_pad, expected):
    how = {"strides": 2, "padding": 1, "ceil_mode": ceil_mode, "count_include_pad": count_include_pad}
    assert_allclose(ops.average_pool2d(arange(4), 3, **how)[0, :, :, 0], table(expected), atol=5e-5)


def test_divisors_as_flax_tests_them():
    x = arange(2)
    included = ops.average_pool2d(x, 2, strides=1, padding=((0, 1), (0, 1)), count_include_pad=True)
    assert_allclose(included.ravel(), [2.5, 1.5, 1.75, 1.0])
    assert_allclose(ops.average_pool2d(x, 2, strides=1, padding="same").ravel(), [2.5, 3, 3.5, 4])


def test_same_convolution_is_not_the_one_of_half_the_kernel():
    """Same shape, other numbers: TensorFlow's "same" with a stride, and PyTorch's padding=1."""
    x, ones = arange(4), np.ones((3, 3, 1, 1))
    assert_array_equal(ops.conv2d(x, ones, strides=2, padding="same").ravel(), [54, 45, 72, 54])
    assert_array_equal(ops.conv2d(x, ones, strides=2, padding=1).ravel(), [14, 30, 57, 99])


def test_convolution_is_not_flipped():
    kernel = np.arange(4.0).reshape(2, 2, 1, 1)
    expected = [sum(k * v for k, v in zip(range(4), (1, 2, 4, 5), strict=True))]
    assert ops.conv2d(arange(3), kernel)[0, 0, 0, 0] == expected[0]


def test_depthwise_convolution_keeps_channels_apart():
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 5, 5, 3)), rng.normal(size=(3, 3, 1, 3))
    y = ops.conv2d(x, kernel, groups=3)
    for c in range(3):
        assert_allclose(y[..., c : c + 1], ops.conv2d(x[..., c : c + 1], kernel[..., c : c + 1]), rtol=1e-12)


def gradient(f, x):
    return grad(lambda x: f(x).sum())(np.asarray(x, float))


WINDOW = np.ones((1, 2, 2, 1))


def test_the_first_of_tied_maxima_gets_the_gradient():
    assert_array_equal(gradient(ops.max_pool2d, WINDOW).ravel(), [1, 0, 0, 0])
    assert_array_equal(gradient(ops.global_max_pool2d, WINDOW).ravel(), [1, 0, 0, 0])
    assert_array_equal(gradient(ops.max, [0.0, 1.0, 1.0]), [0, 1, 0])
    assert_array_equal(gradient(lambda x: ops.maximum(x, np.ones(2)), [1.0, 0.5]), [1, 0])
    assert_array_equal(gradient(lambda x: ops.maximum(np.ones(2), x), [1.0, 2.0]), [0, 1])


@pytest.mark.parametrize("axis", [None, (0, 1), (1, 0), (-1, -2)])
def test_first_means_row_order_however_axes_are_named(axis):
    x = np.array([[0.0, 1.0], [1.0, 1.0]])
    assert_array_equal(gradient(lambda x: ops.max(x, axis=axis), x), [[0, 1], [0, 0]])


def test_ties_can_be_split():
    split = functools.partial(ops.max_pool2d, ties="split")
    assert_array_equal(gradient(split, WINDOW).ravel(), [0.25] * 4)
    assert_array_equal(gradient(split, [[[[1.0], [2]], [[2], [2]]]]).ravel(), np.array([0, 1, 1, 1]) / 3)
    assert_array_equal(gradient(functools.partial(ops.global_max_pool2d, ties="split"), WINDOW).ravel(), [0.25] * 4)


def test_overlapping_windows_add_their_gradients():
    x = np.array([[0.0, 1, 0], [2, 9, 3], [0, 4, 0]]).reshape(1, 3, 3, 1)
    pooled = gradient(lambda x: ops.max_pool2d(x, 2, strides=1), x)
    assert_array_equal(pooled.ravel(), [0, 0, 0, 0, 4, 0, 0, 0, 0])


def test_pads_never_win_and_get_no_gradient():
    x = np.full((1, 2, 2, 1), -3.0)
    how = {"pool_size": 2, "strides": 2, "padding": 1}
    assert_array_equal(ops.max_pool2d(x, **how).ravel(), [-3] * 4)
    assert_array_equal(gradient(lambda x: ops.max_pool2d(x, **how), x).ravel(), [1] * 4)
    padded_first = ops.max_pool2d(ops.pad2d(x), 2)
    assert_array_equal(padded_first.ravel(), [0] * 4)


def test_slopes_at_zero():
    zero = np.zeros(1)
    assert gradient(ops.relu, zero) == 0
    assert gradient(ops.abs, zero) == 0
    assert gradient(lambda x: ops.leaky_relu(x, 0.25), zero) == 0.25
    assert gradient(ops.elu, zero) == 1
    assert gradient(lambda x: x**0, zero) == 0
    assert gradient(lambda x: x**1, zero) == 1
    assert gradient(lambda x: x**2, zero) == 0


@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lp_pooling_of_zeros_has_no_gradient_and_no_nan(p, dtype):
    x = np.zeros((1, 2, 4, 1), dtype)
    x[0, 0, 0] = 2
    g = grad(lambda x: ops.lp_pool2d(x, p=p).sum())(x)
    assert_allclose(g.ravel(), [1, 0, 0, 0, 0, 0, 0, 0], rtol=1e-6, atol=0)


def test_lp_pooling_is_a_sum_and_goes_from_sum_to_maximum():
    x = np.array([3.0, -4.0, 0.0, 0.0]).reshape(1, 2, 2, 1)
    assert ops.lp_pool2d(x).item() == 5
    assert ops.lp_pool2d(x, p=1).item() == 7
    assert_allclose(ops.lp_pool2d(x, p=60).item(), 4, rtol=1e-6)


def test_nan_in_a_window_comes_out_and_stays_there():
    x = np.ones((1, 4, 4, 1))
    x[0, 1, 1] = np.nan
    for f in (ops.max_pool2d, ops.average_pool2d, ops.lp_pool2d):
        assert_array_equal(np.isnan(f(x)).ravel(), [True, False, False, False])
    assert np.isnan(ops.max(x))
    assert np.isnan(ops.maximum(np.array([np.nan, 1.0]), np.array([1.0, np.nan]))).all()
    assert_array_equal(gradient(ops.max_pool2d, x)[0, :2, :2, 0], [[0, 0], [0, 1]])
    assert np.isnan(ops.relu(np.array([np.nan])))


def test_a_window_of_pads_only_has_no_average_and_no_nan():
    """One element, two taps three apart, padding of two: allowed by PyTorch's rule, too."""
    x, how = np.full((1, 1, 1, 1), 7.0), {"pool_size": 2, "strides": 1, "dilation_rate": 3, "padding": 2}
    assert_array_equal(ops.max_pool2d(x, **how).ravel(), [-np.inf] * 4)
    assert_array_equal(ops.average_pool2d(x, **how).ravel(), [0] * 4)
    assert_array_equal(ops.lp_pool2d(x, **how).ravel(), [0] * 4)
    for f in (ops.max_pool2d, ops.average_pool2d, ops.lp_pool2d):
        assert gradient(lambda x, f=f: f(x, **how), x).item() == 0


def test_a_convolution_may_read_pads_only():
    y = ops.conv2d(np.ones((1, 1, 1, 1)), np.ones((2, 2, 1, 1)), np.array([0.5]), padding=3)
    assert y.shape == (1, 6, 6, 1)
    assert_array_equal(np.unique(y), [0.5, 1.5])


@pytest.mark.parametrize("f", [ops.max_pool2d, ops.average_pool2d])
def test_a_pad_as_wide_as_the_window_is_refused_at_either_end(f):
    x = np.ones((1, 4, 4, 1))
    for pads in (2, (2, 0), ((0, 2), (0, 0)), ((0, 0), (2, 0))):
        with pytest.raises(ShapeError, match="padding must be smaller than the window extent 2, got"):
            f(x, 2, padding=pads)
    assert f(x, 2, padding=2, dilation_rate=2).shape[0] == 1


def test_large_numbers_do_not_overflow():
    big = np.array([[1000.0, 0.0], [-1000.0, 0.0]])
    labels = np.array([1, 0])
    assert_allclose(ops.cross_entropy(big, labels), 1000)
    assert_allclose(ops.softmax(big), [[1, 0], [0, 1]])
    assert_allclose(ops.log_softmax(big), [[0, -1000], [-1000, 0]])
    assert_allclose(ops.logsumexp(big, axis=1), [1000, 0])
    assert_allclose(ops.softplus(big), [[1000, np.log(2)], [0, np.log(2)]], atol=1e-300)
    assert_allclose(ops.sigmoid(big), [[1, 0.5], [0, 0.5]])
    for f in (ops.softmax, ops.log_softmax, ops.logsumexp, ops.softplus, ops.sigmoid, ops.tanh, ops.elu, ops.gelu):
        assert np.isfinite(gradient(f, big)).all()


@pytest.mark.parametrize("x", [-700.0, -40.0, -1.0, 0.0, 1.0, 40.0, 700.0])
def test_small_sigmoids_keep_their_digits(x):
    small, large = math.exp(-abs(x)) / (1 + math.exp(-abs(x))), 1 / (1 + math.exp(-abs(x)))
    assert_allclose(ops.sigmoid(x), small if x < 0 else large, rtol=1e-14)
    assert_allclose(gradient(ops.sigmoid, x), small * large, rtol=1e-14)
    assert_allclose(gradient(ops.softplus, x), small if x < 0 else large, rtol=1e-14)


def test_losses_of_equal_logits_and_far_offsets():
    assert_allclose(ops.cross_entropy(np.zeros((3, 10)), np.array([0, 5, 9])), np.log(10))
    logits, labels = np.array([[1.0, 2.0, 3.0]]), np.array([1])
    assert_allclose(ops.cross_entropy(logits + 1e6, labels), ops.cross_entropy(logits, labels), rtol=1e-9)


def test_logsumexp_of_nothing_but_minus_infinity():
    assert ops.logsumexp(np.array([-np.inf, -np.inf])) == -np.inf
    assert_array_equal(gradient(ops.logsumexp, [-np.inf, 0.0]), [0, 1])


def test_dropout_keeps_the_mean_and_is_off_without_a_generator():
    x = np.ones((200, 200))
    y = ops.dropout(x, 0.3, np.random.default_rng(0))
    assert set(np.unique(y)) == {0, 1 / 0.7}
    assert abs((y == 0).mean() - 0.3) < 0.01
    assert_array_equal(ops.dropout(x, 0.3), x)
    assert_array_equal(ops.dropout(x, 0.0, np.random.default_rng(0)), x)


def test_batch_norm_centres_and_scales():
    x = np.random.default_rng(0).normal(3, 5, (50, 4, 4, 2))
    y = ops.batch_norm(x, np.array([1.0, 2.0]), np.array([0.0, -1.0]), epsilon=1e-9)
    assert_allclose(y.mean(axis=(0, 1, 2)), [0, -1], atol=1e-12)
    assert_allclose(y.std(axis=(0, 1, 2)), [1, 2], rtol=1e-9)
    one_row = ops.batch_norm(np.full((1, 2), 7.0), np.ones(2), np.array([0.5, 1.5]))
    assert_array_equal(one_row, [[0.5, 1.5]])


def test_pads_of_each_mode_are_numpys():
    x = arange(3)
    for mode in ("reflect", "edge", "wrap"):
        expected = np.pad(x, ((0, 0), (2, 1), (1, 2), (0, 0)), mode=mode)
        assert_array_equal(ops.pad2d(x, ((2, 1), (1, 2)), mode=mode), expected)
    assert_array_equal(ops.pad2d(x, 1, value=-np.inf)[0, 0, :, 0], [-np.inf] * 5)


def test_crop_undoes_pad():
    x = arange(3)
    assert_array_equal(ops.crop2d(ops.pad2d(x, ((1, 2), (0, 3))), ((1, 2), (0, 3))), x)


def test_a_cell_picked_twice_gets_both_gradients():
    index = np.array([2, 0, 2])
    assert_array_equal(gradient(lambda x: x[index], np.zeros(4)), [1, 0, 2, 0])


def test_defaults_are_those_of_the_documentation():
    x = np.array([3.0, 4.0, 0.0, 0.0]).reshape(1, 2, 2, 1)
    assert ops.lp_pool2d(x).item() == pytest.approx(5)
    y = ops.batch_norm(np.array([[0.0], [2.0]]), np.ones(1), np.zeros(1))
    assert_allclose(y.ravel(), np.array([-1, 1]) / math.sqrt(1 + 1e-3), rtol=1e-12)
    assert ops.average_pool2d(np.ones((1, 2, 2, 1)), 2, padding=1).ravel().tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0])
def test_a_window_of_zeros_sends_back_zeros(p):
    x = np.zeros((1, 2, 4, 1))
    x[0, 0, 0, 0] = 0.25
    g = grad(lambda x: ops.lp_pool2d(x, p=p).sum())(x)
    assert_allclose(g.ravel(), [1, 0, 0, 0, 0, 0, 0, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ops.conv2d(np.ones((1, 4, 4, 6)), np.ones((3, 3, 2, 4)), groups=2), "a kernel of (3, 3, 3, 4)"),
        (lambda: ops.conv2d(np.ones((1, 4, 4, 1)), np.ones((3, 3, 2, 4)), groups=2), "a kernel of (3, 3, 1, 4)"),
        (lambda: ops.conv2d(np.ones((1, 4, 4, 1)), np.ones((3, 3, 1, 4, 1))), "got 5 axes"),
        (lambda: ops.batch_norm(np.ones((2, 4)), np.ones(3), np.ones(4)), "4 channels of (2, 4). Use (4,)."),
        (lambda: ops.batch_norm(np.ones((2, 4)), np.ones(4), np.ones(5)), "4 channels of (2, 4). Use (4,)."),
        (lambda: ops.batch_norm(np.ones((2, 4)), np.ones(5), np.ones(4)), "4 channels of (2, 4). Use (4,)."),
        (lambda: ops.max_pool2d(np.ones((4, 4))), "Use reshape."),
        (lambda: ops.max_pool2d(np.ones((1, 1, 4, 4, 1))), "Use reshape."),
        (lambda: ops.conv2d_pool(np.ones((1, 4, 4, 1)), np.ones((3, 3, 1, 1)), pool_size=3), "conv2d_pool"),
        (lambda: ops.conv2d_pool(np.ones((1, 20, 20, 1)), np.ones((1, 1, 1, 1)), pool_size=16), "at most 254 elements"),
    ],
)
def test_what_would_fit_is_worked_out(call, said):
    with pytest.raises(ShapeError) as caught:
        call()
    assert said in str(caught.value)
