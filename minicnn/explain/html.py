"""The page as one HTML text: the data, the script and the style, with a policy that allows nothing else."""

from __future__ import annotations

import base64
import hashlib
import html
from dataclasses import replace
from importlib import resources
from importlib.resources.abc import Traversable

from minicnn.explain.body import body
from minicnn.explain.contract import Data, Id, Packed
from minicnn.explain.packing import json_text

ASSETS: Traversable = resources.files("minicnn.explain")
"""Where page.js, page.css and licences.txt are, which `make page` builds from the sources in web/."""


def write_html(data: Data) -> str:
    """Return the page. Nothing in it but the built script can run, and it can load nothing."""
    script, style, licences = (asset(name) for name in ("page.js", "page.css", "licences.txt"))
    # A comment must not contain its own end.
    comment = licences.replace("--", "- -").replace(">", "&gt;")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy(script)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{_writable(data.title)}</title>
<!--
{comment}
-->
<style>{style}</style>
</head>
<body>
<noscript>This page needs JavaScript to show its data.</noscript>
{body(data)}<script type="application/json" id="data">{json_text(for_script(data))}</script>
<script>{script}</script>
</body>
</html>
"""


def for_script(data: Data) -> Data:
    """Return the data without what stands in the page as HTML already, and without the arrays of that alone."""
    nodes = [replace(node, checks=[], after=None) for node in data.tape.nodes]
    tape = replace(data.tape, nodes=nodes, rules={})
    walk = replace(data.walk, steps=[replace(step, title="", text="") for step in data.walk.steps])
    rest = replace(data, tape=tape, walk=walk, arrays={}, shapes=[], execution=[], summary=[], study=None)
    text = json_text(rest)
    read = {source for name in data.arrays if name in text for source in _behind(name, data.arrays)}
    return replace(rest, arrays={name: packed for name, packed in data.arrays.items() if name in read})


def _behind(name: Id, arrays: dict[Id, Packed]) -> set[Id]:
    """Return an array and those that it is computed from."""
    sources = (arrays[name].rule or [])[2:]
    return {name, *(each for source in sources for each in _behind(source, arrays))}


def _writable(title: str) -> str:
    """Return a title as HTML; half of a surrogate pair, which no encoding has, becomes a question mark."""
    return html.escape(title).encode("utf-8", "replace").decode()


def asset(name: str) -> str:
    """Return the text of a built file."""
    try:
        return (ASSETS / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"page: minicnn/explain/{name} must be built, got no such file. Run make page in a clone, or install "
            "minicnn again."
        ) from None


def policy(script: str) -> str:
    """Return the content security policy that allows this one script and its data, and no connection."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data: blob:"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


def frame(page: str, title: str) -> str:
    """Return an iframe that contains a page, for a notebook: it cannot reach the notebook around it."""
    return (
        f'<iframe title="{html.escape(title)}" sandbox="allow-scripts" style="width:100%;height:80vh;border:0" '
        f'srcdoc="{html.escape(page)}"></iframe>'
    )
