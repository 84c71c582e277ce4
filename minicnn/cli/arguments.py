"""What the subcommands share: how a parser is made, the types of their options, and what they print."""

from __future__ import annotations

import argparse
import json
import math
import re
import textwrap
from collections.abc import Callable, Collection
from typing import Any, NoReturn, TypeAlias

Parsers: TypeAlias = Any  # argparse has no public name for what add_subparsers returns
LARGEST = 10**9


class UsageError(Exception):
    """A command line that cannot be understood; the message is one sentence."""


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line: the usage, which argparse prints above it, is often ten."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        text = re.sub(r"^argument (\S+): ", r"\1 ", message)
        text = re.sub(r"invalid choice: ('.*') \(choose from (.*)\)$", _choice, text)
        raise UsageError(f"{text}{'' if text.endswith(('.', '?')) else '.'} See {self.prog} --help.")


def _choice(found: re.Match[str]) -> str:
    """Return the project's words for what argparse says of an unknown name."""
    from minicnn.hints import near

    known = found[2].replace("'", "").split(", ")
    return f"must be one of {', '.join(known)}, got {found[1]}.{near(found[1].strip(chr(39)), known)}"


def command(parsers: Parsers, name: str, summary: str, description: str, examples: str, run: Callable[..., Any]) -> Any:
    """Add a subcommand, with its examples at the end of its help, and return its parser."""
    parser = parsers.add_parser(
        name,
        help=summary,
        description=textwrap.fill(description, 79),  # as wide as argparse's own lines
        epilog="examples:\n" + textwrap.indent(textwrap.dedent(examples).strip("\n"), "  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def positive(text: str) -> int:
    """Return a positive integer.

    >>> positive("3")
    3
    """
    return _integer(text, 1)


def counting(text: str) -> int:
    """Return an integer of at least 0.

    >>> counting("0")
    0
    """
    return _integer(text, 0)


def _integer(text: str, least: int) -> int:
    # int() takes blanks, underscores and the digits of other scripts, and refuses thousands of digits in its own words.
    if not re.fullmatch(r"-?[0-9]{1,10}", text) or not least <= int(text) <= LARGEST:
        got = text if re.fullmatch(r"-?[0-9]{1,20}", text) else repr(text[:40])
        raise argparse.ArgumentTypeError(f"must be an integer of at least {least}, got {got}")
    return int(text)


def rate(text: str) -> float:
    """Return a positive number.

    >>> rate("1e-2")
    0.01
    """
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a positive number, got {text[:40]}")
    return number


def shape(text: str) -> tuple[int, ...]:
    """Return the shape of an image, HEIGHT,WIDTH,CHANNELS.

    >>> shape("28,28,1")
    (28, 28, 1)
    """
    sizes = tuple(positive(part.strip()) for part in text.replace("x", ",").split(","))
    if len(sizes) != 3:
        raise argparse.ArgumentTypeError(f"must be HEIGHT,WIDTH,CHANNELS such as 28,28,1, got {text!r}")
    return sizes


def one_of(known: Callable[[], Collection[str]]) -> Callable[[str], str]:
    """Return the type of an option that is one of some names. They are asked for only when there is a value to check.

    >>> one_of(lambda: ["max", "average"])("max")
    'max'
    """

    def name(text: str) -> str:
        from minicnn.hints import near

        if text not in known():
            names = ", ".join(known())
            raise argparse.ArgumentTypeError(f"must be one of {names}, got {text!r}.{near(text, known())}")
        return text

    return name


def several_of(known: Callable[[], Collection[str]]) -> Callable[[str], list[str]]:
    """Return the type of an option that is a list of names, separated by commas.

    >>> several_of(lambda: ["max", "average"])("average,max")
    ['average', 'max']
    """

    def names(text: str) -> list[str]:
        return [one_of(known)(part) for part in text.split(",")]

    return names


def said(error: Exception) -> str:
    """Return the message of an error as one line, without the number that the system has for it and with the file.

    >>> said(FileNotFoundError(2, "No such file or directory", "a.png"))
    "No such file or directory: 'a.png'"
    """
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.strerror}: {error.filename!r}"
    return " ".join(str(error).split())


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option `--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def show(options: argparse.Namespace, value: Any, text: str) -> None:
    """Print a value as JSON if that is asked for, else the text."""
    print(json.dumps(value, indent=1) if options.json else text)
