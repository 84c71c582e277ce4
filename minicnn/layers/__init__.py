"""Layers: frozen records with Keras's names, NHWC shapes without the batch axis, parameters outside."""

from minicnn.layers import initializers
from minicnn.layers.activation import ELU, GELU, LeakyReLU, ReLU, Sigmoid, Softmax, Softplus, Tanh
from minicnn.layers.base import Layer, check_params
from minicnn.layers.combine import Classifier, Concat, Residual, Sequential
from minicnn.layers.conv import Conv2D
from minicnn.layers.dense import Dense, Flatten
from minicnn.layers.dropout import Dropout
from minicnn.layers.norm import BatchNormalization
from minicnn.layers.pad import Cropping2D, Padding2D, ZeroPadding2D
from minicnn.layers.pool import (
    AveragePooling2D,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    LpPooling2D,
    MaxPooling2D,
)
from minicnn.layers.summary import Summary, summary

__all__ = [
    "ELU",
    "GELU",
    "AveragePooling2D",
    "BatchNormalization",
    "Classifier",
    "Concat",
    "Conv2D",
    "Cropping2D",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "Layer",
    "LeakyReLU",
    "LpPooling2D",
    "MaxPooling2D",
    "Padding2D",
    "ReLU",
    "Residual",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Summary",
    "Tanh",
    "ZeroPadding2D",
    "check_params",
    "initializers",
    "summary",
]
