"""How fast are training and inference with minicnn, compared with the other frameworks that are installed?

Each framework computes the same network from the same initial weights, in its own process and with the same number of
threads, and must reproduce the logits and losses of float64 arithmetic. The frameworks are measured in interleaved
rounds of a fifth of a second; a result is the median over rounds of the ratio of step times within a round. Rounds
disturbed by other programs are repeated. minicnn sets the memory allocator to keep freed memory in the process; PyTorch
is measured at its default settings and with this one, "memory kept". ONNX Runtime is measured in inference, with the
net that minicnn exports. After each task the results so far are written to benchmark.json, benchmark.md, benchmark.png
and benchmark.svg; `--out experiments/results` replaces the published ones. On two idle cores that takes about 20
minutes, 13 of them for step times.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

from tqdm import tqdm

from experiments.benchmark import figure, measures, table
from experiments.benchmark.frameworks import BASELINE, FRAMEWORKS, TORCH, installed
from experiments.benchmark.rounds import ROUNDS, THREADS, run_rounds
from experiments.benchmark.tasks import BATCHES, MODES, NETS, SIDES, Task
from minicnn import kernels
from minicnn.environment import environment
from minicnn.files import atomic_write, only_writer, writable_folder
from minicnn.geometry import integer


def main(argv: list[str] | None = None) -> int:
    """Measure what the command line asks for and return the exit code."""
    options = _parser().parse_args(argv)
    with ExitStack() as stack:
        try:
            kernels.implementation()
            integer("command line", "--rounds", options.rounds)
            names = _known("--frameworks", options.frameworks, FRAMEWORKS)
            nets, modes = _known("--nets", options.nets, NETS), _known("--modes", options.modes, MODES)
            sizes = options.batches and [_size(n) for n in options.batches.split(",")]
            tasks = [Task(net, SIDES[net], n, mode) for mode in modes for net in nets for n in sizes or BATCHES[mode]]
            out = stack.enter_context(only_writer(writable_folder(options.out)))  # last: a wrong call makes no folder
        except (OSError, ValueError, TypeError) as error:
            print(f"benchmark: {error}", file=sys.stderr)
            return 2
        if not set(TORCH) & set(names):
            print("benchmark: PyTorch is not among the frameworks; `make .venv/.peers` installs it", file=sys.stderr)
        found: dict[str, Any] = {
            "measured": f"{date.today()}",
            "environment": environment(),
            "threads": THREADS,
            "rows": [],
        }
        try:
            for task in tqdm(tasks, unit="task"):
                found["rows"].append(table.measurement(task, run_rounds(names, task, options.rounds)))
                _write(found, out)
            if not options.step_times_only:
                _measure(found, [name for name in names if name != BASELINE], options.rounds, out)
        except KeyboardInterrupt:
            print("benchmark: interrupted; the results so far are written", file=sys.stderr)
            return 130
    print((out / "benchmark.md").read_text())
    return 0


def _parser() -> argparse.ArgumentParser:
    frameworks = ",".join(installed())
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmark", description=__doc__)
    add = parser.add_argument
    add("--nets", default=",".join(NETS), metavar="A,B,...", help="networks (default: %(default)s)")
    usual = "; ".join(f"{','.join(map(str, sizes))} in {mode}" for mode, sizes in BATCHES.items())
    add("--batches", metavar="N,...", help=f"batch sizes (default: {usual})")
    add("--modes", default=",".join(MODES), metavar="A,B", help="what is measured (default: %(default)s)")
    add(
        "--frameworks",
        default=frameworks,
        metavar="A,B,...",
        help=f"frameworks to compare, of {', '.join(FRAMEWORKS)} (default: all installed, %(default)s)",
    )
    add("--rounds", type=int, default=ROUNDS, metavar="N", help="rounds of a fifth of a second (default: %(default)s)")
    add(
        "--step-times-only",
        action="store_true",
        help="skip the import-time, memory, scaling and MNIST measurements (default: measure them)",
    )
    add(
        "--out", type=Path, default=Path("out/benchmark"), metavar="DIR", help="output directory (default: %(default)s)"
    )
    return parser


def _known(option: str, text: str, known: Any) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"{option} must be a comma-separated list from {', '.join(known)}, got {unknown[0]!r}.")
    return names


def _size(text: str) -> int:
    return integer("command line", "--batches", int(text) if text.strip().isdecimal() else text)


def _measure(found: dict[str, Any], names: list[str], rounds: int, out: Path) -> None:
    """Add the measurements besides step times, and write the results after each."""
    found["imports"] = measures.import_seconds()
    found["memory"] = measures.peak_memory(names, Task("keras_mnist", 28, 128))
    _write(found, out)
    found["scaling"] = measures.scaling("minicnn", min(rounds, 5))
    _write(found, out)
    if measures.has_mnist():
        found["accuracy"] = measures.time_to_accuracy(_rivals(found["rows"], names), seeds=4)
        _write(found, out)


def _rivals(rows: list[dict[str, Any]], names: list[str]) -> list[str]:
    """Return minicnn and the framework that trains large batches of keras_mnist fastest."""
    times = [table.peers(row) for row in rows if (row["net"], row["mode"]) == ("keras_mnist", "training")]
    return [name for name in names if name in ("minicnn", *list(times[-1])[:1])] if times else ["minicnn"]


def _write(found: dict[str, Any], out: Path) -> None:
    atomic_write(out / "benchmark.json", json.dumps(found, indent=1) + "\n")
    atomic_write(out / "benchmark.md", table.report(found))
    figure.draw(found["rows"], out / "benchmark")


if __name__ == "__main__":
    sys.exit(main())
