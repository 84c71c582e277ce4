"""Compiled loops on disk: never stale, never damaged, never in the way of another process."""

import contextlib
import os
import re
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
HOLDER = """import fcntl, sys
file = open(sys.argv[1], "ab")
fcntl.lockf(file, fcntl.LOCK_EX, 1, 5)
print("locked", flush=True)
sys.stdin.read()
"""
PROGRAM = "from minicnn.kernels.compiled.caller import ask; print(ask(1.0))"
FORKS = """
import os
import sys
import numba
from minicnn.kernels.compiled.caller import ask

numba.njit(lambda: None)()
for line in sys.stdin:
    children = []
    for _ in range(int(line)):
        if not (child := os.fork()):
            os.write(1, f"{ask(1.0)}\\n".encode())
            os._exit(0)
        children.append(child)
    ended = {os.waitpid(child, 0)[1] for child in children}
    for stream in (1, 2):
        os.write(stream, f"ended {ended}\\n".encode())
"""
STOPS = """import os
import signal

from numba.core import event


class Stop(event.Listener):
    def on_start(self, event):
        if "STOP" in os.environ:
            os.kill(os.getpid(), signal.SIGSTOP)

    def on_end(self, event):
        pass


event.register("numba:compile", Stop())

"""
INTERRUPTED = """
from numba.core import event
from minicnn.kernels.compiled.caller import ask


class CtrlC(event.Listener):
    def on_start(self, event):
        raise KeyboardInterrupt

    def on_end(self, event):
        pass


event.register("numba:compile", CtrlC())
try:
    ask(1.0)
except KeyboardInterrupt:
    print("interrupted", flush=True)
input()
"""


def _until_ended(stream):
    """Return the lines up to the one that says how the processes ended, or to the end of the stream."""
    lines = []
    while (line := stream.readline()) and not line.startswith("ended "):
        lines.append(line.strip())
    return [*lines, line.strip()]


class Copy:
    """A copy of the package with a loop that calls another one."""

    def __init__(self, folder, cache):
        self.folder = folder / "copy"
        shutil.copytree(Path(minicnn.__file__).parent, self.folder / "minicnn", ignore=lambda *_: ["__pycache__"])
        self.compiled, self.parent = self.folder / "minicnn" / "kernels" / "compiled", None
        (self.compiled / "caller.py").write_text(CALLER)
        self.edit("x + 1")
        self.cache = folder / "cache" if cache == "NUMBA_CACHE_DIR" else self.folder
        self.env = {**os.environ, "PYTHONPATH": str(self.folder)}
        self.env.pop("NUMBA_CACHE_DIR", None)
        if cache == "NUMBA_CACHE_DIR":
            self.env["NUMBA_CACHE_DIR"] = str(self.cache)

    def edit(self, result):
        self.close()
        (self.compiled / "callee.py").write_text(CALLEE.format(result))

    def patience(self, seconds):
        cache = self.folder / "minicnn" / "kernels" / "cache.py"
        text = cache.read_text()
        assert "PATIENCE = 120.0" in text
        cache.write_text(text.replace("PATIENCE = 120.0", f"PATIENCE = {seconds}"))

    def start(self, program=PROGRAM):
        return subprocess.Popen(
            [sys.executable, "-B", "-c", program],
            env=self.env, cwd=self.folder, text=True, **dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE),
        )  # fmt: skip

    def run(self, together=1):
        """Return what the loop gave in processes that call it at the same time, and the lines on stderr.

        They are forked from a process that has imported all and compiled nothing of it, which takes a tenth of the
        time of starting Python.
        """
        self.parent = self.parent or self.start(FORKS)
        self.parent.stdin.write(f"{together}\n")
        self.parent.stdin.flush()
        results, errors = _until_ended(self.parent.stdout), _until_ended(self.parent.stderr)
        assert results.pop() == errors.pop() == "ended {0}", errors
        assert len(results) == together
        (result,) = set(results)
        return result, errors

    def close(self):
        if self.parent:
            self.parent.communicate()
            self.parent = None

    def files(self):
        return sorted(file for file in self.cache.rglob("*.nb[ic]*") if file.is_file())


@pytest.fixture
def copy_with(tmp_path):
    with contextlib.ExitStack() as at_the_end:

        def make(cache):
            made = Copy(tmp_path, cache)
            at_the_end.callback(made.close)
            return made

        yield make


