"""The answers of the frameworks follow from their rules, minicnn gives each, and disagreements are reported."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.framework_differences import __main__ as framework_differences
from experiments.framework_differences.__main__ import compare, main
from experiments.framework_differences.answers import CEIL, DIVISOR, SAME_CONV, SAME_MAX, STRIDE, TIES, TOPICS
from minicnn import ops

ANSWERS = [(topic, answer) for topic in TOPICS for answer in topic.answers]
NAMES = [f"{topic.name}: {answer.framework} {answer.call}" for topic, answer in ANSWERS]


def average(image, rows, columns, divisor=None):
    """The average of the elements in some rows and columns, or their sum divided by `divisor`."""
    elements = [image[i][j] for i in rows for j in columns]
    return sum(elements) / (len(elements) if divisor is None else divisor)


def answers(topic):
    return [np.array(answer.rows) for answer in topic.answers if answer.rows]


@pytest.mark.parametrize(("topic", "answer"), ANSWERS, ids=NAMES)
def test_minicnn_gives_every_answer(topic, answer):
    assert set(compare(answer, topic.image).values()) <= {None}
    assert (answer.rows is None) == (answer.minicnn is None)


@pytest.mark.parametrize(("topic", "answer"), ANSWERS, ids=NAMES)
def test_torch_gives_its_own(topic, answer):
    torch = pytest.importorskip("torch")
    compared = compare(answer, topic.image, torch)
    assert set(compared.values()) <= {None}
    assert any(name.startswith("torch") for name in compared) == (answer.framework == "PyTorch")


PLAIN = [(topic.image, answer.minicnn) for topic, answer in ANSWERS if answer.minicnn and not answer.minicnn.gradient]


@pytest.mark.parametrize(("image", "call"), PLAIN, ids=[str(call) for _, call in PLAIN])
def test_the_printed_call_is_the_one_that_is_made(image, call):
    names = {name: getattr(ops, name) for name in ops.__all__}
    names |= {"x": image[None, :, :, None], "ones": lambda *shape: np.ones((*shape, 1, 1))}
    y = eval(str(call), names)  # noqa: S307
    np.testing.assert_array_equal(y[0, :, :, 0], call.answer(image))


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_frameworks_do_differ(topic):
    different = {(answer.shape, tuple(answer.ravel())) for answer in answers(topic)}
    assert len(different) > 1
    assert {answer.framework for answer in topic.answers} == {"Keras", "PyTorch", "ONNX"}


def test_same_reads_other_rows():
    image = SAME_MAX.image
    end, both, upper, lower = answers(SAME_MAX)
    after, around = ((0, 1, 2), (2, 3)), ((0, 1), (1, 2, 3))
    for rows, found in ((after, end), (around, both), (after, upper), (around, lower)):
        assert found.tolist() == [[max(image[i][j] for i in r for j in c) for c in rows] for r in rows]
    for rows, found in zip((after, around, after), answers(SAME_CONV), strict=True):
        assert found.tolist() == [[sum(image[i][j] for i in r for j in c) for c in rows] for r in rows]


def test_divisor_counts_pixels_or_nine():
    reads = ((0, 1), (0, 1, 2), (1, 2, 3), (2, 3))
    keras, torch, onnx = answers(DIVISOR)
    excluded = [[average(DIVISOR.image, r, c) for c in reads] for r in reads]
    np.testing.assert_allclose(keras, excluded, rtol=1e-12)
    np.testing.assert_allclose(onnx, excluded, rtol=1e-12)
    np.testing.assert_allclose(torch, [[average(DIVISOR.image, r, c, 9) for c in reads] for r in reads], rtol=1e-12)


def test_ceil_mode_counts_padding_but_never_elements_beyond_it():
    # padded rows -1 to 4: windows at -1, 1, 3 read image rows 0-1, 1-3, 3, and 3, 3, 2 padded rows
    reads, padded = ((0, 1), (1, 2, 3), (3,)), (3, 3, 2)
    keras, torch, onnx = answers(CEIL)
    included = [
        [average(CEIL.image, r, c, n * m) for c, m in zip(reads, padded, strict=True)]
        for r, n in zip(reads, padded, strict=True)
    ]
    np.testing.assert_allclose(torch, included, rtol=1e-12)
    np.testing.assert_allclose(onnx, [[average(CEIL.image, r, c) for c in reads] for r in reads], rtol=1e-12)
    same = ((0, 1, 2), (2, 3))
    np.testing.assert_allclose(keras, [[average(CEIL.image, r, c) for c in same] for r in same], rtol=1e-12)


def test_the_default_stride_is_the_window_or_one():
    keras, torch, onnx = answers(STRIDE)
    assert keras.tolist() == torch.tolist() == [[6, 8], [14, 16]]
    assert onnx.tolist() == [[6, 7, 8], [10, 11, 12], [14, 15, 16]]


def test_the_gradients_of_a_window_with_ties_add_up_to_one():
    for gradient in answers(TIES):
        assert np.array_equal(gradient.reshape(2, 2, 2, 2).sum(axis=(1, 3)), np.ones((2, 2)))


def test_everything_is_printed(capsys, monkeypatch):
    monkeypatch.setattr(framework_differences, "_torch", lambda: None)
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert "not compared, torch is not installed" in printed
    for topic, answer in ANSWERS:
        assert all(part in printed for part in (topic.name, answer.call, answer.source))
        assert f"= minicnn {answer.minicnn}" in printed or answer.minicnn is None


def test_the_version_of_torch_is_printed(capsys):
    torch = pytest.importorskip("torch")
    assert main([]) == 0
    assert f"compared with torch {torch.__version__}" in capsys.readouterr().out


def test_a_disagreement_is_printed_and_sets_the_exit_code(capsys, monkeypatch):
    broken = replace(STRIDE.answers[0], rows=((6, 8), (14, 17)))
    monkeypatch.setattr(framework_differences, "TOPICS", (replace(STRIDE, answers=(broken,)),))
    assert main([]) == 1
    printed = capsys.readouterr().out
    assert "DISAGREES: minicnn max_pool2d(x, pool_size=2) gives" in printed
    assert "1 DISAGREE" in printed


def test_another_shape_disagrees():
    broken = replace(STRIDE.answers[0], rows=((6, 8),))
    assert next(iter(compare(broken, STRIDE.image).values())).shape == (2, 2)


def test_help_describes_the_command(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    assert "Keras, PyTorch and ONNX" in " ".join(capsys.readouterr().out.split())
