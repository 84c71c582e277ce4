"""Loading, dividing, batching and augmenting, each against its rule or an independent oracle."""

from __future__ import annotations

import contextlib
import functools
import gc
import gzip
import hashlib
import http.server
import itertools
import math
import os
import re
import struct
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.datasets import load_digits

from minicnn import data, kernels
from minicnn.data import augmentation, idx, sets

# The published class counts.
DIGITS = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
MNIST_TRAIN = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
MNIST_TEST = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def numbered(count, channels=1):
    """A split whose every pixel of image i is i, and so is its label: a mix-up shows."""
    images = np.broadcast_to(np.arange(count, dtype=np.float32).reshape(-1, 1, 1, 1), (count, 3, 2, channels))
    return data.Split(images.copy(), np.arange(count))


def rows(split):
    """Each image with its label as bytes, to find it again in another order."""
    return [image.tobytes() + bytes([label]) for image, label in zip(split.images, split.labels, strict=True)]


# Split


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (slice(2, 9, 3), [2, 5, 8]),
        (slice(0, 0), []),
        ([7, 0, 7], [7, 0, 7]),
        ([], []),
        (np.array([-1]), [9]),
        (np.arange(10) > 6, [7, 8, 9]),
    ],
)
def test_split_keeps_images_and_labels_together(index, expected):
    part = numbered(10)[index]
    assert isinstance(part, data.Split)
    assert part.labels.tolist() == part.images[:, 0, 0, 0].tolist() == expected
    assert len(part) == len(expected)


def test_split_labels_become_int64():
    assert data.Split(np.zeros((2, 1, 1, 1), np.float32), np.array([1, 2], np.uint8)).labels.dtype == np.int64
    assert data.Split(np.zeros((2, 1, 1, 1), np.float32), [1, 2]).labels.dtype == np.int64


def test_split_is_frozen():
    with pytest.raises(AttributeError):
        numbered(1).labels = np.zeros(1)


@pytest.mark.parametrize(
    ("images", "labels", "error", "message"),
    [
        (np.zeros((2, 8, 8), np.float32), [0, 1], ValueError, r"N, H, W, C.*\(2, 8, 8\), rank 3.*\[\.\.\., None\]"),
        (np.zeros((2, 8, 8, 1), np.uint8), [0, 1], TypeError, r"uint8.*float32.*/ 255"),
        ([[0.0]], [0, 1], TypeError, "a list.*float32"),
        (np.zeros((2, 8, 8, 1), np.float32), [0.0, 1.0], TypeError, "integer.*float64"),
        (np.zeros((2, 8, 8, 1), np.float32), [True, False], TypeError, "integer.*bool"),
        (np.zeros((2, 8, 8, 1), np.float32), [[0, 1], [1, 0]], ValueError, r"\(2, 2\), rank 2.*argmax"),
        (np.zeros((2, 8, 8, 1), np.float32), [0, 1, 2], ValueError, "2 images.*3 labels"),
    ],
)
def test_split_refuses(images, labels, error, message):
    with pytest.raises(error, match=message):
        data.Split(images, np.array(labels))


@pytest.mark.parametrize("index", [3, np.int64(3), 0.5, "train", [[0, 1]]])
def test_split_index_is_a_row(index):
    with pytest.raises(TypeError, match=r"split\[3:4\]"):
        numbered(5)[index]


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        ([5], ValueError, "indices must be from -5 to 4, got 5"),
        ([0, -6], ValueError, "indices must be from -5 to 4, got -6"),
        (np.array([2**63], np.uint64), ValueError, "got 9223372036854775808"),
        ([True], ValueError, "one for each of 5 images, got 1"),
        ([0.0], TypeError, r"split\[3:4\]"),
        (["a"], TypeError, r"split\[3:4\]"),
        ([[1], [1, 2]], TypeError, r"split\[3:4\]"),
        (None, TypeError, r"split\[3:4\]"),
    ],
)
def test_split_refuses_an_index_without_an_index_error(index, error, message):
    with pytest.raises(error, match=message):
        numbered(5)[index]


def test_split_refuses_labels_that_would_wrap_around_or_have_no_shape():
    images = np.zeros((2, 1, 1, 1), np.float32)
    with pytest.raises(ValueError, match="Split: labels must be class indices, got 18446744073709551615"):
        data.Split(images, np.array([0, 2**64 - 1], np.uint64))
    with pytest.raises(TypeError, match="Split: labels must be one array of numbers"):
        data.Split(images, [[0], [1, 2]])
    assert data.Split(images, np.array([0, 2**63 - 1], np.uint64)).labels[1] == 2**63 - 1


@pytest.mark.parametrize(
    "split", [(np.zeros((2, 1, 1, 1), np.float32), [0, 1]), None, np.zeros((2, 1, 1, 1)), "digits"]
)
def test_batches_are_of_a_split(split):
    with pytest.raises(TypeError, match=r"batches: split must be a data\.Split, got a .*data\.Split\(images, labels\)"):
        data.batches(split, 2)


# batches


