"""What has to be set before the tests import anything."""

import os
import signal

import browser
import pytest

# one of scikit-learn's checks for estimators needs it, and SciPy reads it when it is first imported
os.environ.setdefault("SCIPY_ARRAY_API", "1")

# A shell without job control starts commands in the background with Ctrl-C ignored, and every process started from
# here would inherit that: the tests that interrupt a training would wait for it without end.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the same of `nohup`


@pytest.fixture(scope="module")
def chromium():
    """A browser; without one the test is skipped, or fails if MINICNN_BROWSER=required."""
    if lacking := browser.missing():
        if os.environ.get("MINICNN_BROWSER") == "required":
            pytest.fail(f"MINICNN_BROWSER=required, but {lacking}")
        pytest.skip(lacking)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser.chromium_path(), args=browser.FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def digits_page(tmp_path_factory):
    """The file of a page with two heads."""
    return browser.two_heads().save(tmp_path_factory.mktemp("pages") / "digits.html")
