"""Comments on the reading path: at least one line for every twenty lines of code, so that tricks have their reasons."""

import ast
import io
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "minicnn"
LEAST = 0.05
PATH = [
    *("graph", "autograd", "numpy_interface", "geometry"),
    *("ops/arrange", "ops/conv", "ops/pool", "ops/matrix", "ops/elementwise", "ops/activation", "ops/loss"),
    *("ops/reduce", "ops/norm", "ops/pad", "ops/fused", "kernels/reference"),
    *("layers/base", "layers/conv", "layers/pool", "layers/dense", "layers/containers", "layers/fusion"),
    "train/loop",
]
LAYOUT = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def density(source):
    """Return the lines with a comment per line of code. Docstrings count as neither, nor does `# type: ignore`."""
    comments, code = set(), set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        lines = range(token.start[0], token.end[0] + 1)
        if token.type == tokenize.COMMENT:
            comments.update(() if token.string.startswith(("# type:", "# noqa")) else lines)
        elif token.type not in LAYOUT:
            code.update(lines)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            code.difference_update(range(node.lineno, node.end_lineno + 1))
    return len(comments) / len(code)


@pytest.mark.parametrize("name", PATH)
def test_the_reading_path_is_commented(name):
    assert density((ROOT / f"{name}.py").read_text()) >= LEAST


def test_docstrings_and_instructions_to_tools_do_not_count():
    source = '"""Three\nlines\nof text."""\n\nx = 1  # type: ignore\ny = (\n    2\n)  # because\n# why\n'
    assert density(source) == 2 / 4
