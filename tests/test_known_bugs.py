"""Each bug is detected by its check, the correct op passes all checks, and the experiment runs at smoke size."""

import csv
import itertools
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.known_bugs import BUGS, CHECKS, bugs, incorrect
from experiments.known_bugs import __main__ as known_bugs
from experiments.known_bugs.report import DESCRIPTIONS, Result, csv_text, headline, make_result, markdown
from experiments.known_bugs.training import Run
from minicnn import data, ops, trees, value_and_grad
from minicnn.layers import MaxPooling2D

BY_NAME = {bug.name: bug for bug in BUGS}
RESULTS = Path(__file__).parents[1] / "experiments" / "results"
GRADIENTS = {"gradient 2x2", "gradient 3x3", "gradient 1x2", "gradient at ties"}
# By reasoning: which of the checks can detect the error. "padded values" and "gradient 3x3" pad, only the latter
# and "padded values" overlap, "gradient 1x2" alone is not square, and kernels are symmetric in the checks before it.
DETECTED = {
    "zero padding": {"padded values"},
    "overwritten gradient": {"gradient 3x3"},
    "gradient to all ties": {"gradient at ties"},
    "early return": GRADIENTS,
    "padding missing in shape": {"shape", "padded values", "gradient 3x3"},
    "padding missing in loop": {"shape", "padded values"},
    "reshape axis order": {"shape", "values", "padded values", "gradient 3x3", "gradient 1x2"},
    "missing divisor": GRADIENTS,
    "swapped axes": {"gradient 1x2"},
    "unflipped kernel": GRADIENTS - {"gradient 2x2"},
}


def rising(rows, columns):
    return np.arange(1.0, rows * columns + 1).reshape(1, rows, columns, 1)


def gradient(op, x, **options):
    """The gradient of the sum of the results with respect to x, as a matrix."""
    return value_and_grad(lambda x: op(x, **options).sum())(x)[1][0, ..., 0].tolist()


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_exactly_the_expected_checks_detect_the_bug(bug):
    assert bug.detected_by in DETECTED[bug.name]
    assert {check.name for check in CHECKS if check.outcome(bug.incorrect, bug.correct) != "passes"} == DETECTED[
        bug.name
    ]


@pytest.mark.parametrize("correct", {bug.correct for bug in BUGS}, ids=lambda op: op.__name__)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_the_correct_op_passes_every_check(check, correct):
    assert check.outcome(correct, correct) == "passes"


def test_names_are_distinct_and_refer_to_checks():
    assert {bug.detected_by for bug in BUGS} <= {check.name for check in CHECKS}
    assert len({bug.name for bug in BUGS}) == len({bug.incorrect for bug in BUGS}) == len(BUGS) == len(DETECTED)


@pytest.mark.parametrize(
    "name", ["overwritten gradient", "gradient to all ties", "early return", "missing divisor", "swapped axes"]
)
def test_a_bug_in_the_backward_pass_leaves_the_forward_pass_correct(name):
    x = np.random.default_rng(0).normal(size=(2, 7, 6, 3))
    options = {"pool_size": (3, 2), "strides": 2, "padding": "same"}
    np.testing.assert_allclose(BY_NAME[name].incorrect(x, **options), BY_NAME[name].correct(x, **options), rtol=1e-12)


def test_zero_padding_exceeds_negative_values():
    assert incorrect.zero_padding(-rising(1, 1), 2, padding="same").item() == 0
    assert incorrect.zero_padding(-rising(2, 2), 2).item() == -1


def test_an_overwritten_gradient_lacks_a_window():
    x = np.array([1.0, 5.0, 2.0]).reshape(1, 1, 3, 1)
    assert gradient(ops.max_pool2d, x, pool_size=(1, 2), strides=1) == [[0, 2, 0]]
    assert gradient(incorrect.overwritten_gradient, x, pool_size=(1, 2), strides=1) == [[0, 1, 0]]


def test_all_ties_get_the_gradient():
    assert gradient(incorrect.gradient_to_all_ties, np.ones((1, 2, 2, 1))) == [[1, 1], [1, 1]]


def test_an_early_return_leaves_the_other_windows_without_gradient():
    assert gradient(incorrect.early_return, rising(2, 4)) == [[0, 0, 0, 0], [0, 1, 0, 0]]


def test_padding_missing_in_the_shape_rule():
    x, options = rising(8, 8), {"strides": 2, "padding": "same"}  # floor((8 - 3) / 2) + 1 = 3, with padding 4
    with pytest.raises(ValueError, match="cannot reshape"):
        incorrect.padding_missing_in_shape(x, 3, **options)
    assert incorrect.padding_missing_in_loop(x, 3, **options).shape == (1, 3, 3, 1)
    np.testing.assert_array_equal(
        incorrect.padding_missing_in_loop(x, 3, **options), ops.max_pool2d(x, 3, **options)[:, :3, :3]
    )


