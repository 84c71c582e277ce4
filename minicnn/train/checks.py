"""Checks before training, evaluation and prediction, and of the parameters after each epoch."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn import data, ops, trees
from minicnn.geometry import Shape, integer
from minicnn.hints import a_type
from minicnn.layers.activation import Dropout
from minicnn.layers.base import Layer, check_params
from minicnn.layers.branches import Concat, Residual
from minicnn.layers.dense import Flatten
from minicnn.ops.loss import check_labels, cross_entropy_shape
from minicnn.train.history import COLUMNS, VALID_COLUMNS, unknown
from minicnn.validation import ShapeError, shown
from minicnn.validation import path as checked_path

ADVICE = "Use a smaller learning rate, or global_clipnorm=1.0."


def check_fit(
    net: Any,
    train: Any,
    valid: Any,
    optimizer: Any,
    params: Any,
    augment: Any,
    label_smoothing: Any,
    callbacks: Any,
    progress: Any,
) -> None:
    """Raise what does not fit together in a training, before it begins; images are looked at last."""
    classes = check_split("fit", net, train)
    cross_entropy_shape((len(train), classes), train.labels, label_smoothing=label_smoothing)
    _check_optimizer(optimizer)
    if valid is not None:
        check_split("fit", net, valid)
        here, there = train.images.shape[1:], valid.images.shape[1:]
        if net.param_shapes(here) != net.param_shapes(there):
            raise ValueError(
                f"fit: valid must have images that fit the parameters for {here} in train, got {there} in valid."
            )
    if augment is not None and (not callable(augment) or isinstance(augment, type)):
        fix = "Use a function of (images, rng), or a value such as data.Augmentation(shift=1)."
        raise TypeError(f"fit: augment must be a callable, got {_named(augment)}. {fix}")
    if progress is not None and not isinstance(progress, bool):
        raise TypeError(f"fit: progress must be True, False or None, got {progress!r}.")
    _check_callbacks(callbacks, valid is not None)
    if params is not None:
        check_params(net, params, train.images.shape[1:])
        for path, leaf in trees.items(params):
            check_finite("fit", f"params/{path}", leaf)
    check_finite("fit", "train.images", train.images, "image")
    if valid is not None:
        check_finite("fit", "valid.images", valid.images, "image")


def check_counts(epochs: Any, batch_size: Any, seed: Any) -> tuple[int, int, int]:
    """Return the counts of a training as ints, or raise TypeError or ValueError."""
    return (
        integer("fit", "epochs", epochs),
        integer("fit", "batch_size", batch_size),
        integer("fit", "seed", seed, least=0),
    )


def check_checkpoint(checkpoint: Any, every: Any) -> None:
    """Raise TypeError or ValueError for what is not a path, or not a number of steps."""
    if checkpoint is not None:
        checked_path("fit", "checkpoint", checkpoint)
    if every is not None:
        integer("fit", "checkpoint_every", every)
        if checkpoint is None:
            raise ValueError(f"fit: checkpoint_every must be None without a checkpoint, got {every}. Give checkpoint=.")


def check_step(net: Any, optimizer: Any) -> None:
    """Raise TypeError for what cannot take a step; quick, as it is asked at each step."""
    if not callable(net):
        raise TypeError(f"train_step: net must be a layer such as Sequential, got {_named(net)}.")
    if isinstance(optimizer, type) or not hasattr(optimizer, "update"):
        raise TypeError(f"train_step: optimizer must be a value such as optim.Adam(1e-3), got {_named(optimizer)}.")


def check_split(where: str, net: Any, split: Any) -> int:
    """Return the number of classes of a net, or raise what keeps it from being trained or evaluated on a split."""
    if not isinstance(net, Layer) or not isinstance(split, data.Split):
        kinds = f"{type(net).__name__} and {type(split).__name__}"
        raise TypeError(
            f"{where}: net must be a layer such as Sequential and split a data.Split of images and labels, got {kinds}."
        )
    if not len(split):
        raise ValueError(f"{where}: split must hold at least one image, got no images.")
    shape = split.images.shape[1:]
    out = net.output_shape(shape)
    if len(out) != 1:
        raise ShapeError(where, f"net must give (classes,) for an image, got {out}", "End with Dense.")
    last = _last_layer(net, shape)
    if getattr(type(last), "op", None) in (ops.softmax, ops.sigmoid):
        raise ValueError(
            f"{where}: net must end with logits, because cross_entropy applies softmax itself, got {last!r} at its end."
            " Remove it; ops.softmax(train.predict(net, params, images)) gives the probabilities."
        )
    check_labels(where, split.labels, len(split), out[0])
    return out[0]


def check_images(where: str, net: Any, images: Any) -> None:
    """Raise unless a net can be applied to images; NaN and infinity are allowed."""
    if not isinstance(net, Layer):
        raise TypeError(f"{where}: net must be a layer such as Sequential, got {_named(net)}.")
    if not isinstance(images, np.ndarray) or images.dtype.kind != "f":
        got = images.dtype if isinstance(images, np.ndarray) else a_type(images)
        fix = "Bytes from 0 to 255 become images in [0, 1] by images.astype(np.float32) / 255."
        raise TypeError(f"{where}: images must be a float32 or float64 array, got {got}. {fix}")
    if images.ndim < 2:
        raise ValueError(f"{where}: images must have shape (N, H, W, C), got {images.shape}.")


def check_finite(where: str, name: str, array: np.ndarray, unit: str = "row") -> None:
    """Raise ValueError where an array holds NaN or infinity, with how many and where the first one is."""
    with np.errstate(all="ignore"):
        if math.isfinite(array.sum()):  # the quickest pass: a sum is not finite if one of its terms is not
            return
    wrong = ~np.isfinite(array)
    if wrong.any():
        missing = int(np.isnan(array).sum())
        got = f"{missing} NaN and {int(wrong.sum()) - missing} infinite values"
        first = f", the first in {unit} {np.argwhere(wrong)[0][0]}" if array.ndim else ""
        raise ValueError(f"{where}: {name} must be finite, got {got}{first}. Remove or replace them.")


def check_loss(loss: float, images: np.ndarray, place: str) -> None:
    """Raise FloatingPointError where a step's loss is not finite, or ValueError if that is because of its images."""
    if not math.isfinite(loss):
        check_finite("fit", f"what augment returned at {place}", images, "image")
        raise FloatingPointError(f"fit: the loss became {loss} at {place}. {ADVICE}")


