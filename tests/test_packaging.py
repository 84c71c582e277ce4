"""What people install, and what they are told to install, is this project."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import minicnn
from minicnn.optional import DISTRIBUTION, install_command

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TEXTS = [
    *ROOT.glob("*.md"),
    *(path for folder in ("minicnn", "experiments", "datasets") for path in (ROOT / folder).rglob("*.*")),
    *(ROOT / name for name in ("Makefile", "pyproject.toml", ".ci/run")),
]
INSTALL = re.compile(r"pip\s+install\s+((?:-\S+\s+)*)[\"']?([\w.{}-]+)", re.IGNORECASE)


def installed_names():
    for path in TEXTS:
        if path.suffix in {".py", ".md", ".jinja", ".toml", ""} and path.is_file():
            for _, name in INSTALL.findall(path.read_text(encoding="utf-8")):
                yield path.relative_to(ROOT), name


def test_the_distribution_is_not_named_like_another_project():
    # "minicnn" on the public index has belonged to another project since before this one.
    assert PROJECT["name"] == DISTRIBUTION
    assert re.sub(r"[-_.]+", "-", DISTRIBUTION).lower() != "minicnn"


def test_the_name_to_install_is_defined_once():
    files = [path.name for path in (ROOT / "minicnn").rglob("*.py") if "DISTRIBUTION =" in path.read_text("utf-8")]
    assert files == ["optional.py"]
    assert INSTALL.search(install_command("fast"))[2] == DISTRIBUTION


def test_no_text_tells_anybody_to_install_the_other_project():
    names = list(installed_names())
    assert ("README.md", DISTRIBUTION) in [(str(path), name) for path, name in names]
    assert [(path, name) for path, name in names if name.lower() == "minicnn"] == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('pip install "minicnn[fast]"', "minicnn"),
        ("pip install -U minicnn", "minicnn"),
        ("python -m pip install --quiet 'minicnn'", "minicnn"),
        ('pip install "minicnn-numpy[fast]"', "minicnn-numpy"),
        ('pip install ".[fast]"', "."),
    ],
)
def test_install_commands_are_recognised(text, name):
    assert INSTALL.search(text)[2] == name


def test_an_extra_exists_only_where_code_uses_it():
    folders = [(ROOT / folder).rglob("*.py") for folder in ("minicnn", "experiments", "tests", "docs")]
    code = "\n".join(path.read_text(encoding="utf-8") for folder in folders for path in folder)
    imported = {"scikit-learn": "sklearn", "pytest-cov": "--cov", "cosmic-ray": "cosmic_ray"}
    imported |= {name: name.replace("-", "_") for name in ("sphinx-gallery", "pydata-sphinx-theme", "myst-parser")}
    commands = {"ruff", "mypy", "pytest-cov", "pytest-xdist"}
    for extra, requirements in PROJECT["optional-dependencies"].items():
        for requirement in requirements:
            package = re.match(r"[\w-]+", requirement)[0]
            used = imported.get(package, package)
            assert package in commands or re.search(rf"\b{re.escape(used)}\b", code), f"{extra}: {package}"


def test_the_installed_version_is_that_of_the_package():
    assert metadata.version(DISTRIBUTION) == minicnn.__version__


def test_a_script_beside_the_clone_imports_the_package_and_not_the_folder(tmp_path):
    # Python takes any folder of the right name in front of the path for a package without __init__.py, and the
    # real one wins only if a later entry of the path holds it. That is what an editable install has to provide.
    (tmp_path / "minicnn").symlink_to(ROOT, target_is_directory=True)
    script = tmp_path / "script.py"
    script.write_text("from minicnn import Tensor, layers\nprint(layers.ReLU(), Tensor(1.0))\n")
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "ReLU() Tensor(1.)\n"


def test_the_readme_names_the_error_of_a_script_beside_a_clone_that_is_not_installed(tmp_path):
    # A module beside the package cannot prevent it: with an __init__.py in the clone's folder, pytest takes that folder
    # for a package, in both of its import modes, and collects neither doctests nor tests.
    (tmp_path / "minicnn").symlink_to(ROOT, target_is_directory=True)
    script = tmp_path / "script.py"
    script.write_text("from minicnn import Tensor\n")
    command = [sys.executable, "-S", "-E", script]  # no installed packages
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].startswith("ImportError: cannot import name 'Tensor' from 'minicnn' (unknown")
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert "`cannot import name ... from 'minicnn' (unknown location)`" in readme
    assert "`pip install -e .`" in readme
