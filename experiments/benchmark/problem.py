"""What every contender is given for a task, and what it must compute to be one: a file of arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmark.tasks import NETS, images
from minicnn import ops, optim, tree, value_and_grad

BATCHES = 4
RATE, MOMENTUM = 0.01, 0.9
CLOSE = {"rtol": 1e-3, "atol": 1e-4}
"""How near float32 in another order of summation must come to float64."""


@dataclass(frozen=True)
class Problem:
    """Initial weights, batches, and what float64 finds: the logits of the first batch and the loss before each step.

    `images` are (batches, N, H, W, 1), `labels` (batches, N), `losses` (batches,), for a step on each batch in turn.
    """

    params: dict[str, Any]
    images: np.ndarray
    labels: np.ndarray
    logits: np.ndarray
    losses: np.ndarray

    @property
    def batches(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The batches in turn."""
        return list(zip(self.images, self.labels, strict=True))


def make_problem(net: str, side: int, batch: int) -> Problem:
    """Return a task's problem, with the answers worked out by minicnn in float64."""
    params = NETS[net].init(np.random.default_rng(0), (side, side, 1))
    pixels, labels = images(side, BATCHES, batch)
    doubles = tree.map_leaves(np.float64, params)
    logits = NETS[net](doubles, np.float64(pixels[0]))
    return Problem(params, pixels, labels, logits, np.array(_losses(net, doubles, np.float64(pixels), labels)))


def _losses(net: str, params: Any, pixels: np.ndarray, labels: np.ndarray) -> list[float]:
    optimizer = optim.SGD(RATE, momentum=MOMENTUM)
    state, losses = optimizer.init(params), []
    rng = np.random.default_rng(0)

    def loss(params: Any, x: np.ndarray, y: np.ndarray) -> Any:
        return ops.cross_entropy(NETS[net](params, x, rng=rng), y)

    for x, y in zip(pixels, labels, strict=True):
        value, grads = value_and_grad(loss)(params, x, y)
        params, state = optimizer.update(grads, state, params)
        losses.append(float(value))
    return losses


def write(problem: Problem, path: Path) -> Path:
    """Write a problem as an .npz file."""
    arrays = {name: value for name, value in vars(problem).items() if name != "params"}
    np.savez(path, **arrays, **{f"params/{leaf}": value for leaf, value in tree.items(problem.params)})
    return path


def read(path: str | Path) -> Problem:
    """Read what `write` wrote."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    return Problem(params=take_params(arrays), **arrays)


def take_params(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Take the arrays named params/layer/leaf out of a dict and return them as a tree."""
    params: dict[str, Any] = {}
    for name in [name for name in arrays if name.startswith("params/")]:
        _, layer, leaf = name.split("/")
        params.setdefault(layer, {})[leaf] = arrays.pop(name)
    return params


def check(problem: Problem, logits: Any, losses: list[float]) -> None:
    """Raise ValueError unless a contender found the same logits and losses."""
    answers = (("logits", np.asarray(logits), problem.logits), ("losses", np.asarray(losses), problem.losses))
    for what, found, right in answers:
        if found.shape != right.shape or not np.allclose(found, right, **CLOSE):
            raise ValueError(f"computes something else: {what} {found.ravel()[:4]}, not {right.ravel()[:4]}")
