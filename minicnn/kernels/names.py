"""The names of the kernels: those of `minicnn.kernels` and of each fast implementation. `reference` does not fuse."""

KERNELS = (
    "adam_step",
    "bilinear",
    "conv2d",
    "conv2d_input_grad",
    "conv2d_pool",
    "conv2d_pool_input_grad",
    "conv2d_pool_weight_grads",
    "conv2d_weight_grads",
    "max_pool2d",
    "max_pool2d_grad",
    "relu",
    "relu_grad",
    "sum_pool2d",
    "sum_pool2d_grad",
)
