"""Comparing gradients with difference quotients, kinks included.

f is evaluated at x + t d and x - t d for two t, one twice the other. Where f is smooth along d, the slopes ahead
and behind meet as t shrinks and Richardson's extrapolation gives the slope to ten digits: the gradient must be
that. Where they do not meet at any of three sizes of t, f has a kink (ReLU at 0, tied maxima), has no gradient
there, and a plain difference quotient says nothing: it gives 0.5 for each tied cell, however many there are.
What must hold at a kink is

    bracket   the gradient lies between the slope behind and the slope ahead,
    sum       elements of equal value at which one output is kinked move together. If that move is smooth, as it is
              for the tied cells of a window (all up by t, the maximum up by t), their gradients add up to its slope.

The bracket alone would accept "every tie gets everything" and "no tie gets anything"; the sum rejects them. Both are
statements about one output: in a weighted sum of several, slopes of opposite sign cancel. So outputs without
kinks are weighed together at random, which needs one backward pass, and each output with a kink is looked at alone.
For the same reason give `gradcheck` the array that an op returns, not its sum.

A function that is consistently wrong, forward and backward, passes: only known values can tell.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from minicnn import tree
from minicnn.autograd import Tensor

Mode = Literal["direction", "elements"]
STEPS = (2.0**-13, 2.0**-18, 2.0**-23)
SETTLED = 1e-7
"""Slopes that agree to this share of their size are the same slope."""
ROUNDING = 32 * np.finfo(np.float64).eps
"""What an output may be off by, as a share of its size."""


@dataclass(frozen=True)
class Row:
    """What was found for one argument.

    Attributes
    ----------
    name : str
        The argument, or its path in the tree of parameters.
    smooth, kinked : int
        How many elements (or directions) were of each kind.
    worst : float
        The largest relative error.
    index : tuple of int
        Where in the argument, () for directions.
    found : str
        The numbers behind the worst error.
    """

    name: str
    smooth: int
    kinked: int
    worst: float
    index: tuple[int, ...]
    found: str


@dataclass(frozen=True, repr=False)
class Report:
    """The result of `gradcheck`: true if every gradient is right, and a table to print."""

    mode: Mode
    tolerance: float
    rows: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        """Whether no error is larger than the tolerance."""
        return all(row.worst <= self.tolerance for row in self.rows)

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        width = max(8, *(len(row.name) for row in self.rows))
        lines = [f"gradcheck by {self.mode}: {'right' if self.ok else 'WRONG'} to {self.tolerance:g}"]
        lines.append(f"{'argument':{width}} {'smooth':>7} {'kinked':>7} {'worst':>8}  at")
        for row in self.rows:
            wrong = f"  WRONG: {row.found}" if row.worst > self.tolerance else ""
            at = row.index or "-"
            lines.append(f"{row.name:{width}} {row.smooth:>7} {row.kinked:>7} {row.worst:>8.1e}  {at}{wrong}")
        return "\n".join(lines)


def gradcheck(
    f: Callable[..., Any],
    *args: Any,
    rng: np.random.Generator | None = None,
    mode: Mode = "direction",
    tolerance: float = 1e-6,
    directions: int = 2,
) -> Report:
    """Compare the gradients of `f(*args)` with its slopes, in float64.

    Parameters
    ----------
    f : callable
        Takes arrays or trees of arrays (dict, list, tuple), returns an array or a number.
    *args : arrays or trees of arrays
        Where to check. float32 is converted; integers, which have no gradient, are refused.
    rng : numpy.random.Generator, optional
        Draws directions and the weights of the outputs; the same ones each time by default.
    mode : {"direction", "elements"}
        "direction" moves each argument as a whole along `directions` random directions: a few evaluations of f, any
        size. "elements" moves every element by itself, four evaluations each, and alone checks sums at kinks.
    tolerance : float
        Largest relative error that passes. What rounding may do to a difference quotient is allowed on top.

    Returns
    -------
    Report
        Says by name what was smooth, kinked and worst, and is true if all is right: `assert gradcheck(f, x)`.

    Examples
    --------
    >>> from minicnn import ops
    >>> x = np.array([[3.0, 3.0, 1.0], [0.0, 2.0, 3.0]])
    >>> gradcheck(lambda x: ops.max(x, axis=1), x, mode="elements", tolerance=1e-4)
    gradcheck by elements: right to 0.0001
    argument  smooth  kinked    worst  at
    x              4       2  0.0e+00  (0, 0)
    """
    if mode not in ("direction", "elements"):
        raise ValueError(f"gradcheck: mode={mode!r} is not known. Use 'direction' or 'elements'.")
    function = _Function(f, args)
    rng = np.random.default_rng(0) if rng is None else rng
    if mode == "elements":
        rows = _check_elements(function, rng, tolerance)
    else:
        rows = _check_directions(function, rng, tolerance, directions)
    return Report(mode, tolerance, tuple(rows))


@dataclass(frozen=True)
class _Part:
    """One array argument as a slice of the long vector."""

    name: str
    shape: tuple[int, ...]
    span: slice


@dataclass(frozen=True)
class _Slopes:
    """For each output the range of its slopes, one number where it is smooth, and what rounding may do to it."""

    low: np.ndarray
    high: np.ndarray
    noise: np.ndarray
    kinked: np.ndarray

    def weighed(self, w: np.ndarray) -> tuple[float, float, float]:
        """Return the range and the noise of the weighted sum of the outputs."""
        ends = w * self.low, w * self.high
        return np.minimum(*ends).sum(), np.maximum(*ends).sum(), np.abs(w) @ self.noise


class _Function:
    """f as a function from one long vector to another."""

    def __init__(self, f: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.f, self.args = f, _named(f, args)
        arrays = [(name, _double(name, a)) for name, a in tree.items(self.args)]
        if not arrays:
            raise TypeError("gradcheck: there is nothing to check. Give f and at least one array.")
        ends = np.cumsum([a.size for _, a in arrays])
        self.parts = [_Part(n, a.shape, slice(end - a.size, end)) for (n, a), end in zip(arrays, ends, strict=True)]
        self.x = np.concatenate([a.ravel() for _, a in arrays])
        self.unit = np.maximum(np.abs(self.x), 1)
        self.y = np.zeros(0)
        self.y = self(self.x)
        self.tensors = [Tensor(a.copy()) for _, a in arrays]
        self.result = self._call(self.tensors)
        if not np.allclose(np.ravel(getattr(self.result, "data", self.result)), self.y, rtol=1e-12, atol=0):
            fix = "Draw its random numbers from a generator that is made inside f."
            raise ValueError(f"gradcheck: two calls of f with the same arrays give different results. {fix}")

    def _call(self, leaves: list[Any]) -> Any:
        left = iter(leaves)
        return self.f(*tree.map_leaves(lambda _: next(left), self.args).values())

    def __call__(self, x: np.ndarray) -> np.ndarray:
        x = x.copy()
        x.flags.writeable = False
        y = np.asarray(self._call([x[part.span].reshape(part.shape) for part in self.parts]))
        if y.dtype != np.float64:
            raise TypeError(
                f"gradcheck: f gives {y.dtype} for float64. Slopes of steps of 1e-4 need float64 throughout."
            )
        if not np.isfinite(y).all():
            raise ValueError("gradcheck: f is not finite at x or a step of 1e-4 beside it. Check it elsewhere.")
        return y.ravel()

    def vjp(self, w: np.ndarray) -> np.ndarray:
        """Return the gradient of the outputs weighed by `w`."""
        if isinstance(self.result, Tensor):
            weights = w.reshape(self.result.shape)
            Tensor(np.vdot(w, self.y), ((self.result, lambda _: weights),)).backward()
        grads = [np.zeros(t.shape) if t.grad is None else t.grad for t in self.tensors]
        return np.concatenate([g.ravel() for g in grads])

    def slopes(self, d: np.ndarray, unit: float = 1.0) -> _Slopes:
        """Return the slopes of the outputs along `d`; steps are in multiples of `unit`."""
        low, high, noise = (np.zeros_like(self.y) for _ in range(3))
        kinked = np.ones(self.y.shape, bool)
        size = np.maximum(np.abs(self.y), 1e-3 * np.abs(self.y).max(initial=0))
        for t in (step * unit for step in STEPS):
            ahead, ahead_half = ((self(self.x + h * d) - self.y) / h for h in (t, t / 2))
            behind, behind_half = ((self.y - self(self.x - h * d)) / h for h in (t, t / 2))
            right, left = 2 * ahead_half - ahead, 2 * behind_half - behind
            wide, narrow = (ahead + behind) / 2, (ahead_half + behind_half) / 2
            sides = np.stack([ahead, ahead_half, behind, behind_half, right, left])
            allowed = SETTLED * np.abs(sides).max(axis=0) + ROUNDING * size / t
            smooth = kinked & (np.abs(right - left) <= allowed) & (np.abs(wide - narrow) <= allowed)
            low[kinked], high[kinked] = sides.min(axis=0)[kinked], sides.max(axis=0)[kinked]
            low[smooth] = high[smooth] = ((4 * narrow - wide) / 3)[smooth]
            noise[kinked] = (ROUNDING * size / t * sides.any(axis=0))[kinked]
            kinked &= ~smooth
            if not kinked.any():
                break
        return _Slopes(low, high, noise, kinked)


def _check_directions(f: _Function, rng: np.random.Generator, tolerance: float, directions: int) -> Iterator[Row]:
    weights = [_random(rng, f.y.size) for _ in range(directions)]
    gradients = [f.vjp(w) for w in weights]
    for part in f.parts:
        kinked, worst, found = 0, -1.0, ""
        for w, g in zip(weights, gradients, strict=True):
            d = np.zeros_like(f.x)
            d[part.span] = _random(rng, d[part.span].size) * f.unit[part.span]
            slopes = f.slopes(d)
            kinked += bool(slopes.kinked.any())
            numbers = (g[part.span] @ d[part.span], *slopes.weighed(w))
            error = float(_error(*numbers, tolerance))
            if error > worst:
                worst, found = error, _words(*numbers[:3])
        yield Row(part.name, directions - kinked, kinked, worst, (), found)


def _check_elements(f: _Function, rng: np.random.Generator, tolerance: float) -> Iterator[Row]:
    jacobian = _Jacobian(f)
    verdict = _Verdict(f.x.size, tolerance)
    alone = np.unique(jacobian.output[jacobian.kinked])
    w = _random(rng, f.y.size)
    w[alone] = 0
    verdict.judge(slice(None), f.vjp(w), *jacobian.weighed(w))
    for output in alone:
        w = np.zeros_like(f.y)
        w[output] = 1
        g = f.vjp(w)
        verdict.judge(slice(None), g, *jacobian.weighed(w))
        for tied in _equal(f.x, jacobian.element[jacobian.kinked & (jacobian.output == output)]):
            d = np.zeros_like(f.x)
            d[tied] = 1
            verdict.judge(tied[:1], g[tied].sum(), *f.slopes(d, f.unit[tied[0]]).weighed(w), cells=len(tied))
    kinked = np.bincount(jacobian.element[jacobian.kinked], minlength=f.x.size) > 0
    return (verdict.row(part, int(kinked[part.span].sum())) for part in f.parts)


class _Jacobian:
    """The slopes of every output along every element, only those that are not zero."""

    def __init__(self, f: _Function) -> None:
        columns = [self._column(f, i) for i in range(f.x.size)]
        self.size = f.x.size
        self.element = np.repeat(np.arange(self.size), [len(c[0]) for c in columns])
        self.output, self.low, self.high, self.noise, self.kinked = (
            np.concatenate([c[k] for c in columns]) if columns else np.zeros(0, int) for k in range(5)
        )

    @staticmethod
    def _column(f: _Function, i: int) -> tuple[np.ndarray, ...]:
        d = np.zeros_like(f.x)
        d[i] = 1
        s = f.slopes(d, f.unit[i])
        outputs = np.flatnonzero((s.low != 0) | (s.high != 0))
        return outputs, s.low[outputs], s.high[outputs], s.noise[outputs], s.kinked[outputs]

    def weighed(self, w: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return, for each element, the range and the noise of the slope of the weighted sum of the outputs."""
        w = w[self.output]
        ends = w * self.low, w * self.high
        sums = np.minimum(*ends), np.maximum(*ends), np.abs(w) * self.noise
        return tuple(np.bincount(self.element, each, self.size) for each in sums)


