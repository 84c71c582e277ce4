"""Every layer through one table: promised shape, parameters, repr, dtype, one by one; and what containers promise."""

import pickle
import types
from dataclasses import replace

import numpy as np
import pytest
from wrong import says

import minicnn
from minicnn import layers, ops, trees, value_and_grad
from minicnn.layers import fusion, initializers

L = layers
BODY = L.Sequential([L.Conv2D(3, 3, padding="same"), L.ReLU()])
IMAGE, ROW = (9, 7, 3), (12,)
# layer, input shape, output shape by the rule, learned numbers by the formula
TABLE = [
    (L.Conv2D(5, 3), IMAGE, (7, 5, 5), 9 * 3 * 5 + 5),
    (L.Conv2D(5, (3, 2), strides=2, padding="same"), IMAGE, (5, 4, 5), 6 * 3 * 5 + 5),
    (L.Conv2D(6, 3, padding=((0, 2), (1, 0)), groups=3, use_bias=False), IMAGE, (9, 6, 6), 9 * 6),
    (L.Conv2D(4, 3, dilation_rate=2), IMAGE, (5, 3, 4), 9 * 3 * 4 + 4),
    (L.MaxPooling2D(2), IMAGE, (4, 3, 3), 0),
    (L.MaxPooling2D(3, strides=2, padding="same", ties="split"), IMAGE, (5, 4, 3), 0),
    (L.AveragePooling2D(2, ceil_mode=True), IMAGE, (5, 4, 3), 0),
    (L.AveragePooling2D((3, 2), padding=1, count_include_pad=True), IMAGE, (3, 4, 3), 0),
    (L.LpPooling2D(2, p=3.0), IMAGE, (4, 3, 3), 0),
    (L.GlobalMaxPooling2D(), IMAGE, (3,), 0),
    (L.GlobalAveragePooling2D(keepdims=True), IMAGE, (1, 1, 3), 0),
    (L.ZeroPadding2D(((1, 0), (2, 3))), IMAGE, (10, 12, 3), 0),
    (L.Padding2D(2, mode="edge"), IMAGE, (13, 11, 3), 0),
    (L.Cropping2D((1, 2)), IMAGE, (7, 3, 3), 0),
    (L.Flatten(), IMAGE, (189,), 0),
    (L.Dense(5), ROW, (5,), 65),
    (L.BatchNormalization(), IMAGE, IMAGE, 6),
    (L.Dropout(0.5), IMAGE, IMAGE, 0),
    (L.ReLU(), IMAGE, IMAGE, 0),
    (L.LeakyReLU(0.1), IMAGE, IMAGE, 0),
    (L.ELU(), IMAGE, IMAGE, 0),
    (L.Sigmoid(), IMAGE, IMAGE, 0),
    (L.Tanh(), IMAGE, IMAGE, 0),
    (L.GELU(), IMAGE, IMAGE, 0),
    (L.Softplus(), IMAGE, IMAGE, 0),
    (L.Softmax(), ROW, ROW, 0),
    (BODY, IMAGE, IMAGE, 84),
    (L.Concat([L.GlobalMaxPooling2D(), L.GlobalAveragePooling2D()]), IMAGE, (6,), 0),
    (L.Residual(BODY), IMAGE, IMAGE, 84),
    (L.Residual(L.Conv2D(4, 3, padding=1), shortcut=L.Conv2D(4, 1)), IMAGE, (9, 7, 4), 112 + 16),
    (L.Classifier(BODY, L.Sequential([L.Flatten(), L.Dense(2)])), IMAGE, (2,), 84 + 189 * 2 + 2),
]
IDS = [repr(row[0])[:60] for row in TABLE]
every_layer = pytest.mark.parametrize(("layer", "shape", "out", "count"), TABLE, ids=IDS)


def make(layer, shape, n=4, dtype=np.float32):
    params = layer.init(np.random.default_rng(0), shape)
    params = trees.map_leaves(lambda w: w.astype(dtype), params)
    return params, np.random.default_rng(1).standard_normal((n, *shape)).astype(dtype)


