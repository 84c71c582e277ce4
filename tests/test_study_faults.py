"""What a study loses when something goes wrong: nothing that was trained, and one clear line says what happened."""

import contextlib
import errno
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import Future

import kill_study
import numpy as np
import pytest
import tables

from minicnn import data, files, models, optim, study
from minicnn.study import cluster, executors, interruption, store

posix = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals of POSIX")

RNG = np.random.default_rng(0)
DATA = data.from_arrays(RNG.random((60, 6, 6, 1), np.float32), np.arange(60) % 3, test=0.3)
RECIPE = study.Recipe(optim.Adam(1e-2), epochs=1, batch_size=16)
NETS = {f"width {width}": models.mlp((width,), classes=3) for width in (3, 5, 7)}


def of(**changes):
    settings = {"control": "width 3", "data": DATA, "recipe": RECIPE, "replicates": study.Seeds(2)}
    return study.Study(NETS, **{**settings, **changes})


def measuring(measure):
    return of(measures={"accuracy": study.accuracy, "own": measure})


def is_wide(net):
    return "units=5" in repr(net)


def killed(net, params, dataset):
    if is_wide(net):
        os.kill(os.getpid(), signal.SIGKILL)
    return 1.0


def out_of_memory(net, params, dataset):
    if is_wide(net):
        raise MemoryError("no 7 GB")
    return 1.0


def not_finite(net, params, dataset):
    if is_wide(net):
        raise FloatingPointError("overflow")
    return 1.0


def ends_python(net, params, dataset):
    if is_wide(net):
        sys.exit(3)
    return 1.0


def table(results):
    return results.to_csv(results.path / "table.csv").read_bytes()


@pytest.fixture(autouse=True)
def quick_to_start(monkeypatch):
    """Worker processes without Numba, and this process with the same kernels, whatever earlier tests have chosen."""
    monkeypatch.setenv("MINICNN_KERNELS", "numpy_blocked")
    tables.use(monkeypatch, "numpy_blocked")


def resumes(folder, s=None):
    """The study goes on from what is recorded, to the end, and equals one that was not disturbed."""
    s = s or of()
    before = kill_study.contents(folder)["trials"] if (folder / "study.sqlite").is_file() else {}
    found = s.run(folder, progress=False)
    assert found.complete
    whole = s.run(folder.parent / "whole", progress=False)
    assert table(found) == table(whole)
    mine, other = kill_study.contents(folder), kill_study.contents(whole.path)
    assert mine == other
    return len(before)


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="processes are looked up in /proc")
def test_a_study_that_is_killed_twice_equals_one_that_was_not(tmp_path):
    at, left = kill_study.killed_until_complete(tmp_path / "killed", 2, 3.0, np.random.default_rng(1))
    assert not left
    whole = kill_study.start(tmp_path / "whole", jobs=1)
    _, errors = whole.communicate()
    assert (whole.returncode, errors) == (0, "")
    assert kill_study.contents(tmp_path / "killed") == kill_study.contents(tmp_path / "whole"), at


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="processes are looked up in /proc")
@pytest.mark.parametrize(
    ("how", "to", "kind"),
    # Ctrl-C in a terminal reaches all processes, and so does the signal of `timeout`
    [
        (signal.SIGTERM, os.kill, "tuned"),
        (signal.SIGTERM, os.killpg, "plain"),
        (signal.SIGKILL, os.kill, "plain"),
        (signal.SIGINT, os.killpg, "plain"),
    ],
)
def test_no_process_is_left_behind(tmp_path, how, to, kind):
    process = kill_study.start(tmp_path, slow=0.3, kind=kind)
    until = time.monotonic() + 60
    while not kill_study.complete_trials(tmp_path) and time.monotonic() < until:
        time.sleep(0.05)
    assert len(kill_study.alive(process.pid)) >= 3  # the study and its two workers
    to(process.pid, how)
    output, errors = process.communicate(timeout=60)
    assert not kill_study.left_behind(process.pid)
    if how == signal.SIGKILL:
        assert (process.returncode, "Traceback" in errors) == (-how, False)
    else:  # one line, and nothing of the resource tracker; after Ctrl-C the program goes on with what there is
        assert errors == "study: interrupted; what is complete is kept, and the next run continues there.\n"
        assert process.returncode == (3 if how == signal.SIGINT else 128 + signal.SIGTERM)
        assert ("trials done" in output) == (how == signal.SIGINT)
    assert study.open_results(tmp_path).missing


def test_signals_that_the_program_handles_itself_are_left_alone(tmp_path):
    seen = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        s = of(measures={"accuracy": study.accuracy, "own": lambda *_: signal.raise_signal(signal.SIGTERM) or 1.0})
        assert s.run(tmp_path, progress=False).complete
    finally:
        signal.signal(signal.SIGTERM, before)
    assert set(seen) == {signal.SIGTERM}


