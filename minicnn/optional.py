"""Optional packages: imported where they are used, with the command that installs a missing one."""

from __future__ import annotations

import importlib
from typing import Any

DISTRIBUTION = "minicnn-numpy"
"""The name to give to pip. The distribution called minicnn on the public index is another project."""


def install_command(extra: str) -> str:
    """Return the command that installs minicnn with an extra.

    >>> install_command("fast")
    'pip install "minicnn-numpy[fast]"'
    """
    return f'pip install "{DISTRIBUTION}[{extra}]"'


def need(module: str, extra: str = "study") -> Any:
    """Import `module` by its dotted name and return it.

    Raises ImportError, with the command that installs `extra`, if the module or one that it imports is missing.

    >>> need("math").floor(2.5)
    2
    >>> need("xyz")
    Traceback (most recent call last):
        ...
    ImportError: minicnn: xyz must be installed, got No module named 'xyz'. Use pip install "minicnn-numpy[study]".
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        raise ImportError(
            f"minicnn: {module} must be installed, got {missing}. Use {install_command(extra)}.", name=missing.name
        ) from missing
