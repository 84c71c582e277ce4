"""Plain English in all texts of the repository: words and phrases that a reader stops at, and what to write instead.

Names are read, too: `is_no_matrix` is the phrase "is no matrix".
"""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("minicnn", "experiments", "tests", "docs", "lessons", "web/src", "datasets")
KINDS = {".py", ".md", ".toml", ".ts", ".tsx"}
OF_THE_RULES = {"tests/test_words.py", "tests/test_error_form.py"}
"""Files that name the words to find them."""
GENERATED = ("reference", "tutorial")
FILES = sorted(
    str(path.relative_to(ROOT))
    for path in [*ROOT.iterdir(), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))]
    if path.suffix in KINDS and str(path.relative_to(ROOT)) not in OF_THE_RULES and path.parent.name not in GENERATED
)

INSTEAD = {
    "is no": (r"(?<!there )\b(?:is|are|was|were) no\b(?! longer)", "is not a"),
    "afresh": (r"\b(?:afresh|anew)\b", "again"),
    "whoever": (r"\bwhoever\b", "the one who"),
    "winner": (r"\bwinner", "maximum, argmax; of arms: the best"),
    "kink": (r"\bkink", "point without a derivative"),
    "contender": (r"\bcontender", "framework"),
    "zoo": (r"\b(?:zoo|animals?)\b", "known bugs"),
    "the house": (r"\bthe house\b", "the package"),
    "whole number": (r"\bwhole numbers?\b", "integer"),
    "cell": (r"\bcells?\b", "element"),
    "in the place of": (r"\bin the place of\b", "instead of, at the place of"),
    "will do": (r"\bwill do\b", "is enough, is accepted, can be any"),
    "taken for": (r"\b(?:\d+|often) taken for\b", "mistaken for"),
    "nothing but": (r"\b(?:is|are|was|were) nothing but\b", "is, is only"),
}
"""What is looked for, and what is written instead. Elements are called cells in no text, but tables have cells."""

FIELD = "a field of the data in pages, whose name the page's program has, too"
NOTEBOOK = "the cells of a notebook"
TABLE = "the cells of a table"
EXCEPTIONS = {
    ("winner", "minicnn/explain/heads_panel.py"): FIELD,
    ("winner", "minicnn/explain/contract.py"): FIELD,
    ("winner", "minicnn/explain/heads.py"): FIELD,
    ("winner", "tests/test_explain_page.py"): FIELD,
    ("winner", "web/src/contract.ts"): FIELD,
    ("winner", "web/src/heads.tsx"): FIELD,
    ("zoo", "CHANGELOG.md"): "what the program was called before",
    ("kink", "CHANGELOG.md"): "what a field was called before",
    ("zoo", "tests/test_command_lines.py"): "the names that the program has had",
    ("cell", "minicnn/explain/contract_net.py"): FIELD,
    ("cell", "minicnn/explain/packing.py"): FIELD,
    ("cell", "CONTRIBUTING.md"): NOTEBOOK,
    ("cell", "docs/extension/gallery_figures.py"): NOTEBOOK,
    ("cell", "lessons/1_tensor_and_tape.py"): NOTEBOOK,
    ("cell", "minicnn/notebook.py"): NOTEBOOK,
    ("cell", "minicnn/records.py"): NOTEBOOK,
    ("cell", "minicnn/show/__init__.py"): NOTEBOOK,
    ("cell", "minicnn/train/history.py"): NOTEBOOK,
    ("cell", "pyproject.toml"): NOTEBOOK,
    ("cell", "tests/test_lessons.py"): NOTEBOOK,
    ("cell", "minicnn/study/report/curves.py"): "statistics calls a combination of two factors' levels a cell",
    ("cell", "minicnn/study/statistics/images.py"): "the same",
    ("cell", "minicnn/study/report/words.py"): TABLE,
    ("cell", "tests/test_known_bugs.py"): TABLE,
}
"""Where a word is right, and why."""


def prose(name):
    """Return the text of a file that is read for words such as cells, which are good names: comments and docstrings.

    TypeScript is left out, because all its cells are those of the grids that pages draw.
    """
    text = (ROOT / name).read_text(encoding="utf-8")
    if name.endswith((".ts", ".tsx")):
        return ""
    if not name.endswith(".py"):
        return text
    nodes = (ast.Module, ast.ClassDef, ast.FunctionDef)
    found = [ast.get_docstring(node) or "" for node in ast.walk(ast.parse(text)) if isinstance(node, nodes)]
    found += [t.string for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type == tokenize.COMMENT]
    return "\n".join(found)


def words(name, word):
    """Return the places of a word in a file, with names such as `is_no_matrix` read as text."""
    text = prose(name) if word == "cell" else (ROOT / name).read_text(encoding="utf-8")
    spaced = re.sub(r"\n\s*#\s*|[_\s]+", " ", text)
    return [spaced[max(0, m.start() - 30) : m.end() + 20] for m in re.finditer(INSTEAD[word][0], spaced, re.IGNORECASE)]


@pytest.mark.parametrize("word", INSTEAD)
def test_the_text_has_the_plain_word(word):
    found = {name: words(name, word) for name in FILES if (word, name) not in EXCEPTIONS}
    found = {name: places for name, places in found.items() if places}
    assert not found, f"write {INSTEAD[word][1]}"


def test_the_exceptions_are_still_needed():
    assert not [(word, name) for word, name in EXCEPTIONS if not words(name, word)]


@pytest.mark.parametrize(
    ("word", "text"),
    [("is no", "a list is no matrix"), ("is no", "test_a_list_is_no_matrix"), ("is no", "a list is\n    # no matrix"),
     ("winner", "the winners"), ("cell", "Each cell is read."), ("whole number", "Whole numbers"),
     ("in the place of", "shapes in the place of arrays"), ("will do", "Any layer will do:"),
     ("taken for", "8 is most often taken for 5"), ("taken for", "2 taken for 5"),
     ("nothing but", "it is nothing but x")],
)  # fmt: skip
def test_a_word_is_found(word, text, tmp_path, monkeypatch):
    monkeypatch.setattr("test_words.ROOT", tmp_path)
    (tmp_path / "file.md").write_text(text)
    assert words("file.md", word)


@pytest.mark.parametrize(
    "text",
    [
        "there is no browser",
        "it is no longer there",
        "an excellent cellar",
        "2 mistaken for 5",
        "what it will download",
    ],
)
def test_plain_words_are_left_alone(text, tmp_path, monkeypatch):
    monkeypatch.setattr("test_words.ROOT", tmp_path)
    (tmp_path / "file.md").write_text(text)
    assert not [word for word in INSTEAD if words("file.md", word)]