INTERRUPTED = """
import os, signal, time
from minicnn.study.interruption import signals_interrupt
with signals_interrupt():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    except KeyboardInterrupt:
        os.kill(os.getpid(), getattr(signal, {second!r}))
        time.sleep(60)
"""


@posix
@pytest.mark.parametrize("second", ["SIGTERM", "SIGHUP"])
def test_the_second_signal_ends_the_process_at_once(second):
    command = [sys.executable, "-c", INTERRUPTED.format(second=second)]
    assert subprocess.run(command, check=False, timeout=50).returncode == -getattr(signal, second)


@posix
@pytest.mark.parametrize(("error", "raised"), [(None, SystemExit), (OSError, OSError)])
def test_an_error_of_what_a_signal_interrupts_is_raised(error, raised):
    with pytest.raises(raised) as caught, interruption.signals_interrupt():
        try:
            signal.raise_signal(signal.SIGHUP)
        finally:
            if error:
                raise error
    assert error or caught.value.code == 128 + signal.SIGHUP
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL


def test_ctrl_c_among_the_signals_stays_one():
    with pytest.raises(KeyboardInterrupt), interruption.signals_interrupt():
        raise KeyboardInterrupt


MASK = """
import signal
from minicnn.study import executors, interruption
processes = executors.Processes(2)
pool = processes._open(2)
with interruption.signals_blocked():
    mask = pool.submit(signal.pthread_sigmask, signal.SIG_BLOCK, [])
print(sorted(map(int, mask.result())), sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))))
processes.close()
"""


@posix
def test_workers_start_with_the_signals_blocked():
    """In a new process, because the first worker of one also starts loky's and Python's resource trackers."""
    found = subprocess.run([sys.executable, "-c", MASK], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == f"{sorted(map(int, interruption.ALL))} []"


def test_a_killed_worker_costs_only_its_own_trials(tmp_path):
    s = of(replicates=study.Seeds(1), measures={"accuracy": study.accuracy, "own": killed})
    found = s.run(tmp_path, jobs=2, progress=False)
    assert [(t.arm, t.error) for t in found.failed] == [("width 5", cluster.DIED)]
    assert len(found.values()["width 3"]) == len(found.values()["width 7"]) == 1
    assert not found.missing


@pytest.mark.parametrize(
    ("measure", "says"),
    [
        (out_of_memory, "MemoryError: no 7 GB"),
        (not_finite, "FloatingPointError: overflow"),
        (ends_python, "SystemExit: 3"),
    ],
)
def test_a_failed_trial_keeps_its_traceback_and_is_run_again_on_request(tmp_path, measure, says, monkeypatch):
    s = measuring(measure)
    found = s.run(tmp_path, progress=False)
    assert [t.arm for t in found.failed] == ["width 5"] * 2
    for trial in found.failed:
        assert trial.error.startswith("Traceback")
        assert f"in {measure.__name__}" in trial.error
        assert trial.error.strip().endswith(says)
    assert [t.attempts for t in s.run(tmp_path, progress=False).failed] == [1, 1]
    assert [t.attempts for t in s.run(tmp_path, progress=False, retry_failed=True).failed] == [2, 2]
    monkeypatch.setattr(sys.modules[__name__], "is_wide", lambda net: False)
    again = s.run(tmp_path, progress=False, retry_failed=True)
    assert again.complete
    assert {t.attempts for t in again.trials if t.arm == "width 5"} == {3}
    assert {t.error for t in again.trials} == {""}


def test_an_outcome_that_cannot_be_sent_is_a_failed_trial(tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "run_trial", unsendable)
    found = of().run(tmp_path, jobs=2, progress=False)
    assert len(found.failed) == 6
    assert "pickle" in found.failed[0].error


def unsendable(trial):
    return (number for number in ())


@pytest.fixture(scope="module")
def local_cluster():
    """Two worker processes on this machine."""
    distributed = pytest.importorskip("distributed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINICNN_KERNELS", "numpy_blocked")
        workers = {"n_workers": 2, "threads_per_worker": 1, "processes": True}
        with distributed.LocalCluster(**workers, dashboard_address=None, silence_logs=50) as running:
            yield running


def test_one_process_several_and_a_cluster_give_the_same_bits(tmp_path, local_cluster):
    ways = {"serial": {}, "processes": {"jobs": 2}, "cluster": {"dask": local_cluster.scheduler_address}}
    found = {way: of().run(tmp_path / way, progress=False, **options) for way, options in ways.items()}
    assert found["serial"].complete
    assert len({table(results) for results in found.values()}) == 1
    serial, *others = [kill_study.contents(results.path) for results in found.values()]
    assert len(serial["arrays"]) > 6
    assert others == [serial, serial]


def test_a_worker_of_a_cluster_that_is_killed_costs_only_its_own_trials(tmp_path, local_cluster):
    s = of(replicates=study.Seeds(1), measures={"accuracy": study.accuracy, "own": killed})
    found = s.run(tmp_path, dask=local_cluster.scheduler_address, progress=False)
    assert [(t.arm, t.error) for t in found.failed] == [("width 5", cluster.DIED)]
    assert len(found.values()["width 3"]) == len(found.values()["width 7"]) == 1
    assert of().run(tmp_path / "after", dask=local_cluster.scheduler_address, progress=False).complete


def test_a_worker_of_a_cluster_that_rounds_differently_is_refused(tmp_path, local_cluster, monkeypatch):
    real = cluster.canonical.numerics()
    monkeypatch.setattr(cluster.canonical, "numerics", lambda: {**real, "numpy": "0.9"})
    found = of().run(tmp_path, dask=local_cluster.scheduler_address, progress=False)
    assert len(found.failed) == 6
    assert "would round differently" in found.failed[0].error


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "127.0.0.1:9", "nonsense", "xyz://127.0.0.1:9"])
def test_an_address_where_nobody_listens_is_one_line(tmp_path, address):
    pytest.importorskip("distributed")
    with pytest.raises(OSError, match="dask must be the address of a running scheduler, got") as raised:
        of().run(tmp_path, dask=address, progress=False)
    assert "\n" not in str(raised.value)


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_full_disk_under_the_arrays(tmp_path, monkeypatch, jobs):
    with monkeypatch.context() as patch:
        real, calls = files._fill, []

        def failing(file, content):
            calls.append(file)
            if len(calls) > 7:  # the test images and two trials with two measures each fit
                raise FULL
            real(file, content)

        patch.setattr(files, "_fill", failing)
        with pytest.raises(OSError, match="No space left on device"):
            of().run(tmp_path / "s", jobs=jobs, progress=False)
    assert study.open_results(tmp_path / "s").missing == 4
    assert not list((tmp_path / "s" / "trials").glob(".minicnn-*"))
    assert resumes(tmp_path / "s") == 2


