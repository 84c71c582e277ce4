"""Trees of small arrays as a few long ones, because an update of many small arrays is mostly calls.

A step of Adam takes 52 microseconds with the six parameters of `digits8`, and 24 with the arrays that they are joined
to, of which four are for joining the gradients and for the views that the ops get.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn import optim, trees
from minicnn.validation import FLOATS

SMALL = 2**13
"""Elements up to which an array is joined with others: copying its gradient takes less time than a call for it."""


class Joined(tuple[np.ndarray, ...]):
    """The leaves of a tree, several in each array. It is a tree, too, which an optimizer updates like any other."""


class Layout:
    """Where the leaves of parameters, and of trees like them, lie in joined arrays.

    What SGD and Adam compute does not depend on it, to the last bit, because they update each element by itself. There
    are two exceptions. Only arrays with two or more axes have weight decay, so these are joined with their like, as an
    array of one row; and the norm for clipping begins with that of each array, so then none are joined.
    """

    def __init__(self, params: Any, optimizer: optim.Optimizer) -> None:
        self.structure = trees.map_leaves(lambda leaf: None, params)
        self.members: dict[Any, list[int]] = {}  # numbers of the leaves in each array, by what they have in common
        self.spans: list[tuple[Any, Any, Any]] = []  # of each leaf: the key of its array, its place there, its shape
        leaves = trees.leaves(params)
        self.dtype = leaves[0].dtype
        for i, leaf in enumerate(leaves):
            alone = optimizer.global_clipnorm is not None or leaf.size > SMALL
            key = i if alone else "decayed" if optimizer.weight_decay and leaf.ndim > 1 else "joined"
            start = sum(leaves[other].size for other in self.members.setdefault(key, []))
            span = slice(start, start + leaf.size)
            self.spans.append((key, ... if alone else (0, span) if key == "decayed" else span, leaf.shape))
            self.members[key].append(i)

    def join(self, leaves: Sequence[np.ndarray]) -> Joined:
        """Return joined arrays of the leaves of parameters, or of a tree like them."""
        joined = []
        for key, members in self.members.items():
            array = leaves[key] if type(key) is int else np.concatenate([leaves[i] for i in members], None)
            array = array if array.dtype == self.dtype else array.astype(self.dtype)
            joined.append(array[None] if key == "decayed" else array)
        return Joined(joined)

    def leaves(self, joined: Joined) -> list[np.ndarray]:
        """Return the leaves, as views."""
        arrays = dict(zip(self.members, joined, strict=True))
        return [arrays[key][place].reshape(shape) for key, place, shape in self.spans]

    def tree(self, joined: Joined) -> Any:
        """Return the tree of the leaves."""
        return trees.unflatten(self.structure, iter(self.leaves(joined)))


def can_join(params: Any, state: dict[str, Any]) -> bool:
    """Tell whether parameters are arrays of one dtype, and an optimizer's trees for them equal trees of like arrays."""
    flat = [trees.flatten(tree) for tree in (params, *(tree for name, tree in state.items() if name != "step"))]
    leaves = [leaf for row, _ in flat for leaf in row]
    if not all(type(leaf) is np.ndarray and leaf.dtype in FLOATS for leaf in leaves):
        return False
    alike = [([leaf.shape for leaf in row], structure) for row, structure in flat]
    return len({leaf.dtype for leaf in leaves}) == 1 and alike.count(alike[0]) == len(alike)
