"""What is fuzzed: each reader of files with good files to begin from, trees and calls by Hypothesis, and the rule.

The rule for each input: the reader returns the right answer or raises one of its documented errors, within two seconds
of processor time and 200 MB of memory. What the right answer is, each target says by itself, and how far an input came
before it was refused.
"""

import bz2
import contextlib
import functools
import gzip
import hashlib
import io
import math
import random
import re
import struct
import sys
import time
import traceback
import unittest.mock
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fuzz_changes
import numpy as np
import random_calls
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from study_fixtures import curve, ledger, tiny_study
from test_checkpoint import KEYS, SUBTREES, same

import minicnn
from minicnn import data, files, interop, layers, optim, records, study, train
from minicnn.data import idx, svmlight
from minicnn.interop import hdf5_texts, keras_files, keras_graph, keras_import, keras_layers, torch_files, torch_layers
from minicnn.study import opening, sql, store
from minicnn.study.trial import Outcome
from minicnn.train import checkpoint, encoding, npz, resume

SECONDS, MEGABYTES = 2, 200
NET = layers.Sequential([
    layers.Conv2D(2, 3), layers.BatchNormalization(), layers.ReLU(), layers.Flatten(), layers.Dropout(0.5),
    layers.Dense(2),
])  # fmt: skip
SHAPE = (4, 4, 1)


@dataclass(frozen=True)
class Target:
    """A reader: the suffix of its files, the bytes to begin from, what it does, and the errors that it documents.

    `change` changes what is inside a file. `steps` has functions that are called on the way, the first one when the
    container has been opened: how many of them an input reaches tells how far it came. Coverage is followed in `code`.
    """

    suffix: str
    seeds: Callable[[Path], list[bytes]]
    read: Callable[[Path], None]
    change: fuzz_changes.Change
    steps: dict[str, tuple[Any, str]]
    code: tuple[Any, ...] = ()
    errors: tuple[type[Exception], ...] = (files.FileFormatError,)


@dataclass
class Found:
    """What became of an input: the steps that it reached, "read" among them, and what breaks the rule, or nothing."""

    reached: set[str] = field(default_factory=set)
    offence: str = ""


def outcome(target: Target, content: bytes, path: Path) -> Found:
    """Read one fuzzed file."""
    path.write_bytes(content)
    found, before, began = Found(), _resident(reset=True), time.process_time()
    try:
        with warnings.catch_warnings(), _watched(target.steps, found.reached):
            warnings.simplefilter("ignore")
            target.read(path)
        found.reached.add("read")
    except target.errors as error:
        if isinstance(error, files.FileFormatError) and not (error.path and error.reason):
            found.offence = f"an error without path or reason: {error}"
    except Exception:
        found.offence = traceback.format_exc()
    seconds, taken = time.process_time() - began, _resident() - before
    if seconds > SECONDS:
        found.offence += f"\n{seconds:.1f} s"
    if taken > MEGABYTES:
        found.offence += f"\n{taken:.0f} MB"
    return found


@contextlib.contextmanager
def _watched(steps: dict[str, tuple[Any, str]], reached: set[str]) -> Iterator[None]:
    """Note which of the functions are called meanwhile."""
    with contextlib.ExitStack() as stack:
        for step, (place, name) in steps.items():
            stack.enter_context(unittest.mock.patch.object(place, name, _noted(getattr(place, name), step, reached)))
        yield


def _noted(function: Callable, step: str, reached: set[str]) -> Callable:
    def noted(*args, **kwargs):
        reached.add(step)
        return function(*args, **kwargs)

    return noted


def _resident(*, reset: bool = False) -> float:
    """Return the most memory of this process since the last reset, in megabytes; 0 where the system does not tell."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
    except OSError:
        return 0


# Trees as they are saved, in npz and safetensors files.


def _nets(folder: Path) -> list[bytes]:
    return [_net(".npz", folder).read_bytes()]


def _net(suffix: str, folder: Path) -> Path:
    return train.save(folder / f"net{suffix}", NET.init(np.random.default_rng(0), SHAPE), NET)


def _trees(suffix: str, folder: Path) -> list[bytes]:
    trees = [
        {"conv2d": {"kernel": np.ones((3, 3, 1, 2), np.float32), "bias": np.zeros(2)}},
        {"l": [1, (2.5, None, "x")], "s": np.float32(3), "d": {7: np.arange(3), "b": True}},
        {},
    ]
    made = [train.save(folder / f"{i}{suffix}", tree, note="a") for i, tree in enumerate(trees)]
    made.append(_net(suffix, folder))
    return [path.read_bytes() for path in made]


def _read_tree(path: Path) -> None:
    """What is read must come back equal when it is written again."""
    found = train.load(path)
    train.load_metadata(path)
    assert same(train.load(train.save(path.with_name("again.npz"), found)), found)


def _read_net(path: Path) -> None:
    net, _ = train.load_net(path)
    assert minicnn.from_json(minicnn.to_json(net)) == net


# IDX


def _idx(folder: Path) -> list[bytes]:
    shapes = [(2, 3, 4), (5,), (0, 4), ()]
    headers = [bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) for shape in shapes]
    contents = [head + bytes(range(math.prod(shape))) for head, shape in zip(headers, shapes, strict=True)]
    return [gzip.compress(content, mtime=0) for content in contents]


def _read_idx(path: Path) -> None:
    """The format's definition: two zeros, the code of a type, the rank, the sizes, and the elements."""
    content = path.read_bytes()
    array = idx.read(path, hashlib.md5(content).hexdigest())  # noqa: S324, as the data sets publish it
    inside = gzip.decompress(content)
    start = 4 + 4 * inside[3]
    assert inside[:2] == b"\0\0"
    elements = np.frombuffer(inside[start:], {8: ">u1", 12: ">i4"}[inside[2]])
    assert array.shape == struct.unpack(f">{inside[3]}I", inside[4:start])
    assert (array.ravel() == elements).all()
    assert (idx.parse_idx(inside, "plain") == array).all()


