"""The engine: graphs of every shape, both faces, dtypes, and what it refuses."""

from __future__ import annotations

import gc
import weakref
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minicnn import Tensor, grad, ops, trees, value_and_grad
from minicnn.autograd import Array, op, unbroadcast
from minicnn.graph import Node, walk
from minicnn.validation import ShapeError

# Graphs


def test_reuse_adds_up():
    """d(x x + x)/dx at 3 is 7; an engine that assigns instead of adding says 1."""
    assert grad(lambda x: x * x + x)(np.array(3.0)) == 7


def test_a_diamond():
    def f(x):
        a, b = x * 2, x * x
        return (a * b + a + b).sum()  # 2 x^3 + 2 x + x^2

    x = np.array([1.0, -2.0, 0.5])
    assert_array_equal(grad(f)(x), 6 * x**2 + 2 + 2 * x)


def test_diamonds_on_diamonds_are_walked_once():
    """Sixty doublings: 2^60 paths, sixty nodes."""

    def f(x):
        for _ in range(60):
            x = x + x
        return x

    assert grad(f)(np.array(1.0)) == 2.0**60


def test_a_node_waits_for_all_of_its_uses():
    """The long way and the short way meet in x; the short one must not be handed on before the long one came."""

    def f(x):
        y = x * 3
        long = y
        for _ in range(5):
            long = long * 2
        return long + y

    assert grad(f)(np.array(1.0)) == 3 * 32 + 3


def test_a_chain_of_20_000_links():
    x = start = Tensor(np.array(1.0))
    for _ in range(20_000):
        x = x + 1.0
    x.backward()
    assert start.grad == 1
    del x
    gc.collect()  # freeing is not recursive either


def test_the_result_may_be_the_parameter_itself():
    value, g = value_and_grad(lambda x: x)(np.array(5.0))
    assert (value, g) == (5, 1)


def test_constants_take_no_gradient_and_no_time():
    called = []

    def constant_shape(x, y):
        return x

    @op(constant_shape)
    def product(x: Array, y: Array) -> Any:
        def vjp(name, other):
            def run(g):
                called.append(name)
                return g * other

            return run

        return x * y, (vjp("x", y), vjp("y", x))

    x, y = np.ones(2), np.full(2, 5.0)
    assert_array_equal(grad(lambda x: product(x, y).sum())(x), y)
    assert called == ["x"]
    assert isinstance(product(x, y), np.ndarray)


def test_an_op_of_the_same_name_does_not_change_the_operators():
    def shape(x, y):
        return x

    @op(shape)
    def add(x: Array, y: Array) -> Any:
        return x - y, (None, None)

    assert (Tensor([2.0]) + Tensor([1.0])).data == 3


# Two faces


def test_backward_sets_and_does_not_add():
    x = Tensor([1.0, 2.0])
    y = (x * x).sum()
    for _ in range(2):
        y.backward()
        assert_array_equal(x.grad, [2, 4])
        assert y.grad == 1


def test_backward_forgets_other_graphs():
    x = Tensor([1.0, 2.0])
    (x * x).sum().backward()
    (x * 3).sum().backward()
    assert_array_equal(x.grad, [3, 3])


def test_backward_reaches_the_nodes_between():
    x = Tensor([1.0, 2.0])
    between = x * x
    (between * between).sum().backward()
    assert_array_equal(between.grad, 2 * between.data)


def test_both_faces_agree():
    w = np.array([[1.0, -2.0], [0.5, 3.0]])

    def f(w):
        return ops.tanh(w @ w).sum() + w[0, 0] * 2.0

    x = Tensor(w)
    f(x).backward()
    assert_array_equal(grad(f)(w), x.grad)


class Pair(NamedTuple):
    a: Any
    b: Any


def test_gradients_come_in_the_tree_of_the_parameters():
    params = {"z": [np.ones(2), (np.ones(()), {"k": np.ones((1, 2))})], "a": Pair(np.ones(1), np.ones(3))}

    def f(p):
        return sum(float(i) * leaf.sum() for i, leaf in enumerate(trees.leaves(p)))

    grads = grad(f)(params)
    assert isinstance(grads["a"], Pair)
    assert [path for path, _ in trees.items(grads)] == ["z/0", "z/1/0", "z/1/1/k", "a/0", "a/1"]
    for i, (g, p) in enumerate(zip(trees.leaves(grads), trees.leaves(params), strict=True)):
        assert_array_equal(g, np.full(p.shape, float(i)))


