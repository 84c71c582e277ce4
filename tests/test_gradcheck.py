"""The checker is checked: it accepts right gradients, also where none is unique, and rejects slightly wrong ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from minicnn import Tensor, layers, ops, trees
from minicnn.autograd import Array, op
from minicnn.gradcheck import gradcheck

MODES = pytest.mark.parametrize("mode", ["direction", "elements"])


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def same(x):
    return x


def total(x):
    return ()


# Small errors


@MODES
@pytest.mark.parametrize("error", [1e-3, -1e-3, 1e-5, -1.0])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_a_gradient_wrong_by_a_thousandth_is_rejected(mode, error, scale):
    @op(same)
    def off(x: Array) -> Any:
        return scale * np.tanh(x), (lambda g: (1 + error) * g * scale / np.cosh(x) ** 2,)

    x = normal(3, 4)
    report = gradcheck(off, x, mode=mode)
    assert not report
    assert report.rows[0].worst == pytest.approx(abs(error), rel=0.01)
    if abs(error) < 0.1:
        assert gradcheck(off, x, mode=mode, tolerance=3 * abs(error))


@pytest.mark.parametrize("index", [(0, 0), (1, 3), (2, 2)])
def test_one_wrong_element_is_found_and_named(index):
    @op(same)
    def off(x: Array) -> Any:
        factor = np.ones(x.shape)
        factor[index] = 1.001
        return np.exp(x), (lambda g: g * np.exp(x) * factor,)

    report = gradcheck(lambda x, y: off(x), normal(3, 4), normal(2), mode="elements")
    assert [row.name for row in report.rows] == ["x", "y"]
    assert [row.worst > 1e-6 for row in report.rows] == [True, False]
    assert report.rows[0].index == index
    assert report.rows[0].worst == pytest.approx(1e-3, rel=0.01)
    assert gradcheck(off, normal(3, 4), mode="direction").ok is False


@MODES
def test_the_wrong_one_of_several_arguments_is_named(mode):
    def shape(x, y):
        return x

    @op(shape)
    def off(x: Array, y: Array) -> Any:
        return x * y, (lambda g: g * y, lambda g: g * x * 1.001)

    report = gradcheck(off, normal(4), normal(4, seed=1), mode=mode)
    assert [row.worst <= 1e-6 for row in report.rows] == [True, False]


@MODES
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_a_number_is_rejected(mode, bad):
    @op(same)
    def broken(x: Array) -> Any:
        return x * 1, (lambda g: np.full(x.shape, bad),)

    assert gradcheck(broken, normal(3), mode=mode).rows[0].worst == np.inf


@MODES
def test_a_gradient_where_there_is_none_is_rejected(mode):
    @op(total)
    def constant(x: Array) -> Any:
        return np.float64(3), (np.ones_like,)

    @op(total)
    def busy(x: Array) -> Any:
        return np.float64(3), (lambda g: np.full(x.shape, 1e-9),)

    assert not gradcheck(busy, normal(3), mode=mode)
    assert gradcheck(lambda x: (x - x).sum(), normal(3), mode=mode)
    assert gradcheck(lambda x: np.float64(3), normal(3), mode=mode)


@MODES
def test_a_missing_gradient_is_rejected(mode):
    @op(same)
    def cut(x: Array) -> Any:
        return x * 2, (None,)

    assert not gradcheck(cut, normal(3), mode=mode)


# Points without a derivative, done right

TIES = {
    "pairs": [[1.0, 1, 0, 2], [0, -1, 2, -3], [5, 4, 7, 7], [5, 3, 6, 0]],
    "threes": [[1.0, 1, 0, 2], [1, -1, 2, 2], [5, 4, 7, 7], [5, 5, 6, 7]],
    "fours": [[1.0, 1, 2, 2], [1, 1, 2, 2], [5, 5, 7, 7], [5, 5, 7, 7]],
    "zeros": [[0.0] * 4] * 4,
}
POOLS = {
    "first": ops.max_pool2d,
    "split": lambda x: ops.max_pool2d(x, ties="split"),
    "first, overlapping": lambda x: ops.max_pool2d(x, 3, strides=1, padding="same"),
    "split, overlapping": lambda x: ops.max_pool2d(x, 3, strides=1, padding="same", ties="split"),
    "first, dilated": lambda x: ops.max_pool2d(x, 2, strides=1, dilation_rate=2),
    "global": ops.global_max_pool2d,
    "global, split": lambda x: ops.global_max_pool2d(x, ties="split"),
    "reduction": lambda x: ops.max(x, axis=(1, 2)),
    "after relu": lambda x: ops.max_pool2d(ops.relu(x)),
    "before relu": lambda x: ops.relu(ops.max_pool2d(x)),
}


@MODES
@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("pool", POOLS)
def test_ties_are_accepted_whichever_element_gets_the_gradient(mode, ties, pool):
    x = np.array(TIES[ties]).reshape(1, 4, 4, 1)
    report = gradcheck(POOLS[pool], np.concatenate([x, -x], axis=-1), mode=mode)
    assert report.ok, report
    assert report.rows[0].nonsmooth > 0 or pool == "first, dilated"


@pytest.mark.parametrize(
    ("f", "x", "nonsmooth"),
    [
        (ops.relu, [0.0, 1, -1, 0, 2], 2),
        (ops.abs, [0.0, 1, -1], 1),
        (ops.leaky_relu, [0.0, 1, -1], 1),
        (ops.elu, [0.0, 1, -1], 0),  # its slope is continuous
        (lambda x: ops.elu(x, alpha=0.5), [0.0, 1, -1], 1),
        (lambda x: x * ops.relu(x), [0.0, 1, -1], 1),  # slope 0 from both sides, but never straight
        (lambda x: ops.maximum(x, 0.5), [0.0, 0.5, 1], 1),
        (lambda x: ops.lp_pool2d(x.reshape(1, 2, 2, 1), p=1), [0.0, 1, -1, 0], 2),
        (lambda x: ops.lp_pool2d(x.reshape(1, 2, 2, 1), p=2), [0.0, 1, -1, 0], 0),
        (lambda x: ops.lp_pool2d(x.reshape(1, 2, 2, 1), p=2), [0.0, 0, 0, 0], 4),
        (ops.tanh, [0.0, 1, -1], 0),
    ],
)
def test_smooth_and_nonsmooth_elements_are_counted(f, x, nonsmooth):
    report = gradcheck(f, np.array(x), mode="elements")
    assert report.ok, report
    assert (report.rows[0].smooth, report.rows[0].nonsmooth) == (len(x) - nonsmooth, nonsmooth)


@MODES
def test_ties_between_two_arguments(mode):
    x, y = np.array([1.0, 2, 0, -1]), np.array([1.0, 3, 0, -2])
    report = gradcheck(ops.maximum, x, y, mode=mode)
    assert report.ok, report
    if mode == "elements":
        assert [(row.smooth, row.nonsmooth) for row in report.rows] == [(2, 2), (2, 2)]


@MODES
@pytest.mark.parametrize("distance", [1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-9, 1e-12])
def test_nonsmooth_points_nearby_do_no_harm(mode, distance):
    x = np.array([1.0, 1 - distance, 3, 3 + distance, distance, -distance])
    assert gradcheck(lambda x: ops.max(x.reshape(3, 2), axis=1), x, mode=mode)
    assert gradcheck(ops.relu, x, mode=mode)


@MODES
@pytest.mark.parametrize(
    ("f", "x"),
    [
        (ops.log, [1e-3, 1.0, 1e3]),
        (ops.exp, [-20.0, 0.0, 20.0]),
        (ops.sqrt, [1e-3, 1.0]),
        (lambda x: x**3, [0.0, 1e-3, 10.0]),
        (lambda x: 1 / x, [1e-3, -0.1, 1e3]),
        (lambda x: ops.tanh(300.0 * x), [0.0, 1e-3, 0.01]),
        (ops.sigmoid, [-30.0, 0.0, 30.0]),
        (lambda x: (ops.softmax(x) + 1e3).sum(), [0.0, 1.0, 2.0]),
    ],
)
def test_curvature_is_not_taken_for_a_nonsmooth_point(mode, f, x):
    report = gradcheck(f, np.array(x), mode=mode)
    assert report.ok, report


# Points without a derivative, done wrong


def by_windows(route):
    """A 2x2 maximum with stride 2 whose gradient goes where `route(elements, is_tied)` sends it."""

    def shape(x):
        return x[0], x[1] // 2, x[2] // 2, x[3]

    def pool(x: Array) -> Any:
        n, h, w, c = x.shape
        elements = x.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 5, 2, 4).reshape(n, h // 2, w // 2, c, 4)
        y = elements.max(axis=-1)

        def vjp(g):
            share = route(elements == y[..., None]) * g[..., None]
            return share.reshape(n, h // 2, w // 2, c, 2, 2).transpose(0, 1, 4, 2, 5, 3).reshape(x.shape)

        return y, (vjp,)

    return op(shape)(pool)


def first(tied):
    return tied & (tied.cumsum(axis=-1) == 1)


ROUTES = {
    "everyone gets everything": lambda tied: tied * 1.0,
    "nobody gets anything at a tie": lambda tied: tied * (tied.sum(-1, keepdims=True) == 1),
    "half for each, however many": lambda tied: tied * np.where(tied.sum(-1, keepdims=True) > 1, 0.5, 1),
    "a thousandth is lost": lambda tied: first(tied) * 0.999,
    "a thousandth too much": lambda tied: first(tied) * 1.001,
    "somebody pays": lambda tied: first(tied) * 1.5 - first(tied[..., ::-1])[..., ::-1] * 0.5,
}


@pytest.mark.parametrize("ties", ["threes", "fours", "zeros"])
@pytest.mark.parametrize("wrong", ROUTES)
def test_wrong_shares_at_ties_are_rejected(ties, wrong):
    x = np.array(TIES[ties]).reshape(1, 4, 4, 1)
    assert not gradcheck(by_windows(ROUTES[wrong]), x, mode="elements")
    assert gradcheck(by_windows(first), x, mode="elements")


def test_the_report_says_what_does_not_add_up():
    x = np.array(TIES["fours"]).reshape(1, 4, 4, 1)
    found = gradcheck(by_windows(ROUTES["everyone gets everything"]), x, mode="elements").rows[0]
    assert found.found == "gradients of 4 tied elements sum to 4, derivative 1"
    assert found.worst == pytest.approx(0.75)


@pytest.mark.parametrize("slope", [-0.001, 1.001, 2])
def test_a_slope_outside_the_bracket_is_rejected(slope):
    @op(same)
    def relu_with(x: Array) -> Any:
        return np.maximum(x, 0), (lambda g: g * np.where(x == 0, slope, x > 0),)

    assert not gradcheck(relu_with, np.array([0.0, 1.0]), mode="elements")


@pytest.mark.parametrize("slope", [0, 0.3, 1])
def test_any_slope_within_the_bracket_is_fine(slope):
    @op(same)
    def relu_with(x: Array) -> Any:
        return np.maximum(x, 0), (lambda g: g * np.where(x == 0, slope, x > 0),)

    assert gradcheck(relu_with, np.array([0.0, 1.0]), mode="elements")


def test_a_smooth_error_does_not_hide_behind_a_nonsmooth_point_of_the_same_element():
    """x feeds a tied maximum and, a little wrong, an output that is smooth."""

    def shape(x):
        return (2,)

    @op(shape)
    def two(x: Array) -> Any:
        return np.array([x.max(), np.sin(x[0])]), (
            lambda g: np.array([g[0] + 1.001 * g[1] * np.cos(x[0]), 0.0]),
        )  # fmt: skip

    assert not gradcheck(two, np.array([0.5, 0.5]), mode="elements")


# Classic bugs


def windows(x, k):
    return sliding_window_view(x, (k, k), axis=(1, 2))


def pool_shape(x, k=2):
    return x[0], x[1] - k + 1, x[2] - k + 1, x[3]


@op(pool_shape)
def assigned_not_added(x: Array, k: int = 2) -> Any:
    """Stride 1, and `=` where windows that overlap need `+=`."""
    y = windows(x, k).max(axis=(-2, -1))

    def vjp(g):
        dx = np.zeros(x.shape)
        for i, j in np.ndindex(k, k):
            wins = x[:, i : i + y.shape[1], j : j + y.shape[2]] == y
            dx[:, i : i + y.shape[1], j : j + y.shape[2]][wins] = g[wins]
        return dx

    return y, (vjp,)


@op(pool_shape)
def no_divisor(x: Array, k: int = 2) -> Any:
    """An average that hands the whole gradient to every element."""
    y = windows(x, k).mean(axis=(-2, -1))

    def vjp(g):
        dx = np.zeros(x.shape)
        for i, j in np.ndindex(k, k):
            dx[:, i : i + y.shape[1], j : j + y.shape[2]] += g
        return dx

    return y, (vjp,)


def padded_shape(x):
    return x


@op(padded_shape)
def zeros_win(x: Array) -> Any:
    """3x3, stride 1, padded with zeros; the largest element gets the gradient, also if padding is larger."""

    def vjp(g):
        return ops.max_pool2d(Tensor(x), 3, strides=1, padding=1).edges[0][1](g)

    return windows(np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), 3).max(axis=(-2, -1)), (vjp,)


@op(padded_shape)
def zeros_win_throughout(x: Array) -> Any:
    """The same wrong maximum, with a gradient that fits it."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    right = ops.max_pool2d(Tensor(padded), 3, strides=1)
    return right.data, (lambda g: right.edges[0][1](g)[:, 1:-1, 1:-1],)


