"""Calls of `in_parallel` that do not run to their end: what follows is neither hung, nor alone, nor wrong."""

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

from minicnn.kernels import compiled, cores

STRESS = Path(__file__).with_name("stress_interrupts.py")
MUCH = 10**9


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    monkeypatch.setattr(cores, "_THREADS", 2)


def part(first, last):
    time.sleep(0.001)  # so long that no thread takes two parts
    return threading.get_ident()


def sharing():
    return len(set(cores.in_parallel(part, 4, MUCH)))


def interrupted(first, last):
    if not first:
        raise KeyboardInterrupt
    time.sleep(0.001)


def native_threads():
    return len(os.listdir("/proc/self/task"))


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timer on this system")
@pytest.mark.parametrize("by", ["timer", "process"])
def test_interruptions_at_random_moments_leave_nothing_behind(by):
    command = [sys.executable, STRESS, "--interrupts", "250", "--by", by, "--patience", "60"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert found.pop("interrupts") >= 250
    assert found.pop("most_threads") < 100
    assert found == dict.fromkeys(["hangs", "wrong", "stuck", "crashes", "threads_left"], 0)


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted as Linux does")
def test_the_threads_of_interrupted_calls_end():
    assert sharing() == 2
    gc.collect()
    before = native_threads()
    for _ in range(500):
        with pytest.raises(KeyboardInterrupt):
            cores.in_parallel(interrupted, 4, MUCH)
    gc.collect()  # what pytest knows of the errors refers to itself
    end = time.monotonic() + 60
    while native_threads() > before and time.monotonic() < end:
        time.sleep(0.01)
    assert native_threads() <= before
    assert sharing() == 2


def test_a_traceback_that_is_kept_does_not_keep_later_calls_on_one_thread():
    with pytest.raises(KeyboardInterrupt) as kept:
        cores.in_parallel(interrupted, 4, MUCH)
    found = []
    other = threading.Thread(target=lambda: found.append(sharing()))
    other.start()
    other.join()
    assert found == [2]
    assert sharing() == 2
    assert kept.value.__traceback__ is not None


def test_a_call_within_a_call_has_the_same_parts():
    def outer(first, last):
        return first, last, cores.in_parallel(lambda first, last: (first, last), 6, MUCH)

    inner = [(0, 3), (3, 6)]
    for _ in range(3):
        assert cores.in_parallel(outer, 4, MUCH) == [(0, 2, inner), (2, 4, inner)]
    assert sharing() == 2


def test_a_call_in_a_signal_handler_during_a_call():
    found = []
    before = signal.signal(signal.SIGINT, lambda *_: found.append(cores.in_parallel(lambda *span: span, 6, MUCH)))

    def signals(first, last):
        if not first:
            signal.raise_signal(signal.SIGINT)
        return first, last

    try:
        assert cores.in_parallel(signals, 4, MUCH) == [(0, 2), (2, 4)]
    finally:
        signal.signal(signal.SIGINT, before)
    assert found == [[(0, 3), (3, 6)]]


def test_a_destructor_that_runs_in_an_idle_worker_does_not_wait_for_itself():
    assert sharing() == 2
    (pool,) = cores._IDLE
    worker = pool.workers[0]
    worker.start(cores.in_parallel, lambda *span: span, 6, MUCH)
    assert worker.done.wait(worker.count)
    assert worker.finish() == [(0, 3), (3, 6)]


def test_where_no_thread_can_be_started_the_parts_are_the_same(monkeypatch):
    def refuse(*_):
        raise RuntimeError("can't start new thread")

    cores._IDLE.clear()
    with monkeypatch.context() as patch:
        patch.setattr(cores._thread, "start_new_thread", refuse)
        assert cores.in_parallel(lambda *span: span, 7, MUCH) == [(0, 3), (3, 7)]
    assert sharing() == 2


def test_callers_at_the_same_time_share_one_pool_and_leave_one():
    parts = [(0, 3), (3, 7)]
    wrong = []

    def call():
        for _ in range(200):
            if cores.in_parallel(lambda *span: span, 7, MUCH) != parts:
                wrong.append(1)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong
    assert len(cores._IDLE) == 1


PROGRAM = """
import atexit, sys
import numpy as np
from minicnn import validation
from minicnn.kernels import compiled, cores

x = np.ones(10**6, np.float32)

class Last:
    def __init__(self, where):
        self.where, self.relu, self.x, self.say, self.out = where, compiled.relu, x, print, sys.stdout

    def __del__(self):
        self.say(self.where, self.relu(self.x).sum(), file=self.out, flush=True)

compiled.relu(x)
atexit.register(lambda: Last("atexit"))
validation.last = Last("teardown")
"""


@pytest.mark.parametrize("pool", ["", "cores._IDLE.clear()"], ids=["a pool", "no pool"])
def test_a_kernel_in_a_destructor_at_exit_does_not_hang(pool):
    env = {**os.environ, "MINICNN_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + pool], env=env, capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout.splitlines() == ["atexit 1e+06", "teardown 1e+06"]


def test_a_real_kernel_is_right_after_an_interruption():
    x = np.linspace(-1, 1, 10**6)
    with pytest.raises(KeyboardInterrupt):
        cores.in_parallel(interrupted, 4, MUCH)
    assert np.array_equal(compiled.relu(x), np.maximum(x, 0))
