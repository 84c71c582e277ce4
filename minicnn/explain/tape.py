"""The tape of a tensor: every tensor that it was made from, with its gradient and where each part of it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import trees
from minicnn.explain.drawing import MOST_NODES, Box, draw
from minicnn.graph import Node, walk
from minicnn.hints import explained, frozen
from minicnn.validation import shown

MOST_LINES = 60
SHARED = {"padded": "pad2d", "_one_after_the_other": "conv2d_pool"}
"""Functions that make the VJP of an op outside of it."""


@dataclass(frozen=True, eq=False)
class TapeNode:
    """One tensor of a tape.

    Attributes
    ----------
    op : str
        The op that made it, "array" for one that no op made.
    name : str
        Its path in the tree of names that was given, or "".
    value : ndarray
    grad : ndarray or None
        The gradient of the tape's tensor; None if that is not a scalar.
    parents : tuple of int
        The indices of the arguments that take a gradient.
    parts : tuple of ndarray or None
        What the op sends back to each of them. A gradient is the sum of the parts that a tensor receives.
    """

    op: str
    name: str
    value: np.ndarray
    grad: np.ndarray | None
    parents: tuple[int, ...]
    parts: tuple[Any, ...]


@frozen(repr=False, eq=False)
class Tape:
    """A recorded computation: `print` it, or let a notebook draw it.

    Attributes
    ----------
    nodes : tuple of TapeNode
        Arguments before results; the last one is the tensor itself.
    """

    nodes: tuple[TapeNode, ...]

    def __len__(self) -> int:
        return len(self.nodes)

    def __repr__(self) -> str:
        ops = sum(bool(node.parents) for node in self.nodes)
        return f"Tape({ops} ops, {len(self) - ops} arrays)"

    def __str__(self) -> str:
        rows = [("", "op", "name", "shape", "from", "largest |gradient|"), *map(self._row, range(len(self)))]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        if len(lines) > MOST_LINES + 1:
            half = MOST_LINES // 2
            lines = [*lines[: half + 1], f"... {len(self) - 2 * half} more ...", *lines[-half:]]
        return "\n".join(lines)

    def _row(self, i: int) -> tuple[str, ...]:
        node = self.nodes[i]
        largest = "" if node.grad is None else f"{np.abs(node.grad).max(initial=0):.4g}"
        return (str(i), node.op, node.name, str(node.value.shape), ", ".join(map(str, node.parents)), largest)

    @property
    def svg(self) -> str:
        """The drawing. Raises ValueError for a tape too long to be drawn."""
        if len(self) > MOST_NODES:
            fix = "Print it, or make the tape of a smaller computation."
            raise ValueError(f"Tape.svg: the tape must have at most {MOST_NODES} nodes, got {len(self):,}. {fix}")
        return draw([Box(node.op, node.name, node.value.shape, node.parents) for node in self.nodes])

    def _repr_svg_(self) -> str | None:
        """Return what a notebook shows; of a tape too long to be drawn it shows the text."""
        return self.svg if len(self) <= MOST_NODES else None


@explained
def tape(tensor: Any, names: Any = None) -> Tape:
    """Return the tape of a Tensor: what it was made from, forward and, for a scalar, backward.

    Parameters
    ----------
    tensor : Tensor
        The result of a computation. Layers that run in one kernel are one op; `explain.page` shows each on its own.
    names : dict, list or tuple of Tensors, in any nesting, optional
        As {"x": x} or the parameters: a Tensor in it is shown with its path, and anything else is passed over.

    Raises
    ------
    TypeError
        For a `tensor` or `names` of another kind.

    Examples
    --------
    >>> from minicnn import Tensor
    >>> x, w = Tensor([1.0, 2.0]), Tensor([3.0, 4.0])
    >>> y = (x * w + x).sum()
    >>> recorded = tape(y, {"x": x, "w": w})
    >>> print(recorded)
       op        name  shape  from  largest |gradient|
    0  array     x     (2,)         5
    1  array     w     (2,)         2
    2  multiply        (2,)   0, 1  1
    3  add             (2,)   2, 0  1
    4  sum             ()     3     1

    The gradient of x is the sum of two parts, one from each op that reads it:

    >>> [node.parts[node.parents.index(0)] for node in recorded.nodes if 0 in node.parents]
    [array([3., 4.]), array([1., 1.])]
    """
    if not isinstance(tensor, Node):
        fix = "Wrap what it is made from, as Tensor(x), and compute it again."
        raise TypeError(f"tape: tensor must be a Tensor, got {shown(tensor)}. {fix}")
    return Tape(tuple(record(ordered(tensor), tensor, _paths(names))))


def _paths(names: Any) -> dict[Node, str]:
    tree = {} if names is None else names
    found = dict(trees.items(tree))
    holds = not found or any(isinstance(leaf, Node | np.ndarray) for leaf in found.values())
    if not (isinstance(tree, trees.CONTAINERS) and holds):
        raise TypeError(f'tape: names must be a dict, list or tuple of Tensors, as {{"x": x}}, got {shown(names)}.')
    return {leaf: path for path, leaf in found.items() if isinstance(leaf, Node)}


def ordered(y: Node) -> list[Node]:
    """Return the nodes that `y` was made from, arguments before results and in their order, `y` last."""
    # A loop and not a recursion, as in `graph.walk`: a graph may be deeper than Python's stack.
    order: dict[Node, None] = {}
    stack = [(y, iter(parents(y)))]
    entered = {y}
    while stack:
        node, left = stack[-1]
        below = next((parent for parent in left if parent not in entered), None)
        if below is None:
            order[node] = None
            stack.pop()
        else:
            entered.add(below)
            stack.append((below, iter(parents(below))))
    return list(order)


def parents(node: Node) -> list[Node]:
    """Return the arguments of a node that take a gradient, one for each use."""
    ends = (target if isinstance(target, tuple) else (target,) for target, _ in node.edges)
    return [parent for end in ends for parent in end if parent is not None]


def op_name(node: Node) -> str:
    """Return the name of the op that made a node, "array" for none: that of the function its VJPs are made in."""
    if not node.edges:
        return "array"
    vjp: Any = node.edges[0][1]
    made_in = getattr(vjp, "func", vjp)  # of a partial
    name = str(getattr(made_in, "__qualname__", type(made_in).__qualname__)).split(".", maxsplit=1)[0]
    return SHARED.get(name, name)


def record(order: list[Node], y: Node, paths: dict[Node, str]) -> Iterator[TapeNode]:
    """Yield the nodes with their gradients and parts, which are those of `y.backward()` bit for bit."""
    grads = dict(walk(y)) if y.data.size == 1 else {}
    index = {node: i for i, node in enumerate(order)}
    for node in order:
        g = grads.get(node)
        parts = [None] * len(parents(node)) if g is None else list(_parts(node, g))
        places = tuple(index[parent] for parent in parents(node))
        yield TapeNode(op_name(node), paths.get(node, ""), node.data, g, places, tuple(parts))


def _parts(node: Node, g: np.ndarray) -> Iterator[np.ndarray]:
    """Yield what each argument of a node receives, in the order of `parents`."""
    for target, vjp in node.edges:
        sent = vjp(g)
        if isinstance(target, tuple):
            yield from (part for parent, part in zip(target, sent, strict=True) if parent is not None)
        else:
            yield sent
