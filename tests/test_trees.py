"""Trees of arrays: one walk for all, and the place where two differ."""

from typing import NamedTuple

import pytest

from minicnn import trees


class Pair(NamedTuple):
    left: object
    right: object


def test_the_structure_is_kept():
    found = trees.map_leaves(lambda a, b: a * b, {"b": [1, (2,)], "a": Pair(3, {})}, {"b": [4, (5,)], "a": Pair(6, {})})
    assert found == {"b": [4, (10,)], "a": Pair(18, {})}
    assert list(found) == ["b", "a"]
    assert isinstance(found["a"], Pair)


@pytest.mark.parametrize(
    ("one", "other", "where"),
    [
        ({"a": {"b": 1}}, {"a": {"c": 1}}, "at /a: dict with ['b'] against dict with ['c']"),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, "at the root: dict with ['a', 'b'] against dict with ['b', 'a']"),
        ({"a": [1, [2]]}, {"a": [1, [2, 3]]}, "at /a/1: list with [0] against list with [0, 1]"),
        ([(1,)], [[1]], "at /0: tuple with [0] against list with [0]"),
        ({"a": {"b": 1}}, {"a": 1}, "at /a: dict with ['b'] against 1"),
        ({"a": 1}, {"a": {"b": 1}}, "at /a: 1 against dict with ['b']"),
        ({"a": {"b": 1}, "c": 2}, {"a": 1, "c": {"b": 2}}, "at /a: dict with ['b'] against 1"),
    ],
)
def test_trees_that_differ_are_told_where(one, other, where):
    with pytest.raises(ValueError, match="trees differ") as caught:
        trees.map_leaves(lambda a, b: a, one, other)
    assert where in str(caught.value)


def test_an_error_of_the_function_is_its_own():
    with pytest.raises(ZeroDivisionError):
        trees.map_leaves(lambda a: 1 / a, {"a": 0})


def test_each_value_of_a_function_becomes_a_tree():
    tree = {"b": [3, (4,)], "a": Pair(5, {})}
    found = trees.map_several(lambda a, b: (a + b, a * b, None), 2, tree, tree)
    assert found == [{"b": [6, (8,)], "a": Pair(10, {})}, {"b": [9, (16,)], "a": Pair(25, {})}]
    assert trees.map_several(lambda a: (a, a), 2, {"a": {}}) == [{"a": {}}, {"a": {}}], "without a leaf, too"


def test_equal_structures_are_those_of_trees_that_fit():
    tree = {"a": [1, {"b": 2}], "c": Pair(3, 4)}
    leaves, structure = trees.flatten(tree)
    assert trees.unflatten(tree, iter(leaves)) == tree
    others = [{"a": [1, {"b": 2}], "c": (3, 4)}, {"c": Pair(3, 4), "a": [1, {"b": 2}]}, {"a": [1, 2], "c": Pair(3, 4)}]
    assert all(trees.flatten(other)[1] != structure for other in others)
    assert trees.flatten({"a": ["x", {"b": "y"}], "c": Pair(0, 0)})[1] == structure


def test_leaves_come_with_their_paths():
    assert list(trees.items({"a": [1, {"b": 2}], "c": 3})) == [("a/0", 1), ("a/1/b", 2), ("c", 3)]
    assert trees.leaves(7) == [7]
