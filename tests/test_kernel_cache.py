"""Compiled loops on disk: never stale, never damaged, never in the way of another process."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

import minicnn

CALLEE = "from minicnn.kernels.compiled.loop import loop\n\n\n@loop\ndef value(x):\n    return {}\n"
CALLER = """from minicnn.kernels.compiled.callee import value
from minicnn.kernels.compiled.loop import loop


@loop
def ask(x):
    return value(x)
"""
PROGRAM = "from minicnn.kernels.compiled.caller import ask; print(ask(1.0))"


class Copy:
    """A copy of the package with a loop that calls another one."""

    def __init__(self, folder, cache):
        self.folder = folder / "copy"
        shutil.copytree(Path(minicnn.__file__).parent, self.folder / "minicnn", ignore=lambda *_: ["__pycache__"])
        self.compiled = self.folder / "minicnn" / "kernels" / "compiled"
        (self.compiled / "caller.py").write_text(CALLER)
        self.edit("x + 1")
        self.cache = folder / "cache" if cache == "NUMBA_CACHE_DIR" else self.folder
        self.env = {**os.environ, "PYTHONPATH": str(self.folder)}
        self.env.pop("NUMBA_CACHE_DIR", None)
        if cache == "NUMBA_CACHE_DIR":
            self.env["NUMBA_CACHE_DIR"] = str(self.cache)

    def edit(self, result):
        (self.compiled / "callee.py").write_text(CALLEE.format(result))

    def start(self):
        return subprocess.Popen(
            [sys.executable, "-B", "-c", PROGRAM],
            env=self.env, cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self):
        """Return what the loop gave, and the lines on stderr."""
        out, error = self.start().communicate()
        return out.strip(), error.splitlines()

    def files(self):
        return sorted(file for file in self.cache.rglob("*.nb[ic]*") if file.is_file())


@pytest.fixture(params=["__pycache__", "NUMBA_CACHE_DIR"])
def copy(request, tmp_path):
    return Copy(tmp_path, request.param)


def test_a_loop_is_compiled_once_and_again_after_an_edit_of_what_it_calls(copy):
    result, (line,) = copy.run()
    assert (result, "compiling its kernels" in line) == ("2.0", True)
    assert copy.run() == ("2.0", [])
    files = copy.files()
    copy.edit("x + 2")
    assert copy.run()[0] == "3.0"
    assert copy.run() == ("3.0", [])
    assert copy.files() == files  # replaced, not collected


def test_processes_that_start_together_with_a_stale_cache_all_succeed(copy):
    copy.run()
    time.sleep(0.01)
    copy.edit("x + 2")
    processes = [copy.start() for _ in range(8)]
    for process in processes:
        out, error = process.communicate()
        assert (process.returncode, out) == (0, "3.0\n"), error
    assert copy.run() == ("3.0", [])


def truncate(data):
    return data[: len(data) // 2]


def flip(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


DAMAGES = {
    "empty": lambda data: b"",
    "truncated": truncate,
    "random": lambda data: np.random.default_rng(0).bytes(len(data)),
    "one bit": flip,
    "other code": None,
}


def test_a_damaged_cache_is_compiled_again(tmp_path):
    copy = Copy(tmp_path, "NUMBA_CACHE_DIR")
    copy.run()
    whole = {file: file.read_bytes() for file in copy.files()}
    contents = list(whole.values())
    for name, damage in DAMAGES.items():
        for i, (file, data) in enumerate(whole.items()):
            file.write_bytes(damage(data) if damage else contents[i - 1])
        result, lines = copy.run()
        assert (result, len(lines)) == ("2.0", 1), (name, lines)
    assert copy.run() == ("2.0", [])


def test_the_bytes_that_were_checked_are_those_that_are_loaded(tmp_path, monkeypatch):
    """Another process may replace a file right after it was read."""
    from minicnn.kernels import cache

    files = cache._Files(str(tmp_path), "loop", "stamp")
    key = ("signature", "target", "code")
    files.save(key, "compiled")
    (file,) = tmp_path.iterdir()
    read = Path.read_bytes

    def read_then_replaced(path):
        data = read(path)
        path.write_bytes(b"damaged")
        return data

    monkeypatch.setattr(Path, "read_bytes", read_then_replaced)
    assert files.load(key) == "compiled"
    assert read(file) == b"damaged"


def test_stale_files_that_cannot_be_deleted_or_replaced_do_no_harm(copy):
    copy.run()
    for file in copy.files():
        file.unlink()
        file.mkdir()
        os.utime(file, (0, 0))
    stale = copy.compiled / "__pycache__" / "old.nbi"
    stale.mkdir(parents=True)
    os.utime(stale, (0, 0))
    for _ in range(2):
        result, lines = copy.run()
        assert (result, len(lines)) == ("2.0", 1), lines


def test_without_a_folder_to_write_to_the_kernels_work(tmp_path):
    copy = Copy(tmp_path, "__pycache__")
    nowhere = str(tmp_path / "file")
    Path(nowhere).write_text("no folder")
    for folder in {file.parent for file in copy.folder.rglob("*.py")}:
        (folder / "__pycache__").write_text("no folder")
    copy.env |= dict.fromkeys(["NUMBA_CACHE_DIR", "HOME", "XDG_CACHE_HOME"], nowhere)
    result, lines = copy.run()
    assert (result, len(lines)) == ("2.0", 1), lines
