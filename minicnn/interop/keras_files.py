"""What is in a file that Keras wrote: configuration and weights, each checked before memory is taken for it.

`.keras` is a zip archive of config.json and model.weights.h5. `.weights.h5` has each layer's weights by number under
the name of its class; a legacy `.h5` has them by name, and the configuration as an attribute.
"""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import json
import math
import mmap
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from minicnn.files import FileFormatError, check_size
from minicnn.geometry import Shape
from minicnn.interop.hdf5_texts import MOST_BYTES, texts
from minicnn.interop.keras_layers import SEPARABLE, WEIGHTED, Config, Entry, entries
from minicnn.layers.base import snake_case
from minicnn.optional import need

WANTED = "an undamaged .keras, .weights.h5 or .h5 file of Keras"
CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MOST_LAYERS, MOST_LEVELS = 1000, 20


def refuse(path: Path, reason: str) -> NoReturn:
    """Raise FileFormatError."""
    raise FileFormatError("from_keras", WANTED, path, reason) from None


@contextlib.contextmanager
def opened(path: Path, max_bytes: int) -> Iterator[KerasFile]:
    """Open a file of Keras; whatever a damaged one raises becomes a FileFormatError."""
    check_size("from_keras", WANTED, path, max_bytes)
    h5py = need("h5py", "interop")
    with open(path, "rb") as file:
        start = file.read(8)
    try:
        if start.startswith(b"PK"):
            config, weights = _unzipped(path)
            with h5py.File(io.BytesIO(weights), "r") as root:
                yield KerasFile(root, config, {})
        elif start == b"\x89HDF\r\n\x1a\n":
            with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                found = texts(content)
            with h5py.File(path, "r") as root:
                configs = _strings(root, "model_config", found)
                yield KerasFile(root, json.loads(configs[0]) if configs else None, found)
        else:
            refuse(path, "it is neither a zip archive nor in HDF5")
    except FileFormatError:
        raise
    except Exception as error:
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error) or type(error).__name__
        refuse(path, reason)


def _unzipped(path: Path) -> tuple[Config, bytes]:
    """Return configuration and weights of a .keras file."""
    with zipfile.ZipFile(path) as archive:
        infos = {info.filename: info for info in archive.infolist()}
        if sum(info.file_size for info in archive.infolist()) > path.stat().st_size:
            raise ValueError("it is compressed, which Keras never does, or claims more than it holds")
        if len(infos) < len(archive.infolist()):
            raise ValueError("two entries have the same name")
        if infos[CONFIG].file_size > MOST_BYTES:
            raise ValueError(f"{CONFIG} has {infos[CONFIG].file_size:,} bytes")
        return json.loads(archive.read(CONFIG)), archive.read(infos[WEIGHTS])


def _strings(group: Any, name: str, found: Mapping[str, list[str]]) -> list[str]:
    """Return the texts of an attribute, [] if there is none; `found` has those of variable length."""
    if name not in group.attrs:
        return []
    claim = group.attrs.get_id(name)
    if claim.dtype.kind == "O":
        return found[name]
    if math.prod(claim.shape) * claim.dtype.itemsize > MOST_BYTES:
        raise ValueError(f"the attribute {name} must have at most {MOST_BYTES:,} bytes, got more")
    return [text.decode() if isinstance(text, bytes) else str(text) for text in np.ravel(group.attrs[name])]


@dataclass(frozen=True)
class KerasFile:
    """The weights' root group, and the configuration where the file has one."""

    root: Any
    config: Config | None
    texts: Mapping[str, list[str]]

    def weights(self, entry: Entry) -> dict[str, Any]:
        """Return the data sets of a layer's weights by name."""
        if entry.whole is not None:
            every = self.weights(entry.whole)
            if entry.kind == "DepthwiseConv2D":
                return {"kernel": every["kernel"]}
            return {name.removeprefix("pointwise_"): data for name, data in every.items() if name != "kernel"}
        found = self._by_name.get(entry.name, {}) if self._is_legacy else _numbered(self.root, entry)
        if set(found) != set(entry.leaves):
            raise ValueError(f"the layer {entry.name!r} must have weights {entry.leaves}, got {tuple(found)}")
        return found

    @property
    def _is_legacy(self) -> bool:
        return _find(self.root, "layers") is None

    @functools.cached_property
    def _by_name(self) -> dict[str, dict[str, Any]]:
        """Return the data sets of a legacy file by layer and weight, the layers in their order where it matters."""
        root = _find(self.root, "model_weights") or self.root
        found: dict[str, dict[str, Any]] = {}
        for outer in self._order(root) if self.config is None else _names(root):
            for path, dataset in _datasets(_child(root, outer), outer):
                _, layer, weight = f"/{path}".rsplit("/", 2)
                leaf = weight.partition(":")[0].removeprefix("depthwise_")
                found.setdefault(layer, {})[leaf] = dataset
        return found

    def _order(self, root: Any) -> list[str]:
        # Keras splits long lists into layer_names0, layer_names1, ..
        names = ["layer_names", *(f"layer_names{i}" for i in range(MOST_LAYERS))]
        parts = [_strings(root, name, self.texts) for name in names[: len(root.attrs) + 1]]
        return [text for part in parts for text in part]

    def layers(self) -> list[Entry]:
        """Return the layers of the configuration; without one those with weights, each kind in its order."""
        found = self._stored() if self.config is None else entries(self.config)
        listed = list(itertools.islice(found, MOST_LAYERS + 1))
        if len(listed) > MOST_LAYERS:
            raise ValueError(f"its layers must be at most {MOST_LAYERS:,}, got more")
        return listed

    def _stored(self) -> list[Entry]:
        if self._is_legacy:
            return [_entry(name, "", leaves) for name, leaves in self._by_name.items()]
        group = _child(self.root, "layers")
        if any(_find(group, f"{name}/layers") is not None for name in _names(group)):
            raise ValueError("it holds models inside the model, whose order it does not tell. Use a .keras file")
        names = sorted(_names(group), key=lambda name: [int(part) for part in re.findall(r"_(\d+)$", name)])
        return [_numbered_entry(group, name) for name in names if len(_child(group, f"{name}/vars"))]


