"""What is fuzzed: each reader of files with good files to begin from, trees and calls by Hypothesis, and the rule.

The rule for each input: the reader returns the right answer or raises one of its documented errors, within two seconds
of processor time and 200 MB of memory. What the right answer is, each target says by itself.
"""

import contextlib
import functools
import gzip
import hashlib
import io
import math
import random
import re
import sqlite3
import struct
import tempfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import random_calls
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from study_fixtures import curve, ledger, tiny_study
from test_checkpoint import KEYS, SUBTREES, same

import minicnn
from minicnn import data, files, interop, layers, optim, study, train
from minicnn.data import idx
from minicnn.study.trial import Outcome

SECONDS, MEGABYTES = 2, 200
PART = b"\n--part--\n"
NET = layers.Sequential([
    layers.Conv2D(2, 3), layers.BatchNormalization(), layers.ReLU(), layers.Flatten(), layers.Dropout(0.5),
    layers.Dense(2),
])  # fmt: skip
SHAPE = (4, 4, 1)


@dataclass(frozen=True)
class Target:
    """A reader: the suffix of its files, the bytes to begin from, what it does, and the errors that it documents.

    `pack` makes a file of the fuzzed bytes, such as an archive with right checksums.
    """

    suffix: str
    seeds: Callable[[Path], list[bytes]]
    read: Callable[[Path], None]
    errors: tuple[type[Exception], ...] = (files.FileFormatError,)
    pack: Callable[[bytes], bytes] = bytes


def outcome(target: Target, content: bytes, path: Path) -> tuple[bool, str]:
    """Read one fuzzed file; return whether it was read, and what breaks the rule, or nothing."""
    path.write_bytes(target.pack(content))
    before, began, read, found = _resident(reset=True), time.process_time(), False, ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read(path)
            read = True
    except target.errors as error:
        if isinstance(error, files.FileFormatError) and not (error.path and error.reason):
            found = f"an error without path or reason: {error}"
    except Exception:
        found = traceback.format_exc()
    seconds, taken = time.process_time() - began, _resident() - before
    if seconds > SECONDS:
        found += f"\n{seconds:.1f} s"
    if taken > MEGABYTES:
        found += f"\n{taken:.0f} MB"
    return read, found


def _resident(*, reset: bool = False) -> float:
    """Return the most memory of this process since the last reset, in megabytes; 0 where the system does not tell."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
    except OSError:
        return 0


# Trees as they are saved, in npz and safetensors files.


def _trees(suffix: str, folder: Path) -> list[bytes]:
    trees = [
        {"conv2d": {"kernel": np.ones((3, 3, 1, 2), np.float32), "bias": np.zeros(2)}},
        {"l": [1, (2.5, None, "x")], "s": np.float32(3), "d": {7: np.arange(3), "b": True}},
        {},
    ]
    made = [train.save(folder / f"{i}{suffix}", tree, note="a") for i, tree in enumerate(trees)]
    made.append(train.save(folder / f"net{suffix}", NET.init(np.random.default_rng(0), SHAPE), NET))
    return [path.read_bytes() for path in made]


def _read_tree(path: Path) -> None:
    """What is read must come back equal when it is written again."""
    found = train.load(path)
    train.load_metadata(path)
    assert same(train.load(train.save(path.with_name("again.npz"), found)), found)


def _read_net(path: Path) -> None:
    net, _ = train.load_net(path)
    assert minicnn.from_json(minicnn.to_json(net)) == net


def unpacked(content: bytes) -> bytes:
    """Return the entries of an archive as parts, each a name, a line's end and a content."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return PART.join(info.filename.encode() + b"\n" + archive.read(info) for info in archive.infolist())


