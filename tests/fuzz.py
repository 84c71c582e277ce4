"""Fuzz the readers of files, trees and public calls: `make fuzz`, or

    python tests/fuzz.py --runs 10000 --seed 1
    python tests/fuzz.py --only npz checkpoint --runs 5000

Each target of fuzz_targets.py runs in a process of its own. With atheris installed (the extra `fuzz`), its coverage
decides which inputs are changed further; most changes are those of `mutated`, which know numbers and JSON.
Without atheris all are, from the good files. What breaks the rule is kept in the folder `--keep`, with its traceback,
and the status is then 1. The last line is a summary in JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import hashlib
import importlib.util
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
HANG = 60
"""Seconds after which a process whose reader does not return ends, with a traceback."""
INSTRUMENTED = ["minicnn.data", "minicnn.files", "minicnn.interop", "minicnn.records", "minicnn.safetensors_files"]
INSTRUMENTED += ["minicnn.study", "minicnn.train", "zipfile", "gzip", "json", "numpy.lib"]
WORDS = [b"null", b"-1", b"1e999", b"[]", b"{}", b'"a"', b"true", b"NaN", b"0", b"9" * 30, b"{" * 200, b"[[" * 90]
SIZES = [0, 1, 2**7 - 1, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1]


def mutated(content: bytes, others: list[bytes], draw: random.Random) -> bytes:
    """Return the bytes with one to four changes, mostly one: more are refused before the reader comes far."""
    changed = bytearray(content)
    for _ in range(draw.choice([1, 1, 1, 2, 4])):
        at = draw.randrange(len(changed) + 1)
        draw.choice(CHANGES)(changed, at, others, draw)
    return bytes(changed)


def _bits(changed: bytearray, at: int, others: list[bytes], draw: random.Random) -> None:
    if at < len(changed):
        changed[at] ^= draw.choice([1 << draw.randrange(8), draw.randrange(256)])


def _number(changed: bytearray, at: int, others: list[bytes], draw: random.Random) -> None:
    width, order = draw.choice([1, 2, 4, 8]), draw.choice(["little", "big"])
    changed[at : at + width] = (draw.choice(SIZES) % 256**width).to_bytes(width, order)


def _cut(changed: bytearray, at: int, others: list[bytes], draw: random.Random) -> None:
    del changed[at : at + draw.choice([1, 1, 4, 64, len(changed)])]


def _repeat(changed: bytearray, at: int, others: list[bytes], draw: random.Random) -> None:
    part = changed[at : at + draw.choice([1, 8, 100])]
    changed[at:at] = part * draw.choice([1, 2, 50])


def _splice(changed: bytearray, at: int, others: list[bytes], draw: random.Random) -> None:
    other = draw.choice(others)
    start = draw.randrange(len(other) + 1)
    changed[at : at + draw.choice([0, 10, 1000])] = other[start : start + draw.choice([4, 40, 400])]


def _word(changed: bytearray, at: int, others: list[bytes], draw: random.Random) -> None:
    """Put another value for one of a JSON text, or anywhere."""
    found = list(re.finditer(rb"-?\d[\d.e+-]*|true|false|null|\"[^\"]{0,40}\"", changed))
    first, last = draw.choice(found).span() if found else (at, at)
    changed[first:last] = draw.choice(WORDS)


def _digits(changed: bytearray, at: int, others: list[bytes], draw: random.Random) -> None:
    if found := list(re.finditer(rb"\d+", changed)):
        first, last = draw.choice(found).span()
        changed[first:last] = str(draw.choice([*SIZES, draw.randrange(20), -draw.randrange(20)])).encode()


CHANGES = [_bits, _bits, _number, _cut, _repeat, _splice, _word, _word, _digits, _digits]


class Session:
    """Count what is read and keep what breaks the rule, one input for each place in the code."""

    def __init__(self, name: str, runs: int, keep: Path, folder: Path) -> None:
        import fuzz_targets

        self.name, self.runs, self.keep, self.folder = name, runs, keep, folder
        self.target, self.find = fuzz_targets.TARGETS[name], fuzz_targets.outcome
        self.seeds = self.target.seeds(folder)
        self.done, self.read, self.offences = 0, 0, dict[str, str]()

    def one(self, content: bytes) -> None:
        """Read one input; the process ends after the last one."""
        faulthandler.dump_traceback_later(HANG, exit=True)
        (self.folder / "input").write_bytes(content)  # found there by the parent if this process dies
        read, found = self.find(self.target, content, self.folder / f"file{self.target.suffix}")
        faulthandler.cancel_dump_traceback_later()
        if found and (place := "\n".join(re.findall(r'File ".*", line \d+', found)[-2:]) or found) not in self.offences:
            stem = f"{re.sub('[^a-z]+', '-', self.name)}-{hashlib.sha256(content).hexdigest()[:12]}"
            (self.keep / f"{stem}.bin").write_bytes(content)
            (self.keep / f"{stem}.txt").write_text(found)
            self.offences[place] = f"{stem}: {found.strip().splitlines()[-1]:.300}"
        self.done, self.read = self.done + 1, self.read + read
        if self.done >= self.runs:
            self.end()

    def end(self) -> None:
        report = {"target": self.name, "files": self.done, "read": self.read, "offences": list(self.offences.values())}
        (self.folder / "report.json").write_text(json.dumps(report))
        sys.stdout.flush()
        os._exit(0)  # atheris does not return


def child(name: str, runs: int, seed: int, keep: Path, folder: Path, engine: str) -> None:
    """Fuzz one target in this process."""
    draw = random.Random(seed)  # noqa: S311, nothing is kept secret by it
    if engine == "mutations":
        session = Session(name, runs, keep, folder)
        while True:
            seeds = session.seeds
            session.one(seeds[session.done] if session.done < len(seeds) else mutated(draw.choice(seeds), seeds, draw))
    import atheris

    # the package itself is imported with counters in its code
    with atheris.instrument_imports(include=INSTRUMENTED), contextlib.redirect_stderr(io.StringIO()):
        session = Session(name, runs, keep, folder)
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, content in enumerate(session.seeds):
        (corpus / str(number)).write_bytes(content)
    longest = 2 * max(map(len, session.seeds)) + 1000

    def change(content: bytes, most: int, number: int) -> bytes:
        kind = draw.random()
        if kind < 0.3:
            return atheris.Mutate(content, most)
        # good files among what has been found, most of which is refused early
        return mutated(content if kind < 0.6 else draw.choice(session.seeds), session.seeds, draw)[:most]

    options = [f"-seed={seed + 1}", "-runs=-1", f"-max_len={longest}", "-len_control=0", "-rss_limit_mb=0"]
    options += ["-handle_alrm=0", "-timeout=1000000", "-verbosity=0", f"-artifact_prefix={keep}/"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], session.one, custom_mutator=change)
    atheris.Fuzz()


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
        return {"target": name, "files": 0, "read": 0, "offences": [ended]}


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
    print(json.dumps({"engine": engine, "files": files, "offences": offences}))
    return int(offences > 0)


if __name__ == "__main__":
    sys.exit(main())
