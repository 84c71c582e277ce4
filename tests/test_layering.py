"""The floors of the house: imports point downward, `import minicnn` is light, files and functions stay short."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted([*(ROOT / "minicnn").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")])
FLOORS = [
    {"errors", "files", "tree", "checks", "geometry", "notebook", "optional", "environment"},
    {"kernels"},
    {"graph"},
    {"ops"},
    {"numpy_interface", "autograd"},
    {"layers", "schedules", "clipping", "optim", "data"},
    {"models", "train"},
    {"gradcheck", "study"},
    {"experiments"},
]
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}


def room(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == "minicnn" else "experiments"


def imported_rooms(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            first, *rest = node.module.split(".")
            if first == "minicnn":
                yield from [rest[0]] if rest else [alias.name for alias in node.names]
            elif first == "experiments":
                yield "experiments"
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("minicnn."))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_downward(path):
    if path == ROOT / "minicnn" / "__init__.py":
        return
    here = room(path)
    assert here in LEVEL, f"{here} is on no floor: put it into FLOORS"
    upward = [there for there in imported_rooms(path) if there in LEVEL and LEVEL[there] > LEVEL[here]]
    assert not upward


def modules_after(statement):
    program = f"{statement}; import sys, json; print(json.dumps(sorted(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    return {name.split(".")[0] for name in json.loads(shown.stdout)}


@pytest.mark.parametrize("statement", ["import minicnn", "from minicnn import layers, models, ops, optim, train, data"])
def test_importing_needs_numpy_alone(statement):
    heavy = {"scipy", "sklearn", "numba", "llvmlite", "matplotlib", "tqdm", "pooch", "jinja2", "torch", "joblib"}
    assert not modules_after(statement) & heavy


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_are_short_and_nothing_is_asserted(path):
    tree = ast.parse(path.read_text())
    assert len(path.read_text().splitlines()) <= 320 or path.name in LONG
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Assert), f"line {node.lineno}: raise an error instead"
        if isinstance(node, ast.FunctionDef):
            doc = ast.get_docstring(node) or ""
            assert node.end_lineno - node.lineno - doc.count("\n") <= 46, f"{node.name} is long"


LONG = {"gradcheck.py": "half of it is its why"}


def test_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks
    names = {}
    for block in blocks:
        exec(block, names)  # noqa: S102 - the README's own programs
    accuracy = float(capsys.readouterr().out.split()[0])
    assert accuracy > 0.9


def test_every_picture_and_file_the_readme_names_is_there():
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text())
    assert links
    assert not [link for link in links if "://" not in link and not (ROOT / link).exists()]
