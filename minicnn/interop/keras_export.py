"""A net as a `.keras` file."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import numpy as np

from minicnn import layers
from minicnn.files import atomic_write
from minicnn.geometry import Shape
from minicnn.hints import explained
from minicnn.interop.keras_files import CONFIG, WEIGHTS
from minicnn.interop.keras_layers import WEIGHTED, entries, keras_name
from minicnn.interop.walk import check_kinds, is_chain, layers_with_params, params_at
from minicnn.layers import Concat, Layer, check_params
from minicnn.layers.base import Params, check_net
from minicnn.ops.pad import check_pads
from minicnn.optional import need
from minicnn.validation import path as checked_path

Made: TypeAlias = tuple[str, dict[str, Any]]


@explained
def to_keras(net: Layer, params: Params, input_shape: Sequence[int], path: str | Path) -> Path:
    """Write a net to a `.keras` file, which `keras.saving.load_model` opens, and return its path.

    A chain of layers becomes a Sequential model, a net with Concat or Residual a functional one. Layers are named by
    their path, as `trunk__conv2d`. Explicit padding of a convolution becomes a ZeroPadding2D before it. The
    file is of version 3 of Keras; `from_keras` reads it, too.

    Raises
    ------
    TypeError
        A layer that Keras does not have, such as a research pooling; the message names it and its place.
    ValueError
        A layer has an argument that Keras does not have, such as ceil_mode; or parameters or input shape do not fit.
    ImportError
        The package h5py is missing: it comes with the extra `interop`.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from minicnn.interop import from_keras
    >>> from minicnn.layers import Dense
    >>> params = {"kernel": np.ones((3, 2), np.float32), "bias": np.zeros(2, np.float32)}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     from_keras(to_keras(Dense(2), params, (3,), f"{folder}/dense.keras")).net
    Sequential(layers=(Dense(units=2),))
    """
    target = checked_path("to_keras", "path", path)
    shape = check_net("to_keras", net, input_shape)
    check_kinds("to_keras", net, shape, RULES)
    check_params(net, params, shape)
    writer = _Writer(shape)
    output = net.flow(writer, "input", shape)
    model = _model(writer.nodes, output, is_chain(net))
    stored = {keras_name(name, layer): params_at(params, name) for name, layer, _ in layers_with_params(net, shape)}
    return atomic_write(target, _zipped(json.dumps(model), _weights(model, stored)))


class _Writer:
    """The flow of a layer's name through a net: each layer adds Keras's layers with the names of their inputs."""

    def __init__(self, shape: Shape) -> None:
        self.nodes: dict[str, tuple[str, dict[str, Any], list[str]]] = {}
        self._add("InputLayer", "input", {"batch_shape": [None, *shape]}, [])

    def _add(self, kind: str, name: str, config: dict[str, Any], inputs: list[str]) -> str:
        self.nodes[name] = (kind, {"name": name, **config}, inputs)
        return name

    def layer(self, name: str, layer: Layer, shape: Shape, state: str) -> str:
        *before, last = RULES[type(layer)](layer, shape) or [("Activation", {"activation": "linear"})]
        name = keras_name(name, layer)
        for kind, config in before:
            state = self._add(kind, f"{name}__padding", config, [state])
        return self._add(*_named(last, name), [state])

    def join(self, container: Layer, shape: Shape, state: str, ends: list[str]) -> str:
        kind, config = ("Concatenate", {"axis": -1}) if isinstance(container, Concat) else ("Add", {})
        return self._add(kind, f"{kind.lower()}_{len(self.nodes)}", config, ends)


def _named(made: Made, name: str) -> tuple[str, str, dict[str, Any]]:
    kind, config = made
    return kind, name, config


def _model(nodes: dict[str, tuple[str, dict[str, Any], list[str]]], output: str, chain: bool) -> dict[str, Any]:
    """Return the configuration of a Sequential or a functional model."""
    made = []
    for name in nodes if chain else _keras_order({name: inputs for name, (_, _, inputs) in nodes.items()}, output):
        kind, config, inputs = nodes[name]
        layer = {"module": "keras.layers", "class_name": kind, "config": config, "registered_name": None}
        calls = [[[source, 0, 0, {}] for source in inputs]] if inputs else []
        made.append(layer if chain else {**layer, "name": name, "inbound_nodes": calls})
    ends = {} if chain else {"input_layers": [["input", 0, 0]], "output_layers": [[output, 0, 0]]}
    return {
        "module": "keras" if chain else "keras.src.models.functional",
        "class_name": "Sequential" if chain else "Functional",
        "config": {"name": "minicnn", "layers": made, **ends},
        "registered_name": None,
    }


def _keras_order(inputs: dict[str, list[str]], output: str) -> list[str]:
    """Return the names in the order of a functional model's layers, by whose numbers Keras finds their weights.

    The longest way to the output first; equal ones as a depth-first walk from the output meets them.
    """
    depth = dict.fromkeys(inputs, 0)
    for name in reversed(inputs):
        for source in inputs[name]:
            depth[source] = max(depth[source], depth[name] + 1)
    met: dict[str, int] = {}
    ahead = [output]
    while ahead:
        name = ahead.pop()
        if name not in met:
            met[name] = len(met)
            ahead += reversed(inputs[name])
    return sorted(met, key=lambda name: (-depth[name], met[name]))


def _weights(model: dict[str, Any], stored: dict[str, Params]) -> bytes:
    """Return the HDF5 file in which each layer's weights are numbered."""
    buffer = io.BytesIO()
    with need("h5py", "interop").File(buffer, "w") as file:
        file.create_group("layers")  # also for a model without weights
        for entry in entries(model):
            for number, leaf in enumerate(entry.leaves if entry.kind in WEIGHTED else ()):
                file[f"{entry.place}/vars/{number}"] = np.asarray(stored[entry.name][leaf], np.float32)
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