def check_learned(params: Any, state: Any, epoch: int) -> None:
    """Raise FloatingPointError where the last step of an epoch, which no loss follows, made numbers not finite.

    An infinite average square of Adam's is among them: every later step of its parameter would be 0.
    """
    squares = state.get("square", {}) if isinstance(state, dict) else {}
    for name, leaves in (("params", params), ("the optimizer's square", squares)):
        for path, leaf in trees.items(leaves):
            if not np.isfinite(leaf).all():
                what = f"{name}/{path} became NaN or infinite by the end of epoch {epoch}"
                raise FloatingPointError(f"fit: {what}. {ADVICE}")


def check_augmented(result: Any, count: int) -> None:
    """Raise TypeError unless `augment` returned a float array of as many images as it was given."""
    if not isinstance(result, np.ndarray) or result.dtype.kind != "f" or len(result) != count:
        got = f"{result.dtype} of shape {result.shape}" if isinstance(result, np.ndarray) else repr(result)[:60]
        raise TypeError(f"fit: augment must return a float array of {count} images, got {got}.")


def any_stops(callbacks: Sequence[Any], answers: Sequence[Any]) -> bool:
    """Return whether a callback returned True, or raise TypeError unless each returned True, False or None."""
    for callback, answer in zip(callbacks, answers, strict=True):
        if answer is not None and not isinstance(answer, bool | np.bool_):
            what = f"got {repr(answer)[:60]} from {callback!r}"
            fix = "A callback that only acts must return None; one that stops the training must return a comparison."
            raise TypeError(f"fit: a callback must return True, False or None, {what}. {fix}")
    return any(answers)


def _last_layer(layer: Layer, shape: Shape) -> Layer:
    """Return the layer that makes the result, chains opened, without those after it that keep its values."""
    while not isinstance(layer, Concat | Residual) and (children := layer.children(shape)):
        making = [child for child in children if not isinstance(child[1], Flatten | Dropout)]
        _, layer, shape = (making or children)[-1]
    return layer


def _check_optimizer(optimizer: Any) -> None:
    if isinstance(optimizer, type) or inspect.isfunction(optimizer):
        fix = f"Call it, as in optim.{optimizer.__name__}(1e-3)."
        raise TypeError(f"fit: optimizer must be a value such as optim.Adam(1e-3), got {_named(optimizer)}. {fix}")
    if not all(hasattr(optimizer, name) for name in ("init", "update", "learning_rate")):
        raise TypeError(f"fit: optimizer must be a value such as optim.Adam(1e-3), got {optimizer!r}.")


def _check_callbacks(callbacks: Any, validated: bool) -> None:
    if not isinstance(callbacks, Sequence) or isinstance(callbacks, str):
        fix = "Put it into brackets: callbacks=[...]." if callable(callbacks) else "Use [] for none."
        raise TypeError(f"fit: callbacks must be a list of callables, got {_named(callbacks)}. {fix}")
    for callback in callbacks:
        if not callable(callback) or isinstance(callback, type):
            fix = "Use a function, or a value such as EarlyStopping(3)."
            raise TypeError(f"fit: each callback must be a callable, got {_named(callback)}. {fix}")
        _check_monitor(type(callback).__name__, getattr(callback, "monitor", None), validated)


def _check_monitor(where: str, monitor: Any, validated: bool) -> None:
    """Raise ValueError where a callback's attribute `monitor` names a column that the history will not have."""
    if not isinstance(monitor, str) or monitor in COLUMNS or (validated and monitor in VALID_COLUMNS):
        return
    if monitor in VALID_COLUMNS:
        fix = "Give valid= to fit, or monitor='loss'."
        raise ValueError(
            f"{where}: monitor must be a column of training, as valid was not given, got {monitor!r}. {fix}"
        )
    raise ValueError(f"{where}: {unknown('monitor', monitor, COLUMNS + VALID_COLUMNS)}")


def _named(value: Any) -> str:
    if isinstance(value, type) or inspect.isfunction(value):
        return f"the {'class' if isinstance(value, type) else 'function'} {value.__name__} itself"
    return shown(value)
