"""Layers: frozen records with Keras's names, NHWC shapes without the batch axis, parameters outside."""

from typing import TYPE_CHECKING

from minicnn.hints import unknown_names
from minicnn.layers import initializers
from minicnn.layers.activation import ELU, GELU, Dropout, LeakyReLU, ReLU, Sigmoid, Softmax, Softplus, Tanh
from minicnn.layers.base import Layer, check_params
from minicnn.layers.branches import Concat, Residual
from minicnn.layers.containers import Classifier, Sequential
from minicnn.layers.conv import Conv2D
from minicnn.layers.dense import Dense, Flatten
from minicnn.layers.inspection.activations import activations
from minicnn.layers.inspection.coverage import coverage
from minicnn.layers.inspection.execution import Execution, explain_execution
from minicnn.layers.inspection.shapes import Explanation, explain_shapes
from minicnn.layers.inspection.summary import Summary, summary
from minicnn.layers.norm import BatchNormalization
from minicnn.layers.pad import Cropping2D, Padding2D, ZeroPadding2D
from minicnn.layers.pool import (
    AveragePooling2D,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    LpPooling2D,
    MaxPooling2D,
)
from minicnn.layers.pooling_variants import (
    AdaptiveAveragePooling2D,
    AdaptiveMaxPooling2D,
    BlurPooling2D,
    GeMPooling2D,
    GlobalGeMPooling2D,
    GlobalLogMeanExpPooling2D,
    GlobalLpPooling2D,
    GlobalSoftPooling2D,
    LogMeanExpPooling2D,
    MaxAveragePooling2D,
    SoftPooling2D,
    StochasticPooling2D,
)
from minicnn.layers.prepared import Predictor, prepare
from minicnn.records import register

__all__ = [
    "ELU",
    "GELU",
    "AdaptiveAveragePooling2D",
    "AdaptiveMaxPooling2D",
    "AveragePooling2D",
    "BatchNormalization",
    "BlurPooling2D",
    "Classifier",
    "Concat",
    "Conv2D",
    "Cropping2D",
    "Dense",
    "Dropout",
    "Execution",
    "Explanation",
    "Flatten",
    "GeMPooling2D",
    "GlobalAveragePooling2D",
    "GlobalGeMPooling2D",
    "GlobalLogMeanExpPooling2D",
    "GlobalLpPooling2D",
    "GlobalMaxPooling2D",
    "GlobalSoftPooling2D",
    "Layer",
    "LeakyReLU",
    "LogMeanExpPooling2D",
    "LpPooling2D",
    "MaxAveragePooling2D",
    "MaxPooling2D",
    "Padding2D",
    "Predictor",
    "ReLU",
    "Residual",
    "Sequential",
    "Sigmoid",
    "SoftPooling2D",
    "Softmax",
    "Softplus",
    "StochasticPooling2D",
    "Summary",
    "Tanh",
    "ZeroPadding2D",
    "activations",
    "check_params",
    "coverage",
    "explain_execution",
    "explain_shapes",
    "initializers",
    "prepare",
    "summary",
]

_HABITS = {
    "Activation": "the activation's own layer, as layers.ReLU()",
    "AdaptiveAvgPool2d": "layers.AdaptiveAveragePooling2D",
    "AdaptiveMaxPool2d": "layers.AdaptiveMaxPooling2D",
    "Add": "layers.Residual",
    "AveragePool2D": "layers.AveragePooling2D",
    "AvgPool2D": "layers.AveragePooling2D",
    "AvgPool2d": "layers.AveragePooling2D",
    "BatchNorm": "layers.BatchNormalization",
    "BatchNorm2D": "layers.BatchNormalization",
    "BatchNorm2d": "layers.BatchNormalization",
    "Concatenate": "layers.Concat",
    "GlobalAvgPool2D": "layers.GlobalAveragePooling2D",
    "GlobalMaxPool2D": "layers.GlobalMaxPooling2D",
    "Input": "the input shape in net.init(rng, input_shape)",
    "InputLayer": "the input shape in net.init(rng, input_shape)",
    "LPPool2d": "layers.LpPooling2D",
    "Linear": "layers.Dense",
    "MaxPool2D": "layers.MaxPooling2D",
    "MaxPool2d": "layers.MaxPooling2D",
    "Model": "layers.Sequential",
    "ReflectionPad2d": "layers.Padding2D",
    "ZeroPad2d": "layers.ZeroPadding2D",
}

for _layer in map(globals().get, __all__):
    if isinstance(_layer, type) and issubclass(_layer, Layer) and _layer is not Layer:
        register(_layer)

if not TYPE_CHECKING:  # with a __getattr__ a type checker accepts every name
    __getattr__ = unknown_names(__name__, __all__, _HABITS)
