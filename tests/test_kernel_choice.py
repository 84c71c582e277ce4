"""Which kernels are chosen, and what is said where Numba is missing or broken."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAM = "import numpy as np; from minicnn import kernels, ops; print(kernels.name(), ops.relu(np.ones(2)).sum())"
BROKEN = {
    "ImportError": "raise ImportError('Numba needs NumPy 2.3 or less. Got NumPy 2.4.\\nSecond line.')",
    "AttributeError": "import numpy; numpy.no_such_name",
    "SystemError": "raise SystemError('initialization of _internal failed')",
    "OSError": "raise OSError('libllvmlite.so: cannot open shared object file')",
    "SyntaxError": "a b",
}


def run(folder, source, asked, module="numba"):
    (folder / module).mkdir()
    (folder / module / "__init__.py").write_text(source)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]), "MINICNN_KERNELS": asked}
    return subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("module", ["numba", "llvmlite"])
@pytest.mark.parametrize("error", BROKEN)
def test_numba_that_fails_to_import_is_said_in_one_line_and_numpy_computes(tmp_path, error, module):
    pytest.importorskip("numba")
    done = run(tmp_path, BROKEN[error], "", module)
    assert (done.returncode, done.stdout) == (0, "numpy_blocked 2.0\n"), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"minicnn: using the slower NumPy kernels, because Numba cannot be imported ({error}: ")
    assert "pip install" in line


@pytest.mark.parametrize("error", BROKEN)
def test_compiled_kernels_asked_for_without_a_working_numba_are_a_value_error(tmp_path, error):
    done = run(tmp_path, BROKEN[error], "compiled")
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        "ValueError: MINICNN_KERNELS must be unset or 'numpy_blocked' where Numba cannot be imported"
    )
    assert error in last
    assert "pip install" in last


@pytest.mark.parametrize("asked", ["reference", "numpy_blocked"])
def test_numpy_kernels_asked_for_do_not_look_at_numba(tmp_path, asked):
    done = run(tmp_path, BROKEN["SystemError"], asked)
    assert (done.stdout, done.stderr) == (f"{asked} 2.0\n", "")


ABSENT = "import sys; sys.modules['numba'] = sys.modules['llvmlite'] = None; "


@pytest.mark.parametrize("asked", ["", "compiled"])
def test_without_numba(asked):
    env = {**os.environ, "MINICNN_KERNELS": asked}
    done = subprocess.run(
        [sys.executable, "-c", ABSENT + PROGRAM], env=env, capture_output=True, text=True, check=False
    )
    if asked:
        assert done.stderr.splitlines()[-1].startswith("ValueError: MINICNN_KERNELS must be unset or 'numpy_blocked'")
    else:
        assert (done.stdout, done.stderr) == ("numpy_blocked 2.0\n", "")


def test_the_line_needs_no_stderr(tmp_path):
    pytest.importorskip("numba")
    (tmp_path / "numba").mkdir()
    (tmp_path / "numba" / "__init__.py").write_text("raise ImportError('broken')")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]), "MINICNN_KERNELS": ""}
    for state in ("sys.stderr = None", "sys.stderr.close()"):
        program = f"import sys; {state}; {PROGRAM}"
        done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "numpy_blocked 2.0\n")
