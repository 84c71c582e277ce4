"""Which pooling head has the higher test accuracy, by how much, with what confidence, and at what cost?

Varied: the head on a shared trunk. Not tuned per head: the learning rate, with the same one-cycle schedule for all.
Fixed for each seed: the trunk, the mini-batches, the augmentation and the number of epochs.
"""

from __future__ import annotations

import argparse
import operator
import shlex
import sys
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tqdm import tqdm

from minicnn import data, kernels, optim, schedules
from minicnn.files import atomic_write, only_writer, writable_folder
from minicnn.layers import Layer
from minicnn.models import HEADS, mlp, small_cnn
from minicnn.study import Recipe, Row, Run, Study, run_all, summarize, write_csv, write_curves_csv, write_report
from minicnn.study.report import figures
from minicnn.study.report.tables import format_table
from minicnn.validation import integer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONTROL = "max"


@dataclass(frozen=True)
class Plan:
    """The settings for a data set: recipe, trunk, number of seeds and the smallest difference that matters."""

    recipe: Recipe
    trunk: dict[str, Any]
    seeds: int
    rope: float


# On 28x28 images a global head needs a trunk with a large receptive field, which trains poorly without normalization.
DEEPER = {"filters": (16, 16, 32, 32), "strides": (2, 1, 2, 1), "batch_norm": True}

PLANS = {
    "digits": Plan(
        Recipe(
            "digits",
            optim.Adam(schedules.OneCycle(1e-2)),
            epochs=20,
            batch_size=64,
            label_smoothing=0.1,
            augment=data.Augmentation(shift=0.7),
        ),
        trunk={"filters": (16, 32, 32), "strides": (1, 2, 1)},
        seeds=10,
        rope=0.005,
    ),
    "mnist": Plan(
        Recipe("mnist", optim.Adam(schedules.OneCycle(1e-2)), epochs=6, batch_size=128),
        trunk=DEEPER,
        seeds=5,
        rope=0.0005,
    ),
    "fashion-mnist": Plan(
        Recipe("fashion-mnist", optim.Adam(schedules.OneCycle(1e-2)), epochs=6, batch_size=128),
        trunk=DEEPER,
        seeds=5,
        rope=0.001,
    ),
}


def main(argv: list[str] | None = None) -> int:
    """Run the study that the command line describes, write its table, figures and report, and return the exit code."""
    options = _options(argv)
    plan = PLANS[options.dataset]
    with ExitStack() as stack:
        try:
            kernels.implementation()
            study = _study(options, plan)
            out = stack.enter_context(only_writer(writable_folder(options.out or _folder(options))))
            data.load(options.dataset)
        except (OSError, ValueError, TypeError) as error:
            print(f"pooling_heads: {error}", file=sys.stderr)
            return 2
        runs = _run(study, options.processes, out)
        if not runs:
            print("pooling_heads: interrupted before the first run was complete; nothing was written.", file=sys.stderr)
            return 130
        print(_report(study, plan, runs, out))
    return 0 if len(runs) == len(study.jobs()) else 130


