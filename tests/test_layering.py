"""The layers of the package: imports point downward, `import minicnn` is light, files and functions stay short."""

import ast
import graphlib
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import minicnn

ROOT = Path(__file__).parents[1]
FILES = sorted([*(ROOT / "minicnn").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")])
FLOORS = [
    {
        "hints",
        "validation",
        "files",
        "trees",
        "notebook",
        "optional",
        "environment",
        "axis",
        "recording",
        "safetensors_files",
    },
    {"geometry", "records"},
    {"kernels"},
    {"graph"},
    {"ops"},
    {"numpy_interface"},
    {"autograd"},
    {"schedules", "clipping", "data"},
    {"optim"},
    {"layers"},
    {"models", "trunks", "train"},
    {"difference_quotients", "gradcheck", "study", "estimator", "interop", "runs", "show"},
    {"explain"},
    {"comparison"},
    {"cli"},
    {"__main__"},
    {"experiments"},
]
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}

DYNAMIC = {
    # A public name brings its module along when it is first asked for; the package itself is below every floor.
    ("minicnn", "f'minicnn.{_HOMES.get(name, name)}'"): [],
    # Numba and the kernels that need it take half a second to import, so they come with the first call of a kernel.
    ("minicnn.kernels", "f'{__name__}.{module}'"): [
        f"minicnn.kernels.{m}" for m in ("cores", "compiled", "numpy_blocked", "reference")
    ],
    # Packages of others that may be missing.
    ("minicnn.optional", "module"): [],
    # The adapters of the benchmark need one framework each.
    ("experiments.benchmark.frameworks", "f'{ADAPTERS}.{module}'"): ["experiments.benchmark.adapters"],
}
"""Imports whose name is known only when the program runs, with the modules of this project that they may bring."""


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


def room(name):
    """Return the room of a module, "minicnn" for the package itself."""
    parts = name.split(".")
    return parts[0] if parts[0] == "experiments" or len(parts) == 1 else parts[1]


IMPORTERS = {"import_module", "__import__", "resolve_name"}


def text(node, module):
    """Return the string that an expression makes, or None where it is known only when the program runs."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name) and node.id == "__name__":
        return module
    if isinstance(node, ast.FormattedValue):
        return text(node.value, module)
    if isinstance(node, ast.JoinedStr):
        parts = [text(value, module) for value in node.values]
        return None if None in parts else "".join(parts)
    return None


def imported(source, module, package=False, known=MODULES):
    """Return the modules that a file imports, in whatever form, and the imports that cannot be resolved."""
    tree, found, unresolved = ast.parse(source), [], []
    parent = module if package else module.rpartition(".")[0]
    names = importers(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                # `import minicnn` alone brings nothing; its attributes do, when they are asked for.
                found += attributes(tree, alias.asname or alias.name) if alias.name == "minicnn" else [alias.name]
        elif isinstance(node, ast.ImportFrom):
            found += taken(node, parent, known)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in names:
            argument = node.args[0] if node.args else node.keywords[0].value
            name = text(argument, module)
            if name is None:
                unresolved.append(ast.unparse(argument))
            else:
                found.append((parent + name if name.startswith(".") else name).replace(":", "."))
    return [name for name in found if name.split(".")[0] in {"minicnn", "experiments"}], unresolved


def importers(tree):
    """Return the names under which a file calls functions that import."""
    statements = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    return IMPORTERS | {a.asname for n in statements for a in n.names if a.name in IMPORTERS and a.asname}


def taken(node, parent, known):
    """Return what a `from` statement imports: modules where its names are modules."""
    above = parent.split(".")[: len(parent.split(".")) - node.level + 1] if node.level else []
    base = ".".join([*above, *([node.module] if node.module else [])])
    inner = [f"{base}.{alias.name}" for alias in node.names]
    return [name if name in known or base == "minicnn" else base for name in inner]


def attributes(tree, name):
    asked = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and getattr(n.value, "id", "") == name]
    return [f"minicnn.{n.attr}" for n in asked]


def upward(module, names):
    return [name for name in names if LEVEL.get(room(name), -1) > LEVEL[room(module)]]


def imports_of(module):
    found, unresolved = imported(MODULES[module].read_text(), module, MODULES[module].name == "__init__.py")
    return found + [name for expression in unresolved for name in DYNAMIC.get((module, expression), [])]


def circle(graph):
    """Return a circle of modules, or None."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return None


def file_of(name, known=MODULES):
    """Return the module in whose file a name is found: itself, or the one that has it as an attribute."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downward(module):
    if module == "minicnn":
        return
    assert room(module) in LEVEL, f"{module} is on no floor: put it into FLOORS"
    assert not upward(module, imports_of(module))


@pytest.mark.parametrize("module", MODULES)
def test_imports_that_cannot_be_resolved_have_a_reason(module):
    _, unresolved = imported(MODULES[module].read_text(), module)
    assert not [expression for expression in unresolved if (module, expression) not in DYNAMIC]


def test_the_reasons_are_still_needed():
    needed = {(m, e) for m, path in MODULES.items() for e in imported(path.read_text(), m)[1]}
    assert needed >= set(DYNAMIC)


def test_files_do_not_import_one_another_in_a_circle():
    lazy = {"minicnn"}  # its imports run only when a public name is asked for
    graph = {m: {file_of(name) for name in imports_of(m)} - {m} for m in MODULES if m not in lazy}
    assert circle(graph) is None


UPWARD = {
    "a statement": "import minicnn.train",
    "a statement under another name": "import minicnn.train.loop as loop",
    "an attribute of the package": "import minicnn\nminicnn.train.fit",
    "an attribute of the package under another name": "import minicnn as m\ndef f():\n    return m.train.fit",
    "from": "from minicnn.train import fit",
    "from the package": "from minicnn import train",
    "in a function": "def f():\n    if True:\n        from minicnn import train",
    "relative": "from ..train import fit",
    "relative, the package": "from .. import train",
    "import_module": "importlib.import_module('minicnn.train')",
    "import_module, relative": "importlib.import_module('.train', 'minicnn')",
    "import_module, keyword": "importlib.import_module(name='minicnn.train')",
    "import_module, imported": "from importlib import import_module\nimport_module('minicnn.train')",
    "import_module, renamed": "from importlib import import_module as bring\nbring('minicnn.train')",
    "__import__": "__import__('minicnn.train')",
    "an f-string": "importlib.import_module(f'minicnn.{\"train\"}.loop')",
    "an attribute by name": "pkgutil.resolve_name('minicnn.train:fit')",
}


@pytest.mark.parametrize("form", UPWARD)
def test_an_upward_import_is_seen_in_every_form(form):
    package = form == "import_module, relative"  # of minicnn itself; the others stand in minicnn/ops/planted.py
    module = "minicnn" if package else "minicnn.ops.planted"
    found, unresolved = imported(UPWARD[form], module, package)
    assert upward("minicnn.ops.planted", found), found
    assert not unresolved


@pytest.mark.parametrize("name", ["name", "f'minicnn.{name}'", "'minicnn.' + name", "NAMES[0]"])
def test_an_import_by_a_name_that_is_not_written_out_is_told(name):
    assert imported(f"importlib.import_module({name})", "minicnn.ops.planted")[1] == [name]


def test_a_downward_import_is_not_upward():
    source = "from minicnn import kernels\nfrom minicnn.graph import op\nimport numpy\nfrom . import conv"
    found, _ = imported(source, "minicnn.ops.planted")
    assert found == ["minicnn.kernels", "minicnn.graph", "minicnn.ops.conv"]
    assert not upward("minicnn.ops.planted", found)


def test_a_circle_of_files_is_found():
    known = dict.fromkeys(("minicnn.ops", "minicnn.ops.a", "minicnn.ops.b", "minicnn.ops.c"))
    sources = {
        "minicnn.ops.a": "from minicnn.ops.b import f",
        "minicnn.ops.b": "def f():\n    from minicnn.ops import c",
        "minicnn.ops.c": "importlib.import_module('minicnn.ops.a')",
    }
    graph = {m: {file_of(n, known) for n in imported(s, m, known=known)[0]} for m, s in sources.items()}
    assert set(circle(graph)) == set(sources)
    del graph["minicnn.ops.c"]
    assert circle(graph) is None


def modules_after(statement):
    program = f"{statement}; import sys, json; print(json.dumps(sorted(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    return {name.split(".")[0] for name in json.loads(shown.stdout)}


@pytest.mark.parametrize("statement", ["import minicnn", "from minicnn import layers, models, ops, optim, train, data"])
def test_importing_needs_numpy_alone(statement):
    heavy = {"scipy", "sklearn", "numba", "llvmlite", "matplotlib", "tqdm", "pooch", "jinja2", "torch", "joblib"}
    heavy |= {"onnx", "onnxruntime", "h5py", "safetensors", "keras"}
    assert not modules_after(statement) & heavy


@pytest.mark.parametrize("name", minicnn.__all__)
def test_every_public_name_is_there(name):
    found = getattr(minicnn, name)
    assert found is not None
    assert name in dir(minicnn)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_are_short_and_nothing_is_asserted(path):
    tree = ast.parse(path.read_text())
    assert len(path.read_text().splitlines()) <= 300
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Assert), f"line {node.lineno}: raise an error instead"
        if isinstance(node, ast.FunctionDef):
            doc = ast.get_docstring(node) or ""
            assert node.end_lineno - node.lineno - doc.count("\n") <= 40, f"{node.name} is long"


def test_most_functions_are_short():
    """Half of them have at most four lines of code, and nine of ten at most fourteen, docstrings not counted."""
    lengths = []
    for path in FILES:
        source = path.read_text()
        blank = {n for n, line in enumerate(source.splitlines(), 1) if not line.strip() or line.lstrip()[0] == "#"}
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = {n for statement in body for n in range(statement.lineno, statement.end_lineno + 1)}
                lengths.append(len(lines - blank))
    assert statistics.median(lengths) <= 4
    assert statistics.quantiles(lengths, n=10)[-1] <= 14


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
