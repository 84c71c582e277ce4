"""A tree comes back from disk exactly as it was, or is refused before a byte is written; a damaged file is refused."""

import io
import math
import os
import zipfile
from collections import OrderedDict, namedtuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minicnn import data, layers, optim, train, trees
from minicnn.train import npz


def same(one, other):
    """Equal in kind, order, dtype, shape and every bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return [(type(k), k) for k in one] == [(type(k), k) for k in other] and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray | np.generic):
        return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    return repr(one) == repr(other)


def nested(levels):
    made = {}
    for _ in range(levels - 1):
        made = {"in": made}
    return made


GRID = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
TREES = {
    "names of NumPy's own parameters": {"file": GRID, "allow_pickle": GRID, "args": GRID, "arr_0": GRID},
    "slashes": {"a/b": GRID, "a": {"b": GRID + 1, "/": GRID}, "/a": GRID + 2, "a/": {"": GRID}},
    "dots and nothing": {"": GRID, ".": GRID, "..": GRID, "../x": GRID, "a.npy": GRID, "trees.json": GRID},
    "the names that stand for others": {"leaf 0": GRID, "": GRID + 1, "leaf 1": GRID + 2, "..": GRID + 3},
    "every script": {
        "größe": GRID,
        "数": GRID,
        "\N{SNOWMAN}\u202e": GRID,
        "a\\b": GRID,
        "a:b\0c\n": GRID,
        "x" * 500: GRID,
    },
    "integers as keys": {0: GRID, "0": GRID + 1, -7: {2**70: GRID}},
    "an order": {"z": GRID, "a": {"y": GRID, "b": GRID}, "m": GRID},
    "lists and tuples": {"l": [GRID, [GRID], (GRID, {"x": GRID})], "t": (), "e": [], "d": {}, "n": [[], ({},)]},
    "a list alone": [GRID, {"a": 1}],
    "a tuple alone": (GRID,),
    "nothing": {},
    "Python's values": {"i": [0, -1, 2**127, -(2**2047)], "f": [0.1, -0.0, math.inf, -math.inf, math.nan, 5e-324]},
    "the others": {"b": [True, False], "n": None, "s": ["", "text", "a\0\n\"'\\", "\U0001f600é"]},
    "NumPy's scalars": [np.float32(0.1), np.float64(0.1), np.int64(-3), np.bool_(True), np.complex64(1j), np.str_("é")],
    "no axes and no elements": [np.array(2.5), np.zeros((0, 3), np.int8), np.zeros((2, 0)), np.array("")],
    "NaN to the bit": [np.array([0x7FC01234, 0xFF800001, 0x80000000], np.uint32).view(np.float32)],
    "memory orders": [np.asfortranarray(GRID), GRID[::-1, ::2, ::-2], GRID.T, np.broadcast_to(GRID[0], (5, 3, 4))],
    "100 levels": nested(100),
    "an optimizer's state": optim.Adam(0.1).init({"a": GRID, "b": [GRID]}),
    "momentum not used": optim.SGD(0.1).init({"a": GRID}),
    "a generator's state": np.random.default_rng(3).bit_generator.state,
}


@pytest.mark.parametrize("params", TREES.values(), ids=TREES)
def test_a_tree_comes_back_as_it_was(tmp_path, params):
    again = train.load(train.save(tmp_path / "tree", params))
    assert same(again, params), again
    assert all(leaf.flags.writeable for leaf in trees.leaves(again) if isinstance(leaf, np.ndarray))
    assert os.listdir(tmp_path) == ["tree"], "nothing is added to the name"


@pytest.mark.parametrize(
    "dtype",
    [
        "?",
        "i1",
        "u1",
        "i2",
        "u2",
        "i4",
        "u4",
        "i8",
        "u8",
        "f2",
        "f4",
        "f8",
        "g",
        "F",
        "D",
        "G",
        "S3",
        "U3",
        "S0",
        "M8[ns]",
        "m8[D]",
        ">f4",
        ">i8",
        ">U2",
    ],
)
def test_every_dtype_comes_back(tmp_path, dtype):
    array = np.frombuffer(np.random.default_rng(0).bytes(96 * 32), np.uint8)
    wanted = np.dtype(dtype)
    array = np.arange(96).astype(wanted) if wanted.kind in "?SU" else array.view(wanted)[:96].reshape(2, 3, 16)
    assert same(train.load(train.save(tmp_path / "tree", {"a": array})), {"a": array})


KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.integers(-(2**100), 2**100)
ARRAYS = hnp.arrays(
    st.sampled_from([np.dtype(t) for t in ("f4", "f8", "i8", "?", "u1")]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)
LEAVES = ARRAYS | st.none() | st.booleans() | st.integers() | st.floats() | KEYS
SUBTREES = st.recursive(
    LEAVES,
    lambda inside: (
        st.dictionaries(KEYS, inside, max_size=4)
        | st.lists(inside, max_size=3)
        | st.lists(inside, max_size=3).map(tuple)
    ),
    max_leaves=12,
)


@given(params=st.dictionaries(KEYS, SUBTREES, max_size=5))
def test_any_tree_comes_back(tmp_path_factory, params):
    path = tmp_path_factory.mktemp("any") / "tree"
    assert same(train.load(train.save(path, params)), params)


def test_numpy_reads_the_arrays_by_their_paths(tmp_path):
    path = train.save(tmp_path / "net.npz", {"conv2d": {"kernel": GRID, "bias": [GRID[0]]}, "rate": 0.1})
    with np.load(path, allow_pickle=False) as file:
        np.testing.assert_array_equal(file["conv2d/kernel"], GRID)
        np.testing.assert_array_equal(file["conv2d/bias/0"], GRID[0])


def test_the_same_tree_gives_the_same_bytes(tmp_path):
    files = [train.save(tmp_path / name, {"a": GRID, "b": [1, GRID]}).read_bytes() for name in "ab"]
    assert files[0] == files[1]


Pair = namedtuple("Pair", "left right")
CYCLE = {"a": GRID}
CYCLE["self"] = [CYCLE]
RECORDS = np.zeros(2, [("x", "f4"), ("y", "i4")])
REFUSED = {
    "an object array": ({"a": {"b": np.array([None, {}])}}, TypeError, "params['a']['b'] must be", "object"),
    "a function": ({"f": [1, print]}, TypeError, "params['f'][1] must be", "print"),
    "a set": ({"s": {1}}, TypeError, "params['s'] must be", "of type set"),
    "bytes": ({"s": b"x"}, TypeError, "params['s'] must be", "of type bytes"),
    "a complex number": ({"c": 1j}, TypeError, "params['c'] must be", "of type complex"),
    "a structured array": ({"r": RECORDS}, TypeError, "params['r'] must be", "'x'"),
    "a structured scalar": ({"r": RECORDS[0]}, TypeError, "params['r'] must be", "'x'"),
    "a masked array": ({"m": np.ma.array([1, 2], mask=[0, 1])}, TypeError, "params['m'] must be", "MaskedArray"),
    "a matrix": ({"m": np.arange(3).view(np.matrix)}, TypeError, "params['m'] must be", "matrix"),
    "a dtype with a note": (
        {"d": np.zeros(2, np.dtype("f4", metadata={"a": 1}))},
        TypeError,
        "params['d'] must be",
        "",
    ),
    "a named tuple": ({"p": Pair(1, 2)}, TypeError, "params['p'] must be", "Pair"),
    "another dict": ({"o": OrderedDict(a=1)}, TypeError, "params['o'] must be", "OrderedDict"),
    "NaN as a key": ({"a": {math.nan: GRID}}, TypeError, "keys of params['a'] must be strings or integers", "nan"),
    "a tuple as a key": ({(1, 2): GRID}, TypeError, "keys of params must be", "(1, 2)"),
    "True as a key": ({True: GRID}, TypeError, "keys of params must be", "True"),
    "half a character": ({"s": ["\ud83d\ude00"]}, TypeError, "params['s'][0] must be", "of type str"),
    "half a character as a key": ({"\udc80": 1}, TypeError, "keys of params must be", "udc80"),
    "a number without end": ({"i": 2**2048}, TypeError, "params['i'] must be", "of type int"),
    "a tree in itself": (CYCLE, ValueError, "not contain itself", "params['self'][0]['self']"),
    "101 levels": (nested(102), ValueError, "at most 100 levels", "params['in']"),
    "an array alone": (GRID, ValueError, "must be a dict, list or tuple", "without a name"),
    "None alone": (None, ValueError, "must be a dict, list or tuple", "None"),
}


@pytest.mark.parametrize(("params", "kind", "must", "got"), REFUSED.values(), ids=REFUSED)
def test_what_would_not_come_back_is_refused_before_writing(tmp_path, params, kind, must, got):
    (tmp_path / "tree").write_bytes(b"before")
    with pytest.raises(kind) as caught:
        train.save(tmp_path / "tree", params)
    assert must in str(caught.value)
    assert got in str(caught.value)
    assert str(caught.value).startswith("save: ")
    assert (tmp_path / "tree").read_bytes() == b"before"


@pytest.mark.parametrize("path", [None, 3, 0.5, b"bytes", ["a"]])
def test_a_path_is_a_path(path):
    for call in (lambda: train.save(path, {}), lambda: train.load(path)):
        with pytest.raises(TypeError, match=r"(save|load): path must be a string or a Path, got "):
            call()


# Old files, which have no structure


def test_files_of_arrays_alone_become_dicts(tmp_path):
    np.savez(tmp_path / "old.npz", **{"conv2d/kernel": GRID, "conv2d/bias": GRID[0], "dense": GRID.T})
    assert same(
        train.load(tmp_path / "old.npz"),
        {"conv2d": {"kernel": GRID, "bias": GRID[0]}, "dense": np.asfortranarray(GRID.T)},
    )
    np.savez(tmp_path / "empty.npz")
    assert train.load(tmp_path / "empty.npz") == {}


# Damaged and foreign files


def refused(path):
    with pytest.raises(ValueError, match="load: path must be a file that `save` wrote") as caught:
        train.load(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def archive(path, entries, **options):
    with zipfile.ZipFile(path, "w", **options) as file:
        for name, content in entries:
            file.writestr(name, content)
    return path


def npy(header, content=b"", version=1):
    text = header.encode("latin1") + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(2 if version == 1 else 4, "little") + text + content


def header(shape, dtype="<f4"):
    return f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}"


def array_bytes(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


ONE = array_bytes(GRID)
FOREIGN = {
    "empty": b"",
    "text": b"not an archive",
    "an array alone": ONE,
    "a pickle": b"\x80\x04N.",
    "zeros": bytes(1000),
}
ENTRIES = {
    "10**12 elements": [("a.npy", npy(header((10**12,))))],
    "10**30 elements": [("a.npy", npy(header((10**30,))))],
    "fewer than claimed": [("a.npy", npy(header((3,)), bytes(11)))],
    "more than claimed": [("a.npy", npy(header((3,)), bytes(13)))],
    "negative sizes": [("a.npy", npy(header((-1, -3)), bytes(12)))],
    "no dtype": [("a.npy", npy(header((3,), "what"), bytes(12)))],
    "objects": [("a.npy", npy(header((3,), "|O"), b"\x80\x04N."))],
    "code in the header": [("a.npy", npy("__import__('os').abort()"))],
    "a header without end": [("a.npy", npy("(" * 5000))],
    "another version": [("a.npy", npy(header((0,)), version=9))],
    "no array": [("a.npy", b"")],
    "another entry": [("a.npy", ONE), ("readme.txt", "hello")],
    "a leaf that is a folder": [("a.npy", ONE), ("a/b.npy", ONE)],
    "a folder that is a leaf": [("a/b.npy", ONE), ("a.npy", ONE)],
    "a leaf deep in a leaf": [("a.npy", ONE), ("a/b/c.npy", ONE)],
    "no JSON": [("trees.json", "{"), ("a.npy", ONE)],
    "JSON in JSON in JSON": [("trees.json", '{"list":[' * 100_000), ("a.npy", ONE)],
    "a number": [("trees.json", "3")],
    "no tree": [("trees.json", '{"set": []}')],
    "two trees": [("trees.json", '{"list": [], "tuple": []}')],
    "a key twice": [("trees.json", '{"dict": [["a", {"value": 1}], ["a", {"value": 2}]]}')],
    "a list as key": [("trees.json", '{"dict": [[[], {"value": 1}]]}')],
    "a truth as key": [("trees.json", '{"dict": [[true, {"value": 1}]]}')],
    "a key alone": [("trees.json", '{"dict": [["a"]]}')],
    "a value that is a list": [("trees.json", '{"value": []}')],
    "an array that is missing": [("trees.json", '{"list": [{"array": "a"}]}')],
    "an array twice": [("trees.json", '{"list": [{"array": "a"}, {"array": "a"}]}'), ("a.npy", ONE)],
    "an array too many": [("trees.json", '{"list": []}'), ("a.npy", ONE)],
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_foreign_files_are_refused(tmp_path, content):
    (tmp_path / "file.npz").write_bytes(content)
    refused(tmp_path / "file.npz")


@pytest.mark.parametrize("entries", ENTRIES.values(), ids=ENTRIES)
def test_foreign_archives_are_refused(tmp_path, entries):
    refused(archive(tmp_path / "file.npz", entries))


def test_an_entry_twice_is_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        archive(tmp_path / "file.npz", [("a.npy", ONE), ("a.npy", ONE)])
    assert "same name" in refused(tmp_path / "file.npz")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_small_file_that_becomes_large_is_refused(tmp_path, method, monkeypatch):
    content = npy(header((10_000_000,)), bytes(40_000_000))
    path = archive(tmp_path / "bomb.npz", [("a.npy", content)], compression=method)
    assert path.stat().st_size < 50_000
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("unpacked"))
    assert "compressed" in refused(path)


def test_numpys_other_files_are_said_to_be_what_they_are(tmp_path):
    path = tmp_path / "params.npz"
    np.savez_compressed(path, **{"conv2d/kernel": GRID})
    assert "got " + str(path) + ": it is compressed, as np.savez_compressed writes it. Use " in refused(path)
    np.savez(tmp_path / "new.npz", **np.load(path))  # as the message says
    assert same(train.load(tmp_path / "new.npz"), {"conv2d": {"kernel": GRID}})
    np.savez(path, **{"a": GRID, "a/b": GRID})
    assert "at 'a/b' there are a leaf and a folder. Use np.load" in refused(path)
    np.savez(path, a=np.array([{}]))
    assert "an array of objects" in refused(path)
    with open(path, "wb") as file:
        np.save(file, GRID)
    assert "one array without a name, as np.save writes it. Use np.load." in refused(path)
    assert "undamaged" not in refused(path)


class Names(list):
    pass


@pytest.mark.parametrize(
    ("params", "fix"),
    [
        (OrderedDict(a=1), "Use dict(...)"),
        ({"a": OrderedDict(a=1)}, "Use dict(...)"),
        ({np.str_("a"): GRID}, "Use str(key), in dict(...)."),
        ({np.int64(3): GRID}, "Use int(key), in dict(...)."),
        ([Pair(1, 2)], "Use tuple(...)"),
        ([Names()], "Use list(...)"),
        ([np.arange(3).view(np.matrix)], "Use np.asarray(...)"),
    ],
)
def test_a_type_that_would_be_lost_is_told_its_conversion(tmp_path, params, fix):
    with pytest.raises(TypeError) as caught:
        train.save(tmp_path / "tree", params)
    assert fix in str(caught.value)


LONG = 10**5000  # Python does not write it


@pytest.mark.parametrize(
    "call",
    [
        lambda: train.save("tree", {"a": LONG}), lambda: train.save("tree", {LONG: 1}), lambda: train.save(LONG, {}),
        lambda: train.save("tree", LONG), lambda: train.load(LONG), lambda: train.save("tree", {"a": {LONG}}),
        lambda: train.BestWeights(LONG), lambda: train.History()[LONG], lambda: data.load(LONG),
        lambda: data.load("digits", root=LONG), lambda: data.load("digits", download=LONG),
        lambda: data.Split(LONG, [1]), lambda: optim.SGD(nesterov=LONG),
    ],
)  # fmt: skip
def test_a_number_that_python_does_not_write_is_shown(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((TypeError, ValueError), match=r"must be|must have") as caught:
        call()
    assert "Exceeds the limit" not in str(caught.value)


@pytest.mark.parametrize(
    "target",
    [
        train.save, train.load, train.Moment, train.History, train.Result, train.Evaluation, data.load, data.Dataset,
        data.Split, data.Augmentation, layers.Summary, layers.Explanation, layers.Execution,
    ],
)  # fmt: skip
def test_a_call_that_does_not_fit_is_explained(target):
    for call in (lambda: target(wrong=1), lambda: target(*range(9))):
        with pytest.raises(TypeError, match=rf"^{target.__name__}: .*The arguments are "):
            call()


def test_no_memory_is_a_damaged_file(tmp_path, monkeypatch):
    path = train.save(tmp_path / "tree", {"a": GRID})

    def too_large(_):
        raise MemoryError

    monkeypatch.setattr(npz, "_array", too_large)
    assert "MemoryError" in refused(path)


def test_what_is_not_there_is_the_system_s_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing\.npz"):
        train.load(tmp_path / "missing.npz")


def test_what_is_not_a_file_is_refused(tmp_path):
    refused(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        refused(tmp_path / "pipe")


WHOLE = {
    "conv2d": {"kernel": GRID, "bias": np.zeros(3)},
    "a/b": [np.array(1), (), None, "text", 0.5, np.float32(2)],
    "größe": (np.arange(5), {}),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train.save(tmp_path_factory.mktemp("whole") / "trees.npz", WHOLE).read_bytes()


def outcome(path, content):
    """Whether a damaged file gives the right tree; anything but that or a ValueError with the path fails."""
    path.write_bytes(content)
    try:
        again = train.load(path)
    except ValueError as error:
        assert str(path) in str(error)
        return False
    assert same(again, WHOLE), again
    return True


def test_a_flipped_bit_is_found_or_does_not_matter(tmp_path, whole):
    rng, right = np.random.default_rng(0), 0
    for bit in rng.choice(8 * len(whole), 500, replace=False):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        right += outcome(tmp_path / "file.npz", content)
    # what does not matter is in the archive's own book-keeping: dates, versions, permissions
    assert right < 250


def test_bytes_that_were_cut_out_put_in_or_overwritten_are_found(tmp_path, whole):
    rng = np.random.default_rng(1)
    for _ in range(300):
        start, stop = sorted(rng.integers(0, len(whole) + 1, 2))
        piece = [b"", rng.bytes(stop - start), bytes(stop - start), whole[:stop]][rng.integers(4)]
        outcome(tmp_path / "file.npz", whole[:start] + piece + whole[stop:])


def test_every_truncated_file_is_refused(tmp_path, whole):
    lengths = {*range(40), *range(40, len(whole), 7), *range(len(whole) - 40, len(whole))}
    assert not [n for n in sorted(lengths) if outcome(tmp_path / "file.npz", whole[:n])]


def test_every_missing_renamed_or_damaged_entry_is_found(tmp_path, whole):
    with zipfile.ZipFile(io.BytesIO(whole)) as file:
        entries = [(info.filename, file.read(info)) for info in file.infolist()]
    rng, path = np.random.default_rng(2), tmp_path / "file.npz"
    assert train.load(archive(path, entries)), "written by other means it is the same"
    for place, (name, content) in enumerate(entries[1:], 1):
        for changed in (
            [],
            [(name + "x", content)],
            [("x/" + name, content)],
            [(name, content[:-1])],
            [(name, content + b"\0")],
        ):
            refused(archive(path, entries[:place] + changed + entries[place + 1 :]))
    for _ in range(200):
        # the checksum is right again, so what the header and the structure say is all there is to go by
        place = rng.integers(len(entries))
        name, content = entries[place]
        damaged = bytearray(content)
        end = 128 if place else len(content)
        damaged[rng.integers(end)] = rng.integers(256)
        archive(path, [*entries[:place], (name, bytes(damaged)), *entries[place + 1 :]])
        try:
            train.load(path)
        except ValueError as error:
            assert str(path) in str(error)
