"""A short run of each fuzzer of `make fuzz`, and that the fuzzers find what breaks the rule."""

import json
import mmap
import random
import subprocess
import sys
from pathlib import Path

import fuzz_changes
import fuzz_targets
import numpy as np
import pytest
from tables import use

from minicnn import files

FUZZ = Path(__file__).with_name("fuzz.py")
RUNS = 25
pytest.importorskip("h5py", reason="the extra interop is not installed")
pytest.importorskip("safetensors", reason="the extra interop is not installed")


@pytest.mark.parametrize("name", fuzz_targets.TARGETS)
def test_a_fuzzed_file_is_read_right_or_refused_by_name(name, tmp_path, monkeypatch):
    use(monkeypatch, "numpy_blocked")
    monkeypatch.chdir(tmp_path)  # a random call may write a file
    target, draw = fuzz_targets.TARGETS[name], random.Random(0)  # noqa: S311
    seeds, path = target.seeds(tmp_path), tmp_path / f"file{target.suffix}"
    whole = [fuzz_targets.outcome(target, content, path) for content in seeds]
    assert any("read" in found.reached for found in whole), "a good file is read"
    assert [found.offence for found in whole if found.offence] == []
    opened = 0
    for _ in range(RUNS):
        content = fuzz_changes.changed(draw.choice(seeds), seeds, target.change, draw)
        found = fuzz_targets.outcome(target, content, path)
        assert found.offence == "", content
        opened += "opened" in found.reached
    assert opened >= RUNS / 5, "most changes are of what is inside a file"


def _spend(path):
    # Not from malloc, which would give memory that this process has used before.
    with mmap.mmap(-1, 320_000_000) as memory:
        memory.write(b"x" * 320_000_000)


@pytest.mark.parametrize(
    ("read", "found"),
    [
        (lambda path: {}["key"], "KeyError: 'key'"),
        (lambda path: np.ones(3) + np.ones(2), "ValueError: operands"),
        (_spend, " MB"),
        (lambda path: sum(range(60_000_000)), " s"),
        (lambda path: (_ for _ in ()).throw(files.FileFormatError("x", "y", "", "")), "without path or reason"),
        (lambda path: path.read_bytes(), ""),
    ],
)
def test_the_fuzzers_find_what_breaks_the_rule(read, found, tmp_path, monkeypatch):
    if found == " MB" and not Path("/proc/self/clear_refs").exists():
        pytest.skip("this system does not tell the most memory of a process")
    monkeypatch.setattr(fuzz_targets, "SECONDS", 0.2)
    target = fuzz_targets.Target(".x", lambda folder: [b"a"], read, lambda content, draw: content, {})
    offence = fuzz_targets.outcome(target, b"a", tmp_path / "file.x").offence
    assert (found in offence) if found else (offence == "")


@pytest.mark.parametrize("engine", ["mutations", "atheris"])
def test_the_command(engine, tmp_path):
    if engine == "atheris":
        pytest.importorskip("atheris", reason="the extra fuzz is not installed")
    options = ["--only", "records", "--runs", "60", "--keep", tmp_path, "--engine", engine]
    done = subprocess.run([sys.executable, FUZZ, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    opened = summary.pop("opened")
    assert summary == {"engine": engine, "files": 60, "offences": 0}
    assert 12 <= opened <= 60
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_target_is_told():
    done = subprocess.run([sys.executable, FUZZ, "--only", "nps"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--only must be of 'npz', " in done.stderr
