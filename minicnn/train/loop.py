"""Training: `fit` applies the step of `train_step` to one batch after another. No object keeps numbers in between."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from minicnn import data, ops, optim
from minicnn.autograd import value_and_grad
from minicnn.hints import explained
from minicnn.layers.base import Layer
from minicnn.notebook import progress_bar
from minicnn.optim import Optimizer
from minicnn.train import checks, replay, resume
from minicnn.train.callbacks import Callback, Moment
from minicnn.train.evaluation import Params, calibrate, evaluate
from minicnn.train.history import Meter, Result, Row
from minicnn.train.resume import Position

Augment: TypeAlias = Callable[[np.ndarray, np.random.Generator], np.ndarray]


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
    """Take one step on one batch; return the new parameters and state, the loss, and the number of correct predictions.

    Loss and predictions are those before the update.

    Checks that need a pass over the images or the net are done once, by `fit`.
    """
    if not (isinstance(net, Layer) and isinstance(optimizer, Optimizer)):
        checks.check_step(net, optimizer)
    loss_and_grads = partial(_loss_and_grads, net=net, rng=rng, smoothing=label_smoothing)
    return _step(loss_and_grads, optimizer, params, state, images, labels)


def _step(
    loss_and_grads: Callable[..., Any], optimizer: Optimizer, params: Params, state: Any, images: Any, labels: Any
) -> tuple[Params, optim.State, float, int]:
    """Take the step: logits and loss, gradients, update. `fit` has checked its arguments once and calls this."""
    (value, logits), grads = loss_and_grads(params, images, labels)
    params, state = optimizer.update(grads, state, params)
    return params, state, float(value), int(np.count_nonzero(logits.argmax(axis=1) == labels))


def _loss(params: Params, images: Any, labels: Any, net: Layer, rng: np.random.Generator, smoothing: float) -> Any:
    # The logits are returned with the loss, so that counting correct predictions needs no second forward pass.
    logits = net(params, images, rng=rng)
    return ops.cross_entropy(logits, labels, label_smoothing=smoothing), logits


# Made once, not per step: what it closes over never changes.
_loss_and_grads = value_and_grad(_loss, has_aux=True)


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
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
) -> Result:
    """Train a net on images and labels with the mean cross-entropy.

    The seed determines initial weights, the order of images, augmentation and dropout, each from an independent
    generator: networks that share a trunk start with the same trunk weights and are trained on the same batches.
    The same seed gives the same parameters, bit for bit.

    Parameters
    ----------
    net : Layer
        Returns logits (N, classes). It must not end with Softmax or Sigmoid, because the loss applies softmax.
    train, valid : Split
        Images must be finite. `valid` is evaluated after each epoch.
    optimizer : SGD or Adam
        A schedule without `steps` lasts for the whole training.
    epochs, batch_size, seed : int
    params : tree, optional
        Initial parameters; `net.init` by default.
    augment : callable, optional
        (images, rng) -> images, for each batch, such as `data.Augmentation`; results get the dtype of `train`.
    callbacks : sequence of callables
        Called with a Moment after each epoch. Training stops if a callback returns True; False and None continue.
    progress : bool, optional
        A progress bar on stderr; by default if that is a terminal or a notebook's.
    checkpoint : path, optional
        A file with the state of the training: written after each epoch, after every `checkpoint_every` steps, and on
        Ctrl-C; if it exists when `fit` is called, training continues from it. So the same command starts a training,
        continues it after a crash, and returns at once when it is complete. The final parameters are those of a
        training without interruption, bit for bit, on the same machine with the same kernels and number of threads.
        One argument serves both purposes, because with two a forgotten one would overwrite the file. A file of another
        run is refused and never overwritten: net, optimizer, images, labels, batch size, seed, initial parameters,
        label smoothing, augmentation and kernels must be the same. Functions are compared by name, code (which differs
        between versions of Python), defaults and the values they close over; records of your own by their fields and
        the code of their methods; objects of other classes that are not registered by `repr`. Global variables and the
        functions that these functions call are not compared. Two processes with one file lose time and nothing else,
        because both write positions of the same training. A complete run continues if `epochs` is larger than before,
        unless a callback has stopped it or a schedule spans the whole training. Callbacks need `state` and `restore`
        to be resumed.
    checkpoint_every : int, optional
        For epochs that take minutes: the largest number of steps that a crash can lose. After a crash in what follows
        the last step of an epoch (calibration, validation, callbacks), that step is repeated, too.

    Returns
    -------
    Result
        Ctrl-C stops training and returns the parameters of the last finished step, calibrated as after an epoch. A
        second Ctrl-C during that calibration raises KeyboardInterrupt.

    Raises
    ------
    ValueError, TypeError
        Invalid arguments, before any work; later, invalid results of a callback, a schedule or `augment`.
    FloatingPointError
        The loss became NaN or infinite (the message names epoch, step and learning rate), or the parameters are after
        the last step of an epoch.
    """
    epochs, batch_size, seed = checks.check_counts(epochs, batch_size, seed)
    checks.check_checkpoint(checkpoint, checkpoint_every)
    checks.check_fit(net, train, valid, optimizer, params, augment, label_smoothing, callbacks, progress)
    run = resume.Run(net, optimizer, train, valid, params, batch_size, seed, label_smoothing, augment)
    first, order, noise, warp = _generators(seed, 4)
    params = net.init(first, train.images.shape[1:]) if params is None else params
    steps = math.ceil(len(train) / batch_size)  # a smaller last batch is a step, too, and schedules count steps
    optimizer = optim.over(optimizer, steps * epochs)
    kept, start = None, Position(params, optimizer.init(params))
    if checkpoint is not None:
        kept = resume.Checkpoint(checkpoint, checkpoint_every, (order, noise, warp), callbacks)
        start = kept.begin(run, start, steps, epochs)
    loss = partial(_loss, net=net, rng=noise, smoothing=label_smoothing)
    gradients = replay.gradients_of(loss, net, optimizer, train.images.shape[1:], start.params, start.state)
    shuffled, augmented = partial(data.batches, train, batch_size, rng=order), partial(_augmented, augment, rng=warp)
    bar = partial(progress_bar, epochs * len(train), unit=" images", shown=progress, done=start.images(len(train)))
    return _train(
        net, optimizer, train, valid, epochs, steps, start, kept, gradients, shuffled, augmented, callbacks, bar
    )


def _train(
    net: Layer, optimizer: Optimizer, train: data.Split, valid: data.Split | None, epochs: int, steps: int,
    start: Position, kept: resume.Checkpoint | None, gradients: replay.AsWritten, shuffled: Any, augmented: Any,
    callbacks: Any, bar: Any,
) -> Result:  # fmt: skip
    """Train from a position to the end: the arguments are those of `fit`, checked, or functions made of them."""
    params, state, history, interrupted = start.params, start.state, start.history, False
    try:
        with bar() as shown:
            # from the first epoch and step, or from those of a checkpoint
            for epoch in start.epochs(epochs):
                meter, done = (start.meter, start.step) if epoch == start.epoch else (Meter(), 0)
                params, state = gradients.join(params, state)
                for step, (batch, labels) in islice(enumerate(shuffled(), 1), done, None):
                    rate = optim.rate_at(optimizer.learning_rate, (epoch - 1) * steps + step - 1)
                    images = augmented(batch)
                    params, state, loss, correct = _step(gradients, optimizer, params, state, images, labels)
                    checks.check_loss(loss, images, f"epoch {epoch}, step {step}, learning rate {rate:g}")
                    meter.add(len(labels), loss, correct)
                    _show(shown, f"epoch {epoch}/{epochs}", len(labels), meter)
                    # the last step of an epoch is written with the epoch
                    if kept and step < steps:
                        kept.note(Position(*gradients.separate(params, state), history, epoch, step, meter))
                row = meter.row(epoch, rate)  # before calibration and validation, whose time does not count as training
                params, state = gradients.separate(params, state)
                checks.check_learned(params, state, epoch)
                params = calibrate(net, params, train.images)
                history.rows.append(row | _validation(net, params, valid))
                moment = Moment(params, history, state, net, epoch * steps)
                stopped = checks.any_stops(callbacks, [callback(moment) for callback in callbacks])
                if kept:
                    kept.note(Position(params, state, history, epoch + 1, stopped=stopped))
                if stopped:
                    break
    except KeyboardInterrupt:
        interrupted = True
        params = _after_interrupt(net, gradients, params, state, len(history) + 1, train.images, kept)
    return Result(params, history, interrupted)


def _after_interrupt(
    net: Layer, gradients: replay.AsWritten, params: Params, state: Any, epoch: int, images: np.ndarray, kept: Any
) -> Params:
    """Return the parameters of the last finished step, calibrated, which those of a checkpoint are not yet."""
    params, state = gradients.separate(params, state)
    checks.check_learned(params, state, epoch)
    if kept:
        kept.write()  # what has been noted, as it was before this calibration
    return calibrate(net, params, images)


def _generators(seed: int, count: int) -> list[np.random.Generator]:
    """Return independent generators: a further draw of dropout must not change the order of the images."""
    # spawn, not seed + 1, seed + 2, ...: neighbouring seeds would have generators in common.
    return [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(count)]


def _augmented(augment: Augment | None, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the augmented images in the dtype of `images`."""
    if augment is None:
        return images
    result = augment(images, rng)
    checks.check_augmented(result, len(images))
    # float64 images would make the whole step float64
    return result.astype(images.dtype, copy=False)


def _show(bar: Any, title: str, images: int, meter: Meter) -> None:
    if bar.disable:  # else a hidden bar would take as long as a small op
        return
    bar.set_description(title, refresh=False)
    bar.update(images)
    bar.set_postfix(loss=f"{meter.loss:.4f}", accuracy=f"{meter.accuracy:.2%}", refresh=False)


def _validation(net: Layer, params: Params, valid: data.Split | None) -> Row:
    if valid is None:
        return {}
    found = evaluate(net, params, valid)
    return {"valid_loss": found.loss, "valid_accuracy": found.accuracy}
