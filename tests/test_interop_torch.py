"""Parameters from and to PyTorch: the same predictions, no order that is guessed, no pickle, no damaged file."""

import json
import re
import struct
import sys

import numpy as np
import pytest

from minicnn import layers, models, ops
from minicnn.files import FileFormatError
from minicnn.interop import from_torch, to_keras, to_onnx, to_torch
from minicnn.layers import Concat, Conv2D, Dense, Flatten, Residual, Sequential
from minicnn.trees import items, map_leaves

safetensors_numpy = pytest.importorskip("safetensors.numpy", reason="the extra interop is not installed")


def some_params(net, shape, seed=0):
    """Return initial kernels, and other parameters of which no two are equal, as after training."""
    rng = np.random.default_rng(seed)

    def drawn(tree, name=""):
        if isinstance(tree, dict):
            return {name: drawn(below, name) for name, below in tree.items()}
        scale = 1 if name in {"gamma", "moving_variance", "p"} else 0.1
        return tree if name == "kernel" else (scale * rng.uniform(0.5, 1.5, tree.shape)).astype(np.float32)

    return drawn(net.init(rng, shape))


def assert_same(a, b):
    assert [(n, x.shape, x.dtype) for n, x in items(a)] == [(n, x.shape, x.dtype) for n, x in items(b)]
    assert all(np.array_equal(x, y) for (_, x), (_, y) in zip(items(a), items(b), strict=True))


def convolution(nn, layer, at):
    (top, bottom), (left, right) = layer.windows(at).pads
    pad = nn.ZeroPad2d((left, right, top, bottom))
    conv = nn.Conv2d(at[2], layer.filters, layer.kernel_size, layer.strides, groups=layer.groups, bias=layer.use_bias)
    return nn.Sequential(pad, conv)


def normalization(nn, layer, at):
    return (nn.BatchNorm2d if len(at) == 3 else nn.BatchNorm1d)(at[-1], eps=layer.epsilon)


MODULES = {
    Conv2D: convolution,
    Dense: lambda nn, layer, at: nn.Linear(at[0], layer.units, layer.use_bias),
    Flatten: lambda nn, layer, at: nn.Flatten(),
    layers.AveragePooling2D: lambda nn, layer, at: nn.AvgPool2d(layer.pool_size),
    layers.BatchNormalization: normalization,
    layers.Dropout: lambda nn, layer, at: nn.Dropout(layer.rate),
    layers.GlobalAveragePooling2D: lambda nn, layer, at: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    layers.GlobalMaxPooling2D: lambda nn, layer, at: nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten()),
    layers.MaxPooling2D: lambda nn, layer, at: nn.MaxPool2d(layer.pool_size),
    layers.ReLU: lambda nn, layer, at: nn.ReLU(),
}


def flat(net, shape):
    """Yield the layers of a chain with their input shapes."""
    for _, layer, at in net.children(shape):
        yield from flat(layer, at) if layer.children(at) else [(layer, at)]


def twin(net, shape):
    """Return the module of PyTorch that is the same net, for chains."""
    nn = pytest.importorskip("torch").nn
    return nn.Sequential(*(MODULES[type(layer)](nn, layer, at) for layer, at in flat(net, shape))).eval()


NETS = {
    "lenet5": (models.lenet5(), (28, 28, 1)),
    "keras_mnist": (models.keras_mnist(), (28, 28, 1)),
    "mlp": (models.mlp((7, 7)), (3, 4, 2)),
    **{
        f"small_cnn {head}": (models.small_cnn(head, batch_norm=True), (9, 8, 2))
        for head in ("flatten", "max", "average", "global-max", "global-average", "global-average-conv")
    },
    "batch normalization behind a flatten": (
        Sequential([Conv2D(4, 2, groups=2), Flatten(), layers.Dropout(0.5), layers.BatchNormalization(), Dense(3)]),
        (4, 3, 2),
    ),
}


