"""Trees of arrays: dicts, lists and tuples, nested in any way, with anything else as a leaf.

Parameters, gradients and optimizer states are such trees. Order is the order of insertion, so it is the same in
every process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any


def map_leaves(f: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Apply `f` to each leaf of `tree` (and the leaves of `others` at the same place) and keep the structure.

    Raises ValueError where the structures differ, with the place.

    >>> map_leaves(lambda a, b: a + b, {"w": 1, "layers": [2, (3,)]}, {"w": 10, "layers": [20, (30,)]})
    {'w': 11, 'layers': [22, (33,)]}
    """
    return unflatten(tree, map(f, *_columns(tree, others)))


def map_several(f: Callable[..., tuple[Any, ...]], count: int, tree: Any, *others: Any) -> list[Any]:
    """Apply `f`, which returns `count` values, as `map_leaves` does; return a tree of each of its values.

    >>> map_several(divmod, 2, {"a": 17, "b": [9]}, {"a": 5, "b": [3]})
    [{'a': 3, 'b': [3]}, {'a': 2, 'b': [0]}]
    """
    values = list(map(f, *_columns(tree, others)))
    return [unflatten(tree, iter([value[i] for value in values])) for i in range(count)]


def _columns(tree: Any, others: tuple[Any, ...]) -> list[list[Any]]:
    """Return the leaves of each tree, or raise unless all have the same structure."""
    columns, structures = zip(*map(flatten, (tree, *others)), strict=True)
    if structures.count(structures[0]) < len(structures):
        raise ValueError(next(_differences("", tree, others)))
    return list(columns)


CONTAINERS = (dict, list, tuple)  # not `dict | list | tuple`, which would build a types.UnionType at each check


def flatten(tree: Any) -> tuple[list[Any], list[Any]]:
    """Return the leaves in order, and the structure: trees have the same one where these lists are equal.

    >>> flatten({"a": 2, "b": (3, 4)})
    ([2, 3, 4], [(<class 'dict'>, 'a', 'b'), None, (<class 'tuple'>, 0, 1), None, None])
    """
    found: tuple[list[Any], list[Any]] = [], []
    _flatten([tree], *found)
    return found


def _flatten(branches: Iterable[Any], found: list[Any], structure: list[Any]) -> None:
    for tree in branches:
        if isinstance(tree, CONTAINERS):
            keys, below = (tree, tree.values()) if isinstance(tree, dict) else (range(len(tree)), tree)
            structure.append((type(tree), *keys))
            _flatten(below, found, structure)
        else:
            structure.append(None)
            found.append(tree)


def unflatten(tree: Any, leaves: Iterator[Any]) -> Any:
    """Return a tree of the structure of this one, with the next leaves in order.

    >>> unflatten({"a": 2, "b": (3, 4)}, iter("xyz"))
    {'a': 'x', 'b': ('y', 'z')}
    """
    if isinstance(tree, dict):
        return {key: unflatten(below, leaves) for key, below in tree.items()}
    if isinstance(tree, CONTAINERS):
        values = [unflatten(below, leaves) for below in tree]
        return type(tree)(*values) if hasattr(tree, "_fields") else type(tree)(values)
    return next(leaves)


def _differences(path: str, tree: Any, others: tuple[Any, ...]) -> Iterator[str]:
    for other in others:
        if flatten(other)[1][0] != flatten(tree)[1][0]:
            yield f"trees differ at {path or 'the root'}: {_describe(tree)} against {_describe(other)}"
    for key in _keys(tree) if isinstance(tree, CONTAINERS) else ():
        yield from _differences(f"{path}/{key}", tree[key], tuple(other[key] for other in others))


def items(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each leaf with its path.

    >>> list(items({"conv2d": {"kernel": 1.5, "bias": 0.0}, "rest": [2.0]}))
    [('conv2d/kernel', 1.5), ('conv2d/bias', 0.0), ('rest/0', 2.0)]
    """
    if not isinstance(tree, CONTAINERS):
        yield path, tree
        return
    for key in _keys(tree):
        yield from items(tree[key], f"{path}/{key}" if path else str(key))


def leaves(tree: Any) -> list[Any]:
    """Return the leaves in order.

    >>> leaves([1, {"a": 2, "b": (3, 4)}])
    [1, 2, 3, 4]
    """
    return flatten(tree)[0]


def _keys(tree: Any) -> Iterable[Any]:
    return tree if isinstance(tree, dict) else range(len(tree))


def _describe(tree: Any) -> str:
    return f"{type(tree).__name__} with {list(_keys(tree))}" if isinstance(tree, CONTAINERS) else repr(tree)[:60]
