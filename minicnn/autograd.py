"""The engine: a Tensor remembers how it was made, and gradients flow back along those memories.

An op returns its result and one VJP (vector-Jacobian product: gradient of the result -> gradient of one argument)
per array argument. `value_and_grad` is the face for work, `Tensor.backward` the face for teaching; both walk the
same graph with the same loop. On plain arrays an op returns a plain array and nothing is recorded.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeAlias

import numpy as np

from minicnn import tree
from minicnn.errors import ShapeError
from minicnn.kernels.arrays import disjoint, promote

Array: TypeAlias = Any
"""An array argument of an op: inside the op an ndarray; for its caller an ndarray, a Tensor or a number."""

VJP: TypeAlias = Callable[[np.ndarray], Any] | None
P = ParamSpec("P")
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


@functools.cache
def _op(name: str) -> Any:
    """Find an op for an operator of Tensor; the ops live a floor above and come when the first is asked for."""
    return getattr(importlib.import_module("minicnn.ops"), name)


def _binary(name: str) -> tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]:
    def forward(self: Any, other: Any) -> Any:
        return _op(name)(self, other)

    def reflected(self: Any, other: Any) -> Any:
        return _op(name)(other, self)

    return forward, reflected


class Tensor:
    """An array with a memory: `edges` are the tensors it was made from, each with its VJP.

    Parameters
    ----------
    data : array_like of float32 or float64
        Kept as it is, not copied. Integers are refused: they have no gradient.

    Attributes
    ----------
    grad : ndarray or None
        Set by `backward`, same shape as `data`.

    Examples
    --------
    >>> x = Tensor([1.0, 2.0, 3.0])
    >>> (x * x).sum().backward()
    >>> x.grad
    array([2., 4., 6.])
    """

    __slots__ = ("data", "edges", "grad")
    __array_ufunc__ = None  # so that `array * tensor` asks the Tensor

    def __init__(self, data: Any, edges: tuple[tuple[Tensor, Callable[..., Any]], ...] = ()) -> None:
        self.data: np.ndarray = _float_array("Tensor", "data", np.asarray(data))
        self.edges = edges
        self.grad: np.ndarray | None = None

    def backward(self) -> None:
        """Set `.grad`, an array of its own, on every tensor that this scalar was made from; twice is harmless."""
        for tensor, g in disjoint(_walk(self)):
            tensor.grad = g

    shape = property(lambda self: self.data.shape)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)
    dtype = property(lambda self: self.data.dtype)
    T = property(lambda self: self.transpose())

    def __repr__(self) -> str:
        made = "" if not self.edges else f", made from {len(self.edges)}"
        return f"Tensor({np.array2string(self.data, separator=', ', threshold=20)}{made})"

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("NumPy functions do not know a Tensor. Use minicnn.ops, or .data where no gradient is wanted.")

    def __float__(self) -> float:
        return float(self.data)

    def __bool__(self) -> bool:
        return bool(self.data)

    __add__, __radd__ = _binary("add")
    __sub__, __rsub__ = _binary("subtract")
    __mul__, __rmul__ = _binary("multiply")
    __truediv__, __rtruediv__ = _binary("divide")
    __pow__, __rpow__ = _binary("power")
    __matmul__, __rmatmul__ = _binary("matmul")

    def __neg__(self) -> Any:
        return _op("negate")(self)

    def __abs__(self) -> Any:
        return _op("abs")(self)

    def __getitem__(self, index: Any) -> Any:
        return _op("getitem")(self, index)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Return `ops.sum` of this tensor."""
        return _op("sum")(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Return `ops.mean` of this tensor."""
        return _op("mean")(self, axis=axis, keepdims=keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Return `ops.max` of this tensor."""
        return _op("max")(self, axis=axis, keepdims=keepdims)

    def transpose(self, axes: tuple[int, ...] | None = None) -> Any:
        """Return `ops.transpose` of this tensor."""
        return _op("transpose")(self, axes)

    def reshape(self, *shape: Any) -> Any:
        """Return `ops.reshape` of this tensor; the shape as one tuple or as several numbers."""
        return _op("reshape")(self, shape[0] if len(shape) == 1 else shape)


def op(shape_rule: Callable[..., Any], *, composed: bool = False) -> Callable[[Callable[P, Any]], Callable[P, Any]]:
    """Make an op of a function that returns `(result, vjps)`.

    The parameters annotated `Array` are its array arguments, and `vjps` has one entry for each (None: no
    derivative): it returns a new array, or its argument or a view of it. The function gets arrays of one dtype
    (float32 with float64 gives float64; numbers, NumPy's too, promote no array). `shape_rule` takes shapes in their
    place and all other arguments as they are; it runs first and is the only source of shape errors. It stays
    reachable as `the_op.shape`.

    A `composed` op is a function made of other ops: it gets its Tensors as they are, and returns their result alone.
    """

    def decorate(forward: Callable[P, Any]) -> Callable[P, Any]:
        where, signature = forward.__name__, inspect.signature(forward)
        arrays = [p for p in signature.parameters.values() if p.annotation in ("Array", "Array | None")]
        if not arrays:
            fix = "Annotate it `x: Array`, below `from __future__ import annotations`."
            raise TypeError(f"op: {where} has no array argument. {fix}")
        variadic = arrays[0].kind is inspect.Parameter.VAR_POSITIONAL
        alone = len(arrays) == 1 and not variadic

        @functools.wraps(forward)
        def call(*args: Any, **kwargs: Any) -> Any:
            slots = arrays * len(args) if variadic else arrays
            given, rest, options = list(args[: len(slots)]), args[len(slots) :], dict(kwargs)
            for p in slots[len(given) :]:
                if p.name not in options and p.default is p.empty:
                    break
                given.append(options.pop(p.name, p.default))
            pairs = zip(slots, given, strict=False)
            values: list[Any] = [a.data if type(a) is Tensor else _value(where, p, a, alone) for p, a in pairs]
            try:
                shape_rule(*[None if v is None else getattr(v, "shape", ()) for v in values], *rest, **options)
            except ShapeError as error:
                error.where = where
                raise
            except TypeError:
                _check_call(where, signature, args, kwargs)
                raise
            if composed:
                tensors = [a if isinstance(a, Tensor) else v for a, v in zip(given, values, strict=False)]
                return forward(*tensors, *rest, **options)  # type: ignore[arg-type]
            return _record(where, given, *forward(*promote(values), *rest, **options))

        call.shape = shape_rule  # type: ignore[attr-defined]
        return call

    return decorate


def value_and_grad(f: Callable[..., Any], *, has_aux: bool = False) -> Callable[..., Any]:
    """Make of `f(params, *rest)`, a scalar, a function that returns `(value, gradients)`.

    `params` is a tree (dict, list, tuple) of float arrays; the gradients come in the same tree. A parameter that
    `f` does not use gets zeros; each gradient is writable and shares memory with nothing else. With `has_aux`, `f`
    returns `(scalar, anything)` and the value is that pair.

    >>> value_and_grad(lambda p, x: (p["w"] * x).sum())({"w": np.array([2.0])}, np.array([3.0]))
    (np.float64(6.0), {'w': array([3.])})
    """

    @functools.wraps(f)
    def compute(params: Any, *rest: Any, **kwargs: Any) -> Any:
        tensors = tree.map_leaves(_leaf, params)
        result = f(tensors, *rest, **kwargs)
        if has_aux and not (isinstance(result, tuple) and len(result) == 2):
            raise TypeError(f"value_and_grad: has_aux wants (scalar, anything), got a {type(result).__name__}.")
        y, aux = result if has_aux else (result, None)
        if not isinstance(y, Tensor):
            y = Tensor(_float_array("value_and_grad", "the result", y))
        wanted = set(tree.leaves(tensors))
        grads = dict(disjoint((t, g) for t, g in _walk(y) if t in wanted))
        gradients = tree.map_leaves(lambda t: grads[t] if t in grads else np.zeros_like(t.data), tensors)
        value = y.data[()]
        return ((value, tree.map_leaves(_plain, aux)) if has_aux else value), gradients

    return compute


def grad(f: Callable[..., Any]) -> Callable[..., Any]:
    """Make of `f(params, *rest)`, a scalar, a function that returns its gradients in the tree of `params`.

    >>> grad(lambda x: x * x + x)(np.array(3.0))
    array(7.)
    """
    return lambda *args, **kwargs: value_and_grad(f)(*args, **kwargs)[1]


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum `g` over the axes along which an argument of this shape was broadcast."""
    if np.shape(g) == shape:
        return g
    g = np.sum(g, axis=tuple(range(np.ndim(g) - len(shape))))
    return np.sum(g, axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


def _walk(y: Tensor) -> Iterator[tuple[Tensor, np.ndarray]]:
    """Yield each tensor that `y` was made from with its gradient, a tensor only after all that were made of it."""
    if y.size != 1:
        raise ValueError(f"a gradient needs a scalar, this has shape {y.shape}. Use .sum() or .mean() first.")
    uses = _uses(y)
    gradients: dict[Tensor, Any] = {y: np.ones_like(y.data)}
    ready = [y]
    while ready:
        tensor = ready.pop()
        g = np.asarray(gradients.pop(tensor), dtype=tensor.data.dtype)
        yield tensor, g
        for parent, vjp in tensor.edges:
            part = vjp(g)
            if getattr(part, "shape", ()) != parent.data.shape:
                who = getattr(vjp, "__qualname__", vjp)
                raise ValueError(f"{who} gives shape {np.shape(part)} for an argument of shape {parent.shape}.")
            gradients[parent] = gradients[parent] + part if parent in gradients else part
            uses[parent] -= 1
            if not uses[parent]:
                ready.append(parent)


def _uses(y: Tensor) -> dict[Tensor, int]:
    uses = {y: 0}
    stack = [y]
    while stack:
        for parent, _ in stack.pop().edges:
            if parent not in uses:
                uses[parent] = 0
                stack.append(parent)
            uses[parent] += 1
    return uses


def _record(where: str, given: list[Any], y: Any, vjps: tuple[VJP, ...]) -> Any:
    """Make a Tensor of an op's result if there is one among its arguments."""
    if not any(isinstance(a, Tensor) for a in given):
        return y
    if len(vjps) != len(given):
        raise TypeError(f"{where} has {len(given)} array arguments, it returned {len(vjps)} VJPs.")
    pairs = zip(given, vjps, strict=True)
    return Tensor(y, tuple((a, vjp) for a, vjp in pairs if vjp is not None and isinstance(a, Tensor)))


def _plain(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else value


def _leaf(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        raise TypeError(
            "value_and_grad: the parameters are Tensors. Give plain arrays; there are no second derivatives."
        )
    return Tensor(value)


def _value(where: str, parameter: inspect.Parameter, a: Any, alone: bool) -> Any:
    """Unwrap a Tensor, check an array, and make a number weak: it takes the dtype of the arrays it meets, if any."""
    if isinstance(a, Tensor):
        return a.data
    if isinstance(a, np.float32) or (a is None and parameter.default is None):
        return a
    if isinstance(a, float | int | np.integer) and not isinstance(a, bool):
        return np.float64(a) if alone else a.item() if isinstance(a, np.generic) else a
    return _float_array(where, parameter.name, a)


def _check_call(where: str, signature: inspect.Signature, args: Any, kwargs: Any) -> None:
    """Raise TypeError if arguments are missing or too many."""
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{where}: {error}. Its arguments are {', '.join(signature.parameters)}.") from None


def _float_array(where: str, name: str, a: Any) -> np.ndarray:
    if isinstance(a, float | np.floating):
        a = np.asarray(a)
    if not isinstance(a, np.ndarray):
        raise TypeError(f"{where}: {name} is a {type(a).__name__}. Give a float32 or float64 array or a Tensor.")
    if a.dtype not in FLOATS:
        raise TypeError(f"{where}: {name} has dtype {a.dtype}. Use .astype(np.float32), or float64 for checks.")
    return a
