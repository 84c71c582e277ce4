"""The benchmark: its arithmetic, its adapters and its processes. No test asserts a time."""

import ast
import importlib.util
import json
import sys
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
from numpy.testing import assert_allclose

from experiments.benchmark import figure, problem, table
from experiments.benchmark.__main__ import main
from experiments.benchmark.adapters.matrix_product import SIDE
from experiments.benchmark.frameworks import ADAPTERS, BASELINE, FRAMEWORKS, environment
from experiments.benchmark.rounds import Process, Series, prepared, run_rounds, undisturbed
from experiments.benchmark.tasks import NETS, Task, images, multiply_adds
from minicnn import layers

TASK = Task("digits8", 8, 4)
RESULTS = Path(__file__).parents[1] / "experiments" / "results"


def test_multiply_adds_agree_with_a_count_by_hand():
    forward = 64 * 9 * 16, 16 * 9 * 16 * 32, 128 * 10
    assert multiply_adds("digits8", 8, "inference") == sum(forward)
    assert multiply_adds("digits8", 8, "training") == 3 * sum(forward) - forward[0]
    assert Task("digits8", 8, 5).multiply_adds == 5 * multiply_adds("digits8", 8, "training")


def test_images_are_digits_of_any_side():
    x, labels = images(16, 2, 3)
    assert x.shape == (2, 3, 16, 16, 1)
    assert x.dtype == np.float32
    assert labels.shape == (2, 3)
    assert 0.9 < x.max() <= 1


def test_ratios_are_taken_round_by_round_against_the_best_median():
    found = {
        "minicnn": Series([1.0, 2.0, 1.0], [2.0] * 3),
        "torch": Series([2.0, 4.0, 6.0], [2.0] * 3),
        "torch-channels-last": Series([3.0, 3.0, 3.0], [2.0] * 3),
        BASELINE: Series([0.5] * 3, [2.0] * 3),
    }
    row = table.measurement(TASK, found)
    assert row["step_ms"] == {"minicnn": 1000, "torch": 4000, "torch-channels-last": 3000}
    assert row["minicnn"]["torch"][0] == 2
    assert row["minicnn"]["best of PyTorch"] == row["minicnn"]["torch-channels-last"] == [3, 2.25, 3]
    assert row["baseline_fraction"]["minicnn"] == pytest.approx(TASK.multiply_adds / 1.0 / (SIDE**3 / 0.5))
    assert table.geometric_mean([row, row], "minicnn", "torch") == pytest.approx(2)
    assert "**3.00** (2.25 to 3.00)" in table.markdown([row])


def test_a_round_with_less_cpu_time_than_usual_is_disturbed():
    found = {"a": Series([1.0] * 4, [2.0, 1.9, 1.2, 2.0]), "b": Series([1.0] * 4, [1.0, 1.0, 1.0, 0.8])}
    assert undisturbed(found) == [0, 1]


def test_a_problem_is_read_as_written_and_rejects_wrong_losses(tmp_path):
    made = problem.make_problem("digits8", 8, 4)
    read = problem.read(problem.write(made, tmp_path / "problem.npz"))
    assert_allclose(read.losses, made.losses)
    assert_allclose(read.params["conv2d_1"]["kernel"], made.params["conv2d_1"]["kernel"])
    problem.check(read, made.logits, list(made.losses))
    with pytest.raises(ValueError, match="losses must agree with float64"):
        problem.check(read, made.logits, [1.001 * loss + 0.01 for loss in made.losses])


@pytest.mark.parametrize("name", ["minicnn", "minicnn-numpy", "torch", "torch-channels-last", "autograd"])
@pytest.mark.parametrize("net", NETS)
def test_each_adapter_computes_each_network(name, net):
    pytest.importorskip(FRAMEWORKS[name].package)
    side = 8 if net == "digits8" else 28
    given = problem.make_problem(net, side, 4)
    options = problem.LEARNING_RATE, problem.MOMENTUM
    adapter = FRAMEWORKS[name].load()(NETS[net], (side, side, 1), given.params, *options)
    batches = [adapter.make_batch(*batch) for batch in given.batches]
    problem.check(given, adapter.infer(batches[0]), [adapter.train_step(batch) for batch in batches])


