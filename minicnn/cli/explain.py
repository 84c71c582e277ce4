"""`minicnn explain`: how each map gets its size, which layers run as one kernel, and a page with one image in a net."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn.cli.arguments import Parsers, command, counting
from minicnn.cli.summary import add_net, net_and_shape

if TYPE_CHECKING:
    from minicnn.runs import Run

EXAMPLES = """
minicnn explain lenet5
minicnn explain pooled_cnn:strided:flatten --input-shape 8,8,1
minicnn explain out/digits --index 3 --out page.html
minicnn explain small_cnn:max --heads small_cnn:average small_cnn:global-max --out heads.html
"""


def add(parsers: Parsers) -> None:
    """Add the command."""
    parser = command(
        parsers,
        "explain",
        "sizes and kernels of a net, and a page with one image in it",
        "Print, for each layer, the formula that gives the size of its output with its numbers, what its padding adds "
        "and which elements its windows do not read; then which layers run together as one kernel. With --out, write a "
        "page for the browser instead: one image in the net, forward and backward. The page needs no network "
        "connection. A net that is given by its name has its initial parameters there.",
        EXAMPLES,
        run,
    )
    add_net(parser)
    add = parser.add_argument
    add("--out", type=Path, metavar="FILE", help="write the page to this file")
    add("--index", type=counting, metavar="N", help="index of the test image (default: 0)")
    add("--image", type=Path, metavar="PICTURE", help="picture to show instead of a test image; needs --label")
    add("--label", metavar="CLASS", help="class of the picture")
    add("--heads", nargs="+", default=[], metavar="NET|DIR", help="other nets, shown beside this one on the page")
    add("--dataset", default="digits", metavar="NAME",
        help="data set of the test image, for a net that is not a run (default: %(default)s)")  # fmt: skip
    add("--title", help="heading of the page (default: the name of the net, and one image)")
    parser.set_defaults(parser=parser)


def run(options: argparse.Namespace) -> int:
    """Print the explanation, or write the page."""
    if options.out:
        return _write_page(options)
    for name in ("index", "image", "label", "heads", "title"):
        if getattr(options, name) not in (None, []):
            options.parser.error(f"--{name} needs --out, because it is an option of the page")
    from minicnn import layers

    net, input_shape = net_and_shape(options)
    print(layers.explain_shapes(net, input_shape))
    print()
    print(layers.explain_execution(net))
    return 0


def _write_page(options: argparse.Namespace) -> int:
    if (options.image is None) != (options.label is None):
        options.parser.error("--image and --label must be given together")
    from minicnn import explain
    from minicnn.files import writable_folder
    from minicnn.validation import one_of

    done = _opened(options.net, options.dataset)
    writable_folder(options.out.parent)  # before the work
    images, index = done.dataset.test, options.index or 0
    if options.image:
        image = done.prepare(options.image).image
        label = done.classes.index(one_of("explain", "--label", options.label, done.classes))
    elif index < len(images):
        image, label = images.images[index], int(images.labels[index])
    else:
        raise ValueError(f"--index must be below {len(images)}, the number of test images, got {index}")
    page = explain.page(
        done.net,
        done.params,
        image,
        label,
        classes=list(done.classes),
        heads=_heads(done, options),
        shifts=images[:500],
        title=options.title or f"{Path(options.net).name}: one image",
    )
    print(page.save(options.out))
    return 0


def _opened(net: str, dataset: str) -> Run:
    """Return the run in a folder; for a file or a name, the net as if it had been trained on the data set."""
    import numpy as np

    from minicnn import data, runs, train
    from minicnn.validation import one_of

    place = Path(net)
    if place.is_dir():
        return runs.open_run(place)
    images = data.load(one_of("explain", "--dataset", dataset, data.SOURCES))
    shape, names = images.test.images.shape[1:], tuple(map(str, images.classes))
    if place.suffix in (".npz", ".safetensors"):
        made, params = train.load_net(place)
    else:  # not trained: the page of the initial parameters
        made = runs.named_net(net, classes=len(names))
        params = made.init(np.random.default_rng(0), shape)
    return runs.Run(place, runs.Settings(made, dataset), params, names, shape)


def _heads(done: Run, options: argparse.Namespace) -> dict[str, Any] | None:
    """Return the net and those it is compared with, by the names of their files or folders."""
    if not options.heads:
        return None
    heads = {_name(options.net): (done.net, done.params)}
    for path in options.heads:
        if _name(path) in heads:
            raise ValueError(f"--heads must name each net once, got {_name(path)!r} twice. Rename its folder or file.")
        other = _opened(path, options.dataset)
        heads[_name(path)] = (other.net, other.params)
    return heads


def _name(net: str) -> str:
    """Return the name under which the page shows a net: that of its file or folder; a name it has of its own."""
    place = Path(net)
    return place.stem if place.suffix in (".npz", ".safetensors", ".json") else place.name or net