@pytest.fixture(params=["__pycache__", "NUMBA_CACHE_DIR"])
def copy(request, copy_with):
    return copy_with(request.param)


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
    assert copy.run(together=8)[0] == "3.0"
    assert copy.run() == ("3.0", [])


def test_of_processes_that_start_together_one_compiles_and_the_others_wait(copy):
    result, lines = copy.run(together=6)
    assert result == "2.0"
    assert ["compiling its kernels" in line for line in lines].count(True) == 1, lines


def test_processes_that_import_the_kernels_together_all_succeed(copy_with):
    copy = copy_with("NUMBA_CACHE_DIR")
    for process in [copy.start() for _ in range(3)]:
        out, error = process.communicate()
        assert (process.returncode, out) == (0, "2.0\n"), error


def test_a_process_that_was_stopped_while_it_compiled_is_not_waited_for_for_ever(copy):
    (copy.compiled / "callee.py").write_text(STOPS + CALLEE.format("x + 1"))
    copy.patience(0.1)
    copy.env |= {"STOP": "1"}
    stopped = copy.start()
    try:
        os.waitid(os.P_PID, stopped.pid, os.WSTOPPED | os.WNOWAIT)
        del copy.env["STOP"]
        assert copy.run()[0] == "2.0"
    finally:
        stopped.kill()
        stopped.communicate()


def test_after_ctrl_c_while_a_loop_is_compiled_other_processes_compile_it(copy):
    copy.patience(1e9)
    interrupted = copy.start(INTERRUPTED)
    try:
        assert interrupted.stdout.readline() == "interrupted\n"
        assert copy.start().communicate(timeout=60)[0] == "2.0\n"
        assert interrupted.poll() is None
    finally:
        interrupted.communicate("\n")


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


def test_a_damaged_cache_is_compiled_again(copy_with):
    copy = copy_with("NUMBA_CACHE_DIR")
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


def test_without_a_folder_to_write_to_the_kernels_work(tmp_path, copy_with):
    copy = copy_with("__pycache__")
    nowhere = str(tmp_path / "file")
    Path(nowhere).write_text("no folder")
    for folder in {file.parent for file in copy.folder.rglob("*.py")}:
        (folder / "__pycache__").write_text("no folder")
    copy.env |= dict.fromkeys(["NUMBA_CACHE_DIR", "HOME", "XDG_CACHE_HOME"], nowhere)
    result, lines = copy.run()
    assert (result, len(lines)) == ("2.0", 1), lines


def test_a_lock_file_that_this_user_may_not_write_is_not_waited_for(monkeypatch, tmp_path):
    """It was taken for one that another process holds: two minutes for each loop."""
    from minicnn.kernels import cache

    def locks(folder):
        raise PermissionError(13, "Permission denied", folder)

    monkeypatch.setattr(cache, "_locks", locks)
    monkeypatch.setattr(cache.time, "sleep", lambda seconds: pytest.fail("waited"))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))

    @cache.njit
    def double(x):
        return 2 * x

    assert double(3) == 6


def test_waiting_is_said_once(monkeypatch, tmp_path):
    from minicnn.kernels import cache

    said = []
    monkeypatch.setattr(cache, "say", said.append)
    monkeypatch.setattr(cache, "SAID_AFTER", -1)
    monkeypatch.setattr(cache, "PATIENCE", 0.1)
    cache._say_once.cache_clear()
    path = tmp_path / "lock"
    path.touch()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    holder.stdout.readline()
    try:
        with path.open("ab") as file, pytest.raises(OSError):
            cache._lock(file, 5)
        assert said == ["waiting for another process that compiles the kernels"]
    finally:
        holder.communicate()
        cache._say_once.cache_clear()


def test_every_module_that_loops_are_made_of_is_in_the_stamp():
    """Constants of `program` were not: loops compiled with old ones were taken for current."""
    from minicnn.kernels import cache

    folder = Path(cache.__file__).parent
    text = "".join(path.read_text(encoding="utf-8") for path in folder.glob("compiled/*.py"))
    used = set(re.findall(r"^from minicnn\.kernels\.(\w+) import", text, re.MULTILINE))
    assert used - {"compiled", "names", "notice"} <= set(cache.OTHERS)
