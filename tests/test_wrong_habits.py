"""Words of other frameworks, and what was accepted and went wrong later: each is told what to write instead."""

import copy
import pickle
from dataclasses import dataclass, replace

import numpy as np
import pytest
from wrong import check, table

import minicnn
from minicnn import (
    Tensor,
    data,
    grad,
    gradcheck,
    kernels,
    layers,
    models,
    ops,
    optim,
    schedules,
    study,
    train,
    value_and_grad,
)
from minicnn.layers import initializers
from minicnn.validation import ShapeError

V, T, L = ValueError, TypeError, layers
RNG, IMAGE, ROWS = np.random.default_rng(0), np.ones((2, 8, 8, 1), np.float32), np.ones((3, 4))
NET = L.Sequential([L.Conv2D(2, 3), L.ReLU(), L.Flatten(), L.Dense(3)])
PARAMS = NET.init(RNG, (8, 8, 1))
X = Tensor(ROWS)
SPLIT = data.Split(IMAGE, np.array([0, 1]))


def changed(path, value):
    params = copy.deepcopy(PARAMS)
    layer, leaf = path.split("/")
    params[layer][leaf] = value
    return params


CALLS = [
    # the constructor of Tensor
    (T, Tensor, "Tensor: 'data' must be given.", "The arguments are data, edges."),
    (T, lambda: Tensor(dta=ROWS), "Tensor: 'dta' is not an argument.", "Did you mean 'data'?"),
    (T, lambda: Tensor(ROWS, requires_grad=True), "Tensor: 'requires_grad' is not an argument.", "plain array"),
    (T, lambda: Tensor(ROWS, (), None), "Tensor: too many arguments, 3 where at most 2 fit.", "data, edges"),
    (T, lambda: Tensor(ROWS, data=ROWS), "Tensor: 'data' is given twice", "data, edges"),
    # unknown arguments of layers, ops, models, optimizers, data
    (T, lambda: L.Conv2D(8, 3, activation="relu"), "Conv2D: 'activation'", "layers.ReLU() after it"),
    (T, lambda: L.Conv2D(8, 3, input_shape=(8, 8, 1)), "Conv2D: 'input_shape'", "net.init(rng, input_shape)"),
    (T, lambda: L.Conv2D(8, 3, stride=2), "Conv2D: 'stride'", "Use strides."),
    (T, lambda: L.Conv2D(8, kernel=3), "Conv2D: 'kernel'", "Use kernel_size."),
    (
        T,
        lambda: L.Conv2D(in_channels=1, out_channels=8, kernel_size=3),
        "Conv2D: 'in_channels'",
        "follow from the input",
    ),
    (T, lambda: L.Conv2D(out_channels=8, kernel_size=3), "Conv2D: 'out_channels'", "Use filters."),
    (T, lambda: L.Conv2D(8, 3, bias=False), "Conv2D: 'bias'", "Use use_bias."),
    (T, lambda: L.Conv2D(8, 3, data_format="channels_first"), "Conv2D: 'data_format'", "(N, H, W, C)"),
    (T, lambda: L.Conv2D(8, 3, name="first"), "Conv2D: 'name'", "named by their kind"),
    (T, lambda: L.Conv2D(8, 3, dilation=2), "Conv2D: 'dilation'", "Use dilation_rate."),
    (T, lambda: L.Conv2D(8, 3, paddin="same"), "Conv2D: 'paddin'", "Did you mean 'padding'?"),
    (T, lambda: L.Conv2D(8, 3, foo=1), "Conv2D: 'foo'", "The arguments are filters, kernel_size"),
    (T, lambda: L.Conv2D(*()), "Conv2D: 'filters' and 'kernel_size' must be given", "The arguments are"),
    (T, lambda: L.Conv2D(8), "Conv2D: 'kernel_size' must be given", "The arguments are"),
    (T, lambda: L.Conv2D(8, 3, filters=8), "Conv2D: 'filters' is given twice", "The arguments are"),
    (T, lambda: L.MaxPooling2D(stride=2), "MaxPooling2D: 'stride'", "Use strides."),
    (T, lambda: L.MaxPooling2D(kernel=2), "MaxPooling2D: 'kernel'", "Use pool_size."),
    (T, lambda: L.MaxPooling2D(size=2), "MaxPooling2D: 'size'", "Use pool_size."),
    (T, lambda: L.Dense(10, activation="softmax"), "Dense: 'activation'", "after it"),
    (T, lambda: L.Dense(out_features=3), "Dense: 'out_features'", "Use units."),
    (T, lambda: L.Dense(10, input_dim=3), "Dense: 'input_dim'", "net.init(rng, input_shape)"),
    (T, lambda: L.Dropout(p=0.5), "Dropout: 'p'", "Use rate."),
    (T, lambda: L.BatchNormalization(eps=1e-5), "BatchNormalization: 'eps'", "Use epsilon."),
    (T, lambda: L.ReLU(6), "ReLU: too many arguments", "There are no arguments."),
    (T, lambda: L.Flatten(data_format=None), "Flatten: 'data_format'", "(N, H, W, C)"),
    (T, lambda: L.Sequential(*()), "Sequential: 'layers' must be given", "The arguments are layers."),
    (T, lambda: L.Sequential(L.ReLU(), L.ReLU()), "Sequential: too many arguments", "The arguments are layers."),
    (T, lambda: ops.conv2d(IMAGE, ROWS, stride=2), "conv2d: 'stride'", "Use strides."),
    (T, lambda: ops.max_pool2d(IMAGE, kernel=2), "max_pool2d: 'kernel'", "Use pool_size."),
    (T, lambda: ops.sum(ROWS, dim=1), "sum: 'dim'", "Use axis."),
    (T, lambda: ops.mean(ROWS, 1, keepdim=True), "mean: 'keepdim'", "Use keepdims."),
    (T, lambda: ops.dense(ROWS), "dense: 'kernel' must be given", "The arguments are x, kernel, bias."),
    (T, lambda: ops.relu(ROWS, ROWS), "relu: too many arguments", "The arguments are x."),
    (T, lambda: optim.SGD(lr=0.1), "SGD: 'lr'", "Use learning_rate."),
    (T, lambda: optim.Adam(0.1, betas=(0.9, 0.99)), "Adam: 'betas'", "Use beta_1."),
    (T, lambda: optim.Adam(0.1, eps=1e-8), "Adam: 'eps'", "Use epsilon."),
    (T, lambda: optim.SGD(0.1, clipnorm=1.0), "SGD: 'clipnorm'", "Use global_clipnorm."),
    (T, lambda: optim.SGD(0.1, momentun=0.9), "SGD: 'momentun'", "Did you mean 'momentum'?"),
    (T, lambda: schedules.Cosine(lr=0.1), "Cosine: 'lr'", "Use rate."),
    (T, lambda: schedules.Step(0.1), "Step: 'every' must be given", "The arguments are rate, every, factor."),
    (T, lambda: models.lenet5(num_classes=3), "lenet5: 'num_classes'", "Use classes."),
    (T, lambda: models.small_cnn(activation="relu"), "small_cnn: 'activation'", "layers.ReLU()"),
    (T, lambda: data.load("digits", sed=1), "load: 'sed'", "Did you mean 'seed'?"),
    (T, lambda: data.batches(SPLIT), "batches: 'batch_size' must be given", "The arguments are"),
    (T, lambda: data.Augmentation(rotation=10), "Augmentation: 'rotation'", "Did you mean 'rotate'?"),
    (T, lambda: minicnn.explain_shapes(NET), "explain_shapes: 'input_shape' must be given", "The arguments are"),
    (T, lambda: value_and_grad(len, aux=True), "value_and_grad: 'aux'", "Did you mean 'has_aux'?"),
    # calls of nets
    (T, lambda: NET(IMAGE), "Sequential: params must be a dict, got a ndarray", "Call net(params, x)"),
    (T, lambda: NET(IMAGE, PARAMS), "Sequential: params must be a dict, got a ndarray", "Call net(params, x)"),
    (
        T,
        lambda: NET(PARAMS),
        "Sequential: x must be a float32 or float64 array or a Tensor, got a NoneType",
        "Call net(params, x)",
    ),
    (T, lambda: NET(*()), "Sequential: params must be a dict, got a NoneType", "Call net(params, x)"),
    (T, lambda: NET(PARAMS, IMAGE, training=True), "Sequential: 'training'", "a call with rng="),
    (
        T,
        lambda: NET(PARAMS, IMAGE, 0),
        "Sequential: rng must be a numpy.random.Generator, got an int",
        "np.random.default_rng(0)",
    ),
    (
        T,
        lambda: NET(PARAMS, IMAGE, rng="seed"),
        "Sequential: rng must be a numpy.random.Generator, got a str",
        "np.random.default_rng(0)",
    ),
    (
        T,
        lambda: NET(PARAMS, IMAGE.tolist()),
        "Sequential: x must be a float32 or float64 array or a Tensor, got a list",
        "np.asarray",
    ),
    (T, lambda: NET([ROWS], IMAGE), "Sequential: params must be a dict, got a list", "net.init(rng, input_shape)"),
    (T, lambda: L.Dense(3)(ROWS), "Dense: params must be a dict, got a ndarray", "Call net(params, x)"),
    (
        T,
        lambda: L.Dropout(0.5)({}, ROWS, np.random.RandomState(0)),
        "Dropout: rng must be a numpy.random.Generator, got a RandomState",
        "default_rng(0)",
    ),
    (
        T,
        lambda: NET.calibrate(PARAMS, Tensor(IMAGE)),
        "Sequential.calibrate: x must be a float32 or float64 array, got a Tensor",
        "Use x.data.",
    ),
    (
        V,
        lambda: L.Residual(L.Conv2D(1, 3))(L.Residual(L.Conv2D(1, 3)).init(RNG, (3, 3, 1)), IMAGE),
        "residual:",
        "padding",
    ),
    # init and shapes
    (
        T,
        lambda: L.Conv2D(8, 3).init(0, (8, 8, 1)),
        "Conv2D.init: rng must be a numpy.random.Generator, got an int",
        "np.random.default_rng(0)",
    ),
    (
        T,
        lambda: NET.init("0", (8, 8, 1)),
        "Sequential.init: rng must be a numpy.random.Generator, got a str",
        "np.random.default_rng(0)",
    ),
    (
        T,
        lambda: L.Dense(3).init(np.random.RandomState(7), (4,)),
        "Dense.init: rng must be a numpy.random.Generator, got a RandomState",
        "default_rng(0)",
    ),
    (
        T,
        lambda: L.ReLU().init(None, (4,)),
        "ReLU.init: rng must be a numpy.random.Generator, got a NoneType",
        "np.random.default_rng(0)",
    ),
    (T, lambda: NET.init(RNG, (8.5, 8, 1)), "Sequential.init: the input shape=(8.5, 8, 1)", "integer"),
    (
        T,
        lambda: NET.init(RNG, 8),
        "Sequential.init: the input shape must be a tuple such as (H, W, C), got 8",
        "(H, W, C)",
    ),
    (
        T,
        lambda: NET.init(RNG, "8x8"),
        "Sequential.init: the input shape must be a tuple such as (H, W, C), got '8x8'",
        "(H, W, C)",
    ),
    (
        T,
        lambda: NET.init(RNG, None),
        "Sequential.init: the input shape must be a tuple such as (H, W, C), got None",
        "(H, W, C)",
    ),
    (T, lambda: NET.init(RNG), "Sequential.init: 'shape' must be given", "The arguments are rng, shape."),
    (T, lambda: NET.init((8, 8, 1)), "Sequential.init: 'shape' must be given", "The arguments are rng, shape."),
    (
        V,
        lambda: NET.init(RNG, (2, 8, 8, 1)),
        "conv2d: the input must have 4 axes",
        "leaves the batch axis out: (H, W, C)",
    ),
    (V, lambda: NET.init(RNG, (8, 8)), "conv2d: the input must have 4 axes", "channel axis"),
    (V, lambda: NET.init(RNG, (-8, 8, 1)), "Sequential.init: the input shape=(-8, 8, 1)", "at least 1"),
    (V, lambda: NET.init(RNG, (8, 8, 2**40)), "Sequential.init: the input shape=", "up to 2,147,483,647"),
    (
        T,
        lambda: NET.output_shape(8),
        "Sequential.output_shape: the input shape must be a tuple such as (H, W, C), got 8",
        "(H, W, C)",
    ),
    (T, lambda: L.Dense(3).param_shapes(("4",)), "Dense.param_shapes: the input shape=('4',)", "integer"),
    (T, lambda: L.summary("net", (8, 8, 1)), "summary: net must be a layer, got 'net'", "Sequential([...])"),
    (T, lambda: L.summary(L.ReLU, (8, 8, 1)), "summary: net must be a layer, got <class", "parentheses"),
    (T, lambda: L.summary(NET, 8), "summary: the input shape must be a tuple such as (H, W, C), got 8", "(H, W, C)"),
    (
        T,
        lambda: L.explain_shapes(NET, None),
        "explain_shapes: the input shape must be a tuple such as (H, W, C), got None",
        "(H, W, C)",
    ),
    (T, lambda: L.coverage(3, (8, 8, 1)), "coverage: net must be a layer, got 3", "Sequential([...])"),
    (T, lambda: L.check_params(3, {}, (8, 8, 1)), "check_params: net must be a layer, got 3", "Sequential([...])"),
    (
        T,
        lambda: L.check_params(NET, changed("dense/bias", [0.0] * 3), (8, 8, 1)),
        "params/dense/bias must be a float32 array of shape (3,), got a list",
        "a float32",
    ),
    (
        T,
        lambda: L.check_params(NET, changed("dense/bias", np.zeros(3, int)), (8, 8, 1)),
        "params/dense/bias must be a float32 array of shape (3,), got dtype",
        "(3,)",
    ),
    (V, lambda: L.MaxPooling2D(2).windows((12,)), "pooling: the input must have shape (H, W, C)", "(12,)"),
    # layers in the places of layers
    (T, lambda: L.Classifier(NET, 5), "Classifier: head must be a layer, got 5", "layers.ReLU(), with its parentheses"),
    (T, lambda: L.Classifier("trunk", NET), "Classifier: trunk must be a layer, got 'trunk'", "layers.ReLU()"),
    (T, lambda: L.Residual(ops.relu), "Residual: body must be a layer, got <function", "layers.ReLU()"),
    (T, lambda: L.Residual(NET, shortcut=L.ReLU), "Residual: shortcut must be a layer, got <class", "parentheses"),
    (T, lambda: L.Concat([L.ReLU(), None]), "Concat: layer 1 must be a layer, got None", "layers.ReLU()"),
    (T, lambda: L.Sequential([L.ReLU(), "relu"]), "Sequential: layer 1 must be a layer, got 'relu'", "layers.ReLU()"),
    (
        T,
        lambda: L.Sequential({"a": L.ReLU()}),
        "Sequential: layers must be a list of layers, got {'a': ReLU()}",
        "Use Sequential([layer, ...])",
    ),
    # initializers
    (
        V,
        lambda: L.Conv2D(8, 3, kernel_initializer="he_uniform"),
        "Conv2D: kernel_initializer='he_uniform'",
        "he_normal",
    ),
    (V, lambda: L.Dense(8, kernel_initializer="xavier"), "Dense: kernel_initializer='xavier'", "glorot_uniform"),
    (V, lambda: L.Dense(8, bias_initializer="ones"), "Dense: bias_initializer='ones'", "zeros"),
    (
        T,
        lambda: L.Dense(8, kernel_initializer=0.1),
        "Dense: kernel_initializer must be an initializer, got 0.1",
        "function of a generator and a shape",
    ),
    (
        T,
        lambda: L.Dense(8, kernel_initializer=initializers.Initializer),
        "Dense: kernel_initializer must be an initializer, got <class",
        "he_normal",
    ),
    (
        V,
        lambda: L.Dense(2, kernel_initializer=lambda r, s: np.ones(3)).init(RNG, (4,)),
        "dense: kernel_initializer must return a float32 array",
        "(4, 2)",
    ),
    (
        V,
        lambda: L.Dense(2, kernel_initializer=lambda r, s: 0.0).init(RNG, (4,)),
        "dense: kernel_initializer must return a float32 array",
        "float32",
    ),
    (
        T,
        lambda: initializers.he_normal(0, (3, 3)),
        "he_normal: rng must be a numpy.random.Generator, got an int",
        "np.random.default_rng(0)",
    ),
    (
        T,
        lambda: initializers.he_normal(RNG, 3),
        "he_normal: the input shape must be a tuple such as (H, W, C), got 3",
        "(H, W, C)",
    ),
    (
        V,
        lambda: initializers.he_normal(RNG, (3,)),
        "he_normal: shape must have at least two axes, fan-in and fan-out, got (3,)",
        "zeros",
    ),
    (V, lambda: initializers.Initializer("mine", -1.0), "Initializer: scale=-1.0", "at least 0"),
    (
        T,
        lambda: initializers.Initializer("mine", 1.0, uniform="no"),
        "Initializer: uniform must be True or False",
        "got 'no'",
    ),
    # flags
    (T, lambda: L.Conv2D(8, 3, use_bias="False"), "Conv2D: use_bias must be True or False", "got 'False'"),
    (T, lambda: L.Dense(8, use_bias=0), "Dense: use_bias must be True or False", "got 0"),
    (T, lambda: models.small_cnn(batch_norm="no"), "small_cnn: batch_norm must be True or False", "got 'no'"),
    (T, lambda: ops.sum(ROWS, 0, "True"), "sum: keepdims must be True or False", "got 'True'"),
    (
        T,
        lambda: ops.conv2d_pool(IMAGE, np.ones((3, 3, 1, 1)), relu="no"),
        "conv2d_pool: relu must be True or False",
        "got 'no'",
    ),
    (T, lambda: value_and_grad(len, has_aux="no"), "value_and_grad: has_aux must be True or False", "got 'no'"),
    # models: line by line the arguments that they hand on
    (
        V,
        lambda: models.small_cnn(models.HEADS["max"], classes=4),
        "small_cnn: classes must be that of the head, (10,), got classes=4",
        "(10,)",
        "make_head(name, classes)",
    ),
    (T, lambda: models.small_cnn(models.HEADS["max"], classes="10"), "small_cnn: classes='10'", "integer"),
    (V, lambda: models.small_cnn("maximum"), "make_head: name='maximum'", "Did you mean 'max'?"),
    (V, lambda: models.small_cnn(5), "make_head: name=5", "global-average"),
    (T, lambda: models.small_cnn(filters=16), "small_cnn: filters must be a tuple of integers, got 16", "(16, 32)"),
    (T, lambda: models.small_cnn(filters=(16, "a"), strides=(1, 1)), "small_cnn: filters=(16, 'a')", "integer"),
    (V, lambda: models.small_cnn(strides=(1, 0, 1)), "small_cnn: strides=(1, 0, 1)", "at least 1"),
    (V, lambda: models.make_head("max", 0), "make_head: classes=0", "at least 1"),
    (T, lambda: models.make_head("max", 2.0), "make_head: classes=2.0", "integer"),
    (T, lambda: models.lenet5("10"), "lenet5: classes='10'", "integer"),
    (V, lambda: models.keras_mnist(-1), "keras_mnist: classes=-1", "at least 1"),
    (T, lambda: models.mlp(128), "mlp: units must be a tuple of integers, got 128", "(16, 32)"),
    (T, lambda: models.mlp((2.5,)), "mlp: units=(2.5,)", "integer"),
    (V, lambda: models.mlp((8,), 0), "mlp: classes=0", "at least 1"),
    # parameters that have no gradient
    (
        T,
        lambda: grad(lambda p: p)({"dense": {"bias": np.ones(2, int)}}),
        "value_and_grad: params/dense/bias must be float32 or float64, got dtype",
        "astype",
    ),
    (
        T,
        lambda: grad(lambda p: p)([ROWS, "w"]),
        "value_and_grad: params/1 must be a float32 or float64 array, got a str",
        "float64 array",
    ),
    (
        T,
        lambda: grad(lambda p: p)({"w": None}),
        "value_and_grad: params/w must be a float32 or float64 array, got a NoneType",
        "float64 array",
    ),
    (
        T,
        lambda: grad(lambda p: p)({"w": X}),
        "value_and_grad: params/w must be a plain array, got a Tensor",
        "plain arrays",
    ),
    (
        T,
        lambda: grad(lambda p: p)(3),
        "value_and_grad: params must be a float32 or float64 array, got an int",
        "float64 array",
    ),
    (T, lambda: value_and_grad(3), "value_and_grad: f must be a function f(params, *rest)", "got an int"),
    (T, lambda: grad(None), "value_and_grad: f must be a function f(params, *rest)", "got a NoneType"),
    (T, lambda: gradcheck.gradcheck(3, ROWS), "gradcheck: f must be a function", "got an int"),
    (
        T,
        lambda: gradcheck.gradcheck(ops.relu, ROWS, rng=0),
        "gradcheck: rng must be a numpy.random.Generator, got an int",
        "np.random.default_rng(0)",
    ),
    (
        T,
        lambda: gradcheck.gradcheck(ops.relu, ROWS, ROWS),
        "gradcheck: args must fit the signature of f, got 2",
        "Give all",
    ),
    # NumPy's functions and Python's conversions on Tensors
    (T, lambda: np.exp(X), "numpy.exp: arguments must be arrays, got a Tensor", "minicnn.ops.exp(...)", "x.data"),
    (T, lambda: np.sum(X), "numpy.sum: arguments must be arrays", "minicnn.ops.sum(...)"),
    (T, lambda: np.mean(X, axis=0), "numpy.mean: arguments must be arrays", "minicnn.ops.mean(...)"),
    (T, lambda: np.max(X), "numpy.max: arguments must be arrays", "minicnn.ops.max(...)"),
    (T, lambda: np.concatenate([X, X]), "numpy.concatenate: arguments must be arrays", "minicnn.ops.concatenate(...)"),
    (T, lambda: np.reshape(X, (4, 3)), "numpy.reshape: arguments must be arrays", "minicnn.ops.reshape(...)"),
    (T, lambda: np.negative(X), "numpy.negative: arguments must be arrays", "minicnn.ops.negate(...)"),
    (T, lambda: np.sin(X), "numpy.sin: arguments must be arrays", "x.data if no gradient"),
    (T, lambda: np.where(ROWS > 0, X, 0), "numpy.where: arguments must be arrays", "x.data if no gradient"),
    (T, lambda: np.stack([X]), "numpy.stack: arguments must be arrays", "x.data if no gradient"),
    (T, lambda: np.add.reduce(X), "numpy.add.reduce: arguments must be arrays", "x.data if no gradient"),
    (T, lambda: np.add(ROWS, X, where=ROWS > 0), "numpy.add: arguments must be arrays", "minicnn.ops.add(...)"),
    (
        T,
        lambda: np.multiply(ROWS, X, out=np.ones((3, 4))),
        "numpy.multiply: arguments must be arrays",
        "minicnn.ops.multiply(...)",
    ),
    (T, lambda: ROWS // X, "numpy.floor_divide: arguments must be arrays", "x.data if no gradient"),
    (T, lambda: ROWS == X, "numpy.equal: arguments must be arrays", "x.data if no gradient"),
    (T, lambda: ROWS < X, "numpy.less: arguments must be arrays", "x.data if no gradient"),
    (T, lambda: np.asarray(X), "numpy: arguments must be arrays, got a Tensor", "x.data"),
    (T, lambda: X < 2, "Tensor: <", "Compare x.data < y"),
    (T, lambda: Tensor(ROWS) <= X, "Tensor: <=", "Compare x.data <= y"),
    (T, lambda: X == 2.0, "Tensor: == must have plain arrays", "a float. Compare x.data"),
    (T, lambda: X != 0, "Tensor: == must have plain arrays", "an int. Compare x.data"),
    (T, lambda: float(X), "Tensor: float() must have one element", "Use .sum()"),
    (T, lambda: bool(X), "Tensor: bool() must have one element", "Use .sum()"),
    (T, lambda: len(Tensor(1.0)), "Tensor: len()", "Use float(x)"),
    (T, lambda: list(Tensor(1.0)), "Tensor: len() and iteration", "Use float(x)"),
    (T, lambda: X.__setitem__(0, 1.0), "Tensor: elements must not be assigned", "Make a new one"),
    (T, lambda: Tensor("1.0"), "Tensor: data must be a float32 or float64 array, got a str", "float64 array"),
    (T, lambda: Tensor([[1.0], [2.0, 3.0]]), "Tensor: data must be rows of equal length", "got [[1.0], [2.0, 3.0]]"),
    (T, lambda: Tensor(X), "Tensor: data must be a float32 or float64 array, got a Tensor", "float64 array"),
    (T, lambda: Tensor([1, 2]), "Tensor: data must be float32 or float64, got dtype int64", "astype"),
    (T, lambda: ops.relu(ROWS.view(np.matrix)), "relu: x must be a plain array, got a matrix", "np.asarray(x)"),
    (
        T,
        lambda: ops.relu(np.ma.masked_array(ROWS, ROWS > 0)),
        "relu: x must be a plain array, got a MaskedArray",
        "x.filled(0)",
    ),
    (T, lambda: ops.relu(ROWS.astype(">f4")), "relu: x must be float32 or float64, got dtype >f4", "astype"),
    (V, lambda: ops.add(ROWS, 10**400), "add: y must be a float", "more than 308 digits"),
    # an int of more than 4,300 digits, which Python does not write
    (V, lambda: ops.reshape(ROWS, 10**5000), "reshape: shape must hold", "got an int of thousands of digits"),
    (V, lambda: ops.reshape(ROWS, (3, 10**5000)), "reshape: shape must hold", "thousands of digits"),
    (V, lambda: ops.transpose(ROWS, (0, 10**5000)), "transpose: axes must name", "thousands of digits"),
    (V, lambda: ops.concatenate(ROWS, axis=10**5000), "concatenate: axis must name", "thousands of digits"),
    (V, lambda: Tensor(ROWS)[10**5000], "getitem: index must fit", "thousands of digits"),
    # calls that do not fit
    (T, lambda: optim.rate_at(0.1), "rate_at: 'step' must be given", "learning_rate, step"),
    (T, lambda: optim.rate_at(lr=0.1, step=1), "rate_at: 'lr' is not an argument. Use learning_rate.", "step"),
    (T, lambda: kernels.name("compiled"), "name: too many arguments", "There are no arguments."),
    (T, lambda: ShapeError("conv2d"), "ShapeError: 'what' and 'fix' must be given", "where, what, fix"),
    (
        T,
        lambda: optim.global_norm({"w": ROWS.view(np.matrix)}),
        "global_norm: grads/w must be a float array",
        "a matrix",
    ),
    (T, lambda: optim.global_norm(np.ma.ones(2)), "global_norm: grads must be a float array", "a MaskedArray"),
]


@table(CALLS)
def test_a_habit_is_told_what_to_write_instead(call, kind, fragments):
    check(call, kind, fragments)


MISSING = [
    (L, "MaxPool2D", "layers.MaxPooling2D"), (L, "MaxPool2d", "layers.MaxPooling2D"), (L, "Linear", "layers.Dense"),
    (L, "AvgPool2D", "layers.AveragePooling2D"), (L, "Conv2d", "layers.Conv2D"), (L, "Relu", "layers.ReLU"),
    (L, "BatchNorm2d", "layers.BatchNormalization"), (L, "GlobalAvgPool2D", "layers.GlobalAveragePooling2D"),
    (L, "Activation", "layers.ReLU()"), (L, "Input", "net.init(rng, input_shape)"), (L, "Dens", "layers.Dense"),
    (ops, "maxpool2d", "ops.max_pool2d"), (ops, "avg_pool2d", "ops.average_pool2d"), (ops, "linear", "ops.dense"),
    (ops, "cat", "ops.concatenate"), (ops, "crossentropy", "ops.cross_entropy"), (minicnn, "nn", "minicnn.layers"),
    (minicnn, "fit", "minicnn.train.fit"), (minicnn, "layer", "minicnn.layers"),
    (NET, "summary", "layers.summary(net, input_shape)"), (NET, "fit", "train.fit(net"), (NET, "compile", "optimizer"),
    (NET, "predict", "train.predict(net, params, images)"), (NET, "evaluate", "train.evaluate(net, params, split)"),
    (NET, "parameters", "params = net.init"), (NET, "forward", "net(params, x)"), (NET, "eval", "net(params, x)"),
    (L.ReLU(), "state_dict", "train.save(path, params)"), (optim, "adam", "optim.Adam"), (optim, "sgd", "optim.SGD"),
    (train, "EarlyStoping", "train.EarlyStopping"), (train, "ModelCheckpoint", "train.BestWeights"),
    (minicnn, "Sequential", "minicnn.layers.Sequential"), (minicnn, "Adam", "minicnn.optim.Adam"),
    (minicnn, "evaluate", "minicnn.train.evaluate"), (data, "Load", "data.load"), (data, "DataLoader", "data.batches"),
    (schedules, "cosine", "schedules.Cosine"), (schedules, "StepLR", "schedules.Step"),
    (models, "LeNet5", "models.lenet5"), (study, "recipe", "study.Recipe"),
    (study, "open_result", "study.open_results"),
]  # fmt: skip


@pytest.mark.parametrize(("owner", "name", "instead"), MISSING, ids=[row[1] for row in MISSING])
def test_a_name_of_another_framework_is_an_attribute_error_with_ours(owner, name, instead):
    assert not hasattr(owner, name)
    with pytest.raises(AttributeError) as caught:
        getattr(owner, name)
    assert instead in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize("name", ["_private", "__wrapped__", "xyzzy"])
def test_other_missing_names_get_no_hint(name):
    for owner in (L, ops, data, models, optim, schedules, study, train, minicnn, NET):
        with pytest.raises(AttributeError) as caught:
            getattr(owner, name)
        assert "Did you mean" not in str(caught.value)
        assert "Use " not in str(caught.value)


def test_a_schedule_is_no_longer_than_a_float_can_count():
    for schedule in (schedules.Cosine, schedules.OneCycle):
        with pytest.raises(ValueError, match=f"{schedule.__name__}: steps must be an integer up to"):
            schedule(0.1, 10**400)
        assert schedule(0.1, 2**53)(2**60) == pytest.approx(0, abs=1e-12)


# What must go on working


@dataclass(frozen=True, repr=False)
class Scale(L.Layer):
    """A layer of one's own."""

    factor: float = 2.0

    def output_shape(self, shape):
        return shape

    def __call__(self, params, x, rng=None):
        return x * self.factor


EVERY = [L.Conv2D(4, 3), L.MaxPooling2D(2, padding="same"), NET, L.Residual(NET), L.Concat([NET]), Scale(3.0), L.GELU()]


@pytest.mark.parametrize("layer", EVERY, ids=lambda layer: type(layer).__name__)
def test_layers_are_copied_replaced_pickled_and_compared_as_before(layer):
    for other in (copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), replace(layer)):  # noqa: S301
        assert other == layer
        assert repr(other) == repr(layer)
        assert hash(other) == hash(layer)


