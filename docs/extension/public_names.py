"""The public names of minicnn, and the source of the reference: one page per module, which lists a page per name."""

from __future__ import annotations

import functools
import importlib
import itertools
import pkgutil
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import minicnn

NESTED = ("minicnn.layers.initializers",)
"""Public modules inside of packages; all others are directly in minicnn."""

GROUPED = 15
"""A longer list of names is grouped by the files in which they are defined."""


@functools.cache
def modules() -> list[str]:
    """Return the modules that have a list of public names, the package itself first."""
    found = [f"minicnn.{module.name}" for module in pkgutil.iter_modules(minicnn.__path__) if module.name[0] != "_"]
    names = ["minicnn", *sorted([*found, *NESTED])]
    return [name for name in names if hasattr(importlib.import_module(name), "__all__")]


@functools.cache
def names(module: str) -> list[str]:
    """Return the public names of a module that are not modules themselves.

    >>> "value_and_grad" in names("minicnn"), "ops" in names("minicnn")
    (True, False)
    """
    found = importlib.import_module(module)
    return [name for name in sorted(found.__all__) if not isinstance(getattr(found, name), ModuleType)]


def pages() -> dict[str, str]:
    """Return the path of the page, below the reference, of each public name, with its module in front."""
    listed = [(module, name) for module in modules() for name in names(module)]
    found = {f"{module}.{name}": f"{owner(module, name)}.{name}" for module, name in listed}
    return {
        **{module: module for module in modules()},
        **{name: f"api/{file_names().get(page, page)}" for name, page in found.items()},
    }


def file_names() -> dict[str, str]:
    """Return the file names of names that differ from another one in case alone, which some file systems cannot hold.

    >>> file_names()["minicnn.layers.Summary"]
    'minicnn.layers.Summary-class'
    """
    full = [f"{module}.{name}" for module in modules() for name in names(module)]
    small = {name for name in full if name == name.lower()}
    return {name: f"{name}-class" for name in full if name not in small and name.lower() in small}


def owner(module: str, name: str) -> str:
    """Return the module under which the page of a name stands: the shortest that has the same object in its list.

    >>> owner("minicnn.estimator", "CNNClassifier")
    'minicnn'
    """
    value = getattr(importlib.import_module(module), name)
    if not isinstance(value, type | types.FunctionType):  # such as a number, which is another's by chance
        return module
    having = [other for other in modules() if name in names(other)]
    return min((other for other in having if getattr(importlib.import_module(other), name) is value), key=len)


def write_pages(folder: Path) -> None:
    """Write the page of each module, and the index, unless they are there with the same text."""
    texts = {f"{module}.rst": module_page(module) for module in modules()}
    texts["index.rst"] = index_page()
    for module in modules():
        for name, value in aliases(module).items():
            texts[f"{pages()[f'{module}.{name}']}.rst"] = _alias_page(module, name, value)
    for old in set(folder.glob("*.rst")) - {folder / name for name in texts}:
        old.unlink()
    for name, text in texts.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def module_page(module: str) -> str:
    """Return the page of a module: its docstring and tables of its names."""
    heading = f"{module}\n{'=' * len(module)}\n\n.. automodule:: {module}\n   :no-members:\n"
    return "\n".join([heading, *itertools.starmap(_table, _groups(module)), _others(module)])


def index_page() -> str:
    """Return the page that lists the modules with the first sentence of each."""
    lines = [f"* :doc:`{module} <{module}>`: {summary(module)}" for module in modules()]
    lines.append("* :doc:`The command minicnn </command>`: its options, as --help prints them.")
    contents = "\n".join(f"   {module}" for module in [*modules(), "/command"])
    title = "Reference"
    about = "Every public name has a page, made of its docstring. The examples are run by the tests."
    hidden = f".. toctree::\n   :hidden:\n   :maxdepth: 1\n\n{contents}"
    return "\n\n".join([f"{title}\n{'=' * len(title)}", about, "\n".join(lines), hidden]) + "\n"


def summary(module: str) -> str:
    """Return the first paragraph of the module's docstring."""
    doc = importlib.import_module(module).__doc__ or ""
    return " ".join(doc.strip().split("\n\n")[0].split())


def aliases(module: str) -> dict[str, str]:
    """Return the public names of a module that are names of types, with these types."""
    found = importlib.import_module(module)
    values = {name: getattr(found, name) for name in names(module)}
    return {
        name: re.sub(r"\b(?:\w+\.)+", "", str(value))
        for name, value in values.items()
        if typing.get_origin(value) is not None or isinstance(value, types.UnionType)
    }


def _groups(module: str) -> Iterator[tuple[str, list[str]]]:
    """Yield a heading and its names: one group without a heading for a short list."""
    found = importlib.import_module(module)
    listed = [name for name in names(module) if name not in aliases(module) and owner(module, name) == module]
    homes = {name: str(getattr(getattr(found, name), "__module__", module)) for name in listed}
    if len(listed) <= GROUPED or len(set(homes.values())) == 1:
        yield "", listed
        return
    for file in sorted(set(homes.values())):
        yield summary(file) if file.startswith("minicnn.") else "", [name for name in listed if homes[name] == file]


def _table(heading: str, listed: list[str]) -> str:
    rows = "\n".join(f"   {name}" for name in listed)
    text = f"{heading}\n\n" if heading else ""
    return f"{text}.. autosummary::\n   :toctree: api\n   :nosignatures:\n\n{rows}\n" if listed else ""


def _others(module: str) -> str:
    """Return the list of names whose page is not made by autosummary here: names of types, and names from elsewhere."""
    elsewhere = [name for name in names(module) if owner(module, name) != module and name not in aliases(module)]
    links = [f"* :py:obj:`{owner(module, name)}.{name}`" for name in elsewhere]
    heading = "Also public here:\n\n" if links else ""
    rows = "\n".join(f"   {pages()[f'{module}.{name}']}" for name in aliases(module))
    types_ = f"Names of types:\n\n.. toctree::\n   :maxdepth: 1\n\n{rows}\n" if rows else ""
    return heading + "\n".join(links) + "\n\n" + types_


def _alias_page(module: str, name: str, value: str) -> str:
    return f"{name}\n{'=' * len(name)}\n\n.. py:type:: {module}.{name}\n   :canonical: {value}\n"
