"""What a layer is: a frozen record that names an op, its arguments, and the shapes of its parameters.

The repr of a layer is its configuration, equality is by value, and `dataclasses.replace` returns a changed copy. Shapes
leave out the batch axis. Parameters are kept outside, in a dict. A call with `rng` is a call in training.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import numpy as np

from minicnn.geometry import Shape, Windows
from minicnn.hints import a_type, explain_call, explained
from minicnn.layers.guards import BATCHES, RNGS, LayerType, check_batch, check_shape, no_attribute
from minicnn.validation import FLOATS, ShapeError, shown

Params = dict[str, Any]
State = TypeVar("State")


class Flow(Protocol[State]):
    """What happens to a state on its way through a net: how a layer changes it, and how parallel branches join."""

    def layer(self, name: str, layer: Layer, shape: Shape, state: State) -> State:
        """Return the state after a layer with this input shape, named by its path through the containers."""

    def join(self, container: Layer, shape: Shape, state: State, ends: list[State]) -> State:
        """Return the state after a container whose branches turned `state` into `ends`."""


def _guarded(method: Callable[..., Any]) -> Callable[..., Any]:
    """Make a layer's `__call__` check its parameters, batch and generator; it runs for each layer of a step."""
    signature = inspect.signature(method)
    if list(signature.parameters)[1:] != ["params", "x", "rng"]:
        return method

    @functools.wraps(method)
    def call(self: Any, params: Any = None, x: Any = None, rng: Any = None, *more: Any, **others: Any) -> Any:
        if type(params) is not dict or type(x) not in BATCHES or type(rng) not in RNGS or more or others:
            explain_call(type(self).__name__, signature, (self, params, x, rng, *more), others)
            check_batch(type(self).__name__, params, x, rng)
        return method(self, params, x, rng)

    return call


def checked(default: Any, check: Callable[..., Any], **limits: Any) -> Any:
    """Return a field of a layer with a check of its value, which is called like the checks in `validation`.

    >>> from minicnn.validation import number
    >>> @dataclasses.dataclass(frozen=True)
    ... class Scale(Layer):
    ...     factor: float = checked(1.0, number, above=0)
    >>> Scale(-1.0)
    Traceback (most recent call last):
    ValueError: Scale: factor must be a finite number above 0, got -1.0.
    """
    return dataclasses.field(default=default, metadata={"check": functools.partial(check, **limits)})


