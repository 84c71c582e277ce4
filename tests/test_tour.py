"""docs/tour.md is what `python docs/tour.py` writes, and one training step is as short as it says."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROGRAM = ROOT / "docs" / "tour.py"
TOUR = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
LINES, CALLS, FILES = map(int, re.search(r"step is (\d+) lines of code: (\d+) calls in (\d+) files", TOUR).groups())


def run(*arguments):
    return subprocess.run([sys.executable, PROGRAM, *arguments], check=False, cwd=ROOT, capture_output=True, text=True)


def sections():
    """Return the path of each file of the tour and the source that is shown of it."""
    return re.findall(r"^## \d+\. \[`(.*?)`\].*?^```python\n(.*?)^```", TOUR, re.DOTALL | re.MULTILINE)


def test_the_tour_has_not_drifted():
    done = run("--check")
    assert done.returncode == 0, f"docs/tour.md differs from what runs: python docs/tour.py {done.stderr}"


@pytest.fixture
def program(monkeypatch):
    spec = importlib.util.spec_from_file_location("tour", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "tour", module)
    spec.loader.exec_module(module)
    return module


def test_a_tour_that_has_drifted_fails_the_check(program, monkeypatch, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("Here one training step is 7 lines of code in 8 files.")
    monkeypatch.setattr(program, "README", readme)
    monkeypatch.setattr(program, "TOUR", tmp_path / "tour.md")
    monkeypatch.setattr(program, "tour", lambda: ("as it is", 3, 2))
    assert program.main([]) == 0
    assert readme.read_text() == "Here one training step is 3 lines of code in 2 files."
    assert program.main(["--check"]) == 0
    monkeypatch.setattr(program, "tour", lambda: ("as it is", 4, 2))  # the README is behind
    assert program.main(["--check"]) == 1
    monkeypatch.setattr(program, "tour", lambda: ("as it is now", 3, 2))  # the tour is behind
    assert program.main(["--check"]) == 1


def test_one_training_step_is_short():
    assert LINES <= 500
    assert CALLS <= 300
    assert FILES <= 15


MEASURE = """
import json
from pathlib import Path

import numpy as np
import tour
from minicnn import data, train

net, optimizer = tour.network()
rng = np.random.default_rng(0)
images, labels = rng.random((12, 8, 8, 1), dtype=np.float32), np.arange(12) % 10
params = net.init(rng, images.shape[1:])
batch = (params, optimizer.init(params), images[:4], labels[:4])
steps = {
    "fit": lambda: train.fit(net, data.Split(images, labels), optimizer=optimizer, epochs=1, batch_size=4),
    "train_step": lambda: train.train_step(net, optimizer, *batch, rng=rng),
}
found = {}
for name, step in steps.items():
    step()
    calls = tour.trace(step)
    if name == "fit":  # from one step to the next, the loop, which takes three, included
        starts = [i for i, code in enumerate(calls) if code is train.loop._step.__code__]
        calls = calls[starts[1] : starts[2]]
    found[name] = len(calls), sorted({Path(code.co_filename).relative_to(tour.PACKAGE).as_posix() for code in calls})
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def measured():
    """Return the calls and the files of one step, as `fit` and as `train_step` take it, with the reference kernels."""
    paths = os.pathsep.join([str(PROGRAM.parent), str(ROOT)])
    kernels = {"MINICNN_KERNELS": "reference", "MINICNN_FUSE": "0", "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], check=True, capture_output=True, text=True, env=os.environ | kernels
    )
    return json.loads(done.stdout)


def test_from_one_step_of_fit_to_the_next_there_are_few_calls(measured):
    """Beyond the step of the tour the loop takes the next batch, looks up the rate, and adds up loss and accuracy."""
    calls, files = measured["fit"]
    assert calls <= 300
    assert {path for path, _ in sections()} <= set(files)


def test_one_call_of_train_step_is_short(measured):
    """One file more than the step of the tour: the wrapper `hints.explained`, which explains a wrong call."""
    calls, files = measured["train_step"]
    assert calls == CALLS + 2 <= 300
    assert len(files) <= 15
    assert set(files) == {path for path, _ in sections()} | {"hints.py"}


def test_the_numbers_are_those_of_what_is_shown():
    assert len(sections()) == FILES
    assert sum(bool(line.strip()) for _, source in sections() for line in source.splitlines()) == LINES


def test_each_line_shown_stands_in_its_file():
    for path, source in sections():
        text = (ROOT / "minicnn" / path).read_text(encoding="utf-8")
        lines = set(text.splitlines())
        heads = {line for line in source.splitlines() if line.startswith("class ")}
        cut = {line for line in source.splitlines() if line.endswith('"""') and f"{line[:-3]}\n" in text}
        assert set(source.splitlines()) - heads - cut <= lines
        assert all(head.split("(")[0].rstrip(":") in text for head in heads)


def test_the_tour_follows_the_data():
    paths = [path for path, _ in sections()]
    way = ["train/loop.py", "layers/containers.py", "ops/conv.py", "ops/activation.py", "ops/pool.py", "ops/matrix.py",
           "ops/loss.py", "optim.py"]  # fmt: skip
    assert [path for path in paths if path in way] == way


def test_the_readme_says_how_long_a_step_is():
    found = re.search(r"one training step is (\d+) lines of code in (\d+)\s+files", (ROOT / "README.md").read_text())
    assert tuple(map(int, found.groups())) == (LINES, FILES)


def test_the_step_of_the_tour_is_that_of_train_step(program):
    """Same parameters, bit for bit, with the kernels of this process."""
    import numpy as np

    from minicnn import train

    net, optimizer = program.network()
    rng = np.random.default_rng(0)
    images, labels = rng.random((4, 8, 8, 1), dtype=np.float32), np.arange(4)
    params = net.init(rng, images.shape[1:])
    expected = train.train_step(net, optimizer, params, optimizer.init(params), images, labels, rng=rng)
    got = program.training_step()()
    assert got[2:] == expected[2:]
    assert got[0]["conv2d"]["kernel"].tobytes() == expected[0]["conv2d"]["kernel"].tobytes()
