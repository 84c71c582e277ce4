"""Every public name exists, also in an interpreter in which nothing else was imported."""

import importlib
import subprocess
import sys

import pytest

MODULES = ["minicnn", *(f"minicnn.{name}" for name in ("data", "layers", "models", "ops", "optim", "study", "train"))]


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_exists(module):
    found = importlib.import_module(module)
    for name in getattr(found, "__all__", ()):
        assert getattr(found, name) is not None


def test_every_name_of_the_package_comes_first_in_a_fresh_interpreter():
    program = "import minicnn, sys; assert getattr(minicnn, sys.argv[1]) is not None"
    for name in ("ShapeError", "Tensor", "layers"):
        subprocess.run([sys.executable, "-c", program, name], check=True)
