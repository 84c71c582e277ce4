"""Keras's layers by their names and configurations, and which of ours do the same.

A configuration is what a file claims: only classes and activations of these tables are made from it, never code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from minicnn import layers
from minicnn.geometry import Shape
from minicnn.layers import Layer
from minicnn.layers.base import snake_case

Config: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """A layer of a Keras model: class, name, configuration, and the place of its weights in `.weights.h5`."""

    kind: str
    name: str
    config: Config
    place: str
    whole: Entry | None = None
    """The layer of which this one is a part."""

    @property
    def leaves(self) -> tuple[str, ...]:
        """Return the names of its weights in the order in which Keras stores them."""
        if self.kind == "BatchNormalization":
            both = (("gamma", "scale"), ("beta", "center"))
            return (*(leaf for leaf, key in both if self.config.get(key, True)), "moving_mean", "moving_variance")
        kernels = ("kernel", "pointwise_kernel") if self.kind == SEPARABLE else ("kernel",)
        return (*kernels, "bias") if self.config.get("use_bias", True) else kernels

    def parts(self) -> Iterator[Entry]:
        """Yield the layers with weights that it is made of: itself, or the two convolutions of a separable one."""
        if self.kind == SEPARABLE:
            yield Entry("DepthwiseConv2D", f"{self.name}/depthwise", {"use_bias": False}, self.place, self)
            yield Entry("Conv2D", f"{self.name}/pointwise", self.config, self.place, self)
        elif self.kind in WEIGHTED:
            yield self


SEPARABLE = "SeparableConv2D"
WEIGHTED = {
    "Conv2D": layers.Conv2D,
    "DepthwiseConv2D": layers.Conv2D,
    "Dense": layers.Dense,
    "BatchNormalization": layers.BatchNormalization,
}
"""Keras's layers with weights, and the layer here that has them."""


def keras_name(path: str, layer: Layer) -> str:
    """Return the name of a layer in the files written here: Keras allows neither slash nor dot in it."""
    return path.replace("/", "__") or snake_case(type(layer).__name__)


def entries(model: Config, place: str = "layers") -> Iterator[Entry]:
    """Yield the layers of a model in its order, those of models inside it in their place."""
    counts: dict[str, int] = {}
    for layer in model["config"]["layers"]:
        kind = str(layer["class_name"])
        if layer.get("registered_name") not in {None, kind} or not layer.get("module", "keras").startswith("keras"):
            raise ValueError(f"the layers must be Keras's own, got {layer.get('registered_name') or layer['module']}")
        # As Keras names weights: by class, the second of a class with _1, whatever the layer itself is called.
        snake = snake_case(kind)
        number = counts[snake] = counts.get(snake, -1) + 1
        at = f"{place}/{snake}_{number}" if number else f"{place}/{snake}"
        if kind in {"Sequential", "Functional", "Model"}:
            yield from entries(layer, f"{at}/layers")
        else:
            yield Entry(kind, str(layer["config"]["name"]), layer["config"], at)


def input_shape_of(model: Config) -> Shape | None:
    """Return the input shape without the batch axis, None where the model leaves a size open."""
    first = next(entries(model)).config
    shape = first.get("batch_shape") or first.get("batch_input_shape") or model["config"].get("build_input_shape")
    return None if shape is None or None in shape[1:] else tuple(shape[1:])


def check_chain(model: Config) -> None:
    """Raise ValueError unless each layer of a model takes the result of the one before it."""
    before = None
    for layer in model["config"]["layers"]:
        name = layer["config"]["name"]
        if layer["class_name"] in {"Sequential", "Functional", "Model"}:
            check_chain(layer)
        if "inbound_nodes" in layer:
            _check_sources(name, list(sources(layer["inbound_nodes"])), before)
        before = name
    if "output_layers" in model["config"]:
        _check_sources("the output", list(sources(model["config"]["output_layers"])), before)


