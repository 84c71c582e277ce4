"""A chain of layers as a `.keras` file."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import numpy as np

from minicnn import layers
from minicnn.files import atomic_write
from minicnn.geometry import Shape
from minicnn.hints import explained
from minicnn.interop.keras_files import CONFIG, WEIGHTS
from minicnn.interop.keras_layers import Entry, entries
from minicnn.interop.walk import check_kinds, join_path, params_at
from minicnn.layers import Classifier, Layer, Sequential, check_params
from minicnn.layers.base import Params, check_net, snake_case
from minicnn.ops.pad import check_pads
from minicnn.optional import need
from minicnn.validation import path as checked_path

Made: TypeAlias = tuple[str, dict[str, Any]]


@explained
def to_keras(net: Layer, params: Params, input_shape: Sequence[int], path: str | Path) -> Path:
    """Write a chain of layers to a `.keras` file, which `keras.saving.load_model` opens, and return its path.

    The layers become those of one Sequential model. Explicit padding of a convolution becomes a ZeroPadding2D.
    The file is of version 3 of Keras; `from_keras` reads it, too.

    Raises
    ------
    TypeError
        A layer that Keras does not have, such as a research pooling or a Residual; the message names it and its place.
    ValueError
        A layer has an argument that Keras does not have, such as ceil_mode; or parameters or input shape do not fit.
    ImportError
        The package h5py is missing: it comes with the extra `interop`.
    """
    target = checked_path("to_keras", "path", path)
    shape = check_net("to_keras", net, input_shape)
    check_kinds("to_keras", net, shape, RULES, containers=(Sequential, Classifier))
    check_params(net, params, shape)
    model: dict[str, Any] = {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "minicnn", "layers": [_layer("InputLayer", "input", {"batch_shape": [None, *shape]})]},
        "registered_name": None,
    }
    stored: list[Params] = []
    for name, layer, at in _chain(net, shape):
        for kind, config in RULES[type(layer)](layer, at):
            made = model["config"]["layers"]
            made.append(_layer(kind, f"{snake_case(kind)}_{len(made)}", config))
        if layer.param_shapes(at):
            stored.append(params_at(params, name))
    weights = _weights([e for e in entries(model) if e.kind in {"Conv2D", "Dense", "BatchNormalization"}], stored)
    return atomic_write(target, _zipped(json.dumps(model), weights))


def _layer(kind: str, name: str, config: dict[str, Any]) -> dict[str, Any]:
    return {
        "module": "keras.layers",
        "class_name": kind,
        "config": {"name": name, **config},
        "registered_name": None,
    }


def _chain(net: Layer, shape: Shape, path: str = "") -> Iterator[tuple[str, Layer, Shape]]:
    children = net.children(shape)
    for name, child, at in children:
        yield from _chain(child, at, join_path(path, name))
    if not children:
        yield path, net, shape


def _weights(found: list[Entry], stored: list[Params]) -> bytes:
    """Return the HDF5 file in which each layer's weights are numbered."""
    buffer = io.BytesIO()
    with need("h5py", "interop").File(buffer, "w") as file:
        file.create_group("layers")  # also for a model without weights
        for entry, params in zip(found, stored, strict=True):
            for number, leaf in enumerate(entry.leaves):
                file[f"{entry.place}/vars/{number}"] = np.asarray(params[leaf], np.float32)
    return buffer.getvalue()


