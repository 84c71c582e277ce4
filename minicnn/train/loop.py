"""Training as a fold: batch, loss, gradients, new parameters. No object remembers the step before."""

from __future__ import annotations

import html
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from minicnn import data, ops, optim, tree
from minicnn.autograd import value_and_grad
from minicnn.checks import explained
from minicnn.geometry import integer
from minicnn.layers.base import Layer, check_params
from minicnn.notebook import html_table, progress_bar
from minicnn.optim import Optimizer
from minicnn.train.callbacks import Callback, Moment
from minicnn.train.checks import (
    check_finite,
    check_fit,
    check_images,
    check_learned,
    check_loss,
    check_split,
    check_step,
)
from minicnn.train.history import History, Row

Params: TypeAlias = Any
Augment: TypeAlias = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True, repr=False)
class Result:
    """What `fit` returns.

    Attributes
    ----------
    params : tree
        After the last step, with the population statistics that batch normalisation wants for evaluation.
    history : History
        The finished epochs.
    interrupted : bool
        Whether Ctrl-C ended the training; the parameters are then those of the last finished step.
    """

    params: Params
    history: History
    interrupted: bool = False

    def __repr__(self) -> str:
        return f"Result({self._size()}, {self.history!r})"

    def _size(self) -> str:
        count = sum(np.size(leaf) for path, leaf in tree.items(self.params) if "moving_" not in path)
        return f"{count:,} parameters{', interrupted' if self.interrupted else ''}"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the number of parameters, and the history as a table."""
        return f"<p>{html.escape(self._size())}</p>{self.history._repr_html_()}"


@dataclass(frozen=True)
class Evaluation:
    """Mean loss and accuracy (0 to 1) over images, and the predicted class of each, shape (N,)."""

    loss: float
    accuracy: float
    predictions: np.ndarray = field(repr=False)

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows."""
        values = f"{len(self.predictions):,}", f"{self.loss:.4g}", f"{self.accuracy:.2%}"
        return html_table(("images", "loss", "accuracy"), [values])


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
    """Take one step on one batch; return new parameters and state, the loss, and how many were right before it.

    Nothing is checked that costs a pass over the images or the net: that is done once, by `fit`.
    """
    check_step(net, optimizer)

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
        Gives logits (N, classes): it must not end with Softmax or Sigmoid, because the loss applies softmax itself.
    train, valid : Split
        Images must be finite. `valid` is evaluated after each epoch.
    optimizer : SGD or Adam
        A schedule that leaves its length open is stretched over the whole training.
    epochs, batch_size, seed : int
    params : tree, optional
        Where to start; fresh ones by default.
    augment : callable, optional
        (images, rng) -> images, for each batch, such as `data.Augmentation`; results get the dtype of `train`.
    callbacks : sequence of callables
        Called with a Moment after each epoch. Training ends if one returns True, and goes on for False and None.
    progress : bool, optional
        A progress bar on stderr; by default if that is a terminal or a notebook's.

    Returns
    -------
    Result
        Ctrl-C ends the training early and returns what was learned so far, calibrated as after an epoch. A second
        Ctrl-C during that calibration raises KeyboardInterrupt.

    Raises
    ------
    ValueError, TypeError
        For what does not fit together, before any work; also for what a callback, a schedule or `augment` returns.
    FloatingPointError
        When the loss becomes NaN or infinite; names epoch, step and learning rate. When the parameters are after
        the last step of an epoch.
    """
    for name, number, least in (("epochs", epochs, 1), ("batch_size", batch_size, 1), ("seed", seed, 0)):
        integer("fit", name, number, least=least)
    check_fit(net, train, valid, optimizer, params, augment, label_smoothing, callbacks, progress)
    first, order, noise, warp = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4))
    params = net.init(first, train.images.shape[1:]) if params is None else params
    steps = math.ceil(len(train) / batch_size)
    optimizer = optim.over(optimizer, steps * epochs)
    state, history, interrupted = optimizer.init(params), History(), False
    take_step = partial(train_step, net, optimizer, rng=noise, label_smoothing=label_smoothing)
    try:
        with progress_bar(epochs * len(train), unit=" images", shown=progress) as bar:
            for epoch in range(1, epochs + 1):
                bar.set_description(f"epoch {epoch}/{epochs}")
                sums = _Sums()
                for step, (batch, labels) in enumerate(data.batches(train, batch_size, rng=order), 1):
                    rate = optim.rate_at(optimizer.learning_rate, (epoch - 1) * steps + step - 1)
                    images = _augmented(augment, batch, warp)
                    params, state, loss, correct = take_step(params, state, images, labels)
                    check_loss(loss, images, f"epoch {epoch}, step {step}, learning rate {rate:g}")
                    sums.add(len(labels), loss, correct)
                    bar.update(len(labels))
                    bar.set_postfix(loss=f"{sums.loss:.4f}", accuracy=f"{sums.accuracy:.2%}", refresh=False)
                row = {"epoch": epoch, "learning_rate": rate, **sums.row()}
                params = _usable(net, params, state, train.images, epoch)
                history.rows.append(row | _validation(net, params, valid))
                if _told_to_stop(callbacks, Moment(params, history)):
                    break
    except KeyboardInterrupt:
        interrupted, params = True, _usable(net, params, state, train.images, len(history) + 1)
    return Result(params, history, interrupted)


class _Sums:
    """Sums over the batches of one epoch since its beginning."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.images, self.losses, self.correct = 0, 0.0, 0

    def add(self, images: int, loss: float, correct: int) -> None:
        self.images += images
        self.losses += loss * images
        self.correct += correct

    @property
    def loss(self) -> float:
        return self.losses / self.images

    @property
    def accuracy(self) -> float:
        return self.correct / self.images

    def row(self) -> Row:
        return {"loss": self.loss, "accuracy": self.accuracy, "seconds": time.perf_counter() - self.start}


