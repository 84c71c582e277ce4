"""Random calls of every public name end in a result or in our own words, with each implementation of the kernels."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
import random_calls

from minicnn import layers, ops

HERE = Path(__file__).parent


@pytest.mark.parametrize("kernels", ["reference", "numpy_blocked", "compiled"])
def test_a_random_call_returns_or_is_refused_in_our_own_words(kernels):
    """In a process of its own, whose memory is limited. More calls: python tests/random_calls.py --calls 20000."""
    if kernels == "compiled":
        pytest.importorskip("numba")
    command = [sys.executable, str(HERE / "random_calls.py"), "--calls", "1500", "--kernels", kernels]
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_public_name_is_called():
    called = {target.text for target in random_calls.targets()}
    for prefix, module in (("ops", ops), ("layers", layers)):
        functions = {f"{prefix}.{n}" for n in module.__all__ if callable(getattr(module, n)) and n != "Layer"}
        assert functions <= called
    assert {
        "Tensor",
        "value_and_grad",
        "grad",
        "train.fit",
        "optim.Adam",
        "schedules.Cosine",
        "models.small_cnn",
    } <= called


def bad(x):
    raise KeyError(x)


def slow(x):
    while True:
        pass


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("ops.relu(np.ones(3))", "returned"),
        ("ops.relu(3j)", "refused"),
        ("ops.max_pool2d(np.ones(3))", "refused"),
        ("train.load('nowhere.npz')", "refused"),
        ("np.ones(3) + np.ones(2)", "foreign"),
        ("layers.ReLU().init(*range(9))", "refused"),
        ("minicnn.kernels.can_fuse(3)", "foreign"),
        ("bad(3)", "other"),
        ("layers.nothing", "other"),
        ("slow(3)", "time"),
        ("np.ones(2**50)", "memory"),
    ],
)
def test_the_driver_tells_how_a_call_ends(text, kind, monkeypatch):
    monkeypatch.setattr(random_calls, "SECONDS", 0.05)
    assert random_calls.verdict(text, {**random_calls.names(), "bad": bad, "slow": slow})[0] == kind


def test_the_same_seed_gives_the_same_calls():
    known = random_calls.targets()

    def calls(seed):
        choices = random.Random(seed)  # noqa: S311
        return [random_calls.call_text(choices, known) for _ in range(50)]

    assert calls(1) == calls(1)
    assert sum(one == other for one, other in zip(calls(1), calls(2), strict=True)) < 10
