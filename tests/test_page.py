"""The explorer page in a browser computes what the library computes."""

import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from browser import Opened
from test_layers import IMAGE, TABLE

from minicnn import Tensor, explain, layers, models, ops
from minicnn.explain.net import Describer
from minicnn.explain.packing import Arrays, plain, unpack


@pytest.fixture(scope="module")
def files(digits_page):
    """The folder with pages of two heads, of all heads, and of one net with a residual and two branches."""
    rng = np.random.default_rng(0)
    image, other_image = rng.random((8, 8, 1), dtype=np.float32), rng.random((6, 5, 2), dtype=np.float32)
    body = layers.Sequential([layers.Conv2D(2, 3, padding="same"), layers.ReLU()])
    ways = layers.Concat([layers.GlobalMaxPooling2D(), layers.GlobalAveragePooling2D()])
    other = layers.Sequential([layers.Residual(body), layers.BlurPooling2D(), ways, layers.Dense(3)])
    all_heads = {name: models.small_cnn(name, filters=(4, 6, 6)) for name in models.HEADS}
    nine = {name: (net, net.init(rng, (8, 8, 1))) for name, net in all_heads.items()}
    explain.page(*nine["max"], image, 5, heads=nine).save(digits_page.with_name("nine.html"))
    params = other.init(rng, (6, 5, 2))
    explain.page(other, params, other_image, 1).save(digits_page.with_name("other.html"))
    return digits_page.parent


@pytest.fixture(scope="module")
def page(chromium, digits_page):
    with Opened(chromium, digits_page, reduced_motion="reduce") as page:
        yield page


# What the script shows of itself: `forward`, `ready` and `run` of its sources, and the arrays of the page.
FORWARD = """([net, shape, x, given]) => {
    const tensor = ([shape, data]) => ({shape, data: Float32Array.from(data)});
    const arrays = new Map(Object.entries(given).map(([id, array]) => [id, tensor(array)]));
    return [...minicnn.forward(net, tensor([shape, x]), arrays).at(-1).data];
}"""
BENCH = """([cases, g]) => cases.map(([setting, size, x]) => {
    const ready = minicnn.ready(setting, size);
    if (typeof ready === "string") return ready;
    const input = {shape: [...size, 1], data: Float32Array.from(x)};
    const [y, dx] = minicnn.run(ready, input, (n) => g[n % g.length]);
    return {out: y.shape.slice(0, 2), y: [...y.data], dx: [...dx]};
})"""
LOGITS = """({heads, image, input: shape}) => heads.map(({net}) => {
    const {data} = minicnn.arrays.get(image);
    return [...minicnn.forward(net, {shape, data}, minicnn.arrays).at(-1).data];
})"""
ARRAY = "(id) => [...minicnn.arrays.get(id).data]"


def in_page(page, layer, shape, params, x):
    """Return the results of the layers of a net for one image, as the page computes them."""
    arrays = Arrays()
    net = plain(Describer(arrays).chain(layer, params, shape))
    given = {key: [packed.shape, unpack(packed).ravel().tolist()] for key, packed in arrays.packed.items()}
    return page.evaluate(FORWARD, [net, list(shape), x.ravel().tolist(), given])


VARIANTS = [
    (getattr(layers, name)(), IMAGE)
    for name in (
        "SoftPooling2D", "MaxAveragePooling2D", "StochasticPooling2D", "LogMeanExpPooling2D", "GeMPooling2D",
        "GlobalLpPooling2D", "GlobalLogMeanExpPooling2D", "GlobalSoftPooling2D", "GlobalGeMPooling2D", "BlurPooling2D",
    )
] + [
    (layers.AdaptiveAveragePooling2D((4, 3)), IMAGE),
    (layers.AdaptiveMaxPooling2D(2), IMAGE),
    (layers.BlurPooling2D((2, 3), strides=1, mode="edge"), IMAGE),
    (layers.Conv2D(4, 3, padding=2, padding_mode="wrap"), IMAGE),
    (layers.Conv2D(4, 3, padding=2, padding_mode="reflect"), IMAGE),
    (layers.Padding2D(3, mode="wrap"), IMAGE),
    (layers.GELU(approximate=True), IMAGE),
    (layers.LogMeanExpPooling2D(r=1e-6), IMAGE),
    (layers.LogMeanExpPooling2D(r=100.0), IMAGE),
]  # fmt: skip
NETS = [(models.lenet5(), (28, 28, 1)), (models.keras_mnist(), (28, 28, 1)), (models.mlp(), (8, 8, 1))]
NETS += [(models.small_cnn(head), (8, 8, 1)) for head in models.HEADS]
NETS += [(models.small_cnn("max", batch_norm=True, zero_padding=1), (8, 8, 1)), (models.pooled_cnn(), (16, 16, 1))]


@pytest.mark.parametrize(("layer", "shape"), [row[:2] for row in TABLE] + VARIANTS + NETS, ids=str)
def test_the_page_computes_what_the_library_computes(page, layer, shape):
    params = layer.init(np.random.default_rng(0), shape)
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    expected = np.asarray(layer(params, x[None]))[0].ravel()
    found = in_page(page, layer, shape, params, x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * max(1, np.abs(expected).max()))


