"""Which pooling head is better, by how much, how surely, and at what cost?

Scientific: the head on a shared trunk. Nuisance: the learning rate, the same one-cycle schedule for all. Fixed:
trunk, batches, augmentation and number of epochs for each seed.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tqdm import tqdm

from minicnn import data, kernels, optim, schedules
from minicnn.files import atomic_write, only_writer, writable_folder
from minicnn.geometry import integer
from minicnn.layers import Layer
from minicnn.models import HEADS, mlp, small_cnn
from minicnn.study import pictures
from minicnn.study.report import write_report
from minicnn.study.run import Run, write_csv, write_curves_csv
from minicnn.study.statistics import summarize
from minicnn.study.study import Recipe, Study, run_all
from minicnn.study.table import format_table

CONTROL = "max"


@dataclass(frozen=True)
class Plan:
    """What a data set wants: how to train on it, how its trunk shrinks, and which difference matters."""

    recipe: Recipe
    trunk: dict[str, Any]
    seeds: int
    rope: float


# For 28x28 images a global head needs a trunk that sees far, which without normalisation hardly trains.
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
    """Run the study that the command line describes and write its table, pictures and report."""
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
            print("pooling_heads: interrupted before the first run was done; nothing to report.", file=sys.stderr)
            return 130
        print(_report(study, plan, runs, out))
    return 0 if len(runs) == len(study.jobs()) else 130


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.pooling_heads",
        description="Train one small CNN with different pooling heads, several seeds each, and compare them.",
        epilog="Heads: " + ", ".join([*HEADS, "mlp"]) + ". Differences are to max, paired by seed.",
    )
    parser.add_argument("--dataset", choices=list(PLANS), default="digits", help="what to train on (digits)")
    parser.add_argument("--seeds", type=int, metavar="N", help="runs of each head (digits 10, others 5)")
    parser.add_argument("--epochs", type=int, metavar="N", help="passes over the images (digits 20, others 6)")
    parser.add_argument("--heads", metavar="A,B,...", help="which heads, separated by commas (all)")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where the results go (out/pooling_heads-DATASET, and what else was asked for)",
    )
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="runs at the same time (2)")
    return parser.parse_args(argv)


def _folder(options: argparse.Namespace) -> Path:
    """Name a folder after what was asked for, so that a part of a study does not take the whole one's place."""
    asked = {"seeds": options.seeds, "epochs": options.epochs}
    words = [f"{name}-{value}" for name, value in asked.items() if value is not None]
    # percent-encoded where a name could lead out of the folder: two different names stay two folders
    heads = [quote(options.heads.replace(",", "+"), safe="+ ")] if options.heads else []
    return Path("out") / "-".join([f"pooling_heads-{options.dataset}", *heads, *words])


def _arms(trunk: dict[str, Any]) -> dict[str, Layer]:
    return {**{name: small_cnn(head, **trunk) for name, head in HEADS.items()}, "mlp": mlp()}


def _study(options: argparse.Namespace, plan: Plan) -> Study:
    arms = _arms(plan.trunk)
    names = list(arms) if options.heads is None else options.heads.split(",")
    for name in names:
        if name not in arms:
            raise ValueError(f"--heads: {name!r} is not known. Use {', '.join(arms)}, separated by commas.")
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
                runs = sorted([*runs, run], key=lambda r: order[r.head, r.seed])
                write_csv(out / "results.csv", runs)
                bar.set_description(f"{len(runs)}/{len(order)} runs")
        except KeyboardInterrupt:
            tqdm.write("Interrupted: reporting the runs that are done.", file=sys.stderr)
    return runs


def _report(study: Study, plan: Plan, runs: list[Run], out: Path) -> str:
    parts = data.load(plan.recipe.dataset)
    # Resplits of the same images overlap, an official test set does not: see study.statistics.
    share = len(parts.test) / len(parts.train) if plan.recipe.dataset == "digits" else None
    rows = summarize(runs, control=CONTROL, test_share=share, rope=plan.rope, test_images=len(parts.test))
    figures = {
        "learning_curves": pictures.learning_curves(runs),
        "accuracy_against_cost": pictures.accuracy_against_cost(rows),
    }
    if any(row.difference for row in rows):
        figures["differences"] = pictures.differences(rows, runs)
    for name, figure in figures.items():
        pictures.save(figure, out / name)
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
        figures=figures,
        command=_command(study),
    )
    return f"{table}\n\nresults, pictures and report: {report}"


def _settings(study: Study, parts: data.Dataset) -> dict[str, str]:
    recipe, arm = study.recipe, next(iter(study.arms.values()))
    sizes = f"{len(parts.train):,} training, {len(parts.valid):,} validation, {len(parts.test):,} test"
    split = (
        "anew for each seed" if recipe.dataset == "digits" else "the official test set; validation anew for each seed"
    )
    return {
        "data": f"{recipe.dataset}: {sizes} images, split {split}",
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
