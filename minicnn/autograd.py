"""Tensor, a node of the graph with operators, and gradients of functions.

`value_and_grad` is the interface for training, `Tensor.backward` the one for teaching. Both walk the same graph, see
`graph.walk`. This file stands above the ops, so that an operator of Tensor is a plain call of an op.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minicnn import ops, trees
from minicnn.graph import Array, Node, Op, op, walk
from minicnn.hints import a_type, explained
from minicnn.kernels.arithmetic import disjoint
from minicnn.numpy_interface import NumpyInterface
from minicnn.ops.elementwise import unbroadcast
from minicnn.validation import FLOATS, flag, float_array

__all__ = ["Array", "Op", "Tensor", "grad", "op", "unbroadcast", "value_and_grad"]


MOST_LINES = 8
"""Lines of numbers in the repr of a Tensor; a longer one is described by its shape and dtype."""


def _operator(the_op: Callable[[Any, Any], Any]) -> tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]:
    """Return the methods for `tensor + x` and `x + tensor`."""

    def forward(self: Any, other: Any) -> Any:
        return the_op(self, other)

    # Python calls `__radd__` of the right operand where the left one, a number or a list, cannot add a Tensor.
    def reflected(self: Any, other: Any) -> Any:
        return the_op(other, self)

    return forward, reflected


@explained
class Tensor(NumpyInterface, Node):
    """An array that records how it was made, with the operators and methods of an array.

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

    # Empty, so that a Tensor has no dict: each op of a step makes a Tensor, and a misspelt attribute is an error.
    __slots__ = ()

    shape = property(lambda self: self.data.shape)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)
    dtype = property(lambda self: self.data.dtype)
    T = property(lambda self: self.transpose())

    def __repr__(self) -> str:
        counts = [len(p) - p.count(None) if isinstance(p, tuple) else 1 for p, _ in self.edges]
        made = f", made from {sum(counts)}" if counts else ""
        values = np.array2string(self.data, separator=", ", threshold=20)
        # NumPy shortens rows, but the corners of an array with four axes still are a page of numbers.
        if values.count("\n") > MOST_LINES:
            values = f"{'x'.join(map(str, self.shape))} {self.dtype}"
        return f"Tensor({values}{made})"

    def __iter__(self) -> Iterator[Any]:
        # Without this method Python would index until an IndexError, and past the end `getitem` raises ShapeError.
        return (self[i] for i in range(len(self)))

    __add__, __radd__ = _operator(ops.add)
    __sub__, __rsub__ = _operator(ops.subtract)
    __mul__, __rmul__ = _operator(ops.multiply)
    __truediv__, __rtruediv__ = _operator(ops.divide)
    __pow__, __rpow__ = _operator(ops.power)
    __matmul__, __rmatmul__ = _operator(ops.matmul)

    def __neg__(self) -> Any:
        return ops.negate(self)

    def __abs__(self) -> Any:
        return ops.abs(self)

    def __getitem__(self, index: Any) -> Any:
        return ops.getitem(self, index)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Return `ops.sum` of this tensor."""
        return ops.sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Return `ops.mean` of this tensor."""
        return ops.mean(self, axis=axis, keepdims=keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Return `ops.max` of this tensor."""
        return ops.max(self, axis=axis, keepdims=keepdims)

    def transpose(self, axes: tuple[int, ...] | None = None) -> Any:
        """Return `ops.transpose` of this tensor."""
        return ops.transpose(self, axes)

    def reshape(self, *shape: Any) -> Any:
        """Return `ops.reshape` of this tensor; the shape as one tuple or as several integers."""
        return ops.reshape(self, shape[0] if len(shape) == 1 else shape)


@explained
def value_and_grad(f: Callable[..., Any], *, has_aux: bool = False) -> Callable[..., Any]:
    """Return a function that computes the value and the gradients of the scalar function `f(params, *rest)`.

    `params` is a tree (dict, list, tuple) of float arrays, and the gradients are returned in a tree of the same
    structure. A parameter that `f` does not use gets zeros. Each gradient is writable and shares memory with nothing
    else. With `has_aux`, `f` returns `(scalar, anything)` and the value is that pair.

    >>> value_and_grad(lambda p, x: (p["w"] * x).sum())({"w": np.array([2.0])}, np.array([3.0]))
    (np.float64(6.0), {'w': array([3.])})
    """
    if not callable(f):
        raise TypeError(f"value_and_grad: f must be a function f(params, *rest) of a scalar, got {a_type(f)}.")
    flag("value_and_grad", "has_aux", has_aux)

    @functools.wraps(f)
    def compute(params: Any, *rest: Any, **kwargs: Any) -> Any:
        tensors = _tensors(params)
        result = f(trees.unflatten(params, iter(tensors)), *rest, **kwargs)
        y, aux = _check_pair(result) if has_aux else (result, None)
        if not isinstance(y, Tensor):
            # `f` used no parameter, so its result is a plain array; each gradient is then zero.
            y = Tensor(float_array("value_and_grad", "the result", y))
        grads = dict(disjoint(walk(y, set(tensors))))
        gradients = iter([grads[t] if t in grads else np.zeros_like(t.data) for t in tensors])
        value = y.data[()]
        return ((value, trees.map_leaves(_plain, aux)) if has_aux else value), trees.unflatten(params, gradients)

    return compute


@explained
def grad(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that computes the gradients of the scalar function `f(params, *rest)`, in the tree of `params`.

    >>> grad(lambda x: x * x + x)(np.array(3.0))
    array(7.)
    """
    both = value_and_grad(f)
    return lambda *args, **kwargs: both(*args, **kwargs)[1]


def _plain(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else value


def _tensors(params: Any) -> list[Tensor]:
    """Return the leaves of the parameters as Tensors."""
    leaves = trees.flatten(params)[0]
    if not all(type(leaf) is np.ndarray and leaf.dtype in FLOATS for leaf in leaves):
        # Paths are needed only for error messages, so the tree is walked with them only now.
        leaves = [_check_leaf(leaf, path) for path, leaf in trees.items(params, "params")]
    tensors = [Tensor.__new__(Tensor) for _ in leaves]  # as in `op`: explaining wrong calls would take time
    for tensor, leaf in zip(tensors, leaves, strict=True):
        Node.__init__(tensor, leaf)
    return tensors


def _check_leaf(value: Any, path: str) -> np.ndarray:
    if isinstance(value, Tensor):
        fix = "Give plain arrays; there are no second derivatives."
        raise TypeError(f"value_and_grad: {path} must be a plain array, got a Tensor. {fix}")
    return float_array("value_and_grad", path, value)


def _check_pair(result: Any) -> tuple[Any, Any]:
    if not (isinstance(result, tuple) and len(result) == 2):
        raise TypeError(f"value_and_grad: with has_aux, f must return (scalar, anything), got {a_type(result)}.")
    return result
