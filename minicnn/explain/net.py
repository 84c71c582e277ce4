"""The layers of a net: applied one by one with a look at each result, and described for the page."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn import layers, ops, trees
from minicnn.explain.contract import Id, Layer
from minicnn.explain.packing import Arrays
from minicnn.geometry import Shape
from minicnn.layers.inspection.summary import summary

CHAINS = (layers.Sequential, layers.Classifier)
Look = Callable[[str, Any], Any]
"""Takes the path of a layer and its result, and returns what the next layer gets."""


def path_of(name: str, child: str) -> str:
    """Return the path of a child, which is its name in a net without a name."""
    return f"{name}/{child}" if name else child


def apply(net: Any, params: Any, x: Any, rng: np.random.Generator | None, look: Look, name: str = "") -> Any:
    """Return what `net(params, x, rng)` returns, without fusion, and let `look` see the result of each layer.

    Forward it has the same bits. Only containers of exactly these types are opened: a subclass may compute otherwise.
    """

    def inside(child: str, layer: Any) -> Any:
        return apply(layer, params.get(child, {}), x, rng, look, path_of(name, child))

    if type(net) in CHAINS:
        for child, layer in net.parts():
            x = inside(child, layer)
        return x
    if type(net) is layers.Concat:
        y = ops.concatenate(*(inside(child, layer) for child, layer in net.parts()))
    elif type(net) is layers.Residual:
        # As `Residual` itself: the shortcut first, for the order of random numbers.
        around = inside("shortcut", net.shortcut) if net.shortcut else x
        y = inside("body", net.body) + around
    else:
        y = net(params, x, rng)
    return look(name or "layer", y)


@dataclasses.dataclass(frozen=True)
class Describer:
    """Describes layers, with the arrays of their parameters unless `draw` is False, and the tape's nodes by path."""

    arrays: Arrays
    nodes: dict[str, int] = dataclasses.field(default_factory=dict)
    draw: bool = True

    def chain(self, net: Any, params: Any, shape: Shape, name: str = "") -> list[Layer]:
        """Return the layers of a net in order, chains opened."""
        if type(net) not in CHAINS:
            return [self._layer(net, params, shape, name)]
        parts = net.children(shape)
        return [
            found
            for child, layer, at in parts
            for found in self.chain(layer, params.get(child, {}), at, path_of(name, child))
        ]

    def _layer(self, layer: Any, params: Any, shape: Shape, name: str) -> Layer:
        branches = self._branches(layer, params, shape, name)
        total = summary(layer, shape)
        windows = layer.windows(shape)
        lie = {"rounding": windows.rounding, "mode": windows.mode} if windows else {}
        return Layer(
            kind=kind_of(layer),
            name=name or "layer",
            call=repr(layer),
            input=list(shape),
            output=list(layer.output_shape(shape)),
            parameters=total.parameters,
            multiply_adds=total.multiply_adds,
            rows=windows.rows if windows else None,
            cols=windows.cols if windows else None,
            **lie,
            params=self._params(params, name) if branches is None else None,
            branches=branches,
            node=self.nodes.get(name or "layer"),
            options=_options(layer),
        )

    def _branches(self, layer: Any, params: Any, shape: Shape, name: str) -> list[list[Layer]] | None:
        if type(layer) not in (layers.Concat, layers.Residual):
            return None
        parts = layer.children(shape)
        found = [self.chain(part, params.get(child, {}), at, path_of(name, child)) for child, part, at in parts]
        return [*found, []] if type(layer) is layers.Residual and len(found) == 1 else found

    def _params(self, params: Any, name: str) -> dict[str, Id] | None:
        if not params or not self.draw:
            return None
        return {leaf: self.arrays.put(value, f"the parameter {name}/{leaf}") for leaf, value in trees.items(params)}


def kind_of(layer: Any) -> str:
    """Return the class name of one of this library's layers, for another one with its module before it."""
    kind = type(layer)
    own = getattr(layers, kind.__name__, None) is not kind
    return f"{kind.__module__}.{kind.__qualname__}" if own else kind.__name__


def _options(layer: Any) -> dict[str, Any]:
    fields = dataclasses.fields(layer) if dataclasses.is_dataclass(layer) else ()
    values = {field.name: getattr(layer, field.name) for field in fields}
    return {name: value for name, value in values.items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)
