"""Every bug is caught by its check, the right op passes it, and the experiment runs at smoke size."""

import csv
import itertools
import math
import subprocess
import sys

import numpy as np
import pytest

from experiments import bug_zoo
from experiments.zoo import CHECKS, ZOO, bugs, wrong
from experiments.zoo.report import headline, make_row, markdown
from minicnn import data, ops, tree, value_and_grad
from minicnn.layers import MaxPooling2D
from minicnn.study.run import Run

BUGS = {bug.name: bug for bug in ZOO}
GRADIENTS = {"gradient 2x2", "gradient 3x3", "gradient 1x2", "gradient at ties"}
# By reasoning: which of the checks can see the mistake at all. "padded values" and "gradient 3x3" pad, only the latter
# and "padded values" overlap, "gradient 1x2" alone is not square, and kernels are symmetric in the checks before it.
CAUGHT = {
    "zeros win": {"padded values"},
    "= for +=": {"gradient 3x3"},
    "all ties": {"gradient at ties"},
    "returns early": GRADIENTS,
    "pads not in the shape": {"shape", "padded values", "gradient 3x3"},
    "pads not in the loop": {"shape", "padded values"},
    "far cells": {"shape", "values", "padded values", "gradient 3x3", "gradient 1x2"},
    "divisor forgotten": GRADIENTS,
    "swapped axes": {"gradient 1x2"},
    "kernel not flipped": GRADIENTS - {"gradient 2x2"},
}


def rising(rows, columns):
    return np.arange(1.0, rows * columns + 1).reshape(1, rows, columns, 1)


def gradient(op, x, **how):
    """What flows back to x if 1 flows into every result, as a matrix."""
    return value_and_grad(lambda x: op(x, **how).sum())(x)[1][0, ..., 0].tolist()


@pytest.mark.parametrize("bug", ZOO, ids=lambda bug: bug.name)
def test_its_check_catches_the_bug_and_others_pass_it(bug):
    assert bug.caught_by in CAUGHT[bug.name]
    assert {check.name for check in CHECKS if check.outcome(bug.wrong, bug.right) != "passes"} == CAUGHT[bug.name]


@pytest.mark.parametrize("right", {bug.right for bug in ZOO}, ids=lambda op: op.__name__)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_the_right_op_passes_every_check(check, right):
    assert check.outcome(right, right) == "passes"


def test_every_check_is_needed_or_shows_what_it_misses():
    assert {bug.caught_by for bug in ZOO} <= {check.name for check in CHECKS}
    assert len({bug.name for bug in ZOO}) == len({bug.wrong for bug in ZOO}) == len(ZOO) == len(CAUGHT)


@pytest.mark.parametrize("name", ["= for +=", "all ties", "returns early", "divisor forgotten", "swapped axes"])
def test_a_bug_of_the_backward_pass_leaves_the_forward_pass_right(name):
    x = np.random.default_rng(0).normal(size=(2, 7, 6, 3))
    how = {"pool_size": (3, 2), "strides": 2, "padding": "same"}
    np.testing.assert_allclose(BUGS[name].wrong(x, **how), BUGS[name].right(x, **how), rtol=1e-12)


def test_zeros_win_against_negative_numbers():
    assert wrong.zeros_win(-rising(1, 1), 2, padding="same").item() == 0
    assert wrong.zeros_win(-rising(2, 2), 2).item() == -1


def test_an_assigned_gradient_forgets_a_window():
    x = np.array([1.0, 5.0, 2.0]).reshape(1, 1, 3, 1)
    assert gradient(ops.max_pool2d, x, pool_size=(1, 2), strides=1) == [[0, 2, 0]]
    assert gradient(wrong.assigned, x, pool_size=(1, 2), strides=1) == [[0, 1, 0]]


def test_all_ties_make_gradient():
    assert gradient(wrong.all_ties, np.ones((1, 2, 2, 1))) == [[1, 1], [1, 1]]


def test_returning_early_leaves_the_other_windows_without_gradient():
    assert gradient(wrong.returns_early, rising(2, 4)) == [[0, 0, 0, 0], [0, 1, 0, 0]]


