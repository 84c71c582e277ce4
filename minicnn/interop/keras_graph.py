"""A functional model of Keras as layers here: what branches and joins again becomes a Residual or a Concat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minicnn.geometry import Shape
from minicnn.interop.keras_layers import Config, Entry, entries, made, sources
from minicnn.layers import Concat, Dropout, Layer, Residual, Sequential

JOINS = {"Add", "Concatenate"}
OTHER_JOINS = {"Average", "Dot", "Maximum", "Minimum", "Multiply", "Subtract"}
Part = tuple[Entry, list[Any]]
"""A layer with the branches that it joins, each a list of parts; [] for a layer with one input."""


def functional(model: Config, shape: Shape) -> tuple[Sequential, list[Entry]]:
    """Return the net, and Keras's layers with weights in the order of the net's.

    Raises
    ------
    ValueError, TypeError, KeyError
        The model is not made of layers in chains that branch and join again; or the configuration is damaged.
    """
    graph = _Graph(model)
    order: list[Entry] = []
    return Sequential(list(_layers(graph.chain(graph.output, graph.first), shape, order))), order


class _Graph:
    """The layers by name, their inputs, and for each the last layer before it that everything passes through."""

    def __init__(self, model: Config) -> None:
        layers = model["config"]["layers"]
        self.entries = {entry.name: entry for entry in entries(model)}
        self.inputs = {layer["config"]["name"]: list(sources(layer["inbound_nodes"])) for layer in layers}
        if set(self.inputs) != set(self.entries):
            raise ValueError("a functional model must be made of layers alone, got models in it")
        (self.output,) = sources(model["config"]["output_layers"])
        (self.first,) = (name for name, before in self.inputs.items() if not before)
        self.level, self.before, self.seen = {self.first: 0}, {}, set[str]()
        for name, before in self.inputs.items():  # in an order in which each follows its inputs
            if before:
                self.before[name] = self._common(before)
                self.level[name] = self.level[self.before[name]] + 1

    def _common(self, names: list[str]) -> str:
        first, *others = names
        for other in others:
            while first != other:
                if self.level[first] < self.level[other]:
                    other = self.before[other]  # noqa: PLW2901 - one step up
                else:
                    first = self.before[first]
        return first

    def chain(self, end: str, stop: str) -> list[Part]:
        """Return the parts from behind `stop` up to `end`."""
        parts: list[Part] = []
        while end != stop:
            if end in self.seen:
                raise ValueError(f"the branches at {end!r} must join before they branch again, got another order")
            self.seen.add(end)
            inputs, entry, start = self.inputs[end], self.entries[end], self.before[end]
            joins = entry.kind in JOINS
            if entry.kind in OTHER_JOINS:
                raise ValueError(f"{end!r} must be {' or '.join(sorted(JOINS))} of branches, got {entry.kind}")
            if len(inputs) != 1 and not joins:
                raise ValueError(f"{end!r} must take one input, once, got {inputs}")
            parts.append((entry, [self.chain(name, start) for name in inputs] if joins else []))
            end = start
        return parts[::-1]


def _layers(parts: list[Part], shape: Shape, order: list[Entry]) -> Iterator[Layer]:
    """Yield the layers of a chain, adding those of Keras that have weights to `order`."""
    for entry, branches in parts:
        if branches:
            inner = [list(_layers(branch, shape, order)) for branch in branches]
            found = [_joined(entry, inner, shape)]
        else:
            found = made(entry, shape)
            order += entry.parts()
        for layer in found:
            yield layer
            shape = layer.output_shape(shape)


def _joined(entry: Entry, branches: list[list[Layer]], shape: Shape) -> Layer:
    made = [_branch(branch) for branch in branches]
    if entry.kind == "Add" and len(branches) == 2:
        first, second = made if branches[0] else made[::-1]
        return Residual(first, second if all(branches) else None)
    if entry.kind == "Concatenate" and entry.config["axis"] in {-1, len(made[0].output_shape(shape))}:
        return Concat(made)
    fix = "Only an Add of two branches and a Concatenate along the channels are known"
    raise ValueError(f"{entry.name!r} must be a Residual or a Concat here, got {entry.kind}. {fix}")


def _branch(layers: list[Layer]) -> Layer:
    # A branch without layers passes its input on, as this dropout does.
    return layers[0] if len(layers) == 1 else Sequential(layers) if layers else Dropout(0.0)
