"""Training as a fold: batch, loss, gradients, new parameters. No object remembers the step before."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from minicnn import data, ops, optim, tree
from minicnn.autograd import value_and_grad
from minicnn.checks import explained
from minicnn.errors import ShapeError
from minicnn.layers.base import Layer, check_params
from minicnn.ops.loss import check_labels, cross_entropy_shape
from minicnn.ops.window import integer
from minicnn.optim import Optimizer
from minicnn.train.callbacks import Callback, Moment
from minicnn.train.history import History, Row

Params: TypeAlias = Any
Augment: TypeAlias = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Result:
    """What `fit` returns.

    Attributes
    ----------
    params : tree
        After the last step.
    history : History
    interrupted : bool
        Whether Ctrl-C ended the training; the parameters are then those of the last finished step.
    """

    params: Params
    history: History
    interrupted: bool = False


@dataclass(frozen=True)
class Evaluation:
    """Mean loss and accuracy (0 to 1) over images, and the predicted class of each, shape (N,)."""

    loss: float
    accuracy: float
    predictions: np.ndarray = field(repr=False)


@explained
def train_step(
    net: Layer,
    optimizer: Optimizer,
    params: Params,
    state: optim.State,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    rng: np.random.Generator,
    label_smoothing: float = 0.0,
) -> tuple[Params, optim.State, float, int]:
    """Take one step on one batch; return new parameters and state, the loss, and how many were right before it."""

    def loss(params: Params) -> tuple[Any, Any]:
        logits = net(params, images, rng=rng)
        return ops.cross_entropy(logits, labels, label_smoothing=label_smoothing), logits

    (value, logits), grads = value_and_grad(loss, has_aux=True)(params)
    params, state = optimizer.update(grads, state, params)
    return params, state, float(value), int((logits.argmax(axis=1) == labels).sum())


@explained
def fit(
    net: Layer,
    train: data.Split,
    *,
    optimizer: Optimizer,
    epochs: int,
    batch_size: int = 32,
    seed: int = 0,
    valid: data.Split | None = None,
    params: Params = None,
    augment: Augment | None = None,
    label_smoothing: float = 0.0,
    callbacks: Sequence[Callback] = (),
    progress: bool | None = None,
) -> Result:
    """Train a net on images and labels with the mean cross-entropy.

    The seed decides initial weights, the order of samples, augmentation and dropout, each from a stream of its
    own: nets that share a trunk start with the same trunk and see the same batches. The same seed gives the same
    bytes.

    Parameters
    ----------
    net : Layer
        Gives logits (N, classes).
    train, valid : Split
        `valid` is evaluated after each epoch.
    optimizer : SGD or Adam
        A schedule that leaves its length open is stretched over the whole training.
    epochs, batch_size, seed : int
    params : tree, optional
        Where to start; fresh ones by default.
    augment : callable, optional
        (images, rng) -> images, for each batch, such as `data.Augmentation`.
    callbacks : sequence of callables
        Called with a Moment after each epoch; a true answer ends the training.
    progress : bool, optional
        A progress bar on stderr; by default if that is a terminal.

    Returns
    -------
    Result
        Ctrl-C ends the training early and returns what was learned so far.

    Raises
    ------
    ValueError, TypeError
        For what does not fit together, before any work.
    FloatingPointError
        When the loss becomes NaN or infinite; names epoch, step and learning rate.
    """
    for name, number, least in (("epochs", epochs, 1), ("batch_size", batch_size, 1), ("seed", seed, 0)):
        integer("fit", name, number, least=least)
    _check(net, train, valid, optimizer, params, callbacks, label_smoothing)
    first, order, noise, warp = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4))
    params = net.init(first, train.images.shape[1:]) if params is None else params
    optimizer = optim.over(optimizer, math.ceil(len(train) / batch_size) * epochs)
    state, history, interrupted = optimizer.init(params), History(), False

    def step(params: Params, state: optim.State, images: np.ndarray, labels: np.ndarray) -> Any:
        images = augment(images, warp) if augment else images
        return train_step(net, optimizer, params, state, images, labels, rng=noise, label_smoothing=label_smoothing)

    with _bar(epochs * len(train), progress) as bar:
        try:
            for epoch in range(1, epochs + 1):
                bar.set_description(f"epoch {epoch}/{epochs}")
                start = time.perf_counter()
                batches = data.batches(train, batch_size, rng=order)
                for learned, row, images in _epoch(epoch, step, params, state, batches, optimizer):
                    params, state = learned
                    bar.update(images)
                    bar.set_postfix(loss=f"{row['loss']:.4f}", accuracy=f"{row['accuracy']:.2%}", refresh=False)
                row["seconds"] = time.perf_counter() - start
                params = calibrate(net, params, train.images)
                history.rows.append(row | _validation(net, params, valid))
                if sum(bool(callback(Moment(params, history))) for callback in callbacks):
                    break
        except KeyboardInterrupt:
            interrupted = True
    return Result(params, history, interrupted)


def _epoch(
    epoch: int,
    step: Callable[..., Any],
    params: Params,
    state: optim.State,
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    optimizer: Optimizer,
) -> Iterator[tuple[tuple[Params, optim.State], Row, int]]:
    """Yield, after each batch, parameters and state, the epoch's row so far, and how many images the batch had."""
    seen, losses, right = 0, 0.0, 0
    for number, (images, labels) in enumerate(batches, 1):
        rate = optim.rate_at(optimizer.learning_rate, state["step"])
        params, state, loss, correct = step(params, state, images, labels)
        _check_loss(loss, epoch, number, rate)
        seen, losses, right = seen + len(labels), losses + loss * len(labels), right + correct
        row = {"epoch": epoch, "learning_rate": rate, "loss": losses / seen, "accuracy": right / seen}
        yield (params, state), row, len(labels)


