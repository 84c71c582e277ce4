"""Which published bugs still train, how well, and which check sees them?

Each wrong op is put into a small CNN in which it matters, and beside it the right op with the same weights, batches
and split of the digits, for each seed. Nothing is tuned for either.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from joblib import Parallel, delayed, parallel_config
from tqdm import tqdm

from experiments.zoo import ZOO, Bug
from experiments.zoo.report import Row, csv_text, make_row, markdown, text
from minicnn import data, kernels, optim, schedules
from minicnn.files import atomic_write, only_writer, writable_folder
from minicnn.layers import Layer
from minicnn.ops.window import integer
from minicnn.study.environment import environment
from minicnn.study.run import Run
from minicnn.study.study import Recipe, run_one

RECIPES = {
    "adam": Recipe("digits", optim.Adam(schedules.OneCycle(1e-2)), epochs=20, batch_size=64),
    "sgd": Recipe("digits", optim.SGD(schedules.OneCycle(0.05), momentum=0.9), epochs=20, batch_size=64),
}
Runs = dict[str, list[Run | str]]


def main(argv: list[str] | None = None) -> int:
    """Train with every bug and with the right ops, and write the table."""
    options = _options(argv)
    with ExitStack() as stack:
        try:
            kernels.implementation()
            seeds = integer("command line", "--seeds", options.seeds)
            recipe = replace(RECIPES[options.optimizer], epochs=integer("command line", "--epochs", options.epochs))
            integer("command line", "--processes", options.processes)
            out = stack.enter_context(only_writer(writable_folder(options.out)))
        except (OSError, ValueError, TypeError) as error:
            print(f"bug_zoo: {error}", file=sys.stderr)
            return 2
        try:
            runs = _train(recipe, seeds, options.processes)
        except KeyboardInterrupt:
            print("bug_zoo: interrupted; nothing was written.", file=sys.stderr)
            return 130
        rows = _rows(runs)
        atomic_write(out / "bug_zoo.csv", csv_text(rows))
        path = atomic_write(out / "bug_zoo.md", markdown(rows, _settings(recipe, options)))
    print(f"{text(rows)}\n\nthe table with sources and settings: {path}")
    return 0


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.bug_zoo",
        description="Train a small CNN on digits with each of the known wrong versions of pooling and convolution, "
        "and with the right one; say which check catches what, and what accuracy the bug costs.",
        epilog="Bugs: " + ", ".join(bug.name for bug in ZOO) + ". They are in experiments/zoo/wrong.py.",
    )
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs with each bug (3)")
    parser.add_argument("--epochs", type=int, default=20, metavar="N", help="passes over the images (20)")
    parser.add_argument("--optimizer", choices=list(RECIPES), default="adam", help="how to train (adam)")
    parser.add_argument("--out", type=Path, default=Path("out/bug_zoo"), metavar="DIR", help="for the table's files")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="runs at the same time (2)")
    return parser.parse_args(argv)


def _train(recipe: Recipe, seeds: int, processes: int) -> Runs:
    """Return the runs of each arm; bugs that share their right net share its runs."""
    nets = {bug.name: bug.net(bug.wrong) for bug in ZOO} | {_control(bug): bug.net(bug.right) for bug in ZOO}
    jobs = [(arm, seed) for seed in range(seeds) for arm in nets]
    runs: Runs = defaultdict(list)
    with parallel_config("loky", inner_max_num_threads=1):
        pool = Parallel(n_jobs=processes, return_as="generator")
        done = pool(delayed(_attempt)(recipe, arm, nets[arm], seed) for arm, seed in jobs)
        bar = tqdm(done, total=len(jobs), unit=" runs", disable=None, dynamic_ncols=True)
        for (arm, _), run in zip(jobs, bar, strict=True):
            runs[arm].append(run)
    return runs


def _attempt(recipe: Recipe, arm: str, net: Layer, seed: int) -> Run | str:
    """Train and test once, or return the words with which it failed."""
    try:
        return run_one(recipe, arm, net, seed)
    except (ValueError, FloatingPointError) as error:
        return str(error)


def _control(bug: Bug) -> str:
    return f"{bug.right.__name__}, {bug.net.__name__}"


def _rows(runs: Runs) -> list[Row]:
    digits = data.load("digits")
    share = len(digits.test) / len(digits.train)
    return [make_row(bug, runs[bug.name], runs[_control(bug)], share) for bug in ZOO]


def _settings(recipe: Recipe, options: argparse.Namespace) -> dict[str, str]:
    words = ["--seeds", str(options.seeds), "--epochs", str(options.epochs), "--optimizer", options.optimizer]
    return {
        "command": f"`{shlex.join(['python', '-m', 'experiments.bug_zoo', *words])}`",
        "optimizer": f"`{recipe.optimizer!r}`, batches of {recipe.batch_size}, {recipe.epochs} epochs",
        "images": "digits, split anew for each seed; the parameters after the last step are tested",
        "nets": "in experiments/zoo/bugs.py: two convolutions of 8 and 16 filters, two poolings, one dense layer",
        "kernels of the right ops": kernels.name(),
        "versions": ", ".join(f"{name} {version}" for name, version in environment().items()),
    }


if __name__ == "__main__":
    sys.exit(main())
