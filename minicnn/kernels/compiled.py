"""The kernels of `reference`, compiled with Numba: same names, arguments and results to rounding.

Every loop here works on the images `first` to `last` and gives up the interpreter's lock; `share` hands each core
its part of the batch. A core gathers a few lines of windows (a line: the windows side by side in one image) into a
buffer that stays in its cache and multiplies there, so that what is big (the gathered windows) never reaches memory.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401 - where np.dot in a compiled loop finds its products
from numba import njit
from numba.core import event
from threadpoolctl import ThreadpoolController

from minicnn.kernels.cores import share
from minicnn.kernels.notice import Notice

Pair = tuple[int, int]
Pads = tuple[Pair, Pair]
PIECE = 2**17
"""Numbers in a core's buffer of gathered windows: half a megabyte in float32."""
PRODUCT = 1_000_000
"""Multiplications in a product: up to here OpenBLAS has kernels that do not repack, up to 1.5 times as fast."""

for _pool in ThreadpoolController().lib_controllers:
    if _pool.user_api == "blas":
        # Each core multiplies for itself, and a BLAS thread that waits for work spins on the core of one that works.
        _pool.set_num_threads(1)
event.register("numba:compile", Notice())
loop = njit(nogil=True, cache=True, error_model="numpy")


def conv2d(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, strides: Pair, pads: Pads, dilation: Pair, groups: int
) -> np.ndarray:
    """See `reference.conv2d`."""
    x, kernel = np.ascontiguousarray(x), np.ascontiguousarray(kernel, x.dtype)
    y = np.empty((len(x), *_out(x.shape, kernel.shape, strides, pads, dilation), kernel.shape[3]), x.dtype)
    bias = np.zeros(kernel.shape[3], x.dtype) if bias is None else np.ascontiguousarray(bias, x.dtype)
    convolve = _conv_grouped if groups > 1 else _conv_one_channel if kernel.shape[2] == 1 else _conv
    share(convolve, len(x), y.size * kernel[..., 0].size, x, kernel, bias, y, strides, pads, dilation, groups)
    return y


@loop
def _conv(first, last, x, kernel, bias, y, strides, pads, dilation, groups):
    kh, kw, c, k = kernel.shape
    _, p, q, _ = y.shape
    matrix = kernel.reshape(kh * kw * c, k)
    step = _step(kh * kw * c, k, q)
    patches = np.empty((step * q, kh * kw * c), x.dtype)
    results = y.reshape(-1, k)
    for start in range(first * p, last * p, step):
        stop = min(last * p, start + step)
        _gather(x, start, stop, 0, patches, kernel.shape, (p, q), strides, pads, dilation, groups)
        to = results[start * q : stop * q]
        np.dot(patches[: len(to)], matrix, to)
        _add_bias(to, bias)


@loop
def _conv_one_channel(first, last, x, kernel, bias, y, strides, pads, dilation, groups):
    kh, kw, _, k = kernel.shape
    _, p, q, _ = y.shape
    matrix = kernel.reshape(kh * kw, k)
    step = _step(kh * kw, k, q)
    buffer = np.empty(step * q * kh * kw, x.dtype)
    results = y.reshape(-1, k)
    for start in range(first * p, last * p, step):
        stop = min(last * p, start + step)
        to = results[start * q : stop * q]
        taps = buffer[: len(to) * kh * kw].reshape(kh * kw, len(to))
        _gather_taps(x, start, stop, taps, kernel.shape, (p, q), strides, pads, dilation)
        np.dot(taps.T, matrix, to)
        _add_bias(to, bias)


@loop
def _conv_grouped(first, last, x, kernel, bias, y, strides, pads, dilation, groups):
    kh, kw, c, filters = kernel.shape
    _, p, q, _ = y.shape
    k = filters // groups
    step = _step(kh * kw * c, k, q)
    patches = np.empty((step * q, kh * kw * c), x.dtype)
    product = np.empty((step * q, k), x.dtype)
    results = y.reshape(-1, filters)
    for group in range(groups):
        matrix = np.ascontiguousarray(kernel[:, :, :, group * k : (group + 1) * k]).reshape(-1, k)
        for start in range(first * p, last * p, step):
            stop = min(last * p, start + step)
            _gather(x, start, stop, group * c, patches, kernel.shape, (p, q), strides, pads, dilation, groups)
            to = results[start * q : stop * q, group * k : (group + 1) * k]
            np.dot(patches[: len(to)], matrix, product[: len(to)])
            to[:] = product[: len(to)] + bias[group * k : (group + 1) * k]


