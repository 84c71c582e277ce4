"""A browser for the tests of the explorer page: offline, and each page is held to ask for and complain of nothing."""

import json
import os
from dataclasses import replace
from pathlib import Path

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def chromium_path():
    """Return where Chromium is, or should be."""
    return os.environ.get("MINICNN_CHROMIUM", "/usr/bin/chromium")


def missing():
    """Return what is missing for the tests in a browser, or an empty text."""
    try:
        import playwright.sync_api  # noqa: F401 - only whether it can be imported
    except ImportError:
        return "playwright is not installed (the extra `browser`)"
    return "" if Path(chromium_path()).exists() else f"there is no browser at {chromium_path()} (MINICNN_CHROMIUM)"


def two_heads(**options):
    """Return the page of an untrained net with two heads on an image of noise, and of the study in the golden file."""
    import numpy as np

    from minicnn import explain, models
    from minicnn.data import Split
    from minicnn.explain.contract import Arm, Study

    golden = json.loads((Path(__file__).parent / "data" / "explain_page.json").read_text())["study"]
    study = Study(**{**golden, "arms": [Arm(**arm) for arm in golden["arms"]]})

    split = Split(np.random.default_rng(0).random((12, 8, 8, 1), dtype=np.float32), np.arange(12) % 10)
    nets = {name: models.small_cnn(name, filters=(4, 6, 6)) for name in ("max", "global-max")}
    heads = {name: (net, net.init(np.random.default_rng(1), (8, 8, 1))) for name, net in nets.items()}
    page = explain.page(*heads["max"], split.images[3], 3, **{"heads": heads, "shifts": split, **options})
    return explain.Page(replace(page.data, study=study))


class Opened:
    """A page in an offline browser, with what it asked for and what it complained of."""

    def __init__(self, browser, path=None, **options):
        self.context = browser.new_context(offline=True, **{"viewport": {"width": 1200, "height": 900}, **options})
        self.page = self.context.new_page()
        self.asked, self.said = [], []
        self.page.on("request", lambda request: self.asked.append(request.url.split("#")[0]))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        if path:
            self.open(path)

    def open(self, path, address=""):
        """Go to a file, with what follows its name in the address."""
        self.page.goto("about:blank")  # else a new hash alone would not load the page again
        self.asked.clear()
        self.page.goto(f"file://{path}{address}")
        self.page.wait_for_selector("html[data-ready]")

    def check(self):
        """Raise AssertionError if the page asked for more than its file, or wrote to the console."""
        asked, said = set(self.asked), list(self.said)
        self.asked.clear()
        self.said.clear()
        assert len(asked) <= 1, asked
        assert said == []

    def __enter__(self):
        return self.page

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.check()
        finally:
            self.context.close()