def _augmented(augment: Augment | None, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return what `augment` makes of images, in their dtype: float64 would make the whole step float64."""
    if augment is None:
        return images
    result = augment(images, rng)
    if not isinstance(result, np.ndarray) or result.dtype.kind != "f" or len(result) != len(images):
        got = f"{result.dtype} of shape {result.shape}" if isinstance(result, np.ndarray) else repr(result)[:60]
        raise TypeError(f"fit: augment must return a float array of {len(images)} images, got {got}.")
    return result.astype(images.dtype, copy=False)


def _usable(net: Layer, params: Params, state: optim.State, images: np.ndarray, epoch: int) -> Params:
    """Return parameters fit for evaluation: finite, and with population statistics."""
    check_learned(params, state, epoch)
    return calibrate(net, params, images)


def _told_to_stop(callbacks: Sequence[Callback], moment: Moment) -> bool:
    """Call every callback, also after one that says stop, and tell whether one did."""
    answers = [callback(moment) for callback in callbacks]
    for callback, answer in zip(callbacks, answers, strict=True):
        if answer is not None and not isinstance(answer, bool | np.bool_):
            what = f"got {repr(answer)[:60]} from {callback!r}"
            fix = "A callback that only acts must return None; one that stops the training must return a comparison."
            raise TypeError(f"fit: a callback must return True, False or None, {what}. {fix}")
    return any(answers)


@explained
def evaluate(net: Layer, params: Params, split: data.Split, *, batch_size: int = 256) -> Evaluation:
    """Return loss, accuracy and predictions of a net over a split, without dropout.

    Raises ValueError if images that are not finite make the loss NaN or infinite, and for a net that does not end with
    logits. Parameters that are not finite give a loss of NaN or infinity.
    """
    batch_size = integer("evaluate", "batch_size", batch_size)
    check_split("evaluate", net, split)
    check_params(net, params, split.images.shape[1:])
    losses, predictions = 0.0, []
    for images, labels in data.batches(split, batch_size):
        logits = net(params, images)
        losses += float(ops.cross_entropy(logits, labels)) * len(labels)
        predictions.append(logits.argmax(axis=1))
    if not math.isfinite(losses):
        check_finite("evaluate", "split.images", split.images, "image")
    predicted = np.concatenate(predictions)
    return Evaluation(losses / len(split), float((predicted == split.labels).mean()), predicted)


@explained
def predict(net: Layer, params: Params, images: np.ndarray, *, batch_size: int = 256) -> np.ndarray:
    """Return the logits of a net for images: (N, H, W, C) -> (N, classes).

    NaN and infinity in an image pass through to its logits.
    """
    batch_size = integer("predict", "batch_size", batch_size)
    check_images("predict", net, images)
    check_params(net, params, images.shape[1:])
    parts = [net(params, images[i : i + batch_size]) for i in range(0, len(images), batch_size)]
    return np.concatenate(parts) if parts else np.asarray(net(params, images))


@explained
def calibrate(net: Layer, params: Params, images: np.ndarray, *, most: int = 2048) -> Params:
    """Return the parameters with the population statistics that batch normalisation wants for evaluation.

    They come from one pass over the first `most` images in one batch; a net without batch normalisation keeps
    its parameters as they are.
    """
    most = integer("calibrate", "most", most)
    check_images("calibrate", net, images)
    if not any(path.endswith("moving_mean") for path, _ in tree.items(params)):
        return params
    if not len(images):
        raise ValueError("calibrate: images must hold at least one image, got none.")
    return net.calibrate(params, images[:most])[0]


def _validation(net: Layer, params: Params, valid: data.Split | None) -> Row:
    if valid is None:
        return {}
    found = evaluate(net, params, valid)
    return {"valid_loss": found.loss, "valid_accuracy": found.accuracy}
