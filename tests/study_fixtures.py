"""Studies for tests: tiny data and nets, and ledgers whose outcomes are given instead of trained."""

import numpy as np

from minicnn import data, layers, models, optim, study
from minicnn.study import description as describing
from minicnn.study import trials as trials_of
from minicnn.study.canonical import data_digest
from minicnn.study.opening import open_results
from minicnn.study.store import writing
from minicnn.study.trial import Outcome


def tiny(classes=2, size=6, train=48, valid=12, test=24, seed=0, channels=1):
    """Return images of noise with a bright quarter per class, so that a net learns them in seconds."""
    rng = np.random.default_rng(seed)
    n = train + valid + test
    labels = np.arange(n) % classes
    images = rng.uniform(0, 0.6, (n, size, size, channels)).astype(np.float32)
    half = size // 2
    for image, label in zip(images, labels, strict=True):
        row, col = divmod(int(label) % 4, 2)
        image[row * half : (row + 1) * half, col * half : (col + 1) * half] += 0.4
    cuts = slice(0, train), slice(train, train + valid), slice(train + valid, n)
    parts = [data.Split(images[cut], labels[cut]) for cut in cuts]
    return data.Dataset("tiny", *parts, classes=tuple(map(str, range(classes))))


def net(units=4, classes=2):
    """Return a net that trains in a few milliseconds."""
    return models.mlp((units,), classes=classes)


def small_cnn(head="max", classes=2, filters=3):
    """Return a small net with a trunk and a head."""
    return models.small_cnn(head, classes=classes, filters=(filters,), strides=(1,))


def tiny_study(arms=None, **changes):
    """Return a study of two tiny nets, with the given fields instead."""
    arms = arms or {"narrow": net(2), "wide": net(8)}
    options = {
        "control": next(iter(arms)),
        "data": tiny(),
        "recipe": study.Recipe(optim.Adam(1e-2), epochs=2, batch_size=16),
        "replicates": study.Seeds(3),
        "measures": {"accuracy": study.accuracy, "nll": study.nll},
    }
    return study.Study(arms, **{**options, **changes})


def ledger(folder, planned, outcome):
    """Write the ledger of a study whose trials have the outcomes that `outcome(trial)` returns; None: not run."""
    digests = [data_digest(planned.replicates.dataset(planned.data, 0))] * planned.replicates.n
    trials = trials_of.test_trials(planned, digests, {})
    with writing(folder) as store:
        store.describe(describing.description(planned, digests, {}, trials, [], []))
        store.keep_sample(planned.replicates.dataset(planned.data, 0).test)
        for trial in trials:
            if (found := outcome(trial)) is not None:
                store.record(trial, found)
    return open_results(folder)


def filled(folder, accuracies, *, replicates=None, rope=0.005, factors=None, train=1000, test=10_000):
    """Return results with the given accuracies by arm and replicate, and no others."""
    n = max(len(by) for by in accuracies.values())
    arms = {
        name: study.Arm(
            layers.Sequential([layers.Flatten(), layers.Dense(place + 2)]), factors=(factors or {}).get(name, {})
        )
        for place, name in enumerate(accuracies)
    }
    planned = tiny_study(arms, replicates=replicates or study.Seeds(n), rope=rope)
    found = ledger(
        folder,
        planned,
        lambda t: (
            Outcome(t.id, values=[("test", "accuracy", "", accuracies[t.arm][t.replicate])])
            if t.replicate in accuracies[t.arm]
            else None
        ),
    )
    found.description["data"].update(train=train, test=test)
    return found


def curve(accuracies, seconds=0.4):
    """Return a history of training with the given accuracies, one row per epoch."""
    return [
        {
            "epoch": epoch,
            "loss": 0.1,
            "accuracy": accuracy,
            "valid_loss": 0.1,
            "valid_accuracy": accuracy,
            "seconds": seconds * epoch,
            "cpu_seconds": seconds * epoch,
        }
        for epoch, accuracy in enumerate(accuracies, 1)
    ]


def heads_study(arms, seeds=3, **changes):
    """Return a study of nets with a trunk and a head, measured on clean and on shifted images."""
    given = arms if isinstance(arms, dict) else dict.fromkeys(arms)
    nets = {
        name: arm or study.Arm(small_cnn("max" if place % 2 else "flatten", filters=3 + place))
        for place, (name, arm) in enumerate(given.items())
    }
    measures = {"accuracy": study.accuracy, "shift": study.Shifted((0, 1, 2)), "nll": study.nll}
    return tiny_study(nets, measures=measures, replicates=study.Seeds(seeds), **changes)


def reported(folder, arms, seeds=3, epochs=8, accuracy=None, curves=None, **changes):
    """Return the results of `heads_study` with outcomes that are made up: `accuracy(place, replicate)` on clean images.

    Under shifts an arm loses the more, the later its place; predictions are as often right as its accuracy says.
    """
    planned = heads_study(arms, seeds, **changes)
    names = list(planned.arms)
    labels = planned.data.test.labels
    noise = np.random.default_rng(0).normal(0, 0.003, (len(names), seeds))

    def outcome(trial):
        place, replicate = names.index(trial.arm), trial.replicate
        clean = accuracy(place, replicate) if accuracy else 0.98 - 0.002 * place + noise[place, replicate]
        shifted = [clean, clean - 0.05 * (place + 1), clean - 0.09 * (place + 1)]
        shares = {"0 px": shifted[0], "1 px": shifted[1], "2 px": shifted[2], "mean": (shifted[1] + shifted[2]) / 2}
        rows = curves(place, replicate) if curves else curve(1 - 0.02 - 0.5 * np.exp(-np.arange(1, epochs + 1) / 3))
        predictions = labels.copy()
        predictions[: place + 1] = 1 - predictions[: place + 1]
        return Outcome(
            trial.id,
            values=[("test", "accuracy", "", clean), ("test", "nll", "", 0.1 * (place + 1))]
            + [("test", "shift", condition, share) for condition, share in shares.items()],
            per_image={"accuracy|": (predictions == labels).astype(np.float32), "predictions": predictions},
            curve=rows,
            params=trial.net.init(np.random.default_rng(place), (6, 6, 1)),
        )

    return ledger(folder, planned, outcome)
