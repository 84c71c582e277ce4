"""A training step with one image: forward layer by layer, backward, differences beside the gradients, the update."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minicnn import graph, trees
from minicnn.autograd import Tensor
from minicnn.explain.contract import Check, From, Node, Tape
from minicnn.explain.drawing import MOST_NODES, Box, draw
from minicnn.explain.net import apply
from minicnn.explain.packing import Arrays, short
from minicnn.explain.tape import TapeNode, ordered, parents, record
from minicnn.kernels.uncompiled import uncompiled

Loss = Callable[[Any, np.ndarray], Any]
STEP = 2.0**-17
"""Of a difference, per size of the element. Its error is about STEP^2, and float64's rounding about 1e-16 / STEP."""
MOST_CHECKS = 3
MOST_UPDATED = 512
"""Elements of a parameter whose values after the update are all in the page: they cost as much as the parameter."""
RULES = {
    "relu": "passes on what lies under a positive result, and nothing elsewhere",
    "conv2d": "each pixel gets, from every window that read it, its gradient times the kernel element at its tap",
    "max_pool2d": "the first maximum of each window gets all of its gradient",
    "average_pool2d": "each element of a window gets an equal part",
    "global_average_pool2d": "each element gets an equal part",
    "global_max_pool2d": "the first maximum of each channel gets all of its gradient",
    "dense": "the features get the gradient times the kernel, the kernel gets feature times gradient",
    "cross_entropy": "the logits get probability minus 1 for the label, and the probability for each other class",
    "flatten": "the same numbers in the shape of the input",
    "reshape": "the same numbers in the shape of the input",
    "add": "both summands get the same gradient",
    "concatenate": "each branch gets its own channels",
}
"""How an op hands on its gradient, as the end of a sentence."""
IMAGE = "the image"
"""Its name on the tape. No layer has it: names of layers have no spaces."""


@dataclass(frozen=True)
class Problem:
    """What is computed: the loss of a net for one image, (1, H, W, C), and its label."""

    net: Any
    params: Any
    x: np.ndarray
    label: np.ndarray
    loss: Loss
    rng: np.random.Generator | None = None

    def value(self, params: Any, x: Any, look: Callable[[str, Any], Any]) -> Any:
        """Return the loss; each call draws the same random numbers."""
        rng = copy.deepcopy(self.rng)
        return self.loss(apply(self.net, params, x, rng, look), self.label)


@dataclass(frozen=True)
class Step:
    """The recorded step: the tape's nodes, and for each of them the path of its layer and that of its parameter.

    `outputs` has the index of each layer's result.
    """

    nodes: tuple[TapeNode, ...]
    layers: tuple[str, ...]
    leaves: tuple[str, ...]
    outputs: dict[str, int]
    image: int


def run(problem: Problem) -> Step:
    """Record a step."""
    image = Tensor(problem.x)
    params = trees.map_leaves(lambda a: a, problem.params)
    paths = {path: Tensor(a) for path, a in trees.items(params) if _is_trained(path)}
    tensors = _replaced(params, paths)
    made: dict[str, Any] = {}

    def look(name: str, y: Any) -> Any:
        made[name] = y
        return y

    y = problem.value(tensors, image, look)
    if not isinstance(y, Tensor) or y.data.size != 1:
        raise ValueError(f"page: loss must return one number made from the logits, got shape {np.shape(y)}.")
    order = ordered(y)
    _check_length(len(order))
    index = {node: i for i, node in enumerate(order)}
    names: dict[graph.Node, str] = {tensor: path for path, tensor in paths.items()}
    owners = _owners(made, names)
    recorded = record(order, y, {**names, image: IMAGE})
    homes = [(_home(names[n], made) if n in names else (owners.get(n, ""), "")) for n in order]
    outputs = {name: index[node] for name, node in made.items() if node in index}
    place = index.get(image, -1)
    owning, leaves = zip(*homes, strict=True)
    return Step(tuple(recorded), owning, leaves, outputs, place)


def _is_trained(path: str) -> bool:
    return not path.rpartition("/")[2].startswith("moving_")


def _replaced(tree: Any, leaves: dict[str, Any]) -> Any:
    """Return a tree with the leaves of these paths instead of its own."""
    found = iter([leaves.get(path, leaf) for path, leaf in trees.items(tree)])
    return trees.map_leaves(lambda _: next(found), tree)


def _check_length(count: int) -> None:
    if count > MOST_NODES:
        raise ValueError(
            f"page: net must have a training step of at most {MOST_NODES} arrays, got {count:,}. Explain a part of it."
        )


def _owners(made: dict[str, Any], names: dict[graph.Node, str]) -> dict[graph.Node, str]:
    """Return the layer of each node: the first one whose result it went into, in the order in which layers ran."""
    owners: dict[graph.Node, str] = {}
    for name, y in made.items():
        stack: list[graph.Node] = [y] if isinstance(y, Tensor) else []
        while stack:
            node = stack.pop()
            if node not in owners and node not in names and node.edges:
                owners[node] = name
                stack += parents(node)
    return owners


def _home(path: str, made: dict[str, Any]) -> tuple[str, str]:
    """Return the layer and the leaf of a parameter's path; a leaf of an own layer may be a path, too."""
    steps = path.split("/")
    for count in range(len(steps) - 1, 0, -1):
        if "/".join(steps[:count]) in made:
            return "/".join(steps[:count]), "/".join(steps[count:])
    return "layer", path