def test_the_table_has_every_layer():
    kinds = {getattr(layers, name) for name in layers.__all__}
    public = {kind for kind in kinds if isinstance(kind, type) and issubclass(kind, L.Layer) and kind is not L.Layer}
    elsewhere = {k for k in public if k.__module__.endswith("pooling_variants")}  # test_pool_variants
    assert public - elsewhere == {type(row[0]) for row in TABLE}


@every_layer
def test_the_promised_shape_is_the_actual_shape(layer, shape, out, count):
    params, x = make(layer, shape)
    assert layer.output_shape(shape) == out
    assert layer(params, x).shape == (4, *out)
    assert layer(params, x[:0]).shape == (0, *out)


@every_layer
def test_parameters_are_those_promised(layer, shape, out, count):
    params, _ = make(layer, shape)
    assert trees.map_leaves(np.shape, params) == layer.param_shapes(shape)
    learned = {path: w.size for path, w in trees.items(params) if "moving_" not in path} if params else {}
    assert sum(learned.values()) == count == L.summary(layer, shape).parameters
    L.check_params(layer, params, shape)


@every_layer
def test_the_repr_is_the_configuration(layer, shape, out, count):
    names = {**vars(layers), **vars(initializers)}
    again = eval(repr(layer), names)  # noqa: S307 - that it can be done is the point
    assert again == layer
    assert hash(again) == hash(layer)
    assert layer != L.Dense(12345)


@every_layer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_stays(layer, shape, out, count, dtype):
    params, x = make(layer, shape, dtype=dtype)
    assert layer(params, x).dtype == dtype
    rng = np.random.default_rng(0)
    _, grads = value_and_grad(lambda p: (layer(p["w"], p["x"], rng) ** 2).sum())({"w": params, "x": x})
    assert {g.dtype for g in trees.leaves(grads)} == {np.dtype(dtype)}


@every_layer
def test_a_batch_is_its_images_one_by_one(layer, shape, out, count):
    params, x = make(layer, shape, dtype=np.float64)
    one_by_one = np.concatenate([layer(params, x[i : i + 1]) for i in range(len(x))])
    np.testing.assert_allclose(layer(params, x), one_by_one, rtol=1e-12, atol=1e-12)


