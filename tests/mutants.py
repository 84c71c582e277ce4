"""How many small errors, put into the ops and the NumPy kernels one at a time, do the tests notice?

`python tests/mutants.py` takes the mutants from Cosmic Ray (operators swapped, numbers changed, decorators removed),
leaves out what is not Python and what only touches type hints, which are never run, and runs for each the tests that
execute its line, the quickest first, in a fork that has everything but minicnn imported. A mutant is killed if a test
fails, the module does not import, or the tests take too long; the others are printed and listed in out/mutants.json.
"""

from __future__ import annotations

import argparse
import ast
import importlib.abc
import importlib.util
import json
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
SUITE = ["window", "ops", "wrong_calls", "kernels", "pool_variants", "autograd", "layers", "explain", "gradcheck"]
SECONDS = 60  # a mutant that takes longer loops
NO_MUTANT = 77  # an exit code pytest does not use
BROKEN = 78
MORE = ["minicnn/axis.py", "minicnn/geometry.py", "minicnn/kernels/reference.py", "minicnn/kernels/numpy_blocked.py"]
RESULT = ROOT / "out/mutants.json"


class Mutant(NamedTuple):
    """One change: where, which operator of Cosmic Ray, its how-manieth place in the file."""

    path: str
    line: int
    operator: str
    occurrence: int


def mutants(path: str) -> Iterator[Mutant]:
    """Yield every mutant of a file."""
    from cosmic_ray import plugins
    from cosmic_ray.ast import ast_nodes, get_ast_from_path

    nodes = list(ast_nodes(get_ast_from_path(ROOT / path)))
    for name in plugins.operator_names():
        operator = plugins.get_operator(name)
        if not operator.arguments():
            places = [place for node in nodes for place in operator().mutation_positions(node)]
            yield from (Mutant(path, start[0], name, number) for number, (start, _) in enumerate(places))


def mutated(mutant: Mutant) -> str:
    """Return the file's text with the mutant in it."""
    from cosmic_ray import mutating, plugins

    source = (ROOT / mutant.path).read_text()
    return str(mutating.mutate_code(source, plugins.get_operator(mutant.operator)(), mutant.occurrence))


