"""Forward and every gradient against PyTorch in float64: more than a thousand seeded configurations."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from minicnn import Tensor, ops
from minicnn.geometry import windows
from minicnn.validation import ShapeError

torch = pytest.importorskip("torch")
F = torch.nn.functional
torch.set_num_threads(1)


def compare(ours, theirs, *arrays):
    """Results and gradients agree to nine digits, for a random gradient of the result."""
    mine = [Tensor(a) for a in arrays]
    y = ours(*mine)
    g = np.random.default_rng(y.size).normal(size=y.shape)
    (y * g).sum().backward()
    other = [torch.tensor(a, requires_grad=True) for a in arrays]
    z = theirs(*other)
    assert tuple(z.shape) == y.shape
    z.backward(torch.tensor(g))
    assert_allclose(y.data, z.detach().numpy(), rtol=1e-9, atol=1e-9)
    for a, b in zip(mine, other, strict=True):
        assert_allclose(a.grad, b.grad.numpy(), rtol=1e-9, atol=1e-9)


def nchw(x):
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1)


def oihw(kernel):
    return kernel.permute(3, 2, 0, 1).contiguous()


def around(x, pads, value=0.0, mode="constant"):
    """PyTorch's own padding op, for what its convolutions and poolings cannot say."""
    (top, bottom), (left, right) = pads
    how = {"value": value} if mode == "constant" else {}
    return F.pad(x, (left, right, top, bottom), mode=mode, **how)


