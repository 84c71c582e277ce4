"""`minicnn explain`: how each map gets its size, which layers run as one kernel, and a page with one image in a net."""

from __future__ import annotations

import argparse
from pathlib import Path

from minicnn.cli.arguments import Parsers, command, counting
from minicnn.cli.summary import add_net, net_and_shape

EXAMPLES = """
minicnn explain lenet5
minicnn explain pooled_cnn:strided:flatten --input-shape 8,8,1
minicnn explain out/digits --index 3 --out page.html
"""


def add(parsers: Parsers) -> None:
    """Add the command."""
    parser = command(
        parsers,
        "explain",
        "sizes and kernels of a net, and a page with one image in it",
        "Print, for each layer, the formula that gives the size of its output with its numbers, what its padding adds "
        "and what its windows do not read; then which layers run together as one kernel. With --out, write a page "
        "for the browser instead: one image in the net of a run, forward and backward, without a network connection.",
        EXAMPLES,
        run,
    )
    add_net(parser)
    add = parser.add_argument
    add("--out", type=Path, metavar="FILE", help="write a page with one image in the net of a run")
    add("--index", type=counting, default=0, metavar="N", help="which test image (default: %(default)s)")
    add("--image", type=Path, metavar="PICTURE", help="a picture of your own instead; needs --label")
    add("--label", metavar="CLASS", help="its class")
    add("--title", help="heading of the page")
    parser.set_defaults(parser=parser)


def run(options: argparse.Namespace) -> int:
    """Print the explanation, or write the page."""
    if options.out:
        return _write_page(options)
    from minicnn import layers

    net, input_shape = net_and_shape(options)
    print(layers.explain_shapes(net, input_shape))
    print()
    print(layers.explain_execution(net))
    return 0


def _write_page(options: argparse.Namespace) -> int:
    if (options.image is None) != (options.label is None):
        options.parser.error("--image and --label must be given together")
    from minicnn import explain, runs
    from minicnn.validation import one_of

    done = runs.open_run(options.net)
    images = done.dataset.test
    if options.image:
        image = done.prepare(options.image).image
        label = done.classes.index(one_of("explain", "--label", options.label, done.classes))
    elif options.index < len(images):
        image, label = images.images[options.index], int(images.labels[options.index])
    else:
        raise ValueError(f"--index must be below {len(images)}, the number of test images, got {options.index}")
    title = options.title or f"{Path(options.net).name}: one image"
    page = explain.page(
        done.net, done.params, image, label, classes=list(done.classes), shifts=images[:500], title=title
    )
    print(page.save(options.out))
    return 0
