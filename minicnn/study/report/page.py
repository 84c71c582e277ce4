"""What a report says, and how it becomes HTML and Markdown."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from minicnn.optional import need
from minicnn.study.report.tables import Table
from minicnn.study.report.words import markdown, unmarked

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Content:
    """The parts of a report; text is as people wrote it, and escaped where it is written."""

    title: str
    question: str
    answers: tuple[tuple[str, tuple[str, ...]], ...]
    summary: tuple[Table, ...]
    tables: Mapping[str, Table]
    figures: Mapping[str, tuple[Figure, str]]
    pictures: Mapping[str, bytes]
    """Each figure as SVG."""
    notes: tuple[str, ...]
    settings: Mapping[str, str]
    arms: Mapping[str, str]
    environment: Mapping[str, str]
    command: str
    failed: tuple[str, ...]
    missing: int
    explorer: str = ""
    """The name of a file beside the report, the page of the trained nets."""


def as_html(content: Content) -> str:
    """Return the page: one file without external resources."""
    jinja2 = need("jinja2")
    source = files("minicnn.study.report").joinpath("report.html.jinja").read_text(encoding="utf-8")
    # every value is escaped: names and settings are text of the user, never markup
    rules = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    shown = [_figure(name, *pair, content.pictures[name]) for name, pair in content.figures.items()]
    html: str = rules.from_string(source).render(vars(content) | {"figures": shown}, typeset=typeset)
    return html


def _figure(name: str, figure: Figure, caption: str, svg: bytes) -> dict[str, str]:
    # an <img>, not inline SVG: the ids of two figures cannot collide, and no script in a figure can run
    data = base64.b64encode(svg).decode()
    title = figure.get_suptitle()
    return {"name": name, "source": f"data:image/svg+xml;base64,{data}", "alt": title, "caption": caption}


def as_markdown(content: Content) -> str:
    """Return the report as Markdown, with links to the pictures beside it."""
    parts = [f"# {unmarked(content.title)}", unmarked(content.question)]
    for head, sentences in content.answers:
        parts += [f"**{unmarked(head)}**", "\n".join(f"- {unmarked(sentence)}" for sentence in sentences)]
    parts += [markdown(table.header, table.rows) for table in content.summary]
    for name, (figure, caption) in content.figures.items():
        parts.append(f"![{unmarked(figure.get_suptitle())}]({name}.png)\n\n{unmarked(caption)}")
    if content.explorer:
        parts.append(f"[The trained nets, layer by layer]({content.explorer})")
    for name, table in content.tables.items():
        parts.append(f"## {name}\n\n{markdown(table.header, table.rows)}")
    parts.append("## Method\n\n" + _listed({**content.settings, **content.arms}))
    parts += [unmarked(note) for note in content.notes]
    parts.append("## Machine and versions\n\n" + _listed(content.environment))
    parts.append(f"## Repeat\n\n```sh\n{content.command}\n```")
    return "\n\n".join(part for part in parts if part) + "\n"


def _listed(items: Mapping[str, Any]) -> str:
    return "\n".join(f"- {unmarked(name)}: {unmarked(str(value))}" for name, value in items.items())


def typeset(text: str) -> str:
    r"""Replace the hyphen of negative numbers, as differences and intervals have them, by a minus sign.

    Names are left as they are, also those that begin like a number.

    >>> typeset("-0.50 [-1.00, +0.20] max-average").count("\N{MINUS SIGN}")
    2
    >>> typeset("-5 against max-1")
    '-5 against max-1'
    """
    return re.sub(r"(?<!\S)-(?=\d+\.\d+ \[)|(?<=\[)-(?=\d)|(?<=, )-(?=\d+\.\d+\])", "\N{MINUS SIGN}", text)
