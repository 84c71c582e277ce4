"""The site: every public name has a page in the reference, every pooling a picture, and no page needs a network."""

import doctest
import importlib
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.testing import assert_allclose
from test_public_names import MODULES

from minicnn import Tensor, layers, ops

EXTENSION = Path(__file__).parent.parent / "docs" / "extension"


@pytest.fixture
def extension(monkeypatch):
    monkeypatch.syspath_prepend(EXTENSION)
    return importlib.import_module


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_has_a_page(extension, module):
    pages = extension("public_names").pages()
    found = importlib.import_module(module)
    modules = {f"{module}.{name}" for name in found.__all__ if isinstance(getattr(found, name), ModuleType)}
    assert {module, *(f"{module}.{name}" for name in found.__all__)} - modules <= set(pages)
    assert modules - {"minicnn.layers.initializers"} <= {m for m in pages if m.count(".") == 1}


def test_names_of_one_object_share_a_page(extension):
    pages = extension("public_names").pages()
    assert pages["minicnn.autograd.Tensor"] == pages["minicnn.Tensor"] == "api/minicnn.Tensor"
    assert pages["minicnn.kernels.relu"] != pages["minicnn.ops.relu"]


def test_no_two_pages_differ_in_case_alone(extension):
    # Two such files are one on macOS and on Windows.
    pages = set(extension("public_names").pages().values())
    assert len({page.lower() for page in pages}) == len(pages)


def test_the_page_of_a_module_lists_its_names(extension, tmp_path):
    public_names = extension("public_names")
    stale = tmp_path / "minicnn.gone.rst"
    stale.write_text("of a module that is no longer there")
    public_names.write_pages(tmp_path)
    assert not stale.exists()
    for module in public_names.modules():
        text = (tmp_path / f"{module}.rst").read_text()
        for name in public_names.names(module):
            assert re.search(rf"\b{name}\b", text), f"{module}: {name}"


@pytest.mark.parametrize("name", [name for name in ops.__all__ if "pool" in name])
def test_every_pooling_op_has_a_picture(extension, name):
    assert extension("pooling_pictures").pooling(f"minicnn.ops.{name}") is not None


@pytest.mark.parametrize("name", [name for name in layers.__all__ if "Pooling" in name])
def test_every_pooling_layer_has_a_picture(extension, name):
    assert extension("pooling_pictures").pooling(f"minicnn.layers.{name}") is not None


def test_other_names_have_none(extension):
    pooling = extension("pooling_pictures").pooling
    assert [
        name for name in ("minicnn.ops.relu", "minicnn.layers.Dense", "minicnn.models.HEADS") if pooling(name)
    ] == []


def test_a_picture_shows_the_window_its_result_and_its_gradient(extension, tmp_path):
    pictures = extension("pooling_pictures")
    pool = pictures.pooling("minicnn.ops.max_pool2d")
    reads = np.zeros((6, 6), bool)
    reads[0:2, 2:4] = True  # the second 2x2 window of the first row
    assert (pictures.window(pool, 0, 1) == reads).all()
    files = pictures.pictures("minicnn.ops.max_pool2d", pool, tmp_path)
    light, dark = (files[theme].read_text() for theme in ("light", "dark"))
    image = pictures.image()[0, :, :, 0]
    largest = [image[row : row + 2, column : column + 2].max() for row in (0, 2, 4) for column in (0, 2, 4)]
    numbers = [text for text in re.findall(r">([^<>]*)</text>", light) if re.fullmatch(r"\d?\.?\d+", text)]
    expected = [pictures.shown(value) for value in [*image.ravel(), *largest] if value]
    assert sorted(numbers) == sorted([*expected, *["1"] * 9])  # each of nine windows passes its gradient to one pixel
    assert light != dark
    assert light.replace(pictures.INK["light"], pictures.INK["dark"]) == dark


def test_unpooling_puts_maxima_back(extension):
    pictures = extension("pooling_pictures")
    x = Tensor(pictures.image())
    y = pictures.pooling("minicnn.ops.max_unpool2d")(x)
    assert_allclose(y.data.max(axis=(1, 2)), pictures.image().max(axis=(1, 2)))


@pytest.mark.parametrize("name", ["public_names", "pooling_pictures"])
def test_its_docstrings_are_right(extension, name):
    assert doctest.testmod(extension(name), extraglobs={"np": np}, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0


def test_the_docstrings_of_the_extension_are_right(extension):
    pytest.importorskip("sphinx")
    assert doctest.testmod(extension("site_extension")).failed == 0


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ('<script src="https://cdn.net/x.js"></script>', 1),
        ('<link rel="stylesheet" href="//fonts.net/a.css">', 1),
        ('<link rel="stylesheet" href="../_static/a.css"><a href="https://numpy.org">NumPy</a>', 0),
    ],
)
def test_resources_of_other_hosts_are_found(extension, html, found):
    pytest.importorskip("sphinx")
    assert len(extension("site_extension").remote_resources(html)) == found


GUIDES = sorted([*EXTENSION.parent.glob("how-to/*.md"), *EXTENSION.parent.glob("explanation/*.md")])


@pytest.mark.parametrize(
    "page", [page for page in GUIDES if "```python" in page.read_text()], ids=lambda page: page.stem
)
def test_the_programs_of_a_page_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        exec(block, names)  # noqa: S102 - the site's own programs
