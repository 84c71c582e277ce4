"""Is what a lesson about pooling says true of small nets, and by how much?

Each claim of the lesson is tested by a small study or by a count, and gets a verdict with its effects. On digits all of
them take about four minutes on two cores; on MNIST about an hour and a half. What has been trained is kept, and the
next run trains only what is missing.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from experiments.claims import report
from experiments.claims.claim import Claim, Judgement, incomplete
from experiments.claims.lesson import CLAIMS
from experiments.claims.nets import SETTINGS, Setting
from minicnn import kernels
from minicnn.environment import environment
from minicnn.files import atomic_write, only_writer, writable_folder
from minicnn.study.report.style import save
from minicnn.validation import integer


def main(argv: list[str] | None = None) -> int:
    """Test the claims that the command line names, write what was found, and return the exit code."""
    options = _options(argv)
    out = options.out or Path("out") / f"claims-{options.dataset}"
    setting = SETTINGS[options.dataset]
    with ExitStack() as stack:
        try:
            claims = _chosen(options.claims)
            integer("command line", "--jobs", options.jobs)
            if options.dry_run:
                _plan(claims, setting, out)
                return 0
            stack.enter_context(only_writer(writable_folder(out)))
            judged = _judged(claims, setting, out, options)
        except (OSError, ValueError, TypeError) as error:
            print(f"claims: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("claims: interrupted; what is trained is kept, and the next run continues there.", file=sys.stderr)
            return 130
        print(write(judged, options.dataset, setting, out))
    return 0 if all(found.effects for found in judged.values()) else 1


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.claims",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="claims:\n" + "\n".join(f"  {claim.number}  {claim.lesson}" for claim in CLAIMS),
    )
    parser.add_argument("--dataset", choices=list(SETTINGS), default="digits", help="default: %(default)s")
    parser.add_argument("--claims", metavar="1,3,...", help="numbers of claims, separated by commas (default: all)")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="trials at a time (default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="output directory (default: out/claims-DATASET)")
    parser.add_argument("--dry-run", action="store_true", help="print what would be trained and how long it would take")
    parser.add_argument("--retry-failed", action="store_true", help="train trials that failed once more")
    return parser.parse_args(argv)


def _chosen(numbers: str | None) -> list[Claim]:
    by_number = {str(claim.number): claim for claim in CLAIMS}
    names = list(by_number) if numbers is None else [name.strip() for name in numbers.split(",")]
    for name in names:
        if name not in by_number:
            raise ValueError(f"--claims must be numbers from 1 to {len(CLAIMS)}, separated by commas, got {name!r}.")
    return [by_number[name] for name in dict.fromkeys(names)]


def _plan(claims: Sequence[Claim], setting: Setting, out: Path) -> None:
    total = 0.0
    for claim in claims:
        print(f"{claim.number}  {claim.lesson}\n")
        if claim.study is None:
            print("Nothing is trained.\n")
            continue
        plan = claim.study(setting).plan(out / claim.name)
        total += plan.cpu_seconds
        print(f"{plan}\n")
    print(f"All together about {total:,.0f} CPU seconds.")


def _judged(claims: Sequence[Claim], setting: Setting, out: Path, options: argparse.Namespace) -> report.Judged:
    return {claim: judge(claim, setting, out, options.jobs, options.retry_failed) for claim in claims}


def judge(claim: Claim, setting: Setting, out: Path, jobs: int = 1, retry_failed: bool = False) -> Judgement:
    """Return the judgement of a claim; its study is in a folder of its own in `out`.

    Raises KeyboardInterrupt if the study has been interrupted.
    """
    print(f"{claim.number}  {claim.lesson}", file=sys.stderr)
    if claim.study is None:
        return claim.judge(setting)
    results = claim.study(setting).run(out / claim.name, jobs=jobs, retry_failed=retry_failed)
    if results.missing:
        raise KeyboardInterrupt
    if not results.complete:
        return incomplete(claim, results)
    tuned = {trial.arm for trial in results.tuning}
    rates = {arm: found["rate"] for arm, found in results.description["arms"].items() if arm in tuned}
    return replace(claim.judge(setting, results), rates=rates)


def write(judged: report.Judged, dataset: str, setting: Setting, out: Path) -> str:
    """Write Markdown, CSV and the picture, and return what to print."""
    title = f"The claims of the lesson, on {dataset}"
    atomic_write(out / "claims.csv", report.as_csv(judged))
    atomic_write(out / "claims.md", report.markdown(judged, title, _provenance(judged, dataset, setting)))
    if any(found.effects for found in judged.values()):
        save(report.picture(judged, title), out / "claims")
    return f"{report.table(judged)}\n\nclaims.md, claims.csv and claims.png are in {out}"


def _provenance(judged: report.Judged, dataset: str, setting: Setting) -> dict[str, str]:
    numbers = ",".join(str(claim.number) for claim in judged)
    return {
        "command": f"`{shlex.join(['python', '-m', 'experiments.claims', '--dataset', dataset, '--claims', numbers])}`",
        "data": f"{dataset} with a margin of {setting.source.margin} pixels, {setting.shape[0]}x{setting.shape[1]}",
        "recipe": f"`{setting.recipe}`",
        "learning rates": f"per arm, by `{setting.tune}`" if setting.tune else "the recipe's",
        "replicates": f"`{setting.replicates}`",
        "kernels": kernels.name(),
        **environment(),
    }


if __name__ == "__main__":
    sys.exit(main())
