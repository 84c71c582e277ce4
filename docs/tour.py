"""Write docs/tour.md: one training step, line by line.

A real training step of a small network is traced with the reference kernels, and the source of every function that it
runs is shown, file by file in the order in which the step enters them. So the tour cannot show code that does not run.

    python docs/tour.py            write docs/tour.md, and its length into README.md
    python docs/tour.py --check    exit with status 1 if these files are not what this program would write
"""

from __future__ import annotations

import ast
import functools
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import numpy as np

import minicnn
from minicnn import layers, optim
from minicnn.train import loop

PACKAGE = Path(minicnn.__file__).parent
TOUR = Path(__file__).with_name("tour.md")
README = Path(__file__).parents[1] / "README.md"
LENGTH = r"one training step is \d+ lines of code in \d+ files"

WHY = {
    "train/loop.py": "The loop over batches needs one function that takes parameters and returns new ones; "
    "nothing is stored between two steps.",
    "autograd.py": "The gradients of a function of a tree of parameters: each array becomes a Tensor, which records "
    "what is computed from it.",
    "trees.py": "Parameters, gradients and optimizer states are nested dicts, so one function applies another to "
    "every array in them.",
    "graph.py": "The engine: `op` runs a function on arrays and records its VJPs (vector-Jacobian products), and "
    "`walk` goes back through the record with the chain rule. It knows no operation.",
    "layers/base.py": "A layer is a configuration without state: it looks up its parameters and calls its op.",
    "layers/containers.py": "A network is a layer made of layers: the image goes through one after the other.",
    "kernels/arithmetic.py": "Where plain NumPy arithmetic would be wrong or unsafe: dtypes, long sums, 0 times "
    "infinity, shared memory.",
    "ops/conv.py": "The convolution as an operation: its result and, in the same function, the gradients of its "
    "arguments.",
    "kernels/reference.py": "The definition of every kernel, tap by tap, forward and backward, without tricks for "
    "speed. The other kernels are tested against it.",
    "ops/activation.py": "The nonlinearity between the linear layers.",
    "ops/pool.py": "Each window of a channel becomes one number; the gradient goes back to where the maximum was.",
    "ops/matrix.py": "The last two layers: each image becomes one row, and a matrix product gives the logits.",
    "ops/loss.py": "The scalar of which gradients are wanted. The walk in `graph.py` starts here and goes backward.",
    "optim.py": "The gradients are used here: new parameters and a new state are returned, and nothing is changed in "
    "place.",
}
"""Why each file of the tour exists."""

CHECKS = {"_guarded"}
"""Functions that check arguments and are listed only, beside those named check_..., and the shape rules ..._shape."""


class Function(NamedTuple):
    """A function that the step runs: its file, the line of its class if it is a method, and its lines."""

    path: str
    name: str
    owner: str
    lines: tuple[str, ...]

    @property
    def checks(self) -> bool:
        """Whether it only checks arguments."""
        return self.name.lstrip("_").startswith("check_") or self.name.endswith("_shape") or self.name in CHECKS


def network() -> tuple[layers.Layer, optim.Optimizer]:
    """Return the network and the optimizer of the tour."""
    net = layers.Sequential([
        layers.Conv2D(8, 3, padding="same"), layers.ReLU(), layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(10)
    ])  # fmt: skip
    return net, optim.SGD(0.1)


def main(arguments: list[str]) -> int:
    """Write the tour, or check it."""
    text, lines, files = tour()
    length = f"one training step is {lines} lines of code in {files} files"
    readme = re.sub(LENGTH, length, README.read_text(encoding="utf-8"))
    pages = {TOUR: text, README: readme}
    if "--check" in arguments:
        return int(any(path.read_text(encoding="utf-8") != page for path, page in pages.items()))
    for path, page in pages.items():
        path.write_text(page, encoding="utf-8")
    return 0


def tour() -> tuple[str, int, int]:
    """Return the tour as Markdown, and the numbers of its lines and files."""
    calls = trace(training_step())
    functions = list(dict.fromkeys(map(function_of, dict.fromkeys(calls))))
    files = list(dict.fromkeys(f.path for f in functions))
    if set(files) != set(WHY):
        raise ValueError(f"tour: WHY must have a sentence for each of {files}, got {list(WHY)}.")
    rooms = [room(n, path, [f for f in functions if f.path == path]) for n, path in enumerate(files, 1)]
    lines = sum(bool(line.strip()) for path in files for line in code(shown(functions, path)).splitlines())
    return "\n".join([opening(len(calls), len(files), lines), *rooms]), lines, len(files)


