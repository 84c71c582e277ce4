"""Kill a study at random moments, again and again until it is complete: is its ledger that of an uninterrupted one?

    python tests/kill_study.py --times 30

Each round starts the study in a process of its own with two workers and kills that process, as `kill -9` does, after a
random time. Then the ledgers are compared: all values, curves, parameters and values per image, to the last bit; only
times may differ. Processes that a killed parent leaves behind are counted. tests/test_study_faults.py does two rounds.
"""

import argparse
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TIMED = {"cpu_seconds", "seconds"}
RUN = """
import sys, time
import numpy as np
from minicnn import data, models, optim, study

def slow(net, params, dataset):
    time.sleep(SLOW)
    return 1.0

SLOW = float(sys.argv[3])
rng = np.random.default_rng(0)
images = data.from_arrays(rng.random((90, 6, 6, 1), np.float32), np.arange(90) % 3, test=0.3)
nets = {f"width {w}": models.mlp((w,), classes=3) for w in (3, 5, 8, 13)}
tuned = {"replicates": study.Resplits(5, tuning=0.3), "tune": study.Grid((1e-2, 3e-2))}
found = study.Study(
    nets, control="width 3", data=images, recipe=study.Recipe(optim.Adam(1e-2), epochs=2, batch_size=16),
    measures={"accuracy": study.accuracy, "slow": slow},
    **(tuned if sys.argv[4] == "tuned" else {"replicates": study.Seeds(5)}),
).run(sys.argv[1], jobs=int(sys.argv[2]), progress=False)
print(found, flush=True)
sys.exit(0 if found.complete else 3)
"""


def start(folder, jobs=2, slow=0.05, kind="tuned"):
    """Start the study in a session of its own, so that its processes can be found."""
    environment = {"MINICNN_KERNELS": "numpy_blocked", **os.environ}
    command = [sys.executable, "-c", RUN, str(folder), str(jobs), str(slow), kind]
    return subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def alive(session):
    """Return the processes of a session that have not ended, by id."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _, _, of = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(of) == session and state not in "ZX":
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def left_behind(session, patience=10.0):
    """Return the processes of a session that are still there after some seconds."""
    until = time.monotonic() + patience
    while (found := alive(session)) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def complete_trials(folder):
    """Return how many trials the ledger has."""
    path = Path(folder) / "study.sqlite"
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path, timeout=5)) as connection:
        return connection.execute("SELECT count(*) FROM trial").fetchone()[0] if path.is_file() else 0
    return 0


def contents(folder):
    """Return everything in a ledger that does not depend on time: rows, curves, and the bytes of all arrays."""
    from minicnn.study.store import reading
    from minicnn.trees import items

    with reading(folder) as store:
        trials = {i: (t.role, t.arm, t.replicate, t.seed, t.rate, t.status, t.error) for i, t in store.trials().items()}
        curves = {i: [{k: v for k, v in row.items() if k not in TIMED} for row in c] for i, c in store.curves().items()}
        arrays = {}
        for i in trials:
            for path, leaf in items(store.arrays(i)):
                array = np.asarray(leaf)
                arrays[i, path] = (array.dtype.str, array.shape, array.tobytes())
        described = {k: v for k, v in store.description().items() if k != "command"}
        return {"trials": trials, "values": sorted(store.values()), "curves": curves, "arrays": arrays, "is": described}


def killed_until_complete(folder, times, longest, rng):
    """Kill the study `times` times, then let it end; return the trials complete at each kill, and processes left."""
    at, left = [], {}
    while len(at) < times:
        process = start(folder)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0.3, longest))
        if process.poll() is not None:  # it was faster: begin the study again in an empty folder
            assert process.returncode == 0, process.stderr.read()
            return at, left
        process.kill()
        process.communicate()
        left |= left_behind(process.pid)
        at.append(complete_trials(folder))
    process = start(folder)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return at, left


def main():
    """Kill, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, kills, wrong, left, studies = np.random.default_rng(options.seed), [], 0, {}, 0
    with tempfile.TemporaryDirectory() as root:
        began = time.monotonic()
        process = start(Path(root) / "whole")
        _, errors = process.communicate()
        assert process.returncode == 0, errors
        longest, whole = time.monotonic() - began, contents(Path(root) / "whole")
        while len(kills) < options.times:
            studies += 1
            folder = Path(root) / str(studies)
            at, found = killed_until_complete(folder, options.times - len(kills), longest, rng)
            kills, left = kills + at, left | found
            wrong += contents(folder) != whole
            print(f"study {studies}: killed with {at} trials complete of {len(whole['trials'])}", flush=True)
    print(json.dumps({"kills": len(kills), "studies": studies, "unequal": wrong, "left behind": list(left.values())}))
    return 1 if wrong or left else 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
