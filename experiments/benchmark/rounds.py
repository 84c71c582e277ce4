"""Rounds in which the contenders take turns, each for about half a second, in processes that wait meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from experiments.benchmark.frameworks import environment
from experiments.benchmark.problem import make_problem, write
from experiments.benchmark.tasks import Task

SECONDS, ROUNDS, THREADS = 0.5, 9, 2
LEAST_BUSY = 0.9
"""Of a contender's usual processor time for a second of wall time: with less in a round, other work was in the way."""
MOST_REPEATS = 3
"""How many times the rounds asked for may be run before spoilt ones are taken, too."""


@dataclass
class Series:
    """A contender's rounds at one task: median step in seconds, and processor seconds for a second."""

    steps: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)


class Process:
    """A contender's process."""

    def __init__(self, name: str, threads: int) -> None:
        command = [sys.executable, "-m", "experiments.benchmark.worker", name]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.name = name
        self.popen = subprocess.Popen(command, env=environment(name, threads), text=True, **pipes)  # type: ignore[call-overload] # noqa: S603 - this file's own command

    def ask(self, what: str, **request: Any) -> dict[str, Any]:
        """Send a request and return the answer; RuntimeError if the contender cannot."""
        self.popen.stdin.write(json.dumps({"ask": what, **request}) + "\n")
        self.popen.stdin.flush()
        line = self.popen.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "the process ended"}
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {answer['error']}")
        return answer

    def end(self) -> None:
        """End the process."""
        self.popen.kill()
        self.popen.communicate()


@contextmanager
def ready(names: Iterable[str], task: Task, threads: int = THREADS) -> Iterator[dict[str, Process]]:
    """Yield a process for each contender that has made the net and computes what it should; tell of the others."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        problem = write(make_problem(task.net, task.side, task.batch), folder / "problem.npz")
        processes: dict[str, Process] = {}
        for name in names:
            process = Process(name, threads)
            stack.callback(process.end)
            try:
                process.ask("prepare", problem=str(problem), net=task.net, mode=task.mode)
                processes[name] = process
            except RuntimeError as error:
                print(f"{task}: {error}", file=sys.stderr)
        yield processes


def race(names: Iterable[str], task: Task, rounds: int = ROUNDS, seconds: float = SECONDS) -> dict[str, Series]:
    """Return each contender's rounds at a task; a round that other work spoilt for one is repeated for all."""
    with ready(names, task) as processes:
        found: dict[str, Series] = {name: Series() for name in processes}
        for _ in range(rounds * MOST_REPEATS):
            for name, process in processes.items():
                answer = process.ask("round", seconds=seconds)
                found[name].steps.append(float(np.median(answer["times"])))
                found[name].busy.append(answer["busy"])
            if processes and len(clean(found)) >= rounds:
                break
    good = clean(found)
    chosen = good[:rounds] if len(good) >= rounds else range(rounds)
    return {name: Series(*([s[i] for i in chosen] for s in (a.steps, a.busy))) for name, a in found.items()}


def clean(found: dict[str, Series]) -> list[int]:
    """Return the numbers of the rounds in which every contender got its usual share of the processor."""
    shares = np.array([np.array(series.busy) / np.median(series.busy) for series in found.values()])
    return [int(i) for i in np.flatnonzero((shares >= LEAST_BUSY).all(axis=0))]
