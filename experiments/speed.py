"""How fast is a training step, and the inference, against the frameworks that are installed here?

Every contender computes the same net from the same weights in a process of its own, with the same number of threads,
and has to find the loss that float64 finds. They take turns of half a second; a figure is the median over rounds of
the ratio of step times in a round. Rounds in which a contender got less of the processor than it usually does are
repeated. Frameworks run as they come. minicnn's kernels have the process keep the memory it frees; PyTorch races once
more with that setting, as "freed memory kept". Writes speed.json, speed.md and the picture speed.png (svg) after each
task.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tqdm import tqdm

from experiments.race import measures, picture, table
from experiments.race.contenders import CONTENDERS, SGEMM, TORCH, installed
from experiments.race.rounds import ROUNDS, THREADS, race
from experiments.race.tasks import MODES, NETS, SIDES, Task
from minicnn import kernels
from minicnn.files import atomic_write, only_writer, writable_folder
from minicnn.ops.window import integer
from minicnn.study.environment import environment


def main(argv: list[str] | None = None) -> int:
    """Run the race that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m experiments.speed", description=__doc__)
    parser.add_argument("--nets", default=",".join(NETS), metavar="A,B,...", help="which nets (all)")
    parser.add_argument("--batches", default="32,128", metavar="N,...", help="images a step (32,128)")
    parser.add_argument("--modes", default=",".join(MODES), metavar="A,B", help="training, inference (both)")
    parser.add_argument("--against", default=",".join(installed()), metavar="A,B,...", help="who races (all installed)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=f"of half a second each ({ROUNDS})")
    parser.add_argument("--only-race", action="store_true", help="no memory, growth, imports and MNIST")
    parser.add_argument(
        "--out", type=Path, default=Path("out/speed"), metavar="DIR", help="where the results go (out/speed)"
    )
    options = parser.parse_args(argv)
    with ExitStack() as stack:
        try:
            kernels.implementation()
            integer("command line", "--rounds", options.rounds)
            out = stack.enter_context(only_writer(writable_folder(options.out)))
            names = _known("--against", options.against, CONTENDERS)
            nets, modes = _known("--nets", options.nets, NETS), _known("--modes", options.modes, MODES)
            sizes = [_size(n) for n in options.batches.split(",")]
            tasks = [Task(net, SIDES[net], n, mode) for mode in modes for net in nets for n in sizes]
        except (OSError, ValueError, TypeError) as error:
            print(f"speed: {error}", file=sys.stderr)
            return 2
        if not set(TORCH) & set(names):
            print("speed: PyTorch does not race; `make .venv/.peers` installs it", file=sys.stderr)
        found: dict[str, Any] = {"environment": environment(), "threads": THREADS, "rows": []}
        try:
            for task in tqdm(tasks, unit="task"):
                found["rows"].append(table.row(task, race(names, task, options.rounds)))
                _write(found, out)
            if not options.only_race:
                _measure(found, [name for name in names if name != SGEMM], options.rounds, out)
        except KeyboardInterrupt:
            print("speed: stopped; what was measured is written", file=sys.stderr)
            return 130
    print((out / "speed.md").read_text())
    return 0


def _known(option: str, text: str, known: Any) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"{option}: {unknown[0]!r} is not known. Use {', '.join(known)}, separated by commas.")
    return names


def _size(text: str) -> int:
    return integer("command line", "--batches", int(text) if text.strip().isdecimal() else text)


def _measure(found: dict[str, Any], names: list[str], rounds: int, out: Path) -> None:
    """Add the measures that are not races, writing after each."""
    found["imports"] = measures.imports()
    found["memory"] = measures.memory(names, Task("keras_mnist", 28, 128))
    _write(found, out)
    found["growth"] = measures.growth("minicnn", min(rounds, 5))
    _write(found, out)
    if measures.has_mnist():
        found["accuracy"] = measures.accuracy(
            [n for n in names if n == "minicnn" or n in ("torch", "torch-channels-last")], seeds=4
        )
        _write(found, out)


def _write(found: dict[str, Any], out: Path) -> None:
    atomic_write(out / "speed.json", json.dumps(found, indent=1) + "\n")
    atomic_write(out / "speed.md", table.report(found, measures.title))
    picture.draw(found["rows"], measures.title, out / "speed")


if __name__ == "__main__":
    sys.exit(main())