def test_pads_that_the_shape_forgets():
    x, how = rising(8, 8), {"strides": 2, "padding": "same"}  # floor((8 - 3) / 2) + 1 = 3, with pads 4
    with pytest.raises(ValueError, match="cannot reshape"):
        wrong.pads_not_in_shape(x, 3, **how)
    assert wrong.pads_not_in_loop(x, 3, **how).shape == (1, 3, 3, 1)
    np.testing.assert_array_equal(wrong.pads_not_in_loop(x, 3, **how), ops.max_pool2d(x, 3, **how)[:, :3, :3])


def test_far_cells_are_half_an_image_apart():
    assert wrong.far_cells(rising(4, 4)).ravel().tolist() == [11, 12, 15, 16]
    with pytest.raises(ValueError, match="tile"):
        wrong.far_cells(rising(4, 4), 3, strides=2)


def test_a_forgotten_divisor():
    assert gradient(ops.average_pool2d, rising(2, 2)) == [[0.25, 0.25], [0.25, 0.25]]
    assert gradient(wrong.undivided, rising(2, 2)) == [[1, 1], [1, 1]]


def test_swapped_axes_send_half_of_the_gradient_to_rows_that_are_never_read():
    how = {"pool_size": (1, 2), "strides": 2}
    assert gradient(ops.average_pool2d, rising(2, 4), **how) == [[0.5] * 4, [0] * 4]
    assert gradient(wrong.swapped_axes, rising(2, 4), **how) == [[0.5, 0, 0.5, 0]] * 2
    square = {"pool_size": 2}
    assert gradient(wrong.swapped_axes, rising(4, 4), **square) == gradient(ops.average_pool2d, rising(4, 4), **square)


def test_an_unflipped_kernel_sends_the_gradient_to_the_opposite_cells():
    # one window over a 3x3 image reads x[i, j] with kernel[i, j]: that is the gradient
    kernel = rising(3, 3).reshape(3, 3, 1, 1)
    assert gradient(ops.conv2d, rising(3, 3), kernel=kernel) == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert gradient(wrong.unflipped, rising(3, 3), kernel=kernel) == [[9, 8, 7], [6, 5, 4], [3, 2, 1]]


def test_all_but_the_input_gradient_of_an_unflipped_convolution_is_right():
    rng = np.random.default_rng(0)
    x, kernel, bias = rng.normal(size=(2, 6, 5, 3)), rng.normal(size=(3, 2, 3, 4)), rng.normal(size=4)

    def loss(params, op):
        return (op(x, *params, strides=2, padding="same") ** 2).sum()

    results = [value_and_grad(loss)([kernel, bias], op) for op in (wrong.unflipped, ops.conv2d)]
    for one, other in zip(*map(tree.leaves, results), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("bug", [bug for bug in ZOO if bug.wrong is not wrong.pads_not_in_shape], ids=lambda b: b.name)
def test_the_bug_matters_in_its_net(bug):
    batch = data.load("digits").train[:64]

    def step(op):
        net = bug.net(op)
        params = net.init(np.random.default_rng(0), (8, 8, 1))
        return params, value_and_grad(lambda p: ops.cross_entropy(net(p, batch.images), batch.labels))(params)

    (params, with_bug), (same, right) = step(bug.wrong), step(bug.right)
    assert np.array_equal(tree.leaves(params)[0], tree.leaves(same)[0])
    pairs = itertools.zip_longest(tree.leaves(with_bug), tree.leaves(right))
    assert not all(np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=1e-4, atol=1e-7) for a, b in pairs)


def test_the_right_op_in_the_zoo_s_layers_is_the_library_s_own_layer():
    x = np.random.default_rng(0).random((2, 8, 8, 1), np.float32)
    net = bugs.convolving(ops.conv2d)
    params = net.init(np.random.default_rng(0), (8, 8, 1))
    renamed = {name.replace("convolve", "conv2d"): leaves for name, leaves in params.items()}
    twin = bugs.rectified(MaxPooling2D(2))
    np.testing.assert_array_equal(net(params, x), twin(renamed, x))