def test_a_layer_of_ones_own_is_guarded_too():
    check(lambda: Scale(factr=2), TypeError, ["Scale: 'factr'", "Did you mean 'factor'?"])
    check(lambda: Scale()(ROWS), TypeError, ["Scale: params must be a dict, got a ndarray", "Call net(params, x)"])
    np.testing.assert_array_equal(L.Sequential([Scale(3.0)])({}, ROWS), 3 * ROWS)


def test_a_layer_may_be_called_by_keywords():
    np.testing.assert_array_equal(Scale()(params={}, x=ROWS), 2 * ROWS)
    np.testing.assert_array_equal(L.Dropout(0.5)({}, x=ROWS, rng=None), ROWS)
    assert NET.init(shape=[8, 8, 1], rng=RNG)["dense"]["kernel"].shape == (72, 3)


def test_numpys_numbers_are_stored_as_pythons():
    assert repr(L.Conv2D(np.int64(4), 3)) == repr(L.Conv2D(4, 3))
    assert type(L.Dropout(np.float32(0.5)).rate) is float
    assert L.MaxPooling2D(2, ceil_mode=np.True_).ceil_mode is True


def test_keras_words_for_initializers_are_the_initializers():
    assert L.Conv2D(4, 3, kernel_initializer="he_normal") == L.Conv2D(4, 3)
    assert L.Dense(4, kernel_initializer="lecun_normal").kernel_initializer is initializers.lecun_normal
    assert repr(L.Dense(4, bias_initializer="zeros")) == "Dense(units=4)"