def _zipped(config: str, weights: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in (
            ("metadata.json", json.dumps({"keras_version": "3.0.0"})),
            (CONFIG, config),
            (WEIGHTS, weights),
        ):
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


# What each layer is in Keras.


def _refuse(layer: Layer, what: str, fix: str) -> NoReturn:
    raise ValueError(f"to_keras: net must use arguments that Keras has, got {what} in {layer!r}. {fix}")


def _convolution(layer: Any, shape: Shape) -> list[Made]:
    if layer.padding_mode != "constant":
        _refuse(layer, f"padding_mode={layer.padding_mode!r}", "Pad with zeros.")
    w = layer.windows(shape)
    if max(w.strides) > 1 and max(w.dilation) > 1:
        _refuse(layer, "strides and dilation_rate together", "Use one of them.")
    config = {
        "filters": layer.filters,
        "kernel_size": [w.rows.k, w.cols.k],
        "strides": w.strides,
        "dilation_rate": w.dilation,
        "groups": layer.groups,
        "use_bias": layer.use_bias,
    }
    if isinstance(layer.padding, str):
        return [("Conv2D", {**config, "padding": layer.padding})]
    return [*_zeros(w.pads), ("Conv2D", {**config, "padding": "valid"})]


def _zeros(pads: Any) -> list[Made]:
    return [("ZeroPadding2D", {"padding": pads})] if any(map(any, pads)) else []


def _pooling(kind: str) -> Callable[[Any, Shape], list[Made]]:
    def rule(layer: Any, shape: Shape) -> list[Made]:
        w = layer.windows(shape)
        padded = any(map(any, w.pads))
        if max(w.dilation) > 1:
            _refuse(layer, f"dilation_rate={layer.dilation_rate}", "Use 1.")
        if padded and layer.padding != "same":
            _refuse(layer, "padding or ceil_mode with a window beyond the image", "Use padding='same' or 'valid'.")
        if padded and getattr(layer, "count_include_pad", False):
            _refuse(layer, "count_include_pad=True", "Put ZeroPadding2D before it.")
        return [
            (
                kind,
                {
                    "pool_size": [w.rows.k, w.cols.k],
                    "strides": w.strides,
                    "padding": "same" if layer.padding == "same" else "valid",
                },
            )
        ]

    return rule


def _gelu(layer: Any, shape: Shape) -> list[Made]:
    if layer.approximate:
        _refuse(layer, "approximate=True", "Use GELU().")
    return [("Activation", {"activation": "gelu"})]


def _padding(layer: Any, shape: Shape) -> list[Made]:
    if (mode := getattr(layer, "mode", "constant")) != "constant":
        _refuse(layer, f"mode={mode!r}", "Pad with zeros.")
    return _zeros(check_pads("to_keras", "padding", layer.padding))


def _plain(kind: str, *names: str) -> Callable[[Any, Shape], list[Made]]:
    """Return the rule of a layer whose arguments have the same names in Keras."""
    return lambda layer, shape: [(kind, {name: getattr(layer, name) for name in names})]


def _activation(name: str) -> Callable[[Any, Shape], list[Made]]:
    return lambda layer, shape: [("Activation", {"activation": name})]


RULES: dict[type[Layer], Callable[[Any, Shape], list[Made]]] = {
    layers.AdaptiveAveragePooling2D: _plain("AdaptiveAveragePooling2D", "output_size"),
    layers.AdaptiveMaxPooling2D: _plain("AdaptiveMaxPooling2D", "output_size"),
    layers.AveragePooling2D: _pooling("AveragePooling2D"),
    layers.BatchNormalization: _plain("BatchNormalization", "epsilon"),
    layers.Conv2D: _convolution,
    layers.Cropping2D: lambda layer, shape: [
        ("Cropping2D", {"cropping": check_pads("to_keras", "cropping", layer.cropping)})
    ],
    layers.Dense: _plain("Dense", "units", "use_bias"),
    layers.Dropout: _plain("Dropout", "rate"),
    layers.ELU: _plain("ELU", "alpha"),
    layers.Flatten: _plain("Flatten"),
    layers.GELU: _gelu,
    layers.GlobalAveragePooling2D: _plain("GlobalAveragePooling2D", "keepdims"),
    layers.GlobalMaxPooling2D: _plain("GlobalMaxPooling2D", "keepdims"),
    layers.LeakyReLU: _plain("LeakyReLU", "negative_slope"),
    layers.MaxPooling2D: _pooling("MaxPooling2D"),
    layers.Padding2D: _padding,
    layers.ReLU: _plain("ReLU"),
    layers.Sigmoid: _activation("sigmoid"),
    layers.Softmax: _plain("Softmax"),
    layers.Softplus: _activation("softplus"),
    layers.Tanh: _activation("tanh"),
    layers.ZeroPadding2D: _padding,
}
