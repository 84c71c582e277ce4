"""Files that Keras wrote are read without Keras and predict the same, Keras opens ours, hostile ones are named."""

import io
import json
import os
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest

from minicnn import layers, models
from minicnn.files import FileFormatError
from minicnn.interop import from_keras, to_keras
from minicnn.layers import Concat, Conv2D, Dense, Flatten, Residual, Sequential
from minicnn.trees import items

h5py = pytest.importorskip("h5py", reason="the extra interop is not installed")

IMAGE = (6, 6, 2)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Return a folder with what data/make_keras.py made by Keras 3.15, and the predictions."""
    folder = tmp_path_factory.mktemp("keras")
    with zipfile.ZipFile(Path(__file__).parent / "data/keras.zip") as archive:
        archive.extractall(folder)
    return folder, np.load(folder / "predictions.npz")


CHAIN = Sequential([
    Conv2D(3, 3, padding="same"), layers.ReLU(), layers.BatchNormalization(epsilon=0.01), layers.MaxPooling2D(),
    Conv2D(4, 2, use_bias=False), layers.LeakyReLU(0.1), Conv2D(8, 1, groups=4), layers.Dropout(0.5),
    Flatten(), Dense(3), layers.Softmax(),
])  # fmt: skip
NESTED = Sequential([
    Conv2D(2, 3), layers.BatchNormalization(), Conv2D(2, 1), layers.GELU(), layers.GlobalAveragePooling2D(),
])  # fmt: skip
FUNCTIONAL = Sequential([Conv2D(3, 3), layers.ReLU(), layers.GlobalMaxPooling2D(), Dense(2)])
BRANCHED = Sequential([Residual(Conv2D(2, 3, padding="same")), Flatten(), Dense(2)])
NETS = {"chain": CHAIN, "nested": NESTED, "functional": FUNCTIONAL, "branched": BRANCHED}


def assert_predicts(net, params, stored, name):
    _, arrays = stored
    layers.check_params(net, params, IMAGE)
    np.testing.assert_allclose(net(params, arrays["images"]), arrays[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.parametrize("name", NETS)
def test_a_whole_model_predicts_the_same(name, ending, stored):
    net, params, shape = from_keras(stored[0] / (name + ending))
    assert (net, shape) == (NETS[name], IMAGE)
    assert_predicts(net, params, stored, name)


CASES = [(name, ending) for name in NETS for ending in (".keras", ".h5", ".weights.h5")]
UNKNOWN = {("chain", ".weights.h5"): "lacks gamma or beta", ("nested", ".weights.h5"): "models inside the model"}


@pytest.mark.parametrize(("name", "ending"), [case for case in CASES if case not in UNKNOWN])
def test_weights_for_a_given_net_predict_the_same(name, ending, stored):
    net, params, _ = from_keras(stored[0] / (name + ending), NETS[name], IMAGE)
    assert_predicts(net, params, stored, name)


@pytest.mark.parametrize(("name", "ending"), UNKNOWN)
def test_what_a_file_of_weights_does_not_tell_is_refused(name, ending, stored):
    with pytest.raises(FileFormatError, match=UNKNOWN[name, ending]):
        from_keras(stored[0] / (name + ending), NETS[name], IMAGE)


def test_a_container_of_ours_may_hold_the_net(stored):
    net = layers.Classifier(Sequential(FUNCTIONAL.layers[:2]), Sequential(FUNCTIONAL.layers[2:]))
    net, params, _ = from_keras(stored[0] / "functional.keras", net)
    assert [n for n, _ in items(params)][::2] == ["trunk/conv2d/kernel", "head/dense/kernel"]
    assert_predicts(net, params, stored, "functional")


@pytest.mark.parametrize(
    ("name", "net", "shape", "message"),
    [
        ("chain.weights.h5", None, IMAGE, "weights without a net, give the net"),
        ("functional.weights.h5", FUNCTIONAL, None, "give it as input_shape"),
        (
            "functional.keras",
            Sequential([Conv2D(3, 3), layers.BatchNormalization()]),
            IMAGE,
            "no weights for batch_norm",
        ),
        ("chain.keras", FUNCTIONAL, IMAGE, "must have"),
        ("functional.keras", Sequential([Conv2D(3, 3)]), IMAGE, "has weights for .*, for which the net has no layers"),
        ("functional.keras", Sequential([Conv2D(3, 3, use_bias=False)]), IMAGE, "they differ in .'bias'"),
        ("functional.keras", Dense(3), (72,), "must have shape"),
    ],
)
def test_what_does_not_fit_is_said(name, net, shape, message, stored):
    with pytest.raises(FileFormatError, match=message):
        from_keras(stored[0] / name, net, shape)


def graph(*layers, output):
    """Return a functional model of ReLUs, Adds and Concatenates, given as (name, inputs)."""
    made = [{"class_name": "InputLayer", "config": {"name": "i", "batch_shape": [None, 4]}, "inbound_nodes": []}]
    for name, inputs in layers:
        kind = {"a": "Add", "c": "Concatenate"}.get(name[0], "ReLU")
        calls = [[[source, 0, 0, {}] for source in inputs]]
        made.append({"class_name": kind, "config": {"name": name, "axis": -1}, "inbound_nodes": calls})
    config = {"name": "m", "layers": made, "input_layers": [["i", 0, 0]], "output_layers": [[output, 0, 0]]}
    return {"class_name": "Functional", "config": config}


RELU = layers.ReLU()
GRAPHS = {
    "both": (graph(("r", "i"), ("s", "i"), ("a", "rs"), output="a"), Residual(RELU, RELU)),
    "around": (graph(("r", "i"), ("s", "r"), ("a", "is"), output="a"), Residual(Sequential([RELU, RELU]))),
    "twice": (graph(("a", "ii"), output="a"), Residual(layers.Dropout(0.0))),
    "passed on": (graph(("r", "i"), ("c", "ir"), output="c"), Concat([layers.Dropout(0.0), RELU])),
    "inner": (
        graph(("r", "i"), ("a", "ir"), ("s", "a"), ("t", "i"), ("c", "st"), output="c"),
        Concat([Sequential([Residual(RELU), RELU]), RELU]),
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_functional_models_become_residuals_and_concats(name, tmp_path):
    config, expected = GRAPHS[name]
    (tmp_path / "net.keras").write_bytes(keras_file(config))
    assert from_keras(tmp_path / "net.keras").net == Sequential([expected])


@pytest.mark.parametrize(
    "config",
    [
        graph(("r", "i"), ("s", "r"), ("t", "r"), ("a", "st"), ("b", "s"), ("ab", "ab"), output="ab"),
        graph(("r", "i"), ("a", "iri"), output="a"),
        graph(("r", "ii"), output="r"),
        graph(("a", "ia"), output="a"),
        graph(("r", "i"), output="x"),
        graph(("r", "x"), output="r"),
        graph(("r", "i"), ("s", ""), ("a", "rs"), output="a"),
    ],
)
def test_other_graphs_are_refused(config, tmp_path):
    (tmp_path / "net.keras").write_bytes(keras_file(config))
    with pytest.raises(FileFormatError):
        from_keras(tmp_path / "net.keras")


AMBIGUOUS = Concat([Conv2D(2, 1), Sequential([Conv2D(2, 1), layers.ReLU()])])


def test_branches_of_equal_shapes_need_names(tmp_path):
    """Keras lists the deeper branch first: by their order the weights would be exchanged."""
    path, one = tmp_path / "net.h5", np.ones((1, 1, 2, 2), "f4")
    with h5py.File(path, "w") as file:
        for i, name in enumerate(["second", "first"]):
            file[f"{name}/kernel"], file[f"{name}/bias"] = one * i, np.ones(2, "f4") * i
            file[name].attrs["weight_names"] = ["kernel", "bias"]
        file.attrs["layer_names"] = ["second", "first"]
    with pytest.raises(FileFormatError, match=r"'conv2d' must be one layer .* got .'second', 'first'.\. Give names="):
        from_keras(path, AMBIGUOUS, IMAGE)
    params = from_keras(path, AMBIGUOUS, IMAGE, names={"conv2d": "first", "sequential/conv2d": "second"}).params
    assert (params["conv2d"]["bias"][0], params["sequential"]["conv2d"]["bias"][0]) == (1, 0)
    with pytest.raises(FileFormatError, match="no weights for conv2d"):
        from_keras(path, AMBIGUOUS, IMAGE, names={"conv2d": "third", "sequential/conv2d": "second"})
    with pytest.raises(ValueError, match="from_keras: names must be a dict with a name for each of"):
        from_keras(path, AMBIGUOUS, IMAGE, names={"conv2d": "first"})


def test_a_legacy_file_in_the_form_of_keras_2(tmp_path):
    """Text as bytes, names with `:0`, `batch_input_shape`, nodes as lists, `alpha`."""
    path, rng = tmp_path / "net.h5", np.random.default_rng(0)
    kernel, bias = rng.normal(size=(3, 3, 2, 4)).astype("f4"), rng.normal(size=4).astype("f4")
    chain = [("InputLayer", "i", {"batch_input_shape": [None, *IMAGE]}, [])]
    window = {"kernel_size": [3, 3], "strides": [1, 1], "dilation_rate": [1, 1], "padding": "valid"}
    chain += [("Conv2D", "c", {"filters": 4, "use_bias": True, "activation": "tanh", **window}, [[["i", 0, 0, {}]]])]
    chain += [("LeakyReLU", "l", {"alpha": 0.5}, [[["c", 0, 0, {}]]])]
    made = [{"class_name": k, "config": {"name": n, **c}, "inbound_nodes": i} for k, n, c, i in chain]
    config = {"layers": made, "output_layers": [["l", 0, 0]]}
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Model", "config": config}).encode()
        file["model_weights/c/c/kernel:0"], file["model_weights/c/c/bias:0"] = kernel, bias
        file["model_weights"].attrs["layer_names"] = np.array([b"c"])
        file["model_weights/c"].attrs["weight_names"] = np.array([b"c/kernel:0", b"c/bias:0"])
    net, params, shape = from_keras(path)
    assert (net, shape) == (Sequential([Conv2D(4, 3), layers.Tanh(), layers.LeakyReLU(0.5)]), IMAGE)
    assert np.array_equal(params["conv2d"]["kernel"], kernel)
    assert np.array_equal(params["conv2d"]["bias"], bias)


# Out and back

WHOLE = {
    "lenet5": (models.lenet5(), (28, 28, 1)),
    "keras_mnist": (models.keras_mnist(), (28, 28, 1)),
    "mlp": (models.mlp(), (8, 8, 1)),
    "small_cnn": (models.small_cnn("global-average-conv", batch_norm=True), (9, 8, 2)),
    "small_cnn average": (models.small_cnn("average"), (9, 8, 2)),
    "concat": (models.small_cnn("global-max-average"), (9, 8, 2)),
    "branches of equal shapes": (
        Sequential([
            Concat([Conv2D(2, 1), Sequential([Conv2D(2, 1), layers.ReLU(), Conv2D(2, 2, padding=((0, 1), (0, 1)))])]),
            Residual(Sequential([Conv2D(4, 1), layers.BatchNormalization()]), Conv2D(4, 1)), Residual(Conv2D(4, 1)),
            Conv2D(4, 1), Residual(layers.Padding2D(0, mode="constant")), Flatten(), Dense(3),
        ]), (3, 4, 2),
    ),
    "no weights": (layers.GlobalAveragePooling2D(), (4, 4, 3)),
    "many layers": (
        Sequential([
            Conv2D(4, 3, padding=((2, 0), (1, 1)), strides=2), layers.GELU(),
            layers.AveragePooling2D(2, padding="same"), layers.Padding2D(1, mode="constant"),
            layers.ZeroPadding2D((0, 1)), layers.Cropping2D(((0, 1), (1, 0))), layers.Tanh(), layers.Sigmoid(),
            Conv2D(4, 2, dilation_rate=2, groups=2, padding="same"), layers.AdaptiveMaxPooling2D((2, 3)),
            layers.AdaptiveAveragePooling2D((2, 1)), layers.LeakyReLU(0.1), layers.ELU(0.5),
            layers.GlobalMaxPooling2D(keepdims=True), Flatten(), layers.BatchNormalization(0.1), layers.Dropout(0.5),
            Dense(3, use_bias=False), layers.Softplus(), layers.Softmax(),
        ]), (9, 8, 2),
    ),
}  # fmt: skip


def distinct(tree, rng, name=""):
    """Return initial kernels, and other parameters of which no two are equal, as after training."""
    if isinstance(tree, dict):
        return {name: distinct(below, rng, name) for name, below in tree.items()}
    scale = 1 if name in {"gamma", "moving_variance"} else 0.1
    return tree if name == "kernel" else (scale * rng.uniform(0.5, 1.5, tree.shape)).astype(np.float32)


def written(net, shape, path):
    rng = np.random.default_rng(0)
    params = distinct(net.init(rng, shape), rng)
    return params, to_keras(net, params, shape, path)


@pytest.mark.parametrize("name", WHOLE)
def test_a_net_goes_out_and_back(name, tmp_path):
    net, shape = WHOLE[name]
    params, path = written(net, shape, tmp_path / "net.keras")
    x = np.random.default_rng(1).uniform(size=(4, *shape)).astype(np.float32)
    back = from_keras(path)
    assert back.input_shape == shape
    np.testing.assert_allclose(back.net(back.params, x), net(params, x), rtol=0, atol=1e-6)
    same = from_keras(path, net).params
    assert [n for n, _ in items(same)] == [n for n, _ in items(params)]
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(items(same), items(params), strict=True))


@pytest.mark.filterwarnings("ignore")  # Keras and PyTorch warn of their own code
@pytest.mark.parametrize("name", WHOLE)
def test_keras_opens_the_file_and_predicts_the_same(name, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", os.environ.get("KERAS_BACKEND", "torch"))
    keras = pytest.importorskip("keras", reason="the extra peers is not installed")
    net, shape = WHOLE[name]
    params, path = written(net, shape, tmp_path / "net.keras")
    model = keras.saving.load_model(path)
    x = np.random.default_rng(1).uniform(size=(4, *shape)).astype(np.float32)
    theirs = model.predict(x, verbose=0)
    np.testing.assert_allclose(net(params, x), theirs, rtol=0, atol=1e-6 * max(1, np.abs(theirs).max()))
    model.save(tmp_path / "back.keras")
    same = from_keras(tmp_path / "back.keras", net).params
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(items(same), items(params), strict=True))


@pytest.mark.parametrize(
    ("net", "kind", "message"),
    [
        (layers.SoftPooling2D(), TypeError, "net must be a layer with a rule, got SoftPooling2D"),
        (Sequential([Concat([layers.ReLU(), layers.SoftPooling2D(1)])]), TypeError, "net/concat/soft_pooling2d must"),
        (Conv2D(2, 3, padding="same", padding_mode="wrap"), ValueError, "padding_mode='wrap'"),
        (Conv2D(2, 2, strides=2, dilation_rate=2), ValueError, "strides and dilation_rate together"),
        (layers.MaxPooling2D(2, dilation_rate=2), ValueError, "dilation_rate=2"),
        (layers.MaxPooling2D(3, padding=1), ValueError, "padding or ceil_mode"),
        (layers.AveragePooling2D(4, ceil_mode=True), ValueError, "padding or ceil_mode"),
        (layers.AveragePooling2D(4, padding="same", count_include_pad=True), ValueError, "count_include_pad"),
        (layers.GELU(approximate=True), ValueError, "approximate=True"),
        (layers.Padding2D(1), ValueError, "mode='reflect'"),
    ],
)
def test_what_keras_does_not_have_is_refused(net, kind, message, tmp_path):
    with pytest.raises(kind, match=message):
        to_keras(net, net.init(np.random.default_rng(0), IMAGE), IMAGE, tmp_path / "net.keras")
    assert not list(tmp_path.iterdir())


# Hostile files


def dense(units=3, features=4, **more):
    """Return the configuration of one dense layer, with changes."""
    config = {"name": "d", "units": units, "use_bias": False, "activation": "linear", **more.pop("config", {})}
    entry = {"module": "keras.layers", "class_name": "Dense", "config": config, "registered_name": None, **more}
    start = {"class_name": "InputLayer", "config": {"name": "i", "batch_shape": [None, features]}}
    return {"class_name": "Sequential", "config": {"layers": [start, entry]}}


def weights(fill):
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file)
    return buffer.getvalue()


def kernel(value=None, name="layers/dense/vars/0", **how):
    """Return a file of weights with one data set."""
    how = how or {"data": np.zeros((4, 3), "f4") if value is None else value}
    return weights(lambda file: file.create_dataset(name, **how))


def keras_file(config=None, content=None, compression=zipfile.ZIP_STORED, **entries):
    buffer = io.BytesIO()
    config = json.dumps(dense() if config is None else config) if not isinstance(config, str) else config
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("config.json", config)
        archive.writestr("model.weights.h5", kernel() if content is None else content)
        for name, value in entries.items():
            archive.writestr(name, value)
    return buffer.getvalue()


def link(kind):
    def fill(file):
        file.create_group("layers/dense/vars")["0"] = kind

    return weights(fill)


def external(file):
    file.create_dataset("layers/dense/vars/0", (4, 3), "f4", external=[("/etc/passwd", 0, 48)])


def virtual(file):
    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[...] = h5py.VirtualSource("/etc/passwd", "x", (4, 3))
    file.create_virtual_dataset("layers/dense/vars/0", layout)


def legacy(**attributes):
    def fill(file):
        file["model_weights/d/d/kernel"] = np.zeros((4, 3), "f4")
        found = {"model_config": json.dumps(dense()), "layer_names": ["d"], "weight_names": ["d/kernel"], **attributes}
        file.attrs["model_config"] = found["model_config"]
        file["model_weights"].attrs["layer_names"] = found["layer_names"]
        file["model_weights/d"].attrs["weight_names"] = found["weight_names"]

    return weights(fill)


FLAT = {"class_name": "Flatten", "config": {"name": "f", "batch_shape": [None, 4]}}


def legacy_of_many():
    def fill(file):
        file.attrs["model_config"] = json.dumps(dense())
        for i in range(1001):
            file.create_group(f"model_weights/{i}")

    return weights(fill)


def circles(file):
    """Make groups that are in themselves, ten times."""
    file.attrs["model_config"] = json.dumps(dense())
    group = file.create_group("model_weights/d")
    for i in range(10):
        group[f"again{i}"] = group


def endless():
    """Return a file whose heap of texts ends in free space of no bytes, for which the HDF5 library runs for ever."""
    good = bytearray(legacy())
    at = good.index(b"GCOL") + 16
    while int.from_bytes(good[at : at + 2], "little"):
        at += 16 + -(-int.from_bytes(good[at + 8 : at + 16], "little") // 8) * 8
    good[at + 8 : at + 16] = bytes(8)
    return bytes(good)


def long_text():
    """Return a file with a text that claims 2^32 - 1 bytes, for which the HDF5 library takes as much memory."""
    good = bytearray(legacy())
    heap = good.index(b"GCOL").to_bytes(8, "little")
    at = good.index(heap, good.index(b"model_config\0")) - 4
    good[at : at + 4] = b"\xff" * 4
    return bytes(good)


LAZY = {"shape": (30000, 6000), "dtype": "f4"}
HOSTILE = {
    "empty": b"",
    "text": b"keras",
    "a pickle": b"\x80\x04\x95",
    "zip, cut": keras_file()[:-40],
    "zip, cut in the weights": keras_file()[:2000],
    "HDF5, cut": legacy()[:3000],
    "HDF5, only its first bytes": b"\x89HDF\r\n\x1a\n",
    "no configuration": keras_file().replace(b"config.json", b"xonfig.json"),
    "no weights": keras_file().replace(b"model.weights.h5", b"model.weights.h6"),
    "a bomb": keras_file(content=bytes(2**24), compression=zipfile.ZIP_DEFLATED),
    "weights that are not HDF5": keras_file(content=b"no"),
    "no JSON": keras_file("{"),
    "JSON of another kind": keras_file([1, 2]),
    "deep JSON": keras_file("[" * 100_000),
    "long JSON": keras_file(" " * 2**23),
    "models in models": keras_file('{"class_name":"Sequential","config":{"layers":[' * 900 + "]}}" * 900),
    "no layers": keras_file({"class_name": "Sequential", "config": {"layers": []}}),
    "more layers than a model has": keras_file({"config": {"layers": [FLAT] * 1200}}),
    "a layer of code": keras_file(dense(class_name="Lambda")),
    "a layer of somebody's own": keras_file(dense(registered_name="my>Dense")),
    "a layer of another module": keras_file(dense(module="os")),
    "an activation of code": keras_file(dense(config={"activation": {"class_name": "function", "config": "eval"}})),
    "channels first": keras_file(dense(class_name="Flatten", config={"data_format": "channels_first"})),
    "2^40 units": keras_file(dense(units=2**40)),
    "negative units": keras_file(dense(units=-3)),
    "units of text": keras_file(dense(units="3")),
    "an input of text": keras_file(dense(features="4")),
    "an input of 2^40": keras_file(dense(features=2**40)),
    "4 GB of parameters": keras_file(dense(units=2**15, features=2**15)),
    "720 MB that are not there": keras_file(dense(6000, 30000), kernel(**LAZY)),
    "720 MB of compressed zeros": keras_file(dense(6000, 30000), kernel(chunks=(3000, 6000), compression=9, **LAZY)),
    "2^40 elements": keras_file(content=kernel(shape=(2**20, 2**20), dtype="f4")),
    "another shape": keras_file(content=kernel(np.zeros((3, 4), "f4"))),
    "integers": keras_file(content=kernel(np.zeros((4, 3), "i4"))),
    "complex numbers": keras_file(content=kernel(np.zeros((4, 3), "c8"))),
    "text for weights": keras_file(content=kernel("x")),
    "a group for weights": keras_file(content=weights(lambda file: file.create_group("layers/dense/vars/0"))),
    "no weights of a layer": keras_file(content=kernel(name="layers/dense_1/vars/0")),
    "one weight too many": keras_file(dense(config={"use_bias": True})),
    "a link to another file": keras_file(content=link(h5py.ExternalLink("/etc/passwd", "x"))),
    "a link to elsewhere": keras_file(content=link(h5py.SoftLink("/layers"))),
    "a link in a circle": keras_file(content=link(h5py.SoftLink("/layers/dense/vars/0"))),
    "data in another file": keras_file(content=weights(external)),
    "virtual data": keras_file(content=weights(virtual)),
    "legacy, a text of 4 GB": long_text(),
    "legacy, groups in themselves": weights(circles),
    "legacy, thousands of groups": legacy_of_many(),
    "legacy, lengths of 4 bytes": legacy()[:14] + b"\4" + legacy()[15:],
    "legacy, no JSON": legacy(model_config="{"),
    "legacy, numbers for text": legacy(model_config=3.5),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_named_before_memory_is_taken(name, tmp_path):
    path = tmp_path / "net.keras"
    path.write_bytes(HOSTILE[name])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FileFormatError, match=r"^from_keras: path must be an undamaged .*net\.keras: .") as caught:
        from_keras(path)
    # in KB: what the HDF5 library takes is not Python's, which tracemalloc counts
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
    assert caught.value.path == str(path)
    assert "Error" not in caught.value.reason or "depth" in caught.value.reason


HARMLESS = {
    "undamaged": keras_file(),
    "undamaged, legacy": legacy(),
    "endless": endless(),
    "numbers for names": legacy(layer_names=np.arange(3)),
    "names of nothing": legacy(weight_names=["d/bias"]),
    "names of groups": legacy(weight_names=["d"]),
    "names of elsewhere": legacy(weight_names=["../../model_weights/d/d/kernel"]),
    "no names": legacy(weight_names=[]),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_not_needed_may_be_damaged(name, tmp_path):
    """Weights are found by their places, and heaps of texts are not given to the HDF5 library."""
    (tmp_path / "net.keras").write_bytes(HARMLESS[name])
    net, params, _ = from_keras(tmp_path / "net.keras")
    assert net == Sequential([Dense(3, use_bias=False)])
    assert np.array_equal(params["dense"]["kernel"], np.zeros((4, 3)))


@pytest.mark.parametrize("names", [np.arange(3), ["x"], ["../model_weights/d"], []])
def test_names_that_give_the_order_are_checked(names, tmp_path):
    content = legacy(layer_names=names).replace(b"model_config", b"model_xonfig")
    (tmp_path / "net.h5").write_bytes(content)
    with pytest.raises(FileFormatError, match="from_keras: path must be an undamaged"):
        from_keras(tmp_path / "net.h5", Dense(3, use_bias=False), (4,))
    (tmp_path / "net.h5").write_bytes(legacy().replace(b"model_config", b"model_xonfig"))
    assert from_keras(tmp_path / "net.h5", Dense(3, use_bias=False), (4,)).params["kernel"].shape == (4, 3)


def test_a_file_that_is_too_large_or_no_file_is_refused(tmp_path, stored):
    path = stored[0] / "chain.keras"
    with pytest.raises(FileFormatError, match="and max_bytes is 100"):
        from_keras(path, max_bytes=100)
    with pytest.raises(FileFormatError, match="not a regular file"):
        from_keras(tmp_path)
    with pytest.raises(FileNotFoundError):
        from_keras(tmp_path / "net.keras")
    with pytest.raises(TypeError, match="from_keras: net must be a layer"):
        from_keras(path, "net")


@pytest.mark.parametrize("name", ["functional.keras", "functional.h5", "functional.weights.h5"])
def test_every_byte_that_is_changed_gives_a_net_or_a_named_error(name, tmp_path, stored):
    good, rng, path = (stored[0] / name).read_bytes(), np.random.default_rng(0), tmp_path / name
    for _ in range(100):
        changed = bytearray(good)
        for at in rng.integers(len(good), size=rng.integers(1, 8)):
            changed[at] = rng.integers(256)
        path.write_bytes(changed)
        try:
            net, params, shape = from_keras(path, FUNCTIONAL, IMAGE)
        except FileFormatError:
            continue
        layers.check_params(net, params, shape)