@given(count=st.integers(0, 40), size=st.integers(1, 45), seed=st.none() | st.integers(0, 2**32))
def test_an_epoch_has_every_image_once(count, size, seed):
    rng = None if seed is None else np.random.default_rng(seed)
    seen = list(data.batches(numbered(count), size, rng=rng))
    labels = [label for _, batch in seen for label in batch.tolist()]
    assert sorted(labels) == list(range(count))
    assert rng is not None or labels == sorted(labels)
    assert [len(batch) for _, batch in seen] == [size] * (count // size) + [count % size] * (count % size > 0)
    for images, batch in seen:
        assert images.shape == (len(batch), 3, 2, 1)
        np.testing.assert_array_equal(images, np.broadcast_to(batch.reshape(-1, 1, 1, 1), images.shape))


def test_images_are_shuffled_and_not_only_batches():
    in_order = {tuple(labels) for _, labels in data.batches(numbered(100), 10)}
    shuffled = {tuple(labels) for _, labels in data.batches(numbered(100), 10, rng=np.random.default_rng(0))}
    assert not in_order & shuffled
    assert not {frozenset(batch) for batch in in_order} & {frozenset(batch) for batch in shuffled}


def test_batches_follow_the_generator():
    def labels(rng):
        return np.concatenate([labels for _, labels in data.batches(numbered(50), 8, rng=rng)]).tolist()

    rng = np.random.default_rng(3)
    first, second = labels(rng), labels(rng)
    assert first == labels(np.random.default_rng(3))
    assert first != second
    assert first != labels(np.random.default_rng(4))


def test_the_permutation_is_drawn_at_the_call():
    used, reference = np.random.default_rng(0), np.random.default_rng(0)
    data.batches(numbered(50), 8, rng=used)
    reference.permutation(50)
    assert used.integers(2**60) == reference.integers(2**60)


@pytest.mark.parametrize(
    ("size", "error", "message"),
    [
        (0, ValueError, "batch_size must be an integer of at least 1, got 0"),
        (-3, ValueError, "batch_size must be .*got -3"),
        (2.0, TypeError, r"batch_size must be an integer.*got 2\.0"),
        ("8", TypeError, "must be an integer.*got '8'"),
        (True, TypeError, "must be an integer.*got True"),
    ],
)
def test_batch_size_is_checked_at_the_call(size, error, message):
    with pytest.raises(error, match=message):
        data.batches(numbered(5), size)


def test_batches_take_numpy_sizes_and_only_generators():
    assert len(list(data.batches(numbered(5), np.int64(2)))) == 3
    with pytest.raises(TypeError, match=r"rng must be .*got an int.*default_rng\(0\)"):
        data.batches(numbered(5), 2, rng=0)


# digits


@functools.cache
def digits(seed=0, **fractions):
    return data.load("digits", seed=seed, **fractions)


def test_digits_are_scikit_learns():
    whole = load_digits()
    expected = [
        (pixels / 16).astype(np.float32).tobytes() + bytes([label])
        for pixels, label in zip(whole.images, whole.target, strict=True)
    ]
    parts = digits().train, digits().valid, digits().test
    assert sorted(itertools.chain(*map(rows, parts))) == sorted(expected)
    assert len(expected) == 1797
    assert len(set(expected)) == 1797, "all differ, so the parts are disjoint"
    for part in parts:
        assert part.images.shape == (len(part), 8, 8, 1)
        assert part.images.dtype == np.float32
        assert part.labels.dtype == np.int64
        assert part.images.min() == 0
        assert part.images.max() == 1
    assert digits().classes == tuple("0123456789")
    assert digits().name == "digits"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("valid", "test"), [(0.1, 0.2), (0.15, 0.15), (0.3, 0.1)])
def test_digits_are_stratified(seed, valid, test):
    parts = digits(seed, valid=valid, test=test)
    held = np.bincount(parts.test.labels, minlength=10)
    rest = np.array(DIGITS) - held
    assert [len(parts.valid), len(parts.test)] == [round(1797 * valid), round(1797 * test)]
    assert np.abs(held - np.array(DIGITS) * len(parts.test) / 1797).max() < 1
    assert np.abs(np.bincount(parts.valid.labels) - rest * len(parts.valid) / rest.sum()).max() < 1
    assert (held + np.bincount(parts.valid.labels) + np.bincount(parts.train.labels)).tolist() == DIGITS


def test_the_same_seed_gives_the_same_bytes():
    again = data.load("digits", seed=0)
    for part in ("train", "valid", "test"):
        assert rows(getattr(again, part)) == rows(getattr(digits(), part))
        assert set(rows(getattr(digits(1), part))) != set(rows(getattr(digits(), part)))


def test_the_test_part_does_not_depend_on_valid():
    assert rows(digits(valid=0.3).test) == rows(digits().test)


@pytest.mark.parametrize("fractions", [{}, {"valid": 0, "test": 0}])
def test_the_first_images_of_train_are_a_random_subset(fractions):
    order = {row: place for place, row in enumerate(rows(sklearn_order()))}
    places = np.array([order[row] for row in rows(digits(**fractions).train)])
    assert abs(np.corrcoef(places, np.arange(len(places)))[0, 1]) < 4 / np.sqrt(len(places))


def sklearn_order():
    whole = load_digits()
    return data.Split((whole.images[..., None] / 16).astype(np.float32), whole.target)


def test_zero_gives_an_empty_part():
    parts = digits(valid=0, test=0)
    assert [len(parts.train), len(parts.valid), len(parts.test)] == [1797, 0, 0]
    assert parts.valid.images.shape == (0, 8, 8, 1)


# Wrong calls


@pytest.mark.parametrize("name", ["digits", "mnist", "fashion-mnist"])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"valid": 1.0}, ValueError, r"load: valid must be .*1\), got 1\.0"),
        ({"valid": -0.1}, ValueError, r"valid must be .*got -0\.1"),
        ({"valid": float("nan")}, ValueError, "valid must be .*got nan"),
        ({"valid": 100}, ValueError, "valid must be .*got 100"),
        ({"valid": "0.1"}, TypeError, "valid must be a number, got '0.1'"),
        ({"valid": 1e-4}, ValueError, r"valid=0\.0001 of the (1797|60000) images of .* is (0|6)\b"),
        ({"valid": 0.99999}, ValueError, r"leave .* too few for 10 classes|valid=0\.99999"),
        ({"seed": -1}, ValueError, "seed must be an integer of at least 0, got -1"),
        ({"seed": 2**32}, ValueError, "seed must be .*got 4294967296"),
        ({"seed": 0.5}, TypeError, r"seed must be an integer.*got 0\.5"),
    ],
)
def test_load_refuses_before_any_work(monkeypatch, name, arguments, error, message):
    monkeypatch.setattr(sets, "_read", None)
    with pytest.raises(error, match=message):
        data.load(name, **arguments)


