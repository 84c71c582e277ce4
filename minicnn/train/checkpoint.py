"""Trees on disk: one array for each leaf, named by its path, and the structure as JSON; with a net and metadata.

The suffix ".safetensors" gives that format, any other an uncompressed .npz, which NumPy reads without this module:
``np.load(path)["conv2d/kernel"]``. Nothing is pickled.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import records, safetensors_files
from minicnn.files import GIBIBYTE, FileFormatError, atomic_write, check_size
from minicnn.hints import explained
from minicnn.layers.base import Layer
from minicnn.train import npz
from minicnn.train.encoding import brief, decode, encode
from minicnn.validation import integer, shown

TREE, NET, METADATA = KNOWN = ("tree", "net", "metadata")
"""The texts of a file. In an archive they are entries that end in ".json", and arrays such that end in ".npy"."""
WANTED = "a file that `save` wrote"


@explained
def save(path: str | Path, params: Any, net: Layer | None = None, **metadata: Any) -> Path:
    """Write a tree to one file, completely or not at all, and return its path.

    Parameters
    ----------
    path : path
        Of the file; nothing is added to its name. The suffix ".safetensors" needs that package and arrays of
        booleans, integers or floats.
    params : tree
        Dicts (keys are strings or integers), lists and tuples, nested up to 100 levels. Leaves are arrays and NumPy
        scalars of numbers, strings or dates, Python numbers (not complex ones), strings, booleans and None.
    net : Layer, optional
        The net, as `minicnn.to_json` writes it, for `load_net`. A layer of your own must be registered.
    **metadata
        Plain values, for `load_metadata`: what `params` may hold, without arrays.

    Raises
    ------
    TypeError, ValueError
        A leaf, a key or a nesting that would not come back as it was; nothing is written then.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save(f"{folder}/state.npz", {"step": 3, "mean": [np.zeros(2), ()]}, accuracy=0.5)
    ...     load(path), load_metadata(path)
    ({'step': 3, 'mean': [array([0., 0.]), ()]}, {'accuracy': 0.5})
    """
    _check_path("save", path)
    if not isinstance(params, dict | list | tuple):
        raise ValueError(f"save: params must be a dict, list or tuple, got {brief(params)} without a name.")
    arrays: dict[str, np.ndarray] = {}
    texts = {TREE: json.dumps(encode(params, (), arrays))}
    if net is not None:
        texts[NET] = records.to_json(net)
    if metadata:
        inside: dict[str, np.ndarray] = {}
        texts[METADATA] = json.dumps(encode(metadata, (), inside))
        if inside:
            raise TypeError(f"save: metadata must hold no arrays, got {', '.join(inside)}. Use .tolist().")
    npz.check_amount(texts, arrays)
    if _is_safetensors(path):
        _check_supported(arrays)
        return safetensors_files.write(path, arrays, texts)
    return atomic_write(path, lambda file: npz.write(file, texts, arrays), durable=True)


@explained
def load(path: str | Path, *, max_bytes: int = GIBIBYTE) -> Any:
    """Read a tree that `save` wrote: the same structure, and arrays equal to the bit, with their dtype and shape.

    A file of arrays alone, as `np.savez` writes it, becomes nested dicts by the slashes in the names. Nothing that
    a file claims of itself makes this need more memory than a few times its size, and nothing is unpickled.

    Raises
    ------
    FileFormatError
        A ValueError: the file is damaged, something else, or larger than `max_bytes`; it has path and reason.
    OSError
        The file does not exist or cannot be read.
    """
    with _opened("load", path, max_bytes) as content:
        return _tree(content)


@explained
def load_net(path: str | Path, *, max_bytes: int = GIBIBYTE) -> tuple[Layer, Any]:
    """Read a net and its parameters from a file that `save(path, params, net)` wrote.

    Raises FileFormatError and OSError as `load` does; also for a file without a net.

    >>> import tempfile
    >>> from minicnn.layers import Dense
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net, params = load_net(save(f"{folder}/net.npz", {"bias": np.zeros(2)}, Dense(2)))
    >>> net
    Dense(units=2)
    """
    with _opened("load_net", path, max_bytes) as content:
        if NET not in content.texts:
            raise npz.OtherFileError("it has no net. Use save(path, params, net), or load(path) for the parameters.")
        net = records.from_json(content.texts[NET])
        if not isinstance(net, Layer):
            raise ValueError(f"its net must be a layer, got {shown(net)}")
        return net, _tree(content)


@explained
def load_metadata(path: str | Path, *, max_bytes: int = GIBIBYTE) -> dict[str, Any]:
    """Read what `save(path, params, **metadata)` was given besides parameters and net; errors are those of `load`."""
    with _opened("load_metadata", path, max_bytes) as content:
        found = decode(json.loads(content.texts.get(METADATA, '{"dict": []}')), _no_array)
        if not isinstance(found, dict):
            raise ValueError(f"its metadata must be a dict, got {shown(found)}")
        return found


def _check_path(where: str, path: Any) -> None:
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{where}: path must be a string or a Path, got {shown(path)}.")


def _is_safetensors(path: str | Path) -> bool:
    return Path(path).suffix.lower() == ".safetensors"


# Writing


def _check_supported(arrays: Mapping[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        if not safetensors_files.is_supported(array.dtype):
            raise TypeError(
                f"save: {name} must be little-endian booleans, integers or floats of up to 64 bits in a safetensors "
                f"file, got dtype {array.dtype}. Use a path that ends in .npz."
            )


# Reading


@contextlib.contextmanager
def _opened(where: str, path: str | Path, max_bytes: int) -> Iterator[npz.Content]:
    """Open a file of either format; whatever a damaged one raises becomes a FileFormatError."""
    _check_path(where, path)
    most, path = integer(where, "max_bytes", max_bytes), Path(path)
    check_size(where, WANTED, path, most)
    try:
        with _safetensors(where, path, most) if _is_safetensors(path) else npz.opened(path, KNOWN) as content:
            yield content
    except (FileFormatError, ImportError):
        raise
    except npz.OtherFileError as other:
        raise FileFormatError(where, WANTED, path, str(other)) from None
    except Exception as error:  # a damaged archive can raise nearly everything
        reason = str(error) or type(error).__name__
        raise FileFormatError(where, f"{WANTED}, undamaged", path, reason) from error


@contextlib.contextmanager
def _safetensors(where: str, path: Path, max_bytes: int) -> Iterator[npz.Content]:
    with safetensors_files.opened(where, WANTED, path, max_bytes) as file:
        texts = {name: text for name, text in (file.metadata() or {}).items() if name in KNOWN}
        if any(len(text) > npz.LONGEST_TEXT for text in texts.values()):
            raise ValueError("its metadata is too long")
        yield npz.Content(texts, list(file.keys()), lambda name: safetensors_files.tensor(file, name))


def _tree(content: npz.Content) -> Any:
    """Return the tree, in the order of its structure: a safetensors file has its arrays in another one."""
    if TREE not in content.texts:
        return _nested({name: content.array(name) for name in content.names})
    left = set(content.names)

    def array(name: str) -> np.ndarray:
        if name not in left:
            raise ValueError(f"the array {name} is missing, or is there twice")
        left.remove(name)
        return content.array(name)

    tree = decode(json.loads(content.texts[TREE]), array)
    if left:
        raise ValueError(f"{', '.join(left)}: not in the structure")
    return tree


def _no_array(name: str) -> np.ndarray:
    raise ValueError(f"the metadata has an array {name}")


def _nested(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for name, array in arrays.items():
        *folders, last = name.split("/")
        place: Any = params
        for folder in folders:
            place = place.setdefault(folder, {})
            if not isinstance(place, dict):
                break
        if not isinstance(place, dict) or last in place:
            raise npz.OtherFileError(
                f"its names cannot become nested dicts: at {shown(name)} there are a leaf and a folder. "
                "Use np.load, and np.savez with other names."
            )
        place[last] = array
    return params
