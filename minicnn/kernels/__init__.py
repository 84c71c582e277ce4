"""Arrays in, arrays out: the loops under convolution, pooling and interpolation, in one of three implementations.

`reference` is the definition, to be read. `numpy_blocked` is the same in fast NumPy, and `compiled` with Numba: the
default where it is installed and can be imported. All have the same names and arguments, and agree up to rounding.
The choice is made once, when the first kernel is needed; MINICNN_KERNELS, the name of one of them, decides otherwise.
`kernels.conv2d(...)` calls the kernel of the implementation in use.

The compiled kernels share a batch over the cores themselves and limit BLAS, for the whole process, to one thread per
call: its own threads would wait for work by spinning, on the cores that have some.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.hints import explained, no_attribute
from minicnn.kernels import memory
from minicnn.kernels.names import KERNELS
from minicnn.kernels.notice import say
from minicnn.optional import install_command

if TYPE_CHECKING:
    from minicnn.kernels.numpy_blocked import adam_step as adam_step
    from minicnn.kernels.numpy_blocked import bilinear as bilinear
    from minicnn.kernels.numpy_blocked import conv2d as conv2d
    from minicnn.kernels.numpy_blocked import conv2d_input_grad as conv2d_input_grad
    from minicnn.kernels.numpy_blocked import conv2d_pool as conv2d_pool
    from minicnn.kernels.numpy_blocked import conv2d_pool_input_grad as conv2d_pool_input_grad
    from minicnn.kernels.numpy_blocked import conv2d_pool_weight_grads as conv2d_pool_weight_grads
    from minicnn.kernels.numpy_blocked import conv2d_weight_grads as conv2d_weight_grads
    from minicnn.kernels.numpy_blocked import max_pool2d as max_pool2d
    from minicnn.kernels.numpy_blocked import max_pool2d_grad as max_pool2d_grad
    from minicnn.kernels.numpy_blocked import relu as relu
    from minicnn.kernels.numpy_blocked import relu_grad as relu_grad
    from minicnn.kernels.numpy_blocked import sum_pool2d as sum_pool2d
    from minicnn.kernels.numpy_blocked import sum_pool2d_grad as sum_pool2d_grad

__all__ = list(KERNELS)
CHOICES = ("compiled", "numpy_blocked", "reference")


@functools.cache
def implementation() -> ModuleType:
    """Return the module of kernels in use.

    Without Numba, or if it cannot be imported, these are the fast NumPy kernels. ValueError if MINICNN_KERNELS is not
    one of the names, or asks for compiled kernels that cannot be had, or if the number of threads is wrong.
    """
    asked = os.environ.get("MINICNN_KERNELS", "")
    if asked and asked not in CHOICES:
        raise ValueError(f"MINICNN_KERNELS must be one of {', '.join(CHOICES)}, got {asked!r}.")
    memory.keep_freed_memory()
    if asked == "compiled" or (not asked and importlib.util.find_spec("numba")):
        try:
            cores, compiled = _import("cores"), _import("compiled")
        except Exception as error:  # a broken installation, or versions that do not fit, can raise anything
            reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            if asked:
                raise ValueError(
                    f"MINICNN_KERNELS must be unset or 'numpy_blocked' where Numba cannot be imported, "
                    f"got 'compiled' ({reason}). Install Numba with: {install_command('fast')}"
                ) from error
            say(
                f"using the slower NumPy kernels, because Numba cannot be imported ({reason}). "
                f"Repair it with: {install_command('fast')}; MINICNN_KERNELS=numpy_blocked hides this line"
            )
        else:
            cores.threads()  # raises what is wrong with the environment
            return compiled
    return _import(asked if asked == "reference" else "numpy_blocked")


def _import(module: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{module}")


@explained
def name() -> str:
    """Return which kernels are in use.

    >>> name() in CHOICES
    True
    """
    return implementation().__name__.rpartition(".")[2]


@functools.cache
def digest() -> str:
    """Return a digest of the source of all kernels: where it is equal, so are their results on equal machines."""
    files = sorted(Path(__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Use one core meanwhile, for kernels and BLAS: how many cores there are decides how sums are divided and rounded.

    >>> with one_thread():
    ...     pass
    """
    compiled = name() == "compiled"
    own = _import("cores").limit(1) if compiled else contextlib.nullcontext()
    with importlib.import_module("threadpoolctl").threadpool_limits(1, user_api="blas"), own:
        yield


def can_fuse() -> bool:
    """Return whether the kernels in use compute convolution, pooling and ReLU as one; the reference does not.

    >>> can_fuse() or name() == "reference"
    True
    """
    return hasattr(implementation(), "conv2d_pool")


def run_program(x: Any, table: Any, weights: Any, outputs: int, work: int) -> Any:
    """See `compiled.walk`; only where `can_run_programs()`."""
    return implementation().run_program(x, table, weights, outputs, work)


def pack(kernel: Any, groups: int) -> Any:
    """See `compiled.tile`; only where `can_run_programs()`."""
    return implementation().pack(np.ascontiguousarray(kernel), groups)


def winograd_panels(kernel: Any, geometry: Any, groups: int, pool: Any) -> Any:
    """See `compiled.winograd`; only where `can_run_programs()`."""
    return implementation().winograd_panels(np.ascontiguousarray(kernel), geometry, groups, pool)


def can_run_programs() -> bool:
    """Return whether the kernels in use run a whole net in one call.

    >>> can_run_programs() == (name() == "compiled")
    True
    """
    return hasattr(implementation(), "run_program")


if not TYPE_CHECKING:  # for which the names are those imported above

    def __getattr__(name: str) -> Any:
        """Look a kernel up in the implementation in use, once: after that it is an ordinary global name here."""
        if name not in __all__:
            raise no_attribute(__name__, name, __all__, {})
        return globals().setdefault(name, getattr(implementation(), name))
