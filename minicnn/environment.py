"""The versions of Python and its packages, and the machine, on which a measurement was made."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

import minicnn
from minicnn.optional import need

PACKAGES = ("numpy", "numba", "scipy", "scikit-learn")


def environment() -> dict[str, str]:
    """Return the versions and the hardware that times and results depend on, without names of the host or the user.

    >>> environment()["numpy"] == np.__version__
    True
    """
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "minicnn": minicnn.__version__,
        **{package: _version(package) for package in PACKAGES},
        "BLAS": _blas(),
        "BLAS threads": _blas_threads(),
        "cores": str(_cores()),
        "processor": _processor(),
        "platform": f"{platform.system()} {platform.machine()}",
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _blas() -> str:
    build = np.show_config(mode="dicts") or {}
    blas = build.get("Build Dependencies", {}).get("blas", {})
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()


def _blas_threads() -> str:
    pools = need("threadpoolctl").threadpool_info()
    threads = {str(pool["num_threads"]) for pool in pools if pool["user_api"] == "blas"}
    return ", ".join(sorted(threads)) or "unknown"


def _cores() -> int:
    # the cores that this process may use; in a container these are fewer than the machine's
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")
