"""Every argument of every window op and layer, wrong in every way; and sizes whose product cannot be meant."""

import tracemalloc

import numpy as np
import oracles
import pytest
from numpy.testing import assert_allclose
from tables import use
from test_kernels import IMPLEMENTATIONS
from wrong import check, table

from minicnn import grad, kernels, layers, models, ops
from minicnn.geometry import Axis
from minicnn.kernels import reference

IMAGE, KERNEL = np.ones((2, 28, 28, 1)), np.ones((3, 3, 1, 4))
POOLINGS = ["average_pool2d", "gem_pool2d", "log_mean_exp_pool2d", "lp_pool2d", "max_average_pool2d", "max_pool2d",
            "max_pool2d_indices", "patches2d", "soft_pool2d", "stochastic_pool2d"]  # fmt: skip
POOLING_LAYERS = ["AveragePooling2D", "GeMPooling2D", "LogMeanExpPooling2D", "LpPooling2D", "MaxAveragePooling2D",
                  "MaxPooling2D", "SoftPooling2D", "StochasticPooling2D"]  # fmt: skip
WRONG = [
    ("pool_size", 0, ValueError, "at least 1"),
    ("pool_size", 2**31, ValueError, "up to 2,147,483,647"),
    ("pool_size", "2", TypeError, "integer"),
    ("strides", 2**63, ValueError, "up to 2,147,483,647"),
    ("strides", (1, 1.5), TypeError, "integer"),
    ("dilation_rate", -1, ValueError, "at least 1"),
    ("dilation_rate", 2**61, ValueError, "up to 2,147,483,647"),
    ("padding", 2**40, ValueError, "up to 2,147,483,647"),
    ("padding", "Same", ValueError, "'same'"),
    ("padding", {"top": 1}, TypeError, "integer"),
    ("ceil_mode", "False", TypeError, "must be True or False, got 'False'"),
    ("ceil_mode", 1, TypeError, "must be True or False, got 1"),
]
FLAGS = [
    (ops.average_pool2d, "count_include_pad"), (ops.global_max_pool2d, "keepdims"), (ops.global_average_pool2d,
        "keepdims"),
    (layers.AveragePooling2D, "count_include_pad"), (layers.GlobalMaxPooling2D, "keepdims"), (layers.GELU,
        "approximate"),
    (layers.GlobalAveragePooling2D, "keepdims"), (layers.GlobalSoftPooling2D, "keepdims"), (ops.gelu, "approximate"),
]  # fmt: skip


def _ops():
    for name in POOLINGS:
        for argument, value, kind, fix in WRONG:
            yield kind, lambda n=name, a=argument, v=value: getattr(ops, n)(IMAGE, **{a: v}), name, argument, fix


def _layers():
    for name in POOLING_LAYERS:
        for argument, value, kind, fix in WRONG:
            yield kind, lambda n=name, a=argument, v=value: getattr(layers, n)(**{a: v}), name, argument, fix


def _flags():
    for f, name in FLAGS:
        given = () if isinstance(f, type) else (IMAGE,)
        for value in ("False", 0, None):
            yield (
                TypeError,
                lambda f=f, g=given, n=name, v=value: f(*g, **{n: v}),
                "",
                f"{name} must be",
                f"got {value!r}",
                "True or False",
            )


ROWS = [*_ops(), *_layers(), *_flags()]


@table(ROWS)
def test_a_wrong_window_says_what_is_wrong(call, kind, fragments):
    check(call, kind, fragments)


