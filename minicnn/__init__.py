"""minicnn: automatic differentiation for small convolutional networks, to read, to trust and to compare with.

`import minicnn` costs little more than NumPy: a public name brings its module along when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minicnn import data, kernels, layers, models, ops, optim, schedules, train
    from minicnn.autograd import Tensor, grad, value_and_grad
    from minicnn.layers import coverage, explain_shapes
    from minicnn.validation import ShapeError

__version__ = "0.1.0"
__all__ = [
    "ShapeError",
    "Tensor",
    "coverage",
    "data",
    "explain_shapes",
    "grad",
    "kernels",
    "layers",
    "models",
    "ops",
    "optim",
    "schedules",
    "train",
    "value_and_grad",
]

_HOMES = {
    "ShapeError": "validation",
    "Tensor": "autograd",
    "coverage": "layers",
    "explain_shapes": "layers",
    "grad": "autograd",
    "value_and_grad": "autograd",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        from minicnn.hints import no_attribute

        raise no_attribute("minicnn", name, __all__, {"fit": "minicnn.train.fit", "nn": "minicnn.layers"})
    module = importlib.import_module(f"minicnn.{_HOMES.get(name, name)}")
    return getattr(module, name) if name in _HOMES else module


def __dir__() -> list[str]:
    return sorted(__all__)
