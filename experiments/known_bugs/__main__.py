"""Which published bugs still train, how accurately, and which check detects them?

For each seed, a small CNN on the digits data set is trained with the incorrect and with the correct implementation,
with the same initial weights, mini-batches and data split. No setting is tuned for either.
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

from experiments.known_bugs import BUGS, Bug
from experiments.known_bugs.report import Result, csv_text, make_result, markdown, text
from experiments.known_bugs.training import Run, run_once
from minicnn import data, kernels, optim, schedules
from minicnn.environment import environment
from minicnn.files import atomic_write, only_writer, writable_folder
from minicnn.layers import Layer
from minicnn.study import Recipe
from minicnn.validation import integer

RECIPES = {
    "adam": Recipe(optim.Adam(schedules.OneCycle(1e-2)), epochs=20, batch_size=64),
    "sgd": Recipe(optim.SGD(schedules.OneCycle(0.05), momentum=0.9), epochs=20, batch_size=64),
}
Runs = dict[str, list[Run | str]]


def main(argv: list[str] | None = None) -> int:
    """Train with each bug and with the correct ops, write the tables and return the exit code."""
    options = _options(argv)
    with ExitStack() as stack:
        try:
            kernels.implementation()
            seeds = integer("command line", "--seeds", options.seeds)
            recipe = replace(RECIPES[options.optimizer], epochs=integer("command line", "--epochs", options.epochs))
            integer("command line", "--processes", options.processes)
            out = stack.enter_context(only_writer(writable_folder(options.out)))
        except (OSError, ValueError, TypeError) as error:
            print(f"known_bugs: {error}", file=sys.stderr)
            return 2
        try:
            runs = _train(recipe, seeds, options.processes)
        except KeyboardInterrupt:
            print("known_bugs: interrupted; nothing was written.", file=sys.stderr)
            return 130
        results = _results(runs)
        atomic_write(out / "known_bugs.csv", csv_text(results))
        path = atomic_write(out / "known_bugs.md", markdown(results, _settings(recipe, options)))
    print(f"{text(results)}\n\ntable with sources and settings: {path}")
    return 0


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.known_bugs",
        description="Train a small CNN on the digits data set with each known bug of pooling and convolution and with "
        "the correct implementation. Report which checks detect the bug and how it changes the test accuracy.",
        epilog="Bugs: " + ", ".join(bug.name for bug in BUGS) + ". They are in experiments/known_bugs/incorrect.py.",
    )
    parser.add_argument(
        "--seeds", type=int, default=3, metavar="N", help="number of seeds per bug (default: %(default)s)"
    )
    parser.add_argument("--epochs", type=int, default=20, metavar="N", help="training epochs (default: %(default)s)")
    parser.add_argument("--optimizer", choices=list(RECIPES), default="adam", help="optimizer (default: %(default)s)")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/known_bugs"),
        metavar="DIR",
        help="output directory (default: %(default)s)",
    )
    parser.add_argument(
        "--processes", type=int, default=2, metavar="N", help="number of parallel runs (default: %(default)s)"
    )
    return parser.parse_args(argv)


def _train(recipe: Recipe, seeds: int, processes: int) -> Runs:
    """Return the runs of each arm; bugs with the same correct network share its runs."""
    nets = {bug.name: bug.net(bug.incorrect) for bug in BUGS} | {_control(bug): bug.net(bug.correct) for bug in BUGS}
    jobs = [(arm, seed) for seed in range(seeds) for arm in nets]
    runs: Runs = defaultdict(list)
    with parallel_config("loky", inner_max_num_threads=1):
        pool = Parallel(n_jobs=processes, return_as="generator")
        done = pool(delayed(_attempt)(recipe, nets[arm], seed) for arm, seed in jobs)
        bar = tqdm(done, total=len(jobs), unit=" runs", disable=None, dynamic_ncols=True)
        for (arm, _), run in zip(jobs, bar, strict=True):
            runs[arm].append(run)
    return runs


def _attempt(recipe: Recipe, net: Layer, seed: int) -> Run | str:
    """Train and test once; return the error message if training fails."""
    try:
        return run_once(recipe, net, seed)
    except (ValueError, FloatingPointError) as error:
        return str(error)


def _control(bug: Bug) -> str:
    return f"{bug.correct.__name__}, {bug.net.__name__}"


def _results(runs: Runs) -> list[Result]:
    digits = data.load("digits")
    test_share = len(digits.test) / len(digits.train)
    return [make_result(bug, runs[bug.name], runs[_control(bug)], test_share) for bug in BUGS]


def _settings(recipe: Recipe, options: argparse.Namespace) -> dict[str, str]:
    arguments = ["--seeds", str(options.seeds), "--epochs", str(options.epochs), "--optimizer", options.optimizer]
    return {
        "command": f"`{shlex.join(['python', '-m', 'experiments.known_bugs', *arguments])}`",
        "optimizer": f"`{recipe.optimizer!r}`, batches of {recipe.batch_size}, {recipe.epochs} epochs",
        "data": "digits, split at random by seed; the parameters after the last epoch are evaluated",
        "networks": "in experiments/known_bugs/bugs.py: convolutions of 8 and 16 filters, two poolings, a dense layer",
        "kernels of the correct ops": kernels.name(),
        "versions": ", ".join(f"{name} {version}" for name, version in environment().items()),
    }


if __name__ == "__main__":
    sys.exit(main())