def conv_shape(x, kernel):
    return ops.conv2d.shape(x, kernel)


def conv(mistake):
    """A convolution by the book, with one VJP spoilt by `mistake`."""

    def convolve(x: Array, kernel: Array) -> Any:
        y = ops.conv2d(Tensor(x), Tensor(kernel))
        (_, vjp_x), (_, vjp_weights) = y.edges
        return y.data, mistake(x, kernel, vjp_x, lambda g: vjp_weights(g)[0])

    return op(conv_shape)(convolve)


def unflipped(x, kernel, vjp_x, vjp_kernel):
    """The input gradient is a full convolution with the flipped kernel; not so here."""
    flipped_back = kernel[::-1, ::-1]
    return ops.conv2d(Tensor(x), Tensor(flipped_back)).edges[0][1], vjp_kernel


def swapped(x, kernel, vjp_x, vjp_kernel):
    return vjp_x, lambda g: vjp_kernel(g).swapaxes(0, 1)


def channels_swapped(x, kernel, vjp_x, vjp_kernel):
    return vjp_x, lambda g: vjp_kernel(g).swapaxes(2, 3)


IMAGE, KERNEL = normal(2, 5, 4, 2), normal(2, 2, 2, 2, seed=1)
WRONG = {
    "= for +=": (assigned_not_added, [IMAGE]),
    "average without its divisor": (no_divisor, [IMAGE]),
    "zeros win in a padded maximum": (zeros_win, [-abs(IMAGE)]),
    "kernel not flipped in the input gradient": (conv(unflipped), [IMAGE, KERNEL]),
    "kernel axes swapped": (conv(swapped), [IMAGE, KERNEL]),
    "channel axes swapped": (conv(channels_swapped), [IMAGE, KERNEL]),
}


