"""The scripts run at smoke size, refuse what cannot work before they train, and lose nothing."""

import csv
import html.parser
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from statistics import fmean

import pytest

for package in ("matplotlib", "jinja2", "statsmodels"):
    pytest.importorskip(package)

from experiments import mnist, pooling_heads
from experiments.benchmark import __main__ as benchmark
from experiments.known_bugs import __main__ as known_bugs
from minicnn import data, models
from minicnn.comparison import Choice, default_folder, plans
from minicnn.files import only_writer
from minicnn.layers import summary
from minicnn.study import checks, executors, open_results
from minicnn.study.report import figures
from minicnn.study.sql import FILE

ROOT = Path(__file__).parents[1]


HEADS = "flatten,max,global-max"


def run(folder, *arguments):
    return pooling_heads.main(["--seeds", "2", "--epochs", "1", "--jobs", "1", "--out", str(folder), *arguments])


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("heads")
    assert run(folder, "--heads", HEADS) == 0
    return folder


@pytest.fixture
def without_pictures(monkeypatch):
    """A report of text alone, for tests of what is trained: to draw takes most of the time of a small study."""
    monkeypatch.setattr(figures, "figures", lambda *_: {})


def rows(folder):
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_head_and_seed_is_in_the_table(results):
    expected = {(arm, str(seed)) for arm in HEADS.split(",") for seed in (0, 1)}
    found = [row for row in rows(results) if (row["split"], row["measure"]) == ("test", "accuracy")]
    assert {(row["arm"], row["seed"]) for row in found} == expected
    assert all(0 <= float(row["value"]) <= 1 for row in found)


def test_the_published_table_is_that_of_the_published_results_and_stands_in_the_readme():
    folder = ROOT / "experiments" / "results" / "pooling_heads-digits"
    table = (folder / "table.txt").read_text(encoding="utf-8")
    assert table.rstrip() in (ROOT / "README.md").read_text(encoding="utf-8")
    shown = {line.split()[0]: line for line in table.splitlines()[2:] if line.split()}
    wanted = (("accuracy", "", "6"), ("shift", "mean", "6"))
    for head in plans.PLANS["digits"]["heads"]:
        for measure, condition, n in wanted:
            values = [
                float(row["value"])
                for row in rows(folder)
                if (row["arm"], row["split"], row["measure"], row["condition"]) == (head, "test", measure, condition)
            ]
            assert len(values) == int(n)
            assert f" {100 * fmean(values):.2f} " in shown[head]


def test_the_rates_of_the_plan_are_those_that_its_grid_chose():
    grid = plans._grid(plans.PLANS["digits"])
    tried = plans.tried("digits")
    assert {arm: grid.best(by) for arm, by in tried.items()} == plans.PLANS["digits"]["rates"]
    assert set(grid.seeds).isdisjoint(plans.study_of("digits").replicates.seeds)


def test_sizes_are_those_of_the_nets(results):
    arms = open_results(results).description["arms"]
    for head, net in plans.head_arms("digits").items():
        if head in arms:
            size = summary(net, (12, 12, 1))
            assert (arms[head]["parameters"], arms[head]["multiply_adds"]) == (size.parameters, size.multiply_adds)


