"""Walking through a net: which layers it is made of, and which parameters are whose."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from minicnn import layers
from minicnn.geometry import Shape
from minicnn.hints import a_type
from minicnn.layers import Classifier, Concat, Layer, Residual, Sequential
from minicnn.layers.base import Params

CONTAINERS = (Sequential, Classifier, Concat, Residual)
LAYERS = frozenset(kind for kind in vars(layers).values() if isinstance(kind, type) and issubclass(kind, Layer))


def check_kinds(
    where: str,
    net: Layer,
    shape: Shape,
    known: Collection[type[Layer]],
    place: str = "net",
) -> None:
    """Raise TypeError for a layer that has no rule; a subclass of a known one may do something else."""
    if type(net) in CONTAINERS:
        for name, child, at in net.children(shape):
            check_kinds(where, child, at, known, f"{place}/{name}")
    elif type(net) not in known:
        fix = "Leave it out and compute it outside the file."
        raise TypeError(f"{where}: {place} must be a layer with a rule, got {type(net).__name__}. {fix}")


def is_chain(net: Layer) -> bool:
    """Tell whether a net is layers one after the other, without branches."""
    if isinstance(net, Sequential | Classifier):
        return all(is_chain(part) for _, part in net.parts())
    return type(net) not in CONTAINERS


def params_at(params: Params, path: str) -> Params:
    """Return the parameters of the layer at a path, {} for one without any."""
    for part in path.split("/") if path else ():
        params = params.get(part, {})
    return params


def layers_with_params(net: Layer, shape: Shape, path: str = "") -> Iterator[tuple[str, Layer, Shape]]:
    """Yield path, layer and input shape of each layer with parameters, in the order of the parameters' tree."""
    children = net.children(shape)
    for name, child, at in children:
        yield from layers_with_params(child, at, join_path(path, name))
    if not children and net.param_shapes(shape):
        yield path, net, shape


def tree_of(shapes: Mapping[str, Any], arrays: Mapping[str, np.ndarray], path: str = "") -> Params:
    """Return arrays that are named by their paths as a tree in the order of `shapes`."""
    made: Params = {}
    for name, below in shapes.items():
        at = join_path(path, name)
        made[name] = tree_of(below, arrays, at) if isinstance(below, dict) else arrays[at]
    return made


def join_path(path: str, name: str) -> str:
    """Return the path of what has this name in a container, which is "" for the net itself."""
    return f"{path}/{name}" if path else name


def check_names(where: str, names: Any, paths: list[str]) -> None:
    """Raise ValueError unless each layer with parameters has a name of its own, or none is given at all."""
    if names is None:
        return
    if not isinstance(names, Mapping) or set(names) != set(paths):
        got = list(names) if isinstance(names, Mapping) else a_type(names)
        raise ValueError(f"{where}: names must be a dict with a name for each of {paths}, got {got}.")
    if not all(isinstance(name, str) for name in names.values()) or len(set(names.values())) < len(paths):
        raise ValueError(f"{where}: names must be strings, no two of them equal, got {list(names.values())}.")
