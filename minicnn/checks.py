"""Validation of arguments and calls: one form of error, and hints for the names of other frameworks."""

from __future__ import annotations

import difflib
import functools
import inspect
import math
import numbers
import operator
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from minicnn.errors import ShapeError

LARGEST = 2**31 - 1
"""The largest size, and the most elements of a parameter: no machine that trains small CNNs holds more."""
ROOMY = 2**18
"""The area (rows times columns, 512 x 512) up to which an image of any size may be padded; a larger image may be
padded to 64 times its area. Dilation or padding beyond both reads almost only zeros and takes gigabytes of memory."""

C = TypeVar("C", bound=Callable[..., Any])

RENAMED = {
    "betas": ("beta_1",),
    "dilation": ("dilation_rate",),
    "dim": ("axis",),
    "eps": ("epsilon",),
    "clipnorm": ("global_clipnorm",),
    "kernel": ("kernel_size", "pool_size"),
    "keepdim": ("keepdims",),
    "bias": ("use_bias",),
    "lr": ("learning_rate", "rate"),
    "num_classes": ("classes",),
    "out_channels": ("filters",),
    "out_features": ("units",),
    "p": ("rate",),
    "rho": ("momentum",),
    "size": ("pool_size", "output_size"),
    "stride": ("strides",),
}
"""Argument names of other frameworks, and the corresponding names here."""

ABSENT = {
    "activation": "Put a layer such as layers.ReLU() after it.",
    "data_format": "Images are always (N, H, W, C).",
    "dtype": "The results have the dtype of the input.",
    "in_channels": "They follow from the input.",
    "in_features": "They follow from the input.",
    "input_dim": "Give the input shape to net.init(rng, input_shape).",
    "input_shape": "Give it to net.init(rng, input_shape).",
    "kernel_regularizer": "Give weight_decay to the optimizer.",
    "name": "Layers are named by their kind: conv2d, conv2d_1.",
    "training": "Training is a call with rng=, evaluation one without.",
}
"""Arguments of other frameworks that have no counterpart, and what to do instead."""


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
    """Return a number, infinity and NaN among them, as a float, or raise TypeError or ValueError."""
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
        raise TypeError(f"{where}: {name} must be a string or a Path, got a {type(value).__name__}.")
    return Path(value)


def generator(where: str, value: Any, name: str = "rng") -> np.random.Generator:
    """Return a NumPy Generator, or raise TypeError with the call that makes one."""
    if not isinstance(value, np.random.Generator):
        seed = value if isinstance(value, int) and 0 <= value < 2**63 else 0
        fix = f"Use np.random.default_rng({int(seed)})."
        raise TypeError(f"{where}: {name} must be a numpy.random.Generator, got a {type(value).__name__}. {fix}")
    return value


def near(word: Any, known: Iterable[str]) -> str:
    """Return a hint at the known word that is most like this one, or nothing.

    >>> near("valid_los", ["loss", "valid_loss"])
    " Did you mean 'valid_loss'?"
    """
    close = difflib.get_close_matches(word, list(known), n=1) if isinstance(word, str) else []
    return f" Did you mean {close[0]!r}?" if close else ""


def explain_call(where: str, signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Raise TypeError if arguments are missing, unknown or too many; do nothing for a call that fits."""
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        pass
    else:
        return
    parameters = signature.parameters
    names = [n for n, p in parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and n != "self"]
    args = args[1:] if "self" in parameters else args
    listed = f"The arguments are {', '.join(names)}." if names else "There are no arguments."
    places = [n for n in names if parameters[n].kind is not inspect.Parameter.KEYWORD_ONLY]
    for name in kwargs:
        if name not in names:
            raise TypeError(f"{where}: {name!r} is not an argument.{_habit(name, names)} {listed}") from None
    if len(args) > len(places):
        raise TypeError(f"{where}: too many arguments, {len(args)} where at most {len(places)} fit. {listed}") from None
    twice = [n for n in places[: len(args)] if n in kwargs]
    if twice:
        raise TypeError(f"{where}: {twice[0]!r} is given twice, by its place and by its name. {listed}") from None
    missing = [n for n in names if parameters[n].default is inspect.Parameter.empty and n not in kwargs]
    missing = [n for n in missing if n not in places[: len(args)]]
    raise TypeError(f"{where}: {' and '.join(map(repr, missing))} must be given. {listed}") from None


def _habit(name: str, names: list[str]) -> str:
    ours = [n for n in RENAMED.get(name, ()) if n in names]
    if ours:
        return f" Use {ours[0]}."
    return f" {ABSENT[name]}" if name in ABSENT else near(name, names)


def explained(target: C) -> C:
    """Decorate a function, or a class with a constructor, so that a call that does not fit it is explained.

    >>> @explained
    ... def scale(x, factor=2): return x * factor
    >>> scale(3, faktor=4)
    Traceback (most recent call last):
    TypeError: scale: 'faktor' is not an argument. Did you mean 'factor'? The arguments are x, factor.
    """
    function: Callable[..., Any] = target.__init__ if isinstance(target, type) else target  # type: ignore[misc]
    signature, where = inspect.signature(target), target.__qualname__.removesuffix(".__call__")

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except TypeError:
            explain_call(where, signature, args[1:] if isinstance(target, type) else args, kwargs)
            raise

    if isinstance(target, type):
        target.__init__ = call  # type: ignore[misc]
        return target
    return call  # type: ignore[return-value]


def no_attribute(module: str, name: str, known: Iterable[str], habits: Mapping[str, str]) -> AttributeError:
    """Return the error for a name that a module does not have, with the name that may be meant.

    >>> print(no_attribute("minicnn.layers", "MaxPool2D", [], {"MaxPool2D": "layers.MaxPooling2D"}))
    module 'minicnn.layers' has no attribute 'MaxPool2D'. Did you mean layers.MaxPooling2D?
    """
    hint = ""
    if not name.startswith("_"):
        close = difflib.get_close_matches(name.lower(), {n.lower(): n for n in known}, n=1, cutoff=0.75)
        found = [f"{module.rpartition('.')[2]}.{n}" for n in known if close and n.lower() == close[0]]
        meant = habits.get(name) or (found[0] if found else "")
        hint = f". Did you mean {meant}?" if meant else ""
    return AttributeError(f"module {module!r} has no attribute {name!r}{hint}", name=name)