def test_digits_refuse_parts_that_leave_nothing(monkeypatch):
    monkeypatch.setattr(sets, "_read", None)
    with pytest.raises(ValueError, match=r"1797 images of digits, test=0\.4 and valid=0\.6 leave 0"):
        data.load("digits", valid=0.6, test=0.4)
    with pytest.raises(ValueError, match=r"test=0\.002 of the 1797 images of digits is 4, too few for 10"):
        data.load("digits", test=0.002)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_official_test_set_stays(name):
    with pytest.raises(
        ValueError, match=rf"test must be left out for {name}, which has an official test set, got test=0\.2"
    ):
        data.load(name, test=0.2)


@pytest.mark.parametrize("name", data.SOURCES)
def test_the_page_of_the_data_sets_has_each_with_its_checksums(name):
    page = (Path(__file__).parents[1] / "datasets" / "README.md").read_text()
    section = page.split(f"\n## {name}\n")[1].split("\n## ")[0]
    for file, md5 in data.SOURCES[name].md5.items():
        assert re.search(rf"`{re.escape(file)}`.*`{md5}`", section), file


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("minst", "got 'minst'. Did you mean 'mnist'"),
        ("MNIST", "Did you mean 'mnist'"),
        ("fashion", "Did you mean 'fashion-mnist'"),
        ("cifar10", f"must be one of {', '.join(map(repr, data.SOURCES))}, got 'cifar10'"),
        (None, "got None"),
        (["mnist"], "got ['mnist']"),
        ({}, "got {}"),
    ],
)
def test_unknown_names_list_the_known_ones(name, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        data.load(name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"download": "False"}, "load: download must be True or False, got 'False'"),
        ({"download": 0}, "load: download must be True or False, got 0"),
        ({"download": None}, "load: download must be True or False, got None"),
        ({"root": 3}, "load: root must be a string, a Path or None, got 3"),
        ({"root": b"here"}, "load: root must be a string, a Path or None, got b'here'"),
    ],
)
def test_load_refuses_before_it_looks_for_files(monkeypatch, arguments, message):
    monkeypatch.setattr(sets, "_read", None)
    with pytest.raises(TypeError, match=re.escape(message)):
        data.load("mnist", **arguments)


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.int32])
def test_numpy_numbers_are_numbers(kind):
    assert rows(data.load("digits", seed=kind(3), valid=np.float32(0.25)).train) == rows(digits(3, valid=0.25).train)


# Files, with a small data set in the official format


