"""The plan in plan.toml as a study: data with a margin, a trunk that reads the whole image, arms, rates, measures."""

from __future__ import annotations

import csv
import functools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import data, models, optim, schedules, trunks
from minicnn.data import Dataset, Split
from minicnn.data.sets import stratified
from minicnn.hints import explained, frozen
from minicnn.layers import Layer
from minicnn.study import Arm, Grid, Recipe, Resplits, Seeds, Shifted, Study, accuracy, brier, ece, match, nll, padded
from minicnn.study.tuning import with_rate
from minicnn.validation import integer, one_of

PLANS: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_name("plan.toml").read_text(encoding="utf-8"))
HELD_OUT_SEED = 20_000
"""Which training images are test images instead is drawn once, for all seeds of all studies."""
CALIBRATION = {"nll": nll, "brier": brier, "ece": ece}
ABOUT = {
    "flatten": "Every element of the feature map goes into the dense layer: no pooling.",
    "max": "Maxima of 2x2 windows, then a dense layer.",
    "average": "Means of 2x2 windows, then a dense layer.",
    "max-average": "Maximum plus mean of 2x2 windows, then a dense layer.",
    "global-max": "The maximum of each channel, then a dense layer.",
    "global-average": "The mean of each channel, then a dense layer.",
    "global-average-conv": "A 1x1 convolution to one map per class, then their means.",
    "global-max-average": "Maximum and mean of each channel, then a dense layer.",
    "gem": "A generalized mean of each channel with a trained exponent, then a dense layer.",
    "log-mean-exp": "A smooth maximum of each channel, then a dense layer.",
}


@frozen
class Choice:
    """What is changed of a plan; None leaves it as it is.

    Parameters
    ----------
    heads : sequence of str
        Names in `models.HEAD_MAKERS`.
    trunks : sequence of str
        Names in `trunks.TRUNK_MAKERS`: each trunk is combined with each head.
    match : {"parameters", "multiply_adds"}
        Adds an arm of the size of the largest one for each other arm.
    seeds : int
        Replicates per arm.
    epochs : int
        Of all arms, at one learning rate.
    tune : bool
        Search for the learning rates instead of taking those of the plan.
    """

    heads: Sequence[str] | None = None
    trunks: Sequence[str] | None = None
    match: str | None = None
    seeds: int | None = None
    epochs: int | None = None
    tune: bool = False


@explained
def study_of(dataset: str, choice: Choice | None = None) -> Study:
    """Return the study of a data set.

    Raises ValueError for a data set, a head, a trunk or a quantity to match that is not known, for a head or a trunk
    that is given twice, and for numbers that are not positive integers.
    """
    plan, choice = PLANS[one_of("study_of", "dataset", dataset, PLANS)], choice or Choice()
    for name, names in (("heads", choice.heads or ()), ("trunks", choice.trunks or ())):
        if len(set(names)) < len(names):
            raise ValueError(f"Choice: {name} must be different names, got {', '.join(names)}. Give each one once.")
    for name in ("seeds", "epochs"):
        if (value := getattr(choice, name)) is not None:
            integer("Choice", name, value)
    heads = list(choice.heads or plan["heads"])
    arms = _factorial(plan, heads, choice.trunks) if choice.trunks else _heads(plan, dataset, heads)
    if choice.match:
        arms |= _matched(plan, dataset, arms, choice.match)
    rates = {} if choice.tune or choice.trunks or choice.epochs else plan.get("rates", {})
    recipe = _recipe(plan, choice.epochs)
    arms = {name: _rated(arm, recipe, rates.get(name)) for name, arm in arms.items()}
    control = plan["control"] if plan["control"] in arms else next(iter(arms))
    untuned = [name for name in arms if arms[name].recipe is None]
    quick = choice.epochs is not None and not choice.tune
    n = choice.seeds or plan["n"]
    return Study(
        arms,
        control=control,
        data=source(dataset),
        recipe=recipe,
        replicates=Resplits(n, tuning=plan["tuning"]) if plan["replicates"] == "Resplits" else Seeds(n),
        measures={
            "accuracy": accuracy,
            "shift": Shifted(tuple(plan["shifts"])),
            "nll": nll,
            "brier": brier,
            "ece": ece,
        },
        rope=plan["rope"],
        tune=_grid(plan) if untuned and not quick else None,
        name=f"pooling heads on {dataset}",
    )


def _recipe(plan: Mapping[str, Any], epochs: int | None) -> Recipe:
    shift = plan["augment_shift"]
    return Recipe(
        optim.Adam(schedules.OneCycle(3e-2)),
        epochs=epochs or plan["epochs"],
        batch_size=plan["batch_size"],
        label_smoothing=plan["label_smoothing"],
        augment=data.Augmentation(shift=shift) if shift else None,
    )


