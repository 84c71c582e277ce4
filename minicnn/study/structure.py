"""What a net consists of: the layers inside its records, and those that give the logits."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from minicnn.layers import Classifier, Conv2D, Dense, Layer, Sequential


def inside(layer: Layer) -> list[Layer]:
    """Return the layers among the fields of a record, in their order; a list or a tuple of layers is opened."""
    held = [getattr(layer, field.name) for field in _fields(layer)]
    flat = itertools.chain.from_iterable(h if isinstance(h, list | tuple) else [h] for h in held)
    return [value for value in flat if isinstance(value, Layer)]


def with_inside(layer: Layer, made: Iterator[Layer]) -> Layer:
    """Return the record with other layers instead of those that `inside` returns."""

    def again(held: Any) -> Any:
        if isinstance(held, list | tuple):
            return tuple(map(again, held))
        return next(made) if isinstance(held, Layer) else held

    changed = {field.name: again(getattr(layer, field.name)) for field in _fields(layer)}
    return dataclasses.replace(layer, **changed)  # type: ignore[type-var]


def _fields(layer: Layer) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(layer) if dataclasses.is_dataclass(layer) else ()


def with_last(layer: Layer) -> list[tuple[Layer, bool]]:
    """Return the layers inside, each with whether no layer with weights follows it.

    In `Sequential` and `Classifier` layers follow each other, in other containers they are side by side.
    """
    children = inside(layer)
    chain = isinstance(layer, Sequential | Classifier)
    return [(child, not (chain and any(map(_has_weights, children[i + 1 :])))) for i, child in enumerate(children)]


def differing(nets: Sequence[Layer]) -> list[list[Layer]]:
    """Return the layers of each net between those that all begin with and those that all end with; all of a single net.

    >>> from minicnn import models
    >>> differing([models.mlp((4,)), models.mlp((32,))])
    [[Dense(units=4)], [Dense(units=32)]]
    """
    rows = [_in_a_row(net) for net in nets]
    if len(rows) == 1:
        return rows
    first = _alike(rows)
    last = _alike([row[first:][::-1] for row in rows])
    return [row[first : len(row) - last] for row in rows]


def _in_a_row(net: Layer) -> list[Layer]:
    if type(net) not in {Sequential, Classifier}:
        return [net]
    return [layer for child in inside(net) for layer in _in_a_row(child)]


def _alike(rows: Sequence[Sequence[Layer]]) -> int:
    """Return with how many equal layers all rows begin."""
    equal = (all(layer == layers[0] for layer in layers) for layers in zip(*rows, strict=False))
    return sum(1 for _ in itertools.takewhile(bool, equal))


def _has_weights(layer: Layer) -> bool:
    return isinstance(layer, Conv2D | Dense) or any(map(_has_weights, inside(layer)))


def logits_layers(net: Layer) -> list[Conv2D | Dense]:
    """Return the convolutions and dense layers that no other follows: those that give the logits.

    >>> from minicnn import models
    >>> logits_layers(models.lenet5()), logits_layers(models.small_cnn("global-average"))
    ([Dense(units=10)], [Dense(units=10)])
    """
    if isinstance(net, Conv2D | Dense):
        return [net]
    return [found for child, last in with_last(net) if last for found in logits_layers(child)]
