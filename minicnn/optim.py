"""Optimizers: records with `init(params) -> state` and `update(grads, state, params) -> (params, state)`.

Both trees come back new, nothing is written to. Weight decay is decoupled (Loshchilov and Hutter, 2019): each step
takes learning rate times `weight_decay` off the weights themselves, and only off those with two or more axes, so
biases, and the scales of normalisation, are left alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from minicnn import schedules, tree
from minicnn.checks import explained, number
from minicnn.schedules import Schedule

Tree: TypeAlias = Any
State: TypeAlias = dict[str, Any]
Rate: TypeAlias = float | Schedule


@explained
@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent: v = momentum * v + g, and w loses learning rate times v.

    Parameters
    ----------
    learning_rate : float or schedule
    momentum : float
        From 0 up to below 1.
    nesterov : bool
        Look ahead: w loses learning rate times (g + momentum * v).
    weight_decay : float
    global_clipnorm : float, optional
        Gradients whose norm over all parameters is larger are scaled down to it.

    Examples
    --------
    >>> sgd = SGD(0.5)
    >>> sgd.update({"w": np.array([1.0])}, sgd.init({"w": np.array([2.0])}), {"w": np.array([2.0])})[0]
    {'w': array([1.5])}
    """

    learning_rate: Rate = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    global_clipnorm: float | None = None

    def __post_init__(self) -> None:
        _check(self)
        number("SGD", "momentum", self.momentum, least=0, below=1)
        if self.nesterov and not self.momentum:
            raise ValueError("SGD: nesterov looks ahead along a momentum of 0. Give momentum=0.9, or nesterov=False.")

    def init(self, params: Tree) -> State:
        """Return the state before the first step."""
        return {"step": 0, "velocity": tree.map_leaves(np.zeros_like, params) if self.momentum else {}}

    def update(self, grads: Tree, state: State, params: Tree) -> tuple[Tree, State]:
        """Take one step."""
        rate, grads = rate_at(self.learning_rate, state["step"]), _clip(self, grads)
        velocity, move = state["velocity"], grads
        if self.momentum:
            velocity = tree.map_leaves(lambda v, g: _times_plus(self.momentum, v, g), velocity, grads)
            move = velocity
        if self.nesterov:
            move = tree.map_leaves(lambda g, v: _times_plus(self.momentum, v, g), grads, velocity)
        return _move(params, move, rate, self.weight_decay), {"step": state["step"] + 1, "velocity": velocity}


@explained
@dataclass(frozen=True)
class Adam:
    """Steps scaled by running averages of the gradient and of its square (Kingma and Ba, 2015).

    Parameters
    ----------
    learning_rate : float or schedule
    beta_1, beta_2 : float
        How much of the averages is kept at each step; both are corrected for their start at 0.
    epsilon : float
        Added to the root of the average square.
    weight_decay : float
    global_clipnorm : float, optional
    """

    learning_rate: Rate = 1e-3
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    weight_decay: float = 0.0
    global_clipnorm: float | None = None

    def __post_init__(self) -> None:
        _check(self)
        for name in ("beta_1", "beta_2"):
            number("Adam", name, getattr(self, name), least=0, below=1)
        number("Adam", "epsilon", self.epsilon, least=0)

    def init(self, params: Tree) -> State:
        """Return the state before the first step."""
        zeros = tree.map_leaves(np.zeros_like, params)
        return {"step": 0, "mean": zeros, "square": zeros}

    def update(self, grads: Tree, state: State, params: Tree) -> tuple[Tree, State]:
        """Take one step."""
        rate, grads = rate_at(self.learning_rate, state["step"]), _clip(self, grads)
        step = state["step"] + 1
        mean = tree.map_leaves(lambda m, g: self.beta_1 * m + (1 - self.beta_1) * g, state["mean"], grads)
        square = tree.map_leaves(lambda s, g: self.beta_2 * s + (1 - self.beta_2) * g * g, state["square"], grads)
        first, second = 1 - self.beta_1**step, math.sqrt(1 - self.beta_2**step)
        move = tree.map_leaves(lambda m, s: m / first / (np.sqrt(s) / second + self.epsilon), mean, square)
        return _move(params, move, rate, self.weight_decay), {"step": step, "mean": mean, "square": square}


@explained
def AdamW(learning_rate: Rate = 1e-3, *, weight_decay: float = 4e-3, **others: Any) -> Adam:  # noqa: N802
    """Return Adam with weight decay, which is always decoupled here.

    >>> AdamW(1e-3) == Adam(1e-3, weight_decay=4e-3)
    True
    """
    return Adam(learning_rate, weight_decay=weight_decay, **others)


Optimizer: TypeAlias = SGD | Adam


def rate_at(learning_rate: Rate, step: int) -> float:
    """Return the learning rate at a step, counted from 0."""
    return learning_rate(step) if callable(learning_rate) else learning_rate


def over(optimizer: Optimizer, steps: int) -> Optimizer:
    """Return the optimizer with its schedule stretched over a training, where the schedule leaves that open."""
    rate = optimizer.learning_rate
    return replace(optimizer, learning_rate=schedules.over(rate, steps)) if callable(rate) else optimizer


def global_norm(grads: Tree) -> float:
    """Return the Euclidean norm over all leaves.

    >>> global_norm({"a": np.array([3.0]), "b": np.array([4.0])})
    5.0
    """
    return math.sqrt(sum(float(np.vdot(g, g)) for g in tree.leaves(grads)))


def clip_by_global_norm(grads: Tree, limit: float) -> Tree:
    """Scale all gradients by the same factor, so that their global norm is at most `limit`."""
    norm = global_norm(grads)
    return grads if norm <= limit else tree.map_leaves(lambda g: g * (limit / norm), grads)


def _check(optimizer: Optimizer) -> None:
    where = type(optimizer).__name__
    if not callable(optimizer.learning_rate):
        number(where, "learning_rate", optimizer.learning_rate, least=0)
    number(where, "weight_decay", optimizer.weight_decay, least=0)
    number(where, "global_clipnorm", 1 if optimizer.global_clipnorm is None else optimizer.global_clipnorm, least=0)


def _clip(optimizer: Optimizer, grads: Tree) -> Tree:
    limit = optimizer.global_clipnorm
    return grads if limit is None else clip_by_global_norm(grads, limit)


def _move(params: Tree, move: Tree, rate: float, decay: float) -> Tree:
    def step(w: np.ndarray, m: np.ndarray) -> np.ndarray:
        return _times_plus(-rate, _times_plus(decay, w, m) if decay and w.ndim > 1 else m, w)

    return tree.map_leaves(step, params, move)


def _times_plus(factor: float, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return factor * a + b in one new array."""
    result: np.ndarray = np.multiply(a, factor)
    result += b
    return result
