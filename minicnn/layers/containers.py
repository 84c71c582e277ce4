"""Layers made of layers: what all containers do, and those whose layers follow each other."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.geometry import Shape
from minicnn.layers import fusion
from minicnn.layers.base import Flow, Layer, Params, State, unique_names
from minicnn.layers.fitting import Visited, check_layer, check_layers, have_shapes, shape_after
from minicnn.layers.fusion import Step
from minicnn.notebook import html_table
from minicnn.validation import ShapeError


class Container(Layer):
    """Base class of containers. Each child draws its weights from its own generator, keyed by its position.

    So a child keeps its initial weights when its siblings change, and nets with the same trunk start with equal trunks.
    """

    def parts(self) -> list[tuple[str, Layer]]:
        """Return the children with their names."""
        raise TypeError(f"{type(self).__name__}: parts() must be defined by the container, got none.")

    def _visit(self, shape: Shape) -> Iterator[Visited]:
        """Yield each child with its input shape, once it is known that it fits; raise for the first that does not."""
        for name, child in self.parts():
            shape_after(child, shape, name)
            yield name, child, shape

    def children(self, shape: Shape) -> list[Visited]:
        """Return each child with its name and its input shape."""
        if shape not in self._visited:
            self._visited[shape] = list(self._visit(shape))
        return list(self._visited[shape])

    def init(self, rng: np.random.Generator, shape: Shape) -> Params:
        """Return the children's parameters by name, children without any left out."""
        children = self.children(shape)
        # With one generator for all, a child's weights would depend on how many numbers its siblings drew.
        places = zip(children, rng.spawn(len(children)), strict=True)
        made = {name: child.init(place, at) for (name, child, at), place in places}
        return {name: params for name, params in made.items() if params}

    def param_shapes(self, shape: Shape) -> dict[str, Any]:
        """Return the children's trees by name, children without parameters left out."""
        made = {name: child.param_shapes(at) for name, child, at in self.children(shape)}
        return {name: shapes for name, shapes in made.items() if shapes}

    def multiply_adds(self, shape: Shape) -> int:
        """Return the children's sum."""
        return sum(child.multiply_adds(at) for _, child, at in self.children(shape))

    def steps(self) -> tuple[Step, ...]:
        """Return each child on its own."""
        return self._one_by_one

    @functools.cached_property
    def _one_by_one(self) -> tuple[Step, ...]:
        return fusion.one_by_one(self.parts())

    @functools.cached_property
    def _visited(self) -> dict[Shape, list[Visited]]:
        return {}  # by input shape: `predict` and `evaluate` check a net in every call

    @functools.cached_property
    def _fitting(self) -> set[Shape]:
        return set()  # input shapes that were found to fit: checking them again would take as long as a small op

    def check(self, params: Params, shape: Shape) -> None:
        """Raise ShapeError, before any computation, for a child that does not fit; remember a shape that fits.

        The first child, and one whose parameters do not fit, are left to their ops: these know the number of images
        and the shapes of the parameters, and check them before they compute.
        """
        before = 0
        try:
            for name, child, at in self._visit(shape):
                if not have_shapes(params.get(name), child.param_shapes(at)):
                    return
                before += 1
            self.output_shape(shape)
        except ShapeError:
            if before:
                raise
        except (TypeError, ValueError):
            return  # an axis without elements, or a user's layer that does not know its output shape
        else:
            self._fitting.add(shape)

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows: the layers inside by their paths."""
        return html_table(("layer", "configuration"), _listed("", self))


class _Chain(Container):
    """A container whose children follow each other."""

    def _visit(self, shape: Shape) -> Iterator[Visited]:
        before: list[Visited] = []
        for name, layer in self.parts():
            # The layer itself is listed, too: the history of sizes ends with the size that it does not fit.
            before.append((name, layer, shape))
            after = shape_after(layer, shape, name, before)
            yield before[-1]
            shape = after

    def output_shape(self, shape: Shape) -> Shape:
        """Return the last layer's."""
        _, last, at = self.children(shape)[-1]
        return last.output_shape(at)

    def __call__(self, params: Params, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Apply one layer after the other, or the steps of the plan."""
        # A net is called with the same few shapes; looking one up takes less time than the checks of one layer.
        shape = x.shape[1:]
        if shape not in self._fitting:
            self.check(params, shape)
        for names, run, _ in self.steps():
            try:
                x = run(params.get(names[0], {}), x, rng)
            except ShapeError as error:
                error.place(names[0])
                raise
        return x

    def calibrate(self, params: Params, x: np.ndarray) -> tuple[Params, Any]:
        """Calibrate one layer after the other, each on the output of the calibrated ones before it."""
        params = dict(params)
        for name, layer in self.parts():
            part, x = layer.calibrate(params.get(name, {}), x)
            if part:  # a layer without parameters has no entry, as after init
                params[name] = part
        return params, x

    def flow(self, way: Flow[State], state: State, shape: Shape, name: str = "") -> State:
        """Pass the state through one layer after the other."""
        for child_name, child, at in self.children(shape):
            state = child.flow(way, state, at, joined(name, child_name))
        return state


@dataclass(frozen=True, repr=False)
class Sequential(_Chain):
    """Layers one after the other.

    Their parameters are named by kind as in Keras: conv2d, conv2d_1, dense. A convolution runs in one kernel with the
    ReLU and the max pooling that follow it: `layers.explain_execution(net)` prints what runs, and MINICNN_FUSE=0 in
    the environment makes each layer run on its own, with the same results.

    >>> from minicnn.layers import Dense, Flatten
    >>> net = Sequential([Flatten(), Dense(10)])
    >>> net.init(np.random.default_rng(0), (8, 8, 1))["dense"]["kernel"].shape
    (64, 10)
    >>> net
    Sequential(layers=(Flatten(), Dense(units=10)))
    """

    layers: Sequence[Layer]

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", check_layers("Sequential", self.layers))

    def parts(self) -> list[tuple[str, Layer]]:
        """Return the layers with their names."""
        return self._named

    @functools.cached_property
    def _named(self) -> list[tuple[str, Layer]]:
        # Cached, because names are needed in each call; the record is frozen, so they cannot change.
        layers = tuple(self.layers)
        return list(zip(unique_names(layers), layers, strict=True))

    def steps(self) -> tuple[Step, ...]:
        """Return the steps of the plan, or each layer on its own if fusion is off."""
        # The same as fusion.is_on(), without a call, because it runs in every step.
        fused = fusion.wanted() and hasattr(kernels.implementation(), "conv2d_pool")
        return self._plan if fused else self._one_by_one

    @functools.cached_property
    def _plan(self) -> tuple[Step, ...]:
        return fusion.plan(self._named)


@dataclass(frozen=True, repr=False)
class Classifier(_Chain):
    """A trunk and a head: `replace(net, head=other)` keeps the trunk's initial weights for a seed.

    Parameters are `{"trunk": ..., "head": ...}`.
    """

    trunk: Layer
    head: Layer

    def __post_init__(self) -> None:
        check_layer("Classifier", "trunk", self.trunk)
        check_layer("Classifier", "head", self.head)

    def parts(self) -> list[tuple[str, Layer]]:
        """Return trunk and head."""
        return [("trunk", self.trunk), ("head", self.head)]


def _listed(path: str, container: Container) -> Iterator[tuple[str, Layer]]:
    for name, child in container.parts():
        if isinstance(child, Container):
            yield from _listed(joined(path, name), child)
        else:
            yield joined(path, name), child


def joined(name: str, child: str) -> str:
    """Return the path of a layer in a container: "trunk/conv2d"."""
    return f"{name}/{child}" if name else child
