"""The page: its data against the library and the contract, class maps, hostile texts and numbers, what it refuses."""

import base64
import dataclasses
import hashlib
import html
import json
import re
import sys
import types
import typing
import zlib
from pathlib import Path

import numpy as np
import pytest
from data import make_explain_page
from own_layers import Swish

import minicnn
from minicnn import Tensor, explain, layers, models, ops, optim, train, trees
from minicnn.data import Split
from minicnn.explain import contract
from minicnn.explain import html as page_html
from minicnn.explain.body import body
from minicnn.explain.derived import RULES, read
from minicnn.explain.glance import mask
from minicnn.explain.markup import number
from minicnn.explain.packing import Arrays, json_text, plain
from minicnn.explain.walk import PICTURE

GOLDEN = Path(__file__).parent / "data" / "explain_page.json"
HOSTILE = "</script><img src=x onerror=alert(1)>--><!--"
SCRIPT = "console.log('a small script that stands for the built one')"


@pytest.fixture
def assets(tmp_path, monkeypatch):
    """Stand for the files that the page's sources are built to."""
    for name, text in {"page.js": SCRIPT, "page.css": "p{margin:0}", "licences.txt": "MIT -- <licence>"}.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(page_html, "ASSETS", tmp_path)


def small(*more, shape=(8, 8, 1), classes=3, seed=0):
    """Return a net with its parameters, biases among them that are not zero."""
    net = layers.Sequential([layers.Conv2D(4, 3, padding="same"), layers.ReLU(), *more, layers.Dense(classes)])
    rng = np.random.default_rng(seed)
    params = net.init(rng, shape)
    return net, trees.map_leaves(lambda a: (a + 0.1 * rng.standard_normal(a.shape)).astype(np.float32), params)


def picture(shape=(8, 8, 1), seed=5):
    return np.random.default_rng(seed).uniform(0, 1, shape).astype(np.float32)


def array(page, name):
    return read(page.data.arrays, page.data.net)[name]


# the contract


def fits(value, hint, where="data"):
    """Raise AssertionError unless a JSON value is what the contract says."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        assert any(matches(value, part, where) for part in args), where
    elif dataclasses.is_dataclass(hint):
        has_the_fields(value, hint, where)
    elif origin is list:
        assert isinstance(value, list), where
        for i, item in enumerate(value):
            fits(item, args[0], f"{where}[{i}]")
    elif origin is dict:
        for name, item in value.items():
            fits(item, args[1], f"{where}.{name}")
    else:
        assert type(value) in ((int, float) if hint is float else (hint,)), where


def matches(value, hint, where):
    try:
        fits(value, hint, where)
    except AssertionError:
        return False
    return True


def has_the_fields(value, kind, where):
    assert isinstance(value, dict), where
    hints = typing.get_type_hints(kind)
    fields = {f.name.rstrip("_"): f for f in dataclasses.fields(kind) if f.name != "options"}
    for name, field in fields.items():
        if name in value:
            fits(value[name], hints[field.name], f"{where}.{name}")
        else:
            assert field.default is None, f"{where}.{name} is missing"
    assert kind is contract.Layer or not set(value) - set(fields), where


def built(value, hint):
    """Return a value of the contract from JSON's own types: the way back from `plain`."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        kinds = [kind for kind in args if kind is not type(None)]
        return built(value, kinds[0]) if len(kinds) == 1 else value
    if dataclasses.is_dataclass(hint):
        hints, left = typing.get_type_hints(hint), dict(value)
        names = [f.name for f in dataclasses.fields(hint) if f.name.rstrip("_") in left]
        given = {name: built(left.pop(name.rstrip("_")), hints[name]) for name in names}
        return hint(**given, **({"options": left} if hint is contract.Layer else {}))
    if origin is list:
        return [built(item, args[0]) for item in value]
    return {name: built(item, args[1]) for name, item in value.items()} if origin is dict else value


def ids(value):
    """Yield every string that stands where an id may stand."""
    if isinstance(value, dict):
        for name, item in value.items():
            if isinstance(item, str) and name in {
                "image",
                "array",
                "value",
                "grad",
                "part",
                "after",
                "class_maps",
                "winners",
                "coverage",
            }:
                yield item
            elif name in {"params", "inputs"}:
                yield from item.values()
            elif name == "examples":
                yield from item
            elif name not in {"arrays", "checks"}:
                yield from ids(item)
    elif isinstance(value, list):
        for item in value:
            yield from ids(item)


def test_the_golden_page_is_what_the_contract_says():
    data = json.loads(GOLDEN.read_text())
    fits(data, contract.Data)
    assert data["format"] == contract.FORMAT == 1
    assert set(ids(data)) == set(data["arrays"])
    page = built(data, contract.Data)
    for name, values in read(page.arrays, page.net).items():
        text = "x".join(map(str, page.arrays[name].shape)).encode() + values.tobytes()
        assert hashlib.sha256(text).hexdigest()[:12] == name
    assert {packed.rule[0] for packed in page.arrays.values() if packed.rule} <= set(RULES)
    assert any(packed.rule for packed in page.arrays.values())
    kinds = {layer["kind"] for head in data["heads"] for layer in head["net"]}
    assert {"Residual", "Concat", "Conv2D", "MaxPooling2D", "Dense"} <= kinds
    assert {"study", "shift", "coverage"} <= set(data)