@MODES
@pytest.mark.parametrize("bug", WRONG)
def test_classic_bugs_are_rejected(mode, bug):
    f, arrays = WRONG[bug]
    assert not gradcheck(f, *arrays, mode=mode)


@MODES
def test_the_correct_twin_of_the_bugs_is_accepted(mode):
    right = conv(lambda x, kernel, vjp_x, vjp_kernel: (vjp_x, vjp_kernel))
    assert gradcheck(right, IMAGE, KERNEL, mode=mode)


@MODES
def test_what_is_wrong_forward_and_backward_alike_passes(mode):
    """The limit of every gradient check, and the reason for tables of known values."""
    assert gradcheck(zeros_win_throughout, -abs(IMAGE), mode=mode)
    assert (zeros_win_throughout(-abs(IMAGE)) != ops.max_pool2d(-abs(IMAGE), 3, strides=1, padding=1)).any()


# Whole nets and trees


@MODES
def test_a_net_with_its_parameters(mode):
    net = layers.Sequential(
        [layers.Conv2D(3, 3), layers.ReLU(), layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(4)]
    )
    params = net.init(np.random.default_rng(0), (6, 6, 1))
    images, labels = normal(3, 6, 6, 1), np.array([0, 3, 1])
    report = gradcheck(lambda params: ops.cross_entropy(net(params, images), labels), params, mode=mode)
    assert report.ok, report
    assert [row.name for row in report.rows] == [f"params/{path}" for path, _ in trees.items(params)]


