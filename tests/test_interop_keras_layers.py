"""Layers of Keras one by one: what has a counterpart predicts what Keras predicts, the others are refused by name."""

import os

import numpy as np
import pytest
from test_interop_keras import keras_file

from minicnn import layers
from minicnn.files import FileFormatError
from minicnn.interop import from_keras
from minicnn.layers import Conv2D, Dense, Flatten, Residual, Sequential

IMAGE = (6, 5, 2)
X = np.random.default_rng(0).uniform(-1, 1, size=(3, *IMAGE)).astype(np.float32)


@pytest.fixture(scope="module")
def keras():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", os.environ.get("KERAS_BACKEND", "torch"))
        yield pytest.importorskip("keras", reason="the extra peers is not installed")


def separable(k, **how):
    return k.SeparableConv2D(3, (3, 2), depth_multiplier=2, **how)


TWO = [Conv2D(4, (3, 2), groups=2, use_bias=False), Conv2D(3, 1)]
LIKE_KERAS = {
    "separable": (lambda k: [separable(k)], TWO),
    "separable without a bias, activated": (
        lambda k: [separable(k, use_bias=False, activation="tanh", padding="same", dilation_rate=2)],
        [
            Conv2D(4, (3, 2), groups=2, use_bias=False, padding="same", dilation_rate=2),
            Conv2D(3, 1, use_bias=False),
            layers.Tanh(),
        ],
    ),
    "separable among others": (
        lambda k: [k.Conv2D(2, 1), separable(k, strides=2), k.Conv2D(2, 1), k.Flatten(), k.Dense(2)],
        [Conv2D(2, 1), Conv2D(4, (3, 2), strides=2, groups=2, use_bias=False), Conv2D(3, 1), Conv2D(2, 1), Flatten(),
         Dense(2)],
    ),
    "reshape": (lambda k: [k.Conv2D(2, 3), k.Reshape((-1,)), k.Dense(2)], [Conv2D(2, 3), Flatten(), Dense(2)]),
    "only in training": (
        lambda k: [
            k.GaussianNoise(0.5), k.Identity(), k.Conv2D(2, 3), k.SpatialDropout2D(0.5), k.AlphaDropout(0.5),
            k.GaussianDropout(0.5), k.ActivityRegularization(0.1), k.Dropout(0.5), k.ReLU(),
        ],
        [Conv2D(2, 3), layers.Dropout(0.5), layers.ReLU()],
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # Keras and PyTorch warn of their own code
@pytest.mark.parametrize("name", LIKE_KERAS)
def test_layers_predict_what_keras_predicts(name, keras, tmp_path):
    make, expected = LIKE_KERAS[name]
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input(IMAGE), *make(keras.layers)])
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    theirs = model.predict(X, verbose=0)
    for ending in (".keras", ".h5", ".weights.h5"):
        (model.save_weights if ending == ".weights.h5" else model.save)(tmp_path / f"net{ending}")
        given = (Sequential(expected), IMAGE) if ending == ".weights.h5" else ()
        net, params, _ = from_keras(tmp_path / f"net{ending}", *given)
        assert net == Sequential(expected)
        np.testing.assert_allclose(net(params, X), theirs, rtol=0, atol=1e-6 * max(1, np.abs(theirs).max()))


@pytest.mark.filterwarnings("ignore")
def test_separable_convolutions_in_branches(keras, tmp_path):
    k = keras.layers
    image = keras.Input(IMAGE)
    maps = k.Conv2D(3, 1)(image)
    one = k.SeparableConv2D(3, 3, padding="same")(maps)
    model = keras.Model(image, k.Add()([k.GaussianNoise(0.5)(maps), k.SeparableConv2D(3, 3, padding="same")(one)]))
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    model.save(tmp_path / "net.keras")
    net, params, _ = from_keras(tmp_path / "net.keras")
    two = [Conv2D(3, 3, padding="same", groups=3, use_bias=False), Conv2D(3, 1)]
    assert net == Sequential([Conv2D(3, 1), Residual(Sequential([*two, *two]))])
    np.testing.assert_allclose(net(params, X), theirs := model.predict(X, verbose=0), atol=1e-6 * np.abs(theirs).max())


def model_of(kind, **config):
    first = {"class_name": "InputLayer", "config": {"name": "i", "batch_shape": [None, *IMAGE]}}
    made = {"class_name": kind, "config": {"name": "it", **config}}
    return {"class_name": "Sequential", "config": {"name": "m", "layers": [first, made]}}


HERE = "build a net without it here"
REFUSED = {
    "Conv1D": HERE, "Conv2DTranspose": HERE, "Conv3D": HERE, "Embedding": HERE, "GRU": HERE, "GroupNormalization": HERE,
    "Lambda": "Code from a file is not run", "LayerNormalization": HERE, "LSTM": HERE, "Masking": HERE,
    "MultiHeadAttention": HERE, "Normalization": "Scale the images before the net", "PReLU": HERE, "Permute": HERE,
    "Rescaling": "Scale the images before the net", "Resizing": "Resize the images before", "TFSMLayer": HERE,
    "TorchModuleWrapper": HERE, "UnitNormalization": HERE, "UpSampling2D": HERE,
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_other_layers_are_refused_by_name_with_a_remedy(kind, tmp_path):
    (tmp_path / "net.keras").write_bytes(keras_file(model_of(kind)))
    with pytest.raises(FileFormatError, match=rf"the layer 'it' .* got {kind}\. .*{REFUSED[kind]}") as caught:
        from_keras(tmp_path / "net.keras")
    assert caught.value.path == str(tmp_path / "net.keras")


@pytest.mark.parametrize("kind", ["Average", "Maximum", "Multiply", "Subtract"])
def test_other_joins_are_refused_by_name(kind, tmp_path):
    model = model_of("ReLU")
    for layer, before in zip(model["config"]["layers"], ([], ["i"]), strict=True):
        layer["inbound_nodes"] = [[[name, 0, 0, {}] for name in before]] if before else []
    join = {"class_name": kind, "config": {"name": "j"}, "inbound_nodes": [[["i", 0, 0, {}], ["it", 0, 0, {}]]]}
    model["config"]["layers"].append(join)
    model["class_name"] = "Functional"
    model["config"] |= {"input_layers": [["i", 0, 0]], "output_layers": [["j", 0, 0]]}
    (tmp_path / "net.keras").write_bytes(keras_file(model))
    with pytest.raises(FileFormatError, match=rf"'j' must be Add or Concatenate of branches, got {kind}"):
        from_keras(tmp_path / "net.keras")


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        ("Reshape", {"target_shape": [10, 6]}, r"target_shape of a Reshape must be flat, got \[10, 6\]"),
        ("Activation", {"activation": "silu"}, "an activation must be one of elu, gelu, .* got 'silu'"),
        ("ReLU", {"max_value": 6.0}, "a ReLU must have neither max_value nor threshold"),
        ("Softmax", {"axis": 1}, "axis of a Softmax must be the last one, got 1"),
        ("BatchNormalization", {"axis": 1}, "axis of a BatchNormalization must be that of the channels, got 1"),
        ("Flatten", {"data_format": "channels_first"}, "data_format='channels_last', got channels_first"),
    ],
)
def test_arguments_without_a_counterpart_are_refused(kind, config, message, tmp_path):
    (tmp_path / "net.keras").write_bytes(keras_file(model_of(kind, **config)))
    with pytest.raises(FileFormatError, match=message):
        from_keras(tmp_path / "net.keras")