def idx_bytes(array):
    """The format as it is published: magic number, sizes, values; big-endian."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return (0x0800 + array.ndim).to_bytes(4, "big") + sizes + array.astype(np.uint8).tobytes()


@pytest.fixture
def small(monkeypatch, tmp_path):
    """`mnist` shrunk to 100 + 20 images of 5x4, the cache and the working directory in empty folders."""
    rng = np.random.default_rng(0)
    arrays = {
        "train-images-idx3-ubyte.gz": rng.integers(0, 256, (100, 5, 4)),
        "train-labels-idx1-ubyte.gz": np.arange(100) % 10,
        "t10k-images-idx3-ubyte.gz": rng.integers(0, 256, (20, 5, 4)),
        "t10k-labels-idx1-ubyte.gz": np.arange(20) % 10,
    }
    files = {name: gzip.compress(idx_bytes(array), mtime=0) for name, array in arrays.items()}
    md5 = {name: hashlib.md5(content, usedforsecurity=False).hexdigest() for name, content in files.items()}
    source = replace(sets.SOURCES["mnist"], count=100, url="http://127.0.0.1:9/", md5=md5)
    monkeypatch.setitem(sets.SOURCES, "mnist", source)
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "cache" / project)
    monkeypatch.delenv("MINICNN_DATASETS", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return arrays, files


def put(folder, files):
    (folder / "mnist").mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / "mnist" / name).write_bytes(content)
    return folder


def test_idx_files_are_read_as_published(small, tmp_path):
    arrays, files = small
    mnist = data.load("mnist", valid=0.5, root=put(tmp_path / "here", files), download=False)
    images, labels, test_images, test_labels = arrays.values()
    np.testing.assert_array_equal(mnist.test.images[..., 0], test_images.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(mnist.test.labels, test_labels)
    whole = data.Split(images[..., None].astype(np.float32) / np.float32(255), labels)
    assert sorted(rows(mnist.train) + rows(mnist.valid)) == sorted(rows(whole))
    assert np.bincount(mnist.valid.labels).tolist() == [5] * 10


def test_search_order(small, monkeypatch, tmp_path):
    _, files = small
    places = [tmp_path / "root", tmp_path / "env", tmp_path / "work" / "datasets", tmp_path / "cache" / "minicnn"]
    monkeypatch.setenv("MINICNN_DATASETS", str(places[1]))
    found = []
    read = idx.read
    monkeypatch.setattr(idx, "read", lambda path, md5: found.append(path.resolve()) or read(path, md5))
    for place in reversed(places):
        put(place, files)
        data.load("mnist", root=places[0], download=False)
        assert {path.parent for path in found} == {place / "mnist"}
        found.clear()


def test_a_missing_file_says_where_was_looked(small, monkeypatch, tmp_path):
    _, files = small
    monkeypatch.setenv("MINICNN_DATASETS", str(tmp_path / "env"))
    put(tmp_path / "env", {name: content for name, content in files.items() if "t10k-labels" not in name})
    with pytest.raises(FileNotFoundError) as caught:
        data.load("mnist", root=str(tmp_path / "root"), download=False)
    for part in (
        "t10k-labels-idx1-ubyte.gz",
        str(tmp_path / "root" / "mnist"),
        str(tmp_path / "env" / "mnist"),
        str(Path("datasets", "mnist")),
        str(tmp_path / "cache" / "minicnn" / "mnist"),
        "download=True",
        "http://127.0.0.1:9/t10k-labels-idx1-ubyte.gz",
    ):
        assert part in str(caught.value)


def test_the_home_of_a_user_who_is_not_known_is_named(small):
    with pytest.raises(ValueError, match=r"load: root must be a folder that can be found, got ~no-such-user/sets"):
        data.load("mnist", root="~no-such-user/sets", download=False)


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_to_files_and_folders_are_followed(small, tmp_path):
    _, files = small
    put(tmp_path / "real", files)
    (tmp_path / "here" / "mnist").mkdir(parents=True)
    for name in files:
        (tmp_path / "here" / "mnist" / name).symlink_to(tmp_path / "real" / "mnist" / name)
    (tmp_path / "folder").symlink_to(tmp_path / "here")
    assert len(data.load("mnist", root=tmp_path / "folder", download=False).test) == 20
    (tmp_path / "real" / "mnist" / next(iter(files))).unlink()
    with pytest.raises(FileNotFoundError, match="train-images"):
        data.load("mnist", root=tmp_path / "folder", download=False)


def altered(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [lambda content: content[: len(content) // 2], altered, lambda content: b""])
@pytest.mark.parametrize("which", range(4))
def test_a_damaged_file_is_refused(small, tmp_path, damage, which):
    _, files = small
    name = list(files)[which]
    bad = damage(files[name])
    root = put(tmp_path / "here", files | {name: bad})
    with pytest.raises(ValueError, match="truncated or altered") as caught:
        data.load("mnist", root=root)
    good_md5, bad_md5 = (hashlib.md5(content, usedforsecurity=False).hexdigest() for content in (files[name], bad))
    for part in (str(root / "mnist" / name), good_md5, bad_md5, f"{len(bad):,} bytes", "Delete it"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "with nothing"),
        (b"\0\0\x08", "with 00 00 08"),
        (b"\0\0\x0d\x01" + bytes(12), "with 00 00 0d 01"),
        (b"\x1f\x8b\x08\x00", "with 1f 8b 08 00"),
        (b"\0\0\x08\x03\0\0\0\x01", "8 bytes do not hold the 16-byte header of rank 3"),
        (struct.pack(">BBBBII5s", 0, 0, 8, 2, 2, 3, b"abcde"), r"promises \(2, 3\), which is 6 bytes; 5 follow"),
        (struct.pack(">BBBBII7s", 0, 0, 8, 2, 2, 3, b"abcdefg"), "7 follow"),
    ],
)
def test_what_is_not_idx_is_refused(content, message):
    with pytest.raises(ValueError, match=f"some.idx: .*{message}"):
        idx.parse_idx(content, "some.idx")


@pytest.mark.parametrize(
    "sizes", [[1] * 255, [1] * 65, [0, 2**32 - 1, 2**32 - 1, 2**32 - 1], [0, 2**31, 2**31], [2**32 - 1] * 8]
)
def test_sizes_that_cannot_be_meant_are_refused_with_the_file(sizes):
    content = bytes([0, 0, 8, len(sizes)]) + b"".join(size.to_bytes(4, "big") for size in sizes) + b"x"
    with pytest.raises(ValueError, match=r"some\.idx: the header"):
        idx.parse_idx(content, "some.idx")


GZIPPED = gzip.compress(idx_bytes(np.arange(200)), mtime=0)


@pytest.mark.parametrize(
    "content", [b"", b"not gzip", GZIPPED[:-1], GZIPPED[:30], GZIPPED[:20] + b"\0\0\0\0" + GZIPPED[24:], GZIPPED + b"x"]
)
def test_what_is_not_a_whole_gzip_file_is_refused_with_the_path(tmp_path, content):
    (tmp_path / "some.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"some\.gz"):
        idx.read(tmp_path / "some.gz", hashlib.md5(content, usedforsecurity=False).hexdigest())


@given(shape=st.lists(st.integers(0, 5), min_size=1, max_size=4), seed=st.integers(0, 9))
def test_idx_round_trip(shape, seed):
    array = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    np.testing.assert_array_equal(idx.parse_idx(idx_bytes(array), "some.idx"), array, strict=True)


# Downloads, from a server on this machine


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; of a file `broken` it promises all bytes and sends half of them."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if getattr(self.server, "behaviour", None):
            return behave(self, path.read_bytes(), path.name)
        if path.name != getattr(self.server, "broken", None):
            return super().do_GET()
        content = path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])
        self.close_connection = True
        return None


@pytest.fixture
def server(small, monkeypatch, tmp_path):
    _, files = small
    folder = put(tmp_path / "server", files) / "mnist"
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        source = replace(sets.SOURCES["mnist"], url=f"http://127.0.0.1:{running.server_port}/")
        monkeypatch.setitem(sets.SOURCES, "mnist", source)
        running.folder, running.cache = folder, tmp_path / "cache" / "minicnn" / "mnist"
        yield running
        running.shutdown()
        thread.join()


def test_downloads_go_into_the_cache_once(small, server, capfd):
    arrays, files = small
    mnist = data.load("mnist")
    np.testing.assert_array_equal(mnist.test.labels, arrays["t10k-labels-idx1-ubyte.gz"])
    assert {path.name: path.read_bytes() for path in server.cache.iterdir()} == files
    assert "100%" in capfd.readouterr().err
    for path in server.folder.iterdir():
        path.unlink()
    assert rows(data.load("mnist", download=False).train) == rows(mnist.train)


def test_only_missing_files_are_downloaded(small, server, tmp_path):
    _, files = small
    first, *others = files
    put(tmp_path / "here", {name: files[name] for name in others})
    data.load("mnist", root=tmp_path / "here")
    assert [path.name for path in server.cache.iterdir()] == [first]


@pytest.mark.parametrize("damage", [lambda content: content[: len(content) // 2], altered])
def test_a_bad_download_leaves_nothing(small, server, damage):
    _, files = small
    name = "train-images-idx3-ubyte.gz"
    (server.folder / name).write_bytes(damage(files[name]))
    with pytest.raises(ValueError, match=rf"http://127.*/{name} gave another file.*{sets.SOURCES['mnist'].md5[name]}"):
        data.load("mnist")
    assert not server.cache.exists()
    (server.folder / name).write_bytes(files[name])
    assert len(data.load("mnist").test) == 20


def test_a_broken_connection_leaves_nothing(server):
    server.broken = "train-labels-idx1-ubyte.gz"
    with pytest.raises(OSError, match=r"http://127.*/train-labels-idx1-ubyte.gz could not be downloaded into"):
        data.load("mnist")
    assert [path.name for path in server.cache.iterdir()] == ["train-images-idx3-ubyte.gz"]


# pooch leaves the connection of an answer that is an error to the garbage collector, which warns of the open socket.
left_open = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def test_a_server_that_cannot_be_reached_is_one_line(server, monkeypatch, capfd):
    monkeypatch.setitem(sets.SOURCES, "mnist", replace(sets.SOURCES["mnist"], url="http://127.0.0.1:9/"))
    with pytest.raises(OSError, match=r"could not be downloaded into") as caught:
        data.load("mnist")
    url = "http://127.0.0.1:9/train-images-idx3-ubyte.gz"
    assert str(caught.value).startswith(f"load: {url} could not be downloaded into {server.cache}: ")
    assert "Connection refused" in str(caught.value)
    assert "Max retries" not in str(caught.value)
    assert not server.cache.parents[1].exists()
    assert capfd.readouterr() == ("", "")


@left_open
def test_an_absent_download_leaves_nothing(server):
    (server.folder / "train-images-idx3-ubyte.gz").unlink()
    with pytest.raises(OSError, match=r"could not be downloaded into .*404"):
        data.load("mnist")
    assert not server.cache.exists()
    gc.collect()


def behave(handler, content, name):
    """Answer as servers do that are broken or hostile."""
    send = {
        "stalls": lambda: (headers(handler, len(content)), handler.wfile.write(content[:10]), time.sleep(3)),
        "promises too much": lambda: (headers(handler, 2 * len(content)), handler.wfile.write(content)),
        "promises too little": lambda: (headers(handler, len(content) // 2), handler.wfile.write(content)),
        "never ends": lambda: (headers(handler, None), [handler.wfile.write(b"x" * 10_000) for _ in range(1000)]),
        "redirects to a file": lambda: redirect(handler, "file:///etc/passwd"),
        "redirects to another port": lambda: redirect(handler, "http://127.0.0.1:9/" + name),
        "redirects in a circle": lambda: redirect(handler, handler.path),
        "fails": lambda: handler.send_error(500),
        "speaks another protocol": lambda: handler.wfile.write(b"SSH-2.0\r\n"),
    }
    with contextlib.suppress(ConnectionError):
        send[handler.server.behaviour]()
    handler.close_connection = True


def headers(handler, length):
    handler.send_response(200)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    handler.end_headers()


def redirect(handler, address):
    handler.send_response(302)
    handler.send_header("Location", address)
    handler.end_headers()


@left_open
@pytest.mark.parametrize(
    "behaviour",
    [
        *("stalls", "promises too much", "promises too little", "never ends", "fails", "speaks another protocol"),
        *("redirects to a file", "redirects to another port", "redirects in a circle"),
    ],
)
def test_a_hostile_server_gets_a_named_error_and_leaves_nothing(server, monkeypatch, behaviour):
    name = "train-images-idx3-ubyte.gz"
    monkeypatch.setattr(idx, "TIMEOUT", 0.5)
    monkeypatch.setattr(idx, "MOST_DOWNLOADED", 1_000_000)
    server.behaviour = behaviour
    began = time.monotonic()
    with pytest.raises(
        (OSError, ValueError), match=rf"load: http://127.*/{name} (could not|gave another file)"
    ) as caught:
        data.load("mnist")
    assert "root:" not in str(caught.value)  # nothing of a file of this machine
    assert time.monotonic() - began < 20
    assert not server.cache.exists() or list(server.cache.iterdir()) == []
    server.behaviour = None
    assert len(data.load("mnist").test) == 20
    del caught
    gc.collect()  # while the warning is expected


def test_two_processes_that_download_at_once_end_with_one_right_file_each(small, server):
    _, files = small
    program = "import sys; from minicnn.data import idx; from pathlib import Path; "
    program += "[idx.download(sys.argv[1] + a, m, Path(sys.argv[2])) for a, m in zip(*[iter(sys.argv[3:])] * 2)]"
    source = sets.SOURCES["mnist"]
    words = [word for pair in source.md5.items() for word in pair]
    command = [sys.executable, "-c", program, source.url, str(server.cache), *words]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    for process in both:
        _, said = process.communicate()
        assert process.returncode == 0, said
    assert {path.name: path.read_bytes() for path in server.cache.iterdir()} == files


# The official files


def official(name):
    root = os.environ.get("MINICNN_DATASETS", "")
    if not Path(root, name, "train-images-idx3-ubyte.gz").is_file():
        pytest.skip(f"$MINICNN_DATASETS has no {name}")
    return data.load(name, root=root, download=False)


@pytest.mark.parametrize(
    ("name", "train", "test", "mean", "deviation"),
    [
        ("mnist", MNIST_TRAIN, MNIST_TEST, 0.1307, 0.3081),
        ("fashion-mnist", [6000] * 10, [1000] * 10, 0.2860, 0.3530),
    ],
)
def test_official_files(name, train, test, mean, deviation):
    parts = official(name)
    kept, valid = np.bincount(parts.train.labels), np.bincount(parts.valid.labels)
    assert (kept + valid).tolist() == train
    assert np.abs(valid - np.array(train) / 10).max() < 1
    assert np.bincount(parts.test.labels).tolist() == test
    assert parts.train.images.shape == (54_000, 28, 28, 1)
    both = np.concatenate([parts.train.images, parts.valid.images])
    assert both.mean(dtype=np.float64) == pytest.approx(mean, abs=5e-5)
    assert both.std(dtype=np.float64) == pytest.approx(deviation, abs=5e-5)
    assert (both.min(), both.max(), both.dtype) == (0, 1, np.float32)


def test_official_test_sets_keep_their_order():
    assert official("mnist").test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    fashion = official("fashion-mnist")
    assert [fashion.classes[label] for label in fashion.test.labels[:3]] == ["Ankle boot", "Pullover", "Trouser"]


# Augmentation


def photos(count=4, size=(9, 7), channels=2, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).random((count, *size, channels), dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_amount_no_change(dtype):
    images = photos(dtype=dtype)
    np.testing.assert_array_equal(data.augment(images, np.random.default_rng(0)), images, strict=True)


@pytest.mark.parametrize(("down", "right"), [(0, 0), (2, 0), (0, -3), (-1, 2), (9, 0)])
def test_whole_shifts_move_pixels(down, right):
    images = photos()
    expected = np.zeros_like(images)
    for row, column in itertools.product(range(9), range(7)):
        if 0 <= row + down < 9 and 0 <= column + right < 7:
            expected[:, row + down, column + right] = images[:, row, column]
    shifts = np.tile([down, right], (4, 1))
    np.testing.assert_array_equal(data.warp(images, shifts, np.zeros(4)), expected, strict=True)


def test_each_image_has_its_own_shift():
    images = np.zeros((3, 5, 5, 1), np.float32)
    images[:, 2, 2] = 1
    moved = data.warp(images, np.array([[0, 0], [1, 0], [-2, 2]]), np.zeros(3))
    assert np.argwhere(moved)[:, :3].tolist() == [[0, 2, 2], [1, 3, 2], [2, 0, 4]]


def test_half_a_shift_is_shared_by_two_pixels_also_at_the_edge():
    image = np.array([[1.0, 0.0, 0.0, 0.5]]).reshape(1, 1, 4, 1)
    moved = data.warp(image, np.array([[0, 0.5]]), np.zeros(1))
    assert moved.ravel().tolist() == [0.5, 0.5, 0.0, 0.25]


@pytest.mark.parametrize("turns", [-1, 0, 1, 2, 3])
@pytest.mark.parametrize("size", [(6, 6), (7, 7)])
def test_quarter_turns(turns, size):
    images = photos(size=size)
    turned = data.warp(images, np.zeros((4, 2)), np.full(4, 90.0 * turns))
    np.testing.assert_allclose(turned, np.rot90(images, turns, axes=(1, 2)), atol=1e-6)


@pytest.mark.parametrize("angle", [10.0, -33.0, 120.0])
def test_any_turn_against_scipy(angle):
    images = photos()
    turned = data.warp(images, np.zeros((4, 2)), np.full(4, angle))
    expected = ndimage.rotate(images, angle, axes=(1, 2), reshape=False, order=1, mode="grid-constant")
    np.testing.assert_allclose(turned, expected, atol=1e-6)


def test_displacements_say_where_to_look():
    images = photos()
    displacements = np.zeros((4, 2, 9, 7))
    displacements[:, 0, :-1] = 1
    moved = data.warp(images, np.zeros((4, 2)), np.zeros(4), displacements)
    np.testing.assert_array_equal(moved, images[:, [1, 2, 3, 4, 5, 6, 7, 8, 8]])


def test_one_interpolation_equals_the_sampled_plane():
    """A plane is its own bilinear interpolation, so all three motions together must sample it exactly."""
    rows, columns = np.mgrid[:21, :21].astype(float)
    plane = 0.3 + 0.01 * rows + 0.02 * columns
    displacements = np.random.default_rng(0).uniform(-1, 1, (1, 2, 21, 21))
    moved = data.warp(plane[None, ..., None], np.array([[1.25, -0.5]]), np.array([30.0]), displacements)
    down, right = rows - 10 - 1.25, columns - 10 + 0.5
    cos, sin = np.sqrt(0.75), 0.5
    # A point goes (right, up) -> rotated by +30 degrees; so the source is rotated by -30 degrees.
    source_right, source_up = cos * right + sin * -down, -sin * right + cos * -down
    expected = 0.3 + 0.01 * (10 - source_up + displacements[0, 0]) + 0.02 * (10 + source_right + displacements[0, 1])
    inside = np.hypot(down, right) < 7
    np.testing.assert_allclose(moved[0, ..., 0][inside], expected[inside], rtol=1e-12)


def interpolated(image, rows, columns):
    """Bilinear interpolation as its definition says: every pixel of an image (H, W) with its weight, in loops."""
    found = np.zeros(rows.shape)
    for at in np.ndindex(rows.shape):
        for i, j in np.ndindex(image.shape):
            weight = max(0, 1 - abs(rows[at] - i)) * max(0, 1 - abs(columns[at] - j))
            found[at] += weight * float(image[i, j])
    return found


MOTIONS = {
    "shift": {"shifts": (-1.7, 1.7)},
    "whole shift": {"shifts": (2, 2)},
    "shift beyond the image": {"shifts": (-12, 12)},
    "far away": {"shifts": (1e6, 1e300)},
    "turn": {"angles": (-180, 180)},
    "displacements": {"displacements": (-3, 3)},
    "all": {"shifts": (-2, 2), "angles": (-40, 40), "displacements": (-1, 1)},
}


def motion(name, count, size, seed=1):
    rng, bounds = np.random.default_rng(seed), MOTIONS[name]
    shapes = {"shifts": (count, 2), "angles": (count,), "displacements": (count, 2, *size)}
    return {key: rng.uniform(*bounds.get(key, (0, 0)), shape) for key, shape in shapes.items()}


def sources(size, shift, angle, displacement):
    """Where each pixel of a moved image comes from, one number at a time."""
    rows, columns = np.empty(size), np.empty(size)
    (down, across), cos, sin = [(n - 1) / 2 for n in size], math.cos(math.radians(angle)), math.sin(math.radians(angle))
    for at in np.ndindex(size):
        y, x = at[0] - down - shift[0], at[1] - across - shift[1]
        rows[at] = cos * y + sin * x + down + displacement[0][at]
        columns[at] = cos * x - sin * y + across + displacement[1][at]
    return rows, columns


@pytest.mark.parametrize("name", MOTIONS)
@pytest.mark.parametrize("size", [(9, 7), (1, 6), (6, 1), (1, 1)])
@pytest.mark.parametrize(("dtype", "atol"), [(np.float32, 1e-6), (np.float64, 1e-12)])
def test_a_warped_batch_is_interpolated_image_by_image(name, size, dtype, atol):
    images = photos(count=3, size=size, dtype=dtype)
    moves = motion(name, 3, size)
    expected = np.empty_like(images)
    for n, c in np.ndindex(3, 2):
        at = sources(size, *(moves[key][n] for key in ("shifts", "angles", "displacements")))
        expected[n, :, :, c] = interpolated(images[n, :, :, c], *at)
    moved = data.warp(images, **moves)
    np.testing.assert_allclose(moved, expected, rtol=0, atol=atol, strict=True)


@pytest.mark.parametrize("size", [(12, 11), (1, 6)])
def test_a_shift_alone_has_the_bits_of_the_interpolation_of_each_pixel(size):
    images = photos(count=5, size=size)
    shifts = np.random.default_rng(2).uniform(-3, 3, (5, 2))
    shifts[0], shifts[1] = 0, (1, -2)
    at = np.array([sources(size, move, 0, np.zeros((2, *size))) for move in shifts])
    found = data.warp(images, shifts, np.zeros(5))
    np.testing.assert_array_equal(found, kernels.bilinear(images, at[:, 0], at[:, 1]), strict=True)


@pytest.mark.parametrize("amounts", [{"shift": 2}, {"shift": 1, "rotate": 15, "elastic": 34}])
def test_a_large_batch_is_warped_as_its_parts_are(amounts, monkeypatch):
    images = photos(count=70, size=(20, 20), channels=3)
    monkeypatch.setattr(augmentation, "AT_A_TIME", 8_500)  # 21 images: three parts and a rest
    whole = data.augment(images, np.random.default_rng(0), **amounts)
    rng, turn, alone = np.random.default_rng(0), amounts.get("rotate", 0), []  # the draws, in their order
    shifts = rng.uniform(-amounts["shift"], amounts["shift"], (70, 2))
    angles = rng.uniform(-turn, turn, (70,))
    farther = np.zeros((70, 2, 20, 20))
    if "elastic" in amounts:
        noise = rng.uniform(-1, 1, (70, 2, 20, 20))
        for n, direction in np.ndindex(70, 2):
            farther[n, direction] = 34 * ndimage.gaussian_filter(noise[n, direction], 4, mode="constant")
    for n in range(70):
        one = slice(n, n + 1)
        alone.append(data.warp(images[one], shifts[one], angles[one], farther[one]))
    np.testing.assert_array_equal(whole, np.concatenate(alone), strict=True)


AMOUNTS = [
    {"shift": 2.5},
    {"rotate": 40},
    {"elastic": 20, "elastic_sigma": 2},
    {"shift": 1, "rotate": 15, "elastic": 34},
]


@pytest.mark.parametrize("amounts", AMOUNTS)
def test_augmented_images_keep_their_kind(amounts):
    images = photos(count=32)
    images[::2] = 1
    before = images.copy()
    images.setflags(write=False)
    changed = data.augment(images, np.random.default_rng(0), **amounts)
    assert (changed.shape, changed.dtype) == (images.shape, np.float32)
    assert changed.min() >= 0
    assert changed.max() <= 1
    np.testing.assert_array_equal(images, before)
    assert all((new != old).any() for new, old in zip(changed, images, strict=True))


@pytest.mark.parametrize("amounts", AMOUNTS)
def test_augmentation_follows_the_generator(amounts):
    images = np.broadcast_to(photos(count=1), (6, 9, 7, 2))
    first, again, other = (data.augment(images, np.random.default_rng(seed), **amounts) for seed in (0, 0, 1))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()
    assert len({image.tobytes() for image in first}) == 6, "each image has its own draw"


def test_channels_move_together():
    grey = photos(channels=1)
    changed = data.augment(np.repeat(grey, 3, axis=3), np.random.default_rng(0), shift=2, rotate=20, elastic=10)
    for channel in range(3):
        np.testing.assert_array_equal(changed[..., channel], changed[..., 0])


def test_amounts_are_bounds_and_reached():
    """Ramps tell how far they were moved: a shift adds to a plane what its slope says."""
    size = 41
    ramp = np.broadcast_to(np.arange(size, dtype=float)[:, None], (500, size, size))[..., None] / size
    moved = data.augment(ramp, np.random.default_rng(0), shift=3)
    down = (ramp - moved)[:, 20, 20, 0] * size
    assert np.abs(down).max() <= 3 + 1e-9
    assert down.min() < -2.9
    assert down.max() > 2.9
    assert abs(down.mean()) < 4 * 3 / np.sqrt(3 * 500)


def test_elastic_displacement_is_as_large_and_smooth_as_documented():
    """Uniform noise has variance 1/3; a Gaussian of sigma passes 1 / (4 pi sigma^2) of it and correlates neighbours."""
    size, alpha, sigma = 65, 34.0, 4.0
    ramp = np.broadcast_to(np.arange(size, dtype=float)[:, None], (400, size, size))[..., None] / size
    moved = data.augment(ramp, np.random.default_rng(0), elastic=alpha, elastic_sigma=sigma)
    displacement = (moved - ramp)[..., 0] * size
    middle, below, beside = displacement[:, 32, 32], displacement[:, 36, 32], displacement[:, 32, 36]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(alpha / sigma / np.sqrt(12 * np.pi), rel=0.12)
    for neighbour in (below, beside):
        assert np.corrcoef(middle, neighbour)[0, 1] == pytest.approx(np.exp(-(4**2) / (4 * sigma**2)), abs=0.1)
    assert abs(np.corrcoef(middle[1:], middle[:-1])[0, 1]) < 0.2, "each image has its own field"


def test_augmentation_is_a_value():
    value = data.Augmentation(shift=2, rotate=10.0, elastic=8.0, elastic_sigma=3.0)
    assert repr(value) == "Augmentation(shift=2, rotate=10.0, elastic=8.0, elastic_sigma=3.0)"
    assert value == data.Augmentation(2.0, 10, 8, 3)
    assert hash(value) == hash(replace(value))
    images = photos()
    np.testing.assert_array_equal(
        value(images, np.random.default_rng(5)),
        data.augment(images, np.random.default_rng(5), shift=2, rotate=10.0, elastic=8.0, elastic_sigma=3.0),
    )


def test_numpy_amounts_are_python_s_and_promote_nothing():
    amounts = {
        "shift": np.float64(1.5),
        "rotate": np.float32(10),
        "elastic": np.int64(3),
        "elastic_sigma": np.float64(2),
    }
    value, plain = data.Augmentation(**amounts), data.Augmentation(1.5, 10.0, 3.0, 2.0)
    assert repr(value) == repr(plain) == "Augmentation(shift=1.5, rotate=10.0, elastic=3.0, elastic_sigma=2.0)"
    assert (value, hash(value)) == (plain, hash(plain))
    images = photos()
    changed = data.augment(images, np.random.default_rng(0), **amounts)
    np.testing.assert_array_equal(changed, plain(images, np.random.default_rng(0)), strict=True)
    assert changed.dtype == np.float32


@pytest.mark.parametrize("name", ["shift", "rotate", "elastic", "elastic_sigma"])
@pytest.mark.parametrize("amount", [1e308, 2e6, np.float64(1e300)])
def test_amounts_that_cannot_be_meant_are_refused(name, amount):
    with pytest.raises(ValueError, match=rf"augment: {name} must be"):
        data.augment(photos(), np.random.default_rng(0), **{name: amount})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((photos()[0], np.zeros((4, 2)), np.zeros(4)), ValueError, r"warp: images must .*\(9, 7, 2\)"),
        ((photos().astype(int), np.zeros((4, 2)), np.zeros(4)), TypeError, "warp: images must .*got int64"),
        ((photos(), np.zeros((3, 2)), np.zeros(4)), ValueError, r"warp: shifts must have shape \(4, 2\)"),
        ((photos(), np.zeros(2), np.zeros(4)), ValueError, r"warp: shifts must have shape \(4, 2\).*got \(2,\)"),
        ((photos(), np.zeros((4, 2)), 0.0), ValueError, r"warp: angles must have shape \(4,\)"),
        ((photos(), "down", np.zeros(4)), TypeError, "warp: shifts must be one array of numbers"),
        ((photos(), None, None), TypeError, "warp: shifts must be one array of numbers"),
        ((photos(), np.full((4, 2), np.inf), np.zeros(4)), ValueError, "warp: shifts must be finite, got inf"),
        ((photos(), np.zeros((4, 2)), np.full(4, np.nan)), ValueError, "warp: angles must be finite, got nan"),
        ((photos(), np.zeros((4, 2)), np.zeros(4), np.zeros((9, 7))), ValueError, r"displacements .*\(4, 2, 9, 7\)"),
        ((photos(), np.zeros((4, 2)), np.zeros(4), "far"), TypeError, "displacements must be .*got 'far'"),
    ],
)
def test_warp_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        data.warp(*arguments)


def test_a_batch_of_no_images_stays_one():
    none = data.augment(photos(count=0), np.random.default_rng(0), shift=1, rotate=1, elastic=1)
    assert none.shape == (0, 9, 7, 2)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"shift": -1}, ValueError, "augment: shift must be .*got -1"),
        ({"rotate": float("inf")}, ValueError, "rotate must be .*got inf"),
        ({"elastic": "much"}, TypeError, "elastic must be a number, got 'much'"),
        ({"elastic_sigma": float("nan")}, ValueError, "elastic_sigma must be .*got nan"),
    ],
)
def test_augmentation_refuses_amounts_when_made(arguments, error, message):
    with pytest.raises(error, match=message):
        data.Augmentation(**arguments)


def test_augmentation_refuses_what_are_not_images():
    rng = np.random.default_rng(0)
    with pytest.raises(TypeError, match=r"augment: images must be a float32.*got uint8.*/ 255"):
        data.augment(np.zeros((1, 8, 8, 1), np.uint8), rng)
    with pytest.raises(ValueError, match=r"augment: images must .*\(8, 8, 1\), rank 3"):
        data.augment(np.zeros((8, 8, 1), np.float32), rng)
    with pytest.raises(TypeError, match=r"augment: rng must be .*got an int.*default_rng\(7\)"):
        data.augment(photos(), 7)


def test_importing_data_imports_no_heavy_package():
    code = "import sys, minicnn.data; print({'sklearn', 'scipy', 'pooch', 'tqdm', 'requests'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