def settings():
    """Yield settings of the window bench with the call of the library that is the same."""
    pools = {
        "max": (ops.max_pool2d, {"ties": "first"}), "split": (ops.max_pool2d, {"ties": "split"}),
        "average": (ops.average_pool2d, {}), "counted": (ops.average_pool2d, {"count_include_pad": True}),
        "lp": (ops.lp_pool2d, {"p": 3.0}), "lme": (ops.log_mean_exp_pool2d, {"r": 1.5}), "soft": (ops.soft_pool2d, {}),
        "gem": (ops.gem_pool2d, {"p": 3.0}),
    }  # fmt: skip
    for size in ((6, 6), (7, 5)):
        for window in ((2, 2), (3, 2), (3, 3)):
            for strides in ((1, 1), (2, 1), (2, 2)):
                for dilation in ((1, 1), (2, 1)):
                    for pads, ceil in (
                        ("same", False),
                        (((0, 0), (0, 0)), True),
                        (((1, 0), (1, 1)), False),
                        (((1, 1), (0, 1)), True),
                    ):
                        for op, (pool, how) in pools.items():
                            setting = {
                                "op": "max" if op == "split" else op,
                                "window": window,
                                "strides": strides,
                                "pads": pads,
                                "dilation": dilation,
                                "ceil": ceil,
                                "ties": how.get("ties", "first"),
                                "p": 3.0,
                                "r": 1.5,
                                "weights": [0] * 9,
                                "out": (2, 2),
                            }
                            given = dict(strides=strides, padding=pads, dilation_rate=dilation, ceil_mode=ceil, **how)
                            yield (
                                setting,
                                size,
                                lambda x, pool=pool, window=window, given=given: pool(x, pool_size=window, **given),
                            )


def test_over_900_settings_of_the_bench_forward_and_backward(page):
    cases, x = list(settings()), {}
    rng = np.random.default_rng(0)
    for size in {case[1] for case in cases}:
        x[size] = rng.integers(0, 10, size).astype(np.float32)  # with ties
    g = rng.standard_normal(64).astype(np.float32)
    found = page.evaluate(BENCH, [[[s, size, x[size].ravel().tolist()] for s, size, _ in cases], g.tolist()])
    assert len(cases) > 900
    compared = 0
    for (setting, size, run), got in zip(cases, found, strict=True):
        image = Tensor(x[size][None, ..., None])
        try:
            y = run(image)
        except ValueError as error:
            assert got == str(error), setting
            continue
        weights = g[: y.data.size].reshape(y.data.shape)
        (y * weights).sum().backward()
        assert tuple(got["out"]) == y.data.shape[1:3], setting
        exact = setting["op"] == "max" and setting["ties"] == "first"
        tolerance = 0 if exact else 1e-6
        np.testing.assert_allclose(got["y"], y.data.ravel(), rtol=2e-6, atol=tolerance, err_msg=str(setting))
        np.testing.assert_allclose(
            got["dx"], image.grad.ravel(), rtol=2e-5, atol=max(tolerance, 1e-6), err_msg=str(setting)
        )
        compared += 1
    assert compared > 900


def test_the_logits_of_the_heads_are_those_of_python(page):
    data = json.loads(page.locator("#data").text_content())
    for head, found in zip(data["heads"], page.evaluate(LOGITS, data), strict=True):
        np.testing.assert_allclose(found, head["logits"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["digits", "other", "nine"])
def test_every_array_is_the_librarys_to_the_last_bit(chromium, files, name):
    """The id of an array is a digest of its bits, which the page computes in part from other arrays."""
    with Opened(chromium, files / f"{name}.html") as page:
        data = json.loads(page.locator("#data").text_content())
        assert any("rule" in packed for packed in data["arrays"].values())
        for identifier, packed in data["arrays"].items():
            values = np.array(page.evaluate(ARRAY, identifier), "<f4")
            text = "x".join(map(str, packed["shape"])).encode() + values.tobytes()
            assert hashlib.sha256(text).hexdigest()[:12] == identifier, packed.get("rule")


def test_class_maps_and_bias_add_up_to_the_logits_that_the_page_computes(chromium, files):
    """Where the head is not proportional to its input a remainder is left, and the page shows it."""
    exact = {}
    with Opened(chromium, files / "nine.html") as page:
        data = json.loads(page.locator("#data").text_content())
        logits = page.evaluate(LOGITS, data)
        for head, computed in zip(data["heads"], logits, strict=True):
            maps = np.reshape(page.evaluate(ARRAY, head["class_maps"]), (10, -1)).sum(axis=1)
            rest = np.array(computed) - maps - head["bias"]
            np.testing.assert_allclose(rest, 0 if head["exact"] else head["remainder"], atol=1e-5, err_msg=head["name"])
            exact[head["name"]] = head["exact"]
        assert [name for name, is_exact in exact.items() if not is_exact] == ["log-mean-exp"]
        for name in exact:
            card = page.locator("#heads .cards li", has=page.get_by_role("heading", name=name, exact=True))
            assert ("remainder" in card.inner_text()) == (name == "log-mean-exp"), name


def test_script_and_style_keep_to_their_budget():
    """In KB of 1000 bytes, as they are and as gzip's best level makes them; the README says how many."""
    style, script = ((Path(explain.__file__).parent / name).read_bytes() for name in ("page.css", "page.js"))
    size, compressed = len(style + script), len(gzip.compress(style + script, 9))
    assert size <= 52_000
    assert compressed <= 22_528
    told = f"Script and style have {size / 1000:.0f} KB ({compressed / 1000:.0f} KB compressed)"
    assert told in (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
