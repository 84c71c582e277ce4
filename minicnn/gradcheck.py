"""Comparison of gradients with difference quotients, also at non-differentiable points.

f is evaluated at x + t d and x - t d for two t, one twice the other. Where f is differentiable along d, the one-sided
derivatives converge to each other as t shrinks, and Richardson's extrapolation gives the derivative to ten digits: the
gradient must equal it. Where they do not meet at any of three sizes of t, f is not differentiable there (ReLU at 0,
tied maxima), and a plain difference quotient says nothing: it gives 0.5 for each tied element, however many there are.
At such a point two conditions are checked::

    bracket   the gradient lies between the two one-sided derivatives,
    sum       elements of equal value at which one output is not differentiable are moved together. If that move is
              smooth, as it is for the tied elements of a window (all up by t, the maximum up by t), their gradients
              must sum to its derivative.

The bracket alone would accept "every tied element gets the whole gradient" and "none gets any"; the sum rejects both.
Both conditions hold for one output: in a weighted sum of several, derivatives of opposite sign cancel. Differentiable
outputs are therefore combined with random weights, which needs one backward pass, and each output that is not
differentiable is checked by itself. For the same reason give `gradcheck` the array that an op returns, not its sum.

A function whose forward and backward passes are wrong in the same way is accepted: only known values can detect that. A
correct gradient can be rejected where the result of f is far smaller than the values whose difference it is, as the
cross-entropy of a row that is classified correctly with a margin of 20: its relative rounding error cannot be seen in
the arguments and the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.difference_quotients import ROUNDING, Function, Part, random_signs
from minicnn.geometry import integer
from minicnn.hints import a_type, explained
from minicnn.validation import generator, number, one_of

__all__ = ["Report", "Row", "gradcheck"]

FEW = 1024


@dataclass(frozen=True)
class Row:
    """One argument: in how many elements (or directions) f is differentiable or not, the worst error and where."""

    name: str
    smooth: int
    nonsmooth: int
    worst: float
    index: tuple[int, ...]
    found: str


@dataclass(frozen=True, repr=False)
class Report:
    """The result of `gradcheck`: true if every gradient is correct, and a table to print."""

    mode: str
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
        lines = [f"gradcheck by {self.mode}: {'correct' if self.ok else 'INCORRECT'} to {self.tolerance:g}"]
        lines.append(f"{'argument':{width}} {'smooth':>7} {'nonsmooth':>9} {'worst':>8}  at")
        for row in self.rows:
            wrong = f"  INCORRECT: {row.found}" if row.worst > self.tolerance else ""
            lines.append(f"{row.name:{width}} {row.smooth:>7} {row.nonsmooth:>9} {row.worst:>8.1e}  {row.index}{wrong}")
        return "\n".join(lines)


@explained
def gradcheck(
    f: Callable[..., Any],
    *args: Any,
    rng: np.random.Generator | None = None,
    mode: str = "direction",
    tolerance: float = 1e-6,
    directions: int = 2,
) -> Report:
    """Compare the gradients of `f(*args)` with difference quotients, in float64: `assert gradcheck(f, x)`.

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
        size. "elements" moves every element by itself, four evaluations each; only this mode checks sums at ties. Where
        f is not differentiable in several elements, as at zeros before a ReLU, the one-sided derivatives along a
        direction need not bracket a correct gradient: up to 1,024 elements, "elements" then decides.
    tolerance : float
        Largest relative error that passes, on top of the rounding error of a difference quotient.

    Examples
    --------
    >>> from minicnn import ops
    >>> x = np.array([[3.0, 3.0, 1.0], [0.0, 2.0, 3.0]])
    >>> gradcheck(lambda x: ops.max(x, axis=1), x, mode="elements")
    gradcheck by elements: correct to 1e-06
    argument  smooth  nonsmooth    worst  at
    x              4          2  0.0e+00  (0, 0)
    """
    one_of("gradcheck", "mode", mode, ("direction", "elements"))
    if not callable(f):
        raise TypeError(f"gradcheck: f must be a function of arrays that returns an array, got {a_type(f)}.")
    tolerance = number("gradcheck", "tolerance", tolerance, least=1e-12, most=1)
    function = Function(f, args)
    rng = np.random.default_rng(0) if rng is None else generator("gradcheck", rng)
    if mode == "elements":
        parts, claims = function.parts, _check_elements(function, rng)
    else:
        parts, claims = _check_directions(function, rng, integer("gradcheck", "directions", directions))
    claims[:, 4] += (
        ROUNDING * np.abs(function.y).sum()
    )  # a gradient that cancels to zero does so only to within rounding
    report = Report(mode, tolerance, tuple(_row(part, claims, tolerance) for part in parts))
    if mode == "direction" and not report and any(row.nonsmooth for row in report.rows) and function.x.size <= FEW:
        return gradcheck(f, *args, rng=rng, mode="elements", tolerance=tolerance)
    return report


def _check_directions(f: Function, rng: np.random.Generator, directions: int) -> tuple[list[Part], np.ndarray]:
    claims = []
    for j in range(directions):
        w = random_signs(rng, f.y.size)
        g = f.vjp(w)
        for k, part in enumerate(f.parts):
            d = np.zeros_like(f.x)
            d[part.span] = random_signs(rng, d[part.span].size) * f.unit[part.span]
            low, high, noise = (each.sum() for each in _weigh(w, *f.slopes(d)))
            with np.errstate(invalid="ignore"):  # of infinite gradients
                slope = g[part.span] @ d[part.span]
            claims.append((k * directions + j, slope, low, high, noise + f.unseen(w), 1))
    starts = range(0, len(f.parts) * directions, directions)
    parts = [Part(p.name, (directions,), slice(at, at + directions)) for p, at in zip(f.parts, starts, strict=True)]
    return parts, np.array(claims)


def _check_elements(f: Function, rng: np.random.Generator) -> np.ndarray:
    element, output, low, high, noise = _jacobian(f)
    places, nonsmooth = np.arange(f.x.size), low < high

    def compare(w: np.ndarray, g: np.ndarray) -> np.ndarray:
        sums = [np.bincount(element, each, f.x.size) for each in _weigh(w[output], low, high, noise)]
        sums[2] = sums[2] + f.unseen(w) / f.unit
        return np.stack([places, g, *sums, np.ones(f.x.size)], axis=1)

    alone = np.unique(output[nonsmooth])
    w = random_signs(rng, f.y.size)
    w[alone] = 0
    claims = [compare(w, f.vjp(w))]
    for k in alone:
        w = _ones(f.y.size, k)
        g = f.vjp(w)
        entries = compare(w, g)
        claims.append(entries[entries[:, 1:4].any(axis=1)])
        for tied in _groups(f.x, element[nonsmooth & (output == k)]):
            slope = (each[k] for each in f.slopes(_ones(f.x.size, tied), f.unit[tied[0]]))
            claims.append(np.array([[tied[0], g[tied].sum(), *slope, len(tied)]]))
    return np.concatenate(claims)


def _jacobian(f: Function) -> tuple[np.ndarray, ...]:
    """Return, for each element and output that moves with it: element, output, low, high, noise."""
    columns = []
    for i in range(f.x.size):
        low, high, noise = f.slopes(_ones(f.x.size, i), f.unit[i])
        outputs = np.flatnonzero((low != 0) | (high != 0) | (noise != 0))
        columns.append((np.full(outputs.shape, i), outputs, low[outputs], high[outputs], noise[outputs]))
    none = (np.zeros(0, int), np.zeros(0, int), *np.zeros((3, 0)))
    return tuple(np.concatenate(each) for each in zip(none, *columns, strict=True))


def _weigh(w: np.ndarray, low: np.ndarray, high: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, ...]:
    ends = w * low, w * high
    return np.minimum(*ends), np.maximum(*ends), np.abs(w) * noise


def _row(part: Part, claims: np.ndarray, tolerance: float) -> Row:
    """Sum up the claims (place, gradient, low, high, noise, tied elements) about one argument."""
    mine = claims[(part.span.start <= claims[:, 0]) & (claims[:, 0] < part.span.stop)]
    if not len(mine):
        return Row(part.name, 0, 0, 0.0, (), "")
    places, g, low, high, noise, tied = mine.T
    known = np.where(np.isfinite(g), g, 0)
    outside = np.maximum(np.maximum(low - known, known - high), 0)
    scale = np.abs([known, low, high, noise / tolerance]).max(axis=0)
    errors = np.where(np.isfinite(g), outside / np.where(scale > 0, scale, 1), math.inf)
    i = int(errors.argmax())
    index = np.unravel_index(int(places[i]) - part.span.start, part.shape)
    nonsmooth = len(np.unique(places[low < high]))
    who = "gradient" if tied[i] == 1 else f"gradients of {tied[i]:g} tied elements sum to"
    slopes = f"derivative {low[i]:.7g}"
    if low[i] != high[i]:
        slopes = f"one-sided derivatives {low[i]:.7g} and {high[i]:.7g}"
    counts = math.prod(part.shape) - nonsmooth, nonsmooth
    return Row(part.name, *counts, float(errors[i]), tuple(int(k) for k in index), f"{who} {g[i]:.7g}, {slopes}")


def _groups(x: np.ndarray, elements: np.ndarray) -> list[np.ndarray]:
    """Return the groups of two and more elements that have the same value."""
    values, counts = np.unique(x[elements], return_counts=True)
    return [elements[x[elements] == value] for value in values[counts > 1]]


def _ones(size: int, at: Any) -> np.ndarray:
    vector = np.zeros(size)
    vector[at] = 1
    return vector
