"""Files are written whole or not at all, where the user's links and modes say, and no line is lost."""

import errno
import io
import os
import signal
import stat
import subprocess
import sys
import threading
from collections import Counter

import pytest

from minicnn import files, train
from minicnn.files import append_line, atomic_write, only_writer, writable_folder

posix = pytest.mark.skipif(os.name == "nt", reason="modes and links are POSIX's")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def python(code, *arguments, **options):
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], **options)


@posix
@pytest.mark.parametrize("absolute", [True, False])
def test_a_link_stays_and_its_target_is_written(tmp_path, absolute):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("before")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real" / "file" if absolute else "real/file")
    assert atomic_write(link, "after") == link
    assert link.is_symlink()
    assert (tmp_path / "real" / "file").read_text() == "after"
    assert sorted(os.listdir(tmp_path)) == ["link", "real"]
    assert os.listdir(tmp_path / "real") == ["file"]


@posix
def test_a_link_to_nothing_makes_the_file_and_a_loop_is_refused(tmp_path):
    (tmp_path / "link").symlink_to("later")
    atomic_write(tmp_path / "link", b"new")
    assert (tmp_path / "later").read_bytes() == b"new"
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        atomic_write(tmp_path / "a", "text")
    assert (tmp_path / "a").is_symlink()


@posix
@pytest.mark.parametrize("before", [0o600, 0o640, 0o644, 0o666, 0o755])
def test_an_existing_file_keeps_its_mode(tmp_path, before):
    path = tmp_path / "file"
    path.write_text("before")
    path.chmod(before)
    atomic_write(path, "after")
    assert (mode(path), path.read_text()) == (before, "after")


@posix
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o027, 0o077])
def test_a_new_file_gets_what_the_umask_leaves(tmp_path, umask):
    old = os.umask(umask)
    try:
        atomic_write(tmp_path / "file", "text")
        append_line(tmp_path / "lines", "text")
    finally:
        os.umask(old)
    assert mode(tmp_path / "file") == mode(tmp_path / "lines") == 0o666 & ~umask


@posix
def test_a_private_file_is_private_while_it_is_written(tmp_path):
    path, seen = tmp_path / "file", []
    path.write_text("before")
    path.chmod(0o600)

    def look(file):
        (temporary,) = set(tmp_path.iterdir()) - {path}
        seen.append(mode(temporary))
        file.write(b"after")

    atomic_write(path, look)
    assert seen == [0o600]


@posix
def test_the_umask_of_the_process_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "umask", lambda _: pytest.fail("another thread would make files for everybody"))
    atomic_write(tmp_path / "file", "text")
    assert (tmp_path / "file").read_text() == "text"


def test_a_write_protected_file_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("before")
    path.chmod(0o444)
    # root may write everything, and tests may be run by root
    monkeypatch.setattr(os, "access", lambda path, _: bool(os.stat(path).st_mode & stat.S_IWUSR))
    with pytest.raises(PermissionError, match="write-protected"):
        atomic_write(path, "after")
    assert path.read_text() == "before"


@posix
def test_what_is_not_a_regular_file_is_written_directly_and_stays(tmp_path):
    fifo, read = tmp_path / "fifo", []
    os.mkfifo(fifo)
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()), daemon=True)
    reader.start()
    atomic_write(fifo, "through the pipe")
    reader.join(10)
    assert read == [b"through the pipe"]
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    with pytest.raises(OSError, match="directory"):
        atomic_write(tmp_path, "text")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        atomic_write(tmp_path / "missing" / "file", "text")
    assert caught.value.filename == str(tmp_path / "missing")


KILLED = """
import sys, time
from minicnn.files import atomic_write
def half(file):
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    time.sleep(600)
atomic_write(sys.argv[1], half)
"""


@posix
@pytest.mark.parametrize("other", [False, True], ids=["the same file", "another file of the folder"])
def test_the_temporary_of_a_killed_process_goes_with_the_next_write(tmp_path, other):
    path = tmp_path / "file"
    path.write_text("before")
    killed = python(KILLED, path, stdout=subprocess.PIPE)
    alive = python(KILLED, path, stdout=subprocess.PIPE)
    try:
        for process in (killed, alive):
            assert process.stdout.readline() == b"writing\n"
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert path.read_text() == "before"
        assert len(os.listdir(tmp_path)) == 3
        atomic_write(tmp_path / "other" if other else path, "after")
        assert len(os.listdir(tmp_path)) == 2 + other, "what a living process is writing stays"
    finally:
        for process in (killed, alive):
            process.kill()
            process.communicate()
    atomic_write(path, "after")
    assert sorted(os.listdir(tmp_path)) == ["file", "other"][: 1 + other]
    assert path.read_text() == "after"