class _Verdict:
    """The worst error of each element so far, with its numbers."""

    def __init__(self, size: int, tolerance: float) -> None:
        self.tolerance = tolerance
        self.error = np.full(size, -1.0)
        self.numbers = np.zeros((4, size))

    def judge(self, at: Any, g: Any, low: Any, high: Any, noise: Any, cells: int = 1) -> None:
        """Compare gradients with ranges of slopes, of elements or of `cells` elements that move together."""
        error = _error(g, low, high, noise, self.tolerance)
        worse = error > self.error[at]
        self.error[at] = np.where(worse, error, self.error[at])
        for number, new in zip(self.numbers, (g, low, high, cells), strict=True):
            number[at] = np.where(worse, new, number[at])

    def row(self, part: _Part, kinked: int) -> Row:
        """Sum up one argument."""
        errors = self.error[part.span]
        if not errors.size:
            return Row(part.name, 0, 0, 0.0, (), "")
        i = int(errors.argmax())
        g, low, high, cells = (float(n[part.span][i]) for n in self.numbers)
        index = tuple(int(k) for k in np.unravel_index(i, part.shape))
        return Row(part.name, errors.size - kinked, kinked, float(errors[i]), index, _words(g, low, high, int(cells)))


def _error(g: Any, low: Any, high: Any, noise: Any, tolerance: float) -> Any:
    """Return how far `g` is out of the range, relative to the largest of them; infinite for NaN."""
    outside = np.maximum(np.maximum(low - g, g - high), 0)
    scale = np.maximum(np.maximum(np.abs(g), np.maximum(np.abs(low), np.abs(high))), noise / tolerance)
    return np.where(np.isfinite(g), outside / np.where(scale > 0, scale, 1), math.inf)


