"""Nets to and from other frameworks: ONNX files, Keras's files, PyTorch's parameters in safetensors files.

The packages that read and write these files come with the extra `interop`, and none of the frameworks is needed.
"""

from minicnn.interop.keras_export import to_keras
from minicnn.interop.keras_import import Imported, from_keras
from minicnn.interop.onnx_export import to_onnx
from minicnn.interop.torch_files import from_torch, to_torch

__all__ = ["Imported", "from_keras", "from_torch", "to_keras", "to_onnx", "to_torch"]
