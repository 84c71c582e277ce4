"""The tape of any tensor: its nodes against the backward pass, names of ops, text, and the drawing."""

import html
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from tables import COMPOSED, use
from test_ops import TABLE

from minicnn import Tensor, explain, layers, models, ops, trees
from minicnn.explain.drawing import MOST_NODES, Box, arrange, draw

SVG = "{http://www.w3.org/2000/svg}"


def diamond():
    x, w = Tensor([1.0, 2.0]), Tensor([3.0, 4.0])
    y = (x * w + x).sum()
    return y, {"x": x, "w": w}


def test_gradients_and_parts_are_those_of_the_backward_pass():
    y, names = diamond()
    tape = explain.tape(y, names)
    y.backward()
    found = {node.name: node for node in tape.nodes if node.name}
    for name, tensor in names.items():
        np.testing.assert_array_equal(found[name].grad, tensor.grad)
    parts = [p for node in tape.nodes for i, p in zip(node.parents, node.parts, strict=True) if i == 0]
    np.testing.assert_array_equal(sum(parts), [4.0, 5.0])  # w and 1
    assert [node.op for node in tape.nodes] == ["array", "array", "multiply", "add", "sum"]


def test_a_tensor_that_is_not_a_scalar_has_a_tape_without_gradients():
    y = Tensor([1.0, 2.0]) * 2
    tape = explain.tape(y)
    assert [node.grad for node in tape.nodes] == [None, None]
    assert tape.nodes[-1].parts == (None,)
    assert str(tape).splitlines()[-1].split() == ["1", "multiply", "(2,)", "0"]
    ET.fromstring(tape.svg)


def test_the_tape_of_a_fused_net_shows_what_ran():
    net = models.keras_mnist(3)
    params = net.init(np.random.default_rng(0), (12, 12, 1))
    tensors = trees.map_leaves(Tensor, params)
    x = np.random.default_rng(1).uniform(0, 1, (2, 12, 12, 1)).astype(np.float32)
    tape = explain.tape(ops.cross_entropy(net(tensors, x), np.array([0, 1])), tensors)
    assert {node.name for node in tape.nodes if node.name} == {path for path, _ in trees.items(params)}
    for node in tape.nodes:
        assert all(i < j for j, other in enumerate(tape.nodes) for i in other.parents)
        assert node.grad.shape == node.value.shape


def test_a_deep_graph_has_a_tape_and_no_drawing():
    y = Tensor(1.0)
    for _ in range(20_000):
        y = y + 1
    tape = explain.tape(y)
    assert len(tape) == 20_001
    assert len(str(tape).splitlines()) < 70
    assert "... 19941 more ..." in str(tape)
    assert tape._repr_svg_() is None
    with pytest.raises(ValueError, match=f"at most {MOST_NODES} nodes, got 20,001"):
        _ = tape.svg


@pytest.mark.parametrize("wrong", [3.0, None, np.ones(2)])
def test_only_a_tensor_has_a_tape(wrong):
    with pytest.raises(TypeError, match="tape: tensor must be a Tensor, got"):
        explain.tape(wrong)


@pytest.mark.parametrize("wrong", [3, "x", True, Tensor(1.0), np.ones(2), {"x": 3}, [None], {"x": "y"}])
def test_names_must_contain_tensors(wrong):
    with pytest.raises(
        TypeError, match=re.escape('tape: names must be a dict, list or tuple of Tensors, as {"x": x}, got')
    ):
        explain.tape(Tensor(2.0), names=wrong)


def test_arrays_among_the_names_are_passed_over():
    x = Tensor(2.0)
    assert explain.tape(x * 2, {"x": x, "moving_mean": np.ones(2)}).nodes[0].name == "x"


@pytest.mark.parametrize("other", [None, 3, 0.1, np.float64(0.1), np.int64(2), True])
def test_none_and_numbers_among_the_names_are_passed_over(other):
    x = Tensor(2.0)
    assert explain.tape(x * 2, {"other": other, "x": x}).nodes[0].name == "x"
    assert explain.tape(x * 2, [x, (other,)]).nodes[0].name == "0"