def test_classes_that_agree_with_a_ready_made_head_are_right():
    assert models.small_cnn(models.HEADS["max"], classes=10) == models.small_cnn("max")
    assert models.small_cnn(models.make_head("max", 4)).output_shape((8, 8, 1)) == (4,)
    assert models.small_cnn("max", classes=4).output_shape((8, 8, 1)) == (4,)
    for head in models.HEADS.values():
        with pytest.raises(ValueError, match="classes=4"):
            models.small_cnn(head, classes=4)


def test_operators_with_an_array_on_the_left_reach_the_tensor():
    for array in (ROWS, np.float64(2.0), np.array(2.0), np.float32(2.0)):
        np.testing.assert_array_equal((array * X).data, array * ROWS)
        np.testing.assert_array_equal((array - X).data, array - ROWS)
        np.testing.assert_array_equal((array / X).data, array / ROWS)
        np.testing.assert_array_equal((array**X).data, array**ROWS)
    np.testing.assert_array_equal((ROWS @ Tensor(ROWS.T)).data, ROWS @ ROWS.T)
    total = before = np.zeros((3, 4))
    total += X
    assert isinstance(total, Tensor)
    assert not before.any()
    assert np.shape(X) == (3, 4)
    assert np.ndim(X) == 2
    assert np.size(X) == 12


def test_tensors_are_compared_and_hashed_by_identity():
    other = Tensor(ROWS)
    assert X == X  # noqa: PLR0124
    assert other != X
    assert X is not None
    assert len({X, other, X}) == 2
    assert other in [X, other]