X = np.ones((1, 28, 28, 1))
TOO_LARGE = [  # call, name, argument or product
    (lambda: ops.conv2d(X, KERNEL, dilation_rate=1000, padding="same"), "conv2d", "2028x2028"),
    (lambda: ops.conv2d(X, KERNEL, dilation_rate=1000, padding=1000), "conv2d", "2028x2028"),
    (lambda: ops.conv2d(X, KERNEL, dilation_rate=2**30, padding="same"), "conv2d", "smaller padding"),
    (lambda: ops.conv2d(X, KERNEL, dilation_rate=2**61), "conv2d", "dilation_rate="),
    (lambda: ops.conv2d(X, KERNEL, strides=2**63), "conv2d", "strides="),
    (lambda: ops.conv2d(X, KERNEL, padding=2**30), "conv2d", "smaller padding"),
    (lambda: ops.conv2d(X, KERNEL, padding=((2**20, 0), (0, 0)), padding_mode="edge"), "conv2d", "1048604x28"),
    (lambda: ops.conv2d(X, KERNEL, groups=2**62), "conv2d", "groups="),
    (lambda: ops.conv2d_pool(X, KERNEL, pool_size=2**40), "conv2d_pool", "pool_size="),
    (lambda: ops.conv2d_pool(X, KERNEL, dilation_rate=1000, padding="same", relu=True), "conv2d", "2028x2028"),
    *((lambda n=n: getattr(ops, n)(X, 3, dilation_rate=1000, padding="same"), n, "smaller padding") for n in POOLINGS
      if n != "gem_pool2d"),
    *((lambda n=n: getattr(ops, n)(X, pool_size=2**16, padding="same"), n, "pool_size") for n in POOLINGS),
    (lambda: ops.pad2d(X, 2**30), "pad2d", "smaller padding"),
    (lambda: ops.pad2d(X, ((0, 2**31 - 1), (0, 0)), mode="edge"), "pad2d", "smaller padding"),
    (lambda: ops.blur_pool2d(X, 2**30, mode="edge"), "blur_pool2d", "smaller padding"),
    (lambda: ops.adaptive_max_pool2d(X, 2**20), "adaptive_max_pool2d", "smaller output_size"),
    (lambda: ops.adaptive_average_pool2d(X, (1, 2**30)), "adaptive_average_pool2d", "smaller output_size"),
    (lambda: ops.max_unpool2d(X, np.zeros(X.shape, int), 2**20), "max_unpool2d", "1048576x1048576"),
    (lambda: layers.Conv2D(2**31, 3), "Conv2D", "filters="),
    (lambda: layers.Conv2D(2**20, 2**15).param_shapes((8, 8, 1)), "conv2d", "2,147,483,647"),
    (lambda: layers.Dense(2**31), "Dense", "units="),
    (lambda: layers.Dense(2**30).init(np.random.default_rng(0), (64,)), "dense", "2,147,483,647"),
    (lambda: layers.Dense(4).init(np.random.default_rng(0), (2**40,)), "Dense.init", "2,147,483,647"),
    (lambda: layers.coverage(models.lenet5(), (2**12, 2**12, 1)), "coverage", "65,536 pixels"),
    (lambda: models.lenet5(2**40), "lenet5", "classes="),
    (lambda: layers.initializers.he_normal(np.random.default_rng(0), (2**20, 2**20)), "he_normal", "smaller sizes"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "where", "what"), TOO_LARGE, ids=range(len(TOO_LARGE)))
def test_sizes_that_cannot_be_meant_are_refused_before_anything_is_allocated(call, where, what, monkeypatch):
    """No kernel is entered, and less than a megabyte is allocated."""

    def entered():
        pytest.fail("a kernel was asked for")

    monkeypatch.setattr(kernels, "implementation", entered)
    for name in kernels.__all__:  # also those that have been looked up before
        monkeypatch.setitem(vars(kernels), name, lambda *_, **__: entered())
    for name in ("max_pool2d", "sum_pool2d", "conv2d"):
        monkeypatch.setattr(reference, name, lambda *_, **__: entered())
    tracemalloc.start()
    try:
        check(call, ValueError, [where, what])
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_the_limit_is_where_the_documentation_says():
    """512 x 512 whatever the image, beyond it 64 times the image's own area."""
    tiny, large = np.ones((1, 1, 1, 1)), np.ones((1, 100, 100, 1), np.float32)
    assert ops.pad2d(tiny, ((511, 0), (0, 511))).shape == (1, 512, 512, 1)
    assert ops.pad2d(large, 350).shape == (1, 800, 800, 1)
    for image, padding in ((tiny, ((512, 0), (0, 511))), (large, ((351, 350), (350, 350)))):
        with pytest.raises(ValueError, match="elements per channel"):
            ops.pad2d(image, padding)