def test_the_contract_check_finds_what_does_not_fit():
    data = json.loads(GOLDEN.read_text())
    for broken in ({"label": "1"}, {"tape": {}}, {"more": 1}, {"input": [1.5]}):
        with pytest.raises(AssertionError):
            fits({**data, **broken}, contract.Data)


def test_the_golden_page_is_read_and_written_to_the_last_character():
    data = built(json.loads(GOLDEN.read_text()), contract.Data)
    assert json_text(data) + "\n" == GOLDEN.read_text()
    assert data.tape.nodes[0].from_ == []


def test_the_golden_page_has_the_numbers_of_this_version():
    golden = json.loads(GOLDEN.read_text())
    made = plain(make_explain_page.page().data)
    pages = [built(each, contract.Data) for each in (golden, made)]
    old, new = (list(read(page.arrays, page.net).values()) for page in pages)
    assert [a.shape for a in old] == [a.shape for a in new]
    for a, b in zip(old, new, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    for part in ("net", "shapes", "summary", "shift", "classes", "examples", "walk"):
        assert json.dumps(golden[part])[:20] == json.dumps(made[part])[:20]
    assert [n["op"] for n in golden["tape"]["nodes"]] == [n["op"] for n in made["tape"]["nodes"]]


WALK = (contract.Shown, contract.Step)


def test_every_field_is_documented():
    for kind in (contract.Data, contract.Head, contract.Node, contract.Layer, contract.Check, contract.Shift, *WALK):
        for field in dataclasses.fields(kind):
            assert re.search(rf"\b{field.name.rstrip('_')}\b", kind.__doc__), (kind.__name__, field.name)


# the data against the library

NETS = {
    "max": lambda: small(layers.MaxPooling2D(2), layers.Flatten()),
    "batch norm": lambda: small(layers.BatchNormalization(), layers.GlobalAveragePooling2D()),
    "residual": lambda: small(
        layers.Residual(layers.Conv2D(4, 3, padding="same")), layers.ReLU(), layers.GlobalMaxPooling2D()
    ),
    "concat": lambda: small(layers.Concat([layers.GlobalMaxPooling2D(), layers.GlobalAveragePooling2D()])),
    "gem": lambda: small(layers.GlobalGeMPooling2D()),
    "three channels": lambda: small(layers.MaxPooling2D(2), layers.Flatten(), shape=(8, 8, 3)),
}


@pytest.mark.parametrize("name", NETS)
def test_the_tape_is_that_of_a_training_step_bit_for_bit(name, monkeypatch):
    net, params = NETS[name]()
    shape = (8, 8, 3) if name == "three channels" else (8, 8, 1)
    image, label = picture(shape), np.array([2])
    made = explain.page(net, params, image, 2, optimizer=optim.Adam(0.1))
    nodes = made.data.tape.nodes
    monkeypatch.setattr(layers.fusion, "wanted", lambda: False)
    moving = {path: a for path, a in trees.items(params) if "moving_" in path}
    tensors = {path: Tensor(a) for path, a in trees.items(params) if path not in moving}
    tree = nested({**moving, **tensors})
    x = Tensor(image[None])
    loss = ops.cross_entropy(net(tree, x), label)
    loss.backward()
    assert array(made, nodes[-1].value) == loss.data
    found = {f"{n.layer}/{n.leaf}": n for n in nodes if n.op == "parameter"}
    assert set(found) == set(tensors)
    for path, tensor in tensors.items():
        assert array(made, found[path].grad).tobytes() == tensor.grad.astype(np.float32).tobytes(), path
        assert array(made, found[path].value).tobytes() == tensor.data.tobytes(), path
    (seen,) = [n for n in nodes if n.op == "image"]
    assert array(made, seen.grad).tobytes() == x.grad.tobytes()


def nested(leaves):
    tree = {}
    for path, leaf in leaves.items():
        *above, last = path.split("/")
        place = tree
        for name in above:
            place = place.setdefault(name, {})
        place[last] = leaf
    return tree


@pytest.mark.parametrize("name", NETS)
def test_gradients_are_the_sums_of_their_parts(name):
    net, params = NETS[name]()
    shape = (8, 8, 3) if name == "three channels" else (8, 8, 1)
    made = explain.page(net, params, picture(shape), 0)
    nodes = made.data.tape.nodes
    for i, node in enumerate(nodes[:-1]):
        parts = [array(made, f.part) for later in reversed(nodes) for f in later.from_ if f.node == i]
        np.testing.assert_allclose(sum(parts), array(made, node.grad), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", NETS)
def test_differences_agree_with_gradients_where_the_loss_is_smooth(name):
    net, params = NETS[name]()
    shape = (8, 8, 3) if name == "three channels" else (8, 8, 1)
    made = explain.page(net, params, picture(shape), 0)
    checks = [check for node in made.data.tape.nodes for check in node.checks if check.smooth]
    assert len(checks) > 12
    for check in checks:
        assert check.numeric == pytest.approx(check.exact, rel=2e-4, abs=2e-6)


def test_a_difference_at_the_threshold_of_a_relu_is_marked():
    net = layers.Sequential([layers.Flatten(), layers.ReLU(), layers.Dense(2)])
    params = net.init(np.random.default_rng(0), (1, 1, 1))
    made = explain.page(net, params, np.zeros((1, 1, 1), np.float32), 0)
    (check,) = made.data.tape.nodes[0].checks
    assert (check.exact, check.smooth) == (0, False)


def test_the_update_is_the_optimizers():
    net, params = NETS["max"]()
    made = explain.page(net, params, picture(), 1, optimizer=optim.SGD(0.5))
    for node in made.data.tape.nodes:
        if node.op == "parameter":
            want = array(made, node.value) - np.float32(0.5) * array(made, node.grad)
            np.testing.assert_array_equal(array(made, node.after), want)
            assert [c.after for c in node.checks] == [want[tuple(c.cell)] for c in node.checks]
    assert made.data.tape.optimizer == repr(optim.SGD(0.5))


def test_a_step_of_training_draws_the_dropout_of_its_generator():
    net, params = small(layers.Flatten(), layers.Dropout(0.5))
    evaluated = explain.page(net, params, picture(), 0)
    assert not evaluated.data.tape.training
    rng = np.random.default_rng(3)
    trained = explain.page(net, params, picture(), 0, rng=rng)
    assert trained.data.tape.training
    loss = ops.cross_entropy(net(params, picture()[None], rng=np.random.default_rng(3)), np.array([0]))
    assert array(trained, trained.data.tape.nodes[-1].value) == pytest.approx(float(loss), rel=1e-6)
    assert all(c.numeric == pytest.approx(c.exact, rel=1e-3, abs=1e-5) for c in trained.data.tape.nodes[0].checks)


def test_numbers_have_the_text_that_the_page_gives_them():
    """The tests of TypeScript read the same file."""
    for value, digits, text in json.loads(GOLDEN.with_name("numbers.json").read_text(encoding="utf-8")):
        assert number(value, digits) == text


@pytest.mark.parametrize("name", NETS)
def test_steps_say_when_values_are_known_and_gradients_are_complete(name):
    """Against a reader who goes through the tape step by step and counts the parts that arrive."""
    net, params = NETS[name]()
    shape = (8, 8, 3) if name == "three channels" else (8, 8, 1)
    tape = explain.page(net, params, picture(shape), 0).data.tape
    missing = [sum(f.node == k for later in tape.nodes for f in later.from_) for k in range(len(tape.nodes))]
    value = [0 if not node.from_ else None for node in tape.nodes]
    arrives, complete, seen = [None] * len(value), [None] * len(value), set()
    for n, k in enumerate(tape.steps[:-1]):
        if k not in seen:
            value[k] = n if value[k] is None else value[k]
            assert all(value[f.node] is not None for f in tape.nodes[k].from_)
        else:
            assert missing[k] == 0
            complete[k], arrives[k] = n, n if arrives[k] is None else arrives[k]
            for part in tape.nodes[k].from_:
                missing[part.node] -= 1
                arrives[part.node] = n if arrives[part.node] is None else arrives[part.node]
                if tape.nodes[part.node].op == "parameter" and not missing[part.node]:
                    complete[part.node] = n
        seen.add(k)
    assert tape.steps[-1] == -1
    assert [(node.known, node.arrives, node.complete) for node in tape.nodes] == [
        *zip(value, arrives, complete, strict=True)
    ]


def test_each_layer_has_its_axes_and_the_node_of_its_result():
    net, params = NETS["max"]()
    made = explain.page(net, params, picture(), 0)
    for described, (_, layer, shape) in zip(made.data.net, net.children((8, 8, 1)), strict=True):
        windows = layer.windows(shape)
        assert tuple(described.output) == layer.output_shape(shape)
        assert made.data.tape.nodes[described.node].shape == [1, *described.output]
        if windows:
            assert dataclasses.astuple(described.rows) == dataclasses.astuple(windows.rows)
            assert dataclasses.astuple(described.cols) == dataclasses.astuple(windows.cols)
    assert made.data.shapes == str(layers.explain_shapes(net, (8, 8, 1))).splitlines()
    np.testing.assert_array_equal(array(made, made.data.coverage), layers.coverage(net, (8, 8, 1)))


# class maps

EXACT = ["flatten", "max", "average", "max-average", "global-max", "global-average", "global-average-conv"]


@pytest.mark.parametrize("head", [*EXACT, "global-max-average", "gem"])
def test_class_maps_and_bias_add_up_to_the_logits(head):
    net = models.small_cnn(head, filters=(4, 6), strides=(1, 2))
    params = net.init(np.random.default_rng(1), (8, 8, 1))
    params["head"] = trees.map_leaves(lambda a: a + np.float32(0.05), params["head"])
    for seed in range(3):
        made = explain.page(net, params, picture(seed=seed), 0)
        (found,) = made.data.heads
        sums = array(made, found.class_maps).sum(axis=(1, 2), dtype=np.float64) + found.bias
        logits = net(params, picture(seed=seed)[None])[0]
        np.testing.assert_array_equal(np.float32(found.logits), logits)
        np.testing.assert_allclose(sums, logits, atol=1e-5)
        assert found.exact
        assert found.map_of == "trunk/relu_1"


def test_the_net_explained_is_the_first_head():
    nets = {
        name: small(*parts) for name, parts in {"a": [layers.Flatten()], "b": [layers.GlobalMaxPooling2D()]}.items()
    }
    made = explain.page(*nets["b"], picture(), 0, heads=nets)
    assert [head.name for head in made.data.heads] == ["b", "a"]
    other = small(layers.GlobalAveragePooling2D())
    made = explain.page(*other, picture(), 0, heads=nets)
    assert [head.name for head in made.data.heads] == ["this net", "a", "b"]


def test_what_does_not_add_up_is_told():
    net = models.small_cnn("log-mean-exp", filters=(4,), strides=(1,))
    params = net.init(np.random.default_rng(1), (8, 8, 1))
    made = explain.page(net, params, picture(), 0)
    (found,) = made.data.heads
    maps = array(made, found.class_maps).sum(axis=(1, 2), dtype=np.float64)
    assert not found.exact
    np.testing.assert_allclose(maps + found.bias + found.remainder, found.logits, atol=1e-6)


def test_maxima_are_counted_by_place():
    net, params = small(layers.GlobalMaxPooling2D())
    made = explain.page(net, params, picture(), 0)
    (found,) = made.data.heads
    maps = layers.Sequential(net.layers[:2])(params, picture()[None])[0]
    want = np.zeros((8, 8))
    for c in range(4):
        want[np.unravel_index(maps[..., c].argmax(), (8, 8))] += 1
    np.testing.assert_array_equal(array(made, found.winners), want)


def test_a_net_without_feature_maps_has_those_of_the_image():
    net = models.mlp((), classes=3)
    params = net.init(np.random.default_rng(0), (6, 6, 1))
    (found,) = explain.page(net, params, picture((6, 6, 1)), 0).data.heads
    assert found.map_of == ""
    assert found.exact


# shifts and studies


def test_the_shift_tables_count_answers():
    net, params = NETS["max"]()
    images = Split(picture((20, 8, 8, 1)), np.arange(20) % 3)
    made = explain.page(net, params, images.images[0], 0, shifts=images)
    table = made.data.shift
    answers = net(params, images.images).argmax(axis=1)
    moved = np.zeros_like(images.images)
    moved[:, 2:, :-1] = images.images[:, :-2, 1:]  # down by two, left by one
    after = net(params, moved).argmax(axis=1)
    assert table.images == 20
    assert table.consistency["this net"][5][2] == np.mean(after == answers)
    assert table.accuracy["this net"][5][2] == np.mean(after == images.labels)
    assert table.consistency["this net"][3][3] == 1
    assert made.data.example_labels == [0, 1, 2]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return make_explain_page.results(tmp_path_factory.mktemp("study"))


def test_a_page_of_a_study_has_its_values_and_verdicts(results):
    made = explain.page_of_study(results.path)
    panel = made.data.study
    (contrast,) = results.compare("accuracy").contrasts
    wide = next(arm for arm in panel.arms if arm.name == "wide")
    assert wide.values == list(results.values()["wide"].values())
    assert wide.mean == pytest.approx(np.mean(wide.values))
    assert wide.low < wide.mean < wide.high
    assert (wide.difference, wide.difference_low, wide.difference_high) == (contrast.mean, contrast.low, contrast.high)
    assert wide.verdict == contrast.verdict
    assert (panel.baseline, panel.margin) == ("narrow", results.compare("accuracy").rope)
    assert len(wide.curve) == 2
    assert [head.name for head in made.data.heads] == ["narrow", "wide"]
    assert made.data.title == results.name
    fits(json.loads(json_text(made.data)), contract.Data)


def test_a_page_of_a_study_explains_wrong_arms(results):
    with pytest.raises(ValueError, match=r"arms must be among narrow, wide, got 'wid'. Did you mean 'wide'\?"):
        explain.page_of_study(results, arms=["wid"])


def test_a_saved_net_and_the_folder_of_a_run_have_a_page(tmp_path):
    net, params = NETS["max"]()
    images = Split(picture((6, 8, 8, 1)), np.arange(6) % 3)
    train.save(tmp_path / "net.npz", params, net)
    other = small(layers.Flatten())
    train.save(tmp_path / "other.npz", other[1], other[0])
    for path in (tmp_path, tmp_path / "net.npz"):
        made = explain.page_of(path, images, index=2, heads={"flat": tmp_path / "other.npz"}, title="Saved")
        assert made.data.label == 2
        assert [head.name for head in made.data.heads] == ["this net", "flat"]
    with pytest.raises(ValueError, match="index must be"):
        explain.page_of(tmp_path, images, index=6)


SPLIT = Split(np.ones((2, 4, 4, 1), np.float32), np.arange(2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: explain.page_of(3, SPLIT), "page_of: path must be a string or a Path, got an int."),
        (lambda: explain.page_of("net.npz", 3), "page_of: images must be a data.Split, got 3."),
        (
            lambda: explain.page_of("net.npz", SPLIT, heads=3),
            "page_of: heads must be a mapping of names to paths",
        ),
        (lambda: explain.page_of_study(3), "page_of_study: study must be a string or a Path, got an int."),
        (lambda: explain.page_of_study("out", arms=3), "page_of_study: arms must be a sequence of names, got 3."),
        (lambda: explain.page_of_study("out", replicate="a"), "page_of_study: replicate must be an integer"),
    ],
    ids=["path", "images", "heads", "study", "arms", "replicate"],
)
def test_wrong_calls_for_what_is_on_disk_are_explained(call, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        call()


# the walk


def walked(image):
    """Return the feature map of the walk's net and its four maxima, by hand: right column minus left column, plus 1."""
    maps = [[1 + sum(image[i + k][j + 2] - image[i + k][j] for k in range(3)) for j in range(4)] for i in range(4)]
    pooled = [max(0, *(maps[i + a][j + b] for a in (0, 1) for b in (0, 1))) for i in (0, 2) for j in (0, 2)]
    return maps, pooled


def signed(value):
    """Return a number as the walk writes it, with the sign that figures have."""
    return f"{value:.4g}".replace("-", "\u2212")


def test_the_numbers_of_the_walk_are_right():
    net, params = NETS["max"]()
    walk = explain.page(net, params, picture(), 0).data.walk
    texts = [step.text for step in walk.steps]
    small_picture = [[int(v) for v in row] for row in PICTURE[..., 0]]
    maps, pooled = walked(small_picture)
    held = [max(0, maps[i][j]) for i in (0, 1) for j in (0, 1)]
    assert f"= {maps[0][0]}. One element to the right the same nine weights give {maps[0][1]}." in texts[0]
    assert f"maximum is {max(held)}; its average would be {sum(held) / 4}." in texts[1]
    logits = np.array([pooled[0] + pooled[3], pooled[1] + pooled[2]]) / 8
    slope = (np.exp(logits)[0] / np.exp(logits).sum() - 1) / 8  # softmax minus target, times the weight
    assert f"rate of {signed(slope)}." in texts[2]
    assert f"a quarter, {signed(slope / 4)}, to each" in texts[2]
    row, column = divmod(int(np.argmax(held)), 2)
    assert f"at row {row + 1}, column {column + 1}," in texts[2]
    assert f"The four maxima were {pooled[0]}, {pooled[1]}, {pooled[2]} and {pooled[3]}." in texts[5]
    assert [step.panel for step in walk.steps] == ["net", "bench", "backward", "step", "heads", "shift"]
    rectified = np.maximum(maps, 0)
    assert f"of the map, {rectified.max()}, and" in texts[4]
    assert f"keeps {rectified.mean()} and sends one sixteenth of its gradient, {1 / 16} of 1," in texts[4]
    assert not any(re.search(r"-\d|\d-| - |\dx\d| x ", text) for text in texts), "hyphens or letters as signs"


def test_the_maps_of_the_walk_are_right():
    """Each against arithmetic by hand, and the gradient of the kernel against differences of the loss in float64."""
    net, params = NETS["max"]()
    made = explain.page(net, params, picture(), 0)
    steps = made.data.walk.steps
    for step in steps:
        names = [shown.name for group in step.show for shown in group]
        assert len(set(names)) == len(names)
    shown = {(n, each.name): each for n, step in enumerate(steps) for group in step.show for each in group}
    found = {place: array(made, each.array)[..., 0] for place, each in shown.items()}

    image = PICTURE[..., 0].astype(float)
    maps, pooled = walked(image)
    moved = np.pad(image, ((0, 0), (1, 0)))[:, :-1]
    edge = np.array([[-1, 0, 1]] * 3)
    np.testing.assert_array_equal(found[0, "picture"], image)
    np.testing.assert_array_equal(found[0, "kernel"], edge)
    np.testing.assert_array_equal(found[0, "convolution, plus 1"], maps)
    np.testing.assert_array_equal(found[1, "after ReLU"], np.maximum(maps, 0))
    np.testing.assert_array_equal(found[1, "maxima"].ravel(), pooled)

    def loss(kernel):
        y = [1 + sum(image[i + a, j + b] * kernel[a, b] for a in range(3) for b in range(3))
             for i in range(4) for j in range(4)]  # fmt: skip
        a, b, c, d = np.maximum(np.reshape(y, (2, 2, 2, 2)).max((1, 3)), 0).ravel()
        return np.log1p(np.exp((b + c - a - d) / 8))  # cross-entropy of two logits

    h = 1e-5
    slope = np.zeros((3, 3))
    for place in np.ndindex(3, 3):
        e = np.zeros((3, 3))
        e[place] = h
        slope[place] = (loss(edge + e) - loss(edge - e)) / (2 * h)
    np.testing.assert_allclose(found[3, "its gradient"], slope, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found[3, "kernel"], edge)
    np.testing.assert_allclose(found[3, "kernel after the step"], edge - 0.5 * slope, rtol=1e-4, atol=1e-6)
    after = signed(round(-1 - 0.5 * slope[0, 0], 4))
    assert f"{signed(slope[0, 0])}. A step with learning rate 0.5" in steps[3].text
    assert f"\u22121 \u2212 0.5 \u00b7 ({signed(slope[0, 0])}) = {after}." in steps[3].text

    sent, back = found[2, "gradient of the maxima"], found[2, "gradient after ReLU"]
    for i, j in np.ndindex(2, 2):
        window, part = np.maximum(maps, 0)[2 * i : 2 * i + 2, 2 * j : 2 * j + 2], back[2 * i :, 2 * j :][:2, :2]
        np.testing.assert_array_equal(part.ravel(), np.eye(4)[window.argmax()] * sent[i, j])

    assert (found[4, "maximum"], found[4, "average"]) == (np.max(maps), np.maximum(maps, 0).mean())
    np.testing.assert_array_equal(found[4, "gradient of the maximum"].ravel(), np.eye(16)[np.argmax(maps)])
    np.testing.assert_array_equal(found[4, "gradient of the average"], 1 / 16)
    assert {shown[4, f"gradient of the {each}"].largest for each in ("maximum", "average")} == {1}

    _, then = walked(moved)
    np.testing.assert_array_equal(found[5, "moved picture"], moved)
    np.testing.assert_array_equal(found[5, "its maxima"].ravel(), then)
    differ = [[n // 2, n % 2] for n in range(4) if pooled[n] != then[n]]
    assert shown[5, "maxima"].framed == shown[5, "its maxima"].framed == differ != []
    assert f"{4 - len(differ)} of the four stay" in steps[5].text


# the first screen


def decoded(address):
    """Return the opacity of each pixel of a PNG file that is told as an address, read chunk by chunk."""
    file = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    assert file[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(file):
        size, kind = int.from_bytes(file[at : at + 4], "big"), file[at + 4 : at + 8]
        chunks[kind] = file[at + 8 : at + 8 + size]
        assert zlib.crc32(kind + chunks[kind]) == int.from_bytes(file[at + 8 + size :][:4], "big")
        at += 12 + size
    head = chunks[b"IHDR"]
    w, h = (int.from_bytes(head[n : n + 4], "big") for n in (0, 4))
    assert list(head[8:]) == [8, 4, 0, 0, 0]
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(h, 1 + 2 * w)
    assert not rows[:, 0].any()
    return rows[:, 2::2]


def test_the_image_of_the_first_screen_has_its_pixels():
    values = np.array([[-1, 0, 1], [np.nan, 3, np.inf]], np.float32)
    assert decoded(mask(values)).tolist() == [[0, 64, 128], [0, 255, 0]]
    assert not decoded(mask(np.full((2, 2), np.nan))).any()
    assert not decoded(mask(np.full((2, 3), 5.0))).any()


def test_the_first_screen_names_the_image_and_the_most_probable_classes():
    net, params = NETS["max"]()
    made = explain.page(net, params, picture(), 2, classes=["<a>", "b", "c"])
    logits = np.float64(made.data.heads[0].logits)
    chances = np.exp(logits) / np.exp(logits).sum()
    first = body(made.data).split("</header>")[0]
    assert 'role="img" aria-label="The image, of class c"' in first
    told = re.findall(r'<th scope="row">(.*?)</th>.*?([\d.]+) %</td>', first)
    order = np.argsort(-chances)
    assert [name for name, _ in told] == [["&lt;a&gt;", "b", "c"][k] for k in order]
    np.testing.assert_allclose([float(share) for _, share in told], 100 * chances[order], atol=0.1)


# hostile and unusual


def test_a_layer_of_ones_own_is_on_the_tape_and_named():
    net, params = small(Swish(), layers.GlobalAveragePooling2D())
    made = explain.page(net, params, picture(), 0)
    own = made.data.net[2]
    assert own.kind == f"{Swish.__module__}.Swish"
    assert set(own.params) == {"slope"}
    ops_inside = [n.op for n in made.data.tape.nodes if n.layer == "swish" and n.op != "parameter"]
    assert ops_inside == ["multiply", "sigmoid", "multiply"]
    (leaf,) = [n for n in made.data.tape.nodes if n.layer == "swish" and n.op == "parameter"]
    assert leaf.leaf == "slope"
    fits(json.loads(json_text(made.data)), contract.Data)


@pytest.mark.parametrize("title", [HOSTILE, "x" * 10_000, "", "\u2028 \x00 \U0001f600"])
def test_a_title_is_text(title, assets):
    net, params = NETS["max"]()
    made = explain.page(net, params, picture(), 0, title=title, classes=[HOSTILE, "b", "c"])
    text = made.html
    assert text.lower().count("<img") == 0
    assert text.count("</script>") == 3
    assert text.count("<!--") == 1
    assert f"<title>{html.escape(title)}</title>" in text
    data = json.loads(re.search(r'type="application/json" id="data">(.*?)</script>', text, re.DOTALL).group(1))
    assert (data["title"], data["classes"][0]) == (title, HOSTILE)


def test_half_of_a_surrogate_pair_can_be_written(assets, tmp_path):
    net, params = NETS["max"]()
    saved = explain.page(net, params, picture(), 0, title="\ud83d").save(tmp_path / "page.html")
    assert "<title>?</title>" in saved.read_text(encoding="utf-8")


def test_nothing_but_the_script_may_run(assets):
    net, params = NETS["max"]()
    text = explain.page(net, params, picture(), 0).html
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src 'sha256-{digest}';" in policy
    assert f"<script>{SCRIPT}</script>" in text
    assert not re.search(r"(src|href)=|https?://(?!www\.w3\.org/2000/svg)", text)


def test_numbers_that_are_not_finite_are_texts():
    net, params = NETS["max"]()
    params["dense"]["bias"] = np.array([np.nan, np.inf, -np.inf], np.float32)
    made = explain.page(net, params, picture(), 0)
    text = json_text(made.data)
    data = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert data["heads"][0]["logits"] == ["nan", "inf", "-inf"]
    fits(data, contract.Data)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_shown(bad):
    net, params = NETS["max"]()
    params["conv2d"]["kernel"] = np.full_like(params["conv2d"]["kernel"], bad)
    made = explain.page(net, params, picture(), 0)
    fits(json.loads(json_text(made.data)), contract.Data)
    assert not np.isfinite(made.data.heads[0].logits).any()


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 3), (5, 3, 3)])
def test_images_of_one_pixel_and_of_three_channels(shape):
    net, params = small(layers.GlobalMaxPooling2D(), shape=shape)
    made = explain.page(net, params, picture(shape), 0)
    fits(json.loads(json_text(made.data)), contract.Data)


def test_an_image_without_a_channel_axis_has_one_channel():
    net, params = NETS["max"]()
    assert explain.page(net, params, picture()[..., 0], 0).data.input == [8, 8, 1]


def test_the_users_own_loss_is_on_the_tape():
    def squares(logits, labels):
        return ops.mean((logits - 1) ** 2)

    net, params = NETS["max"]()
    made = explain.page(net, params, picture(), 0, loss=squares)
    assert made.data.tape.loss == "squares"
    assert [n.op for n in made.data.tape.nodes][-3:] == ["subtract", "power", "mean"]


# what it refuses

WRONG = [
    ({"label": 3}, ValueError, "page: label must be"),
    ({"image": np.ones((2, 8, 8, 1), np.float32)}, ValueError, "image must have shape (H, W, C) or (H, W), got (2, 8"),
    ({"net": "lenet"}, TypeError, "page: net must be a layer, got 'lenet'"),
    ({"classes": ["a"]}, ValueError, "classes must have a name for each of 3 logits, got 1"),
    ({"classes": 3}, TypeError, "page: classes must be a sequence of 3 names, got 3."),
    ({"classes": "abc"}, TypeError, "page: classes must be a sequence of 3 names, got 'abc'."),
    ({"title": 3}, TypeError, "page: title must be a string, got 3."),
    ({"rng": 3}, TypeError, "page: rng must be a numpy.random.Generator, got an int. Use np.random.default_rng(3)."),
    ({"heads": {"a": 1}}, TypeError, "heads must be a mapping of names to (net, params)"),
    ({"heads": {"a": small(layers.Flatten(), classes=4)}}, ValueError, "heads must give 3 logits"),
    ({"heads": {"this net": small(layers.Flatten())}}, ValueError, "heads must have other names than 'this net'"),
    ({"shifts": 3}, ValueError, "shifts must be a data.Split"),
    ({"study": "folder"}, TypeError, "study must be Results, got 'folder'"),
    ({"loss": lambda logits, labels: logits}, ValueError, "loss must return one number made from the logits, got"),
    ({"loss": 3}, TypeError, "page: loss must be a function of logits and labels, got 3."),
    ({"optimizer": "adam"}, TypeError, "optimizer must be a value such as optim.Adam(1e-3), got 'adam'."),
    ({"optimizer": optim.Adam}, TypeError, "page: optimizer must be a value such as optim.Adam(1e-3), got"),
    ({"optimizer": 0}, TypeError, "page: optimizer must be a value such as optim.Adam(1e-3), got 0."),
    ({"draw": 1}, TypeError, "page: draw must be"),
    ({"tittle": "x"}, TypeError, "'tittle' is not an argument. Did you mean 'title'?"),
]


@pytest.mark.parametrize(("change", "kind", "message"), WRONG, ids=[next(iter(w[0])) for w in WRONG])
def test_wrong_calls_are_explained(change, kind, message):
    net, params = NETS["max"]()
    with pytest.raises(kind, match=re.escape(message)):
        explain.page(**{"net": net, "params": params, "image": picture(), "label": 0, **change})


def test_a_large_net_is_shown_without_drawing():
    net = layers.Sequential([layers.Flatten(), layers.Dense(400), layers.Dense(3)])
    params = net.init(np.random.default_rng(0), (28, 28, 1))
    image = picture((28, 28, 1))
    with pytest.raises(ValueError, match=r"at most 300,000 parameters, got 315,203 in this net. Use draw=False"):
        explain.page(net, params, image, 0)
    made = explain.page(net, params, image, 0, draw=False)
    assert all(layer.params is None for layer in made.data.net)
    (kernel,) = [n for n in made.data.tape.nodes if n.shape == [784, 400]]
    assert kernel.value is None
    assert kernel.grad is None
    assert len(kernel.checks) == 3


def test_an_array_that_is_too_large_is_refused():
    with pytest.raises(ValueError, match=r"the image must have at most 262,144 elements, got 262,145"):
        Arrays().put(np.zeros(2**18 + 1), "the image")


def test_missing_files_say_how_they_are_built(tmp_path, monkeypatch):
    monkeypatch.setattr(page_html, "ASSETS", tmp_path)
    net, params = NETS["max"]()
    with pytest.raises(FileNotFoundError, match=r"page\.js must be built"):
        _ = explain.page(net, params, picture(), 0).html


def test_a_page_is_saved_whole_and_shown_in_a_frame(assets, tmp_path):
    net, params = NETS["max"]()
    made = explain.page(net, params, picture(), 0, title='"A" & B')
    assert made.save(tmp_path / "page.html").read_text() == made.html
    frame = made._repr_html_()
    (inside,) = re.findall(r'srcdoc="([^"]*)"', frame)
    assert html.unescape(inside) == made.html
    assert 'sandbox="allow-scripts"' in frame
    assert repr(made).startswith("Page('\"A\" & B'")


@pytest.mark.parametrize("name", ["residual", "three channels", "dense", "strided"])
def test_rules_give_the_arrays_to_the_last_bit(name):
    """A page whose arrays are all told as they are is the oracle."""
    nets = {
        **NETS,
        "dense": lambda: small(layers.Flatten(), layers.Dense(6), layers.ReLU()),
        "strided": lambda: small(layers.Conv2D(3, (2, 3), strides=(2, 1), dilation_rate=(1, 2)), layers.Flatten()),
    }
    net, params = nets[name]()
    params["conv2d"]["bias"][:2] = -0.0, 0.0
    shape = (8, 8, 3) if name == "three channels" else (8, 8, 1)
    image = np.where(picture(shape) > 0.5, picture(shape), 0).astype(np.float32)
    made = explain.page(net, params, image, 1)
    rules = [packed.rule[0] for packed in made.data.arrays.values() if packed.rule]
    assert {"conv2d", "conv2d_grad", "relu", "relu_grad", "dense_grad"} <= set(rules)
    for identifier, values in read(made.data.arrays, made.data.net).items():
        text = "x".join(map(str, values.shape)).encode() + values.tobytes()
        assert hashlib.sha256(text).hexdigest()[:12] == identifier


def test_keras_mnist_keeps_to_its_budget():
    net = models.keras_mnist()
    image = picture((28, 28, 1))
    made = explain.page(net, net.init(np.random.default_rng(0), (28, 28, 1)), image, 0)
    assert len(made.html.encode()) <= 600_000


def test_digits_pages_keep_to_their_budget():
    """250 KB are for a whole page of one head, whichever it is, and 90 KB for each further one."""
    for head in models.HEADS:
        net = models.small_cnn(head)
        images = Split(picture((20, 8, 8, 1)), np.arange(20) % 10)
        made = explain.page(net, net.init(np.random.default_rng(0), (8, 8, 1)), images.images[0], 0, shifts=images)
        assert len(made.html.encode()) <= 250_000, head


def test_data_of_digits_pages_stay_small():
    """Script and style come on top: 250 KB are for a page of one head, and 90 KB for each further one."""
    heads = {name: models.small_cnn(name) for name in ("max", "global-average")}
    made = {name: (net, net.init(np.random.default_rng(0), (8, 8, 1))) for name, net in heads.items()}
    images = Split(picture((20, 8, 8, 1)), np.arange(20) % 10)
    net, params = made["max"]
    one = len(json_text(explain.page(net, params, images.images[0], 0, shifts=images).data))
    two = len(json_text(explain.page(net, params, images.images[0], 0, shifts=images, heads=made).data))
    assert one < 250_000
    assert two - one < 90_000


def test_importing_minicnn_does_not_import_it():
    program = "import sys, minicnn; from minicnn import layers, train; print('minicnn.explain' in sys.modules)"
    import subprocess

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert minicnn.__version__ == json.loads(GOLDEN.read_text())["minicnn"]


def test_the_window_slides_over_the_strongest_channel_of_small_maps():
    net, params = small(layers.MaxPooling2D(2), layers.Flatten(), shape=(14, 14, 3))
    image = picture((14, 14, 3))
    made = explain.page(net, params, image, 0).data
    pooled = np.asarray(layers.Sequential(net.layers[:3])(params, image[None]))[0]
    strongest = np.abs(pooled).max(axis=(0, 1)).argmax()
    assert made.bench.maps == {"max_pooling2d": [2, strongest]}
    assert list(made.bench.inputs) == ["Small picture"]
    n, channel, row, column = made.start
    assert (n, pooled[row, column, channel]) == (2, pooled.max())


def test_without_what_the_page_computes_of_a_training_the_window_has_no_maps():
    net, params = small(layers.Flatten(), layers.Dropout(0.5))
    made = explain.page(net, params, picture(), 0, rng=np.random.default_rng(0), draw=False).data
    assert (made.bench.maps, made.start) == ({}, [0, 0, 0, 0])
    evaluated = explain.page(net, params, picture(), 0, draw=False).data
    assert set(evaluated.bench.maps) == {"conv2d", "relu"}
