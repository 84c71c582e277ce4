"""minicnn: automatic differentiation for small convolutional networks, to read, to trust and to compare with.

`import minicnn` costs little more than NumPy: a public name brings its module along when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minicnn import data, explain, kernels, layers, models, ops, optim, schedules, show, train, trunks
    from minicnn.autograd import Tensor, grad, value_and_grad
    from minicnn.estimator import CNNClassifier
    from minicnn.layers import activations, coverage, explain_shapes
    from minicnn.records import from_json, register, to_json
    from minicnn.validation import ShapeError

__version__ = "0.2.0"
__all__ = [
    "CNNClassifier",
    "ShapeError",
    "Tensor",
    "activations",
    "coverage",
    "data",
    "explain",
    "explain_shapes",
    "from_json",
    "grad",
    "kernels",
    "layers",
    "models",
    "ops",
    "optim",
    "register",
    "schedules",
    "show",
    "to_json",
    "train",
    "trunks",
    "value_and_grad",
]

_HOMES = {
    "CNNClassifier": "estimator",
    "ShapeError": "validation",
    "Tensor": "autograd",
    "activations": "layers",
    "coverage": "layers",
    "explain_shapes": "layers",
    "from_json": "records",
    "grad": "autograd",
    "register": "records",
    "to_json": "records",
    "value_and_grad": "autograd",
}


_ELSEWHERE = {
    "nn": "minicnn.layers",
    "Conv2D": "minicnn.layers.Conv2D",
    "Dense": "minicnn.layers.Dense",
    "Sequential": "minicnn.layers.Sequential",
    "summary": "minicnn.layers.summary",
    "SGD": "minicnn.optim.SGD",
    "Adam": "minicnn.optim.Adam",
    "AdamW": "minicnn.optim.AdamW",
    "evaluate": "minicnn.train.evaluate",
    "fit": "minicnn.train.fit",
    "load": "minicnn.train.load",
    "predict": "minicnn.train.predict",
    "save": "minicnn.train.save",
    "small_cnn": "minicnn.models.small_cnn",
    "conv2d": "minicnn.ops.conv2d",
    "cross_entropy": "minicnn.ops.cross_entropy",
    "relu": "minicnn.ops.relu",
    "softmax": "minicnn.ops.softmax",
}
# Written down, not looked up: `from minicnn import geometry` asks for this attribute, too, and must not import layers.


def __getattr__(name: str) -> Any:
    if name not in __all__:
        from minicnn.hints import no_attribute

        raise no_attribute("minicnn", name, __all__, _ELSEWHERE)
    module = importlib.import_module(f"minicnn.{_HOMES.get(name, name)}")
    return getattr(module, name) if name in _HOMES else module


def __dir__() -> list[str]:
    return sorted(__all__)
