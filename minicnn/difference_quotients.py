"""The function that `gradcheck` checks, with its difference quotients and its gradients as long vectors."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import trees
from minicnn.autograd import Tensor
from minicnn.hints import a_type

STEPS = (2.0**-13, 2.0**-18, 2.0**-23)
SETTLED = 1e-7  # one-sided derivatives that agree to this fraction of their size are equal
ROUNDING = 32 * np.finfo(np.float64).eps  # error of an output, as a fraction of its size
UNSEEN = 4 * np.finfo(np.float64).eps  # change of an output that may not show, as a fraction of its size


@dataclass(frozen=True)
class Part:
    """One argument of a function: its name, its shape, and its place in the long vector."""

    name: str
    shape: tuple[int, ...]
    span: slice


class Function:
    """f as a function from one long vector to another."""

    def __init__(self, f: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            self.f, self.given = f, inspect.signature(f).bind(*args)
        except (TypeError, ValueError) as error:  # ValueError: a function of C without a signature
            raise TypeError(
                f"gradcheck: args must fit the signature of f, got {len(args)} arguments: {error}. Give all."
            ) from None
        arrays = [(name, _double(name, a)) for name, a in trees.items(self.given.arguments)]
        if not arrays:
            raise TypeError("gradcheck: args must hold at least one array, got nothing to check.")
        ends = np.cumsum([a.size for _, a in arrays])
        self.parts = [Part(n, a.shape, slice(end - a.size, end)) for (n, a), end in zip(arrays, ends, strict=True)]
        self.x = np.concatenate([a.ravel() for _, a in arrays])
        self.unit = np.maximum(np.abs(self.x), 1)
        self.y = self(self.x)
        self.size = self._size()
        self.tensors = [Tensor(a) for _, a in arrays]
        self.result = self._call(self.tensors)
        if not np.allclose(_plain(self.result).ravel(), self.y, rtol=1e-12, atol=0):
            raise ValueError(
                "gradcheck: f must be deterministic, got different results from two calls. "
                "Make its random generators inside f."
            )

    def _call(self, leaves: list[Any]) -> Any:
        left = iter(leaves)
        arguments = trees.map_leaves(lambda _: next(left), self.given.arguments)
        return self.f(*inspect.BoundArguments(self.given.signature, arguments).args)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs at `x`; raise if f is not a pure function of float64 there."""
        own = x.copy()
        y = _plain(self._call([own[part.span].reshape(part.shape) for part in self.parts]))
        if not np.array_equal(own, x, equal_nan=True):
            raise ValueError("gradcheck: f must return new arrays, got one that writes into its arguments.")
        if y.dtype != np.float64:
            raise TypeError(
                f"gradcheck: f must return float64 for float64, got {y.dtype}. Steps of 1e-4 need float64 throughout."
            )
        if not np.isfinite(y).all():
            raise ValueError(
                "gradcheck: f must be finite near x, got a result that is not finite within a step of 1e-4. "
                "Check it elsewhere."
            )
        return y.ravel()

    def _size(self) -> Any:
        """Return, for each output, the size to which its rounding error is relative.

        That is its own, or what it changes by when the arguments change by their own size: f rounds what it computes on
        the way, too, as the 1 in log(1 + exp(-28)), whose result is 7e-13.
        """
        size, rng, t = (
            np.maximum(np.abs(self.y), 1e-3 * np.abs(self.y).max(initial=0)),
            np.random.default_rng(0),
            STEPS[-1],
        )
        for _ in range(2):
            d = random_signs(rng, self.x.size) * self.unit * t
            size = np.maximum(size, np.abs(self(self.x + d) - self(self.x - d)) / (2 * t))
        return size

    def vjp(self, w: np.ndarray) -> np.ndarray:
        """Return the gradient of the outputs weighed by `w`."""
        if isinstance(self.result, Tensor):
            Tensor(np.vdot(w, self.y), ((self.result, lambda _: w.reshape(_plain(self.result).shape)),)).backward()
        return np.concatenate([np.zeros(t.size) if t.grad is None else t.grad.ravel() for t in self.tensors])

    def unseen(self, w: np.ndarray) -> float:
        """Return the slope that outputs weighed by `w` may have together though none of them shows a difference."""
        return float(UNSEEN / STEPS[0] * np.linalg.norm(w * self.size))

    def slopes(self, d: np.ndarray, unit: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return, for each output, low and high ends of its slopes along `d`, and what rounding may do to them.

        Steps are in multiples of `unit`. Where the output is smooth both ends are the same number.
        """
        low, high, noise = np.zeros((3, self.y.size))
        rough, moved = np.ones(self.y.shape, bool), np.zeros(self.y.shape, bool)
        for t in (step * unit for step in STEPS):
            ahead, near_ahead = ((self(self.x + h * d) - self.y) / h for h in (t, t / 2))
            behind, near_behind = ((self.y - self(self.x - h * d)) / h for h in (t, t / 2))
            right, left = 2 * near_ahead - ahead, 2 * near_behind - behind
            wide, narrow = (ahead + behind) / 2, (near_ahead + near_behind) / 2
            sides = np.stack([ahead, near_ahead, behind, near_behind, right, left])
            moved |= sides.any(axis=0)
            rounding = ROUNDING * self.size / t * moved
            allowed = SETTLED * np.abs(sides).max(axis=0) + rounding
            smooth = rough & (np.abs(right - left) <= allowed) & (np.abs(wide - narrow) <= allowed)
            low[rough], high[rough], noise[rough] = (a[rough] for a in (sides.min(axis=0), sides.max(axis=0), rounding))
            low[smooth] = high[smooth] = ((4 * narrow - wide) / 3)[smooth]
            rough &= ~smooth
            if not rough.any():
                break
        return low, high, noise


def random_signs(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return numbers of either sign that are not small, so that nothing is nearly left out."""
    return rng.uniform(0.5, 1.5, size) * (2.0 * rng.integers(2, size=size) - 1)


def _plain(y: Any) -> np.ndarray:
    if not isinstance(y, Tensor | np.ndarray | float | np.floating):
        raise TypeError(f"gradcheck: f must return one array or number, got {a_type(y)}.")
    return y.data if isinstance(y, Tensor) else np.asarray(y)


def _double(name: str, a: Any) -> np.ndarray:
    array: np.ndarray = np.asarray(None if isinstance(a, Tensor) else a)
    if array.dtype not in (np.float32, np.float64):
        what = f"an array of {array.dtype}" if isinstance(a, np.ndarray) else a_type(a)
        raise TypeError(
            f"gradcheck: {name} must be a float array, got {what}. Hold other arguments fixed: lambda x: f(x, labels)."
        )
    return np.array(array, dtype=np.float64)