class _WholeNames(argparse.HelpFormatter):
    """Does not break the name of a head at its hyphen, so that it can be found and copied."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.pooling_heads",
        description="Train a small CNN with different pooling heads, with several seeds per head, and compare the "
        "test accuracies.",
        epilog="Heads: " + ", ".join([*HEADS, "mlp"]) + f". Differences are to {CONTROL}, paired by seed.",
        formatter_class=_WholeNames,
    )
    parser.add_argument(
        "--dataset", choices=list(PLANS), default="digits", help="data set to train on (default: %(default)s)"
    )
    parser.add_argument(
        "--seeds", type=int, metavar="N", help=f"number of seeds per head (default: {_defaults('seeds')})"
    )
    parser.add_argument(
        "--epochs", type=int, metavar="N", help=f"training epochs (default: {_defaults('recipe.epochs')})"
    )
    parser.add_argument("--heads", metavar="A,B,...", help="heads to compare, separated by commas (default: all)")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="output directory (default: out/pooling_heads-DATASET, followed by the other options given)",
    )
    parser.add_argument(
        "--processes", type=int, default=2, metavar="N", help="number of parallel runs (default: %(default)s)"
    )
    return parser.parse_args(argv)


def _defaults(name: str) -> str:
    return ", ".join(f"{operator.attrgetter(name)(plan)} for {dataset}" for dataset, plan in PLANS.items())


def _folder(options: argparse.Namespace) -> Path:
    """Name a folder after the options, so that a partial study does not replace the results of the complete one."""
    asked = {"seeds": options.seeds, "epochs": options.epochs}
    words = [f"{name}-{value}" for name, value in asked.items() if value is not None]
    # percent-encoded, so that no name leads out of the folder and different names give different folders
    heads = [quote(options.heads.replace(",", "+"), safe="+ ")] if options.heads else []
    return Path("out") / "-".join([f"pooling_heads-{options.dataset}", *heads, *words])


def _arms(trunk: dict[str, Any]) -> dict[str, Layer]:
    return {**{name: small_cnn(head, **trunk) for name, head in HEADS.items()}, "mlp": mlp()}


def _study(options: argparse.Namespace, plan: Plan) -> Study:
    arms = _arms(plan.trunk)
    names = list(arms) if options.heads is None else options.heads.split(",")
    for name in names:
        if name not in arms:
            raise ValueError(f"--heads must be names from {', '.join(arms)}, separated by commas, got {name!r}.")
    epochs = integer("command line", "--epochs", plan.recipe.epochs if options.epochs is None else options.epochs)
    seeds = integer("command line", "--seeds", plan.seeds if options.seeds is None else options.seeds)
    integer("command line", "--processes", options.processes)
    return Study(replace(plan.recipe, epochs=epochs), {name: arms[name] for name in names}, tuple(range(seeds)))


def _run(study: Study, processes: int, out: Path) -> list[Run]:
    order = {job: place for place, job in enumerate((a, s) for a in study.arms for s in study.seeds)}
    runs: list[Run] = []
    total = len(order) * study.recipe.epochs
    with tqdm(total=total, unit=" epochs", disable=None, dynamic_ncols=True) as bar:
        try:
            for run in run_all(study, processes=min(processes, len(order)), tick=bar.update):
                runs = sorted([*runs, run], key=lambda r: order[r.arm, r.seed])
                write_csv(out / "results.csv", runs)
                bar.set_description(f"{len(runs)}/{len(order)} runs")
        except KeyboardInterrupt:
            tqdm.write("Interrupted: reporting the complete runs.", file=sys.stderr)
    return runs


def _report(study: Study, plan: Plan, runs: list[Run], out: Path) -> str:
    parts = data.load(plan.recipe.dataset)
    rows = summary_of(runs, plan, parts)
    drawn = _figures(runs, rows, figures.palette(_arms(plan.trunk), CONTROL))
    for name, figure in drawn.items():
        figures.save(figure, out / name)
    table = format_table(rows)
    atomic_write(out / "table.txt", table + "\n")
    write_curves_csv(out / "curves.csv", runs)
    report = write_report(
        out / "report.html",
        title=f"Pooling heads on {plan.recipe.dataset}",
        question=__doc__.splitlines()[0],
        rows=rows,
        runs=runs,
        settings=_settings(study, parts),
        figures=drawn,
        command=_command(study),
    )
    return f"{table}\n\nresults, figures and report: {report}"


def summary_of(runs: Sequence[Run], plan: Plan, parts: data.Dataset) -> tuple[Row, ...]:
    """Return the rows of the study's table."""
    # random splits of the same images overlap, an official test set is fixed: see study.inference
    share = len(parts.test) / len(parts.train) if plan.recipe.dataset == "digits" else None
    return summarize(runs, control=CONTROL, test_share=share, rope=plan.rope, test_images=len(parts.test))


def _figures(runs: Sequence[Run], rows: Sequence[Row], colours: Mapping[str, str]) -> dict[str, Figure]:
    """Draw the figures with the colours of all heads, so that a head has the same colour in every partial study."""
    drawn = {
        "learning_curves": figures.learning_curves(runs, CONTROL, colours),
        "accuracy_against_cost": figures.accuracy_against_cost(rows, colours),
    }
    if any(row.difference for row in rows):
        drawn["differences"] = figures.differences(rows, runs, colours)
    return drawn


def _settings(study: Study, parts: data.Dataset) -> dict[str, str]:
    recipe, arm = study.recipe, next(iter(study.arms.values()))
    sizes = f"{len(parts.train):,} training, {len(parts.valid):,} validation, {len(parts.test):,} test"
    split = "at random for each seed"
    if recipe.dataset != "digits":
        split = f"official test set; validation images drawn {split}"
    return {
        "data": f"{recipe.dataset}: {sizes} images, split: {split}",
        "trunk": repr(getattr(arm, "trunk", arm)),
        "optimizer": repr(recipe.optimizer),
        "epochs, batch": f"{recipe.epochs}, {recipe.batch_size} images; the parameters after the last step are tested",
        "label smoothing": f"{recipe.label_smoothing}",
        "augmentation": repr(recipe.augment),
        "seeds": ", ".join(map(str, study.seeds)),
        "kernels": kernels.name(),
    }


def _command(study: Study) -> str:
    recipe = study.recipe
    words = ["--dataset", recipe.dataset, "--seeds", str(len(study.seeds)), "--epochs", str(recipe.epochs)]
    return shlex.join(["python", "-m", "experiments.pooling_heads", *words, "--heads", ",".join(study.arms)])


if __name__ == "__main__":
    sys.exit(main())