def _rated(arm: Arm, recipe: Recipe, rate: float | None) -> Arm:
    if rate is None:
        return arm
    return replace(arm, recipe=replace(recipe, optimizer=with_rate(recipe.optimizer, rate)))


def _grid(plan: Mapping[str, Any]) -> Grid:
    grid = plan["grid"]
    return Grid(tuple(grid["learning_rate"]), seeds=tuple(grid["seeds"]), epochs=grid.get("epochs"), most=grid["most"])


def input_shape(dataset: str) -> tuple[int, int, int]:
    """Return the shape of the padded images."""
    side = (8 if dataset == "digits" else 28) + 2 * PLANS[dataset]["padding"]
    return side, side, 1


def head_arms(dataset: str) -> dict[str, Layer]:
    """Return the net of every head that `models.HEAD_MAKERS` knows, on the trunk of the plan."""
    return {head: _net(PLANS[dataset], dataset, head) for head in models.HEAD_MAKERS}


def _net(plan: Mapping[str, Any], dataset: str, head: str) -> Layer:
    settings = dict(plan["trunk"])
    if settings.pop("covering", False):
        settings |= trunks.covering(input_shape(dataset))
    settings = {name: tuple(v) if isinstance(v, list) else v for name, v in settings.items()}
    return models.small_cnn(head, **settings)


def _heads(plan: Mapping[str, Any], dataset: str, heads: Sequence[str]) -> dict[str, Arm]:
    arms = {}
    for head in heads:
        one_of("Choice", "heads", head, models.HEAD_MAKERS)
        twin = "global-average" if head == "global-average-conv" and "global-average" in heads else ""
        arms[head] = Arm(
            _net(plan, dataset, head), factors={"head": head}, same_as=twin, control=twin, about=ABOUT.get(head, "")
        )
    return arms


def _factorial(plan: Mapping[str, Any], heads: Sequence[str], names: Sequence[str]) -> dict[str, Arm]:
    for name in names:
        one_of("Choice", "trunks", name, trunks.TRUNK_MAKERS)
    for head in heads:
        one_of("Choice", "heads", head, models.HEAD_MAKERS)
    batch_norm = bool(plan["trunk"].get("batch_norm", False))
    return {
        f"{trunk}, {head}": Arm(
            models.pooled_cnn(trunk, head, batch_norm=batch_norm),
            factors={"trunk": trunk, "head": head},
            reads_all=False,
            about=f"Downsampling by {trunk}. {ABOUT.get(head, '')}",
        )
        for trunk in names
        for head in heads
    }


def _matched(plan: Mapping[str, Any], dataset: str, arms: Mapping[str, Arm], on: str) -> dict[str, Arm]:
    """Return a twin of each arm with the size of the largest one, compared with that one."""
    one_of("Choice", "match", on, ("parameters", "multiply_adds"))
    largest = "flatten" if "flatten" in arms else next(iter(arms))
    found = {}
    for name, arm in arms.items():
        if name != largest and not arm.same_as:
            net = match(arm.net, to=arms[largest].net, on=on, input_shape=input_shape(dataset))
            about = f"As {name}, widened to the {on.replace('_', '-')} of {largest}."
            found[f"{name}, sized as {largest}"] = Arm(net, factors=arm.factors, control=largest, about=about)
    return found


def tried(dataset: str) -> dict[str, dict[float, list[float]]] | None:
    """Return the validation loss of each arm by learning rate, from which the rates of the plan were chosen."""
    path = Path(__file__).with_name(f"tuning-{dataset}.csv")
    if not path.is_file():
        return None
    found: dict[str, dict[float, list[float]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            rate, value = float(row["learning_rate"]), float(row["criterion"])
            found.setdefault(row["arm"].removeprefix("'"), {}).setdefault(rate, []).append(value)
    return found


@functools.cache
def source(dataset: str) -> Any:
    """Return the padded data set, or, with images held out, the function of the seed that returns it."""
    plan = PLANS[dataset]
    if "held_out" in plan:
        return functools.partial(larger_test_set, dataset, plan["held_out"], plan["padding"])
    return padded(data.load(dataset), plan["padding"])


def larger_test_set(dataset: str, held_out: int, padding: int, seed: int) -> Dataset:
    """Return a data set whose test part has `held_out` training images in addition to the official ones.

    They are the same for all seeds. Of what is left, 5,000 images are for validation and the others for training, drawn
    by the seed.
    """
    whole = data.load(dataset, seed=0, valid=0)
    kept, _, rest = stratified(whole.train.labels, (held_out, 0), HELD_OUT_SEED)
    extra, others = whole.train[kept], whole.train[rest]
    valid, _, train = stratified(others.labels, (5000, 0), seed)
    test = Split(_joined(whole.test.images, extra.images), _joined(whole.test.labels, extra.labels))
    name = f"{dataset}, {held_out:,} training images as test images"
    return padded(Dataset(name, others[train], others[valid], test, whole.classes), padding)


def _joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.concatenate([first, second])
