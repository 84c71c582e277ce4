"""The checks: from what everybody looks at to what it takes.

Every check takes an op, right or wrong, in the form of a pooling: convolution is given a kernel. Known values are
worked out from the definitions, on the numbers 1 to 16 in a 4x4 image (and their negatives).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from minicnn import ops
from minicnn.gradcheck import gradcheck

Op = Callable[..., Any]
Outcome = Literal["passes", "caught", "raises"]

RISING = np.arange(1.0, 17.0).reshape(1, 4, 4, 1)
# 2x2 windows, stride 2; then 3x3 windows, stride 2, "same": one pad at bottom and right, on the negative numbers
KNOWN = {
    ops.max_pool2d: ((6, 8, 14, 16), (-1, -3, -9, -11)),
    ops.average_pool2d: ((3.5, 5.5, 11.5, 13.5), (-6, -7.5, -12, -13.5)),
    ops.conv2d: ((14, 22, 46, 54), (-54, -45, -72, -54)),  # a kernel of ones: sums, pads count as zeros
}


@dataclass(frozen=True)
class Check:
    """A check by its name; `run(op, right)` says whether the op passes, `right` being what it ought to be."""

    name: str
    legend: str
    run: Callable[[Op, Op], bool]

    def outcome(self, op: Op, right: Op) -> Outcome:
        """Run it; a ValueError is a way of being caught that needs no check."""
        try:
            return "passes" if self.run(op, right) else "caught"
        except ValueError:
            return "raises"


def _pooling(op: Op, right: Op, kernel: np.ndarray) -> Op:
    """Return the op as a function of images, window, strides and padding."""
    if right is not ops.conv2d:
        return op
    return lambda x, pool_size, *, strides, **how: op(x, np.resize(kernel, (*pool_size, 1, 1)), strides=strides, **how)


def _box(op: Op, right: Op) -> Op:
    return _pooling(op, right, np.ones(1))


def _ramp(op: Op, right: Op) -> Op:
    return _pooling(op, right, np.arange(1.0, 10.0))


def _distinct(*shape: int) -> np.ndarray:
    """Return numbers of both signs, no two alike."""
    size = int(np.prod(shape))
    return (np.random.default_rng(0).permutation(size) - size / 2).reshape(shape) / 7


def _shape(op: Op, right: Op) -> bool:
    x, how = _distinct(2, 8, 7, 1), {"strides": 2, "padding": "same"}
    result = np.shape(_ramp(op, right)(x, (3, 3), **how))
    window = (3, 3) if right is not ops.conv2d else (3, 3, 1, 1)
    promised = op.shape(x.shape, window, **how)  # type: ignore[attr-defined]
    return bool(result == promised == (2, 4, 4, 1))


def _values(op: Op, right: Op) -> bool:
    return np.ravel(_box(op, right)(RISING, (2, 2), strides=2, padding="valid")).tolist() == list(KNOWN[right][0])


def _padded_values(op: Op, right: Op) -> bool:
    y = _box(op, right)(-RISING, (3, 3), strides=2, padding="same")
    return np.ravel(y).tolist() == list(KNOWN[right][1])


def _gradient(op: Op, x: np.ndarray, window: tuple[int, int], padding: str = "valid") -> bool:
    return gradcheck(lambda x: op(x, window, strides=2, padding=padding), x, mode="elements").ok


CHECKS = (
    Check(
        "shape",
        "the shape rule promises the shape of the result: 3x3 windows, stride 2, same, on 8x7",
        _shape,
    ),
    Check(
        "values",
        "known values: 2x2 windows on 1 to 16 (for convolution a kernel of ones)",
        _values,
    ),
    Check(
        "padded values",
        "known values: 3x3 windows, stride 2, same, on -1 to -16",
        _padded_values,
    ),
    Check(
        "gradient 2x2",
        "gradcheck: 2x2 windows, stride 2, numbers all different (for convolution a kernel of ones)",
        lambda op, right: _gradient(_box(op, right), _distinct(2, 4, 4, 1), (2, 2)),
    ),
    Check(
        "gradient 3x3",
        "gradcheck: overlapping windows, 3x3, stride 2, same, numbers all different",
        lambda op, right: _gradient(_ramp(op, right), _distinct(2, 5, 6, 1), (3, 3), "same"),
    ),
    Check(
        "gradient 1x2",
        "gradcheck: windows that are not square, 1x2, stride 2, numbers all different",
        lambda op, right: _gradient(_ramp(op, right), _distinct(2, 4, 4, 1), (1, 2)),
    ),
    Check(
        "gradient at ties",
        "gradcheck: 2x2 windows, stride 2, numbers all equal: the gradients of a window add up to its own",
        lambda op, right: _gradient(_ramp(op, right), np.ones((1, 4, 4, 1)), (2, 2)),
    ),
)
