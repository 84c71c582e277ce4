"""The explorer page in a browser: every control by mouse and by keyboard, unusual nets, looks, motion and print."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import page_pictures
import pytest
from browser import Opened, two_heads
from own_layers import Swish

from minicnn import explain, layers, ops
from minicnn.explain.walk import PICTURE

HOSTILE = '</script><img src=x onerror="document.title=1">'
CALM = {"reduced_motion": "reduce"}


@pytest.fixture(scope="module")
def desk(chromium):
    """One page in the browser for all tests that do not look at it in a way of their own."""
    opened = Opened(chromium, **CALM)
    yield opened
    opened.context.close()


@pytest.fixture
def digits(desk, digits_page):
    """The page of two heads, as it is when it has just been opened."""
    desk.open(digits_page)
    yield desk.page
    desk.check()


# nets, images and titles that are not as usual


def page_of(*parts, shape=(6, 6, 1), spoil=None, image=None, **options):
    net = layers.Sequential([*parts, layers.Dense(3)])
    params = net.init(np.random.default_rng(0), shape)
    if spoil:
        params[spoil[0]][spoil[1]].flat[0] = spoil[2]
    x = np.random.default_rng(1).random(shape, dtype=np.float32) if image is None else image
    return explain.page(net, params, x, 1, **options)


def residual():
    body = layers.Sequential([layers.Conv2D(2, 3, padding="same"), layers.ReLU()])
    ways = layers.Concat([layers.GlobalMaxPooling2D(), layers.GlobalAveragePooling2D()])
    return page_of(layers.Residual(body), layers.BlurPooling2D(), ways, shape=(6, 5, 2))


CONV = (layers.Conv2D(2, 3, padding="same"), layers.ReLU(), layers.MaxPooling2D(2), layers.Flatten())
UNUSUAL = {
    "own layer": lambda: page_of(layers.Conv2D(2, 3), Swish(), Swish(), layers.GlobalAveragePooling2D()),
    "NaN": lambda: page_of(*CONV, spoil=("conv2d", "kernel", np.nan)),
    "infinity": lambda: page_of(*CONV, spoil=("dense", "kernel", np.inf)),
    "NaN in the image": lambda: page_of(*CONV, image=np.full((6, 6), np.nan, np.float32)),
    "one pixel": lambda: page_of(layers.Conv2D(2, 1), layers.GlobalMaxPooling2D(), shape=(1, 1, 1)),
    "three channels": lambda: page_of(*CONV, shape=(6, 6, 3)),
    "residual": residual,
    "hidden layer": lambda: page_of(layers.Flatten(), layers.Dense(4), layers.Dense(4)),
    "long title": lambda: page_of(*CONV, title="x" * 10_000),
    "hostile title": lambda: page_of(*CONV, title=HOSTILE, classes=[HOSTILE, "<b>b", "&c"]),
    "no draw": lambda: page_of(*CONV, draw=False),
}
EVERY_STEP = """async () => {
    const [slider, said] = ["#step input[type=range]", "#step .said"].map((s) => document.querySelector(s));
    const found = [];
    for (let n = 0; n <= +slider.max; n++) {
        slider.value = n;
        slider.dispatchEvent(new Event("input", {bubbles: true}));
        await new Promise((done) => setTimeout(done));
        found.push(said.textContent);
    }
    return found;
}"""


@pytest.fixture(params=UNUSUAL)
def unusual(request, desk, tmp_path):
    desk.open(UNUSUAL[request.param]().save(tmp_path / "page.html"))
    yield request.param, desk.page
    desk.check()


def test_an_unusual_net_has_its_panels_and_every_step(unusual):
    name, page = unusual
    assert len([title for title in page.locator("main h2").all_inner_texts() if title]) == 8
    said = page.evaluate(EVERY_STEP)
    assert said[0].startswith("Forward")
    assert said[-1].startswith("Update")
    # A live region that gets the text it has already is not read again.
    assert all(a != b and a and b for a, b in pairwise(said))
    shown = page.locator("body").inner_text()
    assert "undefined" not in shown
    assert "{" not in shown
    # Nothing stands out of the page.
    assert page.evaluate("document.documentElement.scrollWidth") <= 1200
    draw, top = page.locator("#draw").inner_text(), page.locator(".top").inner_text()
    if name == "own layer":
        assert f"The page cannot compute swish ({Swish.__module__}.Swish), so that it cannot answer a drawing" in draw
    elif name.startswith("NaN"):
        assert "its answer: none, because its logits are not finite" in top
        assert "The net says NaN" in draw
        assert "NaN" in page.locator("#net .formula").inner_text()
        assert "NaN" in page.locator("#heads .sum").inner_text()
    elif name == "hostile title":
        assert page.locator("h1").inner_text() == page.title() == HOSTILE
        assert page.locator("img, b b").count() == 0
        assert "&c" in page.locator("#heads .choice").inner_text()
    elif name == "no draw":
        assert "This file has no parameters" in draw


# every control


def test_a_page_asks_for_nothing_and_complains_of_nothing(chromium, digits_page):
    """With motion, too: the pages of the other tests stand still."""
    with Opened(chromium, digits_page) as page:
        assert page.evaluate("performance.getEntriesByType('resource').length") == 0


SWEEP = """async () => {
    const [operation, text] = ["#bench select", "#call"].map((s) => document.querySelector(s));
    const all = (what) => [...document.querySelectorAll(`#bench ${what}`)].filter((e) => e.checkVisibility());
    const found = [];
    const set = async (control, value) => {
        control.value = value;
        control.dispatchEvent(new Event("input", {bubbles: true}));
        await look();
    };
    const look = async () => {
        await new Promise((done) => setTimeout(done));
        const grid = document.querySelector("#bench-out [role=grid]");
        const size = grid && [+grid.getAttribute("aria-rowcount"), +grid.getAttribute("aria-colcount")];
        found.push([text.textContent, document.querySelector("#bench .refused")?.textContent ?? size]);
    };
    for (const {value} of operation.options) {
        await set(operation, value);
        for (const way of all("input[type=radio][name=pad]").length ? ["valid", "same", "sides"] : [""]) {
            if (way) document.querySelector(`#bench input[name=pad][value=${way}]`).click();
            document.querySelector("#bench input[name=ceil]")?.click();
            await look();
            for (const end of ["max", "min"])
                for (const slider of all("input[type=range]")) await set(slider, slider[end]);
        }
        document.querySelector("#bench input[name=lock]")?.click();
        document.querySelector("#bench input[name=ties][value=split]")?.click();
        await look();
    }
    return found;
}"""


def library(call):
    """Return the size of the result of the call that the page shows, or why the library refuses it."""
    names = {"ops": ops, "x": PICTURE[None], "kernel": np.ones((3, 3, 1, 1), np.float32)}
    try:
        return list(eval(call, names).shape[1:3])  # noqa: S307 - the text is the page's own
    except ValueError as error:
        return str(error)


def test_every_control_of_the_window_at_both_ends_gives_the_size_or_the_message_of_the_library(digits):
    found = dict(digits.evaluate(SWEEP))
    assert len(found) > 150
    expected = {call: library(call) for call in found}
    flat = {call: [1, 1] if size and call.startswith("ops.global") else size for call, size in expected.items()}
    assert found == flat
    refused = [text for text in found.values() if isinstance(text, str)]
    assert len(refused) > 20
    for words in (
        "does not fit a 6x6 input",
        "padding must be smaller than the window extent",
    ):
        assert any(words in text for text in refused), words


@pytest.mark.parametrize(
    ("address", "x", "call"),
    [
        ("#k=6&d=2", PICTURE, lambda x: ops.max_pool2d(x, 6, strides=2, dilation_rate=2)),
        ("#in=typed&x=12/34&op=blur&k=6", np.ones((2, 2, 1)), lambda x: ops.blur_pool2d(x, 6, strides=2)),
        ("#in=typed&x=12/34&op=conv", np.ones((2, 2, 1)), lambda x: ops.conv2d(x, np.ones((3, 3, 1, 1)), strides=2)),
        ("#in=typed&x=123&op=gem&p=4", np.ones((1, 3, 1)), lambda x: ops.gem_pool2d(x, 4.0, 2)),
    ],
)
def test_a_setting_that_does_not_fit_is_refused_in_the_words_of_the_library(desk, digits_page, address, x, call):
    desk.open(digits_page, address)
    with pytest.raises(ValueError, match=r"must be|does not fit") as error:
        call(x[None])
    assert desk.page.locator("#bench .refused").inner_text() == str(error.value)
    assert desk.page.locator("#bench .refused").get_attribute("role") == "alert"
    desk.check()


def test_every_other_control_can_be_used_by_mouse(digits):
    for value in digits.locator("#bench select[name=in] option").evaluate_all("all => all.map((o) => o.value)"):
        digits.locator("#bench select[name=in]").select_option(value)
    digits.locator("#bench textarea").fill("12\n3")
    assert "Type rows of the same length" in digits.locator("#bench").inner_text()
    digits.locator("#bench textarea").fill("12\n34")
    assert digits.locator("#bench figcaption").first.inner_text() == "input, 2 \u00d7 2"
    for label in digits.locator("#heads .choice label, #back .choice label").all():
        label.click()
    for way in ("up", "up", "up", "left"):
        digits.get_by_role("button", name=f"Move {way}").click()
    assert "moved by -3 rows" in digits.locator("#shift").inner_text()
    assert digits.get_by_role("button", name="Move up").get_attribute("aria-disabled") == "true"
    for button in digits.locator("#shift button, #draw button, #step button, #walk button, footer button").all():
        if button.is_visible():
            button.click()
    digits.keyboard.press("Escape")
    assert not digits.locator("dialog").is_visible()


def test_every_step_of_the_walk_leads_to_its_panel(digits):
    panels = ["net", "bench", "back", "step", "heads", "shift"]
    for n, panel in enumerate(panels):
        digits.locator(".steps button").nth(n).click()
        digits.locator("#walk a").click()
        assert digits.evaluate("document.activeElement.id") == panel
    assert digits.locator(".steps [aria-current=step]").inner_text() == "6"
    assert {button.bounding_box()["width"] for button in digits.locator(".steps [aria-label]").all()} == {34}
    digits.get_by_role("button", name="Skip the walk").click()
    assert digits.locator("#walk h2").count() == 0
    digits.get_by_role("button", name="Show the guided walk").click()
    assert digits.locator("#walk h2").count() == 1


def test_every_step_of_the_walk_shows_its_maps(digits):
    """What the script draws is what Python told it: names, signs, sizes, first elements and frames."""
    data = digits.evaluate("JSON.parse(document.querySelector('#data').textContent)")
    for n, step in enumerate(data["walk"]["steps"]):
        digits.locator(".steps button").nth(n).click()
        maps = [shown for group in step["show"] for shown in group]
        assert digits.locator("#figure figcaption").all_inner_texts() == [shown["name"] for shown in maps]
        signs = digits.locator("#figure div > div:not(.figure, .field, .field *)").all_inner_texts()
        assert signs == [shown["sign"] for shown in maps if "sign" in shown]
        for field, shown in zip(digits.locator("#figure .field").all(), maps, strict=True):
            rows, columns, _ = data["arrays"][shown["array"]]["shape"]
            assert field.bounding_box()["width"] == columns * shown["size"]
            grid = field.get_by_role("grid")
            assert grid.get_attribute("aria-rowcount") == str(rows)
            assert grid.get_attribute("aria-label") == shown["name"]
            assert field.locator(".box.ink").count() == len(shown.get("framed", []))
        windows = digits.locator("#figure .box:not(.ink)").count()
        assert windows == (2 if "window" in step else 0)


def test_the_first_screen_shows_the_image_and_what_the_net_says(digits):
    picture = digits.get_by_role("img", name="The image, of class 3")
    assert picture.is_visible()
    top, walk = digits.locator(".top").bounding_box(), digits.locator("#walk").bounding_box()
    box = picture.bounding_box()
    assert box["width"] == box["height"] > 80
    assert box["y"] + box["height"] < walk["y"]
    assert box["x"] > top["x"] + top["width"] / 2
    likely = digits.get_by_role("table", name="the most probable classes")
    assert likely.locator("th").all_inner_texts()[0] == digits.locator("#verdict").inner_text()
    digits.set_viewport_size({"width": 375, "height": 800})
    box = picture.bounding_box()
    assert digits.locator(".lede").bounding_box()["y"] < box["y"] < digits.locator("nav").bounding_box()["y"]
    digits.set_viewport_size({"width": 1200, "height": 900})


CALLS = {
    "max": "max_pool2d(x, 3)",
    "average": "average_pool2d(x, 3)",
    "counted": "average_pool2d(x, 3, count_include_pad=True)",
    "lp": "lp_pool2d(x, 3, p=3)",
    "gem": "gem_pool2d(x, 3, 3)",
    "lme": "log_mean_exp_pool2d(x, 3, r=1)",
    "soft": "soft_pool2d(x, 3)",
    "blur": "blur_pool2d(x, 3, strides=3)",
    "conv": "conv2d(x, kernel, strides=3)",
    "gmax": "global_max_pool2d(x)",
    "gavg": "global_average_pool2d(x)",
    "amax": "adaptive_max_pool2d(x, 3)",
    "aavg": "adaptive_average_pool2d(x, 3)",
}


def test_every_operation_has_its_call_in_python(digits):
    digits.locator("#bench [name=k]").fill("3")
    digits.locator("#bench [name=s]").fill("3")
    options = digits.locator("#bench [name=op] option").evaluate_all("all => all.map((o) => o.value)")
    assert options == list(CALLS)
    for op, call in CALLS.items():
        digits.locator("#bench [name=op]").select_option(op)
        assert digits.locator("#call").inner_text() == f"ops.{call}"


NUMBERS = "chips => chips.map((chip) => +chip.textContent.replace('\u2212', '-'))"
COPY = """(canvas) => {
    const copy = Object.assign(document.createElement("canvas"), {width: canvas.width, height: canvas.height});
    const context = copy.getContext("2d", {willReadFrequently: true});
    context.drawImage(canvas, 0, 0);
"""
COLOUR = COPY + "return [...context.getImageData(6, 130, 1, 1).data]; }"
CORNERS = (
    COPY
    + """return [0, 5].map((n) => {
        const side = canvas.width / 6;
        const {data} = context.getImageData((n + 0.2) * side, 8, 0.6 * side, 0.2 * side);
        const colours = Array.from({length: data.length / 4}, (_, k) => data.subarray(4 * k, 4 * k + 3).join());
        return new Set(colours).size > 1;
    });
}"""
)


def digits_of(page):
    """Return what the output says of its chosen element."""
    return page.locator("#bench-out [role=gridcell]").get_attribute("aria-label")


def convolve(page, stride):
    page.locator("#bench select").first.select_option("conv")
    page.locator("#bench [name=s]").fill(str(stride))


def test_the_scale_of_a_sliding_window_stays_as_it_is(chromium, digits_page):
    with Opened(chromium, digits_page) as page:
        convolve(page, 2)
        scale = page.locator("#bench-out .scale")
        box, told = scale.bounding_box(), scale.inner_text().split()
        assert told == ["\u221221", "21"]
        assert box["height"] < 26  # one line
        page.locator("#bench button.main").click()
        assert page.locator("#bench-out [role=gridcell]").get_attribute("aria-label").endswith("not yet")
        assert scale.inner_text().split() == told
        assert [scale.bounding_box()[side] for side in ("width", "height")] == [box["width"], box["height"]]


def test_numbers_that_fly_add_up_to_what_arrives(chromium, digits_page):
    """Of a convolution weight times element, as of an average; the rows and the kernel are those of the page."""
    with Opened(chromium, digits_page) as page:
        chips = page.locator(".chip")
        kernel = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])
        convolve(page, 2)
        for op, weights in (("conv", kernel), ("average", np.full((2, 2), 0.25))):
            page.locator("#bench select").first.select_option(op)
            page.locator("#bench button.main").click()
            chips.first.wait_for()
            flying = chips.evaluate_all(NUMBERS)
            page.get_by_role("button", name="Stop").click()
            read = PICTURE[: len(weights), : len(weights), 0]
            assert sorted(flying) == sorted((read * weights)[weights != 0])
            assert digits_of(page) == f"row 1, column 1: {sum(flying)}".replace("-", "\u2212").removesuffix(".0")
            chips.first.wait_for(state="detached")


def test_a_number_has_one_colour_at_both_ends_of_the_gradient(digits):
    digits.locator("#back label", has_text="all outputs").click()
    ends = [digits.locator(f"#back-{end}") for end in ("in", "out")]
    convolve(digits, 3)  # element (1, 0) of both: of the gradient 2 and 1
    scales = [end.locator(".scale").inner_text().split() for end in ends]
    assert scales == [["\u22122", "2"], ["\u22122", "2"]]
    two, one = (end.locator("canvas").evaluate(COLOUR) for end in ends)
    assert two != one
    digits.locator("#bench select").first.select_option("average")
    assert [end.locator(".scale").inner_text().split() for end in ends] == [["0", "1"], ["0", "1"]]
    quarter, whole = (end.locator("canvas").evaluate(COLOUR) for end in ends)
    assert quarter != whole == two
    digits.locator("#bench select").first.select_option("max")
    digits.locator("#bench [name=k]").fill("1")
    digits.locator("#bench [name=s]").fill("1")
    assert ends[0].locator("canvas").evaluate(COLOUR) == ends[1].locator("canvas").evaluate(COLOUR) == whole


def test_the_window_follows_the_mouse_and_comes_back(digits):
    place, output = digits.locator("[data-text=place]"), digits.locator("#bench-out canvas")
    output.click(position={"x": 70, "y": 10})
    assert place.inner_text() == "row 1, column 2"
    output.hover(position={"x": 70, "y": 120})
    assert place.inner_text() == "row 3, column 2"
    assert "#op_r" not in digits.url
    digits.mouse.move(5, 5)
    assert place.inner_text() == "row 1, column 2"
    output.hover(position={"x": 10, "y": 120})
    digits.locator("#bench-out [role=gridcell]").press("ArrowRight")
    assert place.inner_text() == "row 3, column 2"  # the keys go on from where the mouse is
    digits.mouse.move(5, 5)
    assert place.inner_text() == "row 3, column 2"
    output.hover(position={"x": 120, "y": 120})
    digits.locator("#bench [name=s]").fill("6")  # fewer outputs than the mouse has pointed at
    assert place.inner_text() == "row 1, column 1"


def test_weights_stand_where_they_act(digits):
    """In the corners of the elements under the window, and of no other."""
    canvas = digits.locator("#bench-in canvas")
    assert canvas.evaluate(CORNERS) == [False, False]
    convolve(digits, 1)
    assert canvas.evaluate(CORNERS) == [True, False]
    digits.locator("#bench select").first.select_option("average")
    assert canvas.evaluate(CORNERS) == [True, False]


def test_a_phone_shows_the_maps_before_the_controls_and_tab_goes_the_same_way(digits):
    digits.set_viewport_size({"width": 375, "height": 800})
    parts = ["#bench-in", "#bench-out", "#slide", "#copy", "#bench [name=op]", "#bench [name=k]"]
    assert [digits.locator(part).bounding_box()["y"] for part in parts] == sorted(
        digits.locator(part).bounding_box()["y"] for part in parts
    )
    order = "part => [...document.querySelectorAll('*')].indexOf(document.querySelector(part))"
    assert [digits.evaluate(order, part) for part in parts] == sorted(digits.evaluate(order, part) for part in parts)
    digits.set_viewport_size({"width": 1200, "height": 900})
    left, right = (digits.locator(part).bounding_box() for part in ("#bench-in", "#bench [name=op]"))
    assert left["x"] + left["width"] < right["x"]


PLACES = "boxes => boxes.map(({style}) => [style.top, style.left].map((share) => parseFloat(share) / 100))"


def test_the_window_of_the_walk_slides(chromium, digits_page):
    """Both boxes together; what the window has not reached is not known, and each number flies when it is."""
    with Opened(chromium, digits_page) as page:
        boxes, first = page.locator("#figure .box"), page.locator("#figure [role=gridcell]").last
        page.locator("#walk").get_by_role("button", name="Play").click()
        assert first.get_attribute("aria-label") == "row 1, column 1: not yet"
        page.locator(".chip", has_text="15").wait_for()
        page.locator("#figure [aria-label='row 1, column 1: 15']").wait_for()
        page.locator("#figure .box[style*='left: 25%']").wait_for(state="attached")
        read, given = boxes.evaluate_all(PLACES)
        assert given != [0, 0]
        assert [6 * share for share in read] == pytest.approx([4 * share for share in given], abs=1e-3)
        page.get_by_role("button", name="Next").first.click()
        assert page.locator("#figure [aria-label$='not yet']").count() == 0
        page.locator(".steps button").nth(3).click()
        assert page.locator("#walk").get_by_role("button", name="Play").count() == 0


def test_a_stroke_of_the_mouse_changes_the_answer(digits):
    digits.get_by_role("button", name="Clear").click()
    before = digits.locator("#draw .bars").inner_text()
    digits.locator(".draw").scroll_into_view_if_needed()
    box = digits.locator(".draw").bounding_box()
    digits.mouse.move(box["x"] + 40, box["y"] + 40)
    digits.mouse.down()
    digits.mouse.move(box["x"] + 200, box["y"] + 250, steps=4)
    digits.mouse.up()
    assert digits.locator("#draw .bars").inner_text() != before


def test_drawing_by_keyboard_changes_the_answer(digits):
    digits.get_by_role("button", name="Clear").click()
    before = digits.locator("#draw .bars").inner_text()
    digits.locator(".draw").focus()
    for key in (" ", "ArrowUp", " ", "Shift+ArrowUp"):
        digits.keyboard.press(key)
    assert digits.locator("#draw .bars").inner_text() != before


def test_the_address_brings_every_control_back(digits):
    digits.evaluate("""async () => {
        const done = new Set(["op"]);
        for (const op of ["conv", "lp", "lme", "aavg", "average"]) {
            const select = document.querySelector("[name=op]");
            select.value = op;
            select.dispatchEvent(new Event("input", {bubbles: true}));
            for (let again = 0; again < 2; again++) {
                await new Promise((ready) => setTimeout(ready));
                for (const c of document.querySelectorAll("main [name]")) {
                    const id = c.type === "radio" ? c.name + c.value : c.name;
                    if (done.has(id)) continue;
                    done.add(id);
                    if (c.type === "radio" || c.type === "checkbox") c.click();
                    else if (c.type === "range") c.value = c.max;
                    else c.value = c.type === "number" ? "0.5" : c.options?.[1].value ?? "12";
                    c.dispatchEvent(new Event("input", {bubbles: true}));
                }
            }
        }
    }""")
    state = """() => [location.hash, document.querySelector("#call").textContent,
        document.querySelector("#step .said").textContent, document.querySelector("#heads").innerText,
        ...[...document.querySelectorAll("main [name]")].map((c) =>
            `${c.name} ${/radio|checkbox/.test(c.type) ? c.value + c.checked : c.value}`)]"""
    digits.wait_for_timeout(50)
    before = digits.evaluate(state)
    assert len(before[0].split("&")) > 30
    digits.reload()
    digits.wait_for_selector("html[data-ready]")
    assert digits.evaluate(state) == before


@pytest.mark.parametrize(
    "address", ["#k=99&op=nope&step=1e9&pad=&dy=x&w0=&at=1,2&walk=9&class=77", "#%00=%", "#k=2.5&k=3"]
)
def test_an_address_that_makes_no_sense_is_the_page_as_it_was(desk, digits_page, address):
    desk.open(digits_page, address)
    assert desk.page.locator("#call").inner_text() in ("ops.max_pool2d(x, 2)", "ops.max_pool2d(x, 3, strides=2)")
    desk.check()


# keyboard and screen reader

KEYS = {
    "range": ["End", "Home"],
    "grid": ["ArrowRight", "ArrowDown", "PageUp", "Home"],
    "slider": ["End", "ArrowLeft"],
}
KEYS |= {"radio": ["ArrowRight"], "checkbox": [" "], "select": ["ArrowDown"], "summary": ["Enter"]}
FOCUSED = """() => {
    const e = document.activeElement;
    const kind = e.matches("[role=gridcell]") ? "grid" : e.matches("[role=slider]") ? "slider"
        : e.matches("summary, select") ? e.localName : e.type ?? e.localName;
    const name = e.name || e.closest("[id]")?.id + " " + (e.closest("[role=grid]") ?? e).ariaLabel;
    const state = kind === "summary" ? e.parentElement.open : kind === "checkbox" ? e.checked
        : kind === "grid" || kind === "slider" ? e.ariaLabel + e.ariaValueNow : e.value;
    return [kind, name, String(state), e.outerHTML.slice(0, 150)];
}"""


def test_every_control_by_keyboard_alone(digits):
    """Tab reaches everything that can be used, and the keys that the page names change it."""
    which = "button, a[data-to], select, textarea, input:not([type=radio]), input:checked, summary, [tabindex='0']"
    missed = """(w) => [...document.querySelectorAll(w)].filter((e) => e.checkVisibility() && !seen.has(e))
        .map((e) => e.outerHTML.slice(0, 150))"""
    digits.evaluate("() => { window.seen = new Set(); addEventListener('focusin', (e) => seen.add(e.target)); }")
    used, stuck = set(), []
    # A second time around for the controls that a switch has brought up.
    for n in range(2 * digits.locator(which).count() + 20):
        if n % 25 == 0 and not digits.evaluate(missed, which):
            break
        digits.keyboard.press("Tab")
        kind, name, before, html = digits.evaluate(FOCUSED)
        if kind not in KEYS or (kind, name) in used:
            continue
        used.add((kind, name))
        states = [before]
        for key in KEYS[kind]:
            digits.keyboard.press(key)
            states.append(digits.evaluate(FOCUSED)[2])
        if len(set(states)) == 1:
            stuck.append(html)
        if kind == "summary":
            digits.keyboard.press("Enter")
    assert stuck == []
    assert digits.evaluate(missed, which) == []
    assert {kind for kind, _ in used} == set(KEYS)


def test_every_step_of_the_tape_by_key_is_announced(digits):
    said, last = [], digits.locator("#step .said")
    assert last.get_attribute("aria-live") == "polite"
    total = int(digits.locator("#step .transport output").inner_text().split()[-1])
    for _ in range(total):
        said.append(last.inner_text())
        digits.keyboard.press("]")
    assert said[0].startswith("Forward")
    assert said[-1].startswith("Update")
    assert all(a != b and a and b for a, b in pairwise(said))
    digits.keyboard.press("[")
    assert last.inner_text() == said[-2]
    assert digits.locator("[aria-live=polite]").count() >= 6  # formulas, answers, the verdict, the walk, copied


def test_the_drawing_of_the_tape_shows_where_the_step_is(digits):
    last = int(digits.locator("#step .transport output").inner_text().split()[-1])
    for step in range(last - 1):
        marked = digits.locator("#tape .node.here")
        assert marked.count() == 1
        tape, node = digits.locator("#tape").bounding_box(), marked.bounding_box()
        assert tape["y"] <= node["y"]
        assert node["y"] + node["height"] <= tape["y"] + tape["height"]
        back = digits.locator("#tape .node.back").count()
        assert (back > 0) == digits.locator("#said").inner_text().startswith("Backward"), step
        digits.keyboard.press("]")


def test_a_list_of_keys_opens_and_closes_by_key(digits):
    digits.keyboard.press("?")
    assert digits.locator("dialog").is_visible()
    digits.keyboard.press("Escape")
    assert not digits.locator("dialog").is_visible()


# looks

AXE = """async () => {
    const {violations} = await axe.run(document, {resultTypes: ["violations"]});
    return violations.map((v) => [v.id, v.nodes[0].html.slice(0, 200), v.nodes[0].failureSummary]);
}"""
SCHEMES = {"light": {"color_scheme": "light"}, "dark": {"color_scheme": "dark"}}
SCHEMES["forced"] = {"color_scheme": "light", "forced_colors": "active"}


@pytest.fixture(scope="module")
def looked_at(chromium, digits_page):
    """A page in the middle of a step back, with tables open, and axe in it."""
    axe = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    script = next(iter(Path(axe.__file__).parent.glob("**/axe.min.js")))
    with Opened(chromium, digits_page, **CALM) as page:
        page.evaluate("document.querySelectorAll('details').forEach((d, n) => n < 4 && (d.open = true))")
        page.locator("#step input[type=range]").fill("14")
        page.evaluate(script.read_text())
        yield page


@pytest.mark.parametrize("width", [320, 375, 1200])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_axe_finds_nothing_and_nothing_is_cut_off(looked_at, scheme, width):
    looked_at.set_viewport_size({"width": width, "height": 800})
    looked_at.emulate_media(**{"forced_colors": "none", **SCHEMES[scheme]})
    assert looked_at.evaluate(AXE) == []
    assert looked_at.evaluate("document.documentElement.scrollWidth") <= width


CONTRASTS = """(map) => {
    const light = ([r, g, b]) => 0.05 + [[r, 0.2126], [g, 0.7152], [b, 0.0722]].reduce((sum, [c, weight]) =>
        sum + weight * (c / 255 <= 0.04045 ? c / 3294.6 : ((c / 255 + 0.055) / 1.055) ** 2.4), 0);
    const canvas = document.querySelector(`${map} canvas`);
    const grid = document.querySelector(`${map} [role=grid]`);
    const copy = Object.assign(document.createElement("canvas"), {width: canvas.width, height: canvas.height});
    const context = copy.getContext("2d", {willReadFrequently: true});
    context.drawImage(canvas, 0, 0);
    const [h, w] = ["aria-rowcount", "aria-colcount"].map((name) => +grid.getAttribute(name));
    const side = canvas.width / w;
    return Array.from({length: h * w}, (_, n) => {
        const [x, y] = [Math.round((n % w) * side), Math.round(Math.floor(n / w) * side)];
        const {data} = context.getImageData(x + 4, y + 4, Math.floor(side) - 10, Math.floor(side) - 10);
        const all = Array.from({length: data.length / 4}, (_, k) => light(data.subarray(4 * k, 4 * k + 3)));
        return Math.max(...all.map((one) => Math.max(one / all[0], all[0] / one)));
    });
}"""


@pytest.mark.parametrize("scheme", SCHEMES)
def test_numbers_in_maps_have_the_contrast_of_text(chromium, digits_page, scheme):
    """Of 4.5 at least, by the formula of WCAG 2; axe does not look into a canvas."""
    with Opened(chromium, digits_page, **CALM, **SCHEMES[scheme]) as page:
        page.locator("#bench select").first.select_option("average")
        page.locator("#back label", has_text="all outputs").click()
        page.locator("#bench [name=s]").press("Home")
        for place in ("#bench-in", "#bench-out", "#back-in"):
            contrasts = page.evaluate(CONTRASTS, place)
            assert len(contrasts) >= 25
            assert min(contrasts) >= 4.5, place


COLOURS = """() => {
    const {data} = document.querySelector("#back-in canvas").getContext("2d").getImageData(4, 4, 1, 1);
    const style = getComputedStyle(document.documentElement);
    return [`rgb(${[...data].slice(0, 3).join(", ")})`, style.backgroundColor, style.color];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_forced_colours_of_maps_are_those_of_the_document(chromium, digits_page, scheme):
    """An element of value 0 has the colour of the page, whichever colours the system has."""
    with Opened(chromium, digits_page, **CALM, forced_colors="active", color_scheme=scheme) as page:
        zero, back, ink = page.evaluate(COLOURS)
        assert zero == back != ink


def test_a_dark_page_is_printed_in_dark_ink_and_without_controls(looked_at):
    looked_at.set_viewport_size({"width": 760, "height": 800})
    looked_at.emulate_media(media="print", color_scheme="dark", forced_colors="none")
    looked_at.wait_for_timeout(50)
    colours = looked_at.evaluate("(s => [s.backgroundColor, s.color])(getComputedStyle(document.documentElement))")
    assert colours == ["rgb(255, 255, 255)", "rgb(0, 0, 0)"]
    shown = "(what) => [...document.querySelectorAll(what)].filter((e) => e.checkVisibility()).length"
    assert looked_at.evaluate(shown, "button, select, input[type=range], textarea, nav, .examples") == 0
    assert looked_at.evaluate(shown, "h2") >= 8
    assert looked_at.evaluate(shown, "#net canvas, #bench canvas, #step svg") > 8
    assert looked_at.pdf(format="A4").startswith(b"%PDF")
    looked_at.emulate_media(media="screen")


def moving(page, button):
    """Return how many numbers fly, and for how long boxes move, just after a click."""
    page.locator(button).first.click()
    page.wait_for_timeout(450)
    return page.locator(".chip").count(), page.locator("#bench .box").first.evaluate(
        "e => getComputedStyle(e).transitionDuration"
    )


def test_nothing_moves_for_a_reader_who_does_not_want_it(chromium, digits, digits_page):
    assert moving(digits, "#bench button.main") == (0, "0s")
    assert digits.get_by_role("button", name="Play").count() == 0
    assert digits.evaluate("document.getAnimations().length") == 0
    assert digits.locator("#bench-out [role=gridcell]").get_attribute("aria-label") == "row 1, column 1: 5"
    with Opened(chromium, digits_page) as page:
        flying, duration = moving(page, "#bench button.main")
        assert flying == 1  # of a maximum one element counts
        assert duration != "0s"
        assert page.get_by_role("button", name="Play").count() == 2
        page.get_by_role("button", name="Stop").click()
        page.locator("#bench select").first.select_option("average")
        page.locator("#back label", has_text="all outputs").click()
        assert moving(page, "#back button.main")[0] == 4  # of an average all four


def test_a_notebook_shows_the_page_in_a_frame(chromium, tmp_path):
    place = tmp_path / "notebook.html"
    place.write_text(f"<!doctype html><title>n</title><body>{two_heads()._repr_html_()}", encoding="utf-8")
    context = chromium.new_context(offline=True, viewport={"width": 1000, "height": 800})
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"file://{place}")
    inside = page.frame_locator("iframe")
    inside.locator("html[data-ready]").wait_for()
    inside.locator("#bench select").first.select_option("average")
    assert inside.locator("#call").inner_text() == "ops.average_pool2d(x, 2)"
    assert 500 <= page.locator("iframe").bounding_box()["height"] <= 800
    assert inside.locator("body").evaluate("e => e.scrollWidth") <= 1000
    context.close()
    assert said == []


def size_of(png):
    """Return the width and height in the header of a PNG file."""
    data = png.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def test_every_panel_can_be_photographed_and_so_is_the_picture_of_the_readme(chromium, digits_page, tmp_path):
    page_pictures.readme(chromium, digits_page, tmp_path / "readme.png")
    assert size_of(tmp_path / "readme.png") == size_of(page_pictures.README) == (1200, 1180)
    assert "](docs/static/page.png)" in (page_pictures.ROOT / "README.md").read_text(encoding="utf-8")
    with Opened(chromium, digits_page, **CALM) as page:
        page_pictures.panels(page, tmp_path, "light")
    shown = page_pictures.PANELS
    sizes = {panel: size_of(tmp_path / f"light-{panel}.png") for panel in ("top", "walk", *shown, "footer")}
    assert all(width > 800 for width, _ in sizes.values()), sizes
    assert all((tmp_path / f"light-{panel}.png").stat().st_size > 5_000 for panel in shown)
