"""Measure how long the page of keras_mnist takes to open, and how long a stroke takes to be answered.

    python tests/page_times.py [PAGE.html]

The time on the clock depends on what else the machine does; that of the processor, which the browser counts for the
page's thread, hardly does.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from browser import FLAGS, Opened, chromium_path
from page_pictures import mnist_page

STROKES = 60
DRAW = """async (strokes) => {
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    const move = (type, x, y) => {
        const paper = document.querySelector("#paper canvas"), box = paper.getBoundingClientRect();
        paper.setPointerCapture = () => {};
        const [clientX, clientY] = [box.x + x * box.width, box.y + y * box.height];
        paper.dispatchEvent(new PointerEvent(type, {bubbles: true, buttons: 1, clientX, clientY}));
    };
    document.querySelector("#paper").scrollIntoView({block: "center"});
    move("pointerdown", 0.3, 0.2);
    const times = [];
    for (let n = 0; n < strokes; n++) {
        await frame();
        const before = performance.now();
        move("pointermove", 0.3 + 0.3 * Math.sin(n / 9), 0.2 + (0.6 * n) / strokes);
        await new Promise((done) => setTimeout(done));
        times.push(performance.now() - before);
    }
    return times;
}"""


def processor(session):
    """Return for how many milliseconds the page's thread has run, and its scripts."""
    found = {metric["name"]: 1000 * metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}
    return found["TaskDuration"], found["ScriptDuration"]


def main():
    """Print both times."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", nargs="?", type=Path, help="another page than that of keras_mnist")
    given = parser.parse_args().page
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = given.resolve() if given else mnist_page().save(Path(folder) / "page.html")
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        with Opened(browser, path) as page:
            opened = page.evaluate("performance.now()")
            session = page.context.new_cdp_session(page)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})
            page.evaluate(DRAW, STROKES)
            before = processor(session)
            times = page.evaluate(DRAW, STROKES)
            task, script = ((b - a) / STROKES for a, b in zip(before, processor(session), strict=True))
        browser.close()
    print(f"open: at most {opened:.0f} ms")
    print(f"a stroke: {statistics.median(times):.1f} ms on the clock ({min(times):.1f} to {max(times):.1f})")
    print(f"of the processor {task:.1f} ms, of these {script:.1f} in the script")


if __name__ == "__main__":
    main()
