"""The table of tests/test_ops.py and the ops that are not in it, with each kernel set."""

import importlib

import numpy as np
import pytest
from test_kernels import IMPLEMENTATIONS
from test_ops import IMAGE, POOLINGS, TABLE, row, seeded

import minicnn.kernels

INDICES = np.array([0, 7, 29, -1, 7, 13] * 4).reshape(2, 3, 2, 2)
COMPOSED = [
    *[row("gem_pool2d", IMAGE, p, **how) for p, how in zip([(), (1,), (2,), (2,)], POOLINGS, strict=False)],
    row("gem_pool2d", IMAGE, rest=(3.0,)),
    *[row("log_mean_exp_pool2d", IMAGE, r=r, **how) for r, how in zip([0.5, 1.0, 9.0], POOLINGS, strict=False)],
    *[row("soft_pool2d", IMAGE, **how) for how in POOLINGS],
    *[row("stochastic_pool2d", IMAGE, **how) for how in POOLINGS[:3]],
    row("stochastic_pool2d", IMAGE, rng=seeded),
    *[row("max_average_pool2d", IMAGE, **how) for how in POOLINGS[:3]],
    row("blur_pool2d", IMAGE),
    row("blur_pool2d", IMAGE, pool_size=(2, 3), strides=1, mode="edge"),
    row("max_unpool2d", INDICES.shape, rest=(INDICES, (6, 5))),
]
EVERY = [*TABLE, *COMPOSED]
every_row = pytest.mark.parametrize("row", EVERY, ids=str)


def implementation(name):
    if name == "compiled":
        pytest.importorskip("numba")
    return importlib.import_module(f"minicnn.kernels.{name}")


def use(monkeypatch, name):
    """Let the ops use one kernel set, whatever the environment says."""
    chosen = implementation(name)
    monkeypatch.setattr(minicnn.kernels, "implementation", lambda: chosen)
    for kernel in minicnn.kernels.__all__:  # also those that have been looked up before
        monkeypatch.setitem(vars(minicnn.kernels), kernel, getattr(chosen, kernel, None))
    return chosen


@pytest.fixture(params=IMPLEMENTATIONS)
def kernels(request, monkeypatch):
    """The kernel set that the ops use in this test."""
    return use(monkeypatch, request.param)