def test_a_full_disk_under_the_ledger(tmp_path, monkeypatch):
    real = store.Store.record

    def limited(self, trial, outcome):
        pages = self._connection.execute("PRAGMA page_count").fetchone()[0]
        if len(self.trials()) == 2:  # as if no page could be added
            self._connection.execute(f"PRAGMA max_page_count = {pages}")
            outcome.curve.extend({"epoch": i, "text": "x" * 4000} for i in range(2, 99))
        real(self, trial, outcome)

    with monkeypatch.context() as patch:
        patch.setattr(store.Store, "record", limited)
        with pytest.raises(OSError, match=r"the ledger .* cannot be used: database or disk is full\.") as raised:
            of().run(tmp_path / "s", progress=False)
    assert "\n" not in str(raised.value)
    assert resumes(tmp_path / "s") == 2


def test_the_folder_is_deleted_meanwhile(tmp_path, monkeypatch):
    real, seen = executors.run_trial, []

    def deleting(trial):
        seen.append(trial)
        if len(seen) == 3:
            shutil.rmtree(tmp_path / "s")
        return real(trial)

    with monkeypatch.context() as patch:
        patch.setattr(executors, "run_trial", deleting)
        with pytest.raises(OSError, match=re.escape(str(tmp_path / "s"))) as raised:
            of().run(tmp_path / "s", progress=False)
    assert "\n" not in str(raised.value)
    assert resumes(tmp_path / "s") == 0