def assert_predict_the_same(net, params, module, shape):
    """Compare probabilities in single precision, and logits in double precision, where rounding hides nothing."""
    import torch

    x = np.random.default_rng(0).uniform(size=(5, *shape))
    for dtype, after in ((np.float32, ops.softmax), (np.float64, np.asarray)):
        images, module = x.astype(dtype), module.to(getattr(torch, np.dtype(dtype).name))
        with torch.no_grad():
            theirs = module(torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))).numpy()
        ours = net(map_leaves(lambda leaf, dtype=dtype: leaf.astype(dtype), params), images)
        np.testing.assert_allclose(after(ours), after(theirs), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", NETS)
def test_a_module_of_pytorch_predicts_the_same_here(name, tmp_path):
    net, shape = NETS[name]
    module = twin(net, shape)
    import torch
    from safetensors.torch import save_file

    with torch.no_grad():
        for value in module.state_dict().values():
            if value.ndim == 1:
                value.uniform_(0.1, 0.5)
    save_file(module.state_dict(), tmp_path / "net.safetensors")
    params = from_torch(net, tmp_path / "net.safetensors", shape)
    layers.check_params(net, params, shape)
    assert_predict_the_same(net, params, module, shape)


@pytest.mark.parametrize("name", NETS)
def test_a_net_goes_out_and_back_through_pytorch(name, tmp_path):
    net, shape = NETS[name]
    pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    params, module = some_params(net, shape), twin(net, shape)
    state = load_file(to_torch(net, params, shape, tmp_path / "out.safetensors"))
    # the twin pads in a module of its own before each convolution
    state = {(n if n in module.state_dict() else re.sub(r"\.", ".1.", n, count=1)): v for n, v in state.items()}
    module.load_state_dict(state, strict=False)
    save_file(module.state_dict(), tmp_path / "back.safetensors")
    assert_same(from_torch(net, tmp_path / "back.safetensors", shape), params)
    assert_predict_the_same(net, params, module, shape)


def test_the_dense_layer_behind_a_flatten_is_rearranged(tmp_path):
    """By the definition of both orders: feature (c, h, w) of PyTorch is feature (h, w, c) here."""
    h, w, c = shape = (2, 3, 4)
    net = Sequential([Flatten(), Dense(1, use_bias=False)])
    theirs = np.arange(24, dtype=np.float32)[None]  # weight (units, features): each feature has its index
    path = tmp_path / "net.safetensors"
    path.write_bytes(safetensors_numpy.save({"1.weight": theirs}))
    kernel = from_torch(net, path, shape)["dense"]["kernel"]
    for i, j, k in np.ndindex(shape):
        assert kernel[(i * w + j) * c + k, 0] == (k * h + i) * w + j
    assert not np.array_equal(kernel[:, 0], theirs[0])


BRANCHED = {
    "concat": Concat([Conv2D(3, 1), Sequential([Conv2D(3, 1), layers.ReLU()])]),
    "residual": Residual(Conv2D(4, 1), Conv2D(4, 1)),
    "flattened branches": Sequential(
        [Concat([Flatten(), Sequential([Conv2D(3, 1), Flatten()]), layers.GlobalMaxPooling2D()]), Dense(4)]
    ),
    "a residual of flattened branches": Sequential([Residual(Flatten(), Flatten()), Dense(2)]),
    "one layer": Conv2D(3, 2),
    "learned exponents": Sequential([layers.GeMPooling2D(), layers.GlobalGeMPooling2D()]),
}


@pytest.mark.parametrize("name", BRANCHED)
def test_other_nets_go_out_and_back(name, tmp_path):
    net, shape = BRANCHED[name], (4, 5, 2)
    params = some_params(net, shape)
    path = to_torch(net, params, shape, tmp_path / "net.safetensors")
    assert_same(from_torch(net, path, shape), params)


def test_flattened_branches_keep_their_order(tmp_path):
    net, (h, w, c) = BRANCHED["flattened branches"], (4, 5, 2)
    params = some_params(net, (h, w, c))
    tensors = safetensors_numpy.load_file(to_torch(net, params, (h, w, c), tmp_path / "net.safetensors"))
    kernel, weight = params["dense"]["kernel"], tensors["dense.weight"]
    assert np.array_equal(
        weight[:, : h * w * c], kernel[: h * w * c].reshape(h, w, c, 4).transpose(3, 2, 0, 1).reshape(4, -1)
    )
    second = kernel[h * w * c : h * w * (c + 3)].reshape(h, w, 3, 4).transpose(3, 2, 0, 1).reshape(4, -1)
    assert np.array_equal(weight[:, h * w * c : h * w * (c + 3)], second)
    assert np.array_equal(weight[:, -c:], kernel[-c:].T)


TWO = Sequential([Conv2D(2, 1), Conv2D(2, 1)])


def written(path, tensors):
    path.write_bytes(safetensors_numpy.save(tensors))
    return path


def two(first, second, dtype=np.float32):
    kernels = {first: np.full((2, 2, 1, 1), 1, dtype), second: np.full((2, 2, 1, 1), 2, dtype)}
    biases = {n: np.full(2, k[0, 0, 0, 0], dtype) for n, k in kernels.items()}
    return {f"{n}.weight": k for n, k in kernels.items()} | {f"{n}.bias": b for n, b in biases.items()}


@pytest.mark.parametrize(
    "names", [("2", "10"), ("conv9", "conv10"), ("block1.0.conv2", "block1.1.conv1"), ("2" * 5000, "1" * 5001)]
)
def test_numbers_in_names_give_the_order(names, tmp_path):
    params = from_torch(TWO, written(tmp_path / "a.safetensors", two(*names)), (3, 3, 2))
    assert [params[n]["bias"][0] for n in ("conv2d", "conv2d_1")] == [1, 2]


def test_an_order_that_is_not_known_needs_names(tmp_path):
    path = written(tmp_path / "a.safetensors", two("stem", "body"))
    with pytest.raises(FileFormatError, match=r"the order of .*'body', 'stem'.* is not known. Give names="):
        from_torch(TWO, path, (3, 3, 2))
    params = from_torch(TWO, path, (3, 3, 2), names={"conv2d": "stem", "conv2d_1": "body"})
    assert [params[n]["bias"][0] for n in ("conv2d", "conv2d_1")] == [1, 2]


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats_become_float32(dtype, tmp_path):
    path = written(tmp_path / "a.safetensors", two("0", "1", dtype))
    assert {a.dtype for _, a in items(from_torch(TWO, path, (3, 3, 2)))} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    "names", [{}, {"conv2d": "0"}, {"conv2d": "0", "conv2d_1": "0"}, ["0", "1"], {"conv2d": 0, "conv2d_1": 1}]
)
def test_wrong_names_are_refused(names, tmp_path):
    with pytest.raises(ValueError, match="from_torch: names must be"):
        from_torch(TWO, tmp_path / "a.safetensors", (3, 3, 2), names=names)