def test_elements_of_a_window_are_half_an_image_apart():
    assert incorrect.reshape_axis_order(rising(4, 4)).ravel().tolist() == [11, 12, 15, 16]
    with pytest.raises(ValueError, match="tile"):
        incorrect.reshape_axis_order(rising(4, 4), 3, strides=2)


def test_a_missing_divisor():
    assert gradient(ops.average_pool2d, rising(2, 2)) == [[0.25, 0.25], [0.25, 0.25]]
    assert gradient(incorrect.missing_divisor, rising(2, 2)) == [[1, 1], [1, 1]]


def test_swapped_axes_put_half_of_the_gradient_in_rows_that_are_never_read():
    options = {"pool_size": (1, 2), "strides": 2}
    assert gradient(ops.average_pool2d, rising(2, 4), **options) == [[0.5] * 4, [0] * 4]
    assert gradient(incorrect.swapped_axes, rising(2, 4), **options) == [[0.5, 0, 0.5, 0]] * 2
    square = {"pool_size": 2}
    assert gradient(incorrect.swapped_axes, rising(4, 4), **square) == gradient(
        ops.average_pool2d, rising(4, 4), **square
    )


def test_an_unflipped_kernel_puts_the_gradient_in_the_opposite_elements():
    # one window over a 3x3 image reads x[i, j] with kernel[i, j]: that is the gradient
    kernel = rising(3, 3).reshape(3, 3, 1, 1)
    assert gradient(ops.conv2d, rising(3, 3), kernel=kernel) == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert gradient(incorrect.unflipped_kernel, rising(3, 3), kernel=kernel) == [[9, 8, 7], [6, 5, 4], [3, 2, 1]]


def test_all_but_the_input_gradient_of_an_unflipped_convolution_is_correct():
    rng = np.random.default_rng(0)
    x, kernel, bias = rng.normal(size=(2, 6, 5, 3)), rng.normal(size=(3, 2, 3, 4)), rng.normal(size=4)

    def loss(params, op):
        return (op(x, *params, strides=2, padding="same") ** 2).sum()

    results = [value_and_grad(loss)([kernel, bias], op) for op in (incorrect.unflipped_kernel, ops.conv2d)]
    for one, other in zip(*map(trees.leaves, results), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize(
    "bug", [bug for bug in BUGS if bug.incorrect is not incorrect.padding_missing_in_shape], ids=lambda b: b.name
)
def test_the_bug_affects_its_network(bug):
    batch = data.load("digits").train[:64]

    def step(op):
        net = bug.net(op)
        params = net.init(np.random.default_rng(0), (8, 8, 1))
        return params, value_and_grad(lambda p: ops.cross_entropy(net(p, batch.images), batch.labels))(params)

    (params, with_bug), (same, correct) = step(bug.incorrect), step(bug.correct)
    assert np.array_equal(trees.leaves(params)[0], trees.leaves(same)[0])
    pairs = itertools.zip_longest(trees.leaves(with_bug), trees.leaves(correct))
    assert not all(np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=1e-4, atol=1e-7) for a, b in pairs)


def test_the_layers_with_a_correct_op_agree_with_those_of_the_package():
    x = np.random.default_rng(0).random((2, 8, 8, 1), np.float32)
    net = bugs.convolving(ops.conv2d)
    params = net.init(np.random.default_rng(0), (8, 8, 1))
    renamed = {name.replace("convolve", "conv2d"): leaves for name, leaves in params.items()}
    expected = bugs.with_relu(MaxPooling2D(2))
    np.testing.assert_array_equal(net(params, x), expected(renamed, x))


def a_run(seed, accuracy, losses=(2.0, 1.0)):
    return Run(seed, accuracy, losses)


def test_differences_are_paired_by_seed():
    result = make_result(
        BY_NAME["gradient to all ties"], [a_run(1, 0.5), a_run(0, 0.9)], [a_run(0, 1.0), a_run(1, 0.8)], test_share=0.5
    )
    # differences -0.1 and -0.3: sd 0.1 sqrt(2), t(1) = 12.706, sqrt(1/2 + 1/2) = 1
    assert result.difference.mean == pytest.approx(-0.2)
    assert result.difference.half == pytest.approx(12.706 * 0.1 * math.sqrt(2), rel=1e-4)
    assert result.outcomes["loss falls"] == "passes"
    assert "-20.00" in markdown([result], {})