def _check_sources(name: str, sources: list[str], before: str | None) -> None:
    if sources != ([] if before is None else [before]):
        fix = "Build the net here with Concat and Residual and give it as net"
        raise ValueError(f"the layers must form a chain, got {name!r} behind {sources}. {fix}")


def sources(node: Any) -> Iterator[str]:
    """Yield the names of the layers whose results a layer takes, in the form of Keras 3 or of Keras 2."""
    if isinstance(node, Mapping):
        history = node.get("config", {}).get("keras_history") if "class_name" in node else None
        if history:
            yield str(history[0])
        else:
            for below in node.values():
                yield from sources(below)
    elif isinstance(node, list):
        if len(node) in {3, 4} and isinstance(node[0], str) and isinstance(node[1], int):
            yield node[0]
        else:
            for below in node:
                yield from sources(below)


def made(entry: Entry, shape: Shape) -> list[Layer]:
    """Return the layers here that do what one of Keras does to an input of this shape.

    Raises
    ------
    ValueError, TypeError, KeyError
        There is none, or the configuration is damaged.
    """
    kind, config = entry.kind, entry.config
    if kind not in {*MAKERS, SEPARABLE}:
        fix = REMEDIES.get(kind, "Leave it out, or build a net without it here and give it as net")
        raise ValueError(f"the layer {entry.name!r} must be one that has a counterpart here, got {kind}. {fix}")
    if config.get("data_format", "channels_last") != "channels_last":
        raise ValueError(f"the layer {entry.name!r} must have data_format='channels_last', got channels_first")
    found = _separable(config, shape) if kind == SEPARABLE else [MAKERS[kind](config, shape)]
    activated = kind in {*WEIGHTED, SEPARABLE, "Activation"}
    after = _activation(config.get("activation", "linear")) if activated else None
    return [one for one in (*found, after) if one is not None]


def _pairs(value: Any) -> Any:
    return tuple(map(_pairs, value)) if isinstance(value, list) else value


def _size(value: Any) -> Any:
    """Return a size as it is usually written: 3 for [3, 3]."""
    return value[0] if isinstance(value, list) and len(value) == 2 and value[0] == value[1] else _pairs(value)


def _window(config: Config) -> dict[str, Any]:
    size, strides = _size(config["pool_size"]), _size(config["strides"])
    return {"pool_size": size, "strides": None if strides == size else strides, "padding": config["padding"]}


def _conv2d(config: Config, shape: Shape) -> Layer:
    how = {name: _size(config[name]) for name in ("kernel_size", "strides", "dilation_rate", "padding")}
    return layers.Conv2D(config["filters"], groups=config.get("groups", 1), use_bias=config["use_bias"], **how)


def _depthwise(config: Config, shape: Shape) -> Layer:
    channels = shape[-1]
    return _conv2d({**config, "filters": channels * config["depth_multiplier"], "groups": channels}, shape)


def _separable(config: Config, shape: Shape) -> list[Layer]:
    return [
        _depthwise({**config, "use_bias": False}, shape),
        layers.Conv2D(config["filters"], 1, use_bias=config["use_bias"]),
    ]


def _batch_normalization(config: Config, shape: Shape) -> Layer:
    axis = config.get("axis", -1)
    if (axis[0] if isinstance(axis, list) and len(axis) == 1 else axis) not in {-1, len(shape)}:
        raise ValueError(f"axis of a BatchNormalization must be that of the channels, got {axis}")
    return layers.BatchNormalization(config["epsilon"])


def _relu(config: Config, shape: Shape) -> Layer:
    if config.get("max_value") is not None or config.get("threshold", 0):
        raise ValueError(f"a ReLU must have neither max_value nor threshold, got {dict(config)}")
    slope = config.get("negative_slope", 0)
    return layers.LeakyReLU(slope) if slope else layers.ReLU()


