"""What a layer checks before its own methods run: arguments of constructors, input shapes, parameters, generators.

The metaclass does it, so that layers that users write have these checks, too, and no layer repeats them.
"""

from __future__ import annotations

import functools
import inspect
from abc import ABCMeta
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.autograd import Tensor
from minicnn.hints import a_type, explain_call
from minicnn.validation import LARGEST, generator, integer, shown

INSTEAD = {
    "add": "Make a new net: Sequential([*net.layers, layer]).",
    "append": "Make a new net: Sequential([*net.layers, layer]).",
    "build": "Use params = net.init(rng, input_shape).",
    "compile": "Give the optimizer to train.fit(net, split, optimizer=optim.Adam(1e-3), epochs=...).",
    "count_params": "Use layers.summary(net, input_shape).parameters.",
    "eval": "A call without rng, net(params, x), is an evaluation.",
    "evaluate": "Use train.evaluate(net, params, split).",
    "fit": "Use train.fit(net, split, optimizer=optim.Adam(1e-3), epochs=...).",
    "forward": "Use net(params, x).",
    "get_weights": "Parameters are a value of their own: params = net.init(rng, input_shape).",
    "load_state_dict": "Use params = train.load(path).",
    "load_weights": "Use params = train.load(path).",
    "parameters": "Parameters are a value of their own: params = net.init(rng, input_shape).",
    "predict": "Use train.predict(net, params, images).",
    "save": "Use train.save(path, params).",
    "save_weights": "Use train.save(path, params).",
    "state_dict": "Parameters are a value of their own; use train.save(path, params).",
    "summary": "Use layers.summary(net, input_shape).",
    "train": "A call with rng, net(params, x, rng=rng), is one of training.",
    "trainable_weights": "Parameters are a value of their own: params = net.init(rng, input_shape).",
    "weights": "Parameters are a value of their own: params = net.init(rng, input_shape).",
    "zero_grad": "Gradients are values that value_and_grad returns; nothing needs zeroing.",
}
"""Methods that models of other frameworks have, and what does the same here."""


class LayerType(ABCMeta):
    """The class of layer classes. `inspect.signature` of a layer shows its constructor, as for any class."""

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **more: Any) -> None:
        super().__init__(name, bases, namespace, **more)
        for method, guard in _GUARDS.items():
            if method in namespace:
                setattr(cls, method, guard(namespace[method]))

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """Construct a layer; NumPy scalars and arrays without axes among its fields become Python numbers."""
        try:
            layer = super().__call__(*args, **kwargs)
        except TypeError:
            explain_call(cls.__name__, cls.__signature__, args, kwargs)
            raise
        for name, value in getattr(layer, "__dict__", {}).items():
            if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
                object.__setattr__(layer, name, value.item())
        return layer

    @property
    def __signature__(cls) -> inspect.Signature:
        return inspect.signature(functools.partial(cls.__init__, None))  # type: ignore[misc]


def no_attribute(layer: Any, name: str) -> AttributeError:
    """Return the error for an attribute that a layer does not have."""
    instead = INSTEAD.get(name, "")
    return AttributeError(f"{type(layer).__name__!r} object has no attribute {name!r}. {instead}".strip(), name=name)


def check_shape(where: str, shape: Any) -> tuple[int, ...]:
    """Return an input shape, without the batch axis, as a tuple of ints, or raise."""
    if not isinstance(shape, list | tuple):
        raise TypeError(f"{where}: the input shape must be a tuple such as (H, W, C), got {shown(shape)}.")
    if type(shape) is tuple and all(type(n) is int and 0 < n <= LARGEST for n in shape):
        return shape  # nearly always: the checks one by one take a sixth of preparing a small net
    return tuple(integer(where, "the input shape", n, shape, most=LARGEST) for n in shape)


def _shaped(method: Callable[..., Any]) -> Callable[..., Any]:
    """Guard a method of an input shape."""

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        where = f"{type(self).__name__}.{method.__name__}"
        bound = _bound(where, method, args, kwargs)
        if "rng" in bound:
            generator(where, bound["rng"])
        # a layer of a user's may call its parameter otherwise: the shape is the last of them
        shape = "shape" if "shape" in bound else next(reversed(bound))
        bound[shape] = check_shape(where, bound[shape])
        return method(self, **bound)

    return call


BATCHES = (np.ndarray, Tensor)
RNGS = (type(None), np.random.Generator)


def check_batch(where: str, params: Any, x: Any, rng: Any) -> None:
    """Raise TypeError for anything but a dict, a batch and a generator."""
    fix = "Call net(params, x), with params = net.init(rng, input_shape)."
    if not isinstance(params, dict):
        raise TypeError(f"{where}: params must be a dict, got {a_type(params)}. {fix}")
    if not isinstance(x, BATCHES):
        fix = "Convert it with np.asarray(x, np.float32)." if x is not None else fix
        raise TypeError(f"{where}: x must be a float32 or float64 array or a Tensor, got {a_type(x)}. {fix}")
    if rng is not None:
        generator(where, rng)


def _calibrated(method: Callable[..., Any]) -> Callable[..., Any]:
    """Guard `calibrate`, which takes plain arrays."""

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        where = f"{type(self).__name__}.calibrate"
        given = _bound(where, method, args, kwargs)
        check_batch(where, given["params"], given["x"], None)
        if isinstance(given["x"], Tensor):
            raise TypeError(f"{where}: x must be a float32 or float64 array, got a Tensor. Use x.data.")
        return method(self, **given)

    return call


def _bound(where: str, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    signature, names, least = _signature(method)
    if not kwargs and least <= len(args) <= len(names):  # nearly always: `bind` takes longer than most methods
        return dict(zip(names, args, strict=False))
    return dict(explain_call(where, signature, args, kwargs).arguments)


@functools.cache
def _signature(method: Any) -> tuple[inspect.Signature, list[str], int]:
    """Return the signature without `self`, the names that can be given by place, and how many of them must be given."""
    signature = inspect.signature(functools.partial(method, None))
    parameters = list(signature.parameters.values())
    plain = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    least = sum(p.default is p.empty for p in plain) if len(plain) == len(parameters) else len(parameters) + 1
    return signature, [p.name for p in plain], least


_GUARDS = {
    "calibrate": _calibrated,
    **dict.fromkeys(("init", "output_shape", "param_shapes", "children", "multiply_adds", "windows"), _shaped),
}
