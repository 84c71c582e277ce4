"""The command minicnn: its help, its exit statuses, its examples, and what it writes."""

import importlib
import json
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest

from minicnn import cli, data, interop, records, runs, train
from minicnn.cli import COMMANDS

NAMES = [module.__name__.rpartition(".")[2] for module in COMMANDS]


def run(*arguments):
    return cli.main([str(a) for a in arguments])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "digits"
    assert run("train", "small_cnn:global-max", "--dataset", "digits", "--epochs", 8, "--out", folder) == 0
    return folder


@pytest.fixture
def pictures(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    folder = tmp_path / "scans"
    folder.mkdir()
    digits = data.load("digits")
    for index in range(20):
        levels = np.kron(255 - digits.test.images[index, ..., 0] * 255, np.ones((12, 12)))
        paper = np.pad(levels, 30, constant_values=255).astype(np.uint8)
        pillow.fromarray(paper).save(folder / f"{index:02}.png")
    return folder


@pytest.mark.parametrize("arguments", [[], *([name] for name in NAMES)], ids=str)
def test_help_answers_at_once_and_has_two_examples(arguments):
    """Nothing heavier than argparse is imported."""
    program = "import sys, json; from minicnn.cli import main; status = main(sys.argv[1:]); "
    program += "print(json.dumps([status, sorted(sys.modules)]))"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments, "--help"], capture_output=True, text=True, check=True
    )
    text, _, last = done.stdout.rstrip().rpartition("\n")
    status, modules = json.loads(last)
    assert status == 0
    assert text.startswith("usage: minicnn")
    assert len(examples(text)) >= 2
    heavy = {"numpy", "scipy", "sklearn", "numba", "tqdm", "pooch", "matplotlib", "PIL", "sqlite3", "tomllib"}
    assert not {name.split(".")[0] for name in modules} & heavy
    assert max(map(len, text.splitlines())) <= 110


def examples(text):
    """Return the commands in a help text."""
    lines = text.partition("examples:")[2].splitlines()
    return [re.split(r" {3,}", line.strip())[0] for line in lines if line.strip().startswith("minicnn ")]


def help_of(name, capsys):
    assert run(*([name] if name else []), "--help") == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", [n for n in NAMES if n not in {"compare", "study"}])
def test_the_examples_in_the_help_run(name, tmp_path, monkeypatch, capsys, trained, pictures):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    if name != "train":
        (tmp_path / "out" / "digits").symlink_to(trained)
    (tmp_path / "more").mkdir()
    (pictures / "00.png").rename(tmp_path / "digit.png")
    (pictures / "01.png").rename(tmp_path / "more" / "seven.jpg")
    for example in examples(help_of(name, capsys)):
        assert run(*shlex.split(example)[1:]) == 0, example