def test_a_locked_ledger(tmp_path, monkeypatch):
    of(replicates=study.Seeds(1)).run(tmp_path / "s", progress=False)
    real = sqlite3.connect
    other = real(tmp_path / "s" / "study.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda *args, **options: real(*args, **{**options, "timeout": 0.1}))
        for use in (lambda: of().run(tmp_path / "s", progress=False), lambda: study.open_results(tmp_path / "s")):
            with pytest.raises(OSError, match=r"the ledger .* cannot be used: database is locked"):
                use()
    other.close()
    assert resumes(tmp_path / "s") == 3


def test_two_processes_at_once(tmp_path):
    with files.only_writer(tmp_path), pytest.raises(BlockingIOError, match="another process is writing its results"):
        of().run(tmp_path, progress=False)


def emptied(content):
    return b""


def torn(content):
    return content[: len(content) // 2]


def scrambled(content):
    return np.random.default_rng(0).bytes(len(content))


@pytest.mark.parametrize("damage", [emptied, torn, scrambled])
def test_a_damaged_ledger_is_refused_and_left_alone(tmp_path, damage):
    whole = of(replicates=study.Seeds(1)).run(tmp_path, progress=False)
    path = tmp_path / "study.sqlite"
    content = path.read_bytes()
    path.write_bytes(damage(content))
    for use in (lambda: of().run(tmp_path, progress=False), lambda: study.open_results(tmp_path)):
        with pytest.raises((ValueError, OSError), match=re.escape(str(tmp_path))) as raised:
            use()
        assert "\n" not in str(raised.value)
    assert path.read_bytes() == damage(content)
    path.write_bytes(content)
    assert study.open_results(tmp_path).values() == whole.values()


def test_a_ledger_of_another_format(tmp_path):
    of(replicates=study.Seeds(1)).run(tmp_path, progress=False)
    with contextlib.closing(sqlite3.connect(tmp_path / "study.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 99")
    for use in (lambda: of().run(tmp_path, progress=False), lambda: study.open_results(tmp_path)):
        with pytest.raises(ValueError, match="must be a ledger of format 2, got format 99"):
            use()


OTHER_DATA = data.from_arrays(RNG.random((60, 6, 6, 1), np.float32), np.arange(60) % 3, test=0.3)


@pytest.mark.parametrize("other", [{"name": "another"}, {"data": OTHER_DATA}])
def test_a_second_study_in_the_same_folder_is_refused(tmp_path, other):
    whole = of().run(tmp_path, progress=False)
    with pytest.raises(ValueError, match="path must be a folder of its own for each study"):
        of(**other).run(tmp_path, progress=False)
    assert study.open_results(tmp_path).values() == whole.values()


def test_places_where_no_study_can_be(tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    for path in (file, file / "inside"):
        with pytest.raises(OSError, match=re.escape(str(file))):
            of().run(path, progress=False)
    assert file.read_text() == "mine"
    with pytest.raises(ValueError, match=r"must be the folder of a study, got .*nowhere"):
        study.open_results(tmp_path / "nowhere")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="everything can be written here")
def test_a_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(PermissionError, match=re.escape(str(tmp_path))):
            of().run(tmp_path, progress=False)
    finally:
        tmp_path.chmod(0o755)


def test_damaged_arrays_of_a_trial_are_named(tmp_path):
    found = of(replicates=study.Seeds(1)).run(tmp_path, progress=False)
    path = tmp_path / "trials" / f"{found.trials[0].id}.npz"
    path.write_bytes(torn(path.read_bytes()))
    with pytest.raises(ValueError, match=re.escape(str(path))):
        found.params("width 3")
    path.unlink()
    assert kill_study.contents(of(replicates=study.Seeds(1)).run(tmp_path, progress=False).path)["arrays"]


@pytest.fixture
def command(tmp_path, monkeypatch):
    """The command of the experiment on this small study."""
    from experiments import pooling_heads

    monkeypatch.setattr("minicnn.comparison.plans.study_of", lambda *_: of())
    return lambda: pooling_heads.main(["--out", str(tmp_path / "s"), "--jobs", "1"])


@pytest.mark.parametrize(
    ("raised", "status", "says"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (FULL, 2, "No space left on device"),
        (ImportError("minicnn: matplotlib must be installed"), 2, "matplotlib must be installed"),
    ],
)
def test_a_report_that_cannot_be_drawn_loses_nothing(tmp_path, monkeypatch, command, capsys, raised, status, says):
    def failing(*args, **options):
        raise raised

    monkeypatch.setattr(study, "write_report", failing)
    assert command() == status
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert says in lines[0]
    assert study.open_results(tmp_path / "s").complete


class SlowPool:
    """A pool whose thread hands trials over a moment after they were submitted, as loky's does on a busy machine."""

    def __init__(self):
        self.futures, self.handed_over = [], None

    def submit(self, function, trial):
        future = Future()
        self.futures.append(future)
        first = len(self.futures) == 1
        threading.Timer(0.0 if first else 0.1, future.set_running_or_notify_cancel).start()
        if first:
            threading.Timer(0.05, future.set_result, [function]).start()
        return future

    def shutdown(self, **how):
        self.handed_over = all(future.running() or future.done() for future in self.futures)


def test_processes_are_killed_when_each_has_been_given_its_trial(monkeypatch):
    """Before, a KeyError of loky's thread could be the last line of an interrupted study."""
    processes, pool = executors.Processes(2), SlowPool()
    processes._pool, processes._size = pool, 2
    trials = processes(["one", "two", "three"])
    assert next(trials)[0] == "one"
    trials.close()
    assert pool.handed_over
