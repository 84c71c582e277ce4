"""Applying a trained net: loss and accuracy, logits, and the statistics that batch normalization evaluates with."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

from minicnn import data, ops, trees
from minicnn.geometry import integer
from minicnn.hints import explained, frozen
from minicnn.layers.base import Layer
from minicnn.layers.prepared import prepare
from minicnn.notebook import html_table
from minicnn.train.checks import check_finite, check_images, check_split

Params: TypeAlias = Any


@frozen(repr=False)
class Evaluation:
    """Mean loss and accuracy (0 to 1) over images, and the predicted class of each, shape (N,)."""

    loss: float
    accuracy: float
    predictions: np.ndarray

    def __repr__(self) -> str:
        return f"Evaluation({len(self.predictions):,} images: loss={self.loss:.4g}, accuracy={self.accuracy:.2%})"

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows."""
        values = f"{len(self.predictions):,}", f"{self.loss:.4g}", f"{self.accuracy:.2%}"
        return html_table(("images", "loss", "accuracy"), [values])


@explained
def evaluate(net: Layer, params: Params, split: data.Split, *, batch_size: int = 256) -> Evaluation:
    """Return loss, accuracy and predictions of a net over a split, without dropout.

    Raises ValueError if images that are not finite make the loss NaN or infinite, and for a net that does not end with
    logits. Parameters that are not finite give a loss of NaN or infinity.
    """
    batch_size = integer("evaluate", "batch_size", batch_size)
    check_split("evaluate", net, split)
    predictor = prepare(net, params, split.images.shape[1:])
    losses, predictions = 0.0, []
    for images, labels in data.batches(split, batch_size):
        logits = predictor(images)
        losses += float(ops.cross_entropy(logits, labels)) * len(labels)
        predictions.append(logits.argmax(axis=1))
    if not math.isfinite(losses):
        check_finite("evaluate", "split.images", split.images, "image")
    predicted = np.concatenate(predictions)
    return Evaluation(losses / len(split), float((predicted == split.labels).mean()), predicted)


@explained
def predict(net: Layer, params: Params, images: np.ndarray, *, batch_size: int = 256) -> np.ndarray:
    """Return the logits of a net for images: (N, H, W, C) -> (N, classes).

    NaN and infinity in an image pass through to its logits. For many calls with a few images each, `layers.prepare` the
    net once.
    """
    batch_size = integer("predict", "batch_size", batch_size)
    check_images("predict", net, images)
    predictor = prepare(net, params, images.shape[1:])
    parts = [predictor(images[i : i + batch_size]) for i in range(0, len(images), batch_size)]
    return np.concatenate(parts) if parts else np.asarray(predictor(images))


@explained
def calibrate(net: Layer, params: Params, images: np.ndarray, *, most: int = 2048) -> Params:
    """Return the parameters with the population statistics that batch normalization uses in evaluation.

    They come from one pass over the first `most` images in one batch; a net without batch normalization keeps
    its parameters as they are.
    """
    most = integer("calibrate", "most", most)
    check_images("calibrate", net, images)
    if not any(path.endswith("moving_mean") for path, _ in trees.items(params)):
        return params
    if not len(images):
        raise ValueError("calibrate: images must hold at least one image, got none.")
    return net.calibrate(params, images[:most])[0]