def test_the_figure_shows_frameworks_that_are_slower_and_faster(monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    ratios = {"torch": [30.0, 29.0, 31.0], "jax": [0.25, 0.2, 0.3]}
    saved = []
    monkeypatch.setattr(figure.style, "save", lambda drawn, _: saved.append(drawn))
    figure.draw([{"net": "digits8", "batch": 32, "mode": "training", "minicnn": ratios}], tmp_path / "figure")
    low, high = saved[0].axes[0].get_xlim()
    assert low < 0.2
    assert high > 31


PACKAGES = ["jax", "jax.numpy", "tinygrad", "autograd", "autograd.numpy", "torch"]


@pytest.mark.parametrize("name", ["jax", "tinygrad", "hips_autograd", "pytorch"])
def test_an_adapter_refuses_a_layer_that_it_does_not_know(name, monkeypatch):
    for package in PACKAGES:  # none has to be installed: the layer is refused before anything is computed
        monkeypatch.setitem(sys.modules, package, MagicMock())
    monkeypatch.delitem(sys.modules, f"{ADAPTERS}.{name}", raising=False)
    adapter = importlib.import_module(f"{ADAPTERS}.{name}")
    monkeypatch.delitem(sys.modules, f"{ADAPTERS}.{name}")  # made of what is not there
    net, shape = layers.Sequential([layers.Tanh()]), (4, 4, 1)
    with pytest.raises(TypeError, match=rf"benchmark: layer must be one .* {name} supports, got Tanh\(\)"):
        {"jax": lambda: adapter.logits(net, {}, np.ones((1, *shape))),
         "hips_autograd": lambda: adapter.logits(net, {}, np.ones((1, *shape))),
         "tinygrad": lambda: adapter.logits(net, shape, {}, np.ones((1, *shape))),
         "pytorch": lambda: adapter.module(net, shape, {})}[name]()  # fmt: skip


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_module_and_class_of_every_adapter_exist(name):
    # read without importing, so that a framework need not be installed
    module, _, adapter = FRAMEWORKS[name].adapter.partition(":")
    spec = importlib.util.find_spec(f"{ADAPTERS}.{module}")
    assert spec, f"{name}: no module {module} in {ADAPTERS}"
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    assert adapter in [node.name for node in tree.body if isinstance(node, ast.ClassDef)]


def test_the_committed_table_is_the_report_of_the_committed_results():
    found = json.loads((RESULTS / "benchmark.json").read_text(encoding="utf-8"))
    assert (RESULTS / "benchmark.md").read_text(encoding="utf-8") == table.report(found)


def test_rounds_of_two_frameworks():
    found = run_rounds(["minicnn-numpy", BASELINE], TASK, rounds=1, seconds=0.01)
    assert {name: len(series.steps) for name, series in found.items()} == {"minicnn-numpy": 1, BASELINE: 1}
    assert all(seconds > 0 for series in found.values() for seconds in series.steps)


def test_a_failing_request_is_reported_with_the_framework():
    process = Process("minicnn-numpy", 1)
    with pytest.raises(RuntimeError, match="minicnn-numpy: TypeError"):
        process.request("round", seconds=0.01)  # before `prepare`
    process.end()


def test_peak_memory_is_that_of_the_process_alone():
    with prepared(["minicnn-numpy"], TASK) as processes:
        size = processes["minicnn-numpy"].request("peak_memory")["bytes"]
    assert 20e6 < size < 300e6


def test_all_frameworks_get_the_same_number_of_threads():
    assert environment("torch", 2)["OMP_NUM_THREADS"] == environment("minicnn", 2)["MINICNN_THREADS"] == "2"


@pytest.mark.parametrize("option", ["--nets alexnet", "--frameworks caffe", "--modes thinking", "--batches x",
                                    "--batches 32,0", "--rounds 0"])  # fmt: skip
def test_invalid_options_are_rejected_before_measuring(option, capsys, tmp_path):
    assert main([*option.split(), "--out", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()
    name, wrong = option.split()
    error = capsys.readouterr().err
    assert "benchmark:" in error
    assert name in error
    assert wrong.split(",")[-1] in error
