"""What this site adds to Sphinx: the reference from the public lists, pictures of poolings, a check of all pages."""

from __future__ import annotations

import functools
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import explorer_page
import pooling_pictures
import public_names
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]
CAPTION = (
    "Drawn by minicnn.show from the op itself, in inference, for a part of a handwritten 0; show.pooling draws the "
    "same for a net and an image of your own."
)


class PoolingPicture(SphinxDirective):
    """The picture of the pooling with this name; nothing for other names."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Draw the picture, and show it."""
        name = self.arguments[0]
        draw = pooling_pictures.picture(name)
        if draw is None:
            return []
        path = pooling_pictures.write(name, draw, Path(self.env.srcdir) / "reference" / "pictures")
        alt = f"What {name.rpartition('.')[2]} keeps of an image of 6x6 pixels, its result, and where its gradient goes"
        image = nodes.image(uri=f"/reference/pictures/{path.name}", alt=alt, classes=["pooling-picture"])
        return [nodes.container("", image, classes=["wide-figure"]), nodes.paragraph("", CAPTION)]


class CommandHelp(SphinxDirective):
    """What the command `minicnn` and each of its commands say with --help."""

    def run(self) -> list[nodes.Node]:
        """Run them as a user would."""
        text = _help()
        shown = [
            f"$ minicnn {name} --help\n\n{_help(name)}" for name in re.findall(r"^    (\w+)  +\w", text, re.MULTILINE)
        ]
        return [nodes.literal_block(help_, help_, language="text") for help_ in [f"$ minicnn --help\n\n{text}", *shown]]


def _help(*command: str) -> str:
    program = [sys.executable, "-m", "minicnn", *command, "--help"]
    done = subprocess.run(program, check=True, capture_output=True, text=True, env={**os.environ, "COLUMNS": "88"})  # noqa: S603
    return done.stdout.strip()


def write_reference(app: Sphinx, config: Any) -> None:
    """Write the pages of the modules, before Sphinx looks which pages there are."""
    public_names.write_pages(Path(app.srcdir) / "reference")


@functools.cache
def _targets() -> dict[str, str]:
    """Return the full name behind each way to write a public name, such as `ops.relu`, `minicnn.ops.relu` or `relu`."""
    targets: dict[str, str] = {}
    for full in sorted(public_names.pages(), key=len, reverse=True):
        parts = full.split(".")
        targets.update({".".join(parts[start:]): full for start in range(len(parts))})
    return targets


def resolve(app: Sphinx, env: Any, node: Any, content: nodes.TextElement) -> nodes.Node | None:
    """Resolve names in backticks as docstrings write them; others, such as those of arguments, stay as they are."""
    target = _targets().get(re.sub(r"\(.*\)$", "", str(node["reftarget"])))
    if node.get("refdomain") != "py" or target is None:
        return None
    domain = env.get_domain("py")
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", target, node, content)


def show_columns(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Show the two columns of a docstring, names and what they are, as a list of definitions."""
    lines[:] = definitions(lines)


def definitions(lines: list[str]) -> list[str]:
    """Return a docstring in which paragraphs of two columns are lists of definitions.

    >>> definitions(["Two.", "", "max      the largest", "         element", "average  the mean"])
    ['Two.', '', 'max', '    the largest', '    element', 'average', '    the mean']
    """
    result: list[str] = []
    for blank, paragraph in itertools.groupby(lines, key=lambda line: not line.strip()):
        block = list(paragraph)
        columns = any(re.search(r"\S {2,}\S", line) for line in block)
        if blank or not columns or block[0].startswith((" ", ">>>")):
            result += block
            continue
        for line in block:
            term, _, rest = re.sub(r" {2,}", "\n", line).partition("\n")
            result += [term] if term else []
            result += [f"    {rest}"] if rest else []
    return result


def unlink_files(app: Sphinx, doctree: nodes.document) -> None:
    """Replace links of the README to files of the repository, which are not pages here, by their text."""
    for node in list(doctree.findall(addnodes.pending_xref)):
        if node["reftype"] == "myst" and (ROOT / str(node["reftarget"])).is_file():
            node.replace_self(node.children)


SEE_ALSO = """

.. seealso::

   The :doc:`explorer </explorer>`: the nets of lesson 5 on one page, layer by layer, with all gradients.
"""


def link_explorer(app: Sphinx, docname: str, source: list[str]) -> None:
    """Link the explorer at the end of each lesson, whose text has no links."""
    if re.match(r"tutorial/\d", docname):
        source[0] += SEE_ALSO


def write_explorer(app: Sphinx, exception: Exception | None) -> None:
    """Train the nets of the explorer and write its page."""
    if exception is None and app.builder.name == "html":
        explorer_page.write(Path(app.outdir) / "_static" / "explorer.html")


def unlink_sources(app: Sphinx, docname: str, source: list[str]) -> None:
    """Turn the tour's links to files of the package into their names: the site has its own pages of the source."""
    if docname == "tour":
        source[0] = re.sub(r"\[(`[^`]+`)\]\(\.\./minicnn/[^)]+\)", r"\1", source[0])


REMOTE = re.compile(r"""<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=["'](?:https?:)?//[^"']+""")


def remote_resources(html: str) -> list[str]:
    """Return the elements of a page that a browser would load from another host.

    >>> remote_resources('<a href="https://numpy.org">NumPy</a> <script src="https://cdn.net/x.js"></script>')
    ['<script src="https://cdn.net/x.js']
    """
    return REMOTE.findall(html)


def check(app: Sphinx, exception: Exception | None) -> None:
    """Raise if a public name has no page, a pooling no picture, or a page needs the network."""
    if exception is not None or app.builder.name != "html":
        return
    out = Path(app.outdir)
    pages = {name: out / "reference" / f"{page}.html" for name, page in public_names.pages().items()}
    missing = [name for name, page in pages.items() if not page.exists()]
    if missing:
        raise ExtensionError(f"site: no page for {', '.join(missing)}")
    poolings = [name for name in pages if pooling_pictures.picture(name)]
    plain = [name for name in poolings if "pooling-picture" not in pages[name].read_text(encoding="utf-8")]
    if plain:
        raise ExtensionError(f"site: no picture on the page of {', '.join(plain)}")
    for page in out.rglob("*.html"):
        found = remote_resources(page.read_text(encoding="utf-8"))
        if found:
            raise ExtensionError(f"site: {page.relative_to(out)} needs the network: {found[0]}")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register all of it with Sphinx."""
    app.add_directive("pooling-picture", PoolingPicture)
    app.add_directive("command-help", CommandHelp)
    app.connect("config-inited", write_reference)
    app.connect("autodoc-process-docstring", show_columns, priority=400)  # before numpydoc
    app.connect("source-read", unlink_sources)
    app.connect("source-read", link_explorer)
    app.connect("doctree-read", unlink_files)
    app.connect("missing-reference", resolve)
    app.connect("build-finished", write_explorer)
    app.connect("build-finished", check)  # after it: handlers are called in their order
    return {"parallel_read_safe": True, "parallel_write_safe": True}
