"""Write explain_page.json, the data of a small page that the tests of Python and of TypeScript read.

python tests/data/make_explain_page.py
"""

import tempfile
from pathlib import Path

import numpy as np

from minicnn import explain, layers, models, optim, study
from minicnn.data import Split
from minicnn.explain.packing import json_text


def nets():
    """Return two nets with the same trunk: a residual block, then a max pooling, or a concatenation of poolings."""
    block = layers.Residual(layers.Conv2D(2, 3, padding="same"))
    trunk = layers.Sequential([layers.Conv2D(2, 3, padding="same"), layers.ReLU(), block, layers.ReLU()])
    both = layers.Concat([layers.GlobalMaxPooling2D(), layers.GlobalAveragePooling2D()])
    heads = {"max": [layers.MaxPooling2D(2), layers.Flatten()], "both": [both]}
    made = {}
    for name, parts in heads.items():
        net = layers.Classifier(trunk, layers.Sequential([*parts, layers.Dense(3)]))
        made[name] = (net, net.init(np.random.default_rng(0), (6, 6, 1)))
    return made


def split():
    """Return twelve images with three classes."""
    rng = np.random.default_rng(1)
    return Split(rng.uniform(0, 1, (12, 6, 6, 1)).astype(np.float32), np.arange(12) % 3)


def results(folder):
    """Return a finished study of two nets, three replicates of one epoch."""
    arms = {"narrow": models.mlp((4,)), "wide": models.mlp((16,))}
    recipe = study.Recipe(optim.Adam(1e-2), epochs=2)
    small = study.Study(arms, control="narrow", data="digits", recipe=recipe, replicates=study.Resplits(3))
    return small.run(folder, progress=False)


def page(studied=None):
    """Return the page."""
    made = nets()
    images = split()
    net, params = made["max"]
    return explain.page(
        net,
        params,
        images.images[4],
        1,
        classes=["a", "b", "c"],
        heads=made,
        shifts=images,
        study=studied,
        title="A small net",
        optimizer=optim.SGD(0.1),
        rng=np.random.default_rng(2),
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        text = json_text(page(results(folder)).data)
    Path(__file__).with_name("explain_page.json").write_text(text + "\n")
