"""A training kept in a folder: what was asked for, the net with its parameters, the history, and the environment.

    run.json          the settings: net, data set, epochs, batch size, learning rate, seed
    net.npz           the net and its parameters, once the training is complete; `train.load_net` reads it
    history.csv       a row per epoch
    environment.json  versions and hardware
    training.npz      the state from which an interrupted training is resumed

>>> import tempfile
>>> from minicnn import models
>>> with tempfile.TemporaryDirectory() as folder:
...     run = train_run(folder, models.mlp((64,)), "digits", epochs=3)
...     test = run.evaluate()
...     open_run(folder).settings.epochs, test.accuracy > 0.5
(3, True)
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import data, models, ops, optim, records, schedules, train, validation
from minicnn.data import Dataset
from minicnn.data.folders import resized
from minicnn.environment import environment
from minicnn.files import GIBIBYTE, FileFormatError, atomic_write, check_size, only_writer, writable_folder
from minicnn.hints import explained, frozen, near
from minicnn.layers import Layer

__all__ = ["Run", "Settings", "named_net", "open_run", "train_run"]
FILE, NET, HISTORY, ENVIRONMENT, STATE = "run.json", "net.npz", "history.csv", "environment.json", "training.npz"
FORMAT = "minicnn run 1"
WANTED = "the folder of a run that `minicnn train` wrote"
CENTRED = ("mnist", "kmnist", "qmnist", "usps")
"""Data sets of centred characters: your own pictures are prepared in the same way."""


@frozen
class Settings:
    """What determines a run.

    Parameters
    ----------
    net : Layer
    dataset : str
        A name in `data.SOURCES`, or the path of a folder with a folder of pictures for each class.
    epochs, batch_size, seed : int
        `seed` decides the splits of the data set, too.
    learning_rate : float
        The largest one of the schedule: Adam with `schedules.OneCycle`.
    shift : float
        Standard deviation, in pixels, of random shifts of the training images.
    size : tuple of int, optional
        (height, width, channels) to which pictures in a folder are converted.
    """

    net: Layer
    dataset: str
    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 1e-2
    seed: int = 0
    shift: float = 0.0
    size: tuple[int, int, int] | None = None

    def load(self) -> Dataset:
        """Return the data set."""
        return _load(self.dataset, self.size, self.seed)


def _load(dataset: str, size: tuple[int, int, int] | None, seed: int) -> Dataset:
    if dataset in data.SOURCES:
        return data.load(dataset, seed=seed)
    if not isinstance(dataset, str) or not Path(dataset).is_dir():
        raise ValueError(
            f"train_run: dataset must be one of {', '.join(data.SOURCES)}, or a folder of pictures, "
            f"got {validation.shown(dataset)}.{near(dataset, data.SOURCES)}"
        )
    return data.from_folder(dataset, size=size[:2] if size else None, channels=size[2] if size else 1, seed=seed)


@frozen
class Run:
    """A complete run: `net`, `params`, `settings`, the names of the `classes`, and the `folder`."""

    folder: Path
    settings: Settings
    params: Any = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)
    input_shape: tuple[int, int, int] = field(repr=False)

    @property
    def net(self) -> Layer:
        """The network."""
        return self.settings.net

    @cached_property
    def dataset(self) -> Dataset:
        """The data set in the splits of the training."""
        return self.settings.load()

    def evaluate(self, part: str = "test") -> train.Evaluation:
        """Return loss, accuracy and predictions over a part of the data set: "train", "valid" or "test"."""
        split = getattr(self.dataset, validation.one_of("evaluate", "part", part, ("train", "valid", "test")))
        return train.evaluate(self.net, self.params, split)

    def prepare(self, path: str | Path, *, invert: bool | None = None) -> data.Prepared:
        """Return a picture as the images of the data set are: characters prepared as theirs, others scaled.

        `data.as_digits` prepares for digits, `data.as_mnist` for MNIST, KMNIST, QMNIST and USPS. `invert` says whether
        strokes are dark on a bright background; None looks at the border of the picture. It counts for characters
        alone. Raises ValueError for an empty picture, FileFormatError for a file that is none.
        """
        height, width, channels = self.input_shape
        image = data.read_image(path, channels=1 if channels == 1 else 3)
        if self.settings.dataset == "digits":
            return data.as_digits(image, invert=invert)
        if self.settings.dataset in CENTRED:
            # The digits of USPS fill their images; those of MNIST have a margin of four pixels.
            box = min(height, width) if height < 20 else None
            return data.as_mnist(image, size=(height, width), box=box, invert=invert)
        image = resized(image, (height, width))
        return data.Prepared(1 - image if invert else image, bool(invert))

    def predict(self, images: Iterable[np.ndarray]) -> np.ndarray:
        """Return the probability of each class for prepared images: (N, classes), float64."""
        logits = train.predict(self.net, self.params, np.stack(list(images)))
        return np.asarray(ops.softmax(logits.astype(np.float64)))


@explained
def train_run(
    folder: str | Path,
    net: Layer | str,
    dataset: str,
    *,
    epochs: int = 10,
    batch_size: int = 64,
    learning_rate: float = 1e-2,
    seed: int = 0,
    shift: float = 0.0,
    size: tuple[int, int, int] | None = None,
    progress: bool | None = None,
) -> Run | None:
    """Train a net on a data set and keep the run in a folder; return it, or None if Ctrl-C ended the training early.

    The arguments are those of `Settings`; a net given as a string is one for `named_net`, with as many classes as the
    data set has. Calling it again resumes an interrupted training, with the same result as without an interruption,
    and returns at once when the run is complete.

    Raises ValueError for a folder with another run, BlockingIOError for one in which another process is training, and
    what `data.load` and `train.fit` raise.
    """
    images = _load(dataset, size, seed)
    net = named_net(net, classes=len(images.classes)) if isinstance(net, str) else net
    settings = Settings(net, dataset, epochs, batch_size, learning_rate, seed, shift, size)
    place = writable_folder(validation.path("train_run", "folder", folder))
    with only_writer(place):
        _claim(place, settings, images)
        result = train.fit(
            net,
            images.train,
            valid=images.valid,
            optimizer=optim.Adam(schedules.OneCycle(learning_rate)),
            epochs=epochs,
            batch_size=batch_size,
            seed=seed,
            augment=data.Augmentation(shift=shift) if shift else None,
            callbacks=[train.CSVLog(place / HISTORY)],
            progress=progress,
            checkpoint=place / STATE,
        )
        if result.interrupted:
            return None
        train.save(place / NET, result.params, net)
    return open_run(place)


def _claim(place: Path, settings: Settings, images: Dataset) -> None:
    """Write the settings into a new folder, or compare them with those that are there."""
    if (place / FILE).exists():
        found, _ = _read(place)
        for name in (f.name for f in fields(Settings)):
            before, now = getattr(found, name), getattr(settings, name)
            if before != now:
                got = "another net" if name == "net" else f"{name}={before!r} where {now!r} is asked for"
                raise ValueError(
                    f"train_run: folder must be new or hold a run of the same settings, got {place} with {got}. "
                    "Use another folder."
                )
        return
    taken = [name for name in (NET, HISTORY, STATE) if (place / name).exists()]
    if taken:
        raise ValueError(f"train_run: folder must not hold other files of these names, got {place / taken[0]}.")
    atomic_write(place / ENVIRONMENT, json.dumps(environment(), indent=1) + "\n")
    shape = images.train.images.shape[1:]
    values = {f.name: getattr(settings, f.name) for f in fields(Settings)}
    text = records.to_json({"format": FORMAT, "input_shape": shape, "classes": images.classes, **values})
    atomic_write(place / FILE, text + "\n")


@explained
def open_run(folder: str | Path) -> Run:
    """Return the run in a folder.

    Raises FileFormatError, a ValueError, for a folder that holds none, or one that is damaged or not complete.
    """
    place = validation.path("open_run", "folder", folder)
    settings, about = _read(place)
    if not (place / NET).is_file():
        raise FileFormatError(
            "open_run", WANTED, place, "its training is not complete. Repeat the command that began it, to go on"
        )
    net, params = train.load_net(place / NET)
    if net != settings.net:
        raise FileFormatError("open_run", WANTED, place, f"{NET} holds another net than {FILE}")
    return Run(place, settings, params, about["classes"], about["input_shape"])


def _read(place: Path) -> tuple[Settings, dict[str, Any]]:
    path = place / FILE
    if not path.is_file():
        raise FileFormatError("open_run", WANTED, place, f"it has no {FILE}")
    check_size("open_run", WANTED, path, GIBIBYTE)
    try:
        plain = records.from_json(path.read_text(encoding="utf-8"))
        settings = Settings(**{f.name: plain[f.name] for f in fields(Settings)})
        about = {"classes": tuple(map(str, plain["classes"])), "input_shape": tuple(map(int, plain["input_shape"]))}
    except (ValueError, TypeError, KeyError) as error:
        raise FileFormatError("open_run", WANTED, place, f"{FILE} is damaged: {error}") from error
    if plain.get("format") != FORMAT or not isinstance(settings.net, Layer) or len(about["input_shape"]) != 3:
        raise FileFormatError("open_run", WANTED, place, f"{FILE} is not of the format {FORMAT!r}")
    return settings, about


NETS = ("small_cnn", "pooled_cnn", "lenet5", "keras_mnist", "mlp")


@explained
def named_net(net: str, *, classes: int = 10) -> Layer:
    """Return a net by name, or from a file.

    lenet5, keras_mnist, mlp      as in `models`
    small_cnn:HEAD                with a head of `models.HEAD_MAKERS`, such as small_cnn:global-max
    pooled_cnn:TRUNK:HEAD         with a trunk of `trunks.TRUNK_MAKERS`, such as pooled_cnn:strided:flatten
    a path that ends in .json     what `to_json` wrote
    .npz, .safetensors            what `train.save` wrote, with a net

    Raises ValueError for an unknown name, OSError for a file that is not there.

    >>> named_net("mlp", classes=3)
    Sequential(layers=(Flatten(), Dense(units=128), ReLU(), Dense(units=3)))
    """
    if not isinstance(net, str):
        raise TypeError(f"named_net: net must be a string, got {validation.shown(net)}.")
    if net.endswith((".npz", ".safetensors")):
        return train.load_net(net)[0]
    if net.endswith(".json"):
        return _from_file(Path(net))
    name, *parts = net.split(":")
    if name not in NETS:
        raise ValueError(
            f"named_net: net must be one of {', '.join(NETS)}, or a file that ends in .json, .npz or .safetensors, "
            f"got {validation.shown(net)}.{near(name, NETS)}"
        )
    if len(parts) > {"small_cnn": 1, "pooled_cnn": 2}.get(name, 0):
        raise ValueError(f"named_net: net must be {name} with fewer parts, got {validation.shown(net)}.")
    made: Layer = getattr(models, name)(*parts, classes=classes)
    return made


def _from_file(path: Path) -> Layer:
    wanted = "a net that to_json wrote"
    check_size("named_net", wanted, path, GIBIBYTE)
    try:
        net = records.from_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FileFormatError("named_net", wanted, path, str(error)) from error
    if not isinstance(net, Layer):
        raise FileFormatError("named_net", wanted, path, f"it holds {validation.shown(net)}")
    return net
