"""The graph of a computation: nodes that record how they were made, `op`, and the walk back through them.

Reverse-mode automatic differentiation in one file. An op returns its result and one VJP (vector-Jacobian product: the
gradient of the result in, the gradient of one argument out) per array argument. If an argument is a Node, the result
is one, too, and its `edges` lead to the arguments. `walk` follows the edges back and applies the chain rule. On plain
arrays an op returns a plain array and records nothing.

Nothing here knows any op by name: the ops stand above this file, and `Tensor`, a Node with operators, above the ops.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import types
import typing
from collections.abc import Callable, Container
from typing import Annotated, Any, ParamSpec, Protocol, TypeAlias, TypeVar, cast

import numpy as np

from minicnn.hints import a_type, explain_call
from minicnn.kernels.arithmetic import disjoint, promote
from minicnn.recording import CALLS, Call
from minicnn.validation import FLOATS, ShapeError, array_or_number, as_array, float_array

P = ParamSpec("P")
T = TypeVar("T")
Shape: TypeAlias = tuple[int, ...]
VJP: TypeAlias = Callable[[np.ndarray], Any]
Edge: TypeAlias = "tuple[Node | tuple[Node | None, ...], VJP]"

ARRAY = "array argument"
Array: TypeAlias = Annotated[Any, ARRAY]
"""An array argument of an op: inside the op an ndarray; for its caller an ndarray, a Tensor or a number."""

RESULTS = (np.ndarray, np.float32, np.float64)
PLAIN = frozenset({int, float, str, bool, type(None)})
"""Types of arguments that `lru_cache` tells apart with `typed`; inside a tuple it would take True for 1."""


class Op(Protocol[P]):
    """A function made by `op`. It takes Tensors where the function it was made of takes arrays."""

    __name__: str
    shape: Callable[..., Shape]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Return a Tensor if there is one among the arguments, else an array."""


class Node:
    """An array that records how it was made.

    Parameters
    ----------
    data : array_like of float32 or float64
        Kept without a copy. Integers are refused: they have no gradient.
    edges : tuple of (parent, vjp)
        `vjp` maps the gradient of this node to that of its parent. A joint VJP has a tuple of parents and returns a
        tuple of gradients; a parent in it is None where the argument was a plain array, which takes no gradient.

    Attributes
    ----------
    grad : ndarray or None
        Set by `backward`, same shape as `data`.
    """

    __slots__ = ("data", "edges", "grad")

    def __init__(self, data: Any, edges: tuple[Edge, ...] = ()) -> None:
        # Every result of an op is plain: checked first, for speed. NumPy returns a number for a sum over all axes.
        plain = type(data) in RESULTS and data.dtype in FLOATS
        self.data: np.ndarray = np.asarray(data) if plain else float_array(type(self).__name__, "data", as_array(data))
        self.edges = edges
        self.grad: np.ndarray | None = None

    def backward(self) -> None:
        """Set `.grad` on every node that this scalar was made from; a second call gives the same gradients.

        Each gradient is a writable array that shares memory with nothing else.
        """
        for node, g in disjoint(walk(self)):
            node.grad = g


