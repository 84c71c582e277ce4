"""The loss and its gradients in a training, without the engine: two steps are recorded, the others replay them.

For a small net the Python of layers, Tensors, checks and trees takes as long as the kernels: with 32 images a step of
`digits8` takes 0.73 of the time, one of `lenet5` 0.86, of `gap28` 0.93, and of `keras_mnist` 0.95. The functions of the
same ops run, forward and backward, in the same order and with the same generator, so that parameters are the same, bit
for bit, and a breakpoint in an op is hit. Left out are the calls of the layers, checks of what earlier steps have
checked, and the graph; and between steps small parameters are joined to long arrays, see `joined`.

A recording knows only what ops compute. So a net is replayed only if all its layers are minicnn's, and two recordings
are equal; every other training, and each with MINICNN_FUSE=0, runs as it is written.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from minicnn import optim, trees
from minicnn.autograd import value_and_grad
from minicnn.geometry import Shape
from minicnn.graph import PLAIN, Node, walk
from minicnn.kernels.arithmetic import disjoint
from minicnn.layers import fusion
from minicnn.layers.base import Layer
from minicnn.recording import Call, recorded
from minicnn.train.joined import Joined, Layout, can_join

CONSTANT = PLAIN | {tuple, np.random.Generator}
"""Types of arguments that are the same in each step."""


def gradients_of(loss: Callable[..., Any], net: Layer, optimizer: Any, shape: Shape, params: Any, state: Any) -> Any:
    """Return `AsWritten(loss)`, or `Replay(loss, ...)` for images of a shape.

    `loss(params, images, labels)` returns loss and logits. SGD and Adam keep the dtype and the shape of each parameter,
    which an optimizer of the user's may not.
    """
    may_replay = fusion.is_on() and type(optimizer) in (optim.SGD, optim.Adam) and _is_known(net, shape)
    return Replay(loss, Layout(params, optimizer)) if may_replay and can_join(params, state) else AsWritten(loss)


def _is_known(layer: Layer, shape: Shape) -> bool:
    known = type(layer).__module__.startswith("minicnn.layers.")
    return known and all(_is_known(child, at) for _, child, at in layer.children(shape))


class AsWritten:
    """The function `value_and_grad(loss, has_aux=True)` of parameters, images and labels, for one training.

    Between steps, parameters and an optimizer's state are kept as `join` returns them.
    """

    def __init__(self, loss: Callable[..., tuple[Any, Any]]) -> None:
        self.loss, self.as_written = loss, value_and_grad(loss, has_aux=True)

    def __call__(self, params: Any, images: np.ndarray, labels: np.ndarray) -> Any:
        """Return (loss, logits) and the gradients."""
        return self.as_written(params, images, labels)

    def join(self, params: Any, state: optim.State) -> tuple[Any, optim.State]:
        """Return parameters and an optimizer's state in the form that they have between steps."""
        return params, state

    def separate(self, params: Any, state: optim.State) -> tuple[Any, optim.State]:
        """Return them as trees from that form, and trees as they are."""
        return params, state


class Replay(AsWritten):
    """The same, by recordings of the first steps; trees are joined arrays between steps."""

    def __init__(self, loss: Callable[..., tuple[Any, Any]], layout: Layout) -> None:
        super().__init__(loss)
        self.layout = layout
        # By the shape and dtype of the images: the last batch of an epoch is smaller.
        self.first: dict[Any, Program | None] = {}
        self.programs: dict[Any, Program | None] = {}

    def __call__(self, params: Any, images: np.ndarray, labels: np.ndarray) -> Any:
        """Return (loss, logits) and the gradients, joined as the parameters are."""
        if type(params) is not Joined:
            return self.as_written(params, images, labels)
        key = images.shape, images.dtype
        program = self.programs.get(key)
        if program is not None:
            loss, logits, gradients = program.run(self.layout.leaves(params), images, labels)
            # Those that are not joined may be views of one array.
            own = disjoint(enumerate(self.layout.join(gradients)))
            return (loss, logits), Joined([array for _, array in own])
        take = self.as_written if key in self.programs else partial(self._record, key)
        found, tree = take(self.layout.tree(params), images, labels)
        return found, self._joined(tree)

    def join(self, params: Any, state: optim.State) -> tuple[Any, optim.State]:
        """Return joined arrays of the parameters, and of each tree in the state, if a callback has not changed them."""
        if not self.layout.fits(params, state):
            return params, state
        return self._joined(params), {key: v if key == "step" else self._joined(v) for key, v in state.items()}

    def separate(self, params: Any, state: optim.State) -> tuple[Any, optim.State]:
        """Return the trees of joined arrays."""
        return self._separated(params), {key: self._separated(v) for key, v in state.items()}

    def _joined(self, tree: Any) -> Joined:
        return self.layout.join(trees.leaves(tree))

    def _separated(self, tree: Any) -> Any:
        return self.layout.tree(tree) if type(tree) is Joined else tree

    def _record(self, key: Any, params: Any, images: np.ndarray, labels: np.ndarray) -> Any:
        """Take a step as it is written, and note what its ops do."""
        given: list[Any] = [images, labels]
        results: list[Any] = []

        def noted(params: Any, images: np.ndarray, labels: np.ndarray) -> tuple[Any, Any]:
            given.extend(trees.leaves(params))
            results.extend(self.loss(params, images, labels))
            return results[0], results[1]

        with recorded() as calls:
            found = value_and_grad(noted, has_aux=True)(params, images, labels)
        made = _program(calls, given, *results)
        # A program that is known to be repeated with batches of another size needs no second recording.
        if key in self.first or (made and made in self.programs.values()):
            self.programs[key] = made if made == self.first.get(key, made) else None
        self.first[key] = made
        return found


