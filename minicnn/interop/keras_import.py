"""Nets and parameters from files that Keras wrote."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicnn.files import GIBIBYTE
from minicnn.geometry import Shape
from minicnn.hints import explained
from minicnn.interop.keras_files import KerasFile, array, opened
from minicnn.interop.keras_graph import functional
from minicnn.interop.keras_layers import WEIGHTED, Entry, check_chain, input_shape_of, keras_name, made
from minicnn.interop.walk import check_names, is_chain, join_path, layers_with_params, tree_of
from minicnn.layers import BatchNormalization, Conv2D, Layer, Sequential
from minicnn.layers.base import Params, check_net
from minicnn.layers.guards import check_shape
from minicnn.validation import integer
from minicnn.validation import path as checked_path


class Imported(NamedTuple):
    """What a file holds: the net, its parameters in float32, and the shape of its input without the batch axis."""

    net: Layer
    params: Params
    input_shape: Shape


@explained
def from_keras(
    path: str | Path,
    net: Layer | None = None,
    input_shape: Sequence[int] | None = None,
    *,
    names: Mapping[str, str] | None = None,
    max_bytes: int = GIBIBYTE,
) -> Imported:
    """Read a net and its parameters, or parameters for a given net, from a file that Keras wrote.

    A `.keras` file and a legacy `.h5` file of a whole model hold the net: a Sequential model becomes a `Sequential`
    here, an activation inside a layer a layer of its own; so does a functional model, whose Add of two branches becomes
    a `Residual` and whose Concatenate a `Concat`.
    What Keras does in training alone is left out (noise, SpatialDropout2D, regularization); Dropout is kept, and a
    SeparableConv2D becomes two convolutions, which are `name/depthwise` and `name/pointwise` in `names`.
    A `.weights.h5` file holds weights only: give the net. In a chain its layers of each kind (Conv2D, Dense,
    BatchNormalization) take the weights of those of the same kind in the file in their order. In a net with branches,
    in which Keras's order is another one, they are matched by their shapes; give `names` where shapes are equal.
    Neither Keras nor any other framework is needed.

    Parameters
    ----------
    path : path
        Of the file.
    net : Layer, optional
        The net whose parameters the file holds; its layers are compared with the file by the shapes of the weights.
    input_shape : tuple, optional
        (H, W, C) or (features,); needed where the file does not have it.
    names : dict, optional
        For the path of each layer with parameters in `net` its name in Keras, as {"body/conv2d": "conv2d_3"}.
    max_bytes : int
        The largest file, and the most parameters, that are read.

    Returns
    -------
    net, params, input_shape : Imported
        A named tuple.

    Raises
    ------
    FileFormatError
        A ValueError: the file is damaged, too large or not Keras's, has a layer without a counterpart here, or does
        not fit `net`. Nothing is allocated for what it only claims to hold, no code in it is run, and no other file
        is opened.
    ValueError, TypeError, OSError
        Other arguments do not fit, or the file cannot be opened.
    """
    source = checked_path("from_keras", "path", path)
    most = integer("from_keras", "max_bytes", max_bytes)
    shape = None if input_shape is None else check_shape("from_keras", input_shape)
    if net is not None:
        check_net("from_keras", net, ())
        if shape is not None:
            check_names("from_keras", names, [path for path, _, _ in layers_with_params(net, shape)])
    with opened(source, most) as file:
        shape = shape or _shape_in(file)
        if net is None:
            net, names = _net_in(file, shape)
        return Imported(net, _params(file, net, shape, most, names), shape)


def _shape_in(file: KerasFile) -> Shape:
    found = None if file.config is None else input_shape_of(file.config)
    if found is None:
        raise ValueError("it does not tell the input shape, give it as input_shape=(H, W, C)")
    return check_shape("from_keras", found)


def _net_in(file: KerasFile, shape: Shape) -> tuple[Sequential, Mapping[str, str] | None]:
    """Return the net of a model, and for its paths Keras's names where the order does not tell them."""
    if file.config is None:
        raise ValueError("it holds weights without a net, give the net: from_keras(path, net, input_shape)")
    if file.config["class_name"] in {"Functional", "Model"} and all("/layers/" not in e.place for e in file.layers()):
        net, order = functional(file.config, shape)
        paths = [path for path, _, _ in layers_with_params(net, shape)]
        return net, {path: entry.name for path, entry in zip(paths, order, strict=True)}
    check_chain(file.config)
    chain: list[Layer] = []
    at = shape
    for entry in file.layers():
        for layer in made(entry, at):
            chain.append(layer)
            at = layer.output_shape(at)
    return Sequential(chain), None


