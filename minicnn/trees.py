"""Trees of arrays: dicts, lists and tuples, nested in any way, with anything else as a leaf.

Parameters, gradients and optimizer states are such trees. Order is the order of insertion, so it is the same in
every process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def map_leaves(f: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Apply `f` to each leaf of `tree` (and the leaves of `others` at the same place) and keep the structure.

    Raises ValueError where the structures differ, with the place.

    >>> map_leaves(lambda a, b: a + b, {"w": 1, "layers": [2, (3,)]}, {"w": 10, "layers": [20, (30,)]})
    {'w': 11, 'layers': [22, (33,)]}
    """
    try:
        return _map(f, tree, *others)
    except _DifferError:
        raise ValueError(next(_differences("", tree, others))) from None


class _DifferError(Exception):
    """Two trees differ somewhere; where is looked for only then."""


_SEQUENCES = (list, tuple)  # not `list | tuple` where it is asked for each leaf: that makes a new union each time


def _map(f: Callable[..., Any], tree: Any, *others: Any) -> Any:
    if isinstance(tree, dict):
        keys = list(tree)
        for other in others:
            if type(other) is not type(tree) or list(other) != keys:
                raise _DifferError
        return {key: _map(f, tree[key], *[other[key] for other in others]) for key in keys}
    if isinstance(tree, _SEQUENCES):
        if any(type(other) is not type(tree) or len(other) != len(tree) for other in others):
            raise _DifferError
        values = [_map(f, *branch) for branch in zip(tree, *others, strict=True)]
        return type(tree)(*values) if hasattr(tree, "_fields") else type(tree)(values)
    return f(tree, *others)


def _differences(path: str, tree: Any, others: tuple[Any, ...]) -> Iterator[str]:
    if isinstance(tree, dict | list | tuple):
        for other in others:
            if type(other) is not type(tree) or _keys(other) != _keys(tree):
                yield f"trees differ at {path or 'the root'}: {_describe(tree)} against {_describe(other)}"
        for key in _keys(tree):
            yield from _differences(f"{path}/{key}", tree[key], tuple(other[key] for other in others))


def items(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each leaf with its path.

    >>> list(items({"conv2d": {"kernel": 1.5, "bias": 0.0}, "rest": [2.0]}))
    [('conv2d/kernel', 1.5), ('conv2d/bias', 0.0), ('rest/0', 2.0)]
    """
    if not isinstance(tree, dict | list | tuple):
        yield path, tree
        return
    for key in _keys(tree):
        yield from items(tree[key], f"{path}/{key}" if path else str(key))


def leaves(tree: Any) -> list[Any]:
    """Return the leaves in order.

    >>> leaves([1, {"a": 2, "b": (3, 4)}])
    [1, 2, 3, 4]
    """
    return [leaf for _, leaf in items(tree)]


def _keys(tree: Any) -> list[Any]:
    return list(tree) if isinstance(tree, dict) else list(range(len(tree)))


def _describe(tree: Any) -> str:
    return f"{type(tree).__name__} with {_keys(tree)}" if isinstance(tree, dict | list | tuple) else repr(tree)[:60]
