"""The page of `minicnn explain` on this site: the nets of lesson 5, trained in the build, and an image of a four."""

from __future__ import annotations

from pathlib import Path

from minicnn import data, explain, models, optim, study, train

HEADS = ("max", "flatten", "global-max")
IMAGE = 3


def write(path: Path, *, epochs: int = 5) -> Path:
    """Train the nets and write the page."""
    digits = study.padded(data.load("digits", seed=0), 2)
    nets = {}
    for head in HEADS:
        net = models.small_cnn(head, filters=(8, 16, 16))
        result = train.fit(
            net, digits.train, optimizer=optim.Adam(1e-2), epochs=epochs, batch_size=64, seed=0, progress=False
        )
        nets[head] = (net, result.params)
    image, label = digits.test.images[IMAGE], int(digits.test.labels[IMAGE])
    page = explain.page(*nets["max"], image, label, heads=nets, shifts=digits.test, title="A four in three nets")
    path.parent.mkdir(parents=True, exist_ok=True)
    return page.save(path)
