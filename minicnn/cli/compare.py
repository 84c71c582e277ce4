"""`minicnn compare`: which pooling head is better, by how much, with what confidence, and at what cost."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from dataclasses import fields
from pathlib import Path

from minicnn.cli.arguments import Parsers, command, one_of, positive, several_of

EXAMPLES = """
{prog}                                  digits, about a minute
{prog} --heads flatten,gem --seeds 10   two heads, ten splits
{prog} --dataset mnist --jobs 2         hours; can be stopped and started again
{prog} --dataset mnist --dry-run        what it trains, how long it takes, what it can decide
{prog} --trunks max2,strided --heads flatten,global-average
"""
AFTER_INTERRUPT = "; nothing that was trained is lost. Run the same command to continue."


def add(parsers: Parsers) -> None:
    """Add the command."""
    parser = command(
        parsers,
        "compare",
        "train pooling heads and compare them, on clean and on shifted images",
        "Train a small CNN with different pooling heads, several times each, and compare their accuracy on clean and "
        "on shifted images. The folder of results is a ledger: the same command again trains only what is missing, and "
        "writes the report from what is there.",
        EXAMPLES.format(prog="minicnn compare"),
        run,
    )
    parser.set_defaults(after_interrupt=AFTER_INTERRUPT)
    add_options(parser)


def add_options(parser: argparse.ArgumentParser, names: str = "") -> None:
    """Add the options of the comparison to a parser."""
    names = names or "`minicnn summary` lists those that are known"
    add = parser.add_argument
    add("--dataset", type=one_of(_datasets), default="digits", metavar="NAME",
        help="data set: digits, mnist or fashion-mnist (default: %(default)s)")  # fmt: skip
    add("--heads", type=several_of(_heads), metavar="A,B,...",
        help=f"heads, separated by commas; {names} (default: the plan's, seven on digits)")  # fmt: skip
    add("--trunks", type=several_of(_trunks), metavar="A,B,...",
        help="ways to shrink feature maps, each combined with each head (default: the plan's trunk alone)")  # fmt: skip
    add("--match", type=one_of(lambda: ("parameters", "multiply_adds")), metavar="WHAT",
        help="add arms of the size of the largest one, by parameters or by multiply_adds")  # fmt: skip
    add("--seeds", type=positive, metavar="N", help="replicates per arm (default: the plan's, six on digits)")
    add("--epochs", type=positive, metavar="N",
        help="epochs, at one learning rate for all arms (default: the plan's, at the rate of each arm)")  # fmt: skip
    add("--tune", action="store_true", help="search for the learning rates instead of taking the plan's")
    add("--jobs", type=positive, default=2, metavar="N",
        help="number of trials that run at the same time, on one core each (default: %(default)s)")  # fmt: skip
    add("--dask", metavar="ADDRESS",
        help="run the trials on the Dask scheduler at this address (default: on this machine)")  # fmt: skip
    add("--retry-failed", action="store_true", help="train failed trials again")
    add("--dry-run", action="store_true", help="print the plan: trials, sizes, time, power; train nothing")
    add("--out", type=Path, metavar="DIR",
        help="folder of the results (default: out/pooling_heads-DATASET and what the options change)")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Run the comparison that the options describe; 1 if trials have failed, 130 if some are missing."""
    from minicnn import comparison

    choice = comparison.Choice(**{field.name: getattr(options, field.name) for field in fields(comparison.Choice)})
    folder = options.out or comparison.default_folder(options.dataset, choice)
    if options.dry_run:
        print(comparison.study_of(options.dataset, choice).plan(folder))
        return 0
    done = comparison.compare(
        options.dataset, choice, folder=folder, jobs=options.jobs, dask=options.dask, retry_failed=options.retry_failed
    )
    print(done)
    return 0 if done.results.complete else 1 if done.results.failed else 130


def known(names: Sequence[str]) -> str:
    """Return names for a help text; argparse would break one at its hyphen."""
    return "known are " + ", ".join(name.replace("-", "\N{NON-BREAKING HYPHEN}") for name in names)


def _datasets() -> Collection[str]:
    from minicnn.comparison import PLANS

    return PLANS


def _heads() -> Collection[str]:
    from minicnn.models import HEAD_MAKERS

    return HEAD_MAKERS


def _trunks() -> Collection[str]:
    from minicnn.trunks import TRUNK_MAKERS

    return TRUNK_MAKERS
