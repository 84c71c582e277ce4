"""Which figures a study has, with their captions: those for which it has measures, arms and images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import records
from minicnn.layers import Classifier
from minicnn.optional import need
from minicnn.study.report import curves, forest, pictures, style, tables
from minicnn.study.report.maps import class_map
from minicnn.study.report.words import Outcome
from minicnn.study.results import Results
from minicnn.study.statistics import Comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figures(
    results: Results,
    compared: Mapping[Outcome, Comparison],
    wanted: Sequence[Outcome],
    tried: Mapping[str, Mapping[float, Sequence[float]]],
) -> dict[str, tuple[Figure, str]]:
    """Return the figures with their captions, by file name, in the order of the report."""
    colours = style.palette(results.arms, results.control)
    makers: dict[str, Callable[[], tuple[Figure, str] | None]] = {
        **{f"under_{o.measure}": partial(_under, results, o, colours) for o in wanted if o.condition == "mean"},
        "differences": lambda: _forest(compared, colours),
        "tuning": lambda: _tuning(results, tried, colours),
        "learning": lambda: _learning(results, colours),
        "interaction": lambda: _interaction(results),
        "confusions": lambda: _confusions(results),
        "most_often_wrong": lambda: _wrong(results),
        "class_maps": lambda: _maps(results),
    }
    return {name: made for name, maker in makers.items() if (made := maker()) is not None}


def _forest(compared: Mapping[Outcome, Comparison], colours: Mapping[str, str]) -> tuple[Figure, str] | None:
    shares = {outcome.title: comparison for outcome, comparison in compared.items() if outcome.unit}
    if not shares:
        return None
    figure = forest.forest(shares, colours, title="Each arm minus its control")
    return figure, (
        "Each dot is the difference of one replicate, the diamond their mean and the bar its simultaneous 95 % "
        "interval: all intervals of a panel hold together. An arrow points to what lies beyond the panel. "
        "The grey region contains differences too small to matter. "
        "The verdict follows from the bar and the region alone."
    )


def _under(results: Results, outcome: Outcome, colours: Mapping[str, str]) -> tuple[Figure, str] | None:
    conditions = [c for c in results.conditions(outcome.measure) if c != "mean"]
    magnitudes = {c: m for c in conditions if (m := _magnitude(c)) is not None}
    values = {c: results.values(outcome.measure, c) for c in magnitudes}
    by_arm = {arm: {c: list(values[c][arm].values()) for c in magnitudes} for arm in results.arms}
    by_arm = {arm: by for arm, by in by_arm.items() if all(by.values())}
    if len(magnitudes) < 2 or not by_arm:
        return None
    figure = curves.robustness(
        by_arm, magnitudes, colours, title=outcome.title.capitalize(), xlabel=f"{outcome.measure} ({_unit(conditions)})"
    )
    return figure, "Lines are means over replicates; a band contains all of them."


def _magnitude(condition: str) -> float | None:
    """Return the number in the name of a condition, such as 2 for "2 px"; None without one."""
    for word in condition.replace("x", " ").split():
        try:
            return float(word)
        except ValueError:
            continue
    return None


def _unit(conditions: Sequence[str]) -> str:
    words = [word for word in conditions[-1].split() if _magnitude(word) is None]
    return {"px": "pixels"}.get(words[0], words[0]) if words else "magnitude"


def _tuning(
    results: Results, tried: Mapping[str, Mapping[float, Sequence[float]]], colours: Mapping[str, str]
) -> tuple[Figure, str] | None:
    chosen = {name: arm["rate"] for name, arm in results.description["arms"].items()}
    tried = {arm: by for arm, by in tried.items() if chosen.get(arm) in by}
    if not tried:
        return None
    tune = results.description["tune"]
    by = records.from_json(tune).by.replace("valid_", "validation ") if tune else "validation loss"
    figure = curves.tuning(tried, chosen, colours, ylabel=by)
    return (
        figure,
        "Every arm had the same grid and the same seeds, none of which is a seed of the study; rings: chosen.",
    )


def _learning(results: Results, colours: Mapping[str, str]) -> tuple[Figure, str] | None:
    found = {arm: curve for arm in results.arms if (curve := results.curves(arm))}
    if not found or not all("valid_accuracy" in rows[0] for runs in found.values() for rows in runs):
        return None
    recipe, data = results.description["recipe"], results.description["data"]
    figure = curves.learning(found, colours, steps_per_epoch=-(-data["train"] // recipe["batch_size"]))
    return figure, (
        "Means over replicates. Training error is that of the batches during the epoch, with augmentation: an arm "
        "whose training error is still high is not fully trained. CPU seconds are those of the study's own processes."
    )


def _interaction(results: Results) -> tuple[Figure, str] | None:
    factors = [arm["factors"] for arm in results.description["arms"].values()]
    names = list(dict.fromkeys(name for levels in factors for name in levels))
    if len(names) != 2 or any(len({str(f.get(n)) for f in factors}) < 2 for n in names):
        return None
    values = results.values(next(iter(results.description["measures"])), tables.outcomes(results)[0].condition)
    cells = {
        (str(f[names[0]]), str(f[names[1]])): list(values[arm].values())
        for arm, f in zip(results.arms, factors, strict=True)
        if set(names) <= set(f) and values[arm]
    }
    figure = curves.interaction(cells, rows=names[0], lines=names[1])
    return figure, "Lines that are not parallel: what one factor does depends on the other."


def _confusions(results: Results) -> tuple[Figure, str] | None:
    labels, found = _labels(results), {}
    if labels is None:
        return None
    classes = np.arange(len(results.description["data"]["classes"]))
    for arm, predicted in _predictions(results, len(labels)):
        matrix = need("sklearn.metrics").confusion_matrix
        found[arm] = matrix(labels, predicted, labels=classes, normalize="true")
    control = found.pop(results.control, None)
    if control is None or not found:
        return None
    figure = pictures.confusion_differences({a: m - control for a, m in found.items()}, control=results.control)
    return figure, "Of the first replicate. Red: the arm confuses these classes more often, or is correct less often."


def _wrong(results: Results) -> tuple[Figure, str] | None:
    images, labels = _sample(results)
    if images is None or labels is None:
        return None
    shares = {arm: (predicted != labels).astype(np.float64) for arm, predicted in _predictions(results, len(labels))}
    if not shares:
        return None
    figure = pictures.most_often_wrong(images, labels, shares)
    return figure, "Test images of the first replicate, with the fraction of arms that classify them wrongly."


def _maps(results: Results) -> tuple[Figure, str] | None:
    images, labels = _sample(results)
    if images is None or labels is None:
        return None
    found = {}
    for arm in results.arms:
        net = results.net(arm)
        done = any((t.arm, t.replicate, t.trained) == (arm, 0, True) for t in results.trials)
        if isinstance(net, Classifier) and done:
            values, score, bias = class_map(net, results.params(arm), images[0], int(labels[0]))
            rest = score - bias - float(values.sum())
            caption = f"score {score:.2f}" + (f", not shown {rest:+.2f}" if abs(rest) > 0.005 else "")
            found[arm] = (values, caption)
    if not found:
        return None
    figure = pictures.class_maps(images[0], dict(list(found.items())[:9]), label=str(labels[0]))
    return figure, (
        "Contributions of each position of the last feature map to the score of the correct class, for the first test "
        "image; red raises the score. They add up to the score less the bias, unless the caption says what is missing."
    )


def _predictions(results: Results, count: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each arm with what its first replicate predicts for the first `count` test images, where it is known."""
    for arm in results.arms:
        predicted = results.per_image(arm, "predictions").get(0)
        if predicted is not None:
            yield arm, predicted[:count]


def _sample(results: Results) -> tuple[Any, Any]:
    found = results.sample()
    return (found["images"], found["labels"]) if found else (None, None)


def _labels(results: Results) -> Any:
    return _sample(results)[1]
