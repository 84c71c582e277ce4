"""minicnn: automatic differentiation for small convolutional networks, to read, to trust and to compare with."""

from minicnn import kernels, layers, ops
from minicnn.autograd import Tensor, grad, value_and_grad
from minicnn.errors import ShapeError

__version__ = "0.1.0"
__all__ = ["ShapeError", "Tensor", "grad", "kernels", "layers", "ops", "value_and_grad"]
