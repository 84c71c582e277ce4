"""Exported nets predict in onnxruntime what they predict here: all layers, all models, 794 windows."""

import contextlib
import dataclasses
import itertools

import numpy as np
import pytest
import test_layers
import test_pool_variants

from minicnn import layers, models
from minicnn.layers import Concat, Conv2D, Dense, Flatten, Residual, Sequential

onnx = pytest.importorskip("onnx", reason="the extra interop is not installed")
runtime = pytest.importorskip("onnxruntime", reason="the extra peers is not installed")

from minicnn.interop import to_onnx
from minicnn.interop.onnx_layers import RULES
from minicnn.interop.walk import CONTAINERS

IMAGE = (7, 6, 3)


def answers(net, shape, folder, params=None, x=None):
    """Return what onnxruntime and minicnn predict for three images."""
    rng = np.random.default_rng(1)
    params = net.init(rng, shape) if params is None else params
    x = rng.normal(size=(3, *shape)).astype(np.float32) if x is None else x
    session = runtime.InferenceSession(
        to_onnx(net, params, shape, folder / "net.onnx"), providers=["CPUExecutionProvider"]
    )
    (theirs,) = session.run(["output"], {"image": x})
    assert theirs.dtype == np.float32
    return theirs, net(params, x)


def distinct(tree, rng):
    """Return parameters of which no two are equal, as after training."""
    if isinstance(tree, dict):
        return {name: distinct(below, rng) for name, below in tree.items()}
    return rng.uniform(0.5, 1.5, tree).astype(np.float32)


LAYERS = [
    layers.AdaptiveAveragePooling2D(3),
    layers.AdaptiveAveragePooling2D((7, 3)),
    layers.AdaptiveMaxPooling2D((3, 4)),
    layers.AdaptiveMaxPooling2D((1, 2)),
    layers.AveragePooling2D(2),
    layers.BatchNormalization(),
    layers.BatchNormalization(epsilon=0.5),
    layers.BlurPooling2D(),
    *(layers.BlurPooling2D((4, 2), strides=1, mode=mode) for mode in ("constant", "reflect", "edge", "wrap")),
    *(Conv2D(6, 3, padding=((2, 0), (1, 1)), padding_mode=m) for m in ("constant", "reflect", "edge", "wrap")),
    Conv2D(6, 2, groups=3, use_bias=False),
    layers.Cropping2D(((1, 2), (0, 1))),
    layers.Dropout(0.5),
    layers.ELU(alpha=0.7),
    Flatten(),
    layers.GELU(),
    layers.GELU(approximate=True),
    layers.GeMPooling2D(2),
    layers.GlobalAveragePooling2D(),
    layers.GlobalAveragePooling2D(keepdims=True),
    layers.GlobalGeMPooling2D(),
    layers.GlobalGeMPooling2D(keepdims=True),
    layers.GlobalLogMeanExpPooling2D(r=5.0),
    layers.GlobalLpPooling2D(p=2.5),
    layers.GlobalMaxPooling2D(),
    layers.GlobalMaxPooling2D(keepdims=True),
    layers.GlobalSoftPooling2D(),
    layers.LeakyReLU(0.2),
    *(layers.LogMeanExpPooling2D(2, r=r) for r in (1e-9, 0.01, 1.0, 1e4)),
    layers.LpPooling2D(2, p=1.0),
    layers.MaxAveragePooling2D(2),
    layers.MaxPooling2D(2),
    *(layers.Padding2D(((1, 2), (0, 3)), mode=mode) for mode in ("constant", "reflect", "edge", "wrap")),
    layers.ReLU(),
    layers.Sigmoid(),
    layers.SoftPooling2D(2),
    layers.Softmax(),
    layers.Softplus(),
    layers.StochasticPooling2D(2),
    layers.Tanh(),
    layers.ZeroPadding2D(2),
    Concat([Conv2D(2, 1), layers.ReLU(), Conv2D(1, 1)]),
    Concat([layers.GlobalMaxPooling2D(), layers.GlobalMaxPooling2D()]),
    Residual(Conv2D(3, 3, padding="same")),
    Residual(Conv2D(4, 3, strides=2, padding="same"), Conv2D(4, 1, strides=2)),
    Residual(layers.Dropout(0.5)),
]


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_layers_predict_the_same(layer, tmp_path):
    params = distinct(layer.param_shapes(IMAGE), np.random.default_rng(0))
    np.testing.assert_allclose(*answers(layer, IMAGE, tmp_path, params), rtol=1e-4, atol=2e-6)


def fitting(layers_, shape):
    found = []
    for layer in layers_:
        with contextlib.suppress(ValueError):
            layer.output_shape(shape)
            found.append(layer)
    return found


@pytest.mark.parametrize("layer", fitting([Dense(4), Dense(4, use_bias=False), *LAYERS], (5,)), ids=repr)
def test_layers_of_features_predict_the_same(layer, tmp_path):
    params = distinct(layer.param_shapes((5,)), np.random.default_rng(0))
    np.testing.assert_allclose(*answers(layer, (5,), tmp_path, params), rtol=1e-4, atol=2e-6)


