"""The checks that are run on correct and incorrect implementations, from the simplest to the most thorough.

A check calls each op like a pooling op; convolution gets a fixed kernel. Known values follow from the definitions, for
a 4x4 image with the values 1 to 16 (or their negatives).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from minicnn import ops
from minicnn.gradcheck import gradcheck

Op = Callable[..., Any]
Outcome = Literal["passes", "fails", "raises"]

RISING = np.arange(1.0, 17.0).reshape(1, 4, 4, 1)
# 2x2 windows, stride 2, on RISING; 3x3 windows, stride 2, "same" (one row and column of padding at the end), on -RISING
KNOWN = {
    ops.max_pool2d: ((6, 8, 14, 16), (-1, -3, -9, -11)),
    ops.average_pool2d: ((3.5, 5.5, 11.5, 13.5), (-6, -7.5, -12, -13.5)),
    ops.conv2d: ((14, 22, 46, 54), (-54, -45, -72, -54)),  # a kernel of ones: sums, with zero padding
}


@dataclass(frozen=True)
class Check:
    """A check with its name and description; `run(op, correct)` returns whether `op` behaves like `correct`."""

    name: str
    description: str
    run: Callable[[Op, Op], bool]

    def outcome(self, op: Op, correct: Op) -> Outcome:
        """Run the check; "raises" means that the op raised a ValueError, which is noticed without a check."""
        try:
            return "passes" if self.run(op, correct) else "fails"
        except ValueError:
            return "raises"


def _as_pooling(op: Op, correct: Op, kernel: np.ndarray) -> Op:
    """Return the op as a function of images, window, strides and padding; `kernel` is resized to the window."""
    if correct is not ops.conv2d:
        return op
    return lambda x, pool_size, **options: op(x, np.resize(kernel, (*pool_size, 1, 1)), **options)


def _constant(op: Op, correct: Op) -> Op:
    return _as_pooling(op, correct, np.ones(1))


def _asymmetric(op: Op, correct: Op) -> Op:
    return _as_pooling(op, correct, np.arange(1.0, 10.0))


def _distinct(*shape: int) -> np.ndarray:
    """Return distinct values of both signs."""
    size = int(np.prod(shape))
    return (np.random.default_rng(0).permutation(size) - size / 2).reshape(shape) / 7


def _shape(op: Op, correct: Op) -> bool:
    x, options = _distinct(2, 8, 7, 1), {"strides": 2, "padding": "same"}
    result = np.shape(_asymmetric(op, correct)(x, (3, 3), **options))
    window = (3, 3) if correct is not ops.conv2d else (3, 3, 1, 1)
    expected = op.shape(x.shape, window, **options)  # type: ignore[attr-defined]
    return bool(result == expected == (2, 4, 4, 1))


def _values(op: Op, correct: Op) -> bool:
    y = _constant(op, correct)(RISING, (2, 2), strides=2, padding="valid")
    return np.ravel(y).tolist() == list(KNOWN[correct][0])


def _padded_values(op: Op, correct: Op) -> bool:
    y = _constant(op, correct)(-RISING, (3, 3), strides=2, padding="same")
    return np.ravel(y).tolist() == list(KNOWN[correct][1])


def _gradient(op: Op, x: np.ndarray, window: tuple[int, int], padding: str = "valid") -> bool:
    return gradcheck(lambda x: op(x, window, strides=2, padding=padding), x, mode="elements").ok


CHECKS = (
    Check(
        "shape",
        "the shape rule gives the shape of the result: 3x3 windows, stride 2, same padding, 8x7 images",
        _shape,
    ),
    Check(
        "values",
        "known values: 2x2 windows, stride 2, values 1 to 16 (for convolution a kernel of ones)",
        _values,
    ),
    Check(
        "padded values",
        "known values: 3x3 windows, stride 2, same padding, values -1 to -16",
        _padded_values,
    ),
    Check(
        "gradient 2x2",
        "gradcheck: 2x2 windows, stride 2, distinct values (for convolution a kernel of ones)",
        lambda op, correct: _gradient(_constant(op, correct), _distinct(2, 4, 4, 1), (2, 2)),
    ),
    Check(
        "gradient 3x3",
        "gradcheck: overlapping 3x3 windows, stride 2, same padding, distinct values",
        lambda op, correct: _gradient(_asymmetric(op, correct), _distinct(2, 5, 6, 1), (3, 3), "same"),
    ),
    Check(
        "gradient 1x2",
        "gradcheck: non-square 1x2 windows, stride 2, distinct values",
        lambda op, correct: _gradient(_asymmetric(op, correct), _distinct(2, 4, 4, 1), (1, 2)),
    ),
    Check(
        "gradient at ties",
        "gradcheck: 2x2 windows, stride 2, all values equal; the gradients in a window must sum to that of its result",
        lambda op, correct: _gradient(_asymmetric(op, correct), np.ones((1, 4, 4, 1)), (2, 2)),
    ),
)