def training_step() -> Callable[[], Any]:
    """Return the step that `fit` takes for each batch, already run once: what only the first one does is left out."""
    net, optimizer = network()
    rng = np.random.default_rng(0)
    images, labels = rng.random((4, 8, 8, 1), dtype=np.float32), np.arange(4)
    params = net.init(rng, images.shape[1:])
    loss_and_grads = functools.partial(loop._loss_and_grads, net=net, rng=rng, smoothing=0.0)
    step = functools.partial(loop._step, loss_and_grads, optimizer, params, optimizer.init(params), images, labels)
    step()
    return step


def trace(step: Callable[[], Any]) -> list[CodeType]:
    """Return the code of each call of a function of the package, in order.

    Comprehensions are not counted: whether they are calls depends on the version of Python.
    """
    calls: list[CodeType] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and Path(code.co_filename).is_relative_to(PACKAGE) and not code.co_name.endswith("comp>"):
            calls.append(code)

    sys.setprofile(note)
    try:
        step()
    finally:
        sys.setprofile(None)
    return calls


@functools.cache
def function_of(code: CodeType) -> Function:
    """Return the outermost function that holds this code: what is defined inside a function is shown with it."""
    path = Path(code.co_filename)
    source = path.read_text(encoding="utf-8")
    for owner, node in functions_in(ast.parse(source)):
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        if first <= code.co_firstlineno <= (node.end_lineno or 0):
            lines = list(source.splitlines())
            shorten_docstring(node, lines)
            kept = tuple(line for line in lines[first - 1 : node.end_lineno] if line is not None)
            return Function(path.relative_to(PACKAGE).as_posix(), node.name, owner, kept)
    raise ValueError(f"tour: {code.co_name} must be part of a function in {path.name}.")


def functions_in(node: ast.AST, owner: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield the outermost functions of a file, each with the first line of its class."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef):
            yield owner, child
        else:
            bases = ", ".join(map(ast.unparse, child.bases)) if isinstance(child, ast.ClassDef) else ""
            head = f"class {child.name}({bases}):".replace("()", "") if isinstance(child, ast.ClassDef) else owner
            yield from functions_in(child, head)


def shorten_docstring(node: ast.FunctionDef, lines: list[Any]) -> None:
    """Leave of a docstring its first line; the file has the rest."""
    first = node.body[0]
    if ast.get_docstring(node) and first.end_lineno and first.end_lineno > first.lineno:
        lines[first.lineno - 1] += '"""'
        lines[first.lineno : first.end_lineno] = [None] * (first.end_lineno - first.lineno)


def shown(functions: list[Function], path: str) -> list[Function]:
    """Return the functions of a file that do more than to check arguments."""
    return [f for f in functions if f.path == path and not f.checks]


def code(functions: list[Function]) -> str:
    """Return the source of functions, methods under the line of their class."""
    parts, owner = [], ""
    for f in functions:
        parts.append("\n".join(([f.owner] if f.owner and f.owner != owner else []) + list(f.lines)))
        owner = f.owner
    return "\n\n".join(parts)


def room(number: int, path: str, functions: list[Function]) -> str:
    """Return the section of a file."""
    link = f"[`{path}`](../minicnn/{path})"
    source = code(shown(functions, path))
    text = f"## {number}. {link}\n\n{WHY[path]}\n\n```python\n{source}\n```\n"
    checks = ", ".join(f"`{f.name}`" for f in functions if f.checks)
    return text + (f"\nArguments are checked here by {checks} (in {link}).\n" if checks else "")


def opening(calls: int, files: int, lines: int) -> str:
    """Return what stands above the sections."""
    return f"""\
# One training step, line by line

One training step is {lines} lines of code: {calls} calls in {files} files.

This page shows all of them, in the order in which the step enters the files. It is written by
`python docs/tour.py`, which traces a real step of this network with the reference kernels, so it shows what runs and
nothing else:

```python
{inspect.getsource(network)}```

The step is the one that `train.fit` takes for each batch, not the first one: a shape rule runs once for each shape, and
`op` remembers that the shapes fit. Of a longer docstring the first line is shown, and functions that only check
arguments are named. With kernels that fuse layers `fit` records the ops of two such steps and then calls the same ops
directly, see [`train/replay.py`](../minicnn/train/replay.py).

The images pass forward through the layers to the loss. The gradient passes backward through the VJPs that the ops have
returned: a VJP is defined inside its op, so the code of both directions is in one place.
"""


if __name__ == "__main__":
    # Before the first kernel is called: the definition is shown, and not a faster kernel.
    os.environ.update(MINICNN_KERNELS="reference", MINICNN_FUSE="0")
    sys.exit(main(sys.argv[1:]))
