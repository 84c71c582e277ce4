"""Every op: its shape rule, its forward computation and its VJPs, together in one place.

Read first: elementwise, conv, pool, matrix, loss. They are what a small CNN needs; the pooling variants can wait.

Ops take and give NHWC arrays or Tensors; on plain arrays they return plain arrays. `some_op.shape` is the shape
rule: the same arguments with shapes instead of arrays, and the only source of shape errors.
"""

from typing import TYPE_CHECKING

from minicnn.hints import unknown_names
from minicnn.ops.activation import (
    dropout,
    elu,
    gelu,
    leaky_relu,
    log_softmax,
    relu,
    sigmoid,
    softmax,
    softplus,
    tanh,
)
from minicnn.ops.arrange import concatenate, getitem, reshape, transpose
from minicnn.ops.conv import conv2d
from minicnn.ops.elementwise import (
    abs,
    add,
    divide,
    exp,
    log,
    maximum,
    multiply,
    negate,
    power,
    sqrt,
    subtract,
)
from minicnn.ops.fused import conv2d_pool
from minicnn.ops.loss import cross_entropy, mean_squared_error
from minicnn.ops.matrix import dense, flatten, matmul
from minicnn.ops.norm import batch_norm
from minicnn.ops.pad import crop2d, pad2d
from minicnn.ops.pool import (
    average_pool2d,
    global_average_pool2d,
    global_max_pool2d,
    max_pool2d,
)
from minicnn.ops.pooling_variants.adaptive import adaptive_average_pool2d, adaptive_max_pool2d
from minicnn.ops.pooling_variants.blur import blur_pool2d
from minicnn.ops.pooling_variants.indices import max_pool2d_indices, max_unpool2d
from minicnn.ops.pooling_variants.means import (
    gem_pool2d,
    log_mean_exp_pool2d,
    lp_pool2d,
    max_average_pool2d,
    soft_pool2d,
)
from minicnn.ops.pooling_variants.patches import patches2d
from minicnn.ops.pooling_variants.stochastic import stochastic_pool2d
from minicnn.ops.reduce import (
    logsumexp,
    max,
    mean,
    sum,
)

__all__ = [
    "abs",
    "adaptive_average_pool2d",
    "adaptive_max_pool2d",
    "add",
    "average_pool2d",
    "batch_norm",
    "blur_pool2d",
    "concatenate",
    "conv2d",
    "conv2d_pool",
    "crop2d",
    "cross_entropy",
    "dense",
    "divide",
    "dropout",
    "elu",
    "exp",
    "flatten",
    "gelu",
    "gem_pool2d",
    "getitem",
    "global_average_pool2d",
    "global_max_pool2d",
    "leaky_relu",
    "log",
    "log_mean_exp_pool2d",
    "log_softmax",
    "logsumexp",
    "lp_pool2d",
    "matmul",
    "max",
    "max_average_pool2d",
    "max_pool2d",
    "max_pool2d_indices",
    "max_unpool2d",
    "maximum",
    "mean",
    "mean_squared_error",
    "multiply",
    "negate",
    "pad2d",
    "patches2d",
    "power",
    "relu",
    "reshape",
    "sigmoid",
    "soft_pool2d",
    "softmax",
    "softplus",
    "sqrt",
    "stochastic_pool2d",
    "subtract",
    "sum",
    "tanh",
    "transpose",
]

_HABITS = {
    "adaptive_avg_pool2d": "ops.adaptive_average_pool2d",
    "avg_pool2d": "ops.average_pool2d",
    "batch_normalization": "ops.batch_norm",
    "cat": "ops.concatenate",
    "linear": "ops.dense",
    "mse_loss": "ops.mean_squared_error",
    "nll_loss": "ops.cross_entropy",
    "pad": "ops.pad2d",
    "permute": "ops.transpose",
    "softmax_cross_entropy": "ops.cross_entropy",
    "sparse_categorical_crossentropy": "ops.cross_entropy",
    "stack": "ops.reshape and ops.concatenate",
    "unfold": "ops.patches2d",
}

if not TYPE_CHECKING:  # with a __getattr__ a type checker accepts every name
    __getattr__ = unknown_names(__name__, __all__, _HABITS)
