"""Validation of arguments: one form of error, "`op`: `argument` must be <constraint>, got <value>. <remedy>"."""

from __future__ import annotations

import math
import numbers
import operator
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.hints import a_type, explained, near

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
LARGEST = 2**31 - 1
"""The largest size, and the most elements of a parameter: no machine that trains small CNNs holds more."""
ROOMY = 2**18
"""The area (rows times columns, 512 x 512) up to which an image of any size may be padded; a larger image may be
padded to 64 times its area. Dilation or padding beyond both reads almost only zeros and takes gigabytes of memory."""


@explained
class ShapeError(ValueError):
    """A ValueError in parts, so that an op can add its name, and a network the layer's name and the history of sizes.

    Attributes
    ----------
    where : str
        The op, or the layer with its place in the net.
    what : str
        What does not fit, with the formula and its numbers.
    fix : str
        What would fit.
    placed : bool
        Whether a network has already put its layer's name into `where`.

    Examples
    --------
    >>> print(ShapeError("conv2d", "kernel must have 1 channel, as the input has, got 3", "Use a 3-channel image."))
    conv2d: kernel must have 1 channel, as the input has, got 3. Use a 3-channel image.
    """

    def __init__(self, where: str, what: str, fix: str) -> None:
        super().__init__(where, what, fix)
        self.where, self.what, self.fix, self.placed = where, what, fix, False

    def place(self, name: str, history: str = "") -> None:
        """Name the layer in which it happened; the innermost network adds the history of sizes."""
        self.where = f"{name}/{self.where}" if self.placed else name
        if history and not self.placed:
            self.what = f"{self.what}. {history}"
        self.placed = True

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. {self.fix}"


def shown(value: Any) -> str:
    """Return the repr of a value on one line, shortened to what fits into a message."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python writes no int of more than 4,300 digits
        return "an int of thousands of digits"
    return text if len(text) <= 100 else f"{text[:97]}..."


def number(
    where: str,
    name: str,
    value: Any,
    *,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> float:
    """Return a finite number from `least` to `most`, strictly between `above` and `below`, as a float.

    Raises TypeError for what is not a number, ValueError for one out of range.

    >>> number("SGD", "momentum", 0.9, least=0, below=1)
    0.9
    """
    found = real(where, name, value)
    if not (math.isfinite(found) and least <= found <= most and above < found < below):
        fitting = _range(least, most, above, below)
        raise ValueError(f"{where}: {name} must be a finite number{fitting}, got {shown(value)}.")
    return found


def real(where: str, name: str, value: Any) -> float:
    """Return a number, infinity and NaN among them, as a float, or raise TypeError or ValueError.

    An array without axes counts as the number that it holds, as for `integer`.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{where}: {name} must be a number, got {shown(value)}.")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{where}: {name} must be a float, got an int of more than 308 digits.") from None


def _range(least: float, most: float, above: float, below: float) -> str:
    """Return the constraint in words: " of at least 0", " in [0, 1)", " above 0", or nothing."""
    lower = f"[{least}" if math.isfinite(least) else f"({above}" if math.isfinite(above) else ""
    upper = f"{below})" if math.isfinite(below) else f"{most}]" if math.isfinite(most) else ""
    if lower and upper:
        return f" in {lower}, {upper}"
    if lower:
        return f" of at least {least}" if lower[0] == "[" else f" above {above}"
    return f" below {below}" if upper.endswith(")") else f" up to {most}" if upper else ""


def flag(where: str, name: str, value: Any) -> bool:
    """Return a bool, or raise TypeError: "False" is a true string.

    >>> flag("max_pool2d", "ceil_mode", np.True_)
    True
    """
    if value is True or value is False:
        return value
    if not isinstance(value, np.bool_):
        raise TypeError(f"{where}: {name} must be True or False, got {shown(value)}.")
    return bool(value)


def pair(where: str, name: str, value: Any, *, least: int = 1) -> tuple[int, int]:
    """Return an int as a pair and a pair as it is; both must hold integers from `least` to 2**31 - 1.

    >>> pair("max_pool2d", "pool_size", 2)
    (2, 2)
    """
    if type(value) is int and least <= value <= LARGEST:
        return value, value
    if isinstance(value, list | tuple) and len(value) != 2:
        raise ValueError(
            f"{where}: {name} must be an integer or a pair of integers, got {shown(value)} of length {len(value)}."
        )
    first, second = value if isinstance(value, list | tuple) else (value, value)
    return integer(where, name, first, value, least, LARGEST), integer(where, name, second, value, least, LARGEST)


