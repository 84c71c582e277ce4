"""Hints for calls that do not fit: the nearest name, and what arguments of other frameworks are called here."""

from __future__ import annotations

import contextlib
import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, dataclass_transform, overload

T = TypeVar("T")
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
    "requires_grad": "Every Tensor takes a gradient; leave as a plain array what needs none.",
    "training": "Training is a call with rng=, evaluation one without.",
}
"""Arguments of other frameworks that have no counterpart, and what to do instead."""


def near(word: Any, known: Iterable[str]) -> str:
    """Return a hint at the known word that is most like this one, or nothing.

    >>> near("valid_los", ["loss", "valid_loss"])
    " Did you mean 'valid_loss'?"
    """
    close = difflib.get_close_matches(word, list(known), n=1) if isinstance(word, str) else []
    return f" Did you mean {close[0]!r}?" if close else ""


def a_type(value: Any) -> str:
    """Return the name of a value's type with its article.

    >>> a_type(3), a_type("3"), a_type(None)
    ('an int', 'a str', 'a NoneType')
    """
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeioAEIO' else 'a'} {name}"


def explain_call(
    where: str, signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> inspect.BoundArguments:
    """Return the arguments of a call that fits; raise TypeError if some are missing, unknown or too many."""
    with contextlib.suppress(TypeError):
        return signature.bind(*args, **kwargs)
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


@overload
def frozen(kind: type[T]) -> type[T]: ...


@overload
def frozen(*, repr: bool = True, eq: bool = True) -> Callable[[type[T]], type[T]]: ...


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(kind: Any = None, **options: Any) -> Any:
    """Decorate a class: it becomes a frozen dataclass, and a call of it that does not fit is explained.

    >>> @frozen
    ... class Scale:
    ...     factor: float = 2.0
    >>> Scale(faktor=4.0)
    Traceback (most recent call last):
    TypeError: Scale: 'faktor' is not an argument. Did you mean 'factor'? The arguments are factor.
    """
    if kind is None:
        return functools.partial(frozen, **options)
    return explained(dataclass(frozen=True, **options)(kind))


def spelled_out(keywords: type, source: Callable[..., Any]) -> Callable[[C], C]:
    """Decorate a function that has `**how: Unpack[keywords]`: its signature lists them, as `source` declares them.

    So `help`, completion and errors show every argument, and the defaults are in one place. `keywords` is a TypedDict.
    """
    declared = inspect.signature(source).parameters
    shared = [declared[name].replace(kind=inspect.Parameter.KEYWORD_ONLY) for name in keywords.__annotations__]

    def decorate(function: C) -> C:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        named = [p for p in own if p.kind is p.KEYWORD_ONLY]
        parameters = [*own[: len(own) - len(named)], *shared, *named]
        function.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return function

    return decorate


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


def unknown_names(module: str, known: Iterable[str], habits: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a module's `__getattr__`, which Python calls for a name that the module does not have."""

    def refuse(name: str) -> Any:
        raise no_attribute(module, name, known, habits)

    return refuse