class Layer(metaclass=LayerType):
    """The methods of every layer, for one without parameters."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            if "check" in field.metadata:
                field.metadata["check"](type(self).__name__, field.name, getattr(self, field.name))

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if "__call__" in vars(cls):
            cls.__call__ = _guarded(vars(cls)["__call__"])  # type: ignore[method-assign]

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the result for an input of this shape; raise ShapeError if the input does not fit."""
        raise TypeError(f"{type(self).__name__}: output_shape must be defined by the layer, got none.")

    def init(self, rng: np.random.Generator, shape: Shape) -> Params:
        """Return initial parameters for an input of this shape."""
        self.output_shape(shape)
        return {}

    def param_shapes(self, shape: Shape) -> dict[str, Any]:
        """Return the tree of the parameters' shapes for an input of this shape."""
        return {}

    @_guarded
    def __call__(self, params: Params, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Return the result for a batch; `rng` means training."""
        raise TypeError(f"{type(self).__name__}: __call__ must be defined by the layer, got none.")

    def calibrate(self, params: Params, x: np.ndarray) -> tuple[Params, Any]:
        """Return the parameters with population statistics from this batch, and the result for it."""
        return params, self(params, x)

    def children(self, shape: Shape) -> list[tuple[str, Layer, Shape]]:
        """Return the layers inside a container with their names and input shapes."""
        return []

    def multiply_adds(self, shape: Shape) -> int:
        """Return the multiplications of a forward pass for one image, biases and pooling not counted."""
        return 0

    def windows(self, shape: Shape) -> Windows | None:
        """Return how windows lie on the input, None for a layer that works point by point."""
        return None

    def steps(self) -> tuple[Any, ...]:
        """Return how a container runs its layers, as values of `fusion.Step`."""
        return ()

    def flow(self, way: Flow[State], state: State, shape: Shape, name: str = "") -> State:
        """Pass a state, such as the receptive field so far, through this layer; a container passes it on."""
        return way.layer(name, self, shape, state)

    if not TYPE_CHECKING:  # for which a layer has the attributes that it declares

        def __getattr__(self, name: str) -> Any:
            """Raise AttributeError, with what does the same here as a method of other frameworks."""
            raise no_attribute(self, name)

    def __repr__(self) -> str:
        """Return the call that makes this layer, defaults left out."""
        # Defaults are left out, so that the repr of a net fits on a line and new fields do not change it.
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        shown = [f"{f.name}={getattr(self, f.name)!r}" for f in fields if getattr(self, f.name) != f.default]
        return f"{type(self).__name__}({', '.join(shown)})"


class _NamedOp(Layer):
    """Base class of layers that apply one op, which the class statement names: `class ReLU(OpLayer, op=ops.relu)`."""

    op: ClassVar[Callable[..., Any]]

    def __init_subclass__(cls, op: Callable[..., Any] | None = None, **more: Any) -> None:
        super().__init_subclass__(**more)
        if op is not None:
            # A static method, because Python would pass the layer to a plain function as its first argument.
            cls.op = staticmethod(op)


class OpLayer(_NamedOp):
    """A layer that is one op without parameters: its fields are the op's keywords."""

    def output_shape(self, shape: Shape) -> Shape:
        """Ask the op's shape rule."""
        # The rule takes a whole batch; one image stands for any number of them.
        rule: Callable[..., Shape] = self.op.shape  # type: ignore[attr-defined]
        return rule((1, *shape), **vars(self))[1:]

    def __call__(self, params: Params, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Apply the op."""
        return self.op(x, **vars(self))


class WeightedLayer(_NamedOp):
    """A layer that is one op of its input, a kernel and, unless `use_bias` is False, a bias."""

    use_bias: bool

    # Computed once: a layer is frozen, and every training step needs them.
    @functools.cached_property
    def options(self) -> dict[str, Any]:
        """The keywords of the op."""
        return {}

    def __call__(self, params: Params, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Apply the op."""
        return self.op(x, *self.weights(params), **self.options)

    def weights(self, params: Params) -> tuple[Any, Any]:
        """Return kernel and bias, None for a layer without bias, or say which one is missing."""
        # A leftover bias in params is not an error here: `check_params` reports it once, before training.
        bias = leaf(self, params, "bias") if self.use_bias else None
        return leaf(self, params, "kernel"), bias


def leaf(layer: Layer, params: Any, name: str) -> Any:
    """Return one parameter, or say that it is missing."""
    if isinstance(params, dict) and name in params:
        return params[name]
    raise _missing(layer, params, name)


def _missing(layer: Layer, params: Any, name: str) -> ShapeError:
    got = list(params) if isinstance(params, dict) else a_type(params)
    fix = "Make them with net.init(rng, input_shape)."
    return ShapeError(snake_case(type(layer).__name__), f"params must contain {name!r}, got {got}", fix)


@explained
def check_params(layer: Layer, params: Any, shape: Shape) -> None:
    """Raise unless `params` has every leaf of the layer, in its shape, as floats.

    Raises
    ------
    ValueError, TypeError
        With the path of the first leaf that is missing, too many or misshapen.
    """
    shape = check_net("check_params", layer, shape)
    _check_tree("params", layer.param_shapes(shape), params)


def _check_tree(path: str, shapes: Any, params: Any) -> None:
    if isinstance(shapes, dict):
        if not isinstance(params, dict):
            raise TypeError(f"{path} must be a dict with {list(shapes)}, got {a_type(params)}.")
        if set(shapes) != set(params):
            raise ValueError(
                f"{path} must contain {list(shapes)}, got {list(params)}. Make them with net.init(rng, input_shape)."
            )
        for name, below in shapes.items():
            _check_tree(f"{path}/{name}", below, params[name])
    elif not isinstance(params, np.ndarray) or params.dtype not in FLOATS:
        kind = f"dtype {params.dtype}" if isinstance(params, np.ndarray) else a_type(params)
        raise TypeError(f"{path} must be a float32 array of shape {shapes}, got {kind}.")
    elif params.shape != shapes:
        raise ValueError(f"{path} must have shape {shapes}, which fits the layer and its input, got {params.shape}.")


def check_net(where: str, net: Any, shape: Any) -> Shape:
    """Return the input shape as a tuple, or raise TypeError or ValueError unless it is one, and `net` a layer."""
    if not isinstance(net, Layer):
        fix = "Use a layer such as Sequential([...]), with its parentheses."
        raise TypeError(f"{where}: net must be a layer, got {shown(net)}. {fix}")
    return check_shape(where, shape)


def snake_case(name: str) -> str:
    """Return a class name as Keras names layers.

    >>> [snake_case(n) for n in ("Conv2D", "GlobalMaxPooling2D", "ReLU", "GeMPooling2D")]
    ['conv2d', 'global_max_pooling2d', 'relu', 'gem_pooling2d']
    """
    # A capital starts a word if a small letter follows it: the D of 2D and the LU of ReLU do not.
    words = re.sub(r"(?<=[a-zA-Z])(?=[A-Z][a-z])", "_", name)
    return words.lower()


def unique_names(layers: tuple[Layer, ...]) -> list[str]:
    """Name layers by their kind, the second of a kind with _1."""
    names: list[str] = []
    seen: dict[str, int] = {}
    for layer in layers:
        kind = snake_case(type(layer).__name__)
        count = seen.get(kind, 0)
        names.append(f"{kind}_{count}" if count else kind)
        seen[kind] = count + 1
    return names