class Program(NamedTuple):
    """The ops of a step. Values are numbered: images, labels, parameters, constants, then the result of each op.

    Attributes
    ----------
    constants : tuple
        Arguments that are the same in each step, the generator among them.
    forward : list of (function of an op, numbers of its arguments, its options)
    backward : list of (number of a result, [(which of its VJPs, number of the value, or of several, that it is for)])
    logits : int
    """

    constants: tuple[Any, ...]
    forward: list[tuple[Callable[..., Any], list[int], dict[str, Any]]]
    backward: list[tuple[int, list[tuple[int, Any]]]]
    logits: int

    def run(self, leaves: list[np.ndarray], images: np.ndarray, labels: np.ndarray) -> tuple[Any, Any, list[Any]]:
        """Return loss, logits and the gradients of the parameters."""
        values: list[Any] = [images, labels, *leaves, *self.constants]
        vjps: list[Any] = [()] * len(values)
        for function, places, options in self.forward:
            y, found = function(*[values[place] for place in places], **options)
            values.append(y)
            vjps.append(found)
        loss = np.asarray(values[-1])
        # As `graph.walk` does it, and in its order: the order of a sum decides its last bits.
        gradients: list[Any] = [None] * len(values)
        gradients[-1] = np.ones((), loss.dtype)
        for place, edges in self.backward:
            g, gradients[place] = np.asarray(gradients[place], loss.dtype), None
            for which, targets in edges:
                parts = vjps[place][which](g)
                for target, part in zip(targets, parts, strict=True) if type(targets) is tuple else ((targets, parts),):
                    if target is not None:
                        before = gradients[target]
                        gradients[target] = part if before is None else before + part
        own = [np.zeros_like(leaf) if gradients[i] is None else gradients[i] for i, leaf in enumerate(leaves, 2)]
        return loss[()], values[self.logits], own


def _program(calls: list[Call], given: list[Any], loss: Any, logits: Any) -> Program | None:
    """Return the program of the calls that the loss depends on, or None if an argument of theirs is of unknown origin.

    An op may call others on arrays; these are left out, because the op's own function calls them.
    """
    used = {id(loss)}
    kept: list[Call] = []
    for call in reversed(calls):
        if id(call.result) in used:
            kept.insert(0, call)
            used |= {id(a) for a in (*call.given, *call.rest)}
    results = [call.result for call in kept]
    known = {id(a) for a in (*given, *results)}
    constants = tuple(a for call in kept for a in (*call.given, *call.rest) if id(a) not in known)
    options = [a for call in kept for a in call.options.values()]
    dtypes = {a.dtype for a in (given[0], *given[2:], *results)}
    # Numbers among the arrays of an op are converted by the engine; None, for no bias, is not.
    numbers = [a for call in kept for a in call.given if type(a) in PLAIN and a is not None]
    plain = CONSTANT.issuperset(map(type, (*constants, *options)))
    if numbers or len(dtypes) > 1 or not (plain and isinstance(loss, Node)):
        return None
    places = {id(a): i for i, a in enumerate([*given, *constants, *results])}
    forward = [(c.function, [places[id(a)] for a in (*c.given, *c.rest)], c.options) for c in kept]
    made = {id(call.result): call for call in kept}
    # `walk` is asked for its order, at the price of one more backward pass for each recording: few in a training.
    backward = [
        (places[id(node)], [(made[id(node)].vjps.index(vjp), _numbers(places, target)) for target, vjp in node.edges])
        for node, _ in walk(loss)
        if node.edges
    ]
    return Program(constants, forward, backward, places[id(logits)])


def _numbers(places: dict[int, int], target: Node | tuple[Node | None, ...]) -> Any:
    if isinstance(target, tuple):
        return tuple(None if node is None else places[id(node)] for node in target)
    return places[id(target)]