@explained
def evaluate(net: Layer, params: Params, split: data.Split, *, batch_size: int = 256) -> Evaluation:
    """Return loss, accuracy and predictions of a net over a split, without dropout."""
    _check_split("evaluate", net, split)
    check_params(net, params, split.images.shape[1:])
    losses, predictions = 0.0, []
    for images, labels in data.batches(split, batch_size):
        logits = net(params, images)
        losses += float(ops.cross_entropy(logits, labels)) * len(labels)
        predictions.append(logits.argmax(axis=1))
    predicted = np.concatenate(predictions)
    return Evaluation(losses / len(split), float((predicted == split.labels).mean()), predicted)


@explained
def predict(net: Layer, params: Params, images: np.ndarray, *, batch_size: int = 256) -> np.ndarray:
    """Return the logits of a net for images: (N, H, W, C) -> (N, classes)."""
    check_params(net, params, images.shape[1:])
    parts = [net(params, images[i : i + batch_size]) for i in range(0, len(images), batch_size)]
    return np.concatenate(parts) if parts else np.asarray(net(params, images))


@explained
def calibrate(net: Layer, params: Params, images: np.ndarray, *, most: int = 2048) -> Params:
    """Return the parameters with the population statistics that batch normalisation wants for evaluation.

    They come from one pass over the first `most` images in one batch; a net without batch normalisation keeps
    its parameters as they are.
    """
    if not any(path.endswith("moving_mean") for path, _ in tree.items(params)):
        return params
    return net.calibrate(params, images[:most])[0]


def _validation(net: Layer, params: Params, valid: data.Split | None) -> Row:
    if valid is None:
        return {}
    found = evaluate(net, params, valid)
    return {"valid_loss": found.loss, "valid_accuracy": found.accuracy}


def _check(
    net: Layer,
    train: data.Split,
    valid: data.Split | None,
    optimizer: Optimizer,
    params: Params,
    callbacks: Sequence[Callback],
    label_smoothing: float,
) -> None:
    classes = _check_split("fit", net, train)
    cross_entropy_shape((len(train), classes), train.labels, label_smoothing=label_smoothing)
    if not (hasattr(optimizer, "update") and hasattr(optimizer, "learning_rate")):
        raise TypeError(f"fit: the optimizer is {optimizer!r}. Use a value such as optim.Adam(1e-3).")
    if valid is not None:
        _check_split("fit", net, valid)
        here, there = train.images.shape[1:], valid.images.shape[1:]
        if net.param_shapes(here) != net.param_shapes(there):
            raise ValueError(
                f"fit: images of {there} in valid want other parameters than {here} in train. Use one shape."
            )
    if params is not None:
        check_params(net, params, train.images.shape[1:])
    for callback in callbacks:
        if not callable(callback):
            raise TypeError(f"fit: the callback {callback!r} cannot be called. Use a value such as EarlyStopping(3).")
        monitor = getattr(callback, "monitor", "")
        if valid is None and monitor.startswith("valid_"):
            raise ValueError(f"fit: {callback!r} watches {monitor!r}, and there is no validation. Give valid=.")


def _check_split(where: str, net: Layer, split: data.Split) -> int:
    if not isinstance(net, Layer) or not isinstance(split, data.Split):
        kinds = f"{type(net).__name__} and {type(split).__name__}"
        raise TypeError(f"{where}: got {kinds}. Use a layer such as Sequential, and a data.Split of images and labels.")
    if not len(split):
        raise ValueError(f"{where}: there are no images. Give at least one.")
    out = net.output_shape(split.images.shape[1:])
    if len(out) != 1:
        raise ShapeError(where, f"the net gives {out} for an image, a class needs (classes,)", "End with Dense.")
    check_labels(where, split.labels, len(split), out[0])
    return out[0]


def _check_loss(loss: float, epoch: int, step: int, rate: float) -> None:
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"fit: the loss became {loss} at epoch {epoch}, step {step}, learning rate {rate:g}."
            " Use a smaller learning rate, or global_clipnorm=1.0."
        )


def _bar(total: int, progress: bool | None) -> Any:
    from tqdm import tqdm

    shown = sys.stderr.isatty() if progress is None else progress
    return tqdm(total=total, disable=not shown, unit=" images", unit_scale=True, dynamic_ncols=True)
