"""The scripts run at smoke size, refuse what cannot work before they train, and lose nothing."""

import csv
import html.parser
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

for package in ("matplotlib", "jinja2", "statsmodels"):
    pytest.importorskip(package)

from experiments import mnist, pooling_heads
from experiments.benchmark import __main__ as benchmark
from experiments.known_bugs import __main__ as known_bugs
from minicnn import data, models
from minicnn.files import only_writer
from minicnn.layers import Classifier, summary
from minicnn.study import format_table, read_csv

ROOT = Path(__file__).parents[1]


def run(folder, *arguments):
    return pooling_heads.main(["--seeds", "2", "--epochs", "1", "--out", str(folder), *arguments])


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("heads")
    assert run(folder, "--processes", "1") == 0
    return folder


def rows(folder):
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_head_and_seed_is_in_the_table(results):
    expected = {(arm, str(seed)) for arm in [*models.HEADS, "mlp"] for seed in (0, 1)}
    assert {(row["arm"], row["seed"]) for row in rows(results)} == expected
    assert all(0 <= float(row["test_accuracy"]) <= 1 for row in rows(results))


@pytest.mark.parametrize(("dataset", "tested", "trained"), [("digits", 359, 1258), ("fashion-mnist", 10_000, 54_000)])
def test_published_tables_are_those_of_the_published_results(dataset, tested, trained):
    folder = ROOT / "experiments" / "results" / f"pooling_heads-{dataset}"
    parts = SimpleNamespace(test=range(tested), train=range(trained))
    rows = pooling_heads.summary_of(read_csv(folder / "results.csv"), pooling_heads.PLANS[dataset], parts)
    assert (folder / "table.txt").read_text(encoding="utf-8") == format_table(rows) + "\n"


def test_the_sizes_of_digits_in_published_tables_are_right():
    digits = data.load("digits")
    assert (len(digits.test), len(digits.train)) == (359, 1258)


def test_sizes_are_those_of_the_nets(results):
    plan = pooling_heads.PLANS["digits"]
    for row in rows(results):
        if row["arm"] != "mlp":
            size = summary(models.small_cnn(row["arm"], **plan.trunk), (8, 8, 1))
            assert (int(row["parameters"]), int(row["multiply_adds"])) == (size.parameters, size.multiply_adds)


def test_pictures_and_report_are_there_and_whole(results):
    for name in ("learning_curves", "accuracy_against_cost", "differences"):
        assert (results / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "</svg>" in (results / f"{name}.svg").read_text()
    page = (results / "report.html").read_text()
    html.parser.HTMLParser().feed(page)
    assert all(head in page for head in models.HEADS)
    assert 'src="http' not in page and "<script" not in page
    assert not [name for name in os.listdir(results) if name.startswith(".")]


def test_several_processes_get_the_accuracies_of_one(tmp_path):
    for name, processes in (("one", "1"), ("two", "2")):
        assert run(tmp_path / name, "--heads", "max,mlp", "--processes", processes) == 0
    one, two = (
        {(row["arm"], row["seed"]): float(row["test_accuracy"]) for row in rows(tmp_path / name)}
        for name in ("one", "two")
    )
    # One image may fall the other way: with one thread a sum is added up in another order than with two.
    assert all(abs(one[key] - two[key]) < 2 / 359 for key in one)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--heads", "max,maxx"], "got 'maxx'"),
        (["--seeds", "0"], "--seeds must be an integer of at least 1, got 0"),
        (["--epochs", "-1"], "--epochs must be an integer of at least 1, got -1"),
        (["--processes", "0"], "--processes must be an integer of at least 1, got 0"),
        (["--heads", ""], "got ''"),
    ],
)
def test_bad_arguments_are_refused_before_training(tmp_path, capsys, arguments, words):
    assert run(tmp_path, *arguments) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_said_before_training(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pooling_heads, "run_all", lambda *_, **__: pytest.fail("trained"))
    (tmp_path / "file").write_text("in the way")
    assert run(tmp_path / "file") == 2
    assert "file" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file locks for this")
