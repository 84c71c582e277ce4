"""What follows from the results about each claim."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.claims import speed
from experiments.claims.claim import SAYS_NO_LESS, Judgement, contrasts, counted, judgement, ratio
from experiments.claims.nets import Setting, without_pooling
from experiments.claims.studies import STRIDES, convolutions
from minicnn.layers import Conv2D, Dense, Flatten, Layer, Sequential, summary
from minicnn.models import keras_mnist, lenet5, mlp, small_cnn
from minicnn.study.replicates import Seeds
from minicnn.study.results import Results
from minicnn.study.statistics import trend_p

FASTER = 1.05
"""A net that takes 5 % longer, or has 5 % more, is not told apart from an equal one."""


def judge_keeps(setting: Setting, results: Results) -> Judgement:
    """Judge the maps and the accuracies."""
    effects = [
        *contrasts(results, "maps", "peak", what="strongest activation kept, {arm} - {control}"),
        # both of these are of the images alone, so that one learning rate is enough
        contrasts(results, "maps", "noise", what="noise kept, max - average")[0],
        contrasts(results, "maps", "background", what="background kept, average - max", less=True)[0],
        *contrasts(results, "background", "mean", what="accuracy on grey backgrounds, {arm} - {control}"),
        *contrasts(results, "noise", "mean", what="accuracy with noise, {arm} - {control}", less=True),
    ]
    peak = _percent(means(results, "maps", "peak"), 0)
    noise, background = (_percent(_by_pooling(means(results, "maps", name)), 0) for name in ("noise", "background"))
    grey, noisy = (_percent(means(results, name, "mean"), 1) for name in ("background", "noise"))
    return judgement(
        effects,
        f"In brackets: the learning rate. Fraction kept of the strongest activation: {peak}; of noise: {noise}; of a "
        f"grey background in windows with a stroke: {background}. Accuracy on grey backgrounds: {grey}; with noise: "
        f"{noisy}.",
    )


def _by_pooling(values: Mapping[str, float]) -> dict[str, float]:
    """Return values that do not depend on the learning rate under the name of the pooling alone."""
    return {arm.partition(" (")[0]: value for arm, value in values.items()}


def _percent(values: Mapping[str, float], digits: int) -> str:
    """Return means by arm as text.

    >>> _percent({"max": 1.0, "average": 0.5}, 0)
    'max 100 %, average 50 %'
    """
    return ", ".join(f"{arm} {100 * value:.{digits}f} %" for arm, value in values.items())


def means(results: Results, measure: str = "accuracy", condition: str = "") -> dict[str, float]:
    """Return the mean of a measure for each arm."""
    return {arm: sum(by.values()) / len(by) for arm, by in results.values(measure, condition).items()}


def judge_cost(setting: Setting) -> Judgement:
    """Count multiply-adds and time both nets in turn."""
    pooled = setting.pooled("max2", "global-average")
    nets = {"without": without_pooling(pooled), "with": pooled}
    adds = {name: size(net, setting.shape).multiply_adds for name, net in nets.items()}
    times = speed.compared(nets, setting.shape, setting.rounds)
    effects = [
        counted("multiply-adds, without / with pooling", adds["without"], adds["with"], margin=FASTER),
        *(ratio(f"CPU time of {what}, without / with pooling", times[what], FASTER) for what in times),
    ]
    return judgement(
        effects,
        f"The same convolutions without their two poolings take {effects[0].mean:.1f} times the multiply-adds, "
        f"{effects[1].mean:.1f} times the CPU time of a training step and {effects[2].mean:.1f} times that of a "
        "prediction; the number of parameters is equal.",
    )


def judge_robust(setting: Setting, results: Results) -> Judgement:
    """Judge the accuracy of changed images."""
    effects = [
        *contrasts(results, "shifted", "mean", what="accuracy shifted by 1 and 2 pixels, {arm} - {control}"),
        *contrasts(results, "rotated", "mean", what="accuracy rotated by 15 and 30 degrees, {arm} - {control}"),
    ]
    return judgement(
        effects,
        f"Accuracy shifted by one and two pixels: {_percent(means(results, 'shifted', 'mean'), 0)}; rotated by 15 and "
        f"30 degrees: {_percent(means(results, 'rotated', 'mean'), 0)}. No net was trained on changed images.",
    )


def judge_strides(setting: Setting, results: Results) -> Judgement:
    """Judge the size of the map and the accuracy."""
    sides = [_pooled_side(size(results.net(f"stride {s}"), setting.shape)) for s in STRIDES]
    values = results.values("accuracy")
    p = trend_p({name: values[name] for name in (f"stride {s}" for s in reversed(STRIDES))})
    effects = [
        *(counted(f"elements of the pooled map, stride 1 / stride {s}", sides[0] ** 2, sides[s - 1] ** 2)
          for s in STRIDES[1:]),
        *contrasts(results, "accuracy", what="accuracy, {arm} - {control}", less=True),
    ]  # fmt: skip
    overlap = "" if isinstance(results.replicates, Seeds) else ", without a correction for overlapping splits"
    return judgement(
        effects,
        f"The pooled maps are {', '.join(f'{n}x{n}' for n in sides)}. Accuracy: {_percent(means(results), 2)}. Page's "
        f"test for accuracies that fall as the stride grows: p = {p:.2g}{overlap}.",
    )


def _pooled_side(found: Any) -> int:
    return int(next(row.output_shape[0] for row in found.rows if "pooling" in row.name))


def judge_paddings(setting: Setting, results: Results) -> Judgement:
    """Judge the size of the map and the accuracy at the border."""
    side = {name: convolutions(setting, name).trunk.output_shape(setting.shape)[0] for name in ("same", "valid")}
    effects = [
        counted("rows of the map, same / valid", side["same"], side["valid"]),
        *contrasts(results, "placed", "border", what="accuracy at the border, {arm} - {control}"),
        *contrasts(results, "placed", "border - centre", what="border less centre, {arm} - {control}"),
    ]
    border, centre = (_percent(means(results, "placed", where), 1) for where in ("border", "centre"))
    return judgement(
        effects,
        f"Three 3x3 convolutions leave {side['same']} of {setting.shape[0]} rows with same and {side['valid']} with "
        f"valid. Accuracy with digits at the border: {border}; in the centre: {centre}.",
    )


def judge_global(setting: Setting, results: Results) -> Judgement:
    """Judge whether accuracy is equivalent."""
    effects = contrasts(results, "accuracy", what="accuracy, {arm} - {control} layers", supporting=SAYS_NO_LESS)
    sizes = ", ".join(f"{arm} {size(results.net(arm), setting.shape).parameters:,}" for arm in results.arms)
    return judgement(
        effects,
        f"Accuracy: {_percent(means(results), 2)}. Parameters: {sizes}. Differences within {100 * setting.rope:.1f} "
        "points count as none.",
    )


def judge_equal_sizes(setting: Setting, results: Results) -> Judgement:
    """Judge the accuracies."""
    effects = [
        *contrasts(results, "accuracy", what="accuracy, {arm} - {control}", less=True),
        *contrasts(results, "shifted", "mean", what="accuracy shifted by 1 and 2 pixels, {arm} - {control}", less=True),
    ]
    return judgement(
        effects,
        f"Accuracy: {_percent(means(results), 2)}; shifted by one and two pixels: "
        f"{_percent(means(results, 'shifted', 'mean'), 0)}.",
    )


def judge_parameters(setting: Setting) -> Judgement:
    """Count: layer for layer, and whole nets."""
    rows, cols, _ = setting.shape
    few, _ = setting.filters
    convolution = size(Conv2D(few, 3, padding="same"), setting.shape).parameters
    dense = size(Sequential([Flatten(), Dense(rows * cols * few)]), setting.shape).parameters
    plain = size(mlp(), (28, 28, 1)).parameters
    nets = {"keras_mnist": keras_mnist(), "lenet5": lenet5(), "small_cnn": small_cnn("max")}
    effects = [
        counted(f"a 3x3 convolution / a dense layer, {rows}x{cols} to {rows}x{cols}x{few}", convolution, dense),
        *(
            counted(f"parameters, {name} / mlp(128) on 28x28", size(net, (28, 28, 1)).parameters, plain)
            for name, net in nets.items()
        ),
    ]
    few_units = size(mlp((16,)), (28, 28, 1)).parameters
    return judgement(
        effects,
        f"A convolution shares its weights: {convolution:,} parameters where a dense layer with the same inputs and "
        f"outputs has {dense:,}. Well-known CNNs have fewer than a plain net with 128 units, {plain:,}; one narrow "
        f"enough has fewer still (16 units: {few_units:,}), so the width decides, not the kind of net.",
    )


def size(net: Layer, shape: tuple[int, int, int]) -> Any:
    """Return the parameters and multiply-adds of a net."""
    return summary(net, shape)
