"""Input and expected results of a task: every adapter must reproduce the results of float64 arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmark.tasks import NETS, Mode, images
from minicnn import ops, optim, trees, value_and_grad

BATCHES = 4
LEARNING_RATE, MOMENTUM = 0.01, 0.9
TOLERANCE = {"rtol": 1e-3, "atol": 1e-4}
"""Difference allowed between float32, with any order of summation, and float64."""


@dataclass(frozen=True)
class Problem:
    """Initial weights and batches, and the results expected for them, computed in float64.

    Attributes
    ----------
    params : dict
        Initial parameters of the minicnn network.
    images : array (batches, N, H, W, 1)
    labels : array (batches, N)
    logits : array (N, classes)
        Logits of the first batch with the initial parameters.
    losses : array (batches,)
        Losses of training on the batches in order, each before its update; none in a problem of inference.
    """

    params: dict[str, Any]
    images: np.ndarray
    labels: np.ndarray
    logits: np.ndarray
    losses: np.ndarray

    @property
    def batches(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The batches in order."""
        return list(zip(self.images, self.labels, strict=True))


def make_problem(net: str, side: int, batch: int, mode: Mode = "training") -> Problem:
    """Return the problem of a task; the expected results are computed by minicnn in float64."""
    params = NETS[net].init(np.random.default_rng(0), (side, side, 1))
    pixels, labels = images(side, BATCHES, batch)
    params64 = trees.map_leaves(np.float64, params)
    logits = NETS[net](params64, np.float64(pixels[0]))
    losses = _losses(net, params64, np.float64(pixels), labels) if mode == "training" else []
    return Problem(params, pixels, labels, logits, np.array(losses))


def _losses(net: str, params: Any, pixels: np.ndarray, labels: np.ndarray) -> list[float]:
    optimizer = optim.SGD(LEARNING_RATE, momentum=MOMENTUM)
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
    np.savez(path, **arrays, **{f"params/{leaf}": value for leaf, value in trees.items(problem.params)})
    return path


def read(path: str | Path) -> Problem:
    """Read a problem from a file written by `write`."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    return Problem(params=take_params(arrays), **arrays)


def take_params(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Remove the arrays named params/layer/leaf from a dict and return them as a trees."""
    params: dict[str, Any] = {}
    for name in [name for name in arrays if name.startswith("params/")]:
        _, layer, leaf = name.split("/")
        params.setdefault(layer, {})[leaf] = arrays.pop(name)
    return params


def check(problem: Problem, logits: Any, losses: list[float]) -> None:
    """Raise ValueError unless the logits and losses of an adapter agree with the expected ones."""
    results = (("logits", np.asarray(logits), problem.logits), ("losses", np.asarray(losses), problem.losses))
    for what, found, expected in results:
        if found.shape != expected.shape or not np.allclose(found, expected, **TOLERANCE):
            raise ValueError(
                f"benchmark: {what} must agree with float64, {expected.ravel()[:4]}, got {found.ravel()[:4]}. "
                "Correct the adapter."
            )