@every_layer
def test_read_only_and_strange_memory_is_right_and_stays_as_it_was(layer, shape, out, count):
    params, x = make(layer, shape, dtype=np.float64)
    expected = layer(params, x)
    before = x.copy()
    for strange in (np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2]):
        strange.setflags(write=False)
        np.testing.assert_allclose(layer(params, strange), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(x, before)


@every_layer
def test_gradients_are_those_of_difference_quotients(layer, shape, out, count):
    params, x = make(layer, shape, n=3, dtype=np.float64)
    point = {"w": params, "x": x}
    weights = np.random.default_rng(2).standard_normal((3, *out))

    def f(p):
        return (layer(p["w"], p["x"], np.random.default_rng(5)) * weights).sum()

    direction = trees.map_leaves(lambda w: np.random.default_rng(3).standard_normal(w.shape), point)
    _, grads = value_and_grad(f)(point)
    slope = sum(float((g * d).sum()) for g, d in zip(trees.leaves(grads), trees.leaves(direction), strict=True))
    step = 1e-6
    ahead = float(f(trees.map_leaves(lambda w, d: w + step * d, point, direction)))
    behind = float(f(trees.map_leaves(lambda w, d: w - step * d, point, direction)))
    assert slope == pytest.approx((ahead - behind) / (2 * step), rel=1e-6, abs=1e-6)


def test_names_are_those_of_keras():
    net = L.Sequential([L.Conv2D(2, 1), L.Conv2D(2, 1), L.BatchNormalization(), L.Flatten(), L.Dense(2), L.Dense(3)])
    params = net.init(np.random.default_rng(0), (2, 2, 1))
    assert list(params) == ["conv2d", "conv2d_1", "batch_normalization", "dense", "dense_1"]
    assert list(params["conv2d"]) == ["kernel", "bias"]
    assert list(params["batch_normalization"]) == ["gamma", "beta", "moving_mean", "moving_variance"]
    assert L.BatchNormalization().epsilon == 1e-3


def test_the_same_generator_makes_the_same_bytes_and_places_keep_theirs():
    def weights(head):
        net = L.Classifier(BODY, head)
        return net.init(np.random.default_rng(7), IMAGE)

    one, two, other = weights(L.Flatten()), weights(L.Flatten()), weights(L.Sequential([L.Flatten(), L.Dense(2)]))
    for a, b in ((one, two), (one["trunk"], other["trunk"])):
        assert all(x.tobytes() == y.tobytes() for x, y in zip(trees.leaves(a), trees.leaves(b), strict=True))
    longer = L.Sequential([*BODY.layers, L.Conv2D(2, 1)]).init(np.random.default_rng(7), IMAGE)
    shorter = BODY.init(np.random.default_rng(7), IMAGE)
    assert longer["conv2d"]["kernel"].tobytes() == shorter["conv2d"]["kernel"].tobytes()


@pytest.mark.parametrize(
    ("initializer", "variance"),
    [
        (initializers.he_normal, 2 / (9 * 40)),
        (initializers.lecun_normal, 1 / (9 * 40)),
        (initializers.glorot_uniform, 2 / (9 * (40 + 60))),
    ],
)
def test_initial_variance(initializer, variance):
    w = initializer(np.random.default_rng(0), (3, 3, 40, 60))
    assert w.var() == pytest.approx(variance, rel=0.03)
    assert abs(w.mean()) < 4 * np.sqrt(variance / w.size)
    assert not initializers.zeros(np.random.default_rng(0), (2, 2)).any()


def test_batch_normalization_trains_on_the_batch_and_evaluates_on_what_calibrate_found():
    layer, x = L.BatchNormalization(), np.random.default_rng(0).normal(3, 5, (50, 4, 4, 2))
    params = layer.init(np.random.default_rng(0), (4, 4, 2))
    trained = layer(params, x, np.random.default_rng(0))
    np.testing.assert_allclose(trained.mean(axis=(0, 1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(trained.var(axis=(0, 1, 2)), 1, rtol=1e-4)
    np.testing.assert_allclose(layer(params, x), x / np.sqrt(1 + 1e-3), rtol=1e-6)
    calibrated, y = layer.calibrate(params, x)
    np.testing.assert_allclose(y, trained, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(layer(calibrated, x[:1]), trained[:1], rtol=1e-9, atol=1e-9)
    assert not params["moving_mean"].any()


def test_calibrate_goes_through_containers():
    inner = L.Sequential([L.Conv2D(3, 3, padding="same"), L.BatchNormalization()])
    net = L.Sequential([L.Residual(inner), L.Concat([inner, L.ReLU()]), L.Classifier(inner, L.GlobalMaxPooling2D())])
    params, x = make(net, IMAGE, n=8, dtype=np.float64)
    calibrated, y = net.calibrate(params, x)
    np.testing.assert_allclose(net(calibrated, x), y)
    np.testing.assert_allclose(y, net(params, x, np.random.default_rng(0)), rtol=1e-9, atol=1e-9)
    assert trees.map_leaves(np.shape, calibrated) == net.param_shapes(IMAGE)


def test_dropout_drops_its_share_and_scales_the_rest():
    y = L.Dropout(0.3)({}, np.ones((200, 500)), np.random.default_rng(0))
    assert (y == 0).mean() == pytest.approx(0.3, abs=0.01)
    np.testing.assert_allclose(y[y != 0], 1 / 0.7, rtol=1e-6)


@pytest.mark.parametrize(
    "pool", [L.MaxPooling2D(2), L.MaxPooling2D(3, strides=2, padding=1, ties="split"), L.GlobalMaxPooling2D()]
)
def test_pooling_before_relu_changes_no_bit(pool):
    net = L.Sequential([L.Conv2D(3, 3), L.BatchNormalization(), L.ReLU(), pool])
    params, x = make(net, IMAGE)
    x[:2] = 0
    conv, norm, relu, _ = net.layers

    def written(p):
        return (pool({}, relu({}, norm(p["batch_normalization"], conv(p["conv2d"], x)))) ** 2).sum()

    def computed(p):
        return (net(p, x) ** 2).sum()

    (a, da), (b, db) = value_and_grad(written)(params), value_and_grad(computed)(params)
    assert a == b
    assert all(u.tobytes() == v.tobytes() for u, v in zip(trees.leaves(da), trees.leaves(db), strict=True))


class OwnConv2D(L.Conv2D):
    """A layer of one's own, which may compute something else."""


R, P = L.ReLU(), L.MaxPooling2D(2)
FUSED = [
    ([L.Conv2D(3, 3), R, P], ["conv2d + relu + max_pooling2d"]),
    ([L.Conv2D(3, 3), P, R], ["conv2d + max_pooling2d + relu"]),
    ([L.Conv2D(3, 3, padding="same"), R], ["conv2d + relu"]),
    ([L.Conv2D(4, 3, strides=2, groups=2, use_bias=False), P], ["conv2d + max_pooling2d"]),
    ([L.Conv2D(3, 3), R, P, R, P], ["conv2d + relu + max_pooling2d", "relu_1 + max_pooling2d_1"]),
    ([L.Conv2D(3, 3)], ["conv2d"]),
    ([L.Conv2D(3, 3), L.BatchNormalization(), R, P], ["conv2d", "batch_normalization", "relu + max_pooling2d"]),
    ([L.Conv2D(3, 3, padding="same", padding_mode="reflect"), R, P], ["conv2d", "relu + max_pooling2d"]),
    ([L.Conv2D(3, 3), R, L.MaxPooling2D(3, strides=2)], ["conv2d + relu", "max_pooling2d"]),
    ([L.Conv2D(3, 3), R, L.MaxPooling2D(2, padding="same")], ["conv2d + relu", "max_pooling2d"]),
    ([L.Conv2D(3, 3), R, L.MaxPooling2D(2, ceil_mode=True)], ["conv2d + relu", "max_pooling2d"]),
    ([L.Conv2D(3, 3), R, L.MaxPooling2D(2, ties="split")], ["conv2d + relu", "max_pooling2d"]),
    ([OwnConv2D(3, 3), R, P], ["own_conv2d", "relu + max_pooling2d"]),
]


@pytest.mark.parametrize(("layers", "steps"), FUSED, ids=str)
def test_what_follows_a_convolution_is_computed_with_it_and_gives_the_same(layers, steps):
    net = L.Sequential(layers)
    params, x = make(net, (12, 11, 2), dtype=np.float64)
    assert [" + ".join(step.names) for step in fusion.plan(net.parts())] == steps

    def one_by_one(p):
        y = x
        for name, layer in net.parts():
            y = layer(p.get(name, {}), y)
        return (y**2).sum()

    (a, da), (b, db) = (value_and_grad(f)(params) for f in (one_by_one, lambda p: (net(p, x) ** 2).sum()))
    np.testing.assert_allclose(a, b, rtol=1e-12)
    for u, v in zip(trees.leaves(da), trees.leaves(db), strict=True):
        np.testing.assert_allclose(u, v, rtol=1e-9, atol=1e-9)


def test_a_pool_that_does_not_fit_its_convolution_is_named():
    net = L.Sequential([L.Conv2D(3, 3), R, L.MaxPooling2D(5)])
    params = {"conv2d": {"kernel": np.zeros((3, 3, 1, 3)), "bias": np.zeros(3)}}
    with pytest.raises(ValueError, match="max_pooling2d: a 5x5 window does not fit a 4x4 input"):
        net(params, np.zeros((1, 6, 6, 1)))


def test_the_error_of_the_design():
    net = L.Sequential([L.Conv2D(4, 3, padding="same"), *[L.MaxPooling2D(2)] * 4])
    with pytest.raises(ValueError) as caught:
        net.output_shape((8, 8, 1))
    assert str(caught.value) == (
        "max_pooling2d_3: a 2x2 window does not fit a 1x1 input: floor((1 - 2) / 2) + 1 = 0 rows. The input shrank "
        "8 -> 4 -> 2 -> 1 through max_pooling2d .. max_pooling2d_2. "
        'Use padding="same", a smaller pool_size, or drop this layer.'
    )


GOOD = L.Sequential([L.Conv2D(2, 3), L.ReLU(), L.Flatten(), L.Dense(3)])
WRONG = [
    (lambda: L.Conv2D(0, 3), ValueError, ["Conv2D", "filters=0"]),
    (lambda: L.Conv2D(4, 3.0), TypeError, ["Conv2D", "kernel_size=3.0"]),
    (lambda: L.Conv2D(4, (3, 3, 3)), ValueError, ["kernel_size=(3, 3, 3)", "pair"]),
    (lambda: L.Conv2D(4, 3, strides=0), ValueError, ["strides=0"]),
    (lambda: L.Conv2D(4, 3, padding="SAME"), ValueError, ["'SAME'", "'same'"]),
    (lambda: L.Conv2D(4, 3, padding=-1), ValueError, ["padding=-1"]),
    (lambda: L.Conv2D(4, 3, groups=3), ValueError, ["filters=4", "groups=3"]),
    (lambda: L.Conv2D(4, True), TypeError, ["kernel_size=True"]),
    (lambda: L.MaxPooling2D(0), ValueError, ["MaxPooling2D", "pool_size=0"]),
    (lambda: L.MaxPooling2D(2, ties="last"), ValueError, ["ties='last'", "'first'"]),
    (lambda: L.LpPooling2D(2, p=0.5), ValueError, ["p=0.5"]),
    (lambda: L.Padding2D(1, mode="mirror"), ValueError, ["mode='mirror'", "reflect"]),
    (lambda: L.Dense(2.5), TypeError, ["Dense", "units=2.5"]),
    (lambda: L.Dropout(1.0), ValueError, ["rate=1.0"]),
    (lambda: L.BatchNormalization(0), ValueError, ["epsilon=0"]),
    (lambda: L.Sequential([L.ReLU]), TypeError, ["Sequential", "parentheses"]),
    (lambda: L.Sequential([]), TypeError, ["Sequential", "at least one"]),
    (lambda: L.Concat(L.ReLU()), TypeError, ["Concat", "list of layers"]),
    (lambda: GOOD.output_shape((2, 2, 1)), ValueError, ["conv2d", "3x3 window", "2x2 input"]),
    (lambda: GOOD({}, np.ones((1, 5, 5, 1))), ValueError, ["conv2d", "init"]),
    (
        lambda: GOOD(GOOD.init(np.random.default_rng(0), (6, 6, 1)), np.ones((1, 5, 5, 1))),
        ValueError,
        ["dense", "(32, 3)", "18"],
    ),
    (
        lambda: GOOD(GOOD.init(np.random.default_rng(0), (5, 5, 2)), np.ones((1, 5, 5, 1))),
        ValueError,
        ["conv2d", "channels"],
    ),
    (
        lambda: GOOD(GOOD.init(np.random.default_rng(0), (5, 5, 1)), np.ones((5, 5, 1))),
        ValueError,
        ["conv2d", "x[None]"],
    ),
    (
        lambda: GOOD(GOOD.init(np.random.default_rng(0), (5, 5, 1)), np.ones((1, 5, 5, 1), int)),
        TypeError,
        ["int64", "astype"],
    ),
    (lambda: L.Dense(3).output_shape((4, 4, 2)), ValueError, ["(4, 4, 2)", "Flatten"]),
    (lambda: L.Residual(L.Conv2D(4, 3)).output_shape((5, 5, 4)), ValueError, ["(3, 3, 4)", "(5, 5, 4)", "same"]),
    (
        lambda: L.Concat([L.ReLU(), L.MaxPooling2D()]).output_shape((4, 4, 1)),
        ValueError,
        ["(1, 4, 4, 1)", "(1, 2, 2, 1)"],
    ),
    (lambda: L.Classifier(GOOD, L.MaxPooling2D()).output_shape((5, 5, 1)), ValueError, ["head", "4 axes (N, H, W, C)"]),
    (
        lambda: L.Classifier(L.Sequential([GOOD]), L.ReLU()).output_shape((2, 2, 1)),
        ValueError,
        ["trunk/sequential/conv2d"],
    ),
    (lambda: L.check_params(GOOD, {"conv2d": {}}, (5, 5, 1)), ValueError, ["params", "dense"]),
    (lambda: L.check_params(GOOD, [], (5, 5, 1)), TypeError, ["params", "list"]),
    (
        lambda: L.check_params(GOOD, GOOD.init(np.random.default_rng(0), (6, 6, 1)), (5, 5, 1)),
        ValueError,
        ["params/dense/kernel", "(32, 3)", "(18, 3)"],
    ),
    (lambda: minicnn.models.make_head("maximum"), ValueError, ["'maximum'", "max"]),
    (lambda: minicnn.models.small_cnn(filters=(8,)), ValueError, ["1 filters", "3 strides"]),
]


@pytest.mark.parametrize(("call", "kind", "words"), WRONG, ids=range(len(WRONG)))
def test_wrong_calls_say_what_would_fit(call, kind, words):
    with pytest.raises(kind) as caught:
        call()
    assert all(says(str(caught.value), word) for word in words), str(caught.value)


def test_replace_changes_one_thing():
    assert replace(L.Conv2D(4, 3), strides=2) == L.Conv2D(4, 3, strides=2)
    assert ops.conv2d.__name__ == "conv2d"


def test_images_with_channels_first_are_told_so_although_the_pooling_would_not_fit_either():
    net = layers.Sequential(
        [layers.Conv2D(4, 3, padding="same"), layers.ReLU(), layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(10)]
    )
    params = net.init(np.random.default_rng(0), (8, 8, 1))
    with pytest.raises(
        ValueError,
        match=r"^conv2d: kernel must fit the 8 channels of the input \(2, 1, 8, 8\).* x.transpose\(0, 2, 3, 1\)",
    ):
        net(params, np.zeros((2, 1, 8, 8)))


def test_a_net_says_what_it_takes_for_images_and_for_randomness():
    net = layers.Sequential([layers.Flatten(), layers.Dense(10)])
    with pytest.raises(
        TypeError,
        match=r"Sequential.init: rng must be a numpy.random.Generator, got an int. Use np.random.default_rng\(7\)",
    ):
        net.init(7, (2, 2, 1))
    with pytest.raises(TypeError, match=r"x must be a float32 or float64 array or a Tensor, got a list"):
        net(net.init(np.random.default_rng(0), (2, 2, 1)), [[[[1.0], [2.0]], [[3.0], [4.0]]]])


NESTED = L.Sequential([
    L.Conv2D(4, 3, padding="same"), L.ReLU(), L.MaxPooling2D(2),
    L.Residual(L.Sequential([L.Conv2D(4, 3, padding="same"), L.MaxPooling2D(2, strides=1)])), L.Flatten(), L.Dense(2),
])  # fmt: skip


def test_shapes_are_checked_before_anything_is_computed(monkeypatch):
    """A layer far behind the first one does not fit: no kernel runs, and the error is that of the shapes alone."""
    monkeypatch.setattr("minicnn.kernels.implementation", types.SimpleNamespace)
    params = {"conv2d": L.Conv2D(4, 3).init(np.random.default_rng(0), (8, 8, 1))}
    params["residual"] = {"body": {"conv2d": L.Conv2D(4, 3).init(np.random.default_rng(0), (4, 4, 4))}}
    with pytest.raises(ValueError) as by_shapes:
        NESTED.output_shape((8, 8, 1))
    with pytest.raises(ValueError) as called:
        NESTED(params, np.ones((2, 8, 8, 1), np.float32))
    assert str(called.value) == str(by_shapes.value)
    assert str(called.value).startswith(
        "residual: body and shortcut must give the same shape, got (3, 3, 4) and (4, 4, 4)"
    )


def counted_net():
    """A net, and the list of the shapes that its first layer is asked about."""
    asked = []

    class Counted(L.ReLU):
        def output_shape(self, shape):
            asked.append(shape)
            return shape

    return L.Sequential([Counted(), L.Flatten(), L.Dense(2)]), asked


def test_an_input_shape_that_fits_is_checked_once():
    net, asked = counted_net()
    params = net.init(np.random.default_rng(0), (3, 3, 1))
    for n in (1, 5, 2):
        net(params, np.ones((n, 3, 3, 1)))
    before = len(asked)
    net(params, np.ones((4, 3, 3, 1)))
    assert len(asked) == before
    with pytest.raises(ValueError, match=r"dense: .*\(9, 2\).*16"):
        net(params, np.ones((4, 4, 4, 1)))
    with pytest.raises(ValueError, match="dense: params must contain 'bias'"):
        net({"dense": {}}, np.ones((4, 3, 3, 1)))


def test_predictions_and_evaluations_ask_the_layers_of_a_net_once():
    net, asked = counted_net()
    params, x = net.init(np.random.default_rng(0), (3, 3, 1)), np.ones((4, 3, 3, 1))
    minicnn.train.predict(net, params, x)
    before = len(asked)
    for _ in range(3):
        minicnn.train.predict(net, params, x)
        minicnn.train.evaluate(net, params, minicnn.data.Split(x, np.zeros(4, int)))
    assert len(asked) == before
    net.children((3, 3, 1)).clear()  # the list is the caller's own
    assert [name for name, _, _ in net.children((3, 3, 1))] == ["counted", "flatten", "dense"]
    unfit = L.Sequential([L.Conv2D(2, 5), L.Flatten()])
    for _ in range(2):  # what does not fit is refused each time
        with pytest.raises(ValueError, match="conv2d: a 5x5 window does not fit a 3x3 input"):
            unfit.children((3, 3, 1))


def test_nets_are_pickled_with_what_they_remember():
    params, x = make(NESTED.layers[0], (8, 8, 1))
    net = L.Sequential(NESTED.layers[:3])
    y = net({"conv2d": params}, x)
    again = pickle.loads(pickle.dumps(net))  # noqa: S301 - processes of a study send nets this way
    assert again == net
    np.testing.assert_array_equal(again({"conv2d": params}, x), y)


def test_a_head_is_added_by_one_line(monkeypatch):
    minicnn.models.make_head("flatten")
    monkeypatch.setitem(minicnn.models.HEAD_MAKERS, "tall", lambda k: [L.MaxPooling2D((2, 1)), L.Flatten(), L.Dense(k)])
    assert minicnn.models.small_cnn("tall", classes=3).output_shape((8, 8, 1)) == (3,)
    with pytest.raises(ValueError, match="Did you mean 'tall'"):
        minicnn.models.make_head("tal")
    assert list(minicnn.models.HEADS) == [name for name in minicnn.models.HEAD_MAKERS if name != "tall"]


def test_a_layer_that_does_not_know_its_output_shape_can_be_called():
    class Negated(L.Layer):
        def __call__(self, params, x, rng=None):
            return -x

    net = L.Sequential([L.ReLU(), Negated(), L.Flatten()])
    np.testing.assert_array_equal(net({}, np.ones((2, 2, 2, 1))), -np.ones((2, 4)))
    with pytest.raises(TypeError, match="Negated: output_shape must be defined by the layer"):
        net.init(np.random.default_rng(0), (2, 2, 1))


@pytest.mark.parametrize("n", [0, 3])
def test_axes_without_elements_and_batches_without_images(n):
    net = L.Sequential([L.ReLU(), L.Conv2D(2, 3), L.ReLU(), L.MaxPooling2D(2)])
    params = net.init(np.random.default_rng(0), (8, 8, 1))
    assert net(params, np.ones((n, 8, 8, 1))).shape == (n, 3, 3, 2)
    with pytest.raises(ValueError, match=r"conv2d: the input must have .* got \(\d, 0, 8, 1\) with no rows"):
        net(params, np.ones((n, 0, 8, 1)))
