"""Photograph the explorer page: every panel, light and dark, on desk and phone, with forced colours, printed, moving.

    python tests/page_pictures.py [--readme]

The pictures go to out/page; with --readme the one that the README shows is written, too.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from browser import FLAGS, Opened, chromium_path
from data import make_explain_page

from minicnn import data, explain, layers, models, ops, optim, train

OUT = ROOT / "out" / "page"
README = ROOT / "docs" / "static" / "page.png"
PANELS = ("net", "bench", "back", "step", "heads", "shift", "draw", "study")


class Look(NamedTuple):
    """How a page is looked at: options of the browser's context."""

    name: str
    width: int = 1200
    options: dict = {}  # noqa: RUF012 - never changed


LOOKS = (
    Look("light-1200"),
    Look("dark-1200", options={"color_scheme": "dark"}),
    Look("light-390", 390),
    Look("dark-390", 390, {"color_scheme": "dark"}),
    Look("forced-1200", options={"forced_colors": "active"}),
    Look("forced-dark-1200", options={"forced_colors": "active", "color_scheme": "dark"}),
)


def digits_page(studied=None, epochs=6):
    """Return the page of three heads that were trained on the digits."""
    digits = data.load("digits", seed=0)
    heads = {}
    for name in ("max", "average", "global-max"):
        net = models.small_cnn(name)
        heads[name] = (net, train.fit(net, digits.train, optimizer=optim.Adam(3e-3), epochs=epochs, seed=0).params)
    # The image of whose right class the first net is least sure: gradients are large there.
    evaluated = train.predict(*heads["max"], digits.test.images).astype(float)
    chances = ops.softmax(evaluated)[np.arange(len(digits.test)), digits.test.labels]
    index = int(np.where(evaluated.argmax(1) == digits.test.labels, chances, 1).argmin())
    image, label = digits.test.images[index], int(digits.test.labels[index])
    title = "Three pooling heads on one digit"
    return explain.page(*heads["max"], image, label, heads=heads, shifts=digits.test, study=studied, title=title)


def residual_page():
    """Return the page of a net with a residual block and two branches, where gradients meet."""
    body = layers.Sequential([layers.Conv2D(4, 3, padding="same"), layers.ReLU(), layers.Conv2D(4, 3, padding="same")])
    ways = layers.Concat([layers.GlobalMaxPooling2D(), layers.GlobalAveragePooling2D()])
    stem = layers.Conv2D(4, 3, padding="same")
    net = layers.Sequential([stem, layers.ReLU(), layers.Residual(body), layers.ReLU(), ways, layers.Dense(10)])
    digits = data.load("digits", seed=0)
    params = train.fit(net, digits.train, optimizer=optim.Adam(3e-3), epochs=2, seed=0).params
    return explain.page(net, params, digits.test.images[6], int(digits.test.labels[6]), title="A residual block")


def mnist_page():
    """Return the page of keras_mnist, untrained, on a large picture."""
    net = models.keras_mnist()
    digits = data.load("digits", seed=0)
    image = np.pad(np.kron(digits.test.images[6, ..., 0], np.ones((3, 3), np.float32)), 2)
    params = net.init(np.random.default_rng(0), (28, 28, 1))
    return explain.page(net, params, image, int(digits.test.labels[6]), title="The example net of Keras, not trained")


def stage(page):
    """Bring the page to where it shows most."""
    for _ in range(3):
        page.keyboard.press("]")


def panels(page, folder, name):
    """Photograph the head, the walk and every panel."""
    stage(page)
    for place in (".top", ".walk", *(f"#{panel}" for panel in PANELS), "footer"):
        found = page.locator(place)
        if found.count():
            found.screenshot(path=folder / f"{name}-{place.strip('.#')}.png")


def steps_of_the_walk(page, folder, name):
    """Photograph the six steps of the guided walk."""
    for n in range(6):
        page.locator(".steps button").nth(n).click()
        page.locator(".walk").screenshot(path=folder / f"{name}-walk{n + 1}.png")


