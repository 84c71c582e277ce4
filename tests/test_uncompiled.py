"""Parts of a program that run with NumPy's kernels, so that no loops are compiled for what runs once."""

import os
import threading

import numpy as np
import pytest
from numpy.testing import assert_allclose

from minicnn import Tensor, explain, kernels, layers, models, ops
from minicnn.kernels import uncompiled as module
from minicnn.kernels.names import KERNELS
from minicnn.kernels.uncompiled import uncompiled
from minicnn.study.report.maps import class_map

needs_compiled = pytest.mark.skipif(kernels.name() != "compiled", reason="needs the compiled kernels")
RNG = np.random.default_rng(0)
NET = models.small_cnn("max", filters=(4, 8), strides=(1, 1))
PARAMS = NET.init(RNG, (8, 8, 1))
IMAGE = RNG.random((8, 8, 1), np.float32)


@pytest.fixture
def dtypes(monkeypatch):
    """Return the dtypes of the arrays that the compiled kernels are called with."""
    seen = set()

    def watched(kernel):
        def call(*args, **kwargs):
            seen.update(a.dtype.name for a in args if isinstance(a, np.ndarray) and a.dtype.kind == "f")
            return kernel(*args, **kwargs)

        return call

    for name in KERNELS:
        monkeypatch.setitem(vars(kernels), name, watched(getattr(kernels.implementation(), name)))
    return seen


@needs_compiled
def test_a_page_and_a_class_map_need_no_compiled_loops_for_float64(dtypes):
    average = models.small_cnn("global-average", filters=(4, 8), strides=(1, 1))
    others = {"average": (average, average.init(RNG, (8, 8, 1)))}
    explain.page(NET, PARAMS, IMAGE, 3, title="A net", heads=others)
    assert dtypes == {"float32"}
    class_map(NET, PARAMS, IMAGE, 3)
    assert dtypes == {"float32"}
    ops.relu(np.ones(3))
    assert dtypes == {"float32", "float64"}


@needs_compiled
def test_other_threads_keep_the_compiled_kernels(dtypes):
    with uncompiled():
        ops.relu(np.ones(3))
        assert not dtypes
        thread = threading.Thread(target=ops.relu, args=(np.ones(3),))
        thread.start()
        thread.join()
        assert dtypes == {"float64"}


def gradients(x):
    x = Tensor(x)
    params = {
        name: {leaf: np.asarray(a, np.float64) for leaf, a in part.items()} for name, part in PARAMS_OF_CHAIN.items()
    }
    ops.sum(CHAIN(params, x) ** 2.0).backward()
    return x.grad


CHAIN = layers.Sequential([layers.Conv2D(4, 3), layers.ReLU(), layers.MaxPooling2D(2), layers.AveragePooling2D(2)])
PARAMS_OF_CHAIN = CHAIN.init(np.random.default_rng(1), (8, 8, 1))


def test_the_values_are_the_same_to_rounding_and_the_kernels_come_back():
    x = np.random.default_rng(2).normal(size=(2, 8, 8, 1))
    before = {name: getattr(kernels, name, None) for name in KERNELS}
    with pytest.raises(KeyError), uncompiled(), uncompiled():
        inside = gradients(x)
        raise KeyError
    assert {name: getattr(kernels, name, None) for name in KERNELS} == before
    assert_allclose(inside, gradients(x), rtol=1e-12, atol=1e-14)


@needs_compiled
def test_after_ctrl_c_the_compiled_kernels_are_back(monkeypatch):
    before = {name: getattr(kernels, name) for name in KERNELS}

    class Interrupted(dict):
        def update(self, *args):
            super().update(*args)
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "_compiled", Interrupted())
    with pytest.raises(KeyboardInterrupt), uncompiled():
        pass
    assert {name: getattr(kernels, name) for name in KERNELS} == before


@needs_compiled
@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process cannot fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_forked_process_has_the_kernels_and_the_lock():
    name = next(iter(KERNELS))
    before = getattr(kernels, name)
    inside, done = threading.Event(), threading.Event()

    def other():
        with uncompiled():
            inside.set()
            done.wait()

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait()
    child = os.fork()
    if not child:
        with uncompiled():  # it waited for ever for the thread that has not been forked
            pass
        os._exit(0 if getattr(kernels, name) is before else 1)
    done.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
