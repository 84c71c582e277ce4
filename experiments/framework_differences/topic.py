"""What is compared: topics, the answers of the frameworks to each, and the calls of minicnn with the same results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import value_and_grad

Compute = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Call:
    """A call of a minicnn op on the image; with `gradient`, the gradient of the sum of its results."""

    op: Callable[..., Any]
    options: dict[str, Any]
    kernel: np.ndarray | None = None
    gradient: bool = False

    def __str__(self) -> str:
        options = [f"{name}={value!r}" for name, value in self.options.items()]
        call = f"{self.op.__name__}({', '.join(['x', *(['ones(3, 3)'] if self.kernel is not None else []), *options])})"
        return f"gradient of {call}" if self.gradient else call

    def answer(self, image: np.ndarray) -> np.ndarray:
        """Return the result as a matrix."""
        x = image[None, :, :, None]
        rest = () if self.kernel is None else (self.kernel[:, :, None, None],)
        if self.gradient:
            x = value_and_grad(lambda x: self.op(x, *rest, **self.options).sum())(x)[1]
        else:
            x = self.op(x, *rest, **self.options)
        return np.asarray(x[0, ..., 0])


@dataclass(frozen=True)
class Answer:
    """What a framework computes.

    Attributes
    ----------
    framework, call, source : str
        The framework, the call, and where the rule that it follows is documented or implemented.
    rows : sequence of rows, or None
        The result; None if the framework has no such operation.
    minicnn : Call, or None
        The call of minicnn with the same result.
    compute : callable, or None
        `compute(torch, image)` returns the result of an installed PyTorch.
    """

    framework: str
    call: str
    source: str
    rows: Sequence[Sequence[float]] | None = None
    minicnn: Call | None = None
    compute: Compute | None = None


@dataclass(frozen=True)
class Topic:
    """One difference between the frameworks, shown for one image."""

    name: str
    why: str
    image: np.ndarray
    answers: tuple[Answer, ...]
