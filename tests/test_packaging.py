"""What people install, and what they are told to install, is this project."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from study_fixtures import tiny_study

import minicnn
from minicnn.optional import DISTRIBUTION, install_command
from minicnn.study import trial

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
    folders.append([ROOT / "noxfile.py"])
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


def tracked(*folders):
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, which says which files belong to the project")
    done = subprocess.run([git, "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in done.stdout.splitlines() if (ROOT / name).exists()}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build wheel and sdist twice, without the network; return the two folders."""
    pytest.importorskip("hatchling")
    folders = [tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("again")]
    program = "import sys, hatchling.build as b; b.build_sdist(sys.argv[1]); b.build_wheel(sys.argv[1])"
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    for folder in folders:
        subprocess.run([sys.executable, "-c", program, folder], cwd=ROOT, env=environment, check=True, timeout=60)
    return folders


def test_the_sdist_has_every_file_of_the_project(built):
    (path,) = built[0].glob("*.tar.gz")
    with tarfile.open(path) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert tracked() - names == set()
    assert {"CHANGELOG.md", "CONTRIBUTING.md", "docs/conf.py", "experiments/mnist.py", "tests/oracles.py"} <= names


def test_the_wheel_has_every_file_of_the_package_and_no_other(built):
    (path,) = built[0].glob("*.whl")
    names = {name for name in zipfile.ZipFile(path).namelist() if ".dist-info/" not in name}
    assert names == tracked("minicnn")
    assert {"minicnn/py.typed", "minicnn/study/report/report.html.jinja"} <= names


def test_a_build_is_reproducible(built):
    first, second = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in built)
    assert len(first) == 2
    assert first == second


def test_the_citation_is_that_of_this_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    fields = dict(re.findall(r"^([\w-]+): *(.*)$", citation, re.MULTILINE))
    assert {"cff-version", "message", "title", "authors"} <= set(fields)  # those that the format requires
    assert fields["version"] == minicnn.__version__
    assert fields["license"] == PROJECT["license"]


def test_the_changelog_begins_with_this_version():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[(.*?)\]", changelog, re.MULTILINE)[1] == minicnn.__version__


def test_the_versions_of_python_agree():
    text = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    sessions = set(re.findall(r'"(3\.\d+)"', text))
    claimed = {c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", c)}
    assert claimed <= sessions
    assert min(claimed, key=lambda version: int(version[2:])) == PROJECT["requires-python"].removeprefix(">=")


def test_another_version_trains_no_finished_trial_again(tmp_path, monkeypatch):
    # What a trial is does not depend on the number of a version, but on the kernels, their sources and NumPy.
    planned = tiny_study()
    first = planned.run(tmp_path, progress=False)
    monkeypatch.setattr(minicnn, "__version__", "99.0.0")
    monkeypatch.setattr(trial, "_trained", None)  # a trial that is trained fails
    assert planned.run(tmp_path, progress=False).values("accuracy") == first.values("accuracy")