def _words(g: float, low: float, high: float, cells: int = 1) -> str:
    slope = f"slope {low:.7g}" if low == high else f"slopes {low:.7g} to {high:.7g}"
    return f"gradient {g:.7g}, {slope}" if cells == 1 else f"{cells} tied gradients add up to {g:.7g}, {slope}"


def _equal(x: np.ndarray, elements: np.ndarray) -> list[np.ndarray]:
    """Return the groups of two and more elements that have the same value."""
    groups = [elements[x[elements] == value] for value in np.unique(x[elements])]
    return [group for group in groups if len(group) > 1]


def _random(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return numbers of either sign that are not small, so that nothing is nearly left out."""
    return rng.uniform(0.5, 1.5, size) * rng.choice([-1.0, 1.0], size)


def _named(f: Callable[..., Any], args: tuple[Any, ...]) -> dict[str, Any]:
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][: len(args)]
    names += [f"argument {i}" for i in range(len(names), len(args))]
    return dict(zip(names, args, strict=True))


def _double(name: str, a: Any) -> np.ndarray:
    array = np.asarray(a if not isinstance(a, Tensor) else None)
    if array.dtype not in (np.float32, np.float64):
        kind = f"an array of {array.dtype}" if isinstance(a, np.ndarray) else f"a {type(a).__name__}"
        fix = "Give plain float arrays and hold the rest fixed: gradcheck(lambda x: f(x, labels), x)."
        raise TypeError(f"gradcheck: {name} is {kind}. {fix}")
    if not np.isfinite(array).all():
        raise ValueError(f"gradcheck: {name} holds NaN or infinity. Give finite numbers.")
    return array.astype(np.float64)
