"""Optional packages, imported where they are used; one place for the words when one is missing."""

from __future__ import annotations

import importlib
from typing import Any

DISTRIBUTION = "minicnn-numpy"
"""What pip installs. The distribution called minicnn on the public index is another project."""


def need(module: str, extra: str = "study") -> Any:
    """Import `module` by its dotted name and return it.

    Raises ImportError, with the command that installs `extra`, where the module or something it needs is absent.

    >>> need("math").floor(2.5)
    2
    >>> need("abacus")
    Traceback (most recent call last):
        ...
    ImportError: abacus is needed here: No module named 'abacus'. Install it with: pip install "minicnn-numpy[study]"
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        raise ImportError(
            f'{module} is needed here: {missing}. Install it with: pip install "{DISTRIBUTION}[{extra}]"'
        ) from missing
