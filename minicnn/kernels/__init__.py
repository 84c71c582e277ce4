"""Arrays in, arrays out: the loops under convolution and pooling, in one of two implementations.

`reference` is the specification in NumPy; `compiled` has the same names and arguments on Numba, where that is
installed. The choice is made once, when the first kernel is needed; MINICNN_KERNELS=reference|compiled decides
otherwise.

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

CHOICES = ("compiled", "reference")


@functools.cache
def implementation() -> ModuleType:
    """Return the module of kernels in use; ValueError if the environment asks for what there is not."""
    asked = os.environ.get("MINICNN_KERNELS", "")
    if asked and asked not in CHOICES:
        raise ValueError(f"MINICNN_KERNELS={asked!r} is not known. Use one of {', '.join(CHOICES)}, or unset it.")
    chosen = asked or ("compiled" if importlib.util.find_spec("numba") else "reference")
    memory.keep()
    if chosen == "compiled":
        importlib.import_module(f"{__name__}.cores").threads()  # raises what is wrong with the environment
    return importlib.import_module(f"{__name__}.{chosen}")


def name() -> str:
    """Return which kernels are in use.

    >>> name() in CHOICES
    True
    """
    return implementation().__name__.rpartition(".")[2]
