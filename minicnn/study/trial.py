"""One trial: a pure function of an arm, a recipe, a seed and data; its results are plain values.

Measures are functions of the trained parameters. So a trial that has been trained can be measured later.

A trial runs on one core, so that its bits do not depend on where it runs or on what runs beside it.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minicnn import kernels, train
from minicnn.data import Dataset
from minicnn.layers import Layer
from minicnn.study.images import Source
from minicnn.study.measures import Measure
from minicnn.study.predictions import logits, remembered
from minicnn.study.replicates import Replicates, of_replicate, of_tuning
from minicnn.study.spec import Recipe
from minicnn.validation import shown


@dataclass(frozen=True)
class Known:
    """A function seed -> data set that is equal to another one if its images are.

    A source that is sent to another process arrives as a new object with each trial; this one is found again among
    the data that have been prepared there.
    """

    digest: str
    source: Source = field(compare=False, repr=False)

    def __call__(self, seed: int) -> Any:
        """Return the data set of the source."""
        return self.source(seed) if callable(self.source) else self.source


@dataclass(frozen=True)
class Trial:
    """What to train, and under which name to record it.

    `role` is "test", or "tune" for a trial on validation images, which has no test part; `rate` is its learning rate.
    `measures` are those to be taken, and `measure_ids` their ids, by name. With `params` the net is not trained but
    measured with them.
    """

    id: str
    role: str
    arm: str
    replicate: int
    seed: int
    net: Layer
    recipe: Recipe
    measures: Mapping[str, Measure]
    measure_ids: Mapping[str, str]
    source: Source
    replicates: Replicates
    rate: float | None = None
    params: Any = None

    def dataset(self) -> Dataset:
        """Return the images: those of the replicate, or, for tuning, images of its own, split by the seed."""
        if self.role == "tune":
            return of_tuning(self.source, self.replicates, self.seed)
        return of_replicate(self.source, self.replicates, self.replicate)


@dataclass(frozen=True)
class Outcome:
    """The result of a trial.

    Attributes
    ----------
    id : str
        The trial's.
    error : str
        A traceback if the training failed, else "".
    errors : dict of str
        The traceback of each measure that failed, by name.
    values : list of tuple
        (split, measure, condition, value) for each number.
    per_image : dict of ndarray
        "measure|condition" -> one value per test image, and "predictions" -> predicted classes.
    curve : list of dict
        The history of training, one row per epoch, with `cpu_seconds` since the start.
    params : dict
        The parameters after the last epoch; {} if the trial was only measured.
    seconds, cpu_seconds : float
        Of the whole trial.
    """

    id: str
    error: str = ""
    errors: dict[str, str] = field(default_factory=dict)
    values: list[tuple[str, str, str, float]] = field(default_factory=list)
    per_image: dict[str, np.ndarray] = field(default_factory=dict)
    curve: list[dict[str, float]] = field(default_factory=list)
    params: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    cpu_seconds: float = 0.0


def run_trial(trial: Trial) -> Outcome:
    """Train and measure; an exception becomes an error of the outcome. KeyboardInterrupt passes through."""
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        with kernels.one_thread(), remembered():
            parts = trial.dataset()
            found = _trained(trial, parts, cpu) if trial.params is None else {}
            _measure(trial, parts, found)
    except (Exception, SystemExit):  # any error of a net or a data function costs this trial alone
        found = {"error": traceback.format_exc()}
    return Outcome(trial.id, seconds=time.perf_counter() - wall, cpu_seconds=time.process_time() - cpu, **found)


def _trained(trial: Trial, parts: Dataset, began: float) -> dict[str, Any]:
    cpu: list[float] = []

    def note_time(moment: train.Moment) -> None:
        cpu.append(time.process_time() - began)

    result = train.fit(
        trial.net,
        parts.train,
        valid=parts.valid if len(parts.valid) else None,
        optimizer=trial.recipe.optimizer,
        epochs=trial.recipe.epochs,
        batch_size=trial.recipe.batch_size,
        label_smoothing=trial.recipe.label_smoothing,
        augment=trial.recipe.augment,
        seed=trial.seed,
        callbacks=[note_time],
        progress=False,
    )
    if result.interrupted:
        raise KeyboardInterrupt
    rows = [{**row, "cpu_seconds": seconds} for row, seconds in zip(result.history.rows, cpu, strict=True)]
    found: dict[str, Any] = {"curve": rows, "params": result.params, "values": _last(rows[-1])}
    if trial.role == "test":
        found["per_image"] = {"predictions": _predictions(trial.net, result.params, parts)}
    return found


def _measure(trial: Trial, parts: Dataset, found: dict[str, Any]) -> None:
    """Add to `found` what the measures of the trial give; one that fails costs its own values alone."""
    params = found["params"] if trial.params is None else trial.params
    for key, empty in (("values", []), ("per_image", {}), ("errors", {})):
        found.setdefault(key, empty)
    for name, measure in trial.measures.items():
        try:
            values, per_image = measured(name, measure, trial.net, params, parts)
        except (Exception, SystemExit):
            found["errors"][name] = traceback.format_exc()
            continue
        found["values"] += values
        found["per_image"] |= per_image


def measured(
    name: str, measure: Measure, net: Layer, params: Any, dataset: Dataset
) -> tuple[list[tuple[str, str, str, float]], dict[str, np.ndarray]]:
    """Return the value of a measure for each condition on the test images, and the values per image."""
    values, per_image = [], {}
    found = measure(net, params, dataset)
    for condition, value in found.items() if isinstance(found, Mapping) else [("", found)]:
        array = np.asarray(value)
        _check_value(name, condition, array, len(dataset.test))
        if array.ndim:
            per_image[f"{name}|{condition}"] = array
        values.append(("test", name, condition, float(array.mean(dtype=np.float64))))
    return values, per_image


def _check_value(name: str, condition: Any, array: np.ndarray, images: int) -> None:
    # fewer values than images are those of the first ones, as with `Shifted(first=1000)`
    fits = not array.ndim or (array.ndim == 1 and 0 < len(array) <= images)
    if not isinstance(condition, str) or not fits or array.dtype.kind not in "biuf":
        raise ValueError(
            f"measure {name}: a measure must return a number, one number per test image ({images}), or a dict of them "
            f"by string, got shape {array.shape} of {array.dtype} for {shown(condition)}."
        )


def _last(row: Mapping[str, float]) -> list[tuple[str, str, str, float]]:
    """Return what the history says after the last epoch, by part."""
    found = [("train", name, "", row[name]) for name in ("loss", "accuracy")]
    return found + [("valid", n.removeprefix("valid_"), "", v) for n, v in row.items() if n.startswith("valid_")]


def _predictions(net: Layer, params: Any, dataset: Dataset) -> np.ndarray:
    predicted = logits(net, params, dataset).argmax(axis=1)
    smallest = np.min_scalar_type(max(len(dataset.classes) - 1, 0))
    return np.asarray(predicted, smallest)


Runner = Callable[[Trial], Outcome]
