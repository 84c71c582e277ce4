"""What a result needs to be shown in a notebook."""

from __future__ import annotations

import io
from typing import Any


def shown(figure: Any) -> Any:
    """Return a matplotlib Figure that displays itself when it is the last line of a cell.

    Figures that were made without pyplot have no display of their own until ``%matplotlib inline`` was run; from
    then on IPython prefers its own, so that a figure is displayed once in any case.
    """

    def as_png() -> bytes:
        file = io.BytesIO()
        figure.savefig(file, format="png")
        return file.getvalue()

    figure._repr_png_ = as_png
    return figure
