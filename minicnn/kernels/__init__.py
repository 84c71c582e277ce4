"""Arrays in, arrays out: the loops under convolution and pooling, in one of two implementations.

`reference` is the specification in NumPy; `compiled` has the same names and arguments on Numba, where that is
installed and can be imported. The choice is made once, when the first kernel is needed; MINICNN_KERNELS=reference or
compiled decides otherwise.

The compiled kernels share a batch over the cores themselves and tell BLAS, for the whole process, to use one thread a
call: its own threads would wait for work by spinning, on the cores that have some.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
from types import ModuleType

from minicnn.kernels import memory
from minicnn.kernels.notice import say
from minicnn.optional import install_command

CHOICES = ("compiled", "reference")


@functools.cache
def implementation() -> ModuleType:
    """Return the module of kernels in use.

    Without Numba, or if it cannot be imported, these are the NumPy kernels. ValueError if MINICNN_KERNELS has another
    value than the two names, or asks for compiled kernels that cannot be had, or if the number of threads is wrong.
    """
    asked = os.environ.get("MINICNN_KERNELS", "")
    if asked and asked not in CHOICES:
        raise ValueError(f"MINICNN_KERNELS={asked!r} is not known. Use one of {', '.join(CHOICES)}, or unset it.")
    memory.keep()
    if asked == "compiled" or (not asked and importlib.util.find_spec("numba")):
        try:
            cores, compiled = _import("cores"), _import("compiled")
        except Exception as error:  # a broken installation, or versions that do not fit, can raise anything
            reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            if asked:
                raise ValueError(
                    f"MINICNN_KERNELS must be unset or 'reference' where Numba cannot be imported, "
                    f"got 'compiled' ({reason}). Install Numba with: {install_command('fast')}"
                ) from error
            say(
                f"using the slower NumPy kernels, because Numba cannot be imported ({reason}). "
                f"Repair it with: {install_command('fast')}; MINICNN_KERNELS=reference hides this line"
            )
        else:
            cores.threads()  # raises what is wrong with the environment
            return compiled
    return _import("reference")


def _import(module: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{module}")


def name() -> str:
    """Return which kernels are in use.

    >>> name() in CHOICES
    True
    """
    return implementation().__name__.rpartition(".")[2]
