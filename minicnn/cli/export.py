"""`minicnn export`: a run's net for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from minicnn.cli.arguments import Parsers, command

EXAMPLES = """
minicnn export out/digits --onnx net.onnx
minicnn export out/digits --keras net.keras --safetensors net.safetensors
"""
FORMATS = {
    "onnx": "for onnxruntime and others",
    "keras": "for keras.saving.load_model",
    "torch": "safetensors with the names, shapes and orders of PyTorch's nn.Sequential",
    "safetensors": "net and parameters, as `train.save` writes them",
    "json": "the net without its parameters, for `minicnn train`",
}


def add(parsers: Parsers) -> None:
    """Add the command."""
    parser = command(
        parsers,
        "export",
        "write a run's net for ONNX, Keras, PyTorch or as safetensors",
        "Write the net of a run in the formats that are asked for.",
        EXAMPLES,
        run,
    )
    parser.add_argument("run_folder", type=Path, metavar="DIR", help="folder that `minicnn train` wrote")
    group = parser.add_argument_group("formats, at least one")
    for name, text in FORMATS.items():
        group.add_argument(f"--{name}", type=Path, metavar="FILE", help=text)
    parser.set_defaults(parser=parser)


def run(options: argparse.Namespace) -> int:
    """Write each file that is asked for."""
    wanted = {name: getattr(options, name) for name in FORMATS if getattr(options, name)}
    if not wanted:
        options.parser.error("at least one of " + ", ".join(f"--{name}" for name in FORMATS) + " must be given")
    from minicnn import runs
    from minicnn.files import writable_folder

    done = runs.open_run(options.run_folder)
    for name, path in wanted.items():
        writable_folder(path.parent)
        _write(name, done, path)
        print(path)
    return 0


def _write(name: str, done: Any, path: Path) -> None:
    from minicnn import interop, records, train
    from minicnn.files import atomic_write

    if name == "json":
        atomic_write(path, records.to_json(done.net) + "\n")
    elif name == "safetensors":
        if path.suffix != ".safetensors":
            raise ValueError(f"--safetensors must be a file that ends in .safetensors, got {path}.")
        train.save(path, done.params, done.net)
    else:
        write = {"onnx": interop.to_onnx, "keras": interop.to_keras, "torch": interop.to_torch}[name]
        write(done.net, done.params, done.input_shape, path)
