"""What NumPy may do with a Tensor.

`array * tensor` reaches the op; every other function of NumPy is refused with the name of the op that does the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn import ops


def _comparison(symbol: str) -> Callable[[Any, Any], Any]:
    def compare(self: Any, other: Any) -> Any:
        raise TypeError(f"Tensor: {symbol} has no gradient and is not defined. Compare x.data {symbol} y.")

    return compare


OPERATORS = ("add", "subtract", "multiply", "divide", "power", "matmul")
"""The ops whose NumPy namesakes `array + tensor` and its like call."""


def _not_for_tensors(name: str) -> TypeError:
    """Return the error for a NumPy function that is given a Tensor."""
    twin = {"absolute": "abs", "amax": "max", "negative": "negate", "where": ""}.get(name, name)
    fix = f"minicnn.ops.{twin}(...)" if twin in ops.__all__ else "minicnn.ops"
    return TypeError(f"numpy.{name} cannot be applied to a Tensor. Use {fix}, or x.data if no gradient is needed.")


class NumpyInterface:
    """The part of Tensor that NumPy and Python's own conversions and comparisons call."""

    __slots__ = ()
    data: np.ndarray

    def __len__(self) -> int:
        if not self.data.shape:
            raise TypeError("Tensor: len() and iteration need at least one axis, this has shape (). Use float(x).")
        return len(self.data)

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError(
            "NumPy functions cannot be applied to a Tensor. Use minicnn.ops, or x.data if no gradient is needed."
        )

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in (np.shape, np.ndim, np.size):
            return function(*(a.data if isinstance(a, NumpyInterface) else a for a in args), **kwargs)
        raise _not_for_tensors(function.__name__)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """Compute `array * tensor` and its like, for which NumPy asks here."""
        inplace = len(options.get("out", ())) == 1 and options["out"][0] is inputs[0]  # of `array += tensor`
        if method == "__call__" and ufunc.__name__ in OPERATORS and (not options or (inplace and len(options) == 1)):
            return getattr(ops, ufunc.__name__)(*inputs)
        raise _not_for_tensors(ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}")

    def __eq__(self, other: object) -> bool:
        if isinstance(other, np.ndarray | float | int | np.generic):
            raise TypeError(f"Tensor: == with a {type(other).__name__} is not defined. Compare x.data.")
        return self is other

    __hash__ = object.__hash__
    __lt__, __le__, __gt__, __ge__ = (_comparison(symbol) for symbol in ("<", "<=", ">", ">="))

    def __float__(self) -> float:
        return float(self._only("float"))

    def __bool__(self) -> bool:
        return bool(self._only("bool"))

    def _only(self, kind: str) -> Any:
        if self.data.size != 1:
            raise TypeError(
                f"Tensor: {kind}() needs one number, this has shape {self.data.shape}. Use .sum() or .mean()."
            )
        return self.data.reshape(())

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError("Tensor: elements cannot be assigned. Make a new one, as x * mask + y * (1 - mask).")
