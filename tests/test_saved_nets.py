"""A file with a net, its parameters and metadata, in both formats: everything comes back as it was."""

from dataclasses import dataclass

import numpy as np
import pytest
from test_checkpoint import GRID, TREES, same

from minicnn import data, files, layers, models, optim, records, train

pytest.importorskip("safetensors")
SUFFIXES = ["npz", "safetensors", "SafeTensors", "params"]
UNSUPPORTED = {"no axes and no elements", "NumPy's scalars"}  # strings and complex numbers


@pytest.mark.parametrize("params", [TREES[name] for name in TREES if name not in UNSUPPORTED], ids=str)
def test_a_tree_comes_back_through_safetensors_in_its_order(tmp_path, params):
    again = train.load(train.save(tmp_path / "tree.safetensors", params))
    assert same(again, params), again


@pytest.mark.parametrize("array", [np.zeros(2, ">f4"), np.zeros(2, "g"), np.zeros(2, "D"), np.array(["a"])], ids=str)
def test_arrays_that_the_format_does_not_have_are_told(tmp_path, array):
    with pytest.raises(TypeError, match=r"save: a must be little-endian booleans, .* got dtype .*\.npz"):
        train.save(tmp_path / "tree.safetensors", {"a": array})
    assert not list(tmp_path.iterdir())


def test_other_programs_read_the_arrays_and_write_them(tmp_path):
    from safetensors.numpy import load_file, save_file

    path = train.save(tmp_path / "tree.safetensors", {"z": {"b": GRID}, "a": GRID.T})
    found = load_file(path)
    assert sorted(found) == ["a", "z/b"]
    np.testing.assert_array_equal(found["a"], GRID.T)
    save_file({"conv1.weight": GRID, "x/y": GRID[0]}, tmp_path / "theirs.safetensors")
    theirs = train.load(tmp_path / "theirs.safetensors")
    assert same(theirs, {"conv1.weight": GRID, "x": {"y": GRID[0]}})
    assert theirs["conv1.weight"].flags.writeable


NETS = {
    "lenet5": models.lenet5(),
    "small": models.small_cnn("gem", filters=(4, 8), strides=(1, 2), batch_norm=True),
    "branches": layers.Sequential([layers.Residual(layers.Conv2D(1, 3, padding="same")), layers.Flatten()]),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", NETS)
def test_a_net_comes_back_with_its_parameters(tmp_path, suffix, name):
    net = NETS[name]
    params = net.init(np.random.default_rng(0), (28, 28, 1))
    again, restored = train.load_net(train.save(tmp_path / f"net.{suffix}", params, net))
    assert again == net
    assert same(restored, params)
    images = np.random.default_rng(1).random((2, 28, 28, 1), dtype=np.float32)
    assert again(restored, images).tobytes() == net(params, images).tobytes()
    assert same(train.load(tmp_path / f"net.{suffix}"), params), "load leaves the net aside"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_metadata_comes_back_by_a_function_of_its_own(tmp_path, suffix):
    meta = {"accuracy": 0.98, "epochs": 20, "notes": ["a", ("b", None)], "seeds": {1: True}, "tree": "x", "größe": "ß"}
    path = train.save(tmp_path / f"net.{suffix}", {"a": GRID}, **meta)
    assert same(train.load_metadata(path), meta)
    assert same(train.load(path), {"a": GRID})
    assert train.load_metadata(train.save(path, {"a": GRID})) == {}


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_a_layer_of_ones_own_registers_itself(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(records, "_CLASSES", dict(records._CLASSES))

    @dataclass(frozen=True, repr=False)
    class Halved(layers.Layer):
        by: float = 2.0

        def output_shape(self, shape):
            return shape

        def __call__(self, params, x, rng=None):
            return x / self.by

    path, net = tmp_path / f"net.{suffix}", layers.Sequential([Halved(4.0), layers.Flatten()])
    with pytest.raises(TypeError, match=r"must be a plain value or a registered record.*@minicnn\.register"):
        train.save(path, {}, net)
    assert not path.exists()
    records.register(Halved)
    train.save(path, {}, net)
    assert train.load_net(path) == (net, {})
    del records._CLASSES["Halved"]
    with pytest.raises(files.FileFormatError, match=r"Halved.*minicnn\.register before it is read") as caught:
        train.load_net(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_a_file_without_a_net_says_how_to_read_it(tmp_path, suffix):
    path = train.save(tmp_path / f"net.{suffix}", {"a": GRID})
    with pytest.raises(files.FileFormatError, match=r"it has no net. Use save\(path, params, net\), or load\(path\)"):
        train.load_net(path)


def test_what_is_not_a_net_or_plain_is_refused(tmp_path):
    path = train.save(tmp_path / "net.npz", {}, optim.Adam())
    with pytest.raises(files.FileFormatError, match="its net must be a layer, got Adam"):
        train.load_net(path)
    for value in (GRID, np.float64(0.5), [np.int64(3)]):
        with pytest.raises(TypeError, match=r"save: metadata must hold no arrays.*tolist"):
            train.save(tmp_path / "other.npz", {}, found=value)
    with pytest.raises(ValueError, match="at most 4,194,304 characters as JSON"):
        train.save(tmp_path / "other.npz", {}, text="x" * 2**22)
    with pytest.raises(ValueError, match="at most 60,000 arrays, got 60,001"):
        train.save(tmp_path / "other.npz", [np.zeros(0)] * 60_001)
    assert [p.name for p in tmp_path.iterdir()] == ["net.npz"]


def test_a_checkpoint_of_fit_may_be_a_safetensors_file(tmp_path):
    split = data.Split(np.random.default_rng(0).random((8, 28, 28, 1), dtype=np.float32), np.arange(8))
    how = {"optimizer": optim.Adam(), "batch_size": 4, "checkpoint": tmp_path / "run.safetensors"}
    train.fit(models.mlp((4,)), split, epochs=1, **how)
    more = train.fit(models.mlp((4,)), split, epochs=2, **how)
    once = train.fit(models.mlp((4,)), split, epochs=2, **{**how, "checkpoint": None})
    assert same(more.params, once.params)