def packed(content: bytes) -> bytes:
    """Return the archive of fuzzed parts, its checksums right, so that what is inside gets past them."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of entries with one name
        for part in content.split(PART)[:50]:
            name, _, inside = part.partition(b"\n")
            archive.writestr(zipfile.ZipInfo(name.decode("latin-1") or "x"), inside)
    return made.getvalue()


def _inside(seeds: Callable[[Path], list[bytes]], folder: Path) -> list[bytes]:
    return [unpacked(content) for content in seeds(folder)]


# IDX


def _idx(folder: Path) -> list[bytes]:
    shapes = [(2, 3, 4), (5,), (0, 4), ()]
    return [
        bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + bytes(range(math.prod(shape)))
        for shape in shapes
    ]


def _gzipped(folder: Path) -> list[bytes]:
    return [gzip.compress(content, mtime=0) for content in _idx(folder)]


def _read_idx(path: Path) -> None:
    """The format's definition: two zeros, the code of a type, the rank, the sizes, and the elements."""
    content = path.read_bytes()
    inside = gzip.decompress(content)
    array = idx.read(path, hashlib.md5(content).hexdigest())  # noqa: S324, as the data sets publish it
    start = 4 + 4 * inside[3]
    assert inside[:2] == b"\0\0"
    elements = np.frombuffer(inside[start:], {8: ">u1", 12: ">i4"}[inside[2]])
    assert array.shape == struct.unpack(f">{inside[3]}I", inside[4:start])
    assert (array.ravel() == elements).all()
    assert (idx.parse_idx(inside, "plain") == array).all()


def _read_gzip(path: Path) -> None:
    idx.read(path, hashlib.md5(path.read_bytes()).hexdigest())  # noqa: S324


# Records


def _records(folder: Path) -> list[bytes]:
    values = [
        NET,
        optim.AdamW(minicnn.schedules.OneCycle(0.1)),
        minicnn.models.small_cnn("gem"),
        {"a": (1, 2.5, None, math.inf)},
    ]
    return [minicnn.to_json(value).encode() for value in values]


def _read_record(path: Path) -> None:
    found = minicnn.from_json(path.read_text("latin-1"))
    text = minicnn.to_json(found)
    assert minicnn.to_json(minicnn.from_json(text)) == text


# Other frameworks


KERAS_NET = layers.Sequential([layers.Conv2D(3, 3), layers.ReLU(), layers.GlobalMaxPooling2D(), layers.Dense(2)])
KERAS_SHAPE = (6, 6, 2)


def _keras(suffix: str, folder: Path) -> list[bytes]:
    with zipfile.ZipFile(Path(__file__).parent / "data/keras.zip") as archive:
        return [archive.read(n) for n in archive.namelist() if n.partition(".")[2] == suffix.removeprefix(".")]


def _read_keras(path: Path) -> None:
    net, params, shape = interop.from_keras(path)
    layers.check_params(net, params, shape)


def _read_keras_weights(path: Path) -> None:
    net, params, shape = interop.from_keras(path, KERAS_NET, KERAS_SHAPE)
    layers.check_params(net, params, shape)


def _torch(folder: Path) -> list[bytes]:
    params = NET.init(np.random.default_rng(0), SHAPE)
    return [interop.to_torch(NET, params, SHAPE, folder / "torch.safetensors").read_bytes()]


def _read_torch(path: Path) -> None:
    layers.check_params(NET, interop.from_torch(NET, path, SHAPE), SHAPE)


# Checkpoints of `fit`


IMAGES = data.Split(np.random.default_rng(0).random((6, *SHAPE), np.float32), np.arange(6) % 2)


def _fit(path: Path, epochs: int = 2) -> None:
    result = train.fit(
        NET, IMAGES, optimizer=optim.Adam(1e-2), epochs=epochs, batch_size=2, checkpoint=path, checkpoint_every=1,
        callbacks=[train.EarlyStopping(5, monitor="loss")],
    )  # fmt: skip
    assert len(result.history) == epochs
    layers.check_params(NET, result.params, SHAPE)


def _checkpoints(folder: Path) -> list[bytes]:
    made = []
    for epochs in (1, 2):
        _fit(folder / f"{epochs}.npz", epochs)
        made.append((folder / f"{epochs}.npz").read_bytes())
    return made


# The ledger of a study


def _outcome(trial: Any) -> Outcome:
    values = [("test", "accuracy", "", 0.9), ("test", "nll", "", float("nan"))]
    return Outcome(trial.id, values=values, curve=curve([0.5, 0.9]))


