"""How long does a ledger of a thousand trials take to be opened, planned and summarised?

    python tests/many_trials.py --arms 10 --seeds 100

The outcomes are made up, with arrays as large as those of real ones: parameters, predictions, and values for each of
the 359 test images of digits by three measures. Times are seconds by the clock, and of the CPU in brackets.
"""

import argparse
import tempfile
import time

import numpy as np
from study_fixtures import curve, ledger

from minicnn import data, models, optim, study
from minicnn.study.trial import Outcome

SHIFTS = ("0 px", "1 px", "2 px", "mean")


def planned(arms, seeds):
    """Return a study of small CNNs on digits."""
    nets = {f"{4 + place} filters": models.small_cnn(filters=(4 + place, 8, 8)) for place in range(arms)}
    return study.Study(
        nets,
        control="4 filters",
        data=study.padded(data.load("digits"), 2),
        recipe=study.Recipe(optim.Adam(1e-2), epochs=20),
        replicates=study.Seeds(seeds),
        measures={"accuracy": study.accuracy, "nll": study.nll, "shift": study.Shifted((0, 1, 2))},
    )


def outcome(trial, images):
    """Return a made-up outcome of a trial."""
    rng = np.random.default_rng((trial.seed, int(trial.arm.split()[0])))
    right = (rng.random(images) < 0.97).astype(np.uint8)
    per_image = {"predictions": right, "accuracy|": right, "nll|": rng.random(images)}
    values = [("test", name, "", float(per_image[f"{name}|"].mean())) for name in ("accuracy", "nll")]
    for condition in SHIFTS:
        per_image[f"shift|{condition}"] = shares = rng.random(images).astype(np.float32)
        values.append(("test", "shift", condition, float(shares.mean())))
    params = trial.net.init(np.random.default_rng(trial.seed), (12, 12, 1))
    return Outcome(trial.id, values=values, per_image=per_image, curve=curve(rng.random(20)), params=params)


def timed(name, call):
    """Print how long a call takes, and return what it returns."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = call()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{name:44} {wall:6.2f} ({cpu:5.2f})", flush=True)
    return found


def main():
    """Write a ledger, and print how long it takes to be used."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--arms", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=100)
    options = parser.parse_args()
    large = planned(options.arms, options.seeds)
    planned(2, 2).plan()  # loads libraries and kernels
    with tempfile.TemporaryDirectory() as folder:
        images = len(large.data.test)
        timed("write", lambda: ledger(folder, large, lambda trial: outcome(trial, images)))
        results = timed("open", lambda: study.open_results(folder))
        print(results, f"{sum(path.stat().st_size for path in results.path.rglob('*')) / 2**20:.0f} MiB")
        timed("plan, with the checks of the design", lambda: large.plan(folder))
        timed("compare accuracy, loss, accuracy under shift", lambda: compared(results))
        timed("run again, with nothing left to do", lambda: large.run(folder, progress=False))
        timed("export as CSV", lambda: results.to_csv(results.path / "rows.csv"))


def compared(results):
    """Return comparisons by three measures."""
    return [results.compare(*what) for what in (("accuracy",), ("nll",), ("shift", "mean"))]


if __name__ == "__main__":
    main()
