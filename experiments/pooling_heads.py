"""Which pooling head is better, on clean and on shifted images, by how much, how surely, and at what cost?

Varied: the head on a shared trunk, or the way the trunk shrinks its maps. Tuned: the learning rate of each arm, by the
same small search on validation images. The plan is experiments/plan.toml.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from experiments import plans
from minicnn import kernels, models, study, trunks
from minicnn.files import atomic_write, writable_folder
from minicnn.optional import need
from minicnn.study import Results, Study
from minicnn.study.report import build, tables
from minicnn.study.report.words import aligned, headline
from minicnn.validation import integer

NAMES = {"accuracy": "clean accuracy", "shift": "accuracy on shifted images"}
SHORT = {"accuracy": "clean", "shift": "shifted"}
EPILOG = """examples:
  python -m experiments.pooling_heads                                  digits, about a minute
  python -m experiments.pooling_heads --heads flatten,gem --seeds 10   two heads, ten splits
  python -m experiments.pooling_heads --dataset mnist --jobs 2         hours; stop it and start it again as you like
  python -m experiments.pooling_heads --dataset mnist --dry-run        what it would train, how long, what it can decide
  python -m experiments.pooling_heads --trunks max2,strided --heads flatten,global-average
"""


def main(argv: list[str] | None = None) -> int:
    """Run the study that the command line describes, write its report, and return the exit status."""
    options = _options(argv)
    try:
        kernels.implementation()
        chosen = _study(options)
        if options.dry_run:
            print(chosen.plan(options.out or _folder(options)))
            return 0
        folder = writable_folder(options.out or _folder(options))
        need("matplotlib"), need("jinja2")
        results = chosen.run(folder, jobs=options.jobs, dask=options.dask, retry_failed=options.retry_failed)
        text = _report(chosen, results, options)
    except (OSError, ValueError, TypeError, ImportError) as error:
        print(f"pooling_heads: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "pooling_heads: interrupted; nothing that was trained is lost, the same command goes on.", file=sys.stderr
        )
        return 130
    print(text)
    return 0 if results.complete else 1 if results.failed else 130


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.pooling_heads",
        description="Train a small CNN with different pooling heads, several times each, and compare their accuracy on "
        "clean and on shifted images. The folder of results is a ledger: the same command again trains only what is "
        "missing, and writes the report from what is there.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--dataset", choices=list(plans.PLANS), default="digits", help="data set (default: %(default)s)")
    add("--heads", metavar="A,B,...", help=f"heads, separated by commas; known are {_wrapped(models.HEAD_MAKERS)}")
    add(
        "--trunks", metavar="A,B,...", help=f"ways to shrink maps, each with each head: {_wrapped(trunks.TRUNK_MAKERS)}"
    )
    add("--match", metavar="WHAT", help="add arms of equal size: parameters or multiply_adds")
    add("--seeds", type=int, metavar="N", help="replicates per arm (default: the plan's)")
    add("--epochs", type=int, metavar="N", help="epochs at one learning rate for all arms, without tuning")
    add("--tune", action="store_true", help="search for the learning rates instead of taking the plan's")
    add("--jobs", type=int, default=2, metavar="N", help="trials at a time, on one core each (default: %(default)s)")
    add("--dask", metavar="ADDRESS", help="run the trials on the Dask scheduler at this address")
    add("--retry-failed", action="store_true", help="train failed trials again")
    add("--dry-run", action="store_true", help="print the plan: trials, sizes, time, power; train nothing")
    add("--out", type=Path, metavar="DIR", help="folder of the results (default: out/pooling_heads-DATASET...)")
    return parser.parse_args(argv)


def _wrapped(names: Sequence[str] | dict[str, object]) -> str:
    # argparse would break a name at its hyphen
    return ", ".join(name.replace("-", "\N{NON-BREAKING HYPHEN}") for name in names)


def _study(options: argparse.Namespace) -> Study:
    for name in ("seeds", "epochs", "jobs"):
        value = getattr(options, name)
        if value is not None:
            integer("command line", f"--{name}", value)
    return plans.study_of(
        options.dataset,
        plans.Choice(
            heads=options.heads.split(",") if options.heads else None,
            trunks=options.trunks.split(",") if options.trunks else None,
            match=options.match,
            seeds=options.seeds,
            epochs=options.epochs,
            tune=options.tune,
        ),
    )


def _folder(options: argparse.Namespace) -> Path:
    """Name a folder after the options that change arms or recipes, so that a study goes on in its own folder."""
    words = [f"pooling_heads-{options.dataset}"]
    for name in ("heads", "trunks", "match"):
        # percent-encoded, so that no name leads out of the folder and different names give different folders
        value = getattr(options, name)
        words += [quote(value.replace(",", "+"), safe="+ ")] if value else []
    words += [f"epochs-{options.epochs}"] if options.epochs else []
    words += ["tuned"] if options.tune else []
    return Path("out") / "-".join(words)


def _report(chosen: Study, results: Results, options: argparse.Namespace) -> str:
    if not any(trial.status == "done" for trial in results.trials):
        return "\n".join(["No trial is complete, so there is nothing to report.", *_failures(results)])
    if not (results.path / build.COSTS).is_file() and results.complete:
        parts = chosen.replicates.dataset(chosen.data, 0)
        nets = {name: chosen.arm(name).net for name in chosen.arms}
        atomic_write(results.path / build.COSTS, json.dumps(study.costs(nets, parts.train)))
    plan = plans.PLANS[options.dataset]
    outcomes = [
        replace(o, title=NAMES.get(o.measure, o.title), short=SHORT.get(o.measure, ""))
        for o in tables.outcomes(results)
    ]
    compared = tables.comparisons(results, outcomes)
    limits = [s for o, c in compared.items() if (s := build.decidable(results, o, c))]
    page = study.write_report(
        repeated(results, options),
        title=f"Pooling heads on {options.dataset}",
        question=plan["question"],
        notes=limits,
        names=NAMES,
        tried=_tried(results, options),
    )
    table = tables.terminal_table(results, compared)
    said = [headline(comparison, outcome) for outcome, comparison in compared.items()]
    text = "\n\n".join([aligned(table.header, table.rows), "\n".join(map(_filled, [*said, *limits]))])
    atomic_write(results.path / "table.txt", text + "\n")
    return "\n\n".join([text, *_failures(results), f"report: {page}"])


def _tried(results: Results, options: argparse.Namespace) -> dict[str, dict[float, list[float]]] | None:
    """Return the grid of the plan, of the arms of this study, if the rates are the plan's."""
    if options.tune or options.trunks or options.match or options.epochs:
        return None
    found = plans.tried(options.dataset) or {}
    return {arm: by for arm, by in found.items() if arm in results.arms} or None


def _filled(sentence: str) -> str:
    return textwrap.fill(sentence, 118)


def repeated(results: Results, options: argparse.Namespace) -> Results:
    """Return the results with the command that repeats them, in place of how Python was started."""
    words = ["python", "-m", "experiments.pooling_heads", "--dataset", options.dataset]
    for name in ("heads", "trunks", "match", "seeds", "epochs"):
        value = getattr(options, name)
        words += [f"--{name}", str(value)] if value else []
    return replace(results, description={**results.description, "command": shlex.join(words)})


def _failures(results: Results) -> list[str]:
    if not results.failed:
        return []
    lines = [f"{t.arm}, replicate {t.replicate}: {t.error.strip().splitlines()[-1]}" for t in results.failed]
    return ["Failed; --retry-failed trains them again:\n" + "\n".join(lines)]


if __name__ == "__main__":
    sys.exit(main())
