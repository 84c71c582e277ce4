"""Whatever stops the command ends in one clear line, and what was trained is kept and can be read."""

import contextlib
import shutil
import sqlite3
import sys
from types import SimpleNamespace

import pytest
from study_fixtures import tiny_study

for package in ("matplotlib", "jinja2", "statsmodels"):
    pytest.importorskip(package)

from experiments import pooling_heads
from minicnn import explain, study
from minicnn.study import executors, sql, store
from minicnn.study.trial import Outcome


def run(folder, *arguments):
    options = ["--heads", "max,flatten", "--seeds", "2", "--epochs", "1", "--jobs", "1", "--out", str(folder)]
    return pooling_heads.main([*options, *arguments])


def outcome(trial):
    """The outcome of a training that takes no time."""
    return Outcome(trial.id, values=[("test", "accuracy", "", 0.9 + 0.01 * trial.replicate)])


@pytest.fixture
def quick(monkeypatch):
    """Let trials take no time, and reports too; return the trials that are run."""
    seen = []
    monkeypatch.setattr(executors, "run_trial", lambda trial: seen.append(trial) or outcome(trial))
    monkeypatch.setattr(study, "write_report", lambda results, **_: results.path / "report.html")
    monkeypatch.setattr(study, "costs", lambda *_, **__: {})
    monkeypatch.setattr(explain, "page_of_study", lambda *_, **__: SimpleNamespace(save=lambda path: path))
    return seen


def only_line(capsys):
    """Return what was said, which must be one line without a traceback."""
    said = capsys.readouterr().err
    lines = [line for line in said.splitlines() if line.startswith("pooling_heads: ")]
    assert len(lines) == 1
    assert "Traceback" not in said
    return lines[0]


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm")))
    return {path.relative_to(folder): path.read_bytes() for path in files}


def test_a_second_study_in_the_same_folder_is_refused_and_changes_nothing(tmp_path, quick, capsys):
    tiny_study().run(tmp_path, progress=False)
    before, trained = contents(tmp_path), len(quick)
    assert run(tmp_path) == 2
    assert "path must be a folder of its own for each study" in only_line(capsys)
    assert len(quick) == trained
    assert contents(tmp_path).keys() == before.keys()
    assert study.open_results(tmp_path).name == "study"


@pytest.mark.parametrize(
    "wrong",
    [
        ["--heads", "maxx"],
        ["--match", "size"],
        ["--seeds", "0"],
        ["--trunks", "max3"],
        ["--dataset", "minst"],
        ["--jobs", "none"],
        ["--factor", "head"],
    ],
)
def test_bad_input_leaves_the_results_that_are_there_as_they_are(tmp_path, quick, capsys, wrong):
    assert run(tmp_path) == 0
    before = contents(tmp_path)
    capsys.readouterr()
    assert run(tmp_path, *wrong) == 2
    only_line(capsys)
    assert contents(tmp_path) == before
    assert len(quick) == 4


def test_a_dask_address_where_nobody_listens_is_said_and_the_next_run_goes_on(tmp_path, quick, capsys, monkeypatch):
    distributed = pytest.importorskip("distributed")
    real = distributed.Client
    monkeypatch.setattr(distributed, "Client", lambda address, **kw: real(address, **{**kw, "timeout": "1s"}))
    assert run(tmp_path, "--dask", "tcp://127.0.0.1:1") == 2
    assert "dask must be the address of a running scheduler, got 'tcp://127.0.0.1:1'" in only_line(capsys)
    assert quick == []
    assert study.open_results(tmp_path).missing == 4
    assert run(tmp_path) == 0


@pytest.mark.parametrize("trouble", ["a full disk", "a deleted folder"])
def test_trouble_with_the_disk_ends_in_one_line_and_loses_nothing_that_is_recorded(
    tmp_path, quick, capsys, monkeypatch, trouble
):
    real, saved = store.train.save, []

    def save(path, arrays):
        saved.append(path)
        if len(saved) == 4 and trouble == "a full disk":  # the test images, then two trials
            raise OSError(28, "No space left on device", str(path))
        if len(saved) == 4:
            shutil.rmtree(tmp_path / "trials")
        return real(path, arrays)

    monkeypatch.setattr(store.train, "save", save)
    assert run(tmp_path) == 2
    only_line(capsys)
    found = study.open_results(tmp_path)
    assert (len(found.trials), found.missing) == (2, 2)
    monkeypatch.setattr(store.train, "save", real)
    before = len(quick)
    assert run(tmp_path) == 0
    assert len(quick) - before == (2 if trouble == "a full disk" else 4)  # arrays that are gone are made again
    assert study.open_results(tmp_path).complete


@pytest.mark.parametrize(("first", "last"), [(0, 100), (4096, 8192), (4096, None)])
def test_a_damaged_ledger_is_said_and_nothing_is_trained(tmp_path, quick, capsys, first, last):
    assert run(tmp_path) == 0
    ledger = tmp_path / sql.FILE
    damaged = bytearray(ledger.read_bytes())
    damaged[first:last] = b"\xff" * len(damaged[first:last])
    ledger.write_bytes(damaged)
    capsys.readouterr()
    assert run(tmp_path) == 2
    assert str(ledger) in only_line(capsys)
    assert len(quick) == 4


@pytest.mark.parametrize("trouble", ["locked", "of another format"])
def test_a_ledger_that_cannot_be_used_is_said_and_can_be_read_afterwards(tmp_path, quick, capsys, monkeypatch, trouble):
    assert run(tmp_path) == 0
    before, real = list(study.open_results(tmp_path).rows()), sqlite3.connect
    with contextlib.closing(real(tmp_path / sql.FILE, isolation_level=None)) as other, monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda *args, **options: real(*args, **{**options, "timeout": 0.1}))
        other.execute("BEGIN EXCLUSIVE" if trouble == "locked" else "PRAGMA user_version = 99")
        capsys.readouterr()
        assert run(tmp_path) == 2
        assert ("database is locked" if trouble == "locked" else "got format 99") in only_line(capsys)
        other.execute("ROLLBACK" if trouble == "locked" else f"PRAGMA user_version = {sql.FORMAT}")
    assert list(study.open_results(tmp_path).rows()) == before
    assert len(quick) == 4


def test_an_interruption_while_the_report_is_drawn_loses_nothing(tmp_path, quick, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(study, "write_report", interrupted)
        assert run(tmp_path) == 130
    assert "nothing that was trained is lost" in only_line(capsys)
    assert run(tmp_path) == 0
    assert len(quick) == 4


def test_a_report_that_cannot_be_written_ends_in_one_line(tmp_path, quick, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(study, "write_report", full)
    assert run(tmp_path) == 2
    assert "No space left on device" in only_line(capsys)
    assert study.open_results(tmp_path).complete


def test_a_missing_picture_library_is_said_before_training(tmp_path, quick, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run(tmp_path) == 2
    assert "matplotlib" in only_line(capsys)
    assert quick == []


def test_failed_trials_are_named_and_give_another_status(tmp_path, quick, capsys, monkeypatch):
    monkeypatch.setattr(executors, "run_trial", lambda trial: Outcome(trial.id, error="Traceback\nMemoryError: 9 GB"))
    assert run(tmp_path) == 1
    said = capsys.readouterr().out
    assert "No trial is complete" in said
    assert "max, replicate 0: MemoryError: 9 GB" in said
    monkeypatch.setattr(executors, "run_trial", outcome)
    assert run(tmp_path) == 1  # failed trials stay failed
    assert run(tmp_path, "--retry-failed") == 0