def _usps(folder: Path) -> list[bytes]:
    rows = [
        " ".join([str(label), *(f"{i}:{i / 256 - label % 2}" for i in range(1, 257, label))]) for label in (1, 10, 3)
    ]
    return [bz2.compress("\n".join([*rows[:n], ""]).encode()) for n in (1, 3)]


def _read_usps(path: Path) -> None:
    pixels, labels = svmlight.read(path, hashlib.md5(path.read_bytes()).hexdigest())  # noqa: S324
    assert pixels.shape == (len(labels), 16, 16)
    assert ((pixels >= 0) & (pixels <= 255)).all()
    assert ((labels >= 0) & (labels <= 9)).all()


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
        callbacks=[train.EarlyStopping(5, monitor="loss"), train.BestWeights("loss")],
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


# Trees and calls, made by Hypothesis


def _hypothesis(strategy: st.SearchStrategy, check: Callable) -> Callable[[Path], None]:
    """Return a reader that lets Hypothesis make a value of the fuzzed bytes and checks it."""
    where: list[Path] = []

    @settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def one(value):
        _made(check, where[-1], value)

    def read(path: Path) -> None:
        where[:] = [path]
        one.hypothesis.fuzz_one_input(path.read_bytes())

    return read


def _made(check: Callable, *args: Any) -> None:
    """Check a value that Hypothesis has made: it makes one of fewer than all bytes."""
    check(*args)


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


def _noise_changed(content: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(content) + 1)
    return content[:at] + draw.randbytes(draw.choice([1, 20, 400])) + content[at + draw.choice([0, 1, 20]) :]


NAMED = (ValueError, TypeError)
TREE = (checkpoint, encoding, npz)
KERAS = (keras_files, keras_graph, keras_import, keras_layers)
MADE = {"opened": (sys.modules[__name__], "_made")}
TARGETS = {
    "npz": Target(
        ".npz",
        functools.partial(_trees, ".npz"),
        _read_tree,
        fuzz_changes.archive,
        {"opened": (checkpoint, "_tree"), "saved again": (train, "save")},
        TREE,
    ),
    "net": Target(
        ".npz",
        _nets,
        _read_net,
        fuzz_changes.archive,
        {"opened": (records, "from_json"), "net": (checkpoint, "_tree")},
        (*TREE, records),
    ),
    "safetensors": Target(
        ".safetensors",
        functools.partial(_trees, ".safetensors"),
        _read_tree,
        fuzz_changes.safetensors,
        {"opened": (checkpoint, "_tree"), "saved again": (train, "save")},
        TREE,
    ),
    "idx": Target(".gz", _idx, _read_idx, fuzz_changes.idx, {"opened": (idx, "parse_idx")}, (idx,)),
    "usps": Target(".bz2", _usps, _read_usps, fuzz_changes.lines, {"opened": (svmlight, "parse")}, (svmlight,)),
    "records": Target(
        ".json", _records, _read_record, fuzz_changes.json_text, {"opened": (records, "_decoded")}, (records,), NAMED
    ),
    "keras": Target(
        ".keras",
        functools.partial(_keras, ".keras"),
        _read_keras,
        fuzz_changes.archive,
        {"opened": (keras_import, "_shape_in"), "net": (keras_import, "_params"), "weights": (keras_import, "_values")},
        KERAS,
    ),
    "keras, legacy": Target(
        ".h5",
        functools.partial(_keras, ".h5"),
        _read_keras,
        fuzz_changes.hdf5,
        {"opened": (keras_import, "_shape_in"), "net": (keras_import, "_params"), "weights": (keras_import, "_values")},
        (*KERAS, hdf5_texts),
    ),
    "keras, weights": Target(
        ".weights.h5",
        functools.partial(_keras, ".weights.h5"),
        _read_keras_weights,
        fuzz_changes.hdf5,
        {"opened": (keras_import, "_params"), "weights": (keras_import, "_values")},
        KERAS,
    ),
    "torch": Target(
        ".safetensors",
        _torch,
        _read_torch,
        fuzz_changes.safetensors,
        {"opened": (torch_files, "_modules"), "matched": (torch_files, "_matched"), "net": (torch_files, "tree_of")},
        (torch_files, torch_layers),
    ),
    "checkpoint": Target(
        ".npz",
        _checkpoints,
        _fit,
        fuzz_changes.archive,
        {"opened": (resume, "_check_run"), "this run": (resume, "_position"), "fits": (resume, "check_params")},
        (*TREE, resume),
        (ValueError, FloatingPointError),
    ),
    "ledger": Target(
        ".sqlite",
        _ledger,
        _read_ledger,
        fuzz_changes.ledger,
        {"opened": (store.Store, "description"), "described": (store.Store, "trials")},
        (opening, sql, store),
        (ValueError, OSError),
    ),
    "trees": Target(
        ".bytes", _noise, _hypothesis(st.dictionaries(KEYS, SUBTREES, max_size=5), _round_trip), _noise_changed, MADE,
        TREE, (),
    ),
    "calls": Target(
        ".bytes", _noise, _hypothesis(st.randoms(use_true_random=False), _call), _noise_changed, MADE, (), (),
    ),
}  # fmt: skip
"""What every reader of files reads, and what Hypothesis makes."""
