"""Walking through a net: which layers it is made of, and which parameters are whose."""

from __future__ import annotations

from collections.abc import Collection

from minicnn.geometry import Shape
from minicnn.layers import Classifier, Concat, Layer, Residual, Sequential
from minicnn.layers.base import Params

CONTAINERS = (Sequential, Classifier, Concat, Residual)


def check_kinds(where: str, net: Layer, shape: Shape, known: Collection[type[Layer]], place: str = "net") -> None:
    """Raise TypeError for a layer that has no rule; a subclass of a known one may do something else."""
    if type(net) in CONTAINERS:
        for name, child, at in net.children(shape):
            check_kinds(where, child, at, known, f"{place}/{name}")
    elif type(net) not in known:
        fix = "Build it from layers of minicnn.layers, or leave it out and compute it outside the file."
        raise TypeError(f"{where}: {place} must be a layer with a rule, got {type(net).__name__}. {fix}")


def params_at(params: Params, path: str) -> Params:
    """Return the parameters of the layer at a path, {} for one without any."""
    for part in path.split("/") if path else ():
        params = params.get(part, {})
    return params
