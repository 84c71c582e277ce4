"""Display in notebooks: progress bars, figures that display themselves, HTML tables.

IPython is never imported: a notebook's kernel has already loaded it.
"""

from __future__ import annotations

import html
import importlib
import io
import itertools
import re
import sys
import uuid
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEFT = ' style="text-align:left"'
_NUMBER = re.compile(r"[-+\[]?\.?\d")


def in_notebook() -> bool:
    """Tell whether this process is the kernel of a notebook, as Jupyter and its relatives run it."""
    return any(kind.__name__ == "ZMQInteractiveShell" for kind in type(_shell()).__mro__)


def _shell() -> Any:
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get_shell() if callable(get_shell) else None


def progress_bar(total: int, *, unit: str, shown: bool | None = None, scaled: bool = True, done: int = 0) -> Any:
    """Return a tqdm bar: on stderr if that is a terminal or a notebook's, as a widget if ipywidgets is installed.

    Numbers of four digits and more are written as 1.23k if they are `scaled`, and all with three digits. `done` of
    `total` are done already.
    `shown` decides instead if it is True or False. The bar needs a stderr that can be written to.
    """
    notebook = in_notebook()
    if shown is None:
        shown = notebook or _is_terminal(sys.stderr)
    bar = _widget_bar() if notebook and shown else _text_bar()
    disable = not shown or not hasattr(sys.stderr, "write") or getattr(sys.stderr, "closed", False)
    return bar(total=total, initial=done, disable=disable, unit=unit, unit_scale=scaled, dynamic_ncols=True)


def shown(figure: Figure) -> Figure:
    """Return the figure, made to display itself as the result of a notebook's cell, with or without pyplot.

    Figures that pyplot does not know are else displayed only after `%matplotlib inline`.
    """
    if not hasattr(figure, "_repr_png_"):
        figure._repr_png_ = partial(_png, figure)  # type: ignore[attr-defined]
    return figure


def html_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as HTML, with all text escaped. A column without numbers is aligned at its left.

    >>> html_table(["a<b"], [[1]])
    '<table><thead><tr><th>a&lt;b</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>'
    """
    texts = [[str(value) for value in row] for row in rows]
    styles = [
        _LEFT if any(column) and not any(map(_NUMBER.match, column)) else "" for column in zip(*texts, strict=True)
    ]
    styles = styles or [""] * len(head)
    body = "".join(_table_row("td", row, styles) for row in texts)
    return f"<table><thead>{_table_row('th', map(str, head), styles)}</thead><tbody>{body}</tbody></table>"


def _table_row(cell: str, texts: Iterable[str], styles: Sequence[str]) -> str:
    inside = (f"<{cell}{style}>{html.escape(text)}</{cell}>" for text, style in zip(texts, styles, strict=True))
    return f"<tr>{''.join(inside)}</tr>"


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # None, an object that only writes, or a closed file
        return False


def _text_bar() -> Any:
    from tqdm import tqdm

    return tqdm


def _widget_bar() -> Any:
    """Return the bar made of ipywidgets, or of text where they are missing: tqdm.auto would warn of that."""
    try:
        importlib.import_module("ipywidgets")
        from tqdm.notebook import tqdm
    except ImportError:
        publisher = getattr(_shell(), "display_pub", None)
        return _text_bar() if publisher is None else _cell_bar(publisher.publish)
    return tqdm


def _cell_bar(publish: Any) -> Any:
    """Return a bar of text that is one output of its cell, replaced by each step.

    What is written to stderr may stay as a line for each step where a notebook is executed without being displayed.
    """

    class CellBar(_text_bar()):  # type: ignore[misc]
        def __init__(self, **options: Any) -> None:
            super().__init__(**options, file=io.StringIO(), ascii=False)

        @staticmethod
        def status_printer(file: Any) -> Any:
            place, updates = {"display_id": uuid.uuid4().hex}, itertools.chain([False], itertools.repeat(True))
            return lambda text: publish({"text/plain": text}, transient=place, update=next(updates))

    return CellBar


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
