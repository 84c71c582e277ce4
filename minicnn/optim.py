"""Optimizers: records with `init(params) -> state` and `update(grads, state, params) -> (params, state)`.

Both trees come back new, nothing is written to. Weight decay is decoupled (Loshchilov and Hutter, 2019): each step
subtracts learning rate times `weight_decay` times the weights, only for parameters with two or more axes: biases and
the scales of normalization are not decayed.

New parameters and new state have the dtype of the parameters. A state that was saved and loaded again works: its `step`
may be an array without axes. Gradients or a state that belong to other parameters are a ValueError or a TypeError that
names the leaf.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from minicnn import kernels, schedules, trees
from minicnn.clipping import check_floats, clip_by_global_norm, describe, global_norm, is_float, place
from minicnn.geometry import integer
from minicnn.hints import explained, frozen, unknown_names
from minicnn.records import register
from minicnn.schedules import Schedule, keep
from minicnn.validation import FLOATS, number, shown

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "clip_by_global_norm", "global_norm", "over", "rate_at"]

Tree: TypeAlias = Any
State: TypeAlias = dict[str, Any]
Rate: TypeAlias = float | Schedule


@register
@frozen
class SGD:
    """Stochastic gradient descent: v = momentum * v + g, w = w - learning_rate * v.

    Parameters
    ----------
    learning_rate : float or schedule
    momentum : float
        In [0, 1).
    nesterov : bool
        Nesterov momentum: w = w - learning_rate * (g + momentum * v).
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
        _keep_common(self)
        if not isinstance(self.nesterov, bool | np.bool_):
            raise TypeError(f"SGD: nesterov must be True or False, got {shown(self.nesterov)}.")
        momentum = number("SGD", "momentum", self.momentum, least=0, below=1)
        keep(self, momentum=momentum, nesterov=bool(self.nesterov))
        if self.nesterov and not self.momentum:
            raise ValueError(
                "SGD: nesterov must be False without momentum, got True. Use momentum=0.9, or nesterov=False."
            )

    def init(self, params: Tree) -> State:
        """Return the state before the first step: `step`, and with a momentum `velocity`, a tree like `params`."""
        return {"step": 0, "velocity": _zeros("SGD", params)} if self.momentum else {"step": 0}

    def update(self, grads: Tree, state: State, params: Tree) -> tuple[Tree, State]:
        """Take one step."""
        step = _step(self, state, ("velocity",) if self.momentum else ())
        rate, grads = _rate(self.learning_rate, step), _clip(self, grads)

        def move(w: np.ndarray, g: np.ndarray, v: Any = None) -> tuple[np.ndarray, ...]:
            if self.momentum:
                v = _times_plus(self.momentum, v, g)
                g = _times_plus(self.momentum, v, g) if self.nesterov else v
            if self.weight_decay and w.ndim > 1:
                g = _times_plus(self.weight_decay, w, g)
            return _times_plus(-rate, g, w), v

        before = {"velocity": state["velocity"]} if self.momentum else {}
        params, *after = _moved(self, move, params, gradients=grads, **before)
        return params, {"step": step + 1, **dict(zip(before, after, strict=True))}


