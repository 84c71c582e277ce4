"""The race's arithmetic and its referee; its times are nobody's test."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from experiments.benchmark import __main__ as speed
from experiments.benchmark import problem, table
from experiments.benchmark.adapters.matrix_product import SIDE
from experiments.benchmark.frameworks import CONTENDERS, SGEMM, environment
from experiments.benchmark.rounds import Process, Series, clean, race, ready
from experiments.benchmark.tasks import NETS, Task, images, multiply_adds

TASK = Task("digits8", 8, 4)


def test_multiplications_are_counted_by_hand():
    forward = 64 * 9 * 16, 16 * 9 * 16 * 32, 128 * 10
    assert multiply_adds("digits8", 8, "inference") == sum(forward)
    assert multiply_adds("digits8", 8, "training") == 3 * sum(forward) - forward[0]
    assert Task("digits8", 8, 5).multiply_adds == 5 * multiply_adds("digits8", 8, "training")


def test_images_are_digits_at_any_side():
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
        SGEMM: Series([0.5] * 3, [2.0] * 3),
    }
    row = table.row(TASK, found)
    assert row["step_ms"] == {"minicnn": 1000, "torch": 4000, "torch-channels-last": 3000}
    assert row["minicnn"]["torch"][0] == 2
    assert row["minicnn"]["best of PyTorch"] == row["minicnn"]["torch-channels-last"] == [3, 2.25, 3]
    assert row["sgemm_share"]["minicnn"] == pytest.approx(TASK.multiply_adds / 1.0 / (SIDE**3 / 0.5))
    assert table.geometric_mean([row, row], "minicnn", "torch") == pytest.approx(2)
    assert "**3.00** (2.25 to 3.00)" in table.markdown([row], str)


def test_a_round_with_less_of_the_processor_than_usual_is_not_clean():
    found = {"a": Series([1.0] * 4, [2.0, 1.9, 1.2, 2.0]), "b": Series([1.0] * 4, [1.0, 1.0, 1.0, 0.8])}
    assert clean(found) == [0, 1]


def test_a_problem_survives_its_file_and_refuses_a_wrong_answer(tmp_path):
    made = problem.make_problem("digits8", 8, 4)
    read = problem.read(problem.write(made, tmp_path / "problem.npz"))
    assert_allclose(read.losses, made.losses)
    assert_allclose(read.params["conv2d_1"]["kernel"], made.params["conv2d_1"]["kernel"])
    problem.check(read, made.logits, list(made.losses))
    with pytest.raises(ValueError, match="computes something else: losses"):
        problem.check(read, made.logits, [1.001 * loss + 0.01 for loss in made.losses])


@pytest.mark.parametrize("name", ["minicnn", "minicnn-reference", "torch", "torch-channels-last", "autograd"])
@pytest.mark.parametrize("net", NETS)
def test_each_contender_computes_each_net(name, net):
    pytest.importorskip(CONTENDERS[name].package)
    side = 8 if net == "digits8" else 28
    given = problem.make_problem(net, side, 4)
    racer = CONTENDERS[name].make()(NETS[net], (side, side, 1), given.params, problem.RATE, problem.MOMENTUM)
    batches = [racer.batch(*batch) for batch in given.batches]
    problem.check(given, racer.infer(batches[0]), [racer.learn(batch) for batch in batches])


def test_a_race_of_two():
    found = race(["minicnn-reference", SGEMM], TASK, rounds=1, seconds=0.01)
    assert {name: len(series.steps) for name, series in found.items()} == {"minicnn-reference": 1, SGEMM: 1}
    assert all(seconds > 0 for series in found.values() for seconds in series.steps)


def test_what_a_process_cannot_do_is_an_error_of_its_own():
    process = Process("minicnn-reference", 1)
    with pytest.raises(RuntimeError, match="minicnn-reference: TypeError"):
        process.ask("round", seconds=0.01)  # nothing is prepared
    process.end()


def test_memory_is_the_processs_own():
    with ready(["minicnn-reference"], TASK) as processes:
        size = processes["minicnn-reference"].ask("memory")["bytes"]
    assert 20e6 < size < 300e6


def test_everyone_gets_the_same_number_of_threads():
    assert environment("torch", 2)["OMP_NUM_THREADS"] == environment("minicnn", 2)["MINICNN_THREADS"] == "2"


@pytest.mark.parametrize("option", ["--nets alexnet", "--against caffe", "--modes thinking", "--batches x",
                                    "--batches 32,0", "--rounds 0"])  # fmt: skip
def test_a_wrong_option_is_refused_before_the_race(option, capsys, tmp_path):
    assert speed.main([*option.split(), "--out", str(tmp_path / "out")]) == 2
    name, wrong = option.split()
    error = capsys.readouterr().err
    assert "benchmark:" in error
    assert name in error
    assert wrong.split(",")[-1] in error
