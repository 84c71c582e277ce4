"""Parameters from and to PyTorch, in safetensors files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from minicnn import safetensors_files
from minicnn.files import GIBIBYTE, FileFormatError, check_size
from minicnn.geometry import Shape
from minicnn.hints import explained
from minicnn.interop.torch_layers import Stored, stored_layers
from minicnn.interop.walk import check_names, is_chain, tree_of
from minicnn.layers import Classifier, Layer, Sequential, check_params
from minicnn.layers.base import Params, check_net
from minicnn.trees import items
from minicnn.validation import integer, shown
from minicnn.validation import path as checked_path

WANTED = "a safetensors file"
MOST_TENSORS = 10_000
FLOATS = ("F16", "F32", "F64")
PICKLED = """it is a pickle, which can run any code when it is read. If you trust it, convert it:
    state = torch.load({path!r}, weights_only=True)
    safetensors.torch.save_file(state, {target!r})"""


@explained
def from_torch(
    net: Layer,
    path: str | Path,
    input_shape: Sequence[int],
    *,
    names: Mapping[str, str] | None = None,
    max_bytes: int = GIBIBYTE,
) -> Params:
    """Read the parameters of a net from a safetensors file that PyTorch wrote.

    Kernels are rearranged from PyTorch's (out, in, kh, kw) and (out, in), and the dense layer behind a Flatten for the
    order of its features there, (C, H, W). The net has to be the same one: PyTorch's batch normalization has
    `epsilon=1e-5` by default, and its `padding=1` with a stride is `padding=1` here, not "same".

    Layers are matched by the shapes of their parameters, those of the same shapes by the numbers in their names:
    `conv1`, `conv2` or `0`, `2`, `10`. A safetensors file does not keep the order of its entries. Where this is
    ambiguous, `names` is needed.

    Parameters
    ----------
    net : Layer
        The net here.
    path : path
        Of the file, as `safetensors.torch.save_file(module.state_dict(), path)` writes it.
    input_shape : tuple
        (H, W, C) or (features,).
    names : dict, optional
        For the path of each layer with parameters here its name in PyTorch, as {"trunk/conv2d": "features.0"}.
    max_bytes : int
        The largest file that is read.

    Returns
    -------
    params : dict
        In float32.

    Raises
    ------
    FileFormatError
        A ValueError: the file is damaged, too large, a pickle, or does not fit the net. Nothing is allocated for it.
    ValueError, TypeError, OSError
        Other arguments do not fit, or the file cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from minicnn.layers import Dense
    >>> params = {"kernel": np.ones((3, 2), np.float32), "bias": np.zeros(2, np.float32)}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = to_torch(Dense(2), params, (3,), f"{folder}/dense.safetensors", names={"": "fc"})
    ...     from_torch(Dense(2), path, (3,))["kernel"].shape
    (3, 2)
    """
    source = checked_path("from_torch", "path", path)
    shape = check_net("from_torch", net, input_shape)
    most = integer("from_torch", "max_bytes", max_bytes)
    wanted = stored_layers("from_torch", net, shape)
    check_names("from_torch", names, [layer.path for layer in wanted])
    check_size("from_torch", WANTED, source, most)
    _check_not_pickled(source)
    with safetensors_files.opened("from_torch", WANTED, source, most) as file:
        found = _modules(source, file)
        prefixes = _matched(source, wanted, found, names)
        arrays = {
            leaf.path: leaf.from_torch(file.get_tensor(_full(prefixes[layer.path], leaf.name)))
            for layer in wanted
            for leaf in layer.leaves
        }
    return tree_of(net.param_shapes(shape), arrays)


@explained
def to_torch(
    net: Layer,
    params: Params,
    input_shape: Sequence[int],
    path: str | Path,
    *,
    names: Mapping[str, str] | None = None,
) -> Path:
    """Write parameters to a safetensors file in PyTorch's arrangement and return its path.

    `module.load_state_dict(safetensors.torch.load_file(path), strict=False)` reads it. Layers in a chain are named by
    their place, for `nn.Sequential` of one module for each layer, ReLU and Dropout included; those of a net with
    branches by their path with dots, as `body.conv2d`; or as `names` says, see `from_torch`.

    Raises
    ------
    ValueError, TypeError
        Parameters, names or input shape do not fit the net.
    OSError
        The file cannot be written.
    """
    target = checked_path("to_torch", "path", path)
    shape = check_net("to_torch", net, input_shape)
    check_params(net, params, shape)
    stored = stored_layers("to_torch", net, shape)
    check_names("to_torch", names, [layer.path for layer in stored])
    prefixes = dict(names) if names is not None else _default_names(net, stored)
    here = dict(items(params))
    tensors = {
        _full(prefixes[layer.path], leaf.name): leaf.to_torch(here[leaf.path])
        for layer in stored
        for leaf in layer.leaves
    }
    return safetensors_files.write(target, tensors, {"format": "pt"})


def _full(prefix: str, leaf: str) -> str:
    return f"{prefix}.{leaf}" if prefix else leaf


def _default_names(net: Layer, stored: list[Stored]) -> dict[str, str]:
    if isinstance(net, Sequential | Classifier) and is_chain(net):
        return {layer.path: str(layer.place) for layer in stored}
    return {layer.path: layer.path.replace("/", ".") for layer in stored}


# Reading


def _refuse(path: Path, reason: str) -> NoReturn:
    raise FileFormatError("from_torch", WANTED, path, reason) from None


def _check_not_pickled(path: Path) -> None:
    """Raise FileFormatError for what torch.save writes, a pickle or a zip archive of one."""
    with open(path, "rb") as file:
        start = file.read(9)
    if start[8:] != b"{" and start[:4].startswith((b"PK\x03\x04", b"\x80")):
        target = str(path.with_suffix(".safetensors"))
        _refuse(path, PICKLED.format(path=str(path), target=target))


def _modules(path: Path, file: Any) -> dict[str, dict[str, tuple[Shape, str]]]:
    """Return shape and dtype of each parameter by its module's name and its own."""
    found: dict[str, dict[str, tuple[Shape, str]]] = {}
    if len(names := file.keys()) > MOST_TENSORS:
        _refuse(path, f"it has {len(names):,} arrays, more than {MOST_TENSORS:,}")
    for name in names:
        prefix, _, leaf = name.rpartition(".")
        if leaf != "num_batches_tracked":  # how many batches the running averages have seen, which nothing needs
            part = file.get_slice(name)
            found.setdefault(prefix, {})[leaf] = tuple(part.get_shape()), part.get_dtype()
    return found