@pytest.mark.parametrize("job", [pooling_heads, known_bugs, benchmark], ids=lambda job: job.__name__.split(".")[1])
def test_a_folder_that_another_process_fills_is_refused_before_training(tmp_path, capsys, job):
    with only_writer(tmp_path):
        assert job.main(["--out", str(tmp_path)]) == 2
    assert f"another process is writing its results there: '{tmp_path}'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_runs_of_mnist_at_the_same_time_keep_all_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist.data, "load", lambda *_, **__: None)
    monkeypatch.setattr(mnist, "run", lambda name, *_: {"net": name, "test_accuracy": 0.5, "seconds": 1.0})
    arguments = ["--nets", ",".join(["lenet5"] * 50), "--out", str(tmp_path)]
    threads = [threading.Thread(target=mnist.main, args=[arguments]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = [json.loads(line) for line in (tmp_path / "mnist.jsonl").read_text().splitlines()]
    assert [row["net"] for row in rows] == ["lenet5"] * 200


def test_an_interrupted_study_reports_what_is_done(tmp_path, monkeypatch, capsys):
    real = pooling_heads.run_all

    def interrupted(study, **options):
        for count, done in enumerate(real(study, processes=1)):
            if count == 3:
                raise KeyboardInterrupt
            yield done

    monkeypatch.setattr(pooling_heads, "run_all", interrupted)
    assert run(tmp_path, "--heads", "max,mlp") == 130
    assert len(rows(tmp_path)) == 3
    assert (tmp_path / "report.html").exists()
    assert "mlp" in capsys.readouterr().out


def test_one_head_alone_has_a_report_without_differences(tmp_path, capsys):
    assert run(tmp_path, "--heads", "average") == 0
    assert not (tmp_path / "differences.png").exists()
    assert "average" in (tmp_path / "report.html").read_text()


def test_a_part_of_a_study_has_a_folder_of_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert pooling_heads.main(["--heads", "max,mlp", "--seeds", "1", "--epochs", "1"]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["pooling_heads-digits-max+mlp-seeds-1-epochs-1"]


@pytest.mark.parametrize(
    ("heads", "expected"),
    [
        ("max,mlp", "pooling_heads-digits-max+mlp"),
        ("../../etc,a/b", "pooling_heads-digits-..%2F..%2Fetc+a%2Fb"),
        ("..", "pooling_heads-digits-.."),
        ("a\\b:c\0", "pooling_heads-digits-a%5Cb%3Ac%00"),
    ],
)
def test_names_of_heads_do_not_lead_out_of_the_folder(heads, expected):
    folder = pooling_heads._folder(pooling_heads._options(["--heads", heads]))
    assert folder == Path("out", expected)
    assert folder.parent == Path("out")


def test_help_names_the_heads():
    shown = subprocess.run(
        [sys.executable, "-m", "experiments.pooling_heads", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert all(head in shown for head in models.HEADS)


def test_all_arms_share_trunk_and_first_weights():
    arms = pooling_heads._arms(pooling_heads.PLANS["digits"].trunk)
    assert len({arm.trunk for arm in arms.values() if isinstance(arm, Classifier)}) == 1


def test_mnist_refuses_an_unknown_net(tmp_path, capsys):
    assert mnist.main(["--nets", "resnet", "--out", str(tmp_path)]) == 2
    assert (
        "--nets must be names from keras_mnist, lenet5, small_cnn, separated by commas, got 'resnet'"
        in capsys.readouterr().err
    )


def test_mnist_writes_a_row_with_its_provenance(tmp_path, monkeypatch):
    digits = data.load("digits")
    small = mnist.Recipe(models.mlp((8,)), epochs=1, rate=1e-2)
    monkeypatch.setattr(mnist, "RECIPES", {"tiny": small})
    monkeypatch.setattr(mnist.data, "load", lambda *_, **__: digits)
    assert mnist.main(["--nets", "tiny", "--out", str(tmp_path)]) == 0
    row = (tmp_path / "mnist.jsonl").read_text()
    assert all(word in row for word in ('"command"', '"seed": 0', '"numpy"', '"seconds"', '"test_accuracy"'))


@pytest.mark.parametrize("job", ["pooling_heads", "known_bugs", "mnist", "benchmark"])
def test_a_wrong_environment_is_said_before_any_work(tmp_path, job):
    arguments = [sys.executable, "-m", f"experiments.{job}", "--out", str(tmp_path / "out")]
    wrong = {**os.environ, "MINICNN_KERNELS": "fast"}
    done = subprocess.run(arguments, env=wrong, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"{job}: MINICNN_KERNELS must be one of compiled, numpy_blocked, reference, got 'fast'.\n"
    assert not (tmp_path / "out").exists()


def test_known_bugs_rejects_a_wrong_number_of_threads(tmp_path):
    pytest.importorskip("numba")
    options = ["--seeds", "1", "--epochs", "1", "--out", str(tmp_path)]
    arguments = [sys.executable, "-m", "experiments.known_bugs", *options]
    wrong = {**os.environ, "MINICNN_KERNELS": "compiled", "MINICNN_THREADS": "two"}
    done = subprocess.run(arguments, env=wrong, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "MINICNN_THREADS must be a positive integer, got 'two'" in done.stderr
    assert not list(tmp_path.iterdir())


def test_mnist_refuses_no_epochs_before_it_trains(tmp_path, capsys):
    assert mnist.main(["--epochs", "0", "--out", str(tmp_path / "out")]) == 2
    assert "--epochs must be an integer of at least 1, got 0" in capsys.readouterr().err
