"""Test on other versions of Python: `nox -s tests-3.13`, with arguments for pytest after `--`.

3.14t is the build without a global interpreter lock. Versions that are not installed are skipped.
"""

import nox

nox.options.sessions = ["tests"]
nox.options.error_on_missing_interpreters = False
nox.options.reuse_venv = "yes"


@nox.session(python=["3.11", "3.12", "3.13", "3.14", "3.14t"])
def tests(session: nox.Session) -> None:
    """Install the package with its extras and run the tests."""
    session.install("--editable", ".[fast,study,interop,cluster,test]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python="3.11")
def build(session: nox.Session) -> None:
    """Build wheel and sdist, and check what is in them."""
    session.install("build", "twine", "check-wheel-contents")
    session.run("python", "-m", "build", "--outdir", "out/dist", ".")
    session.run("python", "-m", "twine", "check", "--strict", "out/dist/*")
    # W002: the licences of what is in the page stand beside it, and among those of the distribution
    session.run("check-wheel-contents", "--ignore", "W002", "out/dist")