def _reshape(config: Config, shape: Shape) -> Layer:
    if len(config["target_shape"]) != 1:
        raise ValueError(f"target_shape of a Reshape must be flat, got {config['target_shape']}. Use Flatten")
    return layers.Flatten()


def _softmax(config: Config, shape: Shape) -> Layer:
    if config.get("axis", -1) not in {-1, len(shape)}:
        raise ValueError(f"axis of a Softmax must be the last one, got {config['axis']}")
    return layers.Softmax()


Maker: TypeAlias = Callable[[Config, Shape], Layer | None]


def _global(kind: Callable[..., Layer]) -> Maker:
    return lambda config, shape: kind(keepdims=config.get("keepdims", False))


def _nothing(config: Config, shape: Shape) -> None:
    """What a layer does in inference that only changes what is trained on."""


REMEDIES = {
    "Lambda": "Code from a file is not run. Build the net here without it and give it as net",
    "Normalization": "Scale the images before the net, and leave it out",
    "Rescaling": "Scale the images before the net, and leave it out",
    "Resizing": "Resize the images before the net, and leave it out",
}
MAKERS: dict[str, Maker] = {
    "Activation": _nothing,
    "ActivityRegularization": _nothing,
    "AdaptiveAveragePooling2D": lambda config, shape: layers.AdaptiveAveragePooling2D(_size(config["output_size"])),
    "AdaptiveMaxPooling2D": lambda config, shape: layers.AdaptiveMaxPooling2D(_size(config["output_size"])),
    "AlphaDropout": _nothing,
    "AveragePooling2D": lambda config, shape: layers.AveragePooling2D(**_window(config)),
    "BatchNormalization": _batch_normalization,
    "Conv2D": _conv2d,
    "Cropping2D": lambda config, shape: layers.Cropping2D(_pairs(config["cropping"])),
    "Dense": lambda config, shape: layers.Dense(config["units"], config["use_bias"]),
    "DepthwiseConv2D": _depthwise,
    "Dropout": lambda config, shape: layers.Dropout(config["rate"]),
    "ELU": lambda config, shape: layers.ELU(config.get("alpha", 1.0)),
    "Flatten": lambda config, shape: layers.Flatten(),
    "GaussianDropout": _nothing,
    "GaussianNoise": _nothing,
    "GlobalAveragePooling2D": _global(layers.GlobalAveragePooling2D),
    "GlobalMaxPooling2D": _global(layers.GlobalMaxPooling2D),
    "Identity": _nothing,
    "InputLayer": _nothing,
    # Keras 2 called the slope alpha.
    "LeakyReLU": lambda config, shape: layers.LeakyReLU(config.get("negative_slope", config.get("alpha", 0.3))),
    "MaxPooling2D": lambda config, shape: layers.MaxPooling2D(**_window(config)),
    "ReLU": _relu,
    "Reshape": _reshape,
    "Softmax": _softmax,
    "SpatialDropout2D": _nothing,
    "ZeroPadding2D": lambda config, shape: layers.ZeroPadding2D(_pairs(config["padding"])),
}

ACTIVATIONS: dict[str, Layer | None] = {
    "elu": layers.ELU(),
    "gelu": layers.GELU(),
    "leaky_relu": layers.LeakyReLU(0.2),  # Keras's default for the function; that for the layer is 0.3
    "linear": None,
    "relu": layers.ReLU(),
    "sigmoid": layers.Sigmoid(),
    "softmax": layers.Softmax(),
    "softplus": layers.Softplus(),
    "tanh": layers.Tanh(),
}


def _activation(value: Any) -> Layer | None:
    if isinstance(value, Mapping) and value.get("class_name") in {"ELU", "LeakyReLU", "ReLU", "Softmax"}:
        return MAKERS[value["class_name"]](value["config"], ())
    if not isinstance(value, str) or value not in ACTIVATIONS:
        raise ValueError(f"an activation must be one of {', '.join(ACTIVATIONS)}, got {value!r:.60}")
    return ACTIVATIONS[value]
