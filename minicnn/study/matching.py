"""Nets of equal size: the width of one is changed until it has as many parameters or multiply-adds as another.

So a comparison of two heads, for example, is not one of a small net with a large one.

>>> from minicnn import models
>>> wide = match(models.small_cnn("global-average"), to=models.small_cnn("flatten"), input_shape=(28, 28, 1))
>>> [layer.filters for layer in wide.trunk.layers[::2]]
[37, 75, 75]
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

from minicnn.geometry import Shape
from minicnn.hints import explained
from minicnn.layers import Conv2D, Dense, Layer, summary
from minicnn.layers.base import check_net
from minicnn.study.structure import inside, with_inside, with_last
from minicnn.validation import number, one_of, shown

A = TypeVar("A")
Widths: TypeAlias = tuple[int, ...]
SIZES = ("parameters", "multiply_adds")
WIDEST = 2**20
"""No layer is made wider than this on the way to a size that cannot be reached."""


@explained
def match(arm: A, *, to: Any, input_shape: Shape, on: str = "parameters", within: float = 0.01) -> A:
    """Return an arm, or a net, of another width, so that it is as large as another one.

    The filters of all convolutions and the units of all dense layers, but for those that give the logits, are
    multiplied by one factor and rounded. If that does not come near enough, one or two of them are made larger or
    smaller by one. Only shapes are used.

    Parameters
    ----------
    arm : Layer, or a record with a field `net`
        What is made wider or narrower.
    to : Layer, or a record with a field `net`
        What it shall be as large as.
    input_shape : tuple
        (H, W, C).
    on : "parameters" or "multiply_adds"
        As `layers.summary` counts them.
    within : float
        The largest relative difference that is accepted.

    Returns
    -------
    Layer or record
        As `arm`, with its net changed.

    Raises
    ------
    ValueError
        If no width comes near enough, with the nearest that there is.
    """
    one_of("match", "on", on, SIZES)
    number("match", "within", within, least=0)
    net = _net("arm", arm)
    shape = check_net("match", net, input_shape)
    wanted = getattr(summary(_net("to", to), shape), on)
    places = list(_places(net, last=True))
    if not places:
        fix = "Give it a convolution or a hidden dense layer."
        raise ValueError(f"match: arm must have a layer whose width can change, got {shown(net)}. {fix}")

    if not wanted:
        raise ValueError(f"match: to must have {on.replace('_', '-')}, got a net without. Use another one.")

    def size(widths: Widths) -> float:
        try:
            return float(getattr(summary(with_widths(net, widths), shape), on))
        except ValueError:  # too large, or a shortcut or groups that need equal widths
            return math.inf

    found = _nearest(places, _unit(net), size, wanted, within)
    _check_reached(size(found), wanted, on, within, found)
    made = with_widths(net, found)
    return made if isinstance(arm, Layer) else replace(arm, net=made)  # type: ignore[type-var, return-value]


def _check_reached(reached: float, wanted: int, on: str, within: float, widths: Widths) -> None:
    off = reached / wanted - 1
    if abs(off) > within:
        goal = f"{wanted:,} {on.replace('_', '-')}"
        fix = f"Use within={math.ceil(abs(off) * 1000) / 1000} or other nets."
        raise ValueError(
            f"match: arm must come to within {within:.2%} of {goal}, got {reached:,.0f} as the nearest ({off:+.2%}), "
            f"with widths {widths}. {fix}"
        )


def widths(net: Layer) -> tuple[int, ...]:
    """Return filters and units of all layers whose width can change, in the order of the net's fields.

    >>> from minicnn import models
    >>> widths(models.lenet5()), widths(models.small_cnn("global-average-conv"))
    ((6, 16, 120, 84), (16, 32, 32))
    """
    return tuple(_places(net, last=True))


def with_widths(net: Layer, widths: Sequence[int]) -> Layer:
    """Return the net with these filters and units, in the order of `widths`."""
    following = iter(widths)
    return _changed(net, True, lambda _: next(following))


def _net(name: str, value: Any) -> Layer:
    net = value if isinstance(value, Layer) else getattr(value, "net", None)
    if not isinstance(net, Layer):
        raise TypeError(f"match: {name} must be a layer or have a layer as its net, got {shown(value)}.")
    return net


def _places(net: Layer, last: bool) -> Iterator[int]:
    found: list[int] = []

    def look(width: int) -> int:
        found.append(width)
        return width

    _changed(net, last, look)
    yield from found


def _changed(layer: Layer, last: bool, change: Callable[[int], int]) -> Layer:
    """Return a layer with changed widths; `last` says that the logits are what it returns.

    A container is any record with layers among its fields.
    """
    if isinstance(layer, Conv2D | Dense):
        return layer if last else _of_width(layer, change)
    made = [_changed(child, last and after, change) for child, after in with_last(layer)]
    return with_inside(layer, iter(made)) if made else layer


def _of_width(layer: Conv2D | Dense, change: Callable[[int], int]) -> Layer:
    if isinstance(layer, Dense):
        return replace(layer, units=change(layer.units))
    filters = change(layer.filters)
    if layer.groups == layer.filters:  # depthwise: one group for each channel
        return replace(layer, filters=filters, groups=1 if layer.groups == 1 else filters)
    return replace(layer, filters=filters)


def _unit(layer: Layer) -> int:
    """Return what all widths are multiples of, so that groups of channels stay equally large."""
    own = layer.groups if isinstance(layer, Conv2D) and layer.groups < layer.filters else 1
    return math.lcm(own, *map(_unit, inside(layer)))


def _nearest(places: Sequence[int], unit: int, size: Callable[[Widths], float], wanted: int, within: float) -> Widths:
    """Return widths near those of one factor, moved as little as gives the wanted size, else the nearest ones."""

    def times(factor: float) -> Widths:
        return tuple(unit * max(1, round(factor * width / unit)) for width in places)

    low, high = 0.0, 1.0
    while size(times(high)) < wanted and max(times(high)) < WIDEST:
        low, high = high, 2 * high
    while times(low) != times(high) and high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if size(times(middle)) >= wanted else (middle, high)
    distances: dict[Widths, float] = {}
    for moves in range(3):
        for found in (widths for base in (times(low), times(high)) for widths in _moved(base, unit, moves)):
            distances[found] = abs(size(found) - wanted)
        if min(distances.values()) <= within * wanted:
            break
    return min(distances, key=distances.__getitem__)


def _moved(base: Widths, unit: int, moves: int) -> Iterator[Widths]:
    """Yield the widths with so many of them larger or smaller by one unit.

    Layers of equal width are also moved together, for nets in which they have to stay equal.
    """
    alone = [(place,) for place in range(len(base))]
    alike = [tuple(place for place, width in enumerate(base) if width == equal) for equal in sorted(set(base))]
    steps = [(places, by) for places in dict.fromkeys([*alone, *alike]) for by in (-unit, unit)]
    for chosen in itertools.combinations(steps, moves):
        widths = list(base)
        for places, by in chosen:
            for place in places:
                widths[place] += by
        if min(widths) >= 1 and all(abs(now - before) <= unit for now, before in zip(widths, base, strict=True)):
            yield tuple(widths)
