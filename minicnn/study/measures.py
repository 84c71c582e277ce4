"""Measures of a trained net on the test images of a data set: accuracy, calibration, and accuracy under changes.

A measure is a function of a net, its parameters and a data set. It returns one number, one value per test image, whose
mean is the value and which a study keeps, or a dict of either by the name of a condition, such as "2 px".

>>> from minicnn import data, models
>>> digits, net = padded(data.load("digits"), 2), models.mlp()
>>> params = net.init(np.random.default_rng(0), (12, 12, 1))
>>> accuracy(net, params, digits).shape
(359,)
>>> list(Shifted((0, 1, 2))(net, params, digits))
['0 px', '1 px', '2 px', 'mean']
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from minicnn import ops, train
from minicnn.data import Dataset
from minicnn.layers import Layer
from minicnn.records import register
from minicnn.study.predictions import Params, logits
from minicnn.study.robustness import Blurred, Changed, Contrast, Noisy, Rotated, Scaled, Shifted
from minicnn.study.transforms import padded
from minicnn.validation import one_of

__all__ = [
    "Blurred",
    "Contrast",
    "Measure",
    "Noisy",
    "Rotated",
    "Scaled",
    "Shifted",
    "Tempered",
    "accuracy",
    "brier",
    "ece",
    "nll",
    "padded",
    "temperature",
]

Value: TypeAlias = float | np.ndarray
Measure: TypeAlias = Callable[[Layer, Params, Dataset], Value | Mapping[str, Value]]

BINS = 15


def accuracy(net: Layer, params: Params, dataset: Dataset) -> np.ndarray:
    """Return 1 for each test image that is classified correctly, else 0: (N,) uint8."""
    predicted = logits(net, params, dataset).argmax(axis=1)
    return np.asarray(predicted == dataset.test.labels, np.uint8)


def nll(net: Layer, params: Params, dataset: Dataset) -> np.ndarray:
    """Return the negative log-likelihood of each test image's class in nats, its cross-entropy: (N,) float64."""
    return _nll(logits(net, params, dataset), dataset.test.labels)


def brier(net: Layer, params: Params, dataset: Dataset) -> np.ndarray:
    """Return each test image's sum over the classes of (probability - 1 for its own, - 0 for the others)^2: (N,).

    From 0 to 2, as Brier, "Verification of forecasts expressed in terms of probability", 1950, defines it for several
    classes; the form that is usual for two classes is half of it.
    """
    return _brier(logits(net, params, dataset), dataset.test.labels)


def ece(net: Layer, params: Params, dataset: Dataset) -> float:
    """Return the expected calibration error: how far confidence and accuracy are apart, 0 to 1.

    Images are ordered by the probability of their predicted class and divided into 15 bins of equally many; the
    distances between mean probability and accuracy in them are averaged. Naeini, Cooper and Hauskrecht, "Obtaining
    well calibrated probabilities using Bayesian binning", 2015, with the equal-mass bins of Nguyen and O'Connor, 2015.
    """
    return _ece(logits(net, params, dataset), dataset.test.labels)


def _nll(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    logarithms = np.asarray(ops.log_softmax(scores.astype(np.float64)))
    return np.asarray(-logarithms[np.arange(len(labels)), labels])


def _brier(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    errors = np.asarray(ops.softmax(scores.astype(np.float64)))
    errors[np.arange(len(labels)), labels] -= 1
    return np.asarray((errors**2).sum(axis=1))


def _ece(scores: np.ndarray, labels: np.ndarray) -> float:
    chances = np.asarray(ops.softmax(scores.astype(np.float64)))
    confidence = chances.max(axis=1)
    gaps = confidence - (chances.argmax(axis=1) == labels)
    # A bin's sum of gaps is its count times its distance, so that bins need no weights. scikit-learn's
    # calibration_curve has such bins, but does not tell how many images are in each.
    bins = np.array_split(gaps[np.argsort(confidence, kind="stable")], BINS)
    return math.fsum(abs(float(part.sum())) for part in bins) / len(gaps)


SCORES: dict[str, Callable[[np.ndarray, np.ndarray], Value]] = {"nll": _nll, "brier": _brier, "ece": _ece}


@register
@dataclass(frozen=True)
class Tempered:
    """A measure of calibration after all logits are divided by one temperature, chosen on the validation images.

    The temperature changes no prediction: what is left of a difference in "nll", "brier" or "ece" is not one that a
    single number could correct. It minimizes the negative log-likelihood of the validation images. Guo, Pleiss, Sun and
    Weinberger, "On calibration of modern neural networks", 2017.
    """

    score: str = "ece"

    def __post_init__(self) -> None:
        one_of("Tempered", "score", self.score, SCORES)

    def check(self, dataset: Dataset) -> None:
        """Raise ValueError for a data set without validation images."""
        if not len(dataset.valid):
            raise ValueError("Tempered: dataset must have validation images, got none. Load it with valid=0.1.")

    def __call__(self, net: Layer, params: Params, dataset: Dataset) -> Value:
        """Return what the measure of that name returns, after the division."""
        self.check(dataset)
        t = temperature(train.predict(net, params, dataset.valid.images), dataset.valid.labels)
        return SCORES[self.score](logits(net, params, dataset) / t, dataset.test.labels)


def temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the number by which to divide logits (N, classes), so that their negative log-likelihood is smallest.

    It is looked for from 1/100 to 100: a net that is right on every image would have one of 0.
    """
    from scipy import optimize

    found = optimize.minimize_scalar(
        lambda log: float(_nll(scores.astype(np.float64) / math.exp(log), labels).mean()),
        bounds=(-math.log(100), math.log(100)),
        method="bounded",
    )
    return math.exp(found.x)


def lower_is_better(measure: Measure) -> bool:
    """Tell whether a smaller value of a measure is the better one: so for losses and calibration errors.

    A measure of your own says so by an attribute `lower_is_better`.

    >>> lower_is_better(nll), lower_is_better(accuracy)
    (True, False)
    """
    known = measure in {nll, brier, ece} or isinstance(measure, Tempered)
    return bool(getattr(measure, "lower_is_better", known))


def is_share(measure: Measure) -> bool:
    """Tell whether a measure counts test images: its values are shares, and multiples of one image."""
    return measure is accuracy or isinstance(measure, Changed)