def steps_of_the_tape(page, folder, name):
    """Photograph the training step at its start, forward, at its loss, back, and at its end."""
    last = page.evaluate("document.querySelector('#step .transport input').max")
    for n in sorted({0, 2, int(last) // 2, int(last) // 2 + 3, 3 * int(last) // 4, int(last) - 1, int(last)}):
        page.locator("#step .transport input").fill(str(n))
        page.locator("#step").screenshot(path=folder / f"{name}-step{n:02}.png")


def settings_of_the_bench(page, folder, name):
    """Photograph the window with each operation, with padding, dilation and ceil mode, and refused."""
    page.locator("#bench input[type=radio][value=sides]").check(force=True)
    page.locator("#bench [role=switch]").nth(1).check(force=True)
    for op in page.locator("#bench select").first.locator("option").evaluate_all("all => all.map((o) => o.value)"):
        page.locator("#bench select").first.select_option(op)
        for panel in ("bench", "back"):
            page.locator(f"#{panel}").screenshot(path=folder / f"{name}-{panel}-{op}.png")
    page.locator("#bench select").first.select_option("max")
    page.get_by_role("slider", name="window").press("End")
    page.get_by_role("slider", name="dilation").press("End")
    page.locator("#bench").screenshot(path=folder / f"{name}-bench-refused.png")


def moving(page, folder, name, panel, button, frames=14):
    """Photograph what moves, frame by frame."""
    page.locator(f"{panel} {button}").first.click()
    for n in range(frames):
        page.locator(panel).screenshot(path=folder / f"{name}-{n:02}.png")
        page.wait_for_timeout(60)


def printed(browser, path, folder, name):
    """Print the page, and photograph it as it is printed."""
    with Opened(browser, path, color_scheme="dark", viewport={"width": 760, "height": 1100}) as page:
        stage(page)
        page.emulate_media(media="print")
        page.screenshot(path=folder / f"{name}-print.png", full_page=True)
        page.pdf(path=folder / f"{name}-print.pdf", format="A4")


def readme(browser, path, target):
    """Photograph the walk and the beginning of the net for the README."""
    with Opened(
        browser, path, reduced_motion="reduce", device_scale_factor=1, viewport={"width": 1200, "height": 1180}
    ) as page:
        page.evaluate("scrollTo(0, document.querySelector('.walk').getBoundingClientRect().y - 24)")
        page.screenshot(path=target)


def main():
    """Write all pictures."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--looks", nargs="*", default=[look.name for look in LOOKS], help="such as dark-390")
    parser.add_argument("--readme", action="store_true", help=f"write {README.relative_to(ROOT)}, too")
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        made = {
            "digits": digits_page(make_explain_page.results(folder)),
            "residual": residual_page(),
            "mnist": mnist_page(),
        }
    files = {name: page.save(OUT / f"{name}.html") for name, page in made.items()}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        for look in (look for look in LOOKS if look.name in options.looks):
            size = {"width": look.width, "height": 900}
            for name, path in files.items():
                with Opened(browser, path, reduced_motion="reduce", viewport=size, **look.options) as page:
                    panels(page, OUT, f"{name}-{look.name}")
        with Opened(browser, files["digits"], reduced_motion="reduce") as page:
            steps_of_the_walk(page, OUT, "digits")
            steps_of_the_tape(page, OUT, "digits")
            settings_of_the_bench(page, OUT, "digits")
        with Opened(browser, files["residual"], reduced_motion="reduce") as page:
            steps_of_the_tape(page, OUT, "residual")
        with Opened(browser, files["digits"]) as page:
            moving(page, OUT, "moving-bench", "#bench", "button.main")
            page.locator("#back label", has_text="all outputs").click()
            moving(page, OUT, "moving-back", "#back", "button.main")
        for name, path in files.items():
            printed(browser, path, OUT, name)
        if options.readme:
            readme(browser, files["digits"], README)
        browser.close()
    print(f"{len(list(OUT.glob('*.png')))} pictures in {OUT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
