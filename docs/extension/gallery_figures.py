"""Figures in lessons: one that is the value of a cell's last line is shown once, as in a notebook."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst

WIDE = 6
"""Figures of more inches than this can be scrolled on narrow screens, where their text would else be too small."""
_shown: list[Figure] = []


def figures(block: Any, variables: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Save the figure that the cell ends with, and return reST that shows it; nothing for other values."""
    value = variables["example_globals"].get("___")  # where the gallery keeps the value of a last line
    if not isinstance(value, Figure) or any(value is figure for figure in _shown):
        return ""
    _shown[:] = [value]  # a cell without such a line leaves the value of the one before
    path = next(variables["image_path_iterator"])
    value.savefig(path, dpi=120, facecolor="white")
    shown: str = figure_rst([path], gallery_conf["src_dir"])
    if value.get_figwidth() < WIDE:
        return shown
    return ".. container:: wide-figure\n\n" + textwrap.indent(shown.strip("\n"), "    ") + "\n\n"


def _get_sg_image_scraper() -> Callable[..., str]:
    """Return the function that the gallery calls after each cell."""
    return figures
