"""What NumPy may do with a Tensor.

`array * tensor` reaches the op; every other function of NumPy is refused with the name of the op that does the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn import ops
from minicnn.hints import a_type


def _comparison(symbol: str) -> Callable[[Any, Any], Any]:
    def compare(self: Any, other: Any) -> Any:
        raise TypeError(f"Tensor: {symbol} must have plain arrays, got a Tensor. Compare x.data {symbol} y.")

    return compare


OPERATORS = ("add", "subtract", "multiply", "divide", "power", "matmul")
"""The ops whose NumPy functions of the same name are called by `array + tensor` and the other operators."""


def _not_for_tensors(name: str) -> TypeError:
    """Return the error for a NumPy function that is given a Tensor."""
    twin = {"absolute": "abs", "amax": "max", "negative": "negate", "where": ""}.get(name, name)
    fix = f"minicnn.ops.{twin}(...)" if twin in ops.__all__ else "minicnn.ops"
    fix = f"Use {fix}, or x.data if no gradient is needed."
    return TypeError(f"numpy.{name}: arguments must be arrays, got a Tensor. {fix}")


class NumpyInterface:
    """The part of Tensor that NumPy and Python's own conversions and comparisons call."""

    __slots__ = ()
    data: np.ndarray

    def __len__(self) -> int:
        if not self.data.shape:
            raise TypeError("Tensor: len() and iteration must have at least one axis, got shape (). Use float(x).")
        return len(self.data)

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        # Without this method NumPy would walk through a Tensor as a sequence and make an array of Tensors.
        raise TypeError(
            "numpy: arguments must be arrays, got a Tensor. Use minicnn.ops, or x.data if no gradient is needed."
        )

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in (np.shape, np.ndim, np.size):
            return function(*(a.data if isinstance(a, NumpyInterface) else a for a in args), **kwargs)
        raise _not_for_tensors(function.__name__)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """Compute `array * tensor` and the like, for which NumPy calls this method."""
        inplace = len(options.get("out", ())) == 1 and options["out"][0] is inputs[0]  # of `array += tensor`
        if method == "__call__" and ufunc.__name__ in OPERATORS and (not options or (inplace and len(options) == 1)):
            return getattr(ops, ufunc.__name__)(*inputs)
        raise _not_for_tensors(ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}")

    def __eq__(self, other: object) -> bool:
        if isinstance(other, np.ndarray | float | int | np.generic):
            raise TypeError(f"Tensor: == must have plain arrays, got a Tensor and {a_type(other)}. Compare x.data.")
        return self is other

    # A class with __eq__ loses its hash, and the graph keeps nodes in sets and dicts, by identity.
    __hash__ = object.__hash__
    __lt__, __le__, __gt__, __ge__ = (_comparison(symbol) for symbol in ("<", "<=", ">", ">="))

    def __float__(self) -> float:
        return float(self._only("float"))

    def __bool__(self) -> bool:
        return bool(self._only("bool"))

    def _only(self, kind: str) -> Any:
        if self.data.size != 1:
            raise TypeError(
                f"Tensor: {kind}() must have one element, got shape {self.data.shape}. Use .sum() or .mean()."
            )
        return self.data.reshape(())

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            "Tensor: elements must not be assigned, got x[i] = y. Make a new one, as x * mask + y * (1 - mask)."
        )