def integer(where: str, name: str, value: Any, whole: Any = None, least: float = 1, most: float = math.inf) -> int:
    """Return an integer from `least` to `most`; booleans and floats are a TypeError.

    `whole` is the argument that the message shows where `value` is one element of it.
    """
    what = "an integer" if whole is None or whole is value else "made of integers"
    whole = value if whole is None else whole
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        fitting = _range(least, math.inf, -math.inf, math.inf)
        raise TypeError(f"{where}: {name} must be {what}{fitting}, got {shown(whole)}.")
    if number < least:
        raise ValueError(f"{where}: {name} must be {what} of at least {least}, got {shown(whole)}.")
    if number > most:
        raise ValueError(f"{where}: {name} must be {what} up to {most:,}, got {shown(whole)}.")
    return number


def float_array(where: str, name: str, a: Any) -> np.ndarray:
    """Return `a` if it is a plain float32 or float64 array, or raise TypeError."""
    if type(a) is np.ndarray and a.dtype in FLOATS:  # nearly always: checked first, for speed
        return a
    if isinstance(a, float | np.floating):
        a = np.asarray(a)
    if not isinstance(a, np.ndarray):
        raise TypeError(f"{where}: {name} must be a float32 or float64 array, got {a_type(a)}.")
    if a.dtype not in FLOATS:
        fix = "Use .astype(np.float32), or float64 for checks."
        raise TypeError(f"{where}: {name} must be float32 or float64, got dtype {a.dtype}. {fix}")
    if isinstance(a, np.matrix | np.ma.MaskedArray):
        # Both redefine operators, and a gradient computed for plain arrays would be wrong for them.
        fix = "x.filled(0)" if isinstance(a, np.ma.MaskedArray) else "np.asarray(x)"
        raise TypeError(f"{where}: {name} must be a plain array, got {a_type(a)}. Use {fix}.")
    return np.asarray(a)


def array_or_number(where: str, name: str, a: Any, optional: bool, alone: bool) -> Any:
    """Check an array, and make a number weak: it takes the dtype of the arrays it meets, if there are any."""
    if isinstance(a, np.float32) or (a is None and optional):
        return a
    if isinstance(a, float | int | np.integer) and not isinstance(a, bool):
        try:
            return np.float64(a) if alone else float(a)  # with a large int NumPy would compute with Python objects
        except OverflowError:
            raise ValueError(f"{where}: {name} must be a float, got an int of more than 308 digits.") from None
    return float_array(where, name, a)


def as_array(data: Any) -> np.ndarray:
    """Return numbers and nested lists of them as an array."""
    if isinstance(data, np.ndarray):
        return data
    if not isinstance(data, list | tuple | float | int | np.generic):
        raise TypeError(f"Tensor: data must be a float32 or float64 array, got {a_type(data)}.")
    try:
        return np.asarray(data)
    except (ValueError, TypeError):
        raise TypeError(f"Tensor: data must be rows of equal length, got {shown(data)}.") from None


def check_area(where: str, what: str, area: Sequence[int], size: Sequence[int], fix: str, most: int = ROOMY) -> None:
    """Raise ShapeError if rows and columns of `area` cannot be meant for an image of `size` (H, W)."""
    limit = max(most, 64 * math.prod(size))
    if math.prod(area) > limit:
        sizes = f"{area[0]}x{area[1]} for an image of {size[0]}x{size[1]}"
        raise ShapeError(where, f"{what} must have at most {limit:,} elements per channel, got {sizes}", fix)


def check_elements(where: str, name: str, shape: tuple[int, ...]) -> None:
    """Raise ShapeError if an array of this shape has more elements than any machine holds."""
    if math.prod(shape) > LARGEST:
        raise ShapeError(
            where, f"{name} must have at most {LARGEST:,} elements, got shape {shape}", "Use smaller sizes."
        )


def one_of(where: str, name: str, value: Any, choices: Collection[str]) -> str:
    """Return a string that is among the choices, or raise ValueError with the nearest of them."""
    if isinstance(value, str) and value in choices:
        return value
    options = " or ".join(map(repr, choices)) if len(choices) == 2 else f"one of {', '.join(choices)}"
    raise ValueError(f"{where}: {name} must be {options}, got {shown(value)}.{near(value, choices)}")


def path(where: str, name: str, value: Any) -> Path:
    """Return a Path, or raise TypeError for what is not one."""
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{where}: {name} must be a string or a Path, got {a_type(value)}.")
    return Path(value)


def generator(where: str, value: Any, name: str = "rng") -> np.random.Generator:
    """Return a NumPy Generator, or raise TypeError with the call that makes one."""
    if not isinstance(value, np.random.Generator):
        seed = value if isinstance(value, int) and 0 <= value < 2**63 else 0
        fix = f"Use np.random.default_rng({int(seed)})."
        raise TypeError(f"{where}: {name} must be a numpy.random.Generator, got {a_type(value)}. {fix}")
    return value