def _matched(
    path: Path,
    wanted: list[Stored],
    found: dict[str, dict[str, tuple[Shape, str]]],
    names: Mapping[str, str] | None,
) -> dict[str, str]:
    """Return for the path of each layer the name of its module; raise unless all parameters are floats that fit."""
    for prefix, leaves in found.items():
        for leaf, (_, dtype) in leaves.items():
            if dtype not in FLOATS:
                fix = "Save module.float().state_dict()"
                _refuse(path, f"{_full(prefix, leaf)} has dtype {dtype} and not one of {', '.join(FLOATS)}. {fix}")
    shapes = {prefix: {leaf: shape for leaf, (shape, _) in leaves.items()} for prefix, leaves in found.items()}
    if names is None:
        dotted = {layer.path: layer.path.replace("/", ".") for layer in wanted}
        names = dotted if set(dotted.values()) == set(shapes) else _by_shapes(path, wanted, shapes)
    for layer in wanted:
        there = shapes.get(names[layer.path])
        if there != layer.shapes:
            _refuse(path, f"{names[layer.path]!r} has {there}, and {layer.path or 'the layer'} needs {layer.shapes}")
    return dict(names)


def _by_shapes(path: Path, wanted: list[Stored], shapes: dict[str, dict[str, Shape]]) -> dict[str, str]:
    if len(shapes) != len(wanted):
        paths = [layer.path for layer in wanted]
        _refuse(path, f"it has {len(shapes)} modules {shown(list(shapes))}, and the net {len(paths)} layers {paths}")
    matched: dict[str, str] = {}
    for kind in sorted({_key(layer.shapes) for layer in wanted}):
        here = [layer for layer in wanted if _key(layer.shapes) == kind]
        there = sorted((prefix for prefix, has in shapes.items() if _key(has) == kind), key=_numbers)
        if len(here) != len(there):
            paths = [layer.path for layer in here]
            _refuse(path, f"{len(there)} modules {there} have parameters {dict(kind)}, and {len(here)} layers {paths}")
        if len({re.sub("[0-9]+", "#", prefix) for prefix in there}) > 1:
            _refuse(path, f"the order of {there}, which have the same shapes, is not known. Give names={{path: name}}")
        matched |= {layer.path: prefix for layer, prefix in zip(here, there, strict=True)}
    return matched


def _key(shapes: dict[str, Shape]) -> tuple[tuple[str, Shape], ...]:
    return tuple(sorted(shapes.items()))


def _numbers(name: str) -> list[Any]:
    """Sort names by the numbers in them: "2" before "10"."""
    # By length and digits, since Python makes no int of more than 4,300 digits.
    parts = re.split(r"([0-9]+)", name)
    return [(len(part.lstrip("0")), part) if place % 2 else part for place, part in enumerate(parts)]
