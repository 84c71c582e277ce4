"""The guided walk: one small picture through a net that can be computed by hand, in six steps with its numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import Tensor, layers, ops, optim
from minicnn.explain import step as steps
from minicnn.explain.contract import Shown, Step, Walk
from minicnn.explain.markup import number
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
    step = steps.run(steps.Problem(NET, PARAMS, PICTURE[None], np.array([0]), ops.cross_entropy))
    maps = Maps(step, arrays)
    return Walk([tell(maps) for tell in (_convolution, _pooling, _gradient, _update, _heads, _shift)])


@dataclass(frozen=True)
class Maps:
    """The arrays of the step, and how they are shown."""

    step: steps.Step
    arrays: Arrays

    def value(self, layer: str) -> np.ndarray:
        """Return the output of a layer, (H, W)."""
        return np.asarray(self.step.nodes[self.step.outputs[layer]].value)[0, ..., 0]

    def grad(self, layer: str) -> np.ndarray:
        """Return the gradient at the output of a layer, (H, W)."""
        return np.asarray(self.step.nodes[self.step.outputs[layer]].grad)[0, ..., 0]

    def slope(self) -> np.ndarray:
        """Return the gradient of the kernel, in its shape."""
        places = zip(self.step.layers, self.step.leaves, strict=True)
        return np.asarray(self.step.nodes[list(places).index(("conv2d", "kernel"))].grad)

    def show(self, name: str, values: np.ndarray, size: int, largest: float | None = None, **how: Any) -> Shown:
        """Return a map, (H, W), with elements of so many pixels; the largest is its own if none is given."""
        extent = float(np.abs(values).max()) if largest is None else largest
        return Shown(name, self.arrays.put(values[..., None]), extent, size, **how)


def _convolution(maps: Maps) -> Step:
    conv = maps.value("conv2d")
    left, right = PICTURE[:3, 0, 0], PICTURE[:3, 2, 0]
    return Step(
        "net",
        "A window slides over the picture",
        f"In the 3\u00d73 window at the top left, the kernel subtracts the left column from the right one, and the "
        f"bias adds 1: ({_sum(right)}) \u2212 ({_sum(left)}) + 1 = {_n(conv[0, 0])}. One element to the right the "
        f"same nine weights give {_n(conv[0, 1])}. Large values mark places where the picture becomes "
        "brighter to the right.",
        [
            [
                maps.show("picture", PICTURE[..., 0], 36),
                maps.show("kernel", EDGE[..., 0, 0], 36, sign="\u2217"),
                maps.show("convolution, plus 1", conv, 36, sign=""),
            ]
        ],
        [3, 1],
    )


def _pooling(maps: Maps) -> Step:
    relu, pooled = maps.value("relu"), maps.value("max_pooling2d")
    window = relu[:2, :2].ravel()
    return Step(
        "bench",
        "Pooling keeps one value of each window",
        f"ReLU replaces negative values by 0. Then the 2\u00d72 window at the top left holds {_list(window)}: its "
        f"maximum is {_n(window.max())}; its average would be {_n(window.mean())}. Four values remain of sixteen.",
        [[maps.show("after ReLU", relu, 44), maps.show("maxima", pooled, 44, sign="")]],
        [2, 2],
    )


def _gradient(maps: Maps) -> Step:
    received, sent = maps.grad("relu"), maps.grad("max_pooling2d")
    row, column = np.unravel_index(maps.value("relu")[:2, :2].argmax(), (2, 2))
    g = sent[0, 0]
    return Step(
        "backward",
        "The gradient goes back the same way",
        f"If the first maximum grew by 1, the loss would change at a rate of {_n(g)}. The pooling sends all of it to "
        f"the element that was the maximum, at row {row + 1}, column {column + 1}, and 0 to the other three. An "
        f"average would send a quarter, {_n(g / 4)}, to each of the four.",
        [
            [
                maps.show("gradient after ReLU", received, 44, what="grad"),
                maps.show("gradient of the maxima", sent, 44, what="grad", sign=""),
            ]
        ],
        [2, 2],
    )


def _update(maps: Maps) -> Step:
    slope, optimizer, kernel = maps.slope(), optim.SGD(RATE), {"kernel": EDGE}
    after = optimizer.update({"kernel": slope}, optimizer.init(kernel), kernel)[0]["kernel"]
    first, most = _n(slope.flat[0]), float(np.abs([EDGE, after]).max())
    return Step(
        "step",
        "Where parts meet, they are added",
        f"The first weight was used in all sixteen windows, so its gradient is a sum of sixteen products: {first}. A "
        f"step with learning rate {RATE} moves the weight from {_n(EDGE.flat[0])} to {_n(EDGE.flat[0])} \u2212 {RATE} "
        f"\u00b7 ({first}) = {_n(after.flat[0])}.",
        [
            [
                maps.show("kernel", EDGE[..., 0, 0], 44, most),
                maps.show("its gradient", slope[..., 0, 0], 44, what="grad", sign=f"\u2212 {RATE} \u00b7"),
                maps.show("kernel after the step", after[..., 0, 0], 44, most, sign="="),
            ]
        ],
    )


def _heads(maps: Maps) -> Step:
    relu = maps.value("relu")
    largest, of_largest = _global(ops.global_max_pool2d, relu)
    mean, of_mean = _global(ops.global_average_pool2d, relu)
    return Step(
        "heads",
        "A net can end in other ways",
        f"A global maximum keeps one value of the map, {_n(largest.item())}, and sends its whole gradient to that "
        f"place. A global average keeps {number(mean.item(), 5)} and sends one sixteenth of its gradient, "
        f"{_n(of_mean[0, 0])} of 1, to every place.",
        [
            [
                maps.show("after ReLU", relu, 32),
                maps.show("maximum", largest, 44, largest.item(), sign=""),
                maps.show("average", mean, 44, largest.item()),
            ],
            [
                maps.show("gradient of the maximum", of_largest, 32, 1, what="grad"),
                maps.show("gradient of the average", of_mean, 32, 1, what="grad"),
            ],
        ],
    )


def _global(pool: Callable[[Tensor], Any], values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what a global pooling keeps of a map, (1, 1), and the gradient that it sends back for a gradient of 1."""
    x = Tensor(values[None, ..., None])
    y = pool(x)
    y.sum().backward()
    return np.asarray(y.data).reshape(1, 1), np.asarray(x.grad)[0, ..., 0]


def _shift(maps: Maps) -> Step:
    before, moved = maps.value("max_pooling2d"), shift(PICTURE[None], 0, 1)
    after = np.asarray(layers.Sequential(NET.layers[:3])(PARAMS, moved))[0, ..., 0]
    differ, most = np.argwhere(before != after).tolist(), float(max(before.max(), after.max()))
    return Step(
        "shift",
        "Move the picture by one column",
        f"The four maxima were {_list(before.ravel())}. With the picture one column further right they are "
        f"{_list(after.ravel())}: {4 - len(differ)} of the four stay as they are. The shift table counts how often "
        "that changes an answer.",
        [
            [
                maps.show("picture", PICTURE[..., 0], 28),
                maps.show("maxima", before, 36, most, framed=differ, sign=""),
            ],
            [
                maps.show("moved picture", moved[0, ..., 0], 28),
                maps.show("its maxima", after, 36, most, framed=differ, sign=""),
            ],
        ],
    )


def _n(value: Any) -> str:
    return number(float(value), 4)


def _sum(values: np.ndarray) -> str:
    return " + ".join(map(_n, values))


def _list(values: np.ndarray) -> str:
    *most, last = map(_n, values)
    return f"{', '.join(most)} and {last}"