def op(shape_rule: Callable[..., Any], *, composed: bool = False) -> Callable[[Callable[P, Any]], Op[P]]:
    """Make an op of a function that returns `(result, vjps)`.

    The parameters annotated `Array` are its array arguments, and `vjps` has one entry for each: a function that
    returns a new array, its argument or a view of it, or None for an argument without a derivative. Where one pass over
    the data gives several gradients, `vjps` has the same function for each of them. It is then called once and returns
    a tuple with one gradient per entry.

    The function gets arrays of one dtype (float32 with float64 gives float64; numbers, NumPy's too, promote no array).
    `shape_rule` takes shapes in place of arrays and all other arguments unchanged; it runs first, is the only
    source of shape errors, and is available as `the_op.shape`. It must depend on its arguments alone: shapes and plain
    arguments that it has accepted are remembered, and not checked again in every step of a training.

    A `composed` op is a function made of other ops: it gets its Tensors as they are, and returns their result alone.

    >>> @op(lambda x: x)
    ... def double(x: Array) -> Any:
    ...     return 2 * x, (lambda g: 2 * g,)
    >>> double(np.array([3.0]))
    array([6.])
    """

    def decorate(forward: Callable[P, Any]) -> Op[P]:
        run: Callable[..., Any] = forward  # without types: its arguments are known only when it is called
        where, signature = forward.__name__, inspect.signature(forward)
        arrays = _array_parameters(forward, signature)
        alone = len(arrays) == 1 and arrays[0].kind is not inspect.Parameter.VAR_POSITIONAL
        check = _check_shapes(where, shape_rule, signature)

        @functools.wraps(forward)
        def call(*args: Any, **kwargs: Any) -> Any:
            slots, given, rest, options = _split_arguments(arrays, args, kwargs)
            kind, values, shapes = None, [], []
            # Every op of a step runs this: one loop, because a function call for each argument would take longer.
            for parameter, a in zip(slots, given, strict=False):
                if isinstance(a, Node):
                    kind, value = type(a), a.data
                elif type(a) is np.ndarray and a.dtype in FLOATS:
                    value = a
                else:
                    value = array_or_number(where, parameter.name, a, parameter.default is None, alone)
                values.append(value)
                shapes.append(None if value is None else getattr(value, "shape", ()))
            check(shapes, rest, options, args, kwargs)
            if composed:
                tensors = [a if isinstance(a, Node) else v for a, v in zip(given, values, strict=True)]
                return run(*tensors, *rest, **options)
            y, vjps = run(*promote(values), *rest, **options)
            result = y if kind is None else _recorded(kind, y, where, given, vjps)
            if (calls := CALLS.get()) is not None:
                calls.append(Call(run, given, rest, options, vjps, result))
            return result

        made = cast(Op[P], call)
        made.shape = shape_rule
        return made

    return decorate


def _check_shapes(where: str, rule: Callable[..., Any], signature: inspect.Signature) -> Callable[..., None]:
    """Return a function that applies a shape rule, and adds to its errors which op was called and how."""
    remembered = functools.lru_cache(maxsize=256, typed=True)(rule)

    def check(shapes: list[Any], rest: Any, options: dict[str, Any], args: Any, kwargs: dict[str, Any]) -> None:
        plain = PLAIN.issuperset(map(type, (*rest, *options.values())))
        try:
            (remembered if plain else rule)(*shapes, *rest, **options)
        except (ValueError, TypeError) as error:
            # What does not fit the op comes first. Python's message for it would speak of the shape rule.
            explain_call(where, signature, args, kwargs)
            if isinstance(error, ShapeError):
                error.where = where
            raise

    return check


def remembered(find: Callable[P, T]) -> Callable[P, T]:
    """Return `find` with a cache, for arguments that a shape rule has already checked."""
    # Numbers that are equal, as 1 and True, are one to the cache: the rule has seen what was given.
    found = cast("Callable[P, T]", functools.lru_cache(maxsize=4096)(find))

    def call(*args: P.args, **options: P.kwargs) -> T:
        try:
            return found(*args, **options)
        except TypeError:  # a list is not hashable
            return find(*args, **options)

    return call


def _array_parameters(forward: Callable[..., Any], signature: inspect.Signature) -> list[inspect.Parameter]:
    """Return the parameters whose annotation is `Array`, alone or in a union with None; they come first."""
    found = list(itertools.takewhile(functools.partial(_is_array, forward), signature.parameters.values()))
    if not found:
        where = getattr(forward, "__name__", forward)
        raise TypeError(f"op: {where} must have at least one array argument, got none. Annotate it, as x: Array.")
    return found


def _is_array(forward: Callable[..., Any], parameter: inspect.Parameter) -> bool:
    # Of this parameter alone: evaluating the annotations of all options would add 10 ms to the import of the ops.
    one = types.SimpleNamespace(__annotations__={"x": parameter.annotation})
    hint = typing.get_type_hints(one, getattr(forward, "__globals__", {}), include_extras=True)["x"]
    return any(ARRAY in getattr(part, "__metadata__", ()) for part in (hint, *typing.get_args(hint)))