def a_run(seed, accuracy, losses=(2.0, 1.0)):
    curve = tuple({"loss": loss} for loss in losses)
    return Run("arm", seed, accuracy, 10, 10, 0.1, len(curve), 0.5, accuracy, curve)


def test_a_row_pairs_by_seed():
    row = make_row(BUGS["all ties"], [a_run(1, 0.5), a_run(0, 0.9)], [a_run(0, 1.0), a_run(1, 0.8)], test_share=0.5)
    # differences -0.1 and -0.3: sd 0.1 sqrt(2), t(1) = 12.706, sqrt(1/2 + 1/2) = 1
    assert row.difference.mean == pytest.approx(-0.2)
    assert row.difference.half == pytest.approx(12.706 * 0.1 * math.sqrt(2), rel=1e-4)
    assert row.outcomes["loss falls"] == "passes"
    assert "-20.00" in markdown([row], {})


def test_a_loss_that_does_not_fall_is_caught():
    runs = [a_run(0, 0.9), a_run(1, 0.1, (2.0, 2.5))]
    row = make_row(BUGS["all ties"], runs, [a_run(0, 0.9), a_run(1, 0.9)], test_share=0.5)
    assert row.outcomes["loss falls"] == "caught"
    assert headline([row]).startswith("0 of 1 bugs train without a sign")


def test_a_run_that_fails_is_said_with_its_words():
    row = make_row(BUGS["all ties"], [a_run(0, 0.9), "the loss became nan"], [a_run(0, 1.0), a_run(1, 1.0)], 0.5)
    assert row.outcomes["loss falls"] == "raises"
    page = markdown([row], {})
    assert "does not train" in page
    assert "the loss became nan" in page
    none = make_row(BUGS["all ties"], ["no"], [a_run(0, 1.0)], 0.5)
    assert none.difference is None
    assert headline([none]) == "None of 1 bugs trains."


def run(folder, *arguments):
    return bug_zoo.main(["--seeds", "1", "--epochs", "1", "--processes", "1", "--out", str(folder), *arguments])


def test_the_experiment_runs_and_writes_its_table(tmp_path, capsys):
    assert run(tmp_path) == 0
    printed = capsys.readouterr()
    assert "%|" not in printed.err
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bug_zoo.csv", "bug_zoo.md"]
    with (tmp_path / "bug_zoo.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    # "= for +=" must not become a formula in a spreadsheet
    assert not [cell for row in rows for cell in row.values() if cell.startswith("=")]
    for row in rows:
        row["bug"] = row["bug"].removeprefix("'")
    assert [row["bug"] for row in rows] == list(BUGS)
    page = (tmp_path / "bug_zoo.md").read_text()
    for row in rows:
        assert row["bug"] in printed.out
        assert f"| {row['bug']} | {row['what']} | **{row['caught_by']}**" in page
        assert 0 < float(row["accuracies_right"]) <= 1
    assert [row["bug"] for row in rows if row["failure"]] == ["pads not in the shape"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seeds", "0"], "--seeds=0 is too small"),
        (["--epochs", "-1"], "--epochs=-1 is too small"),
        (["--processes", "0"], "--processes=0 is too small"),
    ],
)
def test_bad_arguments_are_refused_before_training(tmp_path, capsys, monkeypatch, arguments, words):
    monkeypatch.setattr(bug_zoo, "_train", lambda *_: pytest.fail("trained"))
    assert run(tmp_path, *arguments) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_said_before_training(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bug_zoo, "_train", lambda *_: pytest.fail("trained"))
    (tmp_path / "file").write_text("in the way")
    assert run(tmp_path / "file") == 2
    assert "file" in capsys.readouterr().err


def test_an_interrupted_run_writes_nothing(tmp_path, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(bug_zoo, "_train", interrupted)
    assert run(tmp_path) == 130
    assert "nothing was written" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_help_names_the_bugs_and_a_word_for_a_number_is_refused():
    command = [sys.executable, "-m", "experiments.bug_zoo", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert all(name in " ".join(shown.split()) for name in BUGS)
    with pytest.raises(SystemExit) as left:
        bug_zoo.main(["--seeds", "three"])
    assert left.value.code == 2