@loop
def _step(taps, filters, width):
    """Tell how many lines of windows to gather at a time."""
    return max(1, min(PIECE, PRODUCT // filters) // (taps * width))


@loop
def _add_bias(to, bias):
    # Sixteen rows at a time: a loop over six or ten filters is too short for vector instructions.
    flat, wide = to.reshape(to.size), np.empty(16 * len(bias), bias.dtype)
    for r in range(16):
        _copy(wide, r * len(bias), bias, 0, len(bias))
    for at in range(0, flat.size, wide.size):
        _add(flat, at, wide, 0, min(wide.size, flat.size - at))


@loop
def _copy(to, at, of, start, length):
    # Unsigned numbers: a signed index could mean "from the end", and that question costs the vector instructions.
    at, start = np.uintp(at), np.uintp(start)
    for t in range(np.uintp(length)):
        to[at + t] = of[start + t]


@loop
def _fill(to, at, length, value):
    at = np.uintp(at)
    for t in range(np.uintp(length)):
        to[at + t] = value


@loop
def _add(to, at, of, start, length):
    at, start = np.uintp(at), np.uintp(start)
    for t in range(np.uintp(length)):
        to[at + t] += of[start + t]


@loop
def _gather(x, start, stop, channel, patches, window, out, strides, pads, dilation, groups):
    """Copy windows into the rows of `patches`, zeros for pads; taps that touch in memory in one go."""
    kh, kw, c, _ = window
    _, h, w, channels = x.shape
    runs, length = (1, kw * c) if dilation[1] == 1 and groups == 1 else (kw, c)
    cells, to, width, at = x.reshape(x.size), patches.reshape(patches.size), w * channels, 0
    for line in range(start, stop):
        image, p = divmod(line, out[0])
        for q in range(out[1]):
            for i in range(kh):
                a = p * strides[0] + i * dilation[0] - pads[0][0]
                for j in range(runs):
                    b = (q * strides[1] + j * dilation[1] - pads[1][0]) * channels + channel
                    cell = (image * h + a) * width + b
                    if 0 <= a < h and 0 <= b and b + length <= width:
                        _copy(to, at, cells, cell, length)
                    else:
                        _fill(to, at, length, 0)
                        low, high = max(0, -b), min(length, width - b)
                        if 0 <= a < h and low < high:
                            _copy(to, at + low, cells, cell + low, high - low)
                    at += length


@loop
def _gather_taps(x, start, stop, taps, window, out, strides, pads, dilation):
    """Copy the windows of images of one channel, tap by tap: row t holds the cell under tap t of every window."""
    kh, kw = window[:2]
    _, h, w, _ = x.shape
    cells, to, at, step = x.reshape(x.size), taps.reshape(taps.size), 0, strides[1]
    for i in range(kh):
        for j in range(kw):
            b = j * dilation[1] - pads[1][0]
            low = min(out[1], max(0, -(b // step)))
            high = max(low, min(out[1], (w - 1 - b) // step + 1))
            for line in range(start, stop):
                image, p = divmod(line, out[0])
                a = p * strides[0] + i * dilation[0] - pads[0][0]
                cell = (image * h + a) * w + b
                if a < 0 or a >= h:
                    _fill(to, at, out[1], 0)
                else:
                    _fill(to, at, low, 0)
                    if step == 1:
                        _copy(to, at + low, cells, cell + low, high - low)
                    else:
                        for q in range(low, high):
                            to[at + q] = cells[cell + q * step]
                    _fill(to, at + high, out[1] - high, 0)
                at += out[1]


def conv2d_input_grad(
    g: np.ndarray, kernel: np.ndarray, x_shape: tuple[int, ...], strides: Pair, pads: Pads, dilation: Pair, groups: int
) -> np.ndarray:
    """See `reference.conv2d_input_grad`."""
    g, kernel = np.ascontiguousarray(g), np.ascontiguousarray(kernel, g.dtype)
    dx = np.empty(x_shape, g.dtype)
    share(_conv_input_grad, len(g), g.size * kernel[..., 0].size, g, kernel, dx, strides, pads, dilation, groups)
    return dx


@loop
def _conv_input_grad(first, last, g, kernel, dx, strides, pads, dilation, groups):
    kh, kw, c, filters = kernel.shape
    _, p, q, _ = g.shape
    k = filters // groups
    step = _step(kh * kw * c, k, q)
    shares = np.empty((step * q, kh * kw * c), g.dtype)
    gradients = g.reshape(-1, filters)
    dx[first:last] = 0
    for group in range(groups):
        matrix = np.ascontiguousarray(kernel[:, :, :, group * k : (group + 1) * k]).reshape(-1, k)
        back = np.ascontiguousarray(matrix.T)
        for start in range(first * p, last * p, step):
            stop = min(last * p, start + step)
            part = gradients[start * q : stop * q]
            if groups > 1:
                part = np.ascontiguousarray(part[:, group * k : (group + 1) * k])
            np.dot(part, back, shares[: len(part)])
            _scatter(dx, start, stop, group * c, shares, kernel.shape, (p, q), strides, pads, dilation, groups)


@loop
def _scatter(dx, start, stop, channel, shares, window, out, strides, pads, dilation, groups):
    """Add the rows of `shares` back to the cells that their windows read: the reverse of `_gather`."""
    kh, kw, c, _ = window
    _, h, w, channels = dx.shape
    runs, length = (1, kw * c) if dilation[1] == 1 and groups == 1 else (kw, c)
    to, of, width, at = dx.reshape(dx.size), shares.reshape(shares.size), w * channels, 0
    for line in range(start, stop):
        image, p = divmod(line, out[0])
        for q in range(out[1]):
            for i in range(kh):
                a = p * strides[0] + i * dilation[0] - pads[0][0]
                for j in range(runs):
                    b = (q * strides[1] + j * dilation[1] - pads[1][0]) * channels + channel
                    low, high = max(0, -b), min(length, width - b)
                    if 0 <= a < h and low < high:
                        _add(to, (image * h + a) * width + b + low, of, at + low, high - low)
                    at += length


def conv2d_kernel_grad(
    g: np.ndarray, x: np.ndarray, kernel_shape: tuple[int, ...], strides: Pair, pads: Pads, dilation: Pair, groups: int
) -> np.ndarray:
    """See `reference.conv2d_kernel_grad`."""
    g, x, shape = np.ascontiguousarray(g), np.ascontiguousarray(x, g.dtype), tuple(kernel_shape)
    work = g.size * shape[0] * shape[1] * shape[2]
    correlate = _conv_kernel_grad_one_channel if shape[2] == 1 and groups == 1 else _conv_kernel_grad
    parts = share(correlate, len(g), work, g, x, shape, strides, pads, dilation, groups)
    return sum(parts[1:], parts[0]).reshape(shape) if parts else np.zeros(shape, g.dtype)


@loop
def _conv_kernel_grad(first, last, g, x, window, strides, pads, dilation, groups):
    kh, kw, c, filters = window
    _, p, q, _ = g.shape
    k = filters // groups
    step = _step(kh * kw * c, k, q)
    patches = np.empty((step * q, kh * kw * c), g.dtype)
    gradients = g.reshape(-1, filters)
    product = np.empty((kh * kw * c, k), g.dtype)
    dk = np.zeros((kh * kw * c, filters), g.dtype)
    flat = dk.reshape(dk.size)
    for group in range(groups):
        for start in range(first * p, last * p, step):
            stop = min(last * p, start + step)
            _gather(x, start, stop, group * c, patches, window, (p, q), strides, pads, dilation, groups)
            part = gradients[start * q : stop * q]
            if groups > 1:
                part = np.ascontiguousarray(part[:, group * k : (group + 1) * k])
            np.dot(patches[: len(part)].T, part, product)
            if groups == 1:
                _add(flat, 0, product.reshape(product.size), 0, flat.size)
            else:
                dk[:, group * k : (group + 1) * k] += product
    return dk


@loop
def _conv_kernel_grad_one_channel(first, last, g, x, window, strides, pads, dilation, groups):
    kh, kw, _, k = window
    _, p, q, _ = g.shape
    step = _step(kh * kw, k, q)
    buffer = np.empty(step * q * kh * kw, g.dtype)
    gradients = g.reshape(-1, k)
    product = np.empty((kh * kw, k), g.dtype)
    dk = np.zeros((kh * kw, k), g.dtype)
    for start in range(first * p, last * p, step):
        stop = min(last * p, start + step)
        part = gradients[start * q : stop * q]
        taps = buffer[: len(part) * kh * kw].reshape(kh * kw, len(part))
        _gather_taps(x, start, stop, taps, window, (p, q), strides, pads, dilation)
        np.dot(taps, part, product)
        dk += product
    return dk


def _out(x: tuple[int, ...], window: tuple[int, ...], strides: Pair, pads: Pads, dilation: Pair) -> Pair:
    p, q = ((x[1 + a] + sum(pads[a]) - (window[a] - 1) * dilation[a] - 1) // strides[a] + 1 for a in (0, 1))
    return p, q


def conv2d_bias_grad(g: np.ndarray) -> np.ndarray:
    """See `reference.conv2d_bias_grad`."""
    g = np.ascontiguousarray(g)
    parts = share(_sum_rows, len(g), g.size, g)
    return sum(parts[1:], parts[0]) if parts else np.zeros(g.shape[3], g.dtype)


@loop
def _sum_rows(first, last, g):
    # Sixteen rows at a time, as in _add_bias.
    part = g[first:last].reshape(g[first:last].size)
    wide = np.zeros((16, g.shape[3]), g.dtype)
    flat = wide.reshape(wide.size)
    for at in range(0, part.size, flat.size):
        _add(flat, 0, part, at, min(flat.size, part.size - at))
    return wide.sum(axis=0)


def relu(x: np.ndarray) -> np.ndarray:
    """See `reference.relu`."""
    x = np.asarray(x, order="C")  # unlike ascontiguousarray, it leaves a lone number without axes
    y = np.empty_like(x)
    share(_relu, x.size, x.size, x.reshape(-1), y.reshape(-1))
    return y


@loop
def _relu(first, last, x, y):
    for i in range(np.uintp(first), np.uintp(last)):
        v = x[i]
        y[i] = v if v > 0 or v != v else 0


def relu_grad(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    """See `reference.relu_grad`."""
    g = np.asarray(g, order="C")
    dx = np.empty_like(g)
    share(_relu_grad, g.size, g.size, g.reshape(-1), np.asarray(y, order="C").reshape(-1), dx.reshape(-1))
    return dx


@loop
def _relu_grad(first, last, g, y, dx):
    for i in range(np.uintp(first), np.uintp(last)):
        dx[i] = g[i] if y[i] > 0 else 0


def max_pool2d(x: np.ndarray, pool_size: Pair, strides: Pair, pads: Pads, dilation: Pair) -> np.ndarray:
    """See `reference.max_pool2d`."""
    x = np.ascontiguousarray(x)
    y = np.empty((len(x), *_out(x.shape, pool_size, strides, pads, dilation), x.shape[3]), x.dtype)
    share(_max_pool, len(x), y.size * pool_size[0] * pool_size[1], x, y, pool_size, strides, pads, dilation)
    return y


@loop
def _max_pool(first, last, x, y, pool_size, strides, pads, dilation):
    _, h, w, c = x.shape
    _, p, q, _ = y.shape
    cells, to = x.reshape(x.size), y.reshape(y.size)
    for n in range(first, last):
        for row in range(p):
            for col in range(q):
                at = ((n * p + row) * q + col) * c
                found = False
                for i in range(pool_size[0]):
                    a = row * strides[0] + i * dilation[0] - pads[0][0]
                    if a < 0 or a >= h:
                        continue
                    for j in range(pool_size[1]):
                        b = col * strides[1] + j * dilation[1] - pads[1][0]
                        if 0 <= b < w:
                            cell = ((n * h + a) * w + b) * c
                            if found:
                                _raise(to, at, cells, cell, c)
                            else:
                                _copy(to, at, cells, cell, c)
                            found = True
                if not found:
                    _fill(to, at, c, -np.inf)


@loop
def _raise(to, at, of, start, length):
    at, start = np.uintp(at), np.uintp(start)
    for t in range(np.uintp(length)):
        new, old = of[start + t], to[at + t]
        to[at + t] = new if new > old or new != new else old


def max_pool2d_grad(
    g: np.ndarray, x: np.ndarray, y: np.ndarray, pool_size: Pair, strides: Pair, pads: Pads, dilation: Pair, split: bool
) -> np.ndarray:
    """See `reference.max_pool2d_grad`."""
    g, x, y = np.ascontiguousarray(g), np.ascontiguousarray(x, g.dtype), np.ascontiguousarray(y, g.dtype)
    dx = np.empty(x.shape, g.dtype)
    work = y.size * pool_size[0] * pool_size[1]
    give = _max_pool_split if split else _max_pool_first
    share(give, len(g), work, g, x, y, dx, pool_size, strides, pads, dilation)
    return dx


@loop
def _max_pool_first(first, last, g, x, y, dx, pool_size, strides, pads, dilation):
    _, h, w, c = x.shape
    _, p, q, _ = y.shape
    cells, best, shares, to = x.reshape(x.size), y.reshape(y.size), g.reshape(g.size), dx.reshape(dx.size)
    winner = np.empty(c, np.int64)
    dx[first:last] = 0
    for n in range(first, last):
        for row in range(p):
            for col in range(q):
                at = ((n * p + row) * q + col) * c
                winner[:] = -1
                # Backwards, so that the first of equal winners has the last word.
                for i in range(pool_size[0] - 1, -1, -1):
                    a = row * strides[0] + i * dilation[0] - pads[0][0]
                    if a < 0 or a >= h:
                        continue
                    for j in range(pool_size[1] - 1, -1, -1):
                        b = col * strides[1] + j * dilation[1] - pads[1][0]
                        if 0 <= b < w:
                            _note_winners(winner, cells, ((n * h + a) * w + b) * c, best, at)
                for t in range(c):
                    if winner[t] >= 0:
                        to[winner[t]] += shares[at + t]


@loop
def _note_winners(winner, cells, cell, best, at):
    cell, at = np.uintp(cell), np.uintp(at)
    for t in range(np.uintp(len(winner))):
        v = cells[cell + t]
        winner[t] = np.int64(cell + t) if v == best[at + t] or v != v else winner[t]


@loop
def _max_pool_split(first, last, g, x, y, dx, pool_size, strides, pads, dilation):
    _, h, w, c = x.shape
    _, p, q, _ = y.shape
    dx[first:last] = 0
    for n in range(first, last):
        for row in range(p):
            for col in range(q):
                for t in range(c):
                    best, winners = y[n, row, col, t], 0
                    for counting in (True, False):
                        for i in range(pool_size[0]):
                            a = row * strides[0] + i * dilation[0] - pads[0][0]
                            for j in range(pool_size[1]):
                                b = col * strides[1] + j * dilation[1] - pads[1][0]
                                if 0 <= a < h and 0 <= b < w:
                                    v = x[n, a, b, t]
                                    if v == best or v != v:
                                        if counting:
                                            winners += 1
                                        else:
                                            dx[n, a, b, t] += g[n, row, col, t] / winners


def sum_pool2d(x: np.ndarray, pool_size: Pair, strides: Pair, pads: Pads, dilation: Pair) -> np.ndarray:
    """See `reference.sum_pool2d`."""
    x = np.ascontiguousarray(x)
    y = np.empty((len(x), *_out(x.shape, pool_size, strides, pads, dilation), x.shape[3]), x.dtype)
    share(_sum_pool, len(x), y.size * pool_size[0] * pool_size[1], x, y, pool_size, strides, pads, dilation)
    return y


@loop
def _sum_pool(first, last, x, y, pool_size, strides, pads, dilation):
    _, h, w, c = x.shape
    _, p, q, _ = y.shape
    cells, sums = x.reshape(x.size), y.reshape(y.size)
    y[first:last] = 0
    for line in range(first * p, last * p):
        image, row = divmod(line, p)
        for i in range(pool_size[0]):
            a = row * strides[0] + i * dilation[0] - pads[0][0]
            if a < 0 or a >= h:
                continue
            for col in range(q):
                for j in range(pool_size[1]):
                    b = col * strides[1] + j * dilation[1] - pads[1][0]
                    if 0 <= b < w:
                        _add(sums, (line * q + col) * c, cells, ((image * h + a) * w + b) * c, c)


def sum_pool2d_grad(
    g: np.ndarray, x_shape: tuple[int, ...], pool_size: Pair, strides: Pair, pads: Pads, dilation: Pair
) -> np.ndarray:
    """See `reference.sum_pool2d_grad`."""
    g, dx = np.ascontiguousarray(g), np.empty(x_shape, g.dtype)
    share(_sum_pool_grad, len(g), g.size * pool_size[0] * pool_size[1], g, dx, pool_size, strides, pads, dilation)
    return dx


@loop
def _sum_pool_grad(first, last, g, dx, pool_size, strides, pads, dilation):
    _, h, w, c = dx.shape
    _, p, q, _ = g.shape
    sums, cells = g.reshape(g.size), dx.reshape(dx.size)
    dx[first:last] = 0
    for line in range(first * p, last * p):
        image, row = divmod(line, p)
        for i in range(pool_size[0]):
            a = row * strides[0] + i * dilation[0] - pads[0][0]
            if a < 0 or a >= h:
                continue
            for col in range(q):
                for j in range(pool_size[1]):
                    b = col * strides[1] + j * dilation[1] - pads[1][0]
                    if 0 <= b < w:
                        _add(cells, ((image * h + a) * w + b) * c, sums, (line * q + col) * c, c)
