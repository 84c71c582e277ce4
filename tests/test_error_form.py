"""One form for errors, "`op`: `argument` must be <constraint>, got <value>. <remedy>.", over all raise statements."""

import ast
import collections
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "minicnn"
KINDS = {"ValueError", "TypeError", "ShapeError", "kind"}
FOREIGN = re.compile(
    r"\bis no\b|is not a share|not made of|whole number|\bafresh\b|\banew\b|\bwhoever\b|\bwinner|\bkink|the house"
    r"|\bpads of\b|\bcells?\b|\bnumbers a\b|\b(thread|step|batch|image|row) an? (call|step|epoch|image|batch|window)\b"
)
GROUPS = {"window": "ops", "geometry": "ops", "graph": "engine", "autograd": "engine", "numpy_interface": "engine"}

# How many messages of a file, or of a group of files, say it in another form. A number may become smaller, not larger;
# an entry that has become 0 is deleted.
OTHER_FORM = {
    "hints": 4,  # calls that do not fit a signature: what is missing, unknown or too much, and all arguments
    "trees": 1,  # where two trees differ
    "data/idx": 4,  # files that are damaged, or are not the published ones
    "train/checkpoint": 4,  # reasons why a file is damaged: load puts "path must be ..., got ...: " before them
    "train/encoding": 1,  # the same
    "train/npz": 9,  # the same
    "safetensors_files": 1,  # the same
    "interop/keras_files": 6,  # the same: `opened` puts it before them
    "interop/keras_import": 6,
    "train/history": 1,  # from `unknown`, which has the form
    "train/checks": 1,  # from `unknown`, which has the form
}


def group(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[0] in {"ops", "layers", "kernels", "study"}:
        return parts[0]
    return GROUPS.get(parts[0], "/".join(parts))


def texts(function):
    """Yield the text of each raised ValueError or TypeError, with that of the local variables in it."""
    assigned = collections.defaultdict(list)
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            for name in ast.walk(node.targets[0]):
                if isinstance(name, ast.Name):
                    assigned[name.id].append(node.value)
    for node in ast.walk(function):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            name = getattr(node.exc.func, "id", "")
            if name in KINDS:
                parts = [node.exc]
                parts += [v for n in ast.walk(node.exc) if isinstance(n, ast.Name) for v in assigned[n.id]]
                yield " ".join(literals(part) for part in parts)


def literals(node):
    return "".join(n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str))


def raised(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            inner = [n for n in ast.walk(node) if isinstance(n, ast.FunctionDef) and n is not node]
            known = {text for n in inner for text in texts(n)}
            yield from (text for text in texts(node) if text not in known)


def counted():
    other, foreign = collections.Counter(), collections.Counter()
    for path in sorted(ROOT.rglob("*.py")):
        for text in raised(path):
            other[group(path)] += not ("must" in text and "got" in text)
            foreign[group(path)] += bool(FOREIGN.search(text))
    return other, foreign


OTHER, FOREIGN_WORDS = counted()


@pytest.mark.parametrize("name", sorted(OTHER))
def test_messages_have_the_form(name):
    assert OTHER[name] <= OTHER_FORM.get(name, 0)
    assert not FOREIGN_WORDS[name]


@pytest.mark.parametrize("text", ["a number is no matrix", "pads of 2", "Use whole numbers", "thread a call"])
def test_foreign_words_are_found(text):
    assert FOREIGN.search(text)
