"""The benchmark: its arithmetic, its adapters and its processes. No test asserts a time."""

import ast
import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
from numpy.testing import assert_allclose

from experiments.benchmark import __main__ as benchmark
from experiments.benchmark import figure, problem, table
from experiments.benchmark.__main__ import main
from experiments.benchmark.adapters.matrix_product import SIDE
from experiments.benchmark.frameworks import ADAPTERS, BASELINE, FRAMEWORKS, able, environment
from experiments.benchmark.rounds import Process, Series, prepared, run_rounds, undisturbed
from experiments.benchmark.tasks import BATCHES, MODES, NETS, Task, images, multiply_adds
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
    assert next(iter(table.peers(row))) == "torch-channels-last"
    assert table.ratio(row) == row["minicnn"]["torch-channels-last"] == [3, 2.25, 3]
    assert row["baseline_fraction"]["minicnn"] == pytest.approx(TASK.multiply_adds / 1.0 / (SIDE**3 / 0.5))
    assert table.geometric_mean([row, row], "minicnn", "torch") == pytest.approx(2)
    assert "| PyTorch, channels_last | **3.00** (2.25 to 3.00) |" in table.markdown([row])


@pytest.mark.parametrize("name", ["torch-kept", "torch-eager-kept", "onnxruntime"])
def test_modes_with_kept_memory_and_onnx_runtime_are_peers(name):
    steps = {"minicnn": 2.0, "torch": 3.0, name: 1.0, "jax": 0.1, BASELINE: 0.5}
    row = table.measurement(replace(TASK, mode="inference"), {n: Series([s] * 3, [2.0] * 3) for n, s in steps.items()})
    assert next(iter(table.peers(row))) == name
    assert table.ratio(row) == [0.5, 0.5, 0.5]
    assert table.geometric_mean([row], "minicnn", table.BEST) == 0.5
    headed = "best of PyTorch and ONNX Runtime / minicnn" in table.markdown([row])
    assert headed == (name == "onnxruntime")


def test_a_table_without_peers_has_no_best():
    row = table.measurement(TASK, {"minicnn": Series([1.0], [2.0]), "jax": Series([2.0], [2.0])})
    assert table.ratio(row) is None
    assert table.geometric_mean([row], "minicnn", table.BEST) is None
    assert "digits8, 4 | 1000.00 |" in table.markdown([row])


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


def test_onnx_runtime_computes_each_network_and_trains_none():
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    for net in NETS:
        side = 8 if net == "digits8" else 28
        given = problem.make_problem(net, side, 4, "inference")
        adapter = FRAMEWORKS["onnxruntime"].load()(NETS[net], (side, side, 1), given.params, 0.1, 0.9)
        problem.check(given, adapter.infer(adapter.make_batch(*given.batches[0])), [])
    with pytest.raises(TypeError, match="mode must be inference for ONNX Runtime"):
        adapter.train_step(None)
    assert able(FRAMEWORKS, "training") == [name for name in FRAMEWORKS if name != "onnxruntime"]
    assert able(FRAMEWORKS, "inference") == list(FRAMEWORKS)


def test_the_smallest_task_with_onnx_runtime(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    pytest.importorskip("matplotlib")
    options = "--nets digits8 --batches 1 --rounds 1 --step-times-only --frameworks minicnn-numpy,onnxruntime"
    assert main([*options.split(), "--out", str(tmp_path)]) == 0
    trained, inferred = json.loads((tmp_path / "benchmark.json").read_text(encoding="utf-8"))["rows"]
    assert (trained["mode"], list(trained["step_ms"])) == ("training", ["minicnn-numpy"])
    assert (inferred["mode"], list(inferred["step_ms"])) == ("inference", ["minicnn-numpy", "onnxruntime"])
    assert inferred["minicnn-numpy"]["onnxruntime"][0] > 0
    assert "ONNX Runtime" in (tmp_path / "benchmark.md").read_text(encoding="utf-8")


def test_inference_is_measured_for_one_image_and_for_large_batches():
    assert BATCHES == {"training": (32, 128), "inference": (1, 32, 128, 1024)}


def test_the_accuracy_of_minicnn_and_of_the_fastest_peer_is_measured():
    small = {"net": "keras_mnist", "mode": "training", "step_ms": {"torch": 1.0, "torch-kept": 2.0}}
    large = {**small, "step_ms": {"minicnn": 1.0, "torch": 5.0, "torch-kept": 4.0, "jax": 2.0}}
    names = ["minicnn", "minicnn-numpy", "torch", "torch-kept", "jax"]
    assert benchmark._rivals([small, large, {**large, "mode": "inference"}], names) == ["minicnn", "torch-kept"]
    assert benchmark._rivals([], names) == ["minicnn"]


def test_the_figure_shows_frameworks_that_are_slower_and_faster(monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    ratios = {"torch": [30.0, 29.0, 31.0], "jax": [0.25, 0.2, 0.3]}
    saved = []
    monkeypatch.setattr(figure.style, "save", lambda drawn, _: saved.append(drawn))
    row = {"net": "digits8", "batch": 32, "mode": "training", "minicnn": ratios}
    one = {**row, "batch": 1, "mode": "inference", "minicnn": {"onnxruntime": [0.15, 0.14, 0.16]}}
    figure.draw([row, one], tmp_path / "figure")
    for axes in saved[0].axes:
        low, high = axes.get_xlim()
        assert low < 0.14
        assert high > 31
    assert [axes.get_title() for axes in saved[0].axes] == ["training", "inference"]
    assert {text.get_text() for text in saved[0].legends[0].get_texts()} == {
        "PyTorch, eager",
        "JAX, jit",
        "ONNX Runtime",
    }


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


@pytest.mark.parametrize("mode", MODES)
def test_the_readme_has_the_tables_of_the_committed_results(mode):
    found = json.loads((RESULTS / "benchmark.json").read_text(encoding="utf-8"))
    readme = (RESULTS.parents[1] / "README.md").read_text(encoding="utf-8")
    assert table.brief([row for row in found["rows"] if row["mode"] == mode]) in readme


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
