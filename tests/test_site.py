"""The site: every public name has a page in the reference, every pooling a picture, and no page needs a network."""

import doctest
import importlib
import re
import shlex
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.testing import assert_allclose
from test_public_names import MODULES

from minicnn import cli, layers, ops

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
    assert extension("pooling_pictures").picture(f"minicnn.ops.{name}") is not None


@pytest.mark.parametrize("name", [name for name in layers.__all__ if "Pooling" in name])
def test_every_pooling_layer_has_a_picture(extension, name):
    assert extension("pooling_pictures").picture(f"minicnn.layers.{name}") is not None


def test_other_names_have_none(extension):
    picture = extension("pooling_pictures").picture
    assert [
        name for name in ("minicnn.ops.relu", "minicnn.layers.Dense", "minicnn.models.HEADS") if picture(name)
    ] == []


def test_a_picture_shows_the_windows_its_result_and_its_gradient(extension, tmp_path):
    pictures = extension("pooling_pictures")
    draw = pictures.picture("minicnn.ops.max_pool2d")
    figure = draw()
    image = pictures.image()[:, :, 0]
    places = [(row, column) for row in (0, 2, 4) for column in (0, 2, 4)]
    largest = [[image[row : row + 2, column : column + 2].max() for column in (0, 2, 4)] for row in (0, 2, 4)]
    maps = {axes.get_title("left"): axes.images[0].get_array() for axes in figure.axes if axes.images}
    assert_allclose(maps["input, channel 0"], image)
    assert_allclose(maps["result"], largest)
    gradient = maps["gradient of the input"]
    for row, column in places:  # each of nine windows passes its gradient to its first maximum
        window = image[row : row + 2, column : column + 2]
        expected = np.zeros(4)
        expected[window.argmax()] = 1
        assert (gradient[row : row + 2, column : column + 2].ravel() == expected).all()
    first = pictures.write("minicnn.ops.max_pool2d", draw, tmp_path).read_bytes()
    assert pictures.write("minicnn.ops.max_pool2d", draw, tmp_path).read_bytes() == first
    words = re.findall(r">([^<>]*)</text>", first.decode())
    numbers = [text for text in words if re.fullmatch(r"\.\d\d", text)]
    assert sorted(numbers) == sorted(f"{value:.2f}"[1:] for value in np.ravel(largest) if 0 < value < 1)
    assert {"window", "kept; area: weight", "dropped"} <= set(words)


def test_unpooling_puts_maxima_back(extension):
    pictures = extension("pooling_pictures")
    figure = pictures.picture("minicnn.ops.max_unpool2d")()
    found, image = np.asarray(figure.axes[0].images[0].get_array()), pictures.image()[:, :, 0]
    assert ((found == 0) | (found == image)).all()
    for row, column in [(row, column) for row in (0, 2, 4) for column in (0, 2, 4)]:
        assert found[row : row + 2, column : column + 2].max() == image[row : row + 2, column : column + 2].max()


def test_the_explorer_is_a_page_of_three_trained_nets(extension, tmp_path):
    text = extension("explorer_page").write(tmp_path / "_static" / "explorer.html", epochs=1).read_text()
    assert "<title>A four in three nets" in text
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", text)
    index = (EXTENSION.parent / "index.md").read_text()
    assert "[Explorer](explorer)" in index


def test_each_lesson_links_the_explorer(extension):
    pytest.importorskip("sphinx")
    link = extension("site_extension").link_explorer
    for name, linked in (("tutorial/4_padding_stride_and_pooling", True), ("tutorial/index", False), ("tour", False)):
        source = ["text"]
        link(None, name, source)
        assert (":doc:`explorer </explorer>`" in source[0]) is linked


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


NEEDED = {"PIL": "import Image", "onnx": "--onnx", "h5py": "--keras", "matplotlib": "$ minicnn compare"}
"""What a page says where it needs an optional package."""
GUIDES = sorted([*EXTENSION.parent.glob("how-to/*.md"), *EXTENSION.parent.glob("explanation/*.md")])


def said(text):
    """Return what a command printed, without the numbers, which depend on the machine."""
    return re.sub(r"\d[\d,.]*", "0", text)


@pytest.mark.parametrize(
    "page", [page for page in GUIDES if "```python" in page.read_text()], ids=lambda page: page.stem
)
def test_the_programs_and_commands_of_a_page_run(page, tmp_path, monkeypatch, capsys):
    """In their order, in one folder; `...` in a page stands for lines that it leaves out."""
    text = page.read_text()
    for package in [name for name in ("PIL", "onnx", "h5py", "matplotlib") if NEEDED[name] in text]:
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    names = {}
    for kind, block in re.findall(r"```(python|console)\n(.*?)```", text, re.DOTALL):
        if kind == "python":
            exec(block, names)  # noqa: S102 - the site's own programs
            continue
        capsys.readouterr()
        command, _, expected = block.partition("\n")
        assert cli.main(shlex.split(command.removeprefix("$ minicnn "))) == 0, command
        found = capsys.readouterr().out
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        assert doctest.OutputChecker().check_output(said(expected), said(found), flags), found


def test_other_output_than_that_of_a_page_is_found():
    check = doctest.OutputChecker().check_output
    assert check(
        said("test: 359 images\n...\n9  100.00% of 36\n"), said("test: 1 images\n0\n9  8% of 1\n"), doctest.ELLIPSIS
    )
    assert not check(said("test: 359 images\n"), said("valid: 359 images\n"), doctest.ELLIPSIS)


def test_every_command_has_a_task_in_the_guide():
    text = (EXTENSION.parent / "how-to" / "command.md").read_text()
    for module in cli.COMMANDS:
        assert f"$ minicnn {module.__name__.rpartition('.')[2]} " in text
