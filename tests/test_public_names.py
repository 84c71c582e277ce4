"""Every public name exists, also in an interpreter in which nothing else was imported."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import minicnn

FOUND = [f"minicnn.{module.name}" for module in pkgutil.iter_modules(minicnn.__path__) if module.name[0] != "_"]
MODULES = ["minicnn", *(name for name in FOUND if hasattr(importlib.import_module(name), "__all__"))]


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_exists(module):
    found = importlib.import_module(module)
    for name in getattr(found, "__all__", ()):
        assert getattr(found, name) is not None


def test_every_name_of_the_package_comes_first_in_a_fresh_interpreter():
    program = "import minicnn, sys; assert getattr(minicnn, sys.argv[1]) is not None"
    for name in ("ShapeError", "Tensor", "layers"):
        subprocess.run([sys.executable, "-c", program, name], check=True)