def pack(step: Step, problem: Problem, arrays: Arrays, optimizer: Any) -> Tape:
    """Return the step for the page, with differences beside its gradients and the update of its parameters."""
    after = _updated(step, problem, optimizer)
    checks = differences(step, problem, after)
    nodes = []
    for i, node in enumerate(step.nodes):
        path = step.leaves[i] and node.name
        nodes.append(
            Node(
                op="image" if i == step.image else "parameter" if path else node.op,
                layer=step.layers[i] or None,
                leaf=step.leaves[i] or None,
                shape=list(node.value.shape),
                value=arrays.put_if_small(node.value),
                grad=arrays.put_if_small(node.grad),
                after=arrays.put(after[path]) if path in after and after[path].size <= MOST_UPDATED else None,
                from_=[_from(p, part, arrays) for p, part in zip(node.parents, node.parts, strict=True)],
                checks=checks.get(i, []),
            )
        )
    loss = getattr(problem.loss, "__name__", type(problem.loss).__name__)
    boxes = [_named_box(step, i) for i in range(len(step.nodes))]
    svg = draw(boxes, step.image if step.image >= 0 else None)
    rules = {node.op: RULES[node.op] for node in step.nodes if node.op in RULES}
    order = steps_of(nodes)
    nodes = [_timed(k, nodes, order) for k in range(len(nodes))]
    return Tape(nodes, order, rules, svg, loss, problem.rng is not None, None if optimizer is None else repr(optimizer))


def _from(parent: int, part: Any, arrays: Arrays) -> From:
    name = arrays.put_if_small(part)
    finite = np.where(np.isfinite(part), np.abs(part), 0) if name else None
    return From(parent, name, None if finite is None else short(finite.max(initial=0)))


def steps_of(nodes: list[Node]) -> list[int]:
    """Return the node of each step: forward, back, and -1 for the update."""
    order = [k for k, node in enumerate(nodes) if node.op != "parameter"]
    return [*order, *(k for k in reversed(order) if nodes[k].grad), -1]


def _timed(k: int, nodes: list[Node], steps: list[int]) -> Node:
    """Return a node with the steps from which its value is known and its gradient arrives and is complete."""
    ends = {node: n for n, node in enumerate(steps)}  # the last step of a node is that back, if it has a gradient
    sent = [
        ends[i] if later.grad else None for i, later in enumerate(nodes) for f in later.from_ if f.node == k and f.part
    ]
    own = ends[k] if k in ends and nodes[k].grad else None
    arrived = [n for n in (*sent, own) if n is not None]
    complete = max(arrived) if arrived and None not in sent else None
    return replace(
        nodes[k],
        known=steps.index(k) if nodes[k].from_ else 0,
        arrives=min(arrived, default=None),
        complete=complete if own is None else own,
    )


def _named_box(step: Step, i: int) -> Box:
    node = step.nodes[i]
    name = node.name if not node.parents else step.layers[i]
    return Box(node.op, name, node.value.shape, node.parents)


def _updated(step: Step, problem: Problem, optimizer: Any) -> dict[str, np.ndarray]:
    """Return the parameters after the first step of an optimizer; those that take no part keep their values."""
    if optimizer is None:
        return {}
    grads = {node.name: node.grad for node in step.nodes if node.name and node.name != IMAGE}
    zeros = {path: np.zeros_like(a) for path, a in trees.items(problem.params)}
    gradients = _replaced(problem.params, {**zeros, **grads})
    params, _ = optimizer.update(gradients, optimizer.init(problem.params), problem.params)
    return dict(trees.items(params))


@uncompiled()  # in float64, for which a training compiles no loops
def differences(step: Step, problem: Problem, after: dict[str, np.ndarray]) -> dict[int, list[Check]]:
    """Return differences beside the largest gradients of the parameters, the image, and the results of layers."""
    names = {i: node.name for i, node in enumerate(step.nodes) if node.name}
    names |= {i: name for name, i in step.outputs.items() if step.nodes[i].parents}
    double = replace(problem, params=trees.map_leaves(lambda a: a.astype(np.float64), problem.params))
    return {i: list(_checks(step.nodes[i], name, double, after.get(name))) for i, name in names.items()}


def _checks(node: TapeNode, name: str, problem: Problem, after: np.ndarray | None) -> Iterator[Check]:
    grad = np.asarray(node.grad)
    size = np.where(np.isnan(grad), -1, np.abs(grad)).ravel()
    for element in np.argsort(-size, kind="stable")[:MOST_CHECKS]:
        value = float(node.value.flat[element])
        h = STEP * max(1.0, abs(value)) if math.isfinite(value) else STEP
        behind, here, ahead = (_moved(problem, name, int(element), by) for by in (-h, 0.0, h))
        place = [int(i) for i in np.unravel_index(element, grad.shape)]
        right, left = (ahead - here) / h, (here - behind) / h
        smooth = bool(abs(right - left) <= 1e-3 * max(abs(right), abs(left), 1e-3))
        moved = None if after is None else short(after.flat[element])
        numeric = short((ahead - behind) / (2 * h))
        yield Check(place, short(grad.flat[element]), numeric, short(h), smooth, short(value), moved)


def _moved(problem: Problem, name: str, element: int, by: float) -> float:
    """Return the loss in float64 with one element of a parameter, of the image or of a layer's result moved."""

    def nudged(path: str, value: Any) -> Any:
        if path != name:
            return value
        value = value.copy()
        value.flat[element] += by
        return value

    params = _replaced(problem.params, {path: nudged(path, a) for path, a in trees.items(problem.params)})
    x = nudged(IMAGE, problem.x.astype(np.float64))
    return float(np.reshape(problem.value(params, x, nudged), ()))
