"""The explorer page in a browser: its numbers are the library's, every control works, nothing leaves the file."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from test_layers import IMAGE, TABLE

from minicnn import Tensor, explain, layers, models, ops
from minicnn.data import Split
from minicnn.explain.net import Describer
from minicnn.explain.packing import Arrays, plain, unpack

WANTED = os.environ.get("MINICNN_BROWSER") == "required"
CHROMIUM = os.environ.get("MINICNN_CHROMIUM", "/usr/bin/chromium")
FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
FLAGS += " --disable-component-update --disable-sync"
HOSTILE = '</script><img src=x onerror="document.title=1">'


def browser_or_skip():
    """Return Playwright and Chromium, or skip with what is missing; MINICNN_BROWSER=required makes that a failure."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing = "playwright is not installed (the extra `browser`)"
    else:
        if Path(CHROMIUM).exists():
            return sync_playwright
        missing = f"there is no browser at {CHROMIUM} (MINICNN_CHROMIUM)"
    if WANTED:
        pytest.fail(f"MINICNN_BROWSER=required, but {missing}")
    return pytest.skip(missing)


@pytest.fixture(scope="module")
def chromium():
    with browser_or_skip()() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Pages of two heads, of all heads, of one net with a residual and two branches, and of a hostile title."""
    folder, rng = tmp_path_factory.mktemp("pages"), np.random.default_rng(0)
    images = rng.random((12, 8, 8, 1), dtype=np.float32)
    split = Split(images, np.arange(12) % 10)
    nets = {name: models.small_cnn(name, filters=(4, 6, 6)) for name in ("max", "global-max")}
    heads = {name: (net, net.init(np.random.default_rng(1), (8, 8, 1))) for name, net in nets.items()}
    body = layers.Sequential([layers.Conv2D(2, 3, padding="same"), layers.ReLU()])
    ways = layers.Concat([layers.GlobalMaxPooling2D(), layers.GlobalAveragePooling2D()])
    other = layers.Sequential([layers.Residual(body), layers.BlurPooling2D(), ways, layers.Dense(3)])
    all_heads = {name: models.small_cnn(name, filters=(4, 6, 6)) for name in models.HEADS}
    nine = {name: (net, net.init(rng, (8, 8, 1))) for name, net in all_heads.items()}
    made = {
        "nine": explain.page(*nine["max"], images[5], 5, heads=nine),
        "digits": explain.page(*heads["max"], images[3], 3, heads=heads, shifts=split),
        "other": explain.page(other, other.init(rng, (6, 5, 2)), rng.random((6, 5, 2), dtype=np.float32), 1),
        "hostile": explain.page(*heads["max"], images[0], 0, title=HOSTILE, classes=[f"<b>{k}" for k in range(10)]),
    }
    for name, page in made.items():
        page.save(folder / f"{name}.html")
    return folder


class Opened:
    """A page in an offline browser, with what it asked for and what it complained of."""

    def __init__(self, browser, path, **options):
        self.context = browser.new_context(offline=True, **{"viewport": {"width": 1200, "height": 900}, **options})
        self.page = self.context.new_page()
        self.asked, self.said = [], []
        self.page.on("request", lambda request: self.asked.append(request.url.split("#")[0]))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(f"file://{path}")
        self.page.wait_for_selector("html[data-ready]")

    def __enter__(self):
        return self.page

    def __exit__(self, kind, *_):
        asked, complaints = set(self.asked), self.said
        self.context.close()
        if kind is None:
            assert len(asked) == 1  # the file itself
            assert complaints == []


@pytest.fixture(scope="module")
def page(chromium, files):
    with Opened(chromium, files / "digits.html", reduced_motion="reduce") as page:
        yield page


def in_page(page, layer, shape, params, x):
    """Return the results of the layers of a net for one image, as the page computes them."""
    arrays = Arrays()
    net = plain(Describer(arrays).chain(layer, params, shape))
    given = {key: [packed.shape, unpack(packed).ravel().tolist()] for key, packed in arrays.packed.items()}
    call = "([net, shape, x, arrays]) => minicnn.forward(net, shape, x, arrays)"
    return page.evaluate(call, [net, list(shape), x.ravel().tolist(), given])[-1]


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
    call = "([cases, g]) => cases.map(([setting, size, x]) => minicnn.bench(setting, size, x, g))"
    found = page.evaluate(call, [[[s, size, x[size].ravel().tolist()] for s, size, _ in cases], g.tolist()])
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
    for head, found in zip(data["heads"], page.evaluate("minicnn.logits()"), strict=True):
        np.testing.assert_allclose(found, head["logits"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["digits", "other", "nine"])
def test_every_array_is_the_librarys_to_the_last_bit(chromium, files, name):
    """The id of an array is a digest of its bits, which the page computes in part from other arrays."""
    with Opened(chromium, files / f"{name}.html") as page:
        data = json.loads(page.locator("#data").text_content())
        assert any("rule" in packed for packed in data["arrays"].values())
        for identifier, packed in data["arrays"].items():
            values = np.array(page.evaluate("(id) => minicnn.array(id)", identifier), "<f4")
            text = "x".join(map(str, packed["shape"])).encode() + values.tobytes()
            assert hashlib.sha256(text).hexdigest()[:12] == identifier, packed.get("rule")


def test_class_maps_and_bias_add_up_to_the_logits_that_the_page_computes(chromium, files):
    """Where the head is not proportional to its input a remainder is left, and the page shows it."""
    exact = {}
    with Opened(chromium, files / "nine.html") as page:
        data = json.loads(page.locator("#data").text_content())
        logits = page.evaluate("minicnn.logits()")
        for head, computed in zip(data["heads"], logits, strict=True):
            maps = np.reshape(page.evaluate("(id) => minicnn.array(id)", head["class_maps"]), (10, -1)).sum(axis=1)
            rest = np.array(computed) - maps - head["bias"]
            np.testing.assert_allclose(rest, 0 if head["exact"] else head["remainder"], atol=1e-5, err_msg=head["name"])
            exact[head["name"]] = head["exact"]
        assert [name for name, is_exact in exact.items() if not is_exact] == ["log-mean-exp"]
        for name in exact:
            card = page.locator("#heads .cards li", has=page.get_by_role("heading", name=name, exact=True))
            assert ("remainder" in card.inner_text()) == (name == "log-mean-exp"), name


@pytest.mark.parametrize("name", ["digits", "other", "hostile"])
def test_a_page_asks_for_nothing_and_complains_of_nothing(chromium, files, name):
    with Opened(chromium, files / f"{name}.html") as page:
        titles = page.locator("h2").all_inner_texts()
        assert len([t for t in titles if t]) >= 8


def test_a_hostile_title_is_text(chromium, files):
    with Opened(chromium, files / "hostile.html") as page:
        assert page.locator("h1").inner_text() == HOSTILE
        assert page.locator("img").count() == 0
        assert page.title() == HOSTILE


def test_every_slider_at_both_ends_and_every_choice(chromium, files):
    with Opened(chromium, files / "digits.html", reduced_motion="reduce") as page:
        operations = page.locator("#bench select").first
        for value in operations.locator("option").evaluate_all("options => options.map((o) => o.value)"):
            operations.select_option(value)
            for label in page.locator("#bench .choice label").all():
                label.click()
            for end in ("Home", "End"):
                for slider in page.locator("#bench input[type=range]").all():
                    slider.press(end)
        for label in page.locator("#heads .choice label, #back .choice label").all():
            label.click()
        for end in ("End", "Home"):
            page.locator("#step input[type=range]").first.press(end)
        for button in page.locator("#shift button, #draw button, #walk button").all():
            if button.is_visible():
                button.click()


def test_every_step_of_the_tape_by_key_is_announced(chromium, files):
    with Opened(chromium, files / "digits.html", reduced_motion="reduce") as page:
        said, last = [], page.locator("#step .said")
        total = int(page.locator("#step .transport output").inner_text().split()[-1])
        for _ in range(total):
            said.append(last.inner_text())
            page.keyboard.press("]")
        assert said[0].startswith("Forward")
        assert said[-1].startswith("Update")
        assert all(said)
        page.keyboard.press("[")
        assert last.inner_text() == said[-2]


def test_the_drawing_of_the_tape_shows_where_the_step_is(chromium, files):
    with Opened(chromium, files / "digits.html", reduced_motion="reduce") as page:
        last = int(page.locator("#step .transport output").inner_text().split()[-1])
        for step in range(last - 1):
            marked = page.locator("#tape .node.here")
            assert marked.count() == 1
            tape, node = page.locator("#tape").bounding_box(), marked.bounding_box()
            assert tape["y"] <= node["y"]
            assert node["y"] + node["height"] <= tape["y"] + tape["height"]
            back = page.locator("#tape .node.back").count()
            assert (back > 0) == page.locator("#said").inner_text().startswith("Backward"), step
            page.keyboard.press("]")


def test_the_address_brings_the_state_back(chromium, files):
    with Opened(chromium, files / "digits.html", reduced_motion="reduce") as page:
        page.locator("#bench select").first.select_option("average")
        page.locator("#bench input[type=range]").first.press("End")
        page.keyboard.press("]")
        address = page.evaluate("location.hash")
        call = page.locator("#call").inner_text()
        page.reload()
        page.wait_for_selector("html[data-ready]")
        assert page.evaluate("location.hash") == address
        assert page.locator("#call").inner_text() == call == "ops.average_pool2d(x, 6, strides=2)"
        assert page.locator("#step .transport output").inner_text().startswith("2 of")


def test_a_setting_that_does_not_fit_is_refused_in_the_words_of_the_library(chromium, files):
    with Opened(chromium, files / "digits.html") as page:
        page.evaluate("location.hash = 'k=6&d=2'")
        page.reload()
        page.wait_for_selector("html[data-ready]")
        with pytest.raises(ValueError, match="does not fit") as error:
            ops.max_pool2d(np.zeros((1, 6, 6, 1)), 6, strides=2, dilation_rate=2)
        assert page.locator("#bench .refused").inner_text() == str(error.value)


def test_tab_reaches_every_control(chromium, files):
    with Opened(chromium, files / "digits.html", reduced_motion="reduce") as page:
        # Of a group of radio buttons Tab reaches the chosen one, the arrow keys the others.
        which = "button, a[href], select, input:not([type=radio]), input[type=radio]:checked, summary, [tabindex='0']"
        expected = page.evaluate(
            "(w) => [...document.querySelectorAll(w)].filter((e) => e.checkVisibility()).length", which
        )
        page.evaluate("() => { window.seen = new Set(); addEventListener('focusin', (e) => seen.add(e.target)); }")
        for _ in range(expected + 9):
            page.keyboard.press("Tab")
        # At the end: a map that the focus brought up may be gone again.
        missed = "(w) => [...document.querySelectorAll(w)].filter((e) => e.checkVisibility() && !seen.has(e))"
        assert page.evaluate(f"{missed}.map((e) => e.outerHTML.slice(0, 200))", which) == []


def test_drawing_by_keyboard_changes_the_answer(chromium, files):
    with Opened(chromium, files / "digits.html", reduced_motion="reduce") as page:
        page.get_by_role("button", name="Clear").click()
        before = page.locator("#draw .bars").inner_text()
        page.locator(".draw").focus()
        for key in (" ", "ArrowUp", " ", "Shift+ArrowUp"):
            page.keyboard.press(key)
        assert page.locator("#draw .bars").inner_text() != before


LOOKS = [("light", 1200, "none"), ("dark", 1200, "none"), ("light", 375, "none"), ("dark", 320, "none")]
LOOKS += [("light", 1200, "active")]


@pytest.mark.parametrize(("scheme", "width", "forced"), LOOKS, ids=str)
def test_axe_finds_nothing_and_nothing_is_cut_off(chromium, files, scheme, width, forced):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    looks = {"color_scheme": scheme, "forced_colors": forced, "viewport": {"width": width, "height": 800}}
    with Opened(chromium, files / "digits.html", reduced_motion="reduce", **looks) as page:
        page.evaluate("document.querySelectorAll('details').forEach((d, n) => n < 4 && (d.open = true))")
        page.keyboard.press("]")
        page.keyboard.press("]")
        found = axe.Axe().run(page).response["violations"]
        shown = [(v["id"], v["nodes"][0]["html"][:200], v["nodes"][0]["failureSummary"]) for v in found]
        assert shown == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_script_and_style_keep_to_their_budget():
    script, style = (len((Path(explain.__file__).parent / name).read_bytes()) for name in ("page.js", "page.css"))
    assert script + style <= 80_000