@register
@frozen
class Adam:
    """Adam: steps scaled by running averages of the gradient and of its square (Kingma and Ba, 2015).

    Parameters
    ----------
    learning_rate : float or schedule
    beta_1, beta_2 : float
        How much of the averages is kept at each step; both are corrected for their start at 0.
    epsilon : float
        Added to the root of the average square; above 0, so that a gradient of 0 gives a step of 0, not 0 / 0.
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
        _keep_common(self)
        for name in ("beta_1", "beta_2"):
            keep(self, **{name: number("Adam", name, getattr(self, name), least=0, below=1)})
        keep(self, epsilon=number("Adam", "epsilon", self.epsilon, least=0))
        if not np.float32(self.epsilon):  # in float32 arithmetic 1e-50 is 0, too
            raise ValueError(f"Adam: epsilon must be above 0 in float32, got {self.epsilon!r}. Use 1e-7.")

    def init(self, params: Tree) -> State:
        """Return the state before the first step: `step`, and `mean` and `square`, trees like `params`."""
        return {"step": 0, "mean": _zeros("Adam", params), "square": _zeros("Adam", params)}

    def update(self, grads: Tree, state: State, params: Tree) -> tuple[Tree, State]:
        """Take one step."""
        step = _step(self, state, ("mean", "square"))
        rate, grads = _rate(self.learning_rate, step), _clip(self, grads)
        step += 1
        betas = self.beta_1, self.beta_2
        corrections = 1 - self.beta_1**step, math.sqrt(1 - self.beta_2**step)

        def move(w: np.ndarray, g: np.ndarray, m: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, ...]:
            decay = self.weight_decay if w.ndim > 1 else 0.0
            return kernels.adam_step(w, g, m, s, betas, corrections, self.epsilon, rate, decay)

        averages = {"mean": state["mean"], "square": state["square"]}
        params, mean, square = _moved(self, move, params, gradients=grads, **averages)
        return params, {"step": step, "mean": mean, "square": square}


@explained  # named as a class because users of other frameworks look for one
def AdamW(learning_rate: Rate = 1e-3, *, weight_decay: float = 4e-3, **others: Any) -> Adam:  # noqa: N802
    """Return Adam with weight decay, which is always decoupled here.

    >>> AdamW(1e-3) == Adam(1e-3, weight_decay=4e-3)
    True
    """
    return Adam(learning_rate, weight_decay=weight_decay, **others)


Optimizer: TypeAlias = SGD | Adam


@explained
def rate_at(learning_rate: Rate, step: int) -> float:
    """Return the learning rate at a step, counted from 0, as a Python float.

    A schedule is any callable that returns a finite number of at least 0, or an array without axes that holds one.

    >>> rate_at(lambda step: np.float64(0.5) ** step, 2)
    0.25
    """
    return _rate(learning_rate, step)


def _rate(learning_rate: Rate, step: int) -> float:
    rate = learning_rate(step) if callable(learning_rate) else learning_rate
    # Nearly always it is such a float: checked first, for speed.
    return rate if type(rate) is float and 0 <= rate < math.inf else _check_rate(rate, step)


def _check_rate(rate: Any, step: int) -> float:
    return number("optimizer", f"learning_rate(step={step})", rate, least=0)


@explained
def over(optimizer: Optimizer, steps: int) -> Optimizer:
    """Return the optimizer with its schedule stretched over a training, where the schedule leaves that open."""
    if not hasattr(optimizer, "learning_rate"):
        raise TypeError(f"over: optimizer must be a value such as Adam(1e-3), got {describe(optimizer)}.")
    rate = optimizer.learning_rate
    stretched = schedules.over(rate, steps) if callable(rate) else rate
    return optimizer if stretched is rate else replace(optimizer, learning_rate=stretched)


def _keep_common(optimizer: Optimizer) -> None:
    where, rate, clipnorm = type(optimizer).__name__, optimizer.learning_rate, optimizer.global_clipnorm
    if isinstance(rate, type):
        fix = f"Use a value such as {rate.__name__}(0.1)."
        raise TypeError(f"{where}: learning_rate must be a number or a schedule, got the class {rate.__name__}. {fix}")
    keep(
        optimizer,
        learning_rate=rate if callable(rate) else number(where, "learning_rate", rate, least=0),
        weight_decay=number(where, "weight_decay", optimizer.weight_decay, least=0),
        global_clipnorm=None if clipnorm is None else number(where, "global_clipnorm", clipnorm, least=0),
    )


def _zeros(where: str, params: Tree) -> Tree:
    check_floats(f"{where}.init", "params", params)
    return trees.map_leaves(np.zeros_like, params)


def _step(optimizer: Optimizer, state: Any, names: tuple[str, ...]) -> int:
    """Return the step as a Python int; the state must have it and the trees of these names."""
    if type(state) is dict and tuple(state) == ("step", *names) and type(state["step"]) is int and state["step"] >= 0:
        return state["step"]  # every state except a loaded one
    return _check_state(optimizer, state, names)


def _check_state(optimizer: Optimizer, state: Any, names: tuple[str, ...]) -> int:
    """Return the step of a state, or raise if the state is not one of this optimizer."""
    where, wanted = type(optimizer).__name__, ("step", *names)
    if not isinstance(state, dict):
        raise TypeError(f"{where}: state must be a dict, got {describe(state)}. Use the result of init(params).")
    more = [name for name in state if name not in wanted and trees.leaves(state[name])]
    if more or any(name not in state for name in wanted):
        found = ", ".join(map(str, state)) or "nothing"
        fix = "Use the result of this optimizer's init(params) or update."
        raise ValueError(f"{where}: state must hold {', '.join(wanted)}, got {found}. {fix}")
    return integer(where, "state['step']", state["step"], least=0)


def _clip(optimizer: Optimizer, grads: Tree) -> Tree:
    limit = optimizer.global_clipnorm
    return grads if limit is None else clip_by_global_norm(grads, limit)


class _MisfitError(Exception):
    """A leaf does not belong to its parameter; which one is looked for only then."""


def _moved(optimizer: Optimizer, move: Callable[..., Any], params: Tree, **others: Tree) -> list[Tree]:
    """Return new parameters, and a new tree for each of the other trees except the gradients (the first of them).

    `move` gets a parameter and its leaves in the other trees, which must have its shape and get its dtype.
    """

    def checked(w: np.ndarray, *leaves: Any) -> Any:
        for a in leaves:
            if (
                not type(a) is type(w) is np.ndarray
                or a.dtype != w.dtype
                or a.shape != w.shape
                or a.dtype not in FLOATS
            ):
                return move(w, *[_cast(name, a, w) for name, a in zip(others, leaves, strict=True)])
        return move(w, *leaves)

    try:
        return trees.map_several(checked, len(others), params, *others.values())
    except (_MisfitError, ValueError) as error:
        raise _not_of(f"{type(optimizer).__name__}.update", params, others, error) from None


def _not_of(where: str, params: Tree, others: dict[str, Tree], error: Exception) -> Exception:
    """Return the error for gradients or a state that do not belong to the parameters."""
    if not isinstance(error, _MisfitError):
        return ValueError(f"{where}: params, {' and '.join(others)} must be equal trees, got different ones: {error}.")
    name, a, w = error.args
    leaf_place = place(name, next(path for path, leaf in trees.items(params) if leaf is w))
    kind, wanted = (ValueError, f" of shape {w.shape}") if is_float(a) and is_float(w) else (TypeError, "")
    fix = "Gradients and state must belong to params."
    return kind(f"{where}: {leaf_place} must be a float array{wanted}, got {describe(a)}. {fix}")


def _cast(name: str, a: Any, w: Any) -> Any:
    """Return a leaf of another float type as the parameter's, so that float32 stays float32."""
    if not is_float(w):
        raise _MisfitError("params", w, w)
    if not (is_float(a) and a.shape == w.shape):
        raise _MisfitError(name, a, w)
    return a.astype(w.dtype, copy=False)


def _times_plus(factor: float, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return factor * a + b in one new array."""
    result: np.ndarray = np.multiply(a, factor)
    result += b
    return result


if not TYPE_CHECKING:  # with a __getattr__ a type checker accepts every name
    __getattr__ = unknown_names(__name__, __all__, {"lr_scheduler": "minicnn.schedules"})
