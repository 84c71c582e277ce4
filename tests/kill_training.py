"""Kill a training again and again at random moments, start it again, and compare its end with one that was not killed.

    python tests/kill_training.py --kills 100

Each round starts the same command until it ends by itself; kill -9 comes after a random time, also while files are
written. Prints one line of JSON at the end, and exits with status 1 if an end differs by a bit.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from minicnn import data, layers, optim, schedules, train, trees

EPOCHS = 6


def train_here(folder, every):
    """Train, or go on; print a digest of the parameters, the best ones and the history."""
    rng = np.random.default_rng(0)
    images, labels = rng.random((400, 8, 8, 1), dtype=np.float32), rng.integers(0, 10, 400)
    net = layers.Sequential([
        layers.Conv2D(8, 3), layers.BatchNormalization(), layers.ReLU(), layers.MaxPooling2D(2), layers.Flatten(),
        layers.Dropout(0.2), layers.Dense(10),
    ])  # fmt: skip
    best = train.BestWeights()
    print("ready", flush=True)
    result = train.fit(
        net, data.Split(images[:320], labels[:320]), valid=data.Split(images[320:], labels[320:]),
        optimizer=optim.Adam(schedules.OneCycle(1e-2)), epochs=EPOCHS, batch_size=8, seed=1,
        augment=data.Augmentation(shift=1, elastic=4), callbacks=[best, train.CSVLog(folder / "history.csv")],
        checkpoint=folder / "run.npz", checkpoint_every=every, progress=False,
    )  # fmt: skip
    digest = hashlib.sha256()
    for path, leaf in trees.items([result.params, best.params]):
        digest.update(path.encode() + leaf.tobytes())
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in result.history.rows]
    digest.update(repr(rows).encode())
    print(digest.hexdigest(), flush=True)


def start(folder, every):
    # kernels that need no compiling: a process that is killed meanwhile would compile again and again
    command = [sys.executable, __file__, "--train", folder, "--every", str(every)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "MINICNN_KERNELS": "numpy_blocked"}
    )


def finished(folder, every, longest, rng):
    """Start the training until it ends; return the digest, the number of kills, and the seconds of the last process."""
    kills = 0
    while True:
        child = start(folder, every)
        ready = child.stdout.readline()
        if not ready:
            raise RuntimeError(f"the training did not begin in {folder}")
        began = time.perf_counter()
        if longest is not None:
            time.sleep(rng.uniform(0, longest))
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
        out = child.communicate()[0].split()
        if child.returncode == 0:
            return out[-1], kills, time.perf_counter() - began
        if child.returncode != -signal.SIGKILL:
            raise RuntimeError(f"the training in {folder} ended with status {child.returncode}")
        kills += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="where to train; a temporary folder by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--every", type=int, default=7, help="steps between two files")
    chosen = parser.parse_args()
    if chosen.train:
        train_here(chosen.train, chosen.every)
        return 0
    home = chosen.folder or Path(tempfile.mkdtemp(prefix="kill-training-"))
    rng = np.random.default_rng(chosen.seed)
    began = time.perf_counter()
    folders = (home / f"round-{number}" for number in range(10**6))
    folder = next(folders)
    folder.mkdir()
    expected, _, longest = finished(folder, chosen.every, None, rng)
    kills = rounds = different = left = 0
    while kills < chosen.kills:
        folder = next(folders)
        folder.mkdir()
        digest, count, _ = finished(folder, chosen.every, longest, rng)
        kills, rounds = kills + count, rounds + 1
        different += digest != expected
        left += sorted(path.name for path in folder.iterdir() if not path.name.startswith(".minicnn-")) != [
            "history.csv", "run.npz"
        ]  # fmt: skip
        shutil.rmtree(folder)
    seconds = round(time.perf_counter() - began, 1)
    print(json.dumps({"kills": kills, "rounds": rounds, "different": different, "left": left, "seconds": seconds}))
    if chosen.folder is None:
        shutil.rmtree(home)
    return int(bool(different or left))


if __name__ == "__main__":
    sys.exit(main())