class Draw:
    """Sizes of a window op, at random but the same each time."""

    def __init__(self, seed, kinds):
        self.rng = np.random.default_rng(seed)
        self.size = self.pair(1, 12)
        self.window, self.strides, self.dilation = self.pair(1, 4), self.pair(1, 4), self.pair(1, 3)
        self.kind = kinds[seed % len(kinds)]

    def pair(self, low, high):
        return tuple(int(n) for n in self.rng.integers(low, high + 1, 2))

    def padding(self, most):
        """Padding in the words of minicnn, with at most `most` (rows, columns) at each end."""
        half = tuple(int(self.rng.integers(0, m // 2 + 1)) for m in most)
        sides = tuple(tuple(int(n) for n in self.rng.integers(0, m + 1, 2)) for m in most)
        return {"valid": "valid", "same": "same", "symmetric": half, "asymmetric": sides}[self.kind]

    def pads(self, where, padding, dilation=(1, 1), **how):
        """The numbers behind that padding; a window that does not fit is made to, with padding="same"."""
        try:
            return padding, windows(where, self.size, self.window, self.strides, padding, dilation, **how).pads
        except ShapeError:
            self.kind = "same"
            return "same", windows(where, self.size, self.window, self.strides, "same", dilation).pads

    def images(self, channels=2):
        return self.rng.normal(size=(2, *self.size, channels))


KINDS = ["valid", "same", "symmetric", "asymmetric"]


@pytest.mark.parametrize("seed", range(160))
def test_conv2d(seed):
    draw = Draw(seed, KINDS)
    groups = int(draw.rng.integers(1, 4))
    width, filters = (int(n) for n in draw.rng.integers(1, 3, 2))
    padding, pads = draw.pads("conv2d", draw.padding((3, 3)), draw.dilation)
    kernel = draw.rng.normal(size=(*draw.window, width, filters * groups))
    arrays = [draw.images(width * groups), kernel, draw.rng.normal(size=filters * groups)][: 2 + seed % 2]
    how = {"strides": draw.strides, "dilation_rate": draw.dilation, "groups": groups}

    def theirs(x, kernel, bias=None):
        at = {"stride": draw.strides, "dilation": draw.dilation, "groups": groups}
        return nhwc(F.conv2d(around(nchw(x), pads), oihw(kernel), bias, **at))

    compare(lambda *a: ops.conv2d(*a, padding=padding, **how), theirs, *arrays)


@pytest.mark.parametrize("seed", range(80))
def test_convolution_with_pooling_and_relu(seed):
    draw = Draw(seed, KINDS)
    draw.size = draw.pair(6, 12)
    width, groups, filters = (int(n) for n in draw.rng.integers(1, 3, 3))
    padding, pads = draw.pads("conv2d", draw.padding((3, 3)), draw.dilation)
    arrays = [draw.images(width * groups), draw.rng.normal(size=(*draw.window, width, filters * groups))]
    arrays.append(draw.rng.normal(size=filters * groups))
    how = {"strides": draw.strides, "dilation_rate": draw.dilation, "groups": groups}
    rows, cols = ops.conv2d.shape(*(a.shape for a in arrays), padding=padding, **how)[1:3]
    pool, relu = (min(rows, 1 + seed % 3), min(cols, 1 + seed // 3 % 3)), bool(seed % 2)

    def theirs(x, kernel, bias):
        at = {"stride": draw.strides, "dilation": draw.dilation, "groups": groups}
        y = F.max_pool2d(F.conv2d(around(nchw(x), pads), oihw(kernel), bias, **at), pool)
        return nhwc(F.relu(y) if relu else y)

    compare(lambda *a: ops.conv2d_pool(*a, padding=padding, pool_size=pool, relu=relu, **how), theirs, *arrays)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("seed", range(60))
def test_convolution_with_pytorchs_own_padding(seed):
    draw = Draw(seed, ["symmetric"])
    padding, _ = draw.pads("conv2d", draw.padding((4, 4)))
    if padding == "same":
        draw.strides = (1, 1)
    arrays = draw.images(), draw.rng.normal(size=(*draw.window, 2, 3)), draw.rng.normal(size=3)

    def theirs(x, kernel, bias):
        return nhwc(F.conv2d(nchw(x), oihw(kernel), bias, stride=draw.strides, padding=padding))

    compare(lambda *a: ops.conv2d(*a, strides=draw.strides, padding=padding), theirs, *arrays)


@pytest.mark.parametrize("seed", range(120))
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_max_pool2d_with_pytorchs_own_padding(seed, ceil_mode):
    """What fits here fits there, and the sizes are the same: the rule of ceil_mode is PyTorch's."""
    draw = Draw(seed, ["valid", "symmetric"])
    padding = draw.padding(draw.window)
    x, strides, dilation = draw.images(), draw.strides, draw.dilation
    at = (draw.window, strides, (0, 0) if padding == "valid" else padding, dilation, ceil_mode)
    how = {"strides": strides, "padding": padding, "dilation_rate": dilation, "ceil_mode": ceil_mode}
    try:
        ops.max_pool2d(x, draw.window, **how)
    except ShapeError:
        with pytest.raises(RuntimeError):
            F.max_pool2d(nchw(torch.tensor(x)), *at)
        return
    hidden = ops.max_pool2d(x, draw.window, **how) == -np.inf
    if hidden.any():  # dilated windows of pads only have a maximum, but no gradient
        assert_allclose(ops.max_pool2d(x, draw.window, **how), nhwc(F.max_pool2d(nchw(torch.tensor(x)), *at)).numpy())
        return
    compare(lambda x: ops.max_pool2d(x, draw.window, **how), lambda x: nhwc(F.max_pool2d(nchw(x), *at)), x)


@pytest.mark.parametrize("seed", range(60))
def test_max_pool2d_with_other_paddings(seed):
    draw = Draw(seed, ["same", "asymmetric"])
    draw.dilation = (1, 1)
    padding, pads = draw.pads("max_pool2d", draw.padding([k - 1 for k in draw.window]), pooling=True)
    compare(
        lambda x: ops.max_pool2d(x, draw.window, strides=draw.strides, padding=padding),
        lambda x: nhwc(F.max_pool2d(around(nchw(x), pads, -np.inf), draw.window, draw.strides)),
        draw.images(),
    )


@pytest.mark.parametrize("seed", range(40))
def test_ties_go_to_the_first_as_in_pytorchs_pooling(seed):
    draw = Draw(seed, ["valid"])
    padding, pads = draw.pads("max_pool2d", "valid", pooling=True)
    compare(
        lambda x: ops.max_pool2d(x, draw.window, strides=draw.strides, padding=padding),
        lambda x: nhwc(F.max_pool2d(around(nchw(x), pads, -np.inf), draw.window, draw.strides)),
        np.round(draw.images()),
    )


@pytest.mark.parametrize("seed", range(80))
@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("count_include_pad", [False, True])
def test_average_pool2d_with_pytorchs_own_padding(seed, ceil_mode, count_include_pad):
    draw = Draw(seed, ["valid", "symmetric"])
    padding = draw.padding(draw.window)
    at = (draw.window, draw.strides, (0, 0) if padding == "valid" else padding, ceil_mode, count_include_pad)
    how = {"strides": draw.strides, "padding": padding, "ceil_mode": ceil_mode, "count_include_pad": count_include_pad}
    x = draw.images()
    try:
        ops.average_pool2d(x, draw.window, **how)
    except ShapeError:
        with pytest.raises(RuntimeError):
            F.avg_pool2d(nchw(torch.tensor(x)), *at)
        return
    compare(lambda x: ops.average_pool2d(x, draw.window, **how), lambda x: nhwc(F.avg_pool2d(nchw(x), *at)), x)


@pytest.mark.parametrize("seed", range(60))
def test_average_pool2d_with_other_paddings(seed):
    """The sum over the padded image by the sum over padded ones."""
    draw = Draw(seed, ["same", "asymmetric"])
    padding, pads = draw.pads("average_pool2d", draw.padding([k - 1 for k in draw.window]), pooling=True)

    def total(x):
        return F.avg_pool2d(around(x, pads), draw.window, draw.strides, divisor_override=1)

    compare(
        lambda x: ops.average_pool2d(x, draw.window, strides=draw.strides, padding=padding),
        lambda x: nhwc(total(nchw(x)) / total(torch.ones_like(nchw(x))).clamp(min=1)),
        draw.images(),
    )


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("p", [1.0, 2.0, 3.5])
def test_lp_pool2d(seed, p):
    draw = Draw(seed, KINDS)
    padding, pads = draw.pads("lp_pool2d", draw.padding([k - 1 for k in draw.window]), pooling=True)
    compare(
        lambda x: ops.lp_pool2d(x, draw.window, p=p, strides=draw.strides, padding=padding),
        lambda x: nhwc(F.lp_pool2d(around(nchw(x), pads), p, draw.window, draw.strides)),
        np.abs(draw.images()) + 0.1,
    )


@pytest.mark.parametrize("keepdims", [False, True])
def test_global_pools(keepdims):
    x = np.random.default_rng(0).normal(size=(3, 5, 4, 2))
    axes = (1, 2)
    compare(lambda x: ops.global_max_pool2d(x, keepdims=keepdims), lambda x: x.amax(axes, keepdims), x)
    compare(lambda x: ops.global_average_pool2d(x, keepdims=keepdims), lambda x: x.mean(axes, keepdims), x)
    ties = np.round(x)
    as_pool = lambda x: F.adaptive_max_pool2d(nchw(x), 1).reshape(3, 2)  # noqa: E731
    compare(ops.global_max_pool2d, as_pool, ties)
    compare(lambda x: ops.global_max_pool2d(x, ties="split"), lambda x: x.amax(axes), ties)


@pytest.mark.parametrize(
    ("mode", "theirs"), [("reflect", "reflect"), ("edge", "replicate"), ("wrap", "circular"), ("constant", "constant")]
)
@pytest.mark.parametrize("pads", [((1, 2), (3, 0)), ((0, 0), (1, 1)), ((3, 3), (2, 3))])
def test_pads(mode, theirs, pads):
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 3))
    compare(lambda x: ops.pad2d(x, pads, mode=mode), lambda x: nhwc(around(nchw(x), pads, mode=theirs)), x)


SHAPE = (4, 7)
ELEMENTWISE = {
    "relu": (ops.relu, F.relu),
    "leaky_relu": (lambda x: ops.leaky_relu(x, 0.2), lambda x: F.leaky_relu(x, 0.2)),
    "elu": (ops.elu, F.elu),
    "elu, alpha": (lambda x: ops.elu(x, alpha=0.3), lambda x: F.elu(x, 0.3)),
    "gelu": (ops.gelu, F.gelu),
    "gelu, tanh": (lambda x: ops.gelu(x, approximate=True), lambda x: F.gelu(x, approximate="tanh")),
    "softplus": (ops.softplus, F.softplus),
    "sigmoid": (ops.sigmoid, torch.sigmoid),
    "tanh": (ops.tanh, torch.tanh),
    "softmax": (ops.softmax, lambda x: F.softmax(x, -1)),
    "log_softmax": (ops.log_softmax, lambda x: F.log_softmax(x, -1)),
    "exp": (ops.exp, torch.exp),
    "abs": (ops.abs, torch.abs),
    "square": (lambda x: x**2, lambda x: x**2),
    "sum": (lambda x: ops.sum(x, axis=0), lambda x: x.sum(0)),
    "mean": (lambda x: ops.mean(x, axis=(0, 1)), lambda x: x.mean((0, 1))),
    "max": (lambda x: ops.max(x, axis=1), lambda x: x.max(1).values),
    "logsumexp": (lambda x: ops.logsumexp(x, axis=1, keepdims=True), lambda x: x.logsumexp(1, keepdim=True)),
    "transpose": (ops.transpose, lambda x: x.T),
    "getitem": (lambda x: x[[0, 2, 2]][:, ::2], lambda x: x[[0, 2, 2]][:, ::2]),
}


@pytest.mark.parametrize("scale", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_one_argument(name, scale):
    compare(*ELEMENTWISE[name], scale * np.random.default_rng(1).normal(size=SHAPE))


PAIRS = {
    "add": (ops.add, torch.add),
    "subtract": (ops.subtract, torch.subtract),
    "multiply": (ops.multiply, torch.multiply),
    "divide": (ops.divide, torch.divide),
    "maximum": (ops.maximum, torch.maximum),
    "power": (ops.power, torch.pow),
}


@pytest.mark.parametrize("shapes", [((3, 4), (3, 4)), ((3, 1), (4,)), ((2, 1, 4), (3, 1)), ((), (2,))])
@pytest.mark.parametrize("name", PAIRS)
def test_two_arguments(name, shapes):
    rng = np.random.default_rng(2)
    compare(*PAIRS[name], *(rng.uniform(0.5, 2, size=s) for s in shapes))


MATRICES = [
    ((3, 4), (4, 2)),
    ((4,), (4, 2)),
    ((3, 4), (4,)),
    ((4,), (4,)),
    ((5, 1, 3, 4), (2, 4, 2)),
    ((4,), (2, 4, 3)),
]


@pytest.mark.parametrize("shapes", MATRICES)
def test_matmul(shapes):
    rng = np.random.default_rng(3)
    compare(ops.matmul, torch.matmul, *(rng.normal(size=s) for s in shapes))


def test_dense():
    rng = np.random.default_rng(4)
    arrays = [rng.normal(size=s) for s in ((5, 3), (3, 4), (4,))]
    compare(ops.dense, lambda x, kernel, bias: F.linear(x, kernel.T, bias), *arrays)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_cross_entropy(smoothing, scale):
    rng = np.random.default_rng(5)
    logits, labels = scale * rng.normal(size=(6, 5)), rng.integers(0, 5, 6)
    compare(
        lambda x: ops.cross_entropy(x, labels, label_smoothing=smoothing),
        lambda x: F.cross_entropy(x, torch.tensor(labels), label_smoothing=smoothing),
        logits,
    )


def test_mean_squared_error():
    rng = np.random.default_rng(6)
    compare(ops.mean_squared_error, F.mse_loss, rng.normal(size=SHAPE), rng.normal(size=SHAPE))


@pytest.mark.parametrize("shape", [(6, 3), (4, 5, 2, 3)])
@pytest.mark.parametrize("epsilon", [1e-3, 1e-5, 1.0])
def test_batch_norm(shape, epsilon):
    rng = np.random.default_rng(7)

    def theirs(x, gamma, beta):
        channels_second = x.movedim(-1, 1)
        return F.batch_norm(channels_second, None, None, gamma, beta, training=True, eps=epsilon).movedim(1, -1)

    arrays = rng.normal(2, 3, size=shape), rng.normal(size=3), rng.normal(size=3)
    compare(lambda *a: ops.batch_norm(*a, epsilon=epsilon), theirs, *arrays)
