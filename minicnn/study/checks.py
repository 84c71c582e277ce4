"""Checks of the arms of a study before anything is trained, from shapes and from a few random images.

Each check takes the nets by name and returns what it found, as values; `refuse` raises what must not be. A study says
with its arms what is meant: `reads_all=False` for a pooling that leaves out a part of its map, `same_as` for an arm
that is the same function as another one.

>>> from minicnn import models
>>> nets = {name: models.small_cnn(name, classes=4) for name in ("max", "global-max")}
>>> print(unread(nets, (18, 18, 1))[0])
Study: arm 'max' must read its whole map, got 17 of 9x9 positions that head/max_pooling2d does not read. Use
padding="same" there, or Arm(net, reads_all=False) if that is meant.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from minicnn.geometry import Shape
from minicnn.hints import near
from minicnn.layers import Conv2D, Cropping2D, Flatten, Layer, ZeroPadding2D, coverage, summary
from minicnn.layers.inspection.coverage import MOST_PIXELS, reads
from minicnn.layers.inspection.receptive_field import Step, walk
from minicnn.study.same_function import same_function
from minicnn.study.structure import logits_layers

Nets: TypeAlias = Mapping[str, Layer]
ALIKE = 0.02
"""Sizes that differ by no more than this fraction are taken as equal."""


@dataclass(frozen=True)
class Finding:
    """What a check found: in which arms, in a sentence, and whether a study is refused because of it.

    Attributes
    ----------
    kind : "fit", "coverage", "function", "initializer" or "size"
    arms : tuple of str
    message : str
    refused : bool
        False for a warning.
    """

    kind: str
    arms: tuple[str, ...]
    message: str
    refused: bool = True

    def __str__(self) -> str:
        return self.message


def check(
    nets: Nets,
    input_shape: Shape,
    classes: int,
    *,
    control: str = "",
    partial: Collection[str] = (),
    same_as: Mapping[str, str] | None = None,
    twins: Mapping[str, str] | None = None,
    recipes: Mapping[str, object] | None = None,
) -> tuple[Finding, ...]:
    """Return everything that the checks of this module find; arms that do not fit the data are not looked at further.

    Parameters
    ----------
    nets : mapping of str to Layer
        The net of each arm.
    input_shape : tuple
        (H, W, C) of the images.
    classes : int
        Of the data set.
    control : str
        The arm that others are compared with; the first one unless given.
    partial : collection of str
        Arms that are declared to leave out a part of a map.
    same_as : mapping of str to str
        Arms that are declared to be the same function as another one.
    twins : mapping of str to str
        Arms that are compared with another one than the control.
    recipes : mapping
        How each arm is trained; one net may be trained in different ways.
    """
    unfit = misfits(nets, input_shape, classes)
    fit = {name: net for name, net in nets.items() if not any(name in finding.arms for finding in unfit)}
    if not fit:
        return unfit
    return (
        *unfit,
        *unread(fit, input_shape, partial=partial),
        *same_functions(fit, input_shape, same_as=same_as, recipes=recipes),
        *initializers(fit),
        *unequal_sizes(fit, input_shape, control=control, twins=twins),
    )


def refuse(findings: Iterable[Finding]) -> None:
    """Raise ValueError with all findings because of which a study is refused, if there are any."""
    texts = [str(finding) for finding in findings if finding.refused]
    if texts:
        listed = "\n".join(texts)
        raise ValueError(f"Study: arms must pass the checks before training, got these findings:\n{listed}")


def misfits(nets: Nets, input_shape: Shape, classes: int) -> tuple[Finding, ...]:
    """Return the arms that do not take images of this shape, or do not give one logit per class."""
    found = []
    for name, net in nets.items():
        try:
            out = net.output_shape(input_shape)
        except (ValueError, TypeError) as error:
            found.append(Finding("fit", (name,), f"Study: arm {name!r} must fit images {input_shape}, got {error}"))
            continue
        if out != (classes,):
            what = f"Study: arm {name!r} must give one logit for each of {classes} classes, got shape {out}."
            found.append(Finding("fit", (name,), f"{what} Give its head classes={classes}."))
    return tuple(found)


def unread(nets: Nets, input_shape: Shape, *, partial: Collection[str] = ()) -> tuple[Finding, ...]:
    """Return the poolings that leave out a part of their map, and the arms that leave out pixels of the image."""
    found = []
    for name in (name for name in nets if name not in partial):
        steps = walk(nets[name], input_shape)
        texts = [text for step in steps if (text := _unread(step))] or _unseen(nets[name], input_shape)
        found += [Finding("coverage", (name,), f"Study: arm {name!r} must read its whole {text}") for text in texts]
    return tuple(found)


def _unread(step: Step) -> str:
    """Return what a pooling leaves out, or nothing."""
    windows = step.layer.windows(step.input_shape)
    if windows is None or isinstance(step.layer, Conv2D | ZeroPadding2D | Cropping2D | Flatten):
        return ""
    rows, cols = (reads(axis, windows).any(axis=0) for axis in (windows.rows, windows.cols))
    left_out = rows.size * cols.size - int(rows.sum() * cols.sum())
    got = f"map, got {left_out} of {rows.size}x{cols.size} positions that {step.name} does not read."
    return f'{got} Use padding="same" there, {DECLARE}' if left_out else ""


def _unseen(net: Layer, shape: Shape) -> list[str]:
    """Return which pixels of the image have no influence, for a net whose poolings read all."""
    if len(shape) != 3 or shape[0] * shape[1] > MOST_PIXELS:
        return []
    unseen = int((coverage(net, shape) == 0).sum())
    got = f"image, got {unseen} of {shape[0]}x{shape[1]} pixels that no window reads."
    return [f'{got} Use padding="same" in its convolutions, {DECLARE}'] if unseen else []


DECLARE = "or Arm(net, reads_all=False) if that is meant."


def same_functions(
    nets: Nets,
    input_shape: Shape,
    *,
    same_as: Mapping[str, str] | None = None,
    recipes: Mapping[str, object] | None = None,
) -> tuple[Finding, ...]:
    """Return the arms that are one function under different names, and declared ones that are not found to be.

    See `same_function` for what is found. Arms with different `recipes` are different, whatever their nets.
    """
    declared, recipes = dict(same_as or {}), recipes or {}
    found = [_unknown(arm, other, nets) for arm, other in declared.items() if {arm, other} - set(nets)]
    for one, two in itertools.combinations(nets, 2):
        if _is_declared(one, two, declared):
            if not same_function(nets[one], nets[two], input_shape):
                text = f"Study: same_as must name an arm of the same function, got {one!r} and {two!r}, which differ."
                found.append(Finding("function", (one, two), f"{text} Leave it out.", refused=False))
        elif recipes.get(one) == recipes.get(two) and same_function(nets[one], nets[two], input_shape):
            text = f"Study: arms must be different functions, got {one!r} and {two!r}, which are the same one."
            fix = f"Leave one out, or declare it with Arm(net, same_as={one!r}): it must then come out equivalent."
            found.append(Finding("function", (one, two), f"{text} {fix}"))
    return tuple(found)


def _unknown(arm: str, other: str, nets: Nets) -> Finding:
    name = other if arm in nets else arm
    text = f"Study: same_as must name an arm, got {name!r}.{near(name, nets)}"
    return Finding("function", (arm,), text)


def _is_declared(one: str, two: str, declared: Mapping[str, str]) -> bool:
    """Tell whether two arms are declared to be the same function, also by way of others."""
    group = {one}
    while more := {name for pair in declared.items() if group & set(pair) for name in pair} - group:
        group |= more
    return two in group


def initializers(nets: Nets) -> tuple[Finding, ...]:
    """Return that the layers that give the logits do not begin in the same way in all arms, if that is so."""
    ways: dict[tuple[str, ...], list[str]] = {}
    for name, net in nets.items():
        for layer in logits_layers(net):
            arms = ways.setdefault((repr(layer.kernel_initializer), repr(layer.bias_initializer)), [])
            arms += [name] if name not in arms else []
    if len(ways) <= 1:
        return ()
    got = "; ".join(f"{' and '.join(way)} in {', '.join(map(repr, arms))}" for way, arms in ways.items())
    text = f"Study: the layers that give the logits must have the same initializer in all arms, got {got}."
    fix = "Use the same kernel_initializer; otherwise a difference may be that of the initial weights."
    return (Finding("initializer", tuple(dict.fromkeys(itertools.chain(*ways.values()))), f"{text} {fix}"),)


@dataclass(frozen=True)
class Size:
    """How large an arm is, from shapes."""

    parameters: int
    multiply_adds: int


def sizes(nets: Nets, input_shape: Shape) -> dict[str, Size]:
    """Return the size of each arm, by name.

    >>> from minicnn import models
    >>> sizes({"mlp": models.mlp((32,))}, (8, 8, 1))
    {'mlp': Size(parameters=2410, multiply_adds=2368)}
    """
    counted = {name: summary(net, input_shape) for name, net in nets.items()}
    return {name: Size(each.parameters, each.multiply_adds) for name, each in counted.items()}


def unequal_sizes(
    nets: Nets, input_shape: Shape, *, control: str = "", twins: Mapping[str, str] | None = None
) -> tuple[Finding, ...]:
    """Return a warning about the arms whose size differs by more than 2 % from that of the arm they are compared with.

    An arm with a twin of its own is taken as matched to it, and so is the twin: either their parameters or their
    multiply-adds must be equal. Where nothing is matched, both must be.
    """
    size, twins = sizes(nets, input_shape), twins or {}
    control = control if control in nets else next(iter(nets))
    texts: dict[str, dict[str, str]] = {}
    for name in nets:
        other = twins.get(name, control)
        if other not in nets or (name in twins.values() and name not in twins):
            continue
        found = [_difference(size[name], size[other], what) for what in ("parameters", "multiply_adds")]
        if all(found) if name in twins else any(found):
            texts.setdefault(other, {})[name] = f"{name!r} {' and '.join(filter(None, found))}"
    return tuple(_unequal(other, size[other], differing) for other, differing in texts.items())


def _unequal(other: str, size: Size, differing: Mapping[str, str]) -> Finding:
    text = (
        f"Study: sizes differ: {other!r} has {size.parameters:,} parameters and {size.multiply_adds:,} multiply-adds, "
        f"{'; '.join(differing.values())}."
    )
    fix = "A difference between these arms may be due to size; match(arm, to=other, on=...) makes them equally large."
    return Finding("size", (*differing, other), f"{text} {fix}", refused=False)


def _difference(size: Size, other: Size, what: str) -> str:
    """Return by how much a size differs, or nothing if that is little."""
    here, there = getattr(size, what), getattr(other, what)
    if abs(here - there) <= ALIKE * max(there, 1):
        return ""
    return f"{here:,} {what.replace('_', '-')} ({here / max(there, 1) - 1:+.0%})"
