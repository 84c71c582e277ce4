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
from typing import TypeAlias

import numpy as np

from minicnn import ops
from minicnn.data import Dataset
from minicnn.layers import Layer
from minicnn.study.predictions import Params, logits, probabilities
from minicnn.study.robustness import Blurred, Contrast, Noisy, Rotated, Scaled, Shifted
from minicnn.study.transforms import padded

__all__ = [
    "LOWER_IS_BETTER",
    "Blurred",
    "Contrast",
    "Measure",
    "Noisy",
    "Rotated",
    "Scaled",
    "Shifted",
    "accuracy",
    "brier",
    "ece",
    "nll",
    "padded",
]

Value: TypeAlias = float | np.ndarray
Measure: TypeAlias = Callable[[Layer, Params, Dataset], Value | Mapping[str, Value]]

LOWER_IS_BETTER = frozenset({"nll", "brier", "ece"})
"""Names of the measures here of which a smaller value is the better one."""
BINS = 15


def accuracy(net: Layer, params: Params, dataset: Dataset) -> np.ndarray:
    """Return 1 for each test image that is classified correctly, else 0: (N,) uint8."""
    predicted = logits(net, params, dataset).argmax(axis=1)
    return np.asarray(predicted == dataset.test.labels, np.uint8)


def nll(net: Layer, params: Params, dataset: Dataset) -> np.ndarray:
    """Return the negative log-likelihood of each test image's class in nats, its cross-entropy: (N,) float64."""
    logarithms = ops.log_softmax(logits(net, params, dataset).astype(np.float64))
    return np.asarray(-logarithms[np.arange(len(logarithms)), dataset.test.labels])


def brier(net: Layer, params: Params, dataset: Dataset) -> np.ndarray:
    """Return each test image's sum over the classes of (probability - 1 for its own, - 0 for the others)^2: (N,).

    From 0 to 2, as Brier, "Verification of forecasts expressed in terms of probability", 1950, defines it for several
    classes; the form that is usual for two classes is half of it.
    """
    errors = probabilities(net, params, dataset)
    errors[np.arange(len(errors)), dataset.test.labels] -= 1
    return np.asarray((errors**2).sum(axis=1))


def ece(net: Layer, params: Params, dataset: Dataset) -> float:
    """Return the expected calibration error: how far confidence and accuracy are apart, 0 to 1.

    Images are ordered by the probability of their predicted class and divided into 15 bins of equally many; the
    distances between mean probability and accuracy in them are averaged. Naeini, Cooper and Hauskrecht, "Obtaining
    well calibrated probabilities using Bayesian binning", 2015, with the equal-mass bins of Nguyen and O'Connor, 2015.
    """
    chances = probabilities(net, params, dataset)
    confidence = chances.max(axis=1)
    gaps = confidence - (chances.argmax(axis=1) == dataset.test.labels)
    # A bin's sum of gaps is its count times its distance, so that bins need no weights. scikit-learn's
    # calibration_curve has such bins, but does not tell how many images are in each.
    bins = np.array_split(gaps[np.argsort(confidence, kind="stable")], BINS)
    return math.fsum(abs(float(part.sum())) for part in bins) / len(gaps)