def program(source: str) -> str:
    """Return what Python runs of a file: the tree without its type hints; empty if it is not Python."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return ""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign):
            node.annotation = ast.Constant(None)
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
    return ast.dump(tree)


class Replaced(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    """An importer that gives one module another text."""

    def __init__(self, path: str, source: str) -> None:
        self.name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        self.path, self.source = str(ROOT / path), source

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_filename(self, name: str) -> str:
        return self.path

    def get_data(self, path: str) -> bytes:
        if path.endswith(".pyc"):
            raise FileNotFoundError(path)
        return self.source.encode()


class Chosen:
    """A pytest plugin: run only these tests, in this order, and note how long each takes and which lines it runs."""

    def __init__(self, wanted: list[str] | None = None, coverage: Any = None) -> None:
        self.wanted, self.coverage, self.seconds = wanted, coverage, dict[str, float]()

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if self.wanted is not None:
            place = {name: number for number, name in enumerate(self.wanted)}
            items[:] = sorted((i for i in items if i.nodeid in place), key=lambda item: place[item.nodeid])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Any:
        if self.coverage:
            self.coverage.switch_context(item.nodeid)
        start = time.perf_counter()
        result = yield
        self.seconds[item.nodeid] = time.perf_counter() - start
        return result


def run_tests(plugin: Chosen, files: list[str]) -> int:
    """Run the tests of some files inside this process; 0 if all pass."""
    options = ["-x", "-p", "no:cacheprovider", "-o", "addopts=", "-W", "ignore:Module already imported"]
    return int(pytest.main([*files, *options], [plugin]))


def in_fork(work: Any, seconds: float) -> int:
    """Run a function in a forked process and return its exit code, negative if it took too long."""
    child = os.fork()
    if child == 0:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
        signal.alarm(int(seconds))
        try:
            os._exit(work())
        except BaseException:
            os._exit(BROKEN)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == BROKEN:
        raise RuntimeError("a run of the tests did not get as far as pytest")
    return code


def who_runs_what(paths: list[str], suite: list[str]) -> tuple[dict[str, dict[int, list[str]]], dict[str, float]]:
    """Return for each line of each file the tests that run it, and the seconds of each test."""
    from coverage import Coverage, CoverageData

    folder = Path(tempfile.mkdtemp())

    def work() -> int:
        coverage = Coverage(data_file=str(folder / "lines"), include=[str(ROOT / p) for p in paths], config_file=False)
        plugin = Chosen(coverage=coverage)
        with coverage.collect():
            code = run_tests(plugin, suite)
        coverage.save()
        (folder / "seconds.json").write_text(json.dumps(plugin.seconds))
        return code

    if in_fork(work, 1800):
        sys.exit("the tests fail without any mutant")
    data = CoverageData(str(folder / "lines"))
    data.read()
    lines = {path: data.contexts_by_lineno(str(ROOT / path)) for path in paths}
    return lines, json.loads((folder / "seconds.json").read_text())


def tests_of(mutant: Mutant, lines: dict[int, list[str]], seconds: dict[str, float]) -> list[str]:
    """Return the tests that run the mutant's line, the quickest first; of its function or file if that is not known.

    What runs when the module is imported (defaults, constants, decorators) belongs to no test.
    """
    inside = [
        range(node.lineno, (node.end_lineno or node.lineno) + 1)
        for node in ast.walk(ast.parse((ROOT / mutant.path).read_text()))
        if isinstance(node, ast.FunctionDef) and node.lineno <= mutant.line <= (node.end_lineno or 0)
    ]
    for where in ([mutant.line], min(inside, key=len, default=range(0)), lines):
        found = {name for line in where for name in lines.get(line, []) if name}
        if found:
            return sorted(found, key=lambda name: seconds[name])
    return []


def outcome(task: tuple[Mutant, list[str]]) -> tuple[Mutant, str]:
    """Put one mutant in and run its tests: survived, killed, or none at all."""
    mutant, tests = task

    def work() -> int:
        source = mutated(mutant)
        if program(source) in ("", program((ROOT / mutant.path).read_text())):
            return NO_MUTANT
        sys.meta_path.insert(0, Replaced(mutant.path, source))
        return run_tests(Chosen(tests), sorted({name.split("::")[0] for name in tests}))

    return mutant, {0: "survived", NO_MUTANT: "none"}.get(in_fork(work, SECONDS), "killed")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python tests/mutants.py", description=str(__doc__).splitlines()[0])
    parser.add_argument(
        "files", nargs="*", help="files to put mutants into (default: the ops, the NumPy kernels and geometry.py)"
    )
    parser.add_argument("--again", action="store_true", help="only those that survived the last run")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="default: one a core")
    return parser.parse_args()


def main() -> None:
    """Run the mutants and tell which survive."""
    args = arguments()
    os.environ |= {"MINICNN_KERNELS": "numpy_blocked", "OPENBLAS_NUM_THREADS": "1"}
    os.chdir(ROOT)
    for heavy in ("numpy", "scipy.ndimage", "hypothesis.strategies", "hypothesis.extra.numpy", "tqdm", "sklearn"):
        importlib.import_module(heavy)
    paths = args.files or [str(p.relative_to(ROOT)) for p in sorted((ROOT / "minicnn/ops").rglob("*.py"))] + MORE
    found = [mutant for path in paths for mutant in mutants(path)]
    if args.again:
        last = {tuple(row) for row in json.loads(RESULT.read_text())["survived"]}
        found = [mutant for mutant in found if mutant in last]
    lines, seconds = who_runs_what(paths, [f"tests/test_{name}.py" for name in SUITE])
    tasks = [(mutant, tests_of(mutant, lines[mutant.path], seconds)) for mutant in found]
    results: dict[str, list[Mutant]] = {"killed": [], "survived": [], "none": []}
    with multiprocessing.get_context("fork").Pool(args.processes) as pool:
        for mutant, result in tqdm(pool.imap_unordered(outcome, tasks), total=len(tasks), unit="mutant"):
            results[result].append(mutant)
            if result == "survived":
                tqdm.write(f"{mutant.path}:{mutant.line}: {mutant.operator} #{mutant.occurrence}")
            RESULT.parent.mkdir(exist_ok=True)
            RESULT.write_text(json.dumps(results))
    killed, survived = len(results["killed"]), len(results["survived"])
    print(
        f"{killed} of {killed + survived} killed ({killed / (killed + survived):.1%}); {len(results['none'])} left out"
    )


if __name__ == "__main__":
    main()
