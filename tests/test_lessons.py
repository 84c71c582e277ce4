"""The lessons run, as programs and as notebooks, show each picture once, and can be read by both of their readers."""

import ast
import importlib.util
import itertools
import re
import runpy
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

ROOT = Path(__file__).parents[1]
LESSONS = sorted((ROOT / "lessons").glob("*.py"))
HEADINGS = {"=": 1, "-": 2}


def cells(path):
    """Return the cells of a lesson as pairs of kind and text, without the lines that begin them."""
    parts = re.split(r"^(# %%.*)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert not parts[0]
    kinds = {"# %% [markdown]": "text", "# %%": "code"}
    return [(kinds[head], body.strip("\n")) for head, body in zip(parts[1::2], parts[2::2], strict=True)]


def texts(path):
    """Return the text cells without their quotes or hashes."""
    for kind, body in cells(path):
        if kind == "text":
            yield body.strip('"\n') if body.startswith('"""') else re.sub(r"^# ?", "", body, flags=re.MULTILINE)


def test_there_are_seven():
    assert [path.name[:2] for path in LESSONS] == [f"{n}_" for n in range(1, 8)]
    assert not list((ROOT / "lessons").glob("*.ipynb"))


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_runs_as_a_program(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    runpy.run_path(str(path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_has_the_form_that_notebooks_and_the_site_read_alike(path):
    kinds, bodies = zip(*cells(path), strict=True)
    assert kinds[0] == "text"
    assert bodies[0].startswith('"""')
    for kind, body in zip(kinds, bodies, strict=True):
        if kind == "code":
            # the gallery takes comments that follow "# %%" directly for text
            assert not body.startswith("#"), body[:60]
            ast.parse(body)
        elif not body.startswith('"""'):
            assert all(line.startswith("#") for line in body.splitlines())
    assert "Exercises" in path.read_text(encoding="utf-8")
    assert sum(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))) >= 4


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_the_text_is_the_same_in_markdown_and_restructuredtext(path):
    for text in texts(path):
        prose = re.sub("``[^`]*``", "", text)
        assert not re.search(r"`|\]\(|::|^#|\*\*|<[a-z]|\\|\w_\W", prose, re.MULTILINE)
        for title, rule in itertools.pairwise(text.splitlines()):
            if rule and set(rule) <= set(HEADINGS) and len(set(rule)) == 1:
                assert len(rule) == len(title), title


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_the_text_is_valid_restructuredtext(path):
    core, utils = pytest.importorskip("docutils.core"), pytest.importorskip("docutils.utils")
    with pytest.raises(utils.SystemMessage):
        core.publish_doctree("a *b", settings_overrides={"halt_level": 2, "report_level": 5})
    for text in texts(path):
        core.publish_doctree(text, settings_overrides={"halt_level": 2, "report_level": 5})


def ends_in_a_figure(code):
    last = ast.parse(code).body[-1]
    return isinstance(last, ast.Expr) and re.match(r"show\.|study\.forest\(|.*\.plot\(", ast.unparse(last)) is not None


def notebook_of(path):
    notebook = pytest.importorskip("jupytext").read(path)
    kinds = {"markdown": "text", "code": "code"}
    assert [(kinds[cell.cell_type], cell.source.strip()) for cell in notebook.cells] == [
        (kind, (text.strip() if kind == "code" else next(written).strip()))
        for written in [texts(path)]
        for kind, text in cells(path)
    ]
    return notebook


@pytest.mark.skipif(importlib.util.find_spec("ipykernel") is None, reason="needs ipykernel")
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_runs_as_a_notebook_that_shows_each_picture_once_and_no_wall_of_numbers(path, tmp_path):
    client = pytest.importorskip("nbclient").NotebookClient
    notebook = notebook_of(path)
    client(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    for cell in notebook.cells:
        outputs = cell.get("outputs", [])
        pictures = [out for out in outputs if "image/png" in out.get("data", {})]
        assert len(pictures) == (cell.cell_type == "code" and ends_in_a_figure(cell.source)), cell.source
        for out in outputs:
            shown = out.get("text", "") + out.get("data", {}).get("text/plain", "")
            assert shown.count("\n") <= 20, cell.source
            assert "Warning" not in shown, shown
