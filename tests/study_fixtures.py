"""Studies for tests: tiny data and nets, and ledgers whose outcomes are given instead of trained."""

import numpy as np

from minicnn import data, layers, models, optim, study
from minicnn.study import engine
from minicnn.study.canonical import data_digest
from minicnn.study.results import open_results
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


def small_cnn(head="max", classes=2):
    """Return a small net with a trunk and a head."""
    return models.small_cnn(head, classes=classes, filters=(3,), strides=(1,))


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
    trials = engine.test_trials(planned, digests, {})
    with writing(folder) as store:
        store.describe(engine.description(planned, digests, {}, trials, [], []))
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
