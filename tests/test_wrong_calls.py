"""Wrong calls of ops: each says which op, which number, and what would fit; none speaks in NumPy's voice."""

import numpy as np
import pytest
from wrong import says

import minicnn
import minicnn.validation
from minicnn import Tensor, ops

IMAGE = np.ones((2, 5, 4, 3))
KERNEL = np.ones((3, 3, 3, 8))
ROWS = np.ones((3, 4))
LABELS = np.array([0, 1, 3])
RNG = np.random.default_rng(0)
FOREIGN = ["broadcast together", "could not be broadcast", "not subscriptable", "not iterable", "has no attribute",
           "out of range for", "unsupported operand", "NoneType' object", "remapped shapes", "could not convert",
           "division by zero", "zero-size array", "cannot reshape", "tuple index", "list index",
           "_shape()"]  # fmt: skip

CALLS = [
    # images and kernels
    (lambda: ops.conv2d(IMAGE[0], KERNEL), ValueError, ["conv2d", "3 axes (5, 4, 3)", "(N, H, W, C)", "x[None]"]),
    (lambda: ops.conv2d(IMAGE[0, 0], KERNEL), ValueError, ["conv2d", "2 axes (4, 3)", "reshape"]),
    (lambda: ops.conv2d(IMAGE, KERNEL[0]), ValueError, ["conv2d", "3 axes (3, 3, 8)", "(kh, kw, in // groups, out)"]),
    (
        lambda: ops.conv2d(IMAGE[..., :1], KERNEL),
        ValueError,
        ["conv2d", "(2, 5, 4, 1)", "1 channels", "(3, 3, 3, 8)", "(3, 3, 1, 8)"],
    ),
    (lambda: ops.conv2d(np.ones((2, 3, 28, 28)), KERNEL), ValueError, ["conv2d", "28 channels", "NHWC"]),
    (lambda: ops.conv2d(IMAGE, KERNEL, groups=2), ValueError, ["conv2d", "3 channels", "3 x 2 groups"]),
    (lambda: ops.conv2d(IMAGE, KERNEL[:, :, :1], groups=3), ValueError, ["conv2d", "8 filters", "multiple of 3"]),
    (lambda: ops.conv2d(IMAGE, KERNEL, groups=0), ValueError, ["conv2d", "groups=0", "at least 1"]),
    (lambda: ops.conv2d(IMAGE, KERNEL, groups=1.0), TypeError, ["conv2d", "groups=1.0", "int"]),
    (lambda: ops.conv2d(IMAGE, KERNEL, np.ones(3)), ValueError, ["conv2d", "bias must", "(3,)", "8 filters", "(8,)"]),
    (lambda: ops.conv2d(IMAGE, KERNEL, np.ones((8, 1))), ValueError, ["conv2d", "bias must", "(8, 1)", "(8,)"]),
    (
        lambda: ops.conv2d(IMAGE, np.ones((6, 3, 3, 8))),
        ValueError,
        ["conv2d", "6x3 window", "5x4 input", "floor((5 - 6) / 1) + 1 = 0 rows", 'padding="same"', "kernel_size"],
    ),
    (
        lambda: ops.conv2d(IMAGE, KERNEL, dilation_rate=(1, 2)),
        ValueError,
        ["conv2d", "spans 3x5", "floor((4 - 5) / 1) + 1 = 0 columns"],
    ),
    (lambda: ops.conv2d(IMAGE, KERNEL, strides=0), ValueError, ["conv2d", "strides=0", "at least 1"]),
    (lambda: ops.conv2d(IMAGE, KERNEL, strides=(1, 2, 3)), ValueError, ["conv2d", "strides=(1, 2, 3)", "pair"]),
    (lambda: ops.conv2d(IMAGE, KERNEL, strides=1.5), TypeError, ["conv2d", "strides=1.5", "integer"]),
    (lambda: ops.conv2d(IMAGE, KERNEL, padding="SAME"), ValueError, ["conv2d", "'SAME'", "'same'"]),
    (lambda: ops.conv2d(IMAGE, KERNEL, padding=-1), ValueError, ["conv2d", "padding=-1", "at least 0"]),
    (lambda: ops.conv2d(IMAGE, KERNEL, padding=None), TypeError, ["conv2d", "padding=None"]),
    (lambda: ops.conv2d(np.ones((2, 0, 4, 3)), KERNEL), ValueError, ["conv2d", "(2, 0, 4, 3)", "no rows"]),
    (lambda: ops.conv2d(np.ones((2, 5, 0, 3)), KERNEL), ValueError, ["conv2d", "no columns"]),
    (lambda: ops.conv2d(np.ones((2, 5, 4, 0)), KERNEL[:, :, :0]), ValueError, ["conv2d", "no channels"]),
    (lambda: ops.conv2d(IMAGE, KERNEL[:0]), ValueError, ["conv2d", "kernel_size=(0, 3)", "at least 1"]),
    # kinds and dtypes
    (
        lambda: ops.conv2d(IMAGE.astype(np.uint8), KERNEL),
        TypeError,
        ["conv2d", "x must be", "got dtype uint8", "np.float32"],
    ),
    (lambda: ops.conv2d(IMAGE, KERNEL.astype(int)), TypeError, ["conv2d", "kernel must be", "got dtype int64"]),
    (lambda: ops.conv2d(IMAGE.tolist(), KERNEL), TypeError, ["conv2d", "x must be a", "got a list", "array"]),
    (lambda: ops.conv2d(None, KERNEL), TypeError, ["conv2d", "x must be a", "got a NoneType"]),
    (lambda: ops.conv2d(3.0, KERNEL), ValueError, ["conv2d", "0 axes ()"]),
    (lambda: ops.relu("image"), TypeError, ["relu", "x must be a", "got a str"]),
    (lambda: ops.relu(np.array([True])), TypeError, ["relu", "dtype bool"]),
    (lambda: ops.add(ROWS, [1.0, 2.0]), TypeError, ["add", "y must be a", "got a list"]),
    (lambda: Tensor(ROWS) * [1.0, 2.0, 3.0, 4.0], TypeError, ["multiply", "y must be a", "got a list"]),
    # pooling
    (
        lambda: ops.max_pool2d(np.ones((1, 1, 1, 1))),
        ValueError,
        ["max_pool2d", "2x2 window", "1x1 input", "floor((1 - 2) / 2) + 1 = 0 rows", "pool_size"],
    ),
    (lambda: ops.max_pool2d(IMAGE, 3, padding=3), ValueError, ["max_pool2d", "got (3, 3)", "at most 2"]),
    (lambda: ops.average_pool2d(IMAGE, 2, padding=(0, 2)), ValueError, ["average_pool2d", "got (2, 2)", "at most 1"]),
    (lambda: ops.max_pool2d(IMAGE, 0), ValueError, ["max_pool2d", "pool_size=0"]),
    (lambda: ops.max_pool2d(IMAGE, (2, 2.0)), TypeError, ["max_pool2d", "pool_size=(2, 2.0)"]),
    (lambda: ops.max_pool2d(IMAGE, np.array([2, 2])), TypeError, ["max_pool2d", "pool_size=array([2, 2])"]),
    (lambda: ops.max_pool2d(IMAGE, "2"), TypeError, ["max_pool2d", "pool_size='2'"]),
    (lambda: ops.max_pool2d(IMAGE, None), TypeError, ["max_pool2d", "pool_size=None"]),
    (lambda: ops.max_pool2d(IMAGE, strides=(0, 1)), ValueError, ["max_pool2d", "strides=(0, 1)"]),
    (lambda: ops.max_pool2d(IMAGE, ties="all"), ValueError, ["max_pool2d", "ties='all'", "'first' or 'split'"]),
    (lambda: ops.global_max_pool2d(IMAGE, ties=None), ValueError, ["global_max_pool2d", "ties=None", "'split'"]),
    (lambda: ops.max_pool2d(IMAGE, padding="full"), ValueError, ["max_pool2d", "'full'", "'valid'"]),
    (lambda: ops.max_pool2d(IMAGE[0]), ValueError, ["max_pool2d", "3 axes", "x[None]"]),
    (lambda: ops.average_pool2d(IMAGE, 6), ValueError, ["average_pool2d", "6x6 window", "5x4"]),
    (lambda: ops.average_pool2d(IMAGE, dilation_rate=0), ValueError, ["average_pool2d", "dilation_rate=0"]),
    (lambda: ops.average_pool2d(np.ones((1, 0, 3, 1))), ValueError, ["average_pool2d", "no rows"]),
    (lambda: ops.lp_pool2d(IMAGE, p=0.5), ValueError, ["lp_pool2d", "p=0.5", "at least 1"]),
    (lambda: ops.lp_pool2d(IMAGE, p=np.inf), ValueError, ["lp_pool2d", "p=inf", "finite"]),
    (lambda: ops.lp_pool2d(IMAGE, p="2"), TypeError, ["lp_pool2d", "p='2'", "number"]),
    (lambda: ops.global_average_pool2d(ROWS), ValueError, ["global_average_pool2d", "2 axes (3, 4)"]),
    (lambda: ops.global_average_pool2d(np.ones((1, 3, 0, 1))), ValueError, ["global_average_pool2d", "no columns"]),
    (lambda: ops.global_max_pool2d(np.ones((1, 0, 0, 1))), ValueError, ["global_max_pool2d", "no rows"]),
    # pads and crops
    (lambda: ops.pad2d(IMAGE, -1), ValueError, ["pad2d", "padding=-1", "at least 0"]),
    (lambda: ops.pad2d(IMAGE, "same"), TypeError, ["pad2d", "padding='same'", "int"]),
    (lambda: ops.pad2d(IMAGE, (1, 2, 3, 4)), ValueError, ["pad2d", "(1, 2, 3, 4)", "length 4"]),
    (lambda: ops.pad2d(IMAGE, mode="mirror"), ValueError, ["pad2d", "mode='mirror'", "reflect"]),
    (lambda: ops.pad2d(IMAGE, (0, 4), mode="reflect"), ValueError, ["pad2d", "(4, 4)", "from 4", "at most 3"]),
    (lambda: ops.pad2d(IMAGE, 5, mode="wrap"), ValueError, ["pad2d", "(5, 5)", "at most 4"]),
    (lambda: ops.pad2d(IMAGE, value="0"), TypeError, ["pad2d", "value='0'", "number"]),
    (lambda: ops.pad2d(IMAGE, value=None), TypeError, ["pad2d", "value=None"]),
    (lambda: ops.pad2d(ROWS), ValueError, ["pad2d", "2 axes"]),
    (lambda: ops.pad2d(np.ones((1, 0, 2, 1))), ValueError, ["pad2d", "no rows"]),
    (lambda: ops.crop2d(IMAGE, 2), ValueError, ["crop2d", "cropping must", "got 2", "5x4", "1x0", "less"]),
    (lambda: ops.crop2d(IMAGE, -1), ValueError, ["crop2d", "cropping=-1", "at least 0"]),
    (lambda: ops.crop2d(IMAGE, 1.0), TypeError, ["crop2d", "cropping=1.0"]),
    # arithmetic and matrices
    (lambda: ops.add(ROWS, np.ones(3)), ValueError, ["add", "(3, 4)", "(3,)", "reshape"]),
    (lambda: Tensor(ROWS) - np.ones((2, 4)), ValueError, ["subtract", "(3, 4)", "(2, 4)"]),
    (lambda: np.ones((2, 4)) / Tensor(ROWS), ValueError, ["divide", "(2, 4)", "(3, 4)"]),
    (lambda: ops.maximum(ROWS, np.ones(5)), ValueError, ["maximum", "(3, 4)", "(5,)"]),
    (lambda: ops.power(ROWS, np.ones(5)), ValueError, ["power", "(3, 4)", "(5,)"]),
    (
        lambda: ROWS @ Tensor(ROWS),
        ValueError,
        ["matmul", "(3, 4)", "inner dimensions must be equal, got 4 and 3", "Transpose"],
    ),
    (lambda: ops.matmul(ROWS, 2.0), ValueError, ["matmul", "()", "*"]),
    (lambda: ops.matmul(np.ones((2, 3, 4)), np.ones((3, 4, 5))), ValueError, ["matmul", "(2,)", "(3,)"]),
    (lambda: ops.dense(IMAGE, KERNEL), ValueError, ["dense", "4 axes (2, 5, 4, 3)", "(N, features)", "Flatten"]),
    (
        lambda: ops.dense(ROWS, np.ones((5, 2))),
        ValueError,
        ["dense", "(5, 2)", "4 rows, one per feature", "(4, units)"],
    ),
    (lambda: ops.dense(ROWS, np.ones(4)), ValueError, ["dense", "(4,)", "(4, units)"]),
    (lambda: ops.dense(ROWS, np.ones((4, 2)), np.ones(4)), ValueError, ["dense", "bias must have", "got (4,)", "(2,)"]),
    # reductions
    (lambda: ops.sum(ROWS, axis=2), ValueError, ["sum", "axis must name", "got 2", "-2 to 1"]),
    (lambda: ops.mean(ROWS, axis=(0, -2)), ValueError, ["mean", "axis must name", "got (0, -2)", "once"]),
    (lambda: ops.max(ROWS, axis=-3), ValueError, ["max", "axis must name", "got -3", "-2 to 1"]),
    (lambda: ops.logsumexp(ROWS, axis=1.0), TypeError, ["logsumexp", "axis=1.0", "int"]),
    (lambda: ops.sum(ROWS, axis="rows"), TypeError, ["sum", "axis='rows'"]),
    (lambda: ops.sum(np.array(1.0), axis=0), ValueError, ["sum", "axis must name", "got 0", "Leave it out"]),
    (lambda: ops.mean(ROWS[:0]), ValueError, ["mean", "(0, 4)", "at least one element"]),
    (lambda: ops.max(ROWS[:0], axis=0), ValueError, ["max", "(0, 4)", "axis 0"]),
    (lambda: ops.logsumexp(ROWS[:, :0], axis=1), ValueError, ["logsumexp", "(3, 0)"]),
    (lambda: ops.max(np.ones((0, 0)), axis=0), ValueError, ["max", "(0, 0)"]),
    # arrangement
    (lambda: ops.reshape(ROWS, (5, 2)), ValueError, ["reshape", "12 elements", "(3, 4)", "(5, 2)", "-1"]),
    (lambda: ops.reshape(ROWS, (5, -1)), ValueError, ["reshape", "12 elements", "(5, -1)"]),
    (lambda: ops.reshape(ROWS, (-1, -1)), ValueError, ["reshape", "(-1, -1)", "one size"]),
    (lambda: ops.reshape(ROWS, (0, -1)), ValueError, ["reshape", "(0, -1)"]),
    (lambda: ops.reshape(ROWS, (2.0, 6)), TypeError, ["reshape", "(2.0, 6)", "integer"]),
    (lambda: ops.reshape(ROWS, (-2, 6)), ValueError, ["reshape", "(-2, 6)"]),
    (lambda: ops.reshape(ROWS, None), TypeError, ["reshape", "shape=None"]),
    (lambda: ops.flatten(np.ones(3)), ValueError, ["flatten", "(3,)", "batch axis"]),
    (lambda: ops.transpose(ROWS, (0, 0)), ValueError, ["transpose", "(0, 0)", "once", "(0, 1)"]),
    (lambda: ops.transpose(ROWS, (0, 2)), ValueError, ["transpose", "(0, 2)"]),
    (lambda: ops.transpose(ROWS, 1), ValueError, ["transpose", "axes must name", "got 1", "2 axes"]),
    (lambda: ops.transpose(ROWS, (0.0, 1.0)), TypeError, ["transpose", "(0.0, 1.0)"]),
    (ops.concatenate, ValueError, ["concatenate", "got none", "at least one"]),
    (lambda: ops.concatenate([ROWS, ROWS]), TypeError, ["concatenate", "arrays must be a", "got a list"]),
    (lambda: ops.concatenate(ROWS, ROWS[:2]), ValueError, ["concatenate", "(3, 4)", "(2, 4)", "axis -1"]),
    (lambda: ops.concatenate(ROWS, ROWS[0]), ValueError, ["concatenate", "(3, 4)", "(4,)"]),
    (lambda: ops.concatenate(ROWS, axis=2), ValueError, ["concatenate", "axis must name", "got 2", "-2 to 1"]),
    (lambda: ops.concatenate(ROWS, axis=0.5), TypeError, ["concatenate", "axis=0.5"]),
    (lambda: ops.concatenate(1.0, 2.0), ValueError, ["concatenate", "()", "with axes"]),
    (lambda: Tensor(ROWS)[3], ValueError, ["getitem", "index must fit", "got 3", "(3, 4)"]),
    (lambda: Tensor(ROWS)[0, 0, 0], ValueError, ["getitem", "(0, 0, 0)", "(3, 4)", "2 axes"]),
    (lambda: Tensor(ROWS)["a"], ValueError, ["getitem", "'a'"]),
    (lambda: Tensor(ROWS)[1.0], ValueError, ["getitem", "1.0"]),
    (lambda: Tensor(ROWS)[1.0:], ValueError, ["getitem", "slice(1.0"]),
    (lambda: Tensor(ROWS)[LABELS, LABELS[:2]], ValueError, ["getitem", "(3, 4)", "index arrays"]),
    (lambda: Tensor(ROWS)[::0], ValueError, ["getitem", "slice(None, None, 0)"]),
    (lambda: Tensor(ROWS)[np.ones(5, bool)], ValueError, ["getitem", "(3, 4)"]),
    # losses, activations, normalisation
    (lambda: ops.cross_entropy(ROWS, LABELS[:2]), ValueError, ["cross_entropy", "(2,)", "one per row", "(3,)"]),
    (
        lambda: ops.cross_entropy(ROWS, LABELS + 1),
        ValueError,
        ["cross_entropy", "labels must be", "got 4", "4 classes", "0 to 3"],
    ),
    (lambda: ops.cross_entropy(ROWS, LABELS - 1), ValueError, ["cross_entropy", "labels must be", "got -1", "0 to 3"]),
    (lambda: ops.cross_entropy(ROWS, LABELS.astype(float)), TypeError, ["cross_entropy", "float64", "integer"]),
    (lambda: ops.cross_entropy(ROWS, [0, 1, 3]), TypeError, ["cross_entropy", "a list", "(3,)"]),
    (lambda: ops.cross_entropy(ROWS, np.eye(4, dtype=int)[LABELS]), ValueError, ["cross_entropy", "(3, 4)", "argmax"]),
    (lambda: ops.cross_entropy(ROWS[0], LABELS), ValueError, ["cross_entropy", "(4,)", "(N, classes)"]),
    (lambda: ops.cross_entropy(ROWS[:0], LABELS[:0]), ValueError, ["cross_entropy", "(0, 4)", "at least one row"]),
    (
        lambda: ops.cross_entropy(ROWS, LABELS, label_smoothing=1.0),
        ValueError,
        ["cross_entropy", "label_smoothing=1.0", "1)"],
    ),
    (lambda: ops.cross_entropy(ROWS, LABELS, label_smoothing="a"), TypeError, ["cross_entropy", "label_smoothing='a'"]),
    (lambda: ops.mean_squared_error(ROWS, np.ones(4)), ValueError, ["mean_squared_error", "(3, 4)", "(4,)"]),
    (lambda: ops.mean_squared_error(ROWS[:0], ROWS[:0]), ValueError, ["mean_squared_error", "(0, 4)", "at least one"]),
    (lambda: ops.softmax(3.0), ValueError, ["softmax", "()", "at least one"]),
    (lambda: ops.log_softmax(ROWS[:, :0]), ValueError, ["log_softmax", "(3, 0)"]),
    (lambda: ops.dropout(ROWS, 1.0, RNG), ValueError, ["dropout", "rate=1.0", "1)"]),
    (lambda: ops.dropout(ROWS, -0.1, RNG), ValueError, ["dropout", "rate=-0.1"]),
    (lambda: ops.dropout(ROWS, "half", RNG), TypeError, ["dropout", "rate='half'"]),
    (
        lambda: ops.dropout(ROWS, 0.5, 0),
        TypeError,
        ["dropout", "rng must be a numpy.random.Generator, got an int", "default_rng(0)"],
    ),
    (
        lambda: ops.dropout(ROWS, 0.5, np.random.RandomState(0)),
        TypeError,
        ["dropout", "rng must be a numpy.random.Generator, got a RandomState", "default_rng(0)"],
    ),
    (lambda: ops.leaky_relu(ROWS, np.nan), ValueError, ["leaky_relu", "negative_slope=nan", "finite"]),
    (lambda: ops.elu(ROWS, alpha="1"), TypeError, ["elu", "alpha='1'", "number"]),
    (lambda: ops.batch_norm(ROWS, np.ones(3), np.ones(4)), ValueError, ["batch_norm", "(3,)", "4 channels", "(4,)"]),
    (
        lambda: ops.batch_norm(ROWS[:0], np.ones(4), np.ones(4)),
        ValueError,
        ["batch_norm", "(0, 4)", "at least one row"],
    ),
    (lambda: ops.batch_norm(ROWS[0], np.ones(4), np.ones(4)), ValueError, ["batch_norm", "(4,)"]),
    (
        lambda: ops.batch_norm(ROWS, ROWS[0], ROWS[0], epsilon=0),
        ValueError,
        ["batch_norm", "epsilon must be positive", "got 0", "1e-3"],
    ),
    (lambda: ops.batch_norm(ROWS, ROWS[0], ROWS[0], epsilon=-1.0), ValueError, ["batch_norm", "epsilon=-1.0"]),
    (lambda: ops.batch_norm(ROWS, ROWS[0], ROWS[0], epsilon="s"), TypeError, ["batch_norm", "epsilon='s'"]),
]


@pytest.mark.parametrize(("call", "kind", "fragments"), CALLS, ids=[f"{c[2][0]}: {c[2][-1]}" for c in CALLS])
def test_a_wrong_call_says_what_is_wrong(call, kind, fragments):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    message = str(caught.value)
    assert caught.type is kind or (kind is ValueError and caught.type.__name__ == "ShapeError")
    assert message.startswith(f"{fragments[0]}: ")
    for fragment in fragments:
        assert says(message, fragment), message
    for words in FOREIGN:
        assert words not in message


def test_the_same_words_come_from_the_shape_rule():
    with pytest.raises(ValueError, match=r"conv2d: kernel must fit the 1 channels of the input"):
        ops.conv2d.shape((2, 5, 4, 1), (3, 3, 3, 8))


def test_the_class_of_shape_errors_is_a_public_name():
    assert minicnn.ShapeError is minicnn.validation.ShapeError