def test_features_in_two_orders_cannot_be_added(tmp_path):
    net = Sequential([Flatten(), Residual(Dense(8))])
    with pytest.raises(ValueError, match="net must add features behind Flatten to such features only"):
        to_torch(net, net.init(np.random.default_rng(0), (2, 2, 2)), (2, 2, 2), tmp_path / "a.safetensors")


# Files


def test_a_pickled_file_is_refused_with_the_lines_that_convert_it(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    import safetensors.torch

    monkeypatch.chdir(tmp_path)
    module = torch.nn.Sequential(torch.nn.Conv2d(2, 2, 1), torch.nn.Conv2d(2, 2, 1))
    for zipped in (True, False):
        torch.save(module.state_dict(), "net.pt", _use_new_zipfile_serialization=zipped)
        with pytest.raises(FileFormatError, match="it is a pickle") as caught:
            from_torch(TWO, "net.pt", (3, 3, 2))
        lines = [line.strip() for line in str(caught.value).splitlines()[1:]]
        assert len(lines) == 2
        exec("\n".join(lines), {"torch": torch, "safetensors": safetensors})  # noqa: S102 - our own message
        params = from_torch(TWO, "net.safetensors", (3, 3, 2))
        assert np.array_equal(params["conv2d"]["bias"], module[0].bias.detach().numpy())


def header(tensors, data=b""):
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text + data


GOOD = safetensors_numpy.save(two("0", "1"))
HOSTILE = {
    "empty": b"",
    "short": GOOD[:5],
    "cut in the header": GOOD[:60],
    "cut in the data": GOOD[:-3],
    "longer than it says": GOOD + b"\0",
    "header of 2^62 bytes": struct.pack("<Q", 2**62) + b"{}",
    "not JSON": struct.pack("<Q", 8) + b"{{{{{{{{",
    "2^40 elements": header({"0.weight": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}),
    "negative sizes": header({"0.weight": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, b"1234"),
    "no elements": header({}),
    "integers": safetensors_numpy.save(two("0", "1", np.int32)),
    "bfloat16": header({"0.weight": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}, b"12"),
    "other shapes": safetensors_numpy.save({**two("0", "1"), "0.bias": np.zeros(3, np.float32)}),
    "a module more": safetensors_numpy.save({**two("0", "1"), "7.bias": np.zeros(3, np.float32)}),
    "a layer less": safetensors_numpy.save({n: a for n, a in two("0", "1").items() if n[0] == "0"}),
    "more arrays than a net has": safetensors_numpy.save({f"{i}.weight": np.zeros(1, "f4") for i in range(10_001)}),
    "names with other digits": safetensors_numpy.save(two("\N{SUPERSCRIPT TWO}", "\N{ARABIC-INDIC DIGIT TWO}")),
    "deep JSON": struct.pack("<Q", 4000) + b'{"a":' + b"[" * 3995,
    "an npz": b"PK\x03\x04" + bytes(100),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_named(name, tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(
        FileFormatError, match=r"from_torch: path must be a safetensors file, got .*net\.safetensors: ."
    ) as e:
        from_torch(TWO, path, (3, 3, 2))
    assert e.value.path == str(path)
    assert e.value.reason


def test_every_byte_that_is_changed_gives_parameters_or_a_named_error(tmp_path):
    path, rng = tmp_path / "net.safetensors", np.random.default_rng(0)
    for _ in range(300):
        changed = bytearray(GOOD)
        for at in rng.integers(len(GOOD), size=rng.integers(1, 4)):
            changed[at] = rng.integers(256)
        path.write_bytes(changed)
        try:
            layers.check_params(TWO, from_torch(TWO, path, (3, 3, 2)), (3, 3, 2))
        except FileFormatError:
            continue


def test_a_file_that_is_too_large_or_no_file_is_refused(tmp_path):
    path = written(tmp_path / "a.safetensors", two("0", "1"))
    with pytest.raises(FileFormatError, match="and max_bytes is 100"):
        from_torch(TWO, path, (3, 3, 2), max_bytes=100)
    with pytest.raises(FileFormatError, match="not a regular file"):
        from_torch(TWO, tmp_path, (3, 3, 2))
    with pytest.raises(FileNotFoundError):
        from_torch(TWO, tmp_path / "b.safetensors", (3, 3, 2))


@pytest.mark.parametrize(
    ("package", "call"),
    [
        ("safetensors.numpy", lambda: to_torch(TWO, some_params(TWO, (3, 3, 2)), (3, 3, 2), "a.safetensors")),
        ("onnx.helper", lambda: to_onnx(TWO, some_params(TWO, (3, 3, 2)), (3, 3, 2), "a.onnx")),
        ("h5py", lambda: to_keras(TWO, some_params(TWO, (3, 3, 2)), (3, 3, 2), "a.keras")),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(package, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"{package} must be installed, .* Use pip install .*\[interop\]"):
        call()
    assert not list(tmp_path.iterdir())