def test_counts_add_up_to_the_elements():
    report = gradcheck(lambda p, x: p["a"] * x + p["b"][0], {"a": normal(2, 3), "b": [normal(3)]}, 2.0, mode="elements")
    assert [(row.name, row.smooth + row.nonsmooth) for row in report.rows] == [("p/a", 6), ("p/b/0", 3), ("x", 1)]


def test_the_report_reads_well():
    text = str(gradcheck(by_windows(ROUTES["everyone gets everything"]), np.zeros((1, 2, 2, 1)), mode="elements"))
    assert text.splitlines() == [
        "gradcheck by elements: INCORRECT to 1e-06",
        "argument  smooth nonsmooth    worst  at",
        "x              0         4  7.5e-01  (0, 0, 0, 0)  "
        "INCORRECT: gradients of 4 tied elements sum to 4, derivative 1",
    ]


def test_the_same_call_gives_the_same_report():
    assert gradcheck(ops.tanh, normal(5)) == gradcheck(ops.tanh, normal(5))
    other = gradcheck(ops.tanh, normal(5), rng=np.random.default_rng(1))
    assert other.ok
    assert other != gradcheck(ops.tanh, normal(5))


@MODES
def test_arrays_of_no_numbers_are_right(mode):
    assert gradcheck(ops.relu, np.zeros((0, 3)), mode=mode)


