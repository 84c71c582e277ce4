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
NOTEBOOKS = all(importlib.util.find_spec(package) for package in ("ipykernel", "nbclient", "jupytext"))


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


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_the_cells_of_the_notebook_are_the_program(path):
    """So that a lesson that runs as a notebook runs as a program."""
    code = "\n".join(cell.source for cell in notebook_of(path).cells if cell.cell_type == "code")
    program = ast.parse(path.read_text(encoding="utf-8")).body
    texts = [node for node in program if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    assert texts == program[:1]  # the title, in quotes
    assert [ast.dump(node) for node in ast.parse(code).body] == [ast.dump(node) for node in program[1:]]


@pytest.mark.skipif(NOTEBOOKS, reason="they run as notebooks")
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_runs_as_a_program(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    runpy.run_path(str(path))
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """Return the cells of each lesson with their outputs, and its folder.

    All run in one kernel, because to start one and to import everything takes longer than most lessons. In front of
    each lesson the names of the one before are deleted; modules stay imported.
    """
    book, client = importlib.import_module("nbformat.v4"), importlib.import_module("nbclient")
    cells = {path: notebook_of(path).cells for path in LESSONS}
    folders = {path: tmp_path_factory.mktemp(path.stem) for path in LESSONS}
    starts = [book.new_code_cell(f"%reset -f -s\n%cd -q {folders[path]}") for path in LESSONS]
    together = [[start, *cells[path]] for start, path in zip(starts, LESSONS, strict=True)]
    notebook = book.new_notebook(cells=list(itertools.chain(*together)))
    client.NotebookClient(notebook, timeout=120, kernel_name="python3", allow_errors=True).execute()
    return {path: (cells[path], folders[path]) for path in LESSONS}


@pytest.mark.skipif(not NOTEBOOKS, reason="needs ipykernel and nbclient")
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_runs_as_a_notebook_that_shows_each_picture_once_and_no_wall_of_numbers(path, executed):
    cells, folder = executed[path]
    assert not list(folder.iterdir())
    for cell in cells:
        outputs = cell.get("outputs", [])
        assert not [out for out in outputs if out["output_type"] == "error"], cell.source
        if not cell.source.startswith("#") and cell.cell_type == "code":
            assert cell.execution_count
        pictures = [out for out in outputs if "image/png" in out.get("data", {})]
        assert len(pictures) == (cell.cell_type == "code" and ends_in_a_figure(cell.source)), cell.source
        for out in outputs:
            shown = out.get("text", "") + out.get("data", {}).get("text/plain", "")
            assert shown.count("\n") <= 20, cell.source
            assert "Warning" not in shown, shown