def test_pictures_and_report_are_there_and_whole(results):
    for name in ("learning", "under_shift", "differences", "class_maps", "most_often_wrong", "confusions"):
        assert (results / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "</svg>" in (results / f"{name}.svg").read_text()
    page = (results / "report.html").read_text()
    html.parser.HTMLParser().feed(page)
    assert all(head in page for head in HEADS.split(","))
    assert 'src="http' not in page and "<script" not in page
    assert not [name for name in os.listdir(results) if name.startswith(".")]


@pytest.mark.usefixtures("without_pictures")
def test_several_processes_get_every_bit_of_one(results, tmp_path):
    assert run(tmp_path, "--heads", HEADS, "--jobs", "2") == 0
    assert (tmp_path / "results.csv").read_bytes() == (results / "results.csv").read_bytes()


@pytest.mark.usefixtures("without_pictures")
def test_the_same_command_again_trains_nothing(results, tmp_path, monkeypatch):
    folder = tmp_path / "copy"
    shutil.copytree(results, folder)
    before = (folder / "results.csv").read_bytes()
    monkeypatch.setattr(executors, "run_trial", lambda trial: pytest.fail("trained"))
    assert run(folder, "--heads", HEADS) == 0
    assert (folder / "results.csv").read_bytes() == before


@pytest.mark.usefixtures("without_pictures")
def test_more_seeds_train_only_the_new_ones(results, tmp_path, monkeypatch):
    folder = tmp_path / "copy"
    shutil.copytree(results, folder)
    real, trained = executors.run_trial, []
    monkeypatch.setattr(executors, "run_trial", lambda trial: trained.append(trial.seed) or real(trial))
    assert run(folder, "--heads", HEADS, "--seeds", "3") == 0
    assert trained == [2, 2, 2]


def test_a_dry_run_says_what_would_be_done_and_does_nothing(tmp_path, capsys):
    assert run(tmp_path / "out", "--heads", HEADS, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "6 trials, of which 0 are in the ledger" in shown
    assert "decided with a probability of 80 %" in shown
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--heads", "max,maxx"], "got 'maxx'. Did you mean 'max'?"),
        (["--trunks", "max3"], "got 'max3'"),
        (["--match", "size"], "--match must be one of parameters, multiply_adds, got 'size'"),
        (["--seeds", "0"], "--seeds must be an integer of at least 1, got 0"),
        (["--epochs", "-1"], "--epochs must be an integer of at least 1, got -1"),
        (["--jobs", "0"], "--jobs must be an integer of at least 1, got 0"),
        (["--heads", ","], "got ''"),
    ],
)
def test_bad_arguments_are_refused_before_training(tmp_path, capsys, arguments, words):
    assert run(tmp_path, *arguments) == 2
    shown = capsys.readouterr().err
    assert words in shown
    assert shown.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_said_before_training(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(executors, "run_trial", lambda trial: pytest.fail("trained"))
    (tmp_path / "file").write_text("in the way")
    assert run(tmp_path / "file") == 2
    assert "file" in capsys.readouterr().err


def test_a_damaged_ledger_is_said_before_training(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(executors, "run_trial", lambda trial: pytest.fail("trained"))
    (tmp_path / FILE).write_bytes(b"no ledger" * 1000)
    assert run(tmp_path, "--heads", "max") == 2
    assert f"must be an undamaged ledger of a study, got {tmp_path / FILE}: " in capsys.readouterr().err


@pytest.mark.usefixtures("without_pictures")
def test_a_failed_trial_costs_only_itself_and_is_trained_again_on_request(tmp_path, capsys, monkeypatch):
    real = executors.run_trial

    def broken(trial):
        if (trial.arm, trial.seed) == ("max", 1):
            return executors.Outcome(trial.id, error="Traceback\nFloatingPointError: the loss became NaN")
        return real(trial)

    monkeypatch.setattr(executors, "run_trial", broken)
    assert run(tmp_path, "--heads", "max,flatten") == 1
    assert "max, replicate 1: FloatingPointError: the loss became NaN" in capsys.readouterr().out
    assert "FloatingPointError" in (tmp_path / "report.html").read_text()
    assert run(tmp_path, "--heads", "max,flatten") == 1
    monkeypatch.setattr(executors, "run_trial", real)
    assert run(tmp_path, "--heads", "max,flatten", "--retry-failed") == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file locks for this")
@pytest.mark.parametrize("job", [pooling_heads, known_bugs, benchmark], ids=lambda job: job.__name__.split(".")[1])
def test_a_folder_that_another_process_fills_is_refused_before_training(tmp_path, capsys, job):
    with only_writer(tmp_path):
        assert job.main(["--out", str(tmp_path)]) == 2
    assert f"another process is writing its results there: '{tmp_path}'" in capsys.readouterr().err
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


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


@pytest.mark.usefixtures("without_pictures")
def test_an_interrupted_study_reports_what_is_done(tmp_path, monkeypatch, capsys):
    real, begun = executors.run_trial, []

    def interrupted(trial):
        begun.append(trial)
        if len(begun) > 3:
            raise KeyboardInterrupt
        return real(trial)

    monkeypatch.setattr(executors, "run_trial", interrupted)
    assert run(tmp_path, "--heads", "max,flatten") == 130
    assert len({(row["arm"], row["seed"]) for row in rows(tmp_path)}) == 3
    assert "1 trials have not been run" in (tmp_path / "report.html").read_text()
    shown = capsys.readouterr()
    assert "flatten" in shown.out
    assert "the next run continues there" in shown.err
    monkeypatch.setattr(executors, "run_trial", real)
    assert run(tmp_path, "--heads", "max,flatten") == 0


def test_one_head_alone_has_a_report_without_differences(tmp_path, capsys):
    assert run(tmp_path, "--heads", "average") == 0
    assert not (tmp_path / "differences.png").exists()
    assert "average" in (tmp_path / "report.html").read_text()


def test_trunks_are_crossed_with_heads_and_sizes_are_matched(tmp_path):
    crossed = plans.study_of("digits", plans.Choice(heads=["flatten", "max"], trunks=["max2", "strided"], epochs=1))
    assert list(crossed.arms) == ["max2, flatten", "max2, max", "strided, flatten", "strided, max"]
    matched = plans.study_of("digits", plans.Choice(heads=["flatten", "max"], match="parameters", epochs=1))
    sizes = {name: summary(arm.net, (12, 12, 1)).parameters for name, arm in matched.arms.items()}
    twin = "max, sized as flatten"
    assert abs(sizes[twin] / sizes["flatten"] - 1) <= 0.01
    assert matched.controls()[twin] == "flatten"


@pytest.mark.parametrize(("name", "given"), [("heads", ["max", "gem", "max"]), ("trunks", ["max2", "max2"])])
def test_a_name_given_twice_is_not_silently_one_arm(name, given):
    with pytest.raises(ValueError, match=f"{name} must be different names, got {', '.join(given)}"):
        plans.study_of("digits", plans.Choice(**{name: given}))


@pytest.mark.usefixtures("without_pictures")
def test_a_part_of_a_study_has_a_folder_of_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert pooling_heads.main(["--heads", "max,flatten", "--seeds", "1", "--epochs", "1", "--jobs", "1"]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["pooling_heads-digits-max+flatten-epochs-1"]


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
    folder = default_folder("digits", Choice(heads=heads.split(",")))
    assert folder == Path("out", expected)
    assert folder.parent == Path("out")


def test_help_names_the_options_the_heads_and_examples():
    shown = subprocess.run(
        [sys.executable, "-m", "experiments.pooling_heads", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert all(head in shown.replace("\N{NON-BREAKING HYPHEN}", "-") for head in models.HEADS)
    assert all(f"--{name}" in shown for name in ("trunks", "match", "dask", "retry-failed", "dry-run", "tune", "out"))
    assert shown.count("python -m experiments.pooling_heads ") >= 3


def test_all_heads_share_trunk_and_first_weights():
    assert len({net.trunk for net in plans.head_arms("digits").values()}) == 1


def test_the_plan_of_every_data_set_is_a_study_whose_poolings_read_the_whole_map():
    for dataset in plans.PLANS:
        nets = plans.head_arms(dataset)
        assert not checks.unread(nets, plans.input_shape(dataset))


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