def _split_arguments(
    arrays: list[inspect.Parameter], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[list[inspect.Parameter], list[Any], tuple[Any, ...], dict[str, Any]]:
    """Return the array parameters, what the call gives for them, and its other arguments by position and by name.

    Signature.bind would do this for any function, but takes longer than all the rest of `op` does. This is enough
    for an op, whose arrays come first. What does not fit is left for the shape rule to refuse.
    """
    slots = arrays * len(args) if arrays[0].kind is inspect.Parameter.VAR_POSITIONAL else arrays
    given, rest, options = list(args[: len(slots)]), args[len(slots) :], kwargs
    if len(given) < len(slots):
        options = dict(kwargs)  # the message for a wrong call needs the arguments as they were
        for p in slots[len(given) :]:
            if p.name not in options and p.default is p.empty:
                break  # arrays after a missing one stay among the options: their place is not known
            given.append(options.pop(p.name, p.default))
    return slots, given, rest, options


def _recorded(kind: type[Node], y: Any, where: str, given: list[Any], vjps: tuple[VJP | None, ...]) -> Node:
    """Return the node of a result: each VJP paired with the arguments whose gradients it returns, if one is a Node."""
    if len(vjps) != len(given):
        raise TypeError(f"{where}: vjps must have an entry for each of {len(given)} arrays, got {len(vjps)}.")
    places: dict[VJP, list[Any]] = {}
    used = set()
    for a, vjp in zip(given, vjps, strict=True):
        if vjp is not None:
            traced = isinstance(a, Node)
            # A plain array keeps its place, so that the gradients of a joint VJP still stand in the right order.
            places.setdefault(vjp, []).append(a if traced else None)
            if traced:
                used.add(vjp)
    edges = tuple([(a[0] if len(a) == 1 else tuple(a), vjp) for vjp, a in places.items() if vjp in used])
    node = kind.__new__(kind)  # not kind(...): the constructor of Tensor explains wrong calls, which takes time
    Node.__init__(node, y, edges)
    return node


def walk(y: Node, wanted: Container[Node] | None = None) -> list[tuple[Node, np.ndarray]]:
    """Return the nodes that the scalar `y` was made from, each with its gradient, or only the wanted ones.

    A loop, not a recursion, because a graph may be deeper than Python's stack. A node is visited once, after
    all nodes made of it: only then is its gradient, a sum over its uses, complete.
    """
    if y.data.size != 1:
        raise ValueError(f"backward: the result must be a scalar, got shape {y.data.shape}. Use .sum() or .mean().")
    uses = _uses(y)
    gradients: dict[Node, Any] = {y: np.ones(y.data.shape, y.data.dtype)}
    ready, found = [y], []
    while ready:
        node = ready.pop()
        g = np.asarray(gradients.pop(node), dtype=node.data.dtype)  # popped: it is freed once its parents have theirs
        if wanted is None or node in wanted:
            found.append((node, g))
        for target, vjp in node.edges:
            for parent, part in _joint(target, vjp, g) if isinstance(target, tuple) else ((target, vjp(g)),):
                if getattr(part, "shape", ()) != parent.data.shape:
                    raise _misshapen(vjp, parent, part)
                # Out of place: `part` may be `g` itself or a view of it, which other parents get, too.
                gradients[parent] = gradients[parent] + part if parent in gradients else part
                uses[parent] -= 1
                if not uses[parent]:
                    ready.append(parent)
    return found


def _joint(parents: tuple[Node | None, ...], vjp: VJP, g: np.ndarray) -> list[tuple[Node, Any]]:
    """Apply the VJP of several arguments, and return those that take a gradient, each with its own."""
    parts = vjp(g)
    if not isinstance(parts, tuple) or len(parts) != len(parents):
        raise _not_joint(vjp, parts, len(parents))
    return [(parent, part) for parent, part in zip(parents, parts, strict=True) if parent is not None]


def _misshapen(vjp: VJP, parent: Node, part: Any) -> ValueError:
    fit = f"the shape of its argument {parent.data.shape}"
    return ValueError(f"{_name(vjp)}: the gradient must have {fit}, got {np.shape(part)}.")


def _name(vjp: VJP) -> str:
    return getattr(vjp, "__qualname__", str(vjp))


def _not_joint(vjp: VJP, parts: Any, count: int) -> TypeError:
    got = f"a tuple of {len(parts)}" if isinstance(parts, tuple) else a_type(parts)
    what = f"a VJP of {count} arguments must return a tuple of {count} gradients, got {got}"
    fix = "Give every argument a function of its own if the gradients are not found together."
    return TypeError(f"{_name(vjp)}: {what}. {fix}")


def _uses(y: Node) -> dict[Node, int]:
    """Count how many gradients each node will receive before its own is complete."""
    uses = {y: 0}
    stack = [y]
    while stack:
        for target, _ in stack.pop().edges:
            for parent in target if isinstance(target, tuple) else (target,):
                if parent is not None:
                    if parent not in uses:
                        uses[parent] = 0
                        stack.append(parent)
                    uses[parent] += 1
    return uses
