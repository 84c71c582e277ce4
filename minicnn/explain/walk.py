"""The guided walk: one small picture through a net that can be computed by hand, in six steps with its numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from minicnn import layers, ops, optim
from minicnn.explain import step as steps
from minicnn.explain.contract import From, Node, Step, Walk
from minicnn.explain.net import Describer
from minicnn.explain.packing import Arrays
from minicnn.study.transforms import shift

PICTURE = np.array(
    [
        [0, 1, 2, 1, 0, 0],
        [1, 5, 6, 5, 1, 0],
        [2, 6, 9, 7, 2, 1],
        [1, 5, 7, 8, 3, 2],
        [0, 1, 2, 3, 4, 3],
        [0, 0, 1, 2, 3, 9],
    ],
    np.float32,
)[..., None]
NET = layers.Sequential([layers.Conv2D(1, 3), layers.ReLU(), layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(2)])
EDGE = np.array([[-1, 0, 1]] * 3, np.float32)[..., None, None]
PARAMS = {
    "conv2d": {"kernel": EDGE, "bias": np.ones(1, np.float32)},
    "dense": {
        "kernel": np.array([[0.125, 0], [0, 0.125], [0, 0.125], [0.125, 0]], np.float32),
        "bias": np.zeros(2, np.float32),
    },
}
RATE = 0.5


def describe_walk(arrays: Arrays) -> Walk:
    """Return the walk; its numbers are computed here as those of any net."""
    problem = steps.Problem(NET, PARAMS, PICTURE[None], np.array([0]), ops.cross_entropy)
    step = steps.run(problem)
    shown = [*_forward(step), *_backward(step), *_outlook(step)]
    tape = steps.pack(step, problem, Arrays(), optim.SGD(RATE))
    net = Describer(arrays, step.outputs, draw=False).chain(NET, PARAMS, PICTURE.shape)
    return Walk(net, [_kept(node, i, step, shown, arrays) for i, node in enumerate(tape.nodes)], shown)


def _kept(node: Node, i: int, step: steps.Step, shown: list[Step], arrays: Arrays) -> Node:
    """Return a node with what the steps show of it."""
    wanted = {each.what for each in shown if i in each.show}
    value = arrays.put(step.nodes[i].value) if "value" in wanted else None
    grad = arrays.put(step.nodes[i].grad) if "grad" in wanted else None
    return replace(node, value=value, grad=grad, after=None, checks=[], from_=[From(f.node) for f in node.from_])


def _forward(step: steps.Step) -> list[Step]:
    conv, pooled = step.outputs["conv2d"], step.outputs["max_pooling2d"]
    relu = step.outputs["relu"]
    first, second = _value(step, conv)[0, :2]
    left, right = PICTURE[:3, 0, 0], PICTURE[:3, 2, 0]
    window = _value(step, relu)[:2, :2].ravel()
    return [
        Step(
            "net",
            "A window slides over the picture",
            f"The 3x3 window at the top left subtracts its left column from its right one, and adds the bias 1: "
            f"({_sum(right)}) - ({_sum(left)}) + 1 = {_n(first)}. One element to the right the same nine weights "
            f"give {_n(second)}. Large values mark places where the picture becomes brighter to the right.",
            [step.image, conv],
            "value",
            "conv2d",
        ),
        Step(
            "bench",
            "Pooling keeps one value of each window",
            f"ReLU replaces negative values by 0. Then the 2x2 window at the top left holds {_list(window)}: its "
            f"maximum is {_n(window.max())}; its average would be {_n(window.mean())}. Four values remain of sixteen.",
            [relu, pooled],
            "value",
            "max_pooling2d",
        ),
    ]


def _backward(step: steps.Step) -> list[Step]:
    relu, pooled = step.outputs["relu"], step.outputs["max_pooling2d"]
    kernel = next(i for i, leaf in enumerate(step.leaves) if (step.layers[i], leaf) == ("conv2d", "kernel"))
    g = _grad(step, pooled)[0, 0]
    place = np.unravel_index(_value(step, relu)[:2, :2].argmax(), (2, 2))
    slope = np.asarray(step.nodes[kernel].grad)[0, 0, 0, 0]
    return [
        Step(
            "backward",
            "The gradient goes back the same way",
            f"If the first maximum grew by 1, the loss would change at a rate of {_n(g)}. The pooling sends all of it "
            f"to the element that was the maximum, at row {place[0]}, column {place[1]}, and 0 to the other three. An "
            f"average would send a quarter, {_n(g / 4)}, to each of the four.",
            [relu, pooled],
            "grad",
            "max_pooling2d",
        ),
        Step(
            "step",
            "Where parts meet, they are added",
            f"The first weight was used in all sixteen windows, so its gradient is a sum of sixteen products: "
            f"{_n(slope)}. A step with learning rate {RATE} moves the weight from -1 to -1 - {RATE} x {_n(slope)} = "
            f"{_n(-1 - RATE * slope)}.",
            [kernel],
            "grad",
        ),
    ]


def _outlook(step: steps.Step) -> list[Step]:
    relu, pooled = step.outputs["relu"], step.outputs["max_pooling2d"]
    values = _value(step, relu)
    moved: Any = np.asarray(layers.Sequential(NET.layers[:3])(PARAMS, shift(PICTURE[None], 0, 1)))[0, ..., 0]
    before = _value(step, pooled)
    return [
        Step(
            "heads",
            "A net can end in other ways",
            f"A global maximum keeps one value of the map, {_n(values.max())}, and sends its gradient to one place. A "
            f"global average keeps {_n(values.mean())} and sends one sixteenth of its gradient to every place.",
            [relu],
            "value",
        ),
        Step(
            "shift",
            "Move the picture by one column",
            f"The four maxima were {_list(before.ravel())}. With the picture one column further right they are "
            f"{_list(moved.ravel())}: {_unchanged(before, moved)} of the four stay as they are. The shift table counts "
            "how often that changes an answer.",
            [pooled],
            "value",
        ),
    ]


def _unchanged(before: np.ndarray, moved: np.ndarray) -> int:
    return int(np.count_nonzero(before == moved))


def _value(step: steps.Step, i: int) -> np.ndarray:
    return np.asarray(step.nodes[i].value[0, ..., 0])


def _grad(step: steps.Step, i: int) -> np.ndarray:
    return np.asarray(step.nodes[i].grad)[0, ..., 0]


def _n(value: Any) -> str:
    return f"{float(value):.4g}"


def _sum(values: np.ndarray) -> str:
    return " + ".join(map(_n, values))


def _list(values: np.ndarray) -> str:
    *most, last = map(_n, values)
    return f"{', '.join(most)} and {last}"