def test_the_examples_of_compare_are_studies_and_the_report_can_be_read(tmp_path, monkeypatch, capsys):
    for package in ("matplotlib", "jinja2", "statsmodels"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    for example in examples(help_of("compare", capsys)):
        words = shlex.split(example)[1:]
        if "mnist" not in words:
            assert run(*words, *([] if "--dry-run" in words else ["--dry-run"])) == 0, example
    quick = ["--heads", "max,global-max", "--seeds", 2, "--epochs", 1, "--jobs", 1]
    assert run("compare", *quick, "--out", "out/pooling_heads-digits") == 0
    assert (tmp_path / "out/pooling_heads-digits/report.html").is_file()
    page = (tmp_path / "out/pooling_heads-digits/report.html").read_text()
    assert 'href="nets.html"' in page
    assert (tmp_path / "out/pooling_heads-digits/nets.html").stat().st_size > 100_000
    assert "minicnn compare --dataset digits --heads max,global-max --seeds 2 --epochs 1" in page
    capsys.readouterr()
    for example in examples(help_of("study", capsys)):
        assert run(*shlex.split(example)[1:]) == 0, example
    shown = capsys.readouterr().out
    assert "4 trials done, 0 failed, 0 missing" in shown
    assert (tmp_path / "results.csv").read_text().startswith("study,arm")
    assert run("study", "out/pooling_heads-digits", "--json") == 0
    assert json.loads(capsys.readouterr().out)["arms"] == ["max", "global-max"]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "a command must be given"),
        (["trian"], 2, "got 'trian'. Did you mean 'train'?"),
        (["train", "--epochs", "0"], 2, "--epochs must be an integer of at least 1, got 0"),
        (["train", "--epochs", "9" * 5000], 2, "--epochs must be an integer of at least 1"),
        (["train", "--epochs", "٣"], 2, "--epochs must be an integer"),
        (["train", "--size", "28,28"], 2, "--size must be HEIGHT,WIDTH,CHANNELS such as 28,28,1, got '28,28'"),
        (["train", "resnet"], 1, "got 'resnet'. Did you mean 'lenet5'?"),
        (["train", "small_cnn:maxx"], 1, "got 'maxx'. Did you mean 'max'?"),
        (["train", "mlp:max"], 1, "must be mlp with fewer parts, got 'mlp:max'"),
        (["train", "--dataset", "minst"], 1, "got 'minst'. Did you mean 'mnist'?"),
        (
            ["train", "--learning-rate", "-1", "--out", "{tmp}/x"],
            2,
            "--learning-rate must be a positive number, got -1",
        ),
        (["train", "net.json"], 1, "No such file or directory: 'net.json'"),
        (["evaluate", "{tmp}"], 1, "it has no run.json"),
        (["predict", "a.png"], 2, "the following arguments are required: --run"),
        (["predict", "a.png", "--run", "{tmp}"], 1, "it has no run.json"),
        (["summary", "lenet5", "--input-shape", "2,2,1"], 1, "a 5x5 window does not fit a 1x1 input"),
        (["summary", "keras_mnist", "--input-shape", "0,2,1"], 2, "--input-shape must be an integer of at least 1"),
        (["export", "{tmp}"], 2, "at least one of --onnx"),
        (["datasets", "fetch"], 2, "fetch needs the name of a data set"),
        (["datasets", "verify", "cifar"], 1, "NAME must be one of digits, mnist"),
        (["study", "{tmp}"], 1, "study.sqlite"),
        (["compare", "--heads", "maxx"], 2, "--heads must be one of"),
        (["compare", "--dataset", "imagenet"], 2, "got 'imagenet'"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None,
)
def test_wrong_input_is_one_line_with_its_status(arguments, status, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*[a.replace("{tmp}", str(tmp_path)) for a in arguments]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert len(err.splitlines()) == 1
    assert err.startswith("minicnn")
    assert not re.match(r"minicnn (\w+): (\1|minicnn): ", err)  # no name twice


@pytest.mark.parametrize("command", ["train", "compare"])
def test_a_file_instead_of_the_folder_of_results_is_said(command, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert run(command, "--out", str(tmp_path / "file")) == 1
    assert capsys.readouterr().err == f"minicnn {command}: must be a folder, got a file: {str(tmp_path / 'file')!r}\n"


def test_folders_for_what_is_written_are_made_before_the_work(trained, tmp_path, capsys):
    assert run("export", trained, "--json", str(tmp_path / "a/b/net.json")) == 0
    assert (tmp_path / "a/b/net.json").is_file()
    (tmp_path / "file").touch()
    for words in (["explain", trained, "--out"], ["export", trained, "--json"]):
        capsys.readouterr()
        assert run(*words, str(tmp_path / "file/page.html")) == 1
        assert "must be a folder, got a file" in capsys.readouterr().err


def test_the_version(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out == f"minicnn {importlib.import_module('minicnn').__version__}\n"


def test_evaluate_counts_as_an_independent_loop_does(trained, capsys):
    assert run("evaluate", trained, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    done = runs.open_run(trained)
    images, labels = done.dataset.test.images, done.dataset.test.labels
    counts = [[0] * 10 for _ in range(10)]
    for image, label in zip(images, labels, strict=True):
        counts[label][int(train.predict(done.net, done.params, image[None]).argmax())] += 1
    assert found["confusion"] == counts
    assert found["accuracy"] == pytest.approx(sum(counts[i][i] for i in range(10)) / len(labels))
    assert found["accuracy"] > 0.8
    for i, row in enumerate(found["classes"]):
        wrong = [0 if j == i else count for j, count in enumerate(counts[i])]
        taken = done.dataset.classes[wrong.index(max(wrong))] if max(wrong) else None
        assert (row["most_often_mistaken_for"], row["times"]) == (taken, max(wrong))


def test_pictures_of_digits_on_paper_are_read(trained, pictures, capsys):
    assert run("predict", pictures, "--run", trained, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    labels = data.load("digits").test.labels[:20]
    assert all(row["inverted"] for row in rows)
    assert sum(row["class"] == str(label) for row, label in zip(rows, labels, strict=True)) >= 18
    assert all(abs(sum(row["probabilities"].values()) - 1) < 1e-9 for row in rows)


def test_digits_by_other_writers_are_read(trained):
    """Those of MNIST: half of them were, when they were prepared as MNIST's own nets need them."""
    try:
        others = data.load("mnist", download=False).test[:400]
    except FileNotFoundError:
        pytest.skip("MNIST's files are not on this machine")
    done = runs.open_run(trained)
    chances = done.predict(data.as_digits(image).image for image in others.images)
    assert (chances.argmax(1) == others.labels).mean() > 0.7


def test_a_file_that_is_not_a_picture_is_said_and_the_others_are_read(trained, pictures, capsys):
    (pictures / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    assert run("predict", pictures, pictures / "gone.png", "--run", trained) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 20
    assert "bad.png" in err and "gone.png" in err
    assert len(err.splitlines()) == 2


def test_what_is_exported_is_the_net(trained, tmp_path, capsys):
    paths = {name: tmp_path / f"net.{name}" for name in ("json", "safetensors", "onnx")}
    assert run("export", trained, *[word for name, path in paths.items() for word in (f"--{name}", path)]) == 0
    done = runs.open_run(trained)
    assert records.from_json(paths["json"].read_text()) == done.net
    net, params = train.load_net(paths["safetensors"])
    images = done.dataset.test.images[:10]
    assert np.array_equal(train.predict(net, params, images), train.predict(done.net, done.params, images))
    interop.to_onnx(done.net, done.params, done.input_shape, tmp_path / "other.onnx")
    assert paths["onnx"].read_bytes() == (tmp_path / "other.onnx").read_bytes()
    assert run("train", paths["json"], "--epochs", 1, "--out", tmp_path / "again") == 0


def test_a_page_of_a_test_image_and_of_a_picture(trained, pictures, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert run("explain", trained, "--out", page, "--title", "<b>mine</b>") == 0
    text = page.read_text()
    assert "&lt;b&gt;mine" in text
    assert "<b>mine" not in text
    assert run("explain", trained, "--image", pictures / "00.png", "--label", "3", "--out", page) == 0
    assert page.read_text() != text
    assert run("explain", trained, "--image", pictures / "00.png", "--label", "ten", "--out", page) == 1
    assert run("explain", trained, "--image", pictures / "00.png", "--out", page) == 2
    assert run("explain", trained, "--index", 5000, "--out", page) == 1
    assert [line.count("must be") for line in capsys.readouterr().err.splitlines()] == [1, 1, 1]


def test_a_page_of_nets_side_by_side(trained, tmp_path, capsys):
    page, file = tmp_path / "page.html", tmp_path / "saved.npz"
    done = runs.open_run(trained)
    train.save(file, done.params, done.net)
    assert run("explain", file, "--heads", trained, "small_cnn:global-max", "--index", 2, "--out", page) == 0
    made = json.loads(re.search(r'id="data">(.*?)</script>', page.read_text(), re.DOTALL).group(1))
    assert [head["name"] for head in made["heads"]] == ["saved", trained.name, "small_cnn:global-max"]
    logits = np.float32([head["logits"] for head in made["heads"][:2]])
    assert np.array_equal(logits[0], logits[1])
    assert np.array_equal(logits[0], done.net(done.params, done.dataset.test.images[2:3])[0])
    capsys.readouterr()
    assert run("explain", file, "--heads", file, "--out", page) == 1
    assert "--heads must name each net once, got 'saved' twice" in capsys.readouterr().err
    assert run("explain", file, "--dataset", "minst", "--out", page) == 1
    assert "Did you mean 'mnist'?" in capsys.readouterr().err
    assert run("explain", "small_cnn", "--index", 3) == 2
    assert "--index needs --out, because it is an option of the page" in capsys.readouterr().err


def test_a_reader_that_stops_early_ends_the_command_without_a_traceback():
    command = [sys.executable, "-m", "minicnn", "summary", "lenet5", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()  # before a line is written
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_ctrl_c_says_that_the_same_command_goes_on(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(runs, "train_run", lambda *_, **__: None)
    assert run("train", "--out", tmp_path) == 130
    assert (
        capsys.readouterr().err
        == "minicnn train: interrupted; nothing that was trained is lost. Run the same command to continue.\n"
    )


@pytest.mark.parametrize(
    ("line", "status", "start"),
    [("export out/x --foo", 2, "minicnn export: unrecognized arguments: --foo. See minicnn export --help."),
     ("datasets", 2, "minicnn datasets: the following arguments are required: list|fetch|verify. See"),
     ("train nett", 1, "minicnn train: net must be one of small_cnn,"),
     ("train --dataset nope", 1, "minicnn train: dataset must be one of digits,"),
     ("evaluate nope", 1, "minicnn evaluate: path must be the folder of a run"),
     ("study nope", 1, "minicnn study: path must be the folder of a study,")],
)  # fmt: skip
def test_an_error_speaks_of_the_command_and_not_of_a_function(line, status, start, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(line.split()) == status
    assert capsys.readouterr().err.startswith(start)