def test_every_rule_has_a_case():
    cases = {type(layer) for layer in LAYERS} | {Dense} | set(map(type, WINDOWED))
    assert cases - set(CONTAINERS) == set(RULES)


def without_rule():
    """Return what the tables of layers have and the rules do not, with input shapes: a rule is not required."""
    rows = [row[:2] for row in test_layers.TABLE] + [
        (row[0], test_pool_variants.SHAPE) for row in test_pool_variants.TABLE
    ]
    return [(layer, shape) for layer, shape in rows if type(layer) not in {*RULES, *CONTAINERS}]


@pytest.mark.parametrize("removed", [None, layers.ReLU, layers.GeMPooling2D])
def test_a_layer_without_a_rule_is_refused_by_its_name_and_place(removed, tmp_path, monkeypatch):
    if removed:
        monkeypatch.delitem(RULES, removed)
    assert not removed or removed in {type(layer) for layer, _ in without_rule()}
    for layer, shape in without_rule():
        net = Sequential([layer])
        name = type(layer).__name__
        with pytest.raises(TypeError, match=rf"^to_onnx: net/\w+ must be a layer with a rule, got {name}\."):
            to_onnx(net, net.init(np.random.default_rng(0), shape), shape, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


MODELS = {
    **{f"small_cnn {head}": (models.small_cnn(head, batch_norm=True), (9, 8, 2)) for head in models.HEADS},
    "lenet5": (models.lenet5(), (28, 28, 1)),
    "keras_mnist": (models.keras_mnist(), (28, 28, 1)),
    "mlp": (models.mlp(), (8, 8, 1)),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_predict_the_same(name, tmp_path):
    np.testing.assert_allclose(*answers(*MODELS[name], tmp_path), rtol=1e-4, atol=1e-5)


# Windows. Many poolings, each flattened, side by side in one net: one file and one session for all of them.

WINDOWED = [
    layers.MaxPooling2D(),
    layers.AveragePooling2D(),
    layers.AveragePooling2D(count_include_pad=True),
    layers.LpPooling2D(p=3.0),
    layers.GeMPooling2D(),
    layers.SoftPooling2D(),
    layers.LogMeanExpPooling2D(r=2.0),
    layers.MaxAveragePooling2D(),
    layers.StochasticPooling2D(),
]
SETTINGS = [
    {"pool_size": size, "strides": strides, "padding": padding, "dilation_rate": dilation, "ceil_mode": ceil}
    for size, strides, padding, dilation, ceil in itertools.product(
        (2, (3, 2), 4), (None, 1, (2, 3)), ("valid", "same", 1, ((0, 1), (1, 0))), (1, (2, 3)), (False, True)
    )
]


def windowed(layer):
    if isinstance(layer, Conv2D):
        made = [Conv2D(2, s["pool_size"], **{n: s[n] for n in ("padding", "dilation_rate")}, strides=s["strides"] or 2)
                for s in SETTINGS if not s["ceil_mode"]]  # fmt: skip
    else:
        # those that gather their windows share the code for it: a third of the settings for each
        step = 1 if isinstance(layer, layers.MaxPooling2D | layers.AveragePooling2D | layers.MaxAveragePooling2D) else 3
        made = [dataclasses.replace(layer, **setting) for setting in SETTINGS[::step]]
    return fitting(made, IMAGE)


@pytest.mark.parametrize("layer", [Conv2D(2, 1), *WINDOWED], ids=repr)
def test_windows_predict_the_same(layer, tmp_path):
    made = windowed(layer)
    net = Concat([Sequential([one, Flatten()]) for one in made])
    theirs, ours = answers(net, IMAGE, tmp_path)
    ends = np.cumsum([np.prod(one.output_shape(IMAGE)) for one in made])[:-1]
    rtol = 1e-4 if isinstance(layer, Conv2D) else 1e-6
    for one, a, b in zip(made, np.split(theirs, ends, axis=1), np.split(ours, ends, axis=1), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6, err_msg=repr(one))


def test_the_windows_are_at_least_700():
    assert sum(len(windowed(layer)) for layer in [Conv2D(2, 1), *WINDOWED]) >= 700


SPREAD = {"pool_size": 2, "strides": 1, "padding": 5, "dilation_rate": 6}


@pytest.mark.parametrize("layer", WINDOWED, ids=repr)
def test_windows_that_read_padding_only(layer, tmp_path):
    one = dataclasses.replace(layer, **SPREAD)
    assert 0 in one.windows((3, 3, 1)).rows.real_elements(include_pad=False)
    np.testing.assert_allclose(*answers(one, (3, 3, 1), tmp_path), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("size", [1e-30, 1e30])
@pytest.mark.parametrize("layer", WINDOWED[3:], ids=repr)
def test_powers_neither_overflow_nor_vanish(layer, size, tmp_path):
    x = np.random.default_rng(0).uniform(1, 2, (2, *IMAGE)).astype(np.float32) * np.float32(size)
    theirs, ours = answers(layer, IMAGE, tmp_path, x=x)
    assert np.isfinite(ours).all()
    # log-mean-exp is right to an absolute 1e-6 / r, here and there relative to the largest element in the window
    atol = 1e-6 if isinstance(layer, layers.LogMeanExpPooling2D) else 0
    np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=atol)


@pytest.mark.parametrize("p", [-2.0, 1e-6, 30.0])
def test_learned_exponents_of_any_size(p, tmp_path):
    params = {"p": np.array([p], np.float32)}
    np.testing.assert_allclose(*answers(layers.GeMPooling2D(3), IMAGE, tmp_path, params), rtol=3e-6)


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
@pytest.mark.parametrize("padding", [((1, 2), (0, 3)), ((4, 0), (2, 4))])
def test_padding_of_any_batch(mode, padding, tmp_path):
    """Also of no images, which onnxruntime's own "wrap" refuses."""
    shape = (5, 5, 2)
    for images in (0, 1, 3):
        x = np.random.default_rng(0).normal(size=(images, *shape)).astype(np.float32)
        theirs, ours = answers(layers.Padding2D(padding, mode=mode), shape, tmp_path, x=x)
        assert ours.shape == theirs.shape
        assert (ours == theirs).all()


UNUSUAL = {
    "one pixel": (
        Sequential([Conv2D(3, 1), layers.MaxPooling2D(1), layers.GlobalAveragePooling2D(), Dense(2)]), (1, 1, 1)
    ),
    "strides beyond the image": (Sequential([Conv2D(3, 1, strides=9), layers.Flatten(), Dense(2)]), (4, 4, 2)),
    "pooling strides beyond the image": (layers.AveragePooling2D(2, strides=9), (4, 4, 2)),
    "the same with padding": (layers.MaxPooling2D(3, strides=9, padding="same"), (4, 4, 2)),
    "one row": (Conv2D(2, (1, 5)), (1, 9, 1)),
    "nothing but a flatten": (layers.Flatten(), (4,)),
    "branches of features": (layers.Concat([Dense(2), Dense(3)]), (5,)),
}  # fmt: skip


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_nets_of_any_batch(name, tmp_path):
    net, shape = UNUSUAL[name]
    for images in (0, 1, 3):
        x = np.random.default_rng(0).normal(size=(images, *shape)).astype(np.float32)
        theirs, ours = answers(net, shape, tmp_path, x=x)
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-6)


def test_the_file_says_what_it_holds(tmp_path):
    net = models.small_cnn("max")
    model = onnx.load(to_onnx(net, net.init(np.random.default_rng(0), (8, 8, 1)), (8, 8, 1), tmp_path / "net.onnx"))
    assert (model.ir_version, [(o.domain, o.version) for o in model.opset_import]) == (10, [("", 22)])
    assert "trunk/conv2d_1/kernel" in {i.name for i in model.graph.initializer}
    (image,), (output,) = model.graph.input, model.graph.output
    sizes = [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim]
    assert (image.name, sizes, output.name) == ("image", ["N", 8, 8, 1], "output")
    assert [n.op_type for n in model.graph.node if n.op_type != "Relu"] == [
        "Transpose", "Conv", "Conv", "Conv", "MaxPool", "Transpose", "Flatten", "Gemm", "Identity",
    ]  # fmt: skip


def test_parameters_in_double_precision_become_single(tmp_path):
    net = models.small_cnn()
    params = net.init(np.random.default_rng(0), (8, 8, 1))
    wide = {"trunk": {n: {m: a.astype(float) for m, a in p.items()} for n, p in params["trunk"].items()}}
    np.testing.assert_allclose(
        *answers(net, (8, 8, 1), tmp_path, {**wide, "head": params["head"]}), rtol=1e-4, atol=1e-5
    )


class Swish(layers.ReLU):
    """A user's layer that inherits from one with a rule."""

    def __call__(self, params, x, rng=None):
        return x


WRONG = {
    "a user's layer": (Sequential([Flatten(), Swish()]), {}, (2, 2, 1), TypeError, "net/swish must be .* got Swish"),
    "no parameters": (Dense(2), {}, (3,), ValueError, "params must contain"),
    "no net": ([Dense(2)], {}, (3,), TypeError, "net must be a layer"),
    "other axes": (layers.ReLU(), {}, (3, 2), ValueError, r"input_shape must be \(H, W, C\) or"),
    "GeM of 0": (layers.GlobalGeMPooling2D(), {"p": np.zeros(1, np.float32)}, IMAGE, ValueError, "other than 0"),
}


@pytest.mark.parametrize("name", WRONG)
def test_refusals_say_what_and_write_nothing(name, tmp_path):
    net, params, shape, kind, message = WRONG[name]
    with pytest.raises(kind, match=message):
        to_onnx(net, params, shape, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())