@pytest.mark.parametrize("value", [np.float32([0.5, 1]), 0.5, np.float64(0.5), [0.5, np.ones(2)]])
def test_float32_and_numbers_become_float64(value):
    assert gradcheck(lambda x: trees.leaves(x)[0] * 2, value, mode="elements")


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: gradcheck(ops.relu, np.arange(3)), TypeError, "x must be a float array, got an array of int64"),
        (lambda: gradcheck(ops.relu, 3), TypeError, "x must be .*got an int"),
        (lambda: gradcheck(ops.relu, Tensor([1.0])), TypeError, "x must be .*got a Tensor"),
        (lambda: gradcheck(ops.relu, None), TypeError, "x must be .*got a NoneType"),
        (lambda: gradcheck(lambda: np.ones(2)), TypeError, "nothing to check"),
        (lambda: gradcheck(ops.relu), TypeError, "missing a required argument: 'x'"),
        (
            lambda: gradcheck(ops.relu, np.ones(2), mode="both"),
            ValueError,
            "mode must be 'direction' or 'elements', got 'both'",
        ),
        (lambda: gradcheck(ops.relu, np.ones(2), tolerance=0), ValueError, "tolerance must be .*got 0"),
        (lambda: gradcheck(ops.relu, np.ones(2), directions=0), ValueError, "directions must be .*got 0"),
        (lambda: gradcheck(lambda x: (x, x), np.ones(2)), TypeError, "must return .*got a tuple"),
        (lambda: gradcheck(lambda x: None, np.ones(2)), TypeError, "must return .*got a NoneType"),
        (lambda: gradcheck(lambda x: x + np.inf, np.ones(2)), ValueError, "not finite"),
        (lambda: gradcheck(ops.relu, np.array([np.nan])), ValueError, "not finite"),
    ],
)
def test_what_cannot_be_checked_is_said(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_results_in_single_precision_are_refused():
    @op(same)
    def narrow(x: Array) -> Any:
        return x.astype(np.float32), (lambda g: g,)

    with pytest.raises(TypeError, match=r"f must return float64.*got float32"):
        gradcheck(narrow, np.ones(2))


def test_a_function_that_draws_in_each_call_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"f must be .*different results from two calls"):
        gradcheck(lambda x: ops.dropout(x, 0.5, rng), np.ones(20))
    assert gradcheck(lambda x: ops.dropout(x, 0.5, np.random.default_rng(0)), np.ones(20))