def _params(file: KerasFile, net: Layer, shape: Shape, most: int, names: Mapping[str, str] | None) -> Params:
    shapes = net.param_shapes(shape)
    size = 4 * sum(map(math.prod, _leaves(shapes)))
    if size > most:
        raise ValueError(f"its parameters take {size:,} bytes, and max_bytes is {most:,}")
    found = [part for entry in file.layers() for part in entry.parts()]
    wanted = list(layers_with_params(net, shape))
    check_names("from_keras", names, [path for path, _, _ in wanted])
    arrays: dict[str, np.ndarray] = {}
    for path, layer, at, entry in _matched(file, found, wanted, names, in_order=is_chain(net)):
        values = _values(file, entry, layer, layer.param_shapes(at))
        arrays |= {join_path(path, leaf): value for leaf, value in values.items()}
    return tree_of(shapes, arrays)


def _matched(
    file: KerasFile,
    found: list[Entry],
    wanted: list[tuple[str, Layer, Shape]],
    names: Mapping[str, str] | None,
    *,
    in_order: bool,
) -> Iterator[tuple[str, Layer, Shape, Entry]]:
    """Yield each layer with the one in the file whose weights it takes."""
    left = list(found)
    ours = {path: keras_name(path, layer) for path, layer, _ in wanted}
    if names is None and set(ours.values()) == {entry.name for entry in found}:
        names = ours  # written here
    for path, layer, at in wanted:
        fitting = [entry for entry in left if WEIGHTED[entry.kind] is type(layer)]
        if names is not None:
            fitting = [entry for entry in fitting if entry.name == names[path]]
        elif not in_order:
            fitting = [entry for entry in fitting if _fits(file, entry, layer, layer.param_shapes(at))]
        if not fitting:
            raise ValueError(f"it has no weights for {path or 'the layer'}, {layer!r}")
        if len(fitting) > 1 and names is None and not in_order:
            got = [entry.name for entry in fitting]
            raise ValueError(f"{path!r} must be one layer in it by its shapes, got {got}. Give names={{path: name}}")
        left.remove(fitting[0])
        yield path, layer, at, fitting[0]
    if left and names is None:
        raise ValueError(f"it has weights for {[entry.name for entry in left]}, for which the net has no layers")


def _fits(file: KerasFile, entry: Entry, layer: Layer, shapes: dict[str, Shape]) -> bool:
    there = _shapes_there(entry, layer, shapes)
    return all(there.get(leaf) == data.shape for leaf, data in file.weights(entry).items())


def _shapes_there(entry: Entry, layer: Layer, shapes: dict[str, Shape]) -> dict[str, Shape]:
    if not isinstance(layer, Conv2D) or entry.kind != "DepthwiseConv2D":
        return shapes
    # (kh, kw, channels, multiplier) there, one group for each channel here
    return {**shapes, "kernel": (*shapes["kernel"][:2], layer.groups, layer.filters // layer.groups)}


def _leaves(shapes: dict[str, Any]) -> Iterator[Shape]:
    for below in shapes.values():
        if isinstance(below, dict):
            yield from _leaves(below)
        else:
            yield below


def _values(file: KerasFile, entry: Entry, layer: Layer, shapes: dict[str, Shape]) -> dict[str, np.ndarray]:
    """Return the parameters of a layer."""
    there, datasets = _shapes_there(entry, layer, shapes), file.weights(entry)
    # Keras leaves out what scale=False and center=False fix: gamma at 1 and beta at 0.
    fixed = {"gamma": 1, "beta": 0} if isinstance(layer, BatchNormalization) else {}
    if missing := (set(shapes) ^ set(datasets)) - set(fixed):
        raise ValueError(f"{entry.name!r} and {layer!r} must have the same weights, they differ in {sorted(missing)}")
    return {
        leaf: array(datasets[leaf], there[leaf]).reshape(shape)
        if leaf in datasets
        else np.full(shape, fixed[leaf], np.float32)
        for leaf, shape in shapes.items()
    }