def test_a_loss_that_does_not_decrease_fails_the_check():
    runs = [a_run(0, 0.9), a_run(1, 0.1, (2.0, 2.5))]
    result = make_result(BY_NAME["gradient to all ties"], runs, [a_run(0, 0.9), a_run(1, 0.9)], test_share=0.5)
    assert result.outcomes["loss falls"] == "fails"
    assert headline([result]).startswith("0 of 1 bugs train without any visible symptom")


def test_a_failed_run_is_reported_with_its_message():
    result = make_result(
        BY_NAME["gradient to all ties"], [a_run(0, 0.9), "the loss became nan"], [a_run(0, 1.0), a_run(1, 1.0)], 0.5
    )
    assert result.outcomes["loss falls"] == "raises"
    page = markdown([result], {})
    assert "does not train" in page
    assert "the loss became nan" in page
    none = make_result(BY_NAME["gradient to all ties"], ["no"], [a_run(0, 1.0)], 0.5)
    assert none.difference is None
    assert headline([none]) == "None of 1 bugs trains."


def committed_results():
    digits = data.load("digits")
    with (RESULTS / "known_bugs.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        seeds = [int(seed) for seed in row["seeds"].split()]
        incorrect, correct = (
            dict(zip(seeds, map(float, row[f"accuracies_{which}"].split()), strict=False))  # none if training failed
            for which in ("incorrect", "correct")
        )
        outcomes = {name: row[name] for name in DESCRIPTIONS}
        share = len(digits.test) / len(digits.train)
        yield Result(BY_NAME[row["bug"]], outcomes, incorrect, correct, row["failure"], share)


def test_the_committed_tables_are_those_of_the_committed_results():
    results = list(committed_results())
    assert [result.bug for result in results] == list(BUGS)
    assert (RESULTS / "known_bugs.csv").read_text(encoding="utf-8") == csv_text(results)
    page = (RESULTS / "known_bugs.md").read_text(encoding="utf-8")
    lines = page.split("How the networks were trained:\n\n")[1].splitlines()
    settings = dict(line.removeprefix("- ").split(": ", 1) for line in lines)
    assert page == markdown(results, settings)


def run(folder, *arguments):
    return known_bugs.main(["--seeds", "1", "--epochs", "1", "--processes", "1", "--out", str(folder), *arguments])


def test_the_experiment_runs_and_writes_its_tables(tmp_path, capsys):
    assert run(tmp_path) == 0
    printed = capsys.readouterr()
    assert "%|" not in printed.err
    assert sorted(file.name for file in tmp_path.iterdir()) == ["known_bugs.csv", "known_bugs.md"]
    with (tmp_path / "known_bugs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    # no cell may become a formula in a spreadsheet
    assert not [cell for row in rows for cell in row.values() if cell.startswith("=")]
    assert [row["bug"] for row in rows] == list(BY_NAME)
    page = (tmp_path / "known_bugs.md").read_text()
    for row in rows:
        assert row["bug"] in printed.out
        assert f"| {row['bug']} | {row['description']} | **{row['detected_by']}**" in page
        assert 0 < float(row["accuracies_correct"]) <= 1
    assert [row["bug"] for row in rows if row["failure"]] == ["padding missing in shape"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seeds", "0"], "--seeds must be an integer of at least 1, got 0"),
        (["--epochs", "-1"], "--epochs must be an integer of at least 1, got -1"),
        (["--processes", "0"], "--processes must be an integer of at least 1, got 0"),
    ],
)
def test_invalid_arguments_are_rejected_before_training(tmp_path, capsys, monkeypatch, arguments, words):
    monkeypatch.setattr(known_bugs, "_train", lambda *_: pytest.fail("trained"))
    assert run(tmp_path, *arguments) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_directory_that_cannot_be_written_is_reported_before_training(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(known_bugs, "_train", lambda *_: pytest.fail("trained"))
    (tmp_path / "file").write_text("in the way")
    assert run(tmp_path / "file") == 2
    assert "file" in capsys.readouterr().err


def test_an_interrupted_run_writes_nothing(tmp_path, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(known_bugs, "_train", interrupted)
    assert run(tmp_path) == 130
    assert "nothing was written" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_help_names_the_bugs_and_a_word_for_a_number_is_rejected():
    command = [sys.executable, "-m", "experiments.known_bugs", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert all(name in " ".join(shown.split()) for name in BY_NAME)
    with pytest.raises(SystemExit) as left:
        known_bugs.main(["--seeds", "three"])
    assert left.value.code == 2