def test_a_function_that_writes_into_its_arguments_is_refused():
    @op(same)
    def careless(x: Array) -> Any:
        x *= 2
        return x * 1, (lambda g: 2 * g,)

    with pytest.raises(ValueError, match="writes into its arguments"):
        gradcheck(careless, np.ones(2))


def test_what_is_handed_in_is_not_written_to():
    x = normal(3)
    before = x.copy()
    gradcheck(ops.tanh, x, mode="elements")
    assert (x == before).all()


# Ties and saturation

SATURATED = [0.0, 0.0, 1.0, 1.0, -1.0, -28.0, 28.0, -36.0, 1e-9, -1e-9, 1e-3, 3.0, -40.0, 20.0]
IMAGES = {
    "lp 1": lambda x: ops.lp_pool2d(x, p=1),
    "lp 2": ops.lp_pool2d,
    "lp 30": lambda x: ops.lp_pool2d(x, p=30),
    "log-mean-exp": ops.log_mean_exp_pool2d,
    "log-mean-exp, sharp": lambda x: ops.log_mean_exp_pool2d(x, r=50),
    "log-mean-exp, soft": lambda x: ops.log_mean_exp_pool2d(x, r=1e-2),
    "soft": ops.soft_pool2d,
    "gem": ops.gem_pool2d,
    "stochastic": ops.stochastic_pool2d,
    "max": ops.max_pool2d,
    "max, split": lambda x: ops.max_pool2d(x, ties="split"),
    "global max": ops.global_max_pool2d,
    "max + average": ops.max_average_pool2d,
}
AT_TIES = {
    "logsumexp": ops.logsumexp,
    "logsumexp of rows": lambda x: ops.logsumexp(x.reshape(2, 2), axis=1),
    "softmax": ops.softmax,
    "log_softmax": ops.log_softmax,
    "softmax of relu": lambda x: ops.softmax(ops.relu(x)),
    "sigmoid": ops.sigmoid,
    "tanh": ops.tanh,
    "softplus": ops.softplus,
    "gelu": ops.gelu,
    "gelu, tanh": lambda x: ops.gelu(x, approximate=True),
    "elu": ops.elu,
    "relu": ops.relu,
    "leaky_relu": ops.leaky_relu,
    "abs": ops.abs,
    "exp": ops.exp,
    "square": lambda x: x**2.0,
    "product": lambda x: x[:2] * x[2:],
    "max": ops.max,
    "maximum": lambda x: ops.maximum(x[:2], x[2:]),
    "mean": ops.mean,
    "mean squared error": lambda x: ops.mean_squared_error(x, np.zeros(4)),
    "batch norm": lambda x: ops.batch_norm(x.reshape(4, 1), np.ones(1), np.zeros(1)),
    **{f"{name} pooling": lambda x, pool=pool: pool(x.reshape(1, 2, 2, 1)) for name, pool in IMAGES.items()},
}