def _numbered(root: Any, entry: Entry) -> dict[str, Any]:
    group = _child(root, f"{entry.place}/vars")
    leaves = entry.leaves if len(group) == len(entry.leaves) else [str(i) for i in range(len(group))]
    return {leaf: _child(group, str(i)) for i, leaf in enumerate(leaves)}


def _numbered_entry(group: Any, name: str) -> Entry:
    """Return the layer of a group, its class from the group's name, its configuration from the number of weights."""
    kinds = [kind for kind in (*WEIGHTED, SEPARABLE) if re.fullmatch(rf"{snake_case(kind)}(_\d+)?", name)]
    if not kinds:
        raise ValueError(f"its layers with weights must be {', '.join(WEIGHTED)}, got {name!r}")
    count = len(_child(group, f"{name}/vars"))
    if kinds[0] != "BatchNormalization":
        return Entry(kinds[0], name, {"use_bias": count > 1 + (kinds[0] == SEPARABLE)}, f"layers/{name}")
    if count == 3:
        raise ValueError(f"{name!r} lacks gamma or beta, and the file does not tell which. Use a .keras file")
    return Entry(kinds[0], name, {"scale": count > 2, "center": count > 2}, f"layers/{name}")


def _entry(name: str, place: str, leaves: dict[str, Any]) -> Entry:
    """Return the layer that has these weights."""
    if "moving_mean" in leaves:
        return Entry("BatchNormalization", name, {"scale": "gamma" in leaves, "center": "beta" in leaves}, place)
    if "pointwise_kernel" in leaves:
        return Entry(SEPARABLE, name, {"use_bias": "bias" in leaves}, place)
    kind = "Conv2D" if len(leaves["kernel"].shape) == 4 else "Dense"
    return Entry(kind, name, {"use_bias": "bias" in leaves}, place)


def _datasets(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield the data sets in a group with their paths; a group may be in itself, so that their number is limited."""
    ahead = [(path, group)]
    for _ in range(MOST_LAYERS):
        if not ahead:
            return
        path, found = ahead.pop()
        if hasattr(found, "dtype"):
            yield path, found
        elif path.count("/") < MOST_LEVELS:
            ahead += [(f"{path}/{name}", _find(found, name)) for name in reversed(_names(found))]
    raise ValueError(f"the weights of a layer must be at most {MOST_LAYERS:,}, got more")


def _names(group: Any) -> list[str]:
    if len(group) > MOST_LAYERS:
        raise ValueError(f"{group.name} must have at most {MOST_LAYERS:,} entries, got {len(group):,}")
    return list(group)


def _child(group: Any, path: str) -> Any:
    """Return what is at a path."""
    found = _find(group, path)
    if found is None:
        raise ValueError(f"{path} is missing")
    return found


def _find(group: Any, path: str) -> Any:
    """Return what is at a path or None, without following links to elsewhere, which may be another file."""
    h5py = need("h5py", "interop")
    for name in path.split("/"):
        # not `name in group`, which would follow a link
        if not isinstance(group, h5py.Group) or not group.id.links.exists(name.encode()):
            return None
        if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
            raise ValueError(f"{path} must be in the file itself, got a link")
        group = group[name]
    return group


def array(dataset: Any, shape: Shape) -> np.ndarray:
    """Return a data set of this shape as float32; what it claims is compared with what is stored, then allocated."""
    if not hasattr(dataset, "dtype") or dataset.dtype.kind != "f":
        raise ValueError(f"{dataset.name} must be an array of floats, got {getattr(dataset, 'dtype', 'a group')}")
    if dataset.shape != shape:
        raise ValueError(f"{dataset.name} must have shape {shape}, got {dataset.shape}")
    stored, claimed = dataset.id.get_storage_size(), dataset.size * dataset.dtype.itemsize
    if dataset.is_virtual or dataset.external or stored != claimed:
        raise ValueError(f"{dataset.name} must have its {claimed:,} bytes in the file itself, got {stored:,}")
    return np.asarray(dataset[()], np.float32)