def _ledger(folder: Path) -> list[bytes]:
    ledger(folder / "study", tiny_study(), _outcome)
    return [(folder / "study" / "study.sqlite").read_bytes()]


def _read_ledger(path: Path) -> None:
    path.replace(path.with_name("study.sqlite"))
    results = study.open_results(path.parent)
    assert results.missing >= 0


def _descriptions(folder: Path) -> list[bytes]:
    connection = sqlite3.connect(":memory:")
    connection.deserialize(_whole_ledger())
    rows = connection.execute("SELECT key, value FROM description").fetchall()
    connection.close()
    return [PART.join(f"{key}\n{value}".encode() for key, value in rows)]


@functools.cache
def _whole_ledger() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return _ledger(Path(folder))[0]


def _described(content: bytes) -> bytes:
    """Return a whole ledger with fuzzed descriptions."""
    connection = sqlite3.connect(":memory:")
    connection.deserialize(_whole_ledger())
    connection.execute("DELETE FROM description")
    rows = [part.decode("latin-1").partition("\n")[::2] for part in content.split(PART)]
    connection.executemany("INSERT OR REPLACE INTO description VALUES (?, ?)", rows)
    connection.commit()
    made = connection.serialize()
    connection.close()
    return made


# Trees and calls, made by Hypothesis


def _hypothesis(strategy: st.SearchStrategy, check: Callable) -> Callable[[Path], None]:
    """Return a reader that lets Hypothesis make a value of the fuzzed bytes and checks it."""
    where: list[Path] = []

    @settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def one(value):
        check(where[-1], value)

    def read(path: Path) -> None:
        where[:] = [path]
        one.hypothesis.fuzz_one_input(path.read_bytes())

    return read


def _round_trip(path: Path, tree) -> None:
    assert same(train.load(train.save(path.with_suffix(".npz"), tree)), tree)


@functools.cache
def _calls():
    return random_calls.targets()


def _call(path: Path, choices: random.Random) -> None:
    text = random_calls.call_text(choices, _calls())
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        kind, *what = random_calls.verdict(text, random_calls.names())
    assert kind in {"returned", "refused", "foreign"}, (kind, text, what)


def _noise(folder: Path) -> list[bytes]:
    return [np.random.default_rng(seed).bytes(500) for seed in range(8)]


NAMED = (ValueError, TypeError)
TARGETS = {
    "npz": Target(".npz", functools.partial(_trees, ".npz"), _read_tree),
    "npz, inside": Target(
        ".npz", functools.partial(_inside, functools.partial(_trees, ".npz")), _read_tree, pack=packed
    ),
    "net": Target(".npz", functools.partial(_inside, functools.partial(_trees, ".npz")), _read_net, pack=packed),
    "safetensors": Target(".safetensors", functools.partial(_trees, ".safetensors"), _read_tree),
    "idx": Target(".gz", _idx, _read_idx, pack=functools.partial(gzip.compress, mtime=0)),
    "idx, gzipped": Target(".gz", _gzipped, _read_gzip),
    "records": Target(".json", _records, _read_record, NAMED),
    "keras": Target(".keras", functools.partial(_keras, ".keras"), _read_keras),
    "keras, inside": Target(
        ".keras", functools.partial(_inside, functools.partial(_keras, ".keras")), _read_keras, pack=packed
    ),
    "keras, legacy": Target(".h5", functools.partial(_keras, ".h5"), _read_keras),
    "keras, weights": Target(".weights.h5", functools.partial(_keras, ".weights.h5"), _read_keras_weights),
    "torch": Target(".safetensors", _torch, _read_torch),
    "checkpoint": Target(
        ".npz", functools.partial(_inside, _checkpoints), _fit, (ValueError, FloatingPointError), packed
    ),
    "ledger": Target(".sqlite", _ledger, _read_ledger, (ValueError, OSError)),
    "ledger, inside": Target(".sqlite", _descriptions, _read_ledger, (ValueError, OSError), _described),
    "trees": Target(".bytes", _noise, _hypothesis(st.dictionaries(KEYS, SUBTREES, max_size=5), _round_trip), ()),
    "calls": Target(".bytes", _noise, _hypothesis(st.randoms(use_true_random=False), _call), ()),
}
