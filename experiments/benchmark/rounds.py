"""Interleaved rounds: in each round every framework is measured once, in its own process, while the others wait.

Step times are compared within a round, so that a slow change of the machine's speed affects all frameworks alike.
"""

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

from experiments.benchmark.frameworks import able, environment
from experiments.benchmark.problem import make_problem, write
from experiments.benchmark.tasks import Task

SECONDS, ROUNDS, THREADS = 0.2, 9, 2
"""A step takes up to 0.1 seconds. A result is a median over rounds: more of them are worth more than longer ones."""
MIN_CPU_SHARE = 0.9
"""A round is disturbed if a framework got less than this fraction of the CPU time per second that it usually gets."""
MAX_REPEATS = 3
"""At most this many times the requested rounds are measured; after that disturbed rounds are used as well."""


@dataclass
class Series:
    """The rounds of a framework in one task: median step time in seconds, and CPU seconds per second of wall time."""

    steps: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


class Process:
    """The process of a framework; see worker.py."""

    def __init__(self, name: str, threads: int) -> None:
        command = [sys.executable, "-m", "experiments.benchmark.worker", name]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.name = name
        self.popen = subprocess.Popen(command, env=environment(name, threads), text=True, **pipes)  # type: ignore[call-overload] # noqa: S603 - this file's own command

    def request(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Call a method of the worker and return its result; RuntimeError if it fails."""
        self.send(method, **arguments)
        return self.answer()

    def send(self, method: str, **arguments: Any) -> None:
        """Call a method of the worker without waiting for its result."""
        self.popen.stdin.write(json.dumps({"method": method, **arguments}) + "\n")
        self.popen.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Return the result of the call that was sent; RuntimeError if it fails."""
        line = self.popen.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "the process ended"}
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {answer['error']}")
        return answer

    def end(self) -> None:
        """Terminate the process."""
        self.popen.kill()
        self.popen.communicate()


@contextmanager
def prepared(names: Iterable[str], task: Task, threads: int = THREADS) -> Iterator[dict[str, Process]]:
    """Yield the processes of the frameworks that compute the task correctly; report the others on stderr.

    They prepare at the same time, since importing and compiling take longer than the rounds.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        problem = write(make_problem(task.net, task.side, task.batch, task.mode), folder / "problem.npz")
        started, processes = [Process(name, threads) for name in able(names, task.mode)], {}
        for process in started:
            stack.callback(process.end)
            process.send("prepare", problem=str(problem), net=task.net, mode=task.mode)
        for process in started:
            try:
                process.answer()
                processes[process.name] = process
            except RuntimeError as error:
                print(f"{task}: {error}", file=sys.stderr)
        yield processes


def run_rounds(names: Iterable[str], task: Task, rounds: int = ROUNDS, seconds: float = SECONDS) -> dict[str, Series]:
    """Return the rounds of each framework in a task; a round disturbed by other programs is repeated for all."""
    with prepared(names, task) as processes:
        found: dict[str, Series] = {name: Series() for name in processes}
        for _ in range(rounds * MAX_REPEATS):
            for name, process in processes.items():
                answer = process.request("round", seconds=seconds)
                found[name].steps.append(float(np.median(answer["times"])))
                found[name].cpu.append(answer["cpu"])
            if processes and len(undisturbed(found)) >= rounds:
                break
    good = undisturbed(found)
    chosen = good[:rounds] if len(good) >= rounds else range(rounds)
    return {name: Series(*([s[i] for i in chosen] for s in (a.steps, a.cpu))) for name, a in found.items()}


def undisturbed(found: dict[str, Series]) -> list[int]:
    """Return the indices of the rounds in which every framework got its usual share of CPU time."""
    shares = np.array([np.array(series.cpu) / np.median(series.cpu) for series in found.values()])
    return [int(i) for i in np.flatnonzero((shares >= MIN_CPU_SHARE).all(axis=0))]