def test_a_temporary_that_was_taken_for_stale_is_made_again(tmp_path, monkeypatch):
    lock, taken = files._lock, []

    def too_late(handle, *, wait):
        if wait and not taken:
            taken.extend(tmp_path.iterdir())
            taken[0].unlink()
        return lock(handle, wait=wait)

    monkeypatch.setattr(files, "_lock", too_late)
    atomic_write(tmp_path / "file", "text")
    assert taken
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"file": "text"}


@posix
def test_without_locks_nothing_is_taken_for_stale(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError("no locks on this file system")

    (tmp_path / ".minicnn-0.tmp").write_text("of another process")
    monkeypatch.setattr(files.fcntl, "flock", unsupported)
    atomic_write(tmp_path / "file", "text")
    append_line(tmp_path / "file", " and more")
    with only_writer(tmp_path), only_writer(tmp_path):
        pass
    assert (tmp_path / "file").read_text() == "text\n and more\n"
    assert (tmp_path / ".minicnn-0.tmp").exists()


def test_readers_see_a_whole_file(tmp_path):
    path, stop, seen = tmp_path / "file", threading.Event(), Counter()
    versions = [letter * 300_000 for letter in "abc"]
    atomic_write(path, versions[0])

    def read():
        while not stop.is_set():
            seen[path.read_text()] += 1

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(60):
        atomic_write(path, versions[turn % 3])
    stop.set()
    reader.join()
    assert set(seen) <= set(versions)
    assert os.listdir(tmp_path) == ["file"]


APPENDS = """
import sys
from minicnn.files import append_line
for row in range(200):
    append_line(sys.argv[1], f"{sys.argv[2]} {row} " + "x" * 5000)
"""


def test_no_row_of_several_processes_is_lost(tmp_path):
    path = tmp_path / "rows.jsonl"
    processes = [python(APPENDS, path, name) for name in "abc"]
    assert [process.wait() for process in processes] == [0, 0, 0]
    rows = path.read_text().splitlines()
    assert {tuple(row.split(" ", 2)) for row in rows} == {
        (name, str(row), "x" * 5000) for name in "abc" for row in range(200)
    }
    assert len(rows) == 600


def test_a_torn_line_stays_alone(tmp_path):
    path = tmp_path / "rows"
    path.write_text('{"whole": 1}\n{"hal')
    append_line(path, '{"whole": 2}')
    append_line(path, "")
    assert path.read_text() == '{"whole": 1}\n{"hal\n{"whole": 2}\n\n'


def test_a_file_is_replaced_when_the_disk_has_the_new_one(tmp_path, monkeypatch):
    """Else a power failure could leave neither: the new name may reach the disk before the new bytes."""
    calls, path = [], tmp_path / "run.npz"
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append("fsync"), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda *names: (calls.append("replace"), replace(*names)))
    train.save(path, {"a": 1})
    assert calls == ["replace"]
    train.save(path, {"a": 2})
    assert calls == ["replace", "fsync", "replace"]
    assert train.load(path) == {"a": 2}


@pytest.mark.parametrize("line", ["a\nb", "a\n", "a\rb"])
def test_a_line_is_one_line(tmp_path, line):
    with pytest.raises(ValueError, match="append_line: line must be one line"):
        append_line(tmp_path / "rows", line)
    assert not list(tmp_path.iterdir())


def test_a_line_that_does_not_fit_is_taken_back(tmp_path, monkeypatch):
    class Full(io.FileIO):
        def write(self, data):
            return super().write(data[:3])

    path = tmp_path / "rows"
    path.write_text("before\n")
    monkeypatch.setattr("builtins.open", lambda name, kind, buffering: Full(name, kind))
    with pytest.raises(OSError, match="No space left"):
        append_line(path, "too long")
    monkeypatch.undo()
    assert path.read_text() == "before\n"


def test_a_full_disk_is_said_with_the_file(tmp_path):
    def full(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left") as caught:
        atomic_write(tmp_path / "rows", full)
    assert caught.value.filename == str(tmp_path / "rows")
    assert not list(tmp_path.iterdir())


@posix
def test_a_folder_has_one_writer(tmp_path):
    with only_writer(tmp_path) as folder:
        assert folder == tmp_path
        with pytest.raises(BlockingIOError, match="another process") as caught, only_writer(tmp_path):
            pass
        assert str(tmp_path) in str(caught.value)
    with only_writer(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_writable_folder_is_made_and_left_empty(tmp_path):
    assert writable_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert not list((tmp_path / "a" / "b").iterdir())
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        writable_folder(tmp_path / "file")