@MODES
@pytest.mark.parametrize("name", AT_TIES)
def test_right_gradients_at_ties_and_saturation_are_accepted(mode, name):
    rng = np.random.default_rng(sum(map(ord, name)))
    for _ in range(30):
        x = rng.choice(SATURATED, 4)
        report = gradcheck(AT_TIES[name], x, mode=mode)
        assert report.ok, (x, report)


@pytest.mark.parametrize("name", AT_TIES)
def test_gradients_wrong_by_a_thousandth_at_ties_are_rejected(name):
    """In the element with the largest gradient, where it is smooth."""
    rng = np.random.default_rng(sum(map(ord, name)))
    f, rejected = AT_TIES[name], 0

    def off(x):
        y = f(x)
        if not isinstance(x, Tensor):
            return y
        inner = Tensor(x.data)
        inside = f(inner)

        def vjp(g):
            Tensor(np.float64(0), ((inside, lambda _: g),)).backward()
            gradient = np.zeros(4) if inner.grad is None else inner.grad.copy()
            gradient[np.abs(gradient).argmax()] *= 1.001
            return gradient

        return Tensor(y.data, ((x, vjp),))

    for _ in range(10):
        x = rng.permutation([0.5, -1.5, 3.0, 1.2])
        assert gradcheck(f, x, mode="elements")
        rejected += not gradcheck(off, x, mode="elements")
    assert rejected == 10


def test_saturated_logsumexp_is_accepted_and_its_bugs_are_not():
    """The slope for the second number, 7e-13, drowns in the rounding of 1 + exp(-28); the other one does not."""

    def scaled(*factors):
        @op(total)
        def off(x: Array) -> Any:
            return ops.logsumexp(x), (lambda g: g * np.exp(x - ops.logsumexp(x)) * factors,)

        return off

    for numbers in ([0.0, -28.0], [5.0, -23.0], [-28.0, 0.0], [0.0, -36.0], [0.0, -800.0]):
        x = np.array(numbers)
        big = int(x.argmax())
        for mode in ("direction", "elements"):
            assert gradcheck(ops.logsumexp, x, mode=mode)
            assert gradcheck(scaled(1, 1), x, mode=mode)
            assert not gradcheck(scaled(*np.where(np.arange(2) == big, 1.001, 1)), x, mode=mode)
        assert not gradcheck(scaled(*np.where(np.arange(2) == big, 1, 1e9)), np.array([0.0, -28.0])[:: 1 - 2 * big])


def test_a_gradient_of_a_constant_is_rejected_though_nothing_moves():
    @op(same)
    def busy(x: Array) -> Any:
        return np.full(x.shape, 3.0), (lambda g: np.full(x.shape, 1e-9),)

    for mode in ("direction", "elements"):
        assert not gradcheck(busy, normal(5), mode=mode)


def test_zeros_before_a_relu_that_one_output_sees_together():
    """Neither one-sided slope along a direction brackets the gradient; element by element they do."""
    x = np.array([0.0, 0.0, 1.0, 0.0])
    report = gradcheck(lambda x: ops.softmax(ops.relu(x)), x)
    assert report.ok, report

    @op(same)
    def relu_wrong(x: Array) -> Any:
        return np.maximum(x, 0), (lambda g: g * np.where(x == 0, -0.2, x > 0),)

    assert not gradcheck(lambda x: ops.softmax(relu_wrong(x)), x)