def test_a_lone_tensor_is_a_tape_of_one():
    tape = explain.tape(Tensor(2.0))
    assert (len(tape), repr(tape)) == (1, "Tape(0 ops, 1 arrays)")
    ET.fromstring(tape.svg)


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_an_op_has_its_name_on_the_tape(row):
    y = row(*map(Tensor, row.arrays()))
    assert explain.tape(y).nodes[-1].op == row.name


@pytest.mark.parametrize("row", [row for row in TABLE if row.name == "conv2d_pool"], ids=str)
def test_an_op_has_its_name_with_kernels_that_do_not_fuse(row, monkeypatch):
    use(monkeypatch, "reference")
    y = row(*map(Tensor, row.arrays()))
    assert explain.tape(y).nodes[-1].op == "conv2d_pool"


@pytest.mark.parametrize("row", COMPOSED, ids=str)
def test_an_op_made_of_others_shows_them(row):
    y = row(*map(Tensor, row.arrays()))
    assert {node.op for node in explain.tape(y).nodes} <= {"array", *ops.__all__}


def texts(svg):
    return [element.text for element in ET.fromstring(svg).iter(f"{SVG}text")]


def test_the_drawing_has_a_box_for_each_node_and_an_edge_for_each_argument():
    y, names = diamond()
    tape = explain.tape(y, names)
    root = ET.fromstring(tape.svg)
    boxes = [g for g in root.iter(f"{SVG}g") if "node" in g.get("class")]
    assert [int(g.get("data-node")) for g in boxes] == list(range(len(tape)))
    edges = [(int(p.get("data-from")), int(p.get("data-to"))) for p in root.iter(f"{SVG}path")]
    assert edges == [(i, j) for j, node in enumerate(tape.nodes) for i in dict.fromkeys(node.parents)]
    assert texts(tape.svg)[:2] == ["x", "2"]
    assert tape._repr_svg_() == tape.svg


def test_boxes_do_not_overlap_and_results_are_below_their_arguments():
    net = layers.Sequential([
        layers.Conv2D(2, 3, padding="same"),
        layers.Residual(layers.Sequential([layers.Conv2D(2, 3, padding="same"), layers.ReLU()])),
        layers.Concat([layers.GlobalMaxPooling2D(), layers.GlobalAveragePooling2D()]),
        layers.Dense(3),
    ])  # fmt: skip
    params = net.init(np.random.default_rng(0), (6, 6, 1))
    made = explain.page(net, params, np.ones((6, 6, 1), np.float32), 0)
    nodes = made.data.tape.nodes
    boxes = [Box(n.op, n.layer or "", tuple(n.shape), tuple(f.node for f in n.from_)) for n in nodes]
    places = arrange(boxes, 0)
    assert len(set(places)) == len(places)
    for j, box in enumerate(boxes):
        for i in box.parents:
            assert places[i][1] <= places[j][1]
            assert places[i][1] < places[j][1] or places[i][0] < 0


def test_an_op_stands_among_the_ops_where_its_array_has_been_placed_beside_another():
    y, names = diamond()
    nodes = explain.tape(y, names).nodes
    boxes = [Box(n.op, n.name, n.value.shape, n.parents) for n in nodes]
    assert [column < 0 for column, _ in arrange(boxes)] == [not n.parents for n in nodes]
    relus = [Box("array", "x", (), ()), *[Box("relu", "", (), (0,))] * 3, Box("add", "", (), (1, 3))]
    assert all((column >= 0) == bool(box.parents) for (column, _), box in zip(arrange(relus), relus, strict=True))


def test_names_in_a_drawing_are_escaped_and_shortened():
    name = "<script>" * 10
    svg = draw([Box("array", name, (), ()), Box("sum", "", (), (0,))])
    assert "<script>" not in svg
    assert html.escape(name) in svg  # the whole name, as a title
    assert texts(svg)[0] == "\u2026" + name[-21:]
    assert not re.search(r"(href|src|on\w+)=", svg)
