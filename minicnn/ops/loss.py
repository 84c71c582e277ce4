"""Losses: a scalar per batch, the mean over its rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.graph import Array, Shape, op
from minicnn.hints import a_type
from minicnn.kernels.arithmetic import scale
from minicnn.validation import ShapeError, number


def cross_entropy_shape(logits: Shape, labels: Any, *, label_smoothing: float = 0.0) -> Shape:
    """Shape rule of cross_entropy: (N, classes) with N integer labels below `classes` -> ()."""
    if len(logits) != 2 or not logits[0] or not logits[1]:
        what = f"logits must have shape (N, classes), got {logits}"
        raise ShapeError("cross_entropy", what, "Give at least one row and one class.")
    if not (type(label_smoothing) is float and 0 <= label_smoothing < 1):  # checked first, in every step
        number("cross_entropy", "label_smoothing", label_smoothing, least=0, below=1)
    check_labels("cross_entropy", labels, *logits)
    return ()


def check_labels(where: str, labels: Any, rows: int, classes: int) -> None:
    """Raise TypeError or ValueError unless `labels` are `rows` integers from 0 to classes - 1."""
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu":
        kind = f"dtype {labels.dtype}" if isinstance(labels, np.ndarray) else a_type(labels)
        raise TypeError(f"{where}: labels must be an integer array, got {kind}. Use class indices of shape ({rows},).")
    if labels.shape != (rows,):
        fix = "Use class indices, from argmax(axis=1) if they are one-hot."
        raise ShapeError(where, f"labels must have shape ({rows},), one per row of logits, got {labels.shape}", fix)
    if np.minimum.reduce(labels) < 0 or np.maximum.reduce(labels) >= classes:
        wrong = labels[(labels < 0) | (labels >= classes)][0]
        raise ValueError(f"{where}: labels must be from 0 to {classes - 1} for {classes} classes, got {wrong}.")


@op(cross_entropy_shape)
def cross_entropy(logits: Array, labels: np.ndarray, *, label_smoothing: float = 0.0) -> Any:
    """Mean of -log softmax(logits)[label] over the batch: (N, classes) with (N,) integers -> a scalar.

    With `label_smoothing` s the target is 1 - s on the label plus s / classes everywhere (Szegedy et al., 2016).

    >>> float(cross_entropy(np.array([[0.0, 0.0], [1000.0, 0.0]]), np.array([0, 0])))
    0.346...
    """
    rows, s = np.arange(len(labels)), float(label_smoothing)
    # The loss is log(sum(exp(logits))) - logits[label]. Subtracting a constant from each row changes nothing, and after
    # subtracting its maximum, exp cannot overflow.
    # ufunc.reduce is what max, sum and mean call in the end; calling them takes as long as the reduction itself.
    shifted = np.subtract(logits, np.maximum.reduce(logits, 1, keepdims=True), order="C")  # NumPy adds C order in pairs
    total = np.log(np.add.reduce(np.exp(shifted), 1))
    losses = total - (1 - s) * shifted[rows, labels]
    if s:
        losses -= s * (np.add.reduce(shifted, 1) / shifted.shape[1])

    def vjp_logits(g: np.ndarray) -> Any:
        # softmax minus target, in place: the array is as large as the logits.
        d = np.exp(shifted - total[:, None])
        d -= s / d.shape[1]
        d[rows, labels] -= 1 - s
        return scale(float(g) / len(rows), d)

    return np.add.reduce(losses) / len(rows), (vjp_logits,)


def mean_squared_error_shape(prediction: Shape, target: Shape) -> Shape:
    """Shape rule of mean_squared_error: both shapes are the same."""
    if prediction != target:
        fix = "Nothing is broadcast here, because (N, 1) against (N,) would compare every pair."
        what = f"target must have the shape of the prediction {prediction}, got {target}"
        raise ShapeError("mean_squared_error", what, fix)
    if not math.prod(prediction):
        what = f"prediction must have at least one element, got shape {prediction}"
        raise ShapeError("mean_squared_error", what, "Give at least one row.")
    return ()


@op(mean_squared_error_shape)
def mean_squared_error(prediction: Array, target: Array) -> Any:
    """Mean of (prediction - target)^2 over all elements."""
    error = np.asarray(prediction - target)

    def vjp(g: np.ndarray) -> Any:
        return g * 2 / error.size * error

    return np.square(error).mean(), (vjp, lambda g: -vjp(g))
