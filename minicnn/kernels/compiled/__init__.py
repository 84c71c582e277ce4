"""The kernels of `numpy_blocked`, compiled with Numba: same names, arguments and results to rounding.

Every loop here works on the images `first` to `last` and releases the GIL; `in_parallel` runs it on all cores, each
with its part of the batch. A convolution reads its windows straight from the images, forward and for its gradients, see
`tile`; under a max pooling its gradients are sums over the maxima alone, see `sparse`. A prepared net runs in one
call, see `walk`; there a 3x3 convolution of many channels takes fewer multiplications, see `winograd`.

Loops take a `Geometry` as a plain tuple: for a named one Numba's dispatch takes 0.6 microseconds more per call, on each
thread and with the GIL held.
"""

from minicnn.kernels.compiled.activation import relu as relu
from minicnn.kernels.compiled.activation import relu_grad as relu_grad
from minicnn.kernels.compiled.bilinear import bilinear as bilinear
from minicnn.kernels.compiled.conv import conv2d as conv2d
from minicnn.kernels.compiled.conv import conv2d_pool as conv2d_pool
from minicnn.kernels.compiled.conv_grads import conv2d_input_grad as conv2d_input_grad
from minicnn.kernels.compiled.conv_grads import conv2d_pool_input_grad as conv2d_pool_input_grad
from minicnn.kernels.compiled.conv_grads import conv2d_pool_weight_grads as conv2d_pool_weight_grads
from minicnn.kernels.compiled.conv_grads import conv2d_weight_grads as conv2d_weight_grads
from minicnn.kernels.compiled.pool import max_pool2d as max_pool2d
from minicnn.kernels.compiled.pool import max_pool2d_grad as max_pool2d_grad
from minicnn.kernels.compiled.pool import sum_pool2d as sum_pool2d
from minicnn.kernels.compiled.pool import sum_pool2d_grad as sum_pool2d_grad
from minicnn.kernels.compiled.tile import pack as pack
from minicnn.kernels.compiled.update import adam_step as adam_step
from minicnn.kernels.compiled.walk import run_program as run_program
from minicnn.kernels.compiled.winograd import winograd_panels as winograd_panels
from minicnn.kernels.names import KERNELS

__all__ = list(KERNELS)
