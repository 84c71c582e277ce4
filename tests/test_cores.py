"""Sharing a batch over threads: all of it, once, in order, also while other threads ask for theirs."""

import os
import re
import subprocess
import sys
import threading

import numpy as np
import pytest

pytest.importorskip("numba")

from minicnn.geometry import Geometry
from minicnn.kernels import compiled, cores, reference

HOW = Geometry((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), (9, 9)), 1


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    monkeypatch.setattr(cores, "_THREADS", 2)


def arrays(n=16):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, 9, 9, 4)), rng.standard_normal((3, 3, 4, 8)), rng.standard_normal(8)


def test_parts_cover_the_batch_once_and_come_back_in_order():
    spans = cores.in_parallel(lambda first, last: list(range(first, last)), 7, cores.MIN_WORK)
    assert len(spans) == 2
    assert [i for span in spans for i in span] == list(range(7))


@pytest.mark.parametrize(("images", "work", "parts"), [(0, 10**9, 0), (1, 10**9, 1), (5, 1, 1), (5, 10**9, 2)])
def test_little_work_stays_on_one_core(images, work, parts):
    assert len(cores.in_parallel(lambda first, last: last - first, images, work)) == parts


def test_an_error_in_a_worker_reaches_the_caller_and_the_next_call_works():
    def fails(first, last):
        if first:
            raise ValueError("second part")
        return last

    for _ in range(3):
        with pytest.raises(ValueError, match="second part"):
            cores.in_parallel(fails, 4, 10**9)
        assert cores.in_parallel(lambda first, last: last, 4, 10**9) == [2, 4]


def test_many_threads_at_once_get_the_same_bytes():
    x, kernel, bias = arrays()
    expected = compiled.conv2d(x, kernel, bias, *HOW)
    g = np.ones_like(expected)
    gradient = compiled.conv2d_weight_grads(g, x, kernel.shape, *HOW)[0]
    wrong = []

    def work():
        for _ in range(50):
            if not np.array_equal(compiled.conv2d(x, kernel, bias, *HOW), expected):
                wrong.append("conv2d")
            if not np.array_equal(compiled.conv2d_weight_grads(g, x, kernel.shape, *HOW)[0], gradient):
                wrong.append("weight_grads")

    callers = [threading.Thread(target=work) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_computes_too():
    x, kernel, bias = arrays()
    expected = compiled.conv2d(x, kernel, bias, *HOW)
    child = os.fork()
    if not child:
        os._exit(0 if np.array_equal(compiled.conv2d(x, kernel, bias, *HOW), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("MINICNN_THREADS", value) for value in ["0", "-1", "two", "1.5", "4,3", "²", " ", "1_0", "+2", "0x2"]]
    + [("OMP_NUM_THREADS", value) for value in ["0", "two", "4,", ",4", "4,,2", "4,two", "4,0", "4;2"]],
)
def test_a_wrong_number_of_threads_is_refused(monkeypatch, name, value):
    monkeypatch.setattr(cores, "_THREADS", 0)
    monkeypatch.delenv("MINICNN_THREADS", raising=False)
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"^{name} must be a positive integer, got '{re.escape(value)}'"):
        cores.threads()


@pytest.mark.parametrize(
    ("name", "value", "threads"),
    [
        ("OMP_NUM_THREADS", "3", 3),
        ("OMP_NUM_THREADS", "4,3,2", 4),
        ("OMP_NUM_THREADS", " 2 , 1", 2),
        ("MINICNN_THREADS", "007", 7),
        ("MINICNN_THREADS", "256", 256),
        ("MINICNN_THREADS", str(10**9), 256),
        ("MINICNN_THREADS", "9" * 5000, 256),
        ("OMP_NUM_THREADS", f"{10**20},2", 256),
    ],
)
def test_threads_follow_the_environment(monkeypatch, name, value, threads):
    monkeypatch.setattr(cores, "_THREADS", 0)
    monkeypatch.delenv("MINICNN_THREADS", raising=False)
    monkeypatch.setenv(name, value)
    assert cores.threads() == threads


def test_one_thread_and_two_agree(monkeypatch):
    x, kernel, _ = arrays()
    g = np.random.default_rng(1).standard_normal((16, 9, 9, 8))
    two = compiled.conv2d_weight_grads(g, x, kernel.shape, *HOW)[0]
    monkeypatch.setattr(cores, "_THREADS", 1)
    one = compiled.conv2d_weight_grads(g, x, kernel.shape, *HOW)[0]
    np.testing.assert_allclose(one, two, rtol=1e-12)
    np.testing.assert_allclose(one, reference.conv2d_weight_grads(g, x, kernel.shape, *HOW)[0], rtol=1e-12)


def test_the_first_compilation_is_announced_once(tmp_path):
    program = (
        "import numpy as np; from minicnn.kernels import compiled;"
        "x = np.ones(3); compiled.relu(x); compiled.relu_grad(x, x)"
    )
    lines = []
    for _ in range(2):
        env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
        lines.append(done.stderr.splitlines())
    assert [len(part) for part in lines] == [1, 0]
    assert "compiling its kernels" in lines[0][0]
