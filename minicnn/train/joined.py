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
    """Where the leaves of parameters, and of trees of the same shapes, lie in joined arrays.

    SGD and Adam update each element by itself, so that joining changes no bit, with two exceptions. Only arrays with
    two or more axes have weight decay: these are joined with each other, as an array of one row. And the norm for
    clipping begins with that of each array: then none are joined.
    """

    def __init__(self, params: Any, optimizer: optim.Optimizer) -> None:
        leaves, self.structure = trees.flatten(params)
        self.form = trees.map_leaves(lambda leaf: None, params)
        self.dtype, self.shapes = leaves[0].dtype, [leaf.shape for leaf in leaves]
        self.members: dict[Any, list[int]] = {}  # numbers of the leaves in each array, by what they have in common
        self.spans: list[tuple[Any, Any, Any]] = []  # of each leaf: the key of its array, its place there, its shape
        for i, leaf in enumerate(leaves):
            alone = optimizer.global_clipnorm is not None or leaf.size > SMALL
            key = i if alone else "decayed" if optimizer.weight_decay and leaf.ndim > 1 else "joined"
            start = sum(leaves[other].size for other in self.members.setdefault(key, []))
            span = slice(start, start + leaf.size)
            self.spans.append((key, ... if alone else (0, span) if key == "decayed" else span, leaf.shape))
            self.members[key].append(i)

    def fits(self, params: Any, state: dict[str, Any]) -> bool:
        """Tell whether parameters, which a callback may have changed, and an optimizer's trees have this layout."""
        leaves, structure = trees.flatten(params)
        return (
            structure == self.structure
            and can_join(params, state)
            and leaves[0].dtype == self.dtype
            and [leaf.shape for leaf in leaves] == self.shapes
        )

    def join(self, leaves: Sequence[np.ndarray]) -> Joined:
        """Return joined arrays of the leaves of parameters, or of a tree of the same shapes."""
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
        """Return the tree of the leaves. Those that are joined are copied: to keep one does not keep the others."""
        leaves = zip(self.leaves(joined), self.spans, strict=True)
        return trees.unflatten(self.form, iter([leaf if span[1] is ... else leaf.copy() for leaf, span in leaves]))


def can_join(params: Any, state: dict[str, Any]) -> bool:
    """Tell whether parameters, and an optimizer's trees for them, are arrays of one dtype with the same shapes."""
    flat = [trees.flatten(tree) for tree in (params, *(tree for name, tree in state.items() if name != "step"))]
    leaves = [leaf for row, _ in flat for leaf in row]
    if not all(type(leaf) is np.ndarray and leaf.dtype in FLOATS for leaf in leaves):
        return False
    alike = [([leaf.shape for leaf in row], structure) for row, structure in flat]
    return len({leaf.dtype for leaf in leaves}) == 1 and alike.count(alike[0]) == len(alike)
