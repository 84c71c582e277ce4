"""Nets to and from other frameworks: ONNX files, Keras's files, PyTorch's parameters in safetensors files.

The packages that read and write these files come with the extra `interop`, and none of the frameworks is needed.
"""

from minicnn.interop.onnx_export import to_onnx

__all__ = ["to_onnx"]