def test_an_array_that_stands_in_two_places_is_two_parameters():
    w = np.array([2.0])
    grads = grad(lambda p: (p["a"] * p["a"] * p["b"]).sum())({"a": w, "b": w})
    assert (grads["a"], grads["b"]) == (8, 4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unused_parameters_get_zeros(dtype):
    params = {"used": np.ones(2, dtype), "unused": np.ones((2, 3), dtype)}
    g = grad(lambda p: p["used"].sum())(params)["unused"]
    assert_array_equal(g, np.zeros((2, 3)))
    assert g.dtype == dtype


@pytest.mark.parametrize("constant", [2.0, np.float64(2), np.float32(2), np.array(2.0)])
def test_a_loss_that_does_not_depend_on_the_parameters(constant):
    value, g = value_and_grad(lambda p: constant)(np.ones(3))
    assert value == 2
    assert_array_equal(g, np.zeros(3))


def test_other_arguments_are_handed_on():
    value, g = value_and_grad(lambda p, x, *, scale: (p * x * scale).sum())(np.ones(2), np.array([1.0, 2.0]), scale=3.0)
    assert value == 9
    assert_array_equal(g, [3, 6])


def test_has_aux():
    def f(p):
        y = p * p
        return y.sum(), {"y": y, "word": "as it is", "number": 3.5, "none": None}

    (value, aux), g = value_and_grad(f, has_aux=True)(np.array([1.0, 2.0]))
    assert value == 5
    assert isinstance(aux["y"], np.ndarray)
    assert_array_equal(aux["y"], [1, 4])
    assert (aux["word"], aux["number"], aux["none"]) == ("as it is", 3.5, None)
    assert_array_equal(g, [2, 4])


def test_parameters_are_not_written_to():
    params = {"w": np.array([1.0, 2.0])}
    params["w"].flags.writeable = False
    value_and_grad(lambda p: (p["w"] * p["w"] + p["w"]).sum())(params)
    assert_array_equal(params["w"], [1, 2])


# Operators

OPERATORS = {
    "+": (lambda a, b: a + b, lambda a, b: (1, 1)),
    "-": (lambda a, b: a - b, lambda a, b: (1, -1)),
    "*": (lambda a, b: a * b, lambda a, b: (b, a)),
    "/": (lambda a, b: a / b, lambda a, b: (1 / b, -a / b**2)),
    "**": (lambda a, b: a**b, lambda a, b: (b * a ** (b - 1), np.log(a) * a**b)),
}
LEFT, RIGHT = np.array([[1.5, 2.0], [0.5, 3.0]]), np.array([[2.0, 0.25], [3.0, 1.25]])


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_with_the_tensor_on_either_side(name):
    f, slopes = OPERATORS[name]
    left, right = slopes(LEFT, RIGHT)
    np.testing.assert_allclose(grad(lambda a: f(a, RIGHT).sum())(LEFT), left * np.ones((2, 2)), rtol=1e-12)
    np.testing.assert_allclose(grad(lambda b: f(LEFT, b).sum())(RIGHT), right * np.ones((2, 2)), rtol=1e-12)


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("number", [2, 2.0, np.float64(2), np.float32(2), np.int64(2)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_on_either_side_keep_the_dtype(name, number, dtype):
    f, _ = OPERATORS[name]
    x = Tensor(LEFT.astype(dtype))
    for y in (f(x, number), f(number, x)):
        assert isinstance(y, Tensor)
        assert y.dtype == dtype
        y.sum().backward()
        assert x.grad.dtype == dtype
        assert x.grad.shape == x.shape
    np.testing.assert_allclose(f(x, number).data, f(LEFT, 2.0), rtol=1e-6)
    np.testing.assert_allclose(f(number, x).data, f(2.0, LEFT), rtol=1e-6)


def test_matrix_products_from_either_side():
    x = Tensor(LEFT)
    assert_array_equal((RIGHT @ x).data, RIGHT @ LEFT)
    (RIGHT @ x).sum().backward()
    assert_array_equal(x.grad, RIGHT.T @ np.ones((2, 2)))
    (x @ RIGHT).sum().backward()
    assert_array_equal(x.grad, np.ones((2, 2)) @ RIGHT.T)


def test_broadcasting_is_undone():
    a, b = Tensor(np.ones((3, 1, 2))), Tensor(np.ones((4, 1)))
    (a * b).sum().backward()
    assert_array_equal(a.grad, np.full((3, 1, 2), 4))
    assert_array_equal(b.grad, np.full((4, 1), 6))


@pytest.mark.parametrize(
    ("shape", "into"), [((), (2, 3)), ((1,), (2, 3)), ((3,), (2, 3)), ((2, 1), (2, 3)), ((1, 1), (0, 3)), ((1,), (0,))]
)
def test_unbroadcast_counts_copies(shape, into):
    copies = np.prod(into, dtype=int) / max(1, np.prod(shape, dtype=int))
    assert_array_equal(unbroadcast(np.ones(into), shape), np.full(shape, copies))


def test_methods_are_the_ops():
    x = Tensor(LEFT)
    assert (x.shape, x.ndim, x.size, x.dtype, len(x)) == ((2, 2), 2, 4, np.float64, 2)
    assert_array_equal((-x).data, -LEFT)
    assert_array_equal(abs(x - 1).data, abs(LEFT - 1))
    assert_array_equal(x[0].data, LEFT[0])
    assert_array_equal(x.T.data, LEFT.T)
    assert_array_equal(x.transpose((1, 0)).data, LEFT.T)
    assert_array_equal(x.sum(axis=1, keepdims=True).data, LEFT.sum(axis=1, keepdims=True))
    assert_array_equal(x.mean(0).data, LEFT.mean(0))
    assert_array_equal(x.max(0).data, LEFT.max(0))
    assert_array_equal(x.reshape(4).data, x.reshape((4,)).data)
    assert_array_equal(x.reshape(1, -1).data, LEFT.reshape(1, 4))


def test_a_tensor_can_be_walked_through():
    x = Tensor(LEFT)
    first, second = x
    (first * 2.0 + second).sum().backward()
    assert_array_equal(x.grad, [[2, 2], [1, 1]])
    assert len(list(x)) == 2


def test_repr_shows_numbers_and_origin():
    assert repr(Tensor([1.0, 2.0])) == "Tensor([1., 2.])"
    assert repr(Tensor([1.0, 2.0]) * Tensor([1.0, 1.0])) == "Tensor([1., 2.], made from 2)"


# dtypes


def test_float32_all_the_way():
    def f(p, x):
        y = ops.conv2d(x, p["k"], p["b"], padding="same") * 2 + 1.5
        y = ops.max_pool2d(ops.gelu(y / 3), 2)
        return ops.cross_entropy(ops.flatten(y) ** 2 * np.float64(0.5), np.array([1, 0]), label_smoothing=0.1)

    rng = np.random.default_rng(0)
    params = {"k": rng.normal(size=(3, 3, 1, 2)).astype(np.float32), "b": np.zeros(2, np.float32)}
    value, grads = value_and_grad(f)(params, rng.normal(size=(2, 4, 4, 1)).astype(np.float32))
    assert {a.dtype for a in [value, *trees.leaves(grads)]} == {np.dtype(np.float32)}


def test_a_gradient_has_the_dtype_of_its_parameter():
    x = Tensor(np.ones(2, np.float32))
    w = Tensor(np.ones(2))
    (x * w).sum().backward()
    assert (x.grad.dtype, w.grad.dtype) == (np.float32, np.float64)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.bool_, np.float16, np.complex128, ">f4", object])
def test_other_dtypes_are_refused(dtype):
    array = np.ones(2, dtype)
    for call in (lambda: Tensor(array), lambda: ops.relu(array), lambda: grad(ops.sum)(array)):
        with pytest.raises(TypeError, match=r"dtype .*astype\(np.float32\)"):
            call()


@pytest.mark.parametrize("value", [[1.0, 2.0], None, "x", True, {"a": 1.0}, 1j])
def test_other_kinds_are_refused(value):
    with pytest.raises(TypeError, match="relu: x must be a float32 or float64 array, got a"):
        ops.relu(value)


@pytest.mark.parametrize("number", [3, 3.0, np.float64(3), np.float32(3), np.int64(3), np.array(3.0)])
@pytest.mark.parametrize("f", [ops.relu, ops.exp, ops.mean, ops.logsumexp, ops.negate, ops.max, ops.sum])
def test_a_lone_number_is_an_array_of_no_axes(f, number):
    assert np.shape(f(number)) == ()
    assert f(number) == f(np.array(3.0)) or np.isclose(f(number), f(np.array(3.0)), rtol=1e-6)


# What is refused


def test_there_are_not_second_derivatives():
    with pytest.raises(TypeError, match="no second derivatives"):
        grad(grad(lambda z: z * z * z))(np.array(2.0))


@pytest.mark.parametrize("f", [lambda p: p * 2, lambda p: np.ones(2), lambda p: p[:0]])
def test_a_gradient_needs_a_scalar(f):
    with pytest.raises(ValueError, match=r"must be a scalar, got shape \([02],\).*sum"):
        grad(f)(np.ones(2))


@pytest.mark.parametrize("result", [None, "loss", 3, (1.0, 2.0), np.array(3)])
def test_a_loss_that_is_not_a_float_is_refused(result):
    with pytest.raises(TypeError, match="value_and_grad: the result"):
        grad(lambda p: result)(np.ones(2))


@pytest.mark.parametrize("result", [3.0, Tensor([1.0, 2.0]), (1.0, 2.0, 3.0), [1.0, 2.0]])
def test_has_aux_wants_a_pair(result):
    with pytest.raises(TypeError, match=r"has_aux, f must return \(scalar, anything\)"):
        value_and_grad(lambda p: result, has_aux=True)(np.ones(2))


def test_numpy_functions_do_not_swallow_a_tensor():
    x = Tensor([1.0, 2.0])
    for call in (lambda: np.asarray(x), lambda: np.argmax(x), lambda: np.stack([x, x])):
        with pytest.raises(TypeError, match=r"minicnn.ops.*, or x\.data"):
            call()
    with pytest.raises(TypeError, match=r"numpy.exp: arguments must be arrays, got a Tensor. Use minicnn.ops.exp"):
        np.exp(x)


# Making ops


def same(x, *rest):
    return x


def test_a_vjp_of_the_wrong_shape_is_told():
    @op(same)
    def careless(x: Array) -> Any:
        return x * 1, (lambda g: g.sum(),)

    with pytest.raises(ValueError, match=r"careless.* have the shape of its argument \(3,\), got \(\)"):
        grad(lambda x: careless(x).sum())(np.ones(3))


def test_a_missing_vjp_is_told():
    @op(same)
    def forgetful(x: Array, y: Array) -> Any:
        return x + y, (lambda g: g,)

    with pytest.raises(TypeError, match="forgetful: vjps must have an entry for each of 2 arrays, got 1"):
        grad(lambda x: forgetful(x, x).sum())(np.ones(3))


def test_an_op_without_array_arguments_is_told():
    with pytest.raises(TypeError, match=r"op: f must have at least one array argument.*Array"):

        @op(same)
        def f(x):
            return x, ()


def test_optional_arrays_may_be_left_out_or_named_in_any_order():
    def shape(x, a=None, b=None, *, power=1):
        return x

    @op(shape)
    def f(x: Array, a: Array | None = None, b: Array | None = None, *, power: int = 1) -> Any:
        y = x**power + (0 if a is None else 10 * a) + (0 if b is None else 100 * b)
        return y, (lambda g: g * power, lambda g: 10 * g, lambda g: 100 * g)

    one = np.ones(1)
    assert f(one) == 1
    assert f(one, b=one) == 101
    assert f(b=one, x=one, a=one) == 111
    assert f(one, None, one, power=2) == 101
    b = Tensor(one)
    f(one, b=b).sum().backward()
    assert b.grad == 100


@pytest.mark.parametrize(
    ("call", "fragments"),
    [
        (ops.conv2d, ["conv2d", "'kernel'", "strides"]),
        (lambda x: ops.conv2d(x, bias=np.ones(2)), ["conv2d", "'kernel'"]),
        (lambda x: ops.conv2d(x, None), ["conv2d", "kernel must be", "got a NoneType"]),
        (lambda x: ops.conv2d(x, x, x, 2), ["conv2d", "too many"]),
        (lambda x: ops.conv2d(x, x, stride=2), ["conv2d", "'stride'", "strides"]),
        (lambda x: ops.relu(), ["relu", "'x'"]),
        (lambda x: ops.relu(x, 3), ["relu", "too many"]),
        (ops.add, ["add", "'y'"]),
        (lambda x: ops.max_pool2d(x, pool=2), ["max_pool2d", "'pool'", "pool_size"]),
        (lambda x: ops.mean(x, axes=1), ["mean", "'axes'", "axis"]),
        (lambda x: ops.max_pool2d(x, 9, stride=2), ["max_pool2d", "'stride'", "strides"]),  # though 9x9 does not fit
        (lambda x: ops.conv2d_pool(x, x, padding_mode="edge"), ["conv2d_pool", "'padding_mode'"]),
    ],
)
def test_calls_that_do_not_match_the_signature_name_the_op(call, fragments):
    with pytest.raises(TypeError) as caught:
        call(np.ones((1, 4, 4, 1)))
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_errors_carry_the_name_of_the_op():
    with pytest.raises(ShapeError, match=r"^subtract: shapes must be .*, got \(2,\) and \(3,\)"):
        Tensor(np.ones(2)) - np.ones(3)


# Gradients that are found together


def halves_and_thirds(calls):
    @op(lambda x, y, z: x)
    def weighted(x: Array, y: Array, z: Array) -> Any:
        def joint(g):
            calls.append(g)
            return g / 2, g / 3

        return x / 2 + 5 * y + z / 3, (joint, lambda g: 5 * g, joint)

    return weighted


@pytest.mark.parametrize("tensors", ["xyz", "xy", "xz", "yz", "x", "y", "z"])
def test_a_joint_vjp_runs_once_and_serves_each_of_its_places(tensors):
    calls = []
    arguments = {name: Tensor([6.0]) if name in tensors else np.array([6.0]) for name in "xyz"}
    halves_and_thirds(calls)(*arguments.values()).sum().backward()
    found = {name: arguments[name].grad for name in tensors}
    assert found == {name: {"x": 1 / 2, "y": 5, "z": 1 / 3}[name] for name in tensors}
    assert len(calls) == ("x" in tensors or "z" in tensors)


def test_one_tensor_at_both_places_of_a_joint_vjp_adds_up():
    assert grad(lambda x: halves_and_thirds([])(x, np.ones(1), x).sum())(np.ones(1)) == 1 / 2 + 1 / 3


def test_the_graph_keeps_no_gradient():
    """A graph that is kept, as for plotting, holds its arrays but nothing of the walk back."""
    calls = []
    x = Tensor([6.0])
    y = halves_and_thirds(calls)(x * 2.0, np.ones(1), x * 3.0).sum()
    grad_of_x = dict(walk(y, {x}))[x]
    g = weakref.ref(calls.pop())
    assert grad_of_x == 2
    assert g() is None


@pytest.mark.parametrize("wrong", [lambda g: g, lambda g: (g,), lambda g: [g, g], lambda g: (g, g, g)])
def test_a_joint_vjp_with_the_wrong_number_of_gradients_is_told(wrong):
    @op(lambda x, y: x)
    def careless(x: Array, y: Array) -> Any:
        return x + y, (wrong, wrong)

    with pytest.raises(TypeError, match="a VJP of 2 arguments must return a tuple of 2 gradients, got a"):
        grad(lambda x: careless(x, x).sum())(np.ones(3))


# What marks an array argument


Renamed = Array


def test_an_array_argument_is_found_by_its_type_under_any_name():
    @op(same)
    def double(x: Renamed, factor: int = 2) -> Any:
        return factor * x, (lambda g: factor * g,)

    @op(same)
    def optional(x: Array | None = None, factor: int = 2) -> Any:
        return factor * x, (lambda g: factor * g,)

    for f in (double, optional):
        assert grad(lambda x, f=f: f(x).sum())(np.ones(1)) == 2
    optional.__wrapped__.__annotations__["x"] = "Arrays"
    with pytest.raises(NameError, match="Arrays"):
        op(same)(optional.__wrapped__)


def test_the_type_of_a_result_is_that_of_its_arguments():
    """The graph needs no Tensor: an op gives a plain Node for a Node."""
    y = ops.exp(Node(np.zeros(2)))
    assert type(y) is Node
    assert type(ops.exp(Tensor(np.zeros(2)))) is Tensor
