"""Fuzz the readers of files, trees and public calls: `make fuzz`, or

    python tests/fuzz.py --runs 10000 --seed 1
    python tests/fuzz.py --only npz checkpoint --runs 5000

Each target of fuzz_targets.py runs in a process of its own. With atheris installed (the extra `fuzz`), the coverage of
the target's code decides which inputs are changed further; most changes are those of fuzz_changes.py, which know what
is inside a file and pack it again. Without atheris all are, from the good files. For each target a line in JSON tells
how many inputs reached which step: "opened" is past the first checks of the container. What breaks the rule is kept in
the folder `--keep`, with its traceback, and the status is then 1. The last line is a summary.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import importlib.util
import inspect
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz_changes import changed

HERE = Path(__file__).resolve().parent
HANG = 60
"""Seconds after which a process whose reader does not return ends, with a traceback."""


class Session:
    """Count what is read and keep what breaks the rule, one input for each place in the code."""

    def __init__(self, name: str, runs: int, keep: Path, folder: Path) -> None:
        import fuzz_targets

        self.name, self.runs, self.keep, self.folder = name, runs, keep, folder
        self.target, self.find = fuzz_targets.TARGETS[name], fuzz_targets.outcome
        self.seeds = self.target.seeds(folder)
        self.done, self.reached, self.offences = 0, dict.fromkeys([*self.target.steps, "read"], 0), dict[str, str]()

    def one(self, content: bytes) -> None:
        """Read one input; the process ends after the last one."""
        faulthandler.dump_traceback_later(HANG, exit=True)
        (self.folder / "input").write_bytes(content)  # found there by the parent if this process dies
        outcome = self.find(self.target, content, self.folder / f"file{self.target.suffix}")
        faulthandler.cancel_dump_traceback_later()
        found = outcome.offence
        if found and (place := "\n".join(re.findall(r'File ".*", line \d+', found)[-2:]) or found) not in self.offences:
            stem = f"{re.sub('[^a-z]+', '-', self.name)}-{hashlib.sha256(content).hexdigest()[:12]}"
            (self.keep / f"{stem}.bin").write_bytes(content)
            (self.keep / f"{stem}.txt").write_text(found)
            self.offences[place] = f"{stem}: {found.strip().splitlines()[-1]:.300}"
        self.done += 1
        for step in outcome.reached:
            self.reached[step] += 1
        if self.done >= self.runs:
            self.end()

    def end(self) -> None:
        report = {"target": self.name, "files": self.done, "reached": self.reached}
        report["offences"] = list(self.offences.values())
        (self.folder / "report.json").write_text(json.dumps(report))
        sys.stdout.flush()
        os._exit(0)  # atheris does not return


def child(name: str, runs: int, seed: int, keep: Path, folder: Path, engine: str) -> None:
    """Fuzz one target in this process."""
    draw = random.Random(seed)  # noqa: S311, nothing is kept secret by it
    session = Session(name, runs, keep, folder)
    seeds, change = session.seeds, session.target.change
    if engine == "mutations":
        while True:
            good = session.done < len(seeds)
            session.one(seeds[session.done] if good else changed(draw.choice(seeds), seeds, change, draw))
    import atheris

    for place in session.target.code:
        _follow(atheris.instrument_func, place)
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, content in enumerate(seeds):
        (corpus / str(number)).write_bytes(content)
    longest = 2 * max(map(len, seeds)) + 1000

    def other(content: bytes, most: int, number: int) -> bytes:
        if draw.random() < 0.1:
            return atheris.Mutate(content, most)
        # good files among what has been found, most of which is refused early
        return changed(draw.choice([content, draw.choice(seeds)]), seeds, change, draw)[:most]

    options = [f"-seed={seed + 1}", "-runs=-1", f"-max_len={longest}", "-len_control=0", "-rss_limit_mb=0"]
    options += ["-handle_alrm=0", "-timeout=1000000", "-verbosity=0", f"-artifact_prefix={keep}/"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], session.one, custom_mutator=other)
    atheris.Fuzz()


def _follow(instrument: Callable, place: Any) -> None:
    """Put counters into the functions of a module and of its classes."""
    for value in list(vars(place).values()):
        if isinstance(value, type) and value.__module__ == getattr(place, "__name__", None):
            _follow(instrument, value)
        elif isinstance(value, types.FunctionType) and value.__module__ == (
            place.__module__ if isinstance(place, type) else place.__name__
        ):
            instrument(inspect.unwrap(value))


def fuzzed(name: str, runs: int, seed: int, keep: Path, engine: str) -> dict:
    """Fuzz one target in a process of its own, and return its report."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        folder = Path(place)
        command = [sys.executable, HERE / "fuzz.py", "--child", name, "--runs", str(runs), "--seed", str(seed)]
        command += ["--keep", str(keep), "--folder", place, "--engine", engine]
        environment = {**os.environ, "MINICNN_KERNELS": "numpy_blocked", "PYTHONWARNINGS": "ignore"}
        environment["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), str(HERE)])
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=place)
        if (folder / "report.json").is_file():
            return json.loads((folder / "report.json").read_text())
        ended = f"the process ended with status {done.returncode}: {done.stderr[-800:]}"
        if (folder / "input").is_file():
            shutil.copy(folder / "input", keep / f"{re.sub('[^a-z]+', '-', name)}-died.bin")
        return {"target": name, "files": 0, "reached": {"opened": 0}, "offences": [ended]}


def names() -> list[str]:
    sys.path[:0] = [str(HERE.parent), str(HERE)]
    import fuzz_targets

    return list(fuzz_targets.TARGETS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_000, help="inputs, over all targets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", help="names of targets; all by default")
    parser.add_argument("--keep", type=Path, default=Path("out/fuzz"), help="where offending inputs are kept")
    parser.add_argument("--engine", choices=["atheris", "mutations"], help="atheris by default, where it is installed")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    engine = chosen.engine or ("atheris" if importlib.util.find_spec("atheris") else "mutations")
    if chosen.child:
        child(chosen.child, chosen.runs, chosen.seed, chosen.keep, chosen.folder, engine)
    known = names()
    if unknown := set(chosen.only or []) - set(known):
        parser.error(f"--only must be of {', '.join(map(repr, known))}, got {', '.join(map(repr, sorted(unknown)))}")
    targets = chosen.only or known
    keep = chosen.keep.resolve()
    keep.mkdir(parents=True, exist_ok=True)
    reports = []
    for name in targets:
        reports.append(fuzzed(name, -(-chosen.runs // len(targets)), chosen.seed, keep, engine))
        print(json.dumps(reports[-1]), flush=True)
    files, offences = sum(r["files"] for r in reports), sum(len(r["offences"]) for r in reports)
    opened = sum(r["reached"]["opened"] for r in reports)
    print(json.dumps({"engine": engine, "files": files, "opened": opened, "offences": offences}))
    return int(offences > 0)


if __name__ == "__main__":
    sys.exit(main())
