"""The whole idea of minicnn in one file: a tensor, backpropagation, the ops of a small CNN, and training on digits.

Read it from top to bottom; run it with `python docs/one_file.py`. The names and conventions are those of minicnn:
images are (N, H, W, C), kernels (kh, kw, C, K), and the first maximum of a pooling window gets the gradient. What
minicnn adds is strides, padding and dilation in general, checks of arguments, layers, speed and tests.
"""

import numpy as np
from sklearn.datasets import load_digits


class Tensor:
    """An array that remembers its origin: `edges` holds (argument, VJP) for each argument of the op that made it.

    A VJP (vector-Jacobian product) turns the gradient of the op's result into the gradient of that argument.
    """

    def __init__(self, data, edges=()):
        self.data, self.edges, self.grad = data, edges, None

    def backward(self):
        """Set `grad` of every tensor that this scalar was computed from, by the chain rule."""
        order, seen = [], set()

        def visit(tensor):  # depth first: a tensor is listed after everything it was made from
            if tensor not in seen:
                seen.add(tensor)
                for parent, _ in tensor.edges:
                    visit(parent)
                order.append(tensor)

        visit(self)
        for tensor in order:
            tensor.grad = np.zeros_like(tensor.data)
        self.grad = np.ones_like(self.data)
        for tensor in reversed(order):  # all uses of a tensor come before it, so its gradient is complete here
            for parent, vjp in tensor.edges:
                parent.grad = parent.grad + vjp(tensor.grad)


def conv2d(x, kernel, bias, padding=1):
    """y[n, p, q, k] = bias[k] + sum over i, j, c of x[n, p + i, q + j, c] * kernel[i, j, c, k], on padded images."""
    images = np.pad(x.data, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    kh, kw = kernel.data.shape[:2]
    h, w = images.shape[1] - kh + 1, images.shape[2] - kw + 1
    # For each element (i, j) of the kernel, the pixel that it multiplies, for all windows at once.
    taps = {(i, j): (slice(None), slice(i, i + h), slice(j, j + w)) for i, j in np.ndindex(kh, kw)}
    y = bias.data + sum(images[pixels] @ kernel.data[tap] for tap, pixels in taps.items())

    def vjp_x(g):
        dx = np.zeros_like(images)
        for tap, pixels in taps.items():  # windows overlap: a pixel collects the gradients of all that read it
            dx[pixels] += g @ kernel.data[tap].T
        return dx[:, padding : dx.shape[1] - padding, padding : dx.shape[2] - padding]

    def vjp_kernel(g):
        terms = [np.tensordot(images[pixels], g, axes=([0, 1, 2], [0, 1, 2])) for pixels in taps.values()]
        return np.reshape(terms, kernel.data.shape)

    return Tensor(y, ((x, vjp_x), (kernel, vjp_kernel), (bias, lambda g: g.sum(axis=(0, 1, 2)))))


def max_pool2d(x, size=2):
    """Maximum of each size x size window; the windows do not overlap, and rows and columns left over are dropped."""
    n, h, w, c = x.data.shape
    p, q = h // size, w // size
    windows = x.data[:, : p * size, : q * size].reshape(n, p, size, q, size, c).transpose(0, 1, 3, 5, 2, 4)
    windows = windows.reshape(n, p, q, c, size * size)
    argmax = windows.argmax(axis=-1)[..., None]  # the first maximum in row order

    def vjp_x(g):
        dx, spread = np.zeros_like(x.data), np.zeros_like(windows)
        np.put_along_axis(spread, argmax, g[..., None], axis=-1)
        spread = spread.reshape(n, p, q, c, size, size).transpose(0, 1, 4, 2, 5, 3)
        dx[:, : p * size, : q * size] = spread.reshape(n, p * size, q * size, c)
        return dx

    return Tensor(np.take_along_axis(windows, argmax, axis=-1)[..., 0], ((x, vjp_x),))


def relu(x):
    """max(x, 0), with derivative 0 at 0."""
    return Tensor(np.maximum(x.data, 0), ((x, lambda g: np.where(x.data > 0, g, 0)),))


def flatten(x):
    """(N, H, W, C) -> (N, H * W * C)."""
    return Tensor(x.data.reshape(len(x.data), -1), ((x, lambda g: g.reshape(x.data.shape)),))


def dense(x, kernel, bias):
    """x @ kernel + bias: (N, in) with (in, out) and (out,) -> (N, out)."""
    vjps = (lambda g: g @ kernel.data.T, lambda g: x.data.T @ g, lambda g: g.sum(axis=0))
    return Tensor(x.data @ kernel.data + bias.data, tuple(zip((x, kernel, bias), vjps, strict=True)))


def cross_entropy(logits, labels):
    """Mean of -log softmax(logits)[label]; its gradient is (softmax - one_hot) / N."""
    shifted = logits.data - logits.data.max(axis=1, keepdims=True)  # so that exp cannot overflow
    log_softmax = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(len(labels))

    def vjp_logits(g):
        d = np.exp(log_softmax)
        d[rows, labels] -= 1
        return g * d / len(labels)

    return Tensor(-log_softmax[rows, labels].mean(), ((logits, vjp_logits),))


def net(params, x):
    """Convolution, ReLU, max pooling, dense: images (N, 8, 8, 1) -> logits (N, 10)."""
    features = max_pool2d(relu(conv2d(x, params["kernel"], params["bias"])))
    return dense(flatten(features), params["dense_kernel"], params["dense_bias"])


def init(rng, filters=8, classes=10):
    """Return random kernels with variance 2 / fan-in, for ReLU (He et al., 2015), and biases of zero."""
    kernel = rng.normal(0, np.sqrt(2 / 9), (3, 3, 1, filters))
    dense_kernel = rng.normal(0, np.sqrt(2 / (16 * filters)), (16 * filters, classes))
    arrays = (kernel, np.zeros(filters), dense_kernel, np.zeros(classes))
    names = ("kernel", "bias", "dense_kernel", "dense_bias")
    return {name: Tensor(array) for name, array in zip(names, arrays, strict=True)}


def train(epochs=10, batch_size=32, learning_rate=0.2, seed=0):
    """Train on 1,500 digits by stochastic gradient descent and return the accuracy on the other 297."""
    digits, rng = load_digits(), np.random.default_rng(seed)
    images, labels = digits.images[..., None] / 16, digits.target
    params = init(rng)
    for _ in range(epochs):
        order = rng.permutation(1500)
        for batch in (order[i : i + batch_size] for i in range(0, 1500, batch_size)):
            cross_entropy(net(params, Tensor(images[batch])), labels[batch]).backward()
            params = {name: Tensor(p.data - learning_rate * p.grad) for name, p in params.items()}
    return (net(params, Tensor(images[1500:])).data.argmax(axis=1) == labels[1500:]).mean()


if __name__ == "__main__":
    print(f"test accuracy {train():.1%}")