@pytest.mark.parametrize("dilation", [30, 27, 28, (1, 60)])
def test_a_large_dilation_that_can_be_meant_is_right(dilation):
    """Against nested loops: most taps lie on padding, the one in the middle does not."""
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((2, 28, 28, 1)), rng.standard_normal((3, 3, 1, 2))
    pair = dilation if isinstance(dilation, tuple) else (dilation, dilation)
    pads = tuple((d, d) for d in pair)
    expected = oracles.conv2d(x, kernel, None, (1, 1), pads, pair, 1)
    assert_allclose(ops.conv2d(x, kernel, dilation_rate=dilation, padding="same"), expected, rtol=1e-12, atol=1e-12)
    best = oracles.max_pool2d(x, (3, 3), (1, 1), pads, pair)
    assert_allclose(ops.max_pool2d(x, 3, strides=1, dilation_rate=dilation, padding="same"), best)


def test_a_large_dilation_agrees_with_pytorch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    x, kernel = rng.standard_normal((2, 28, 28, 3)), rng.standard_normal((3, 3, 3, 4))
    theirs = torch.nn.functional.conv2d(
        torch.tensor(x.transpose(0, 3, 1, 2)), torch.tensor(kernel.transpose(3, 2, 0, 1)), padding=30, dilation=30
    )
    ours = ops.conv2d(x, kernel, dilation_rate=30, padding="same")
    assert_allclose(ours, theirs.numpy().transpose(0, 2, 3, 1), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_the_largest_stride_and_dilation_are_right_where_they_change_nothing(name, monkeypatch):
    """A stride beyond the image leaves one window; the only tap of a 1x1 window has no neighbour to be apart from."""
    use(monkeypatch, name)
    rng, most = np.random.default_rng(2), 2**31 - 1
    x, kernel, one = (rng.standard_normal(shape) for shape in ((2, 9, 7, 3), (3, 3, 3, 4), (1, 1, 3, 4)))
    for op, others in (
        (ops.conv2d, (kernel,)),
        (ops.max_pool2d, (3,)),
        (ops.average_pool2d, (3,)),
        (ops.lp_pool2d, (3,)),
    ):
        first = op(x, *others, strides=1)[:, :1, :1]
        assert_allclose(op(x, *others, strides=most), first, rtol=1e-12)
    assert_allclose(ops.conv2d(x, one, dilation_rate=most), ops.conv2d(x, one), rtol=1e-12)
    assert_allclose(ops.max_pool2d(x, 1, dilation_rate=most), x)
    grads = [grad(lambda x, s=s: ops.sum(ops.conv2d(x, kernel, strides=s)[:, :1, :1]))(x) for s in (1, most)]
    assert_allclose(grads[1], grads[0], rtol=1e-12)


def test_long_axes_are_counted_without_walking_over_all_taps():
    """Windows of 50,000 taps at 100,000 places; the first reads half of its taps beyond padding."""
    axis = Axis(n=100_000, k=50_000, s=1, d=1, before=24_999, after=25_000, out=100_000)
    elements = axis.real_elements(include_pad=False)
    assert elements[0] == 50_000 - 24_999
    assert elements[50_000] == 50_000
    assert elements[-1] == 24_999 + 1
    assert set(axis.real_elements(include_pad=True)) == {50_000}
    assert axis.unread == ()
    assert Axis(n=10**6, k=1, s=10**5, d=1, before=0, after=0, out=10).unread[:2] == (1, 2)


@pytest.mark.parametrize("value", [(), 3.0, np.array(2.0), np.float64(1)])
@pytest.mark.parametrize(
    "name", [*POOLINGS, "global_max_pool2d", "global_average_pool2d", "blur_pool2d", "pad2d", "crop2d"]
)
def test_an_input_without_axes_is_told_the_four_that_it_needs(name, value):
    if isinstance(value, tuple):
        with pytest.raises(ValueError, match=f"^{name}: the input must have 4 axes .*, got 0 axes"):
            getattr(ops, name).shape(())
        return
    check(lambda: getattr(ops, name)(value), ValueError, [name, "0 axes ()", "(N, H, W, C)"])


@pytest.mark.parametrize("name", ["adaptive_max_pool2d", "adaptive_average_pool2d"])
def test_an_adaptive_pooling_is_told_so_too(name):
    check(lambda: getattr(ops, name)(3.0, 2), ValueError, [name, "0 axes ()", "(N, H, W, C)"])
