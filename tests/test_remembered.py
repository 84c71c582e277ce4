"""A shape rule runs once for what it has accepted; nothing is accepted because something equal was."""

import numpy as np
import pytest

from minicnn import ops, optim
from minicnn.autograd import Array, op
from minicnn.graph import remembered

X = np.arange(32.0).reshape(1, 4, 4, 2)
KERNEL = np.ones((2, 2, 2, 2))


@pytest.fixture
def counted():
    """An op, and the list of what its shape rule was asked."""
    asked = []

    def rule(x, factor=2, **options):
        asked.append((x, factor, options))
        if factor == 0:
            raise ValueError("times: factor must not be 0, got 0.")
        return x

    @op(rule)
    def times(x: Array, factor=2, *, shift=0):
        return x * factor + np.sum(shift), (lambda g: g * factor,)

    return times, asked


def test_the_rule_runs_once_for_each_shape_and_arguments(counted):
    times, asked = counted
    for _ in range(3):
        times(np.ones(2), 3, shift=1)
        times(np.ones((2, 1)), 3, shift=1)
        times(np.ones(2), 4, shift=1)
    assert asked == [((2,), 3, {"shift": 1}), ((2, 1), 3, {"shift": 1}), ((2,), 4, {"shift": 1})]


@pytest.mark.parametrize("shift", [(1, 2), [1, 2], np.array([1, 2]), np.int64(1)], ids=repr)
def test_the_rule_always_sees_what_is_not_plain(counted, shift):
    times, asked = counted
    times(np.ones(2), shift=shift)
    times(np.ones(2), shift=shift)
    assert len(asked) == 2


def test_what_is_refused_is_refused_again(counted):
    times, _ = counted
    for _ in range(2):
        with pytest.raises(ValueError, match="factor must not be 0"):
            times(np.ones(2), 0)


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("groups", 1, True),
        ("groups", 1, 1.0),
        ("strides", 1, True),
        ("strides", (1, 1), (1, True)),
        ("strides", (1, 1), (1.0, 1)),
        ("dilation_rate", 1, 1.0),
        ("padding", (1, 1), (1, True)),
        ("padding", ((0, 1), (1, 0)), ((0, 1), (True, 0))),
    ],
)
def test_an_equal_argument_of_another_type_is_refused(name, right, wrong):
    for _ in range(2):
        ops.conv2d(X, KERNEL, **{name: right})
        with pytest.raises(TypeError, match=name):
            ops.conv2d(X, KERNEL, **{name: wrong})
    if name in {"strides", "dilation_rate", "padding"}:
        ops.max_pool2d(X, 3, **{name: right})
        with pytest.raises(TypeError, match=name):
            ops.max_pool2d(X, 3, **{name: wrong})


def test_lists_of_integers_are_taken_as_before():
    for _ in range(2):
        y = ops.conv2d(X, KERNEL, strides=[2, 1], padding=[[0, 1], [1, 0]])
        np.testing.assert_array_equal(y, ops.conv2d(X, KERNEL, strides=(2, 1), padding=((0, 1), (1, 0))))
        y = ops.max_pool2d(X, [2, 1], strides=[1, 2])
        np.testing.assert_array_equal(y, ops.max_pool2d(X, (2, 1), strides=(1, 2)))


def test_what_is_remembered_is_found_once_and_for_a_list_each_time():
    asked = []

    def total(sizes, *, factor=1):
        asked.append(sizes)
        return factor * sum(sizes)

    known = remembered(total)
    assert [known((1, 2)), known((1, 2)), known((1, 2), factor=2)] == [3, 3, 6]
    assert [known([1, 2], factor=2), known([1, 2], factor=2)] == [6, 6]
    assert asked == [(1, 2), (1, 2), [1, 2], [1, 2]]


def test_labels_are_checked_in_every_call():
    logits = np.zeros((2, 3))
    ops.cross_entropy(logits, np.array([0, 2]))
    with pytest.raises(ValueError, match="from 0 to 2"):
        ops.cross_entropy(logits, np.array([0, 3]))
    with pytest.raises(ValueError, match="label_smoothing"):
        ops.cross_entropy(logits, np.array([0, 2]), label_smoothing=1.0)
    with pytest.raises(ValueError, match="label_smoothing"):
        ops.cross_entropy(logits, np.array([0, 2]), label_smoothing=float("nan"))


@pytest.mark.parametrize("step", [-1, True, 1.5, "1", None])
def test_the_step_of_a_state_is_checked(step):
    params = {"w": np.ones(2)}
    with pytest.raises((TypeError, ValueError), match=r"SGD: state\['step'\]"):
        optim.SGD(0.1).update(params, {"step": step}, params)
    momentum = optim.SGD(0.1, momentum=0.9)
    state = momentum.init(params)
    turned = {"velocity": state["velocity"], "step": np.asarray(0)}  # as from a file
    for given in (state, turned):
        assert momentum.update(params, given, params)[1]["step"] == 1
