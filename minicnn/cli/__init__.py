"""The command `minicnn`. Each of its subcommands calls a public function, and each file here is one of them.

Modules here import nothing but argparse when they are imported, so that `--help` answers at once; what a subcommand
needs is imported when it runs.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys

from minicnn.cli import compare, datasets, evaluate, explain, export, predict, study, summary, train
from minicnn.cli.arguments import Parser, UsageError, said

__all__ = ["main", "run"]
COMMANDS = (compare, train, evaluate, predict, summary, explain, export, datasets, study)
FUNCTIONS = ("load", "named_net", "open_results", "open_run", "train_run")
"""The functions whose errors are those of a command line, which need no name there."""
EXAMPLES = """examples:
  minicnn compare                                        compares pooling heads on digits in about a minute
  minicnn train small_cnn:global-max --dataset digits    writes a net, its parameters and its history
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit status; see `run`."""
    parser = Parser(
        prog="minicnn",
        description="Train small convolutional networks on NumPy, look into them, and compare pooling heads.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    parser.set_defaults(run=functools.partial(_version, parser))
    subparsers = parser.add_subparsers(metavar="COMMAND", title="commands", dest="command")
    for module in COMMANDS:
        module.add(subparsers)
    return run(parser, argv, "minicnn")


def run(parser: Parser, argv: list[str] | None, name: str, wrong: int = 1) -> int:
    """Parse and run a command line; what is wrong is one line on stderr that begins with `name`.

    Returns 0, `wrong` for wrong input, 2 for wrong usage, 130 after Ctrl-C, or what the command returns. After a signal
    that ended a study in an orderly way it is 128 and the signal's number: 143 after SIGTERM, 129 after SIGHUP.
    """
    options = argparse.Namespace(command="")
    try:
        _, unknown = parser.parse_known_args(argv, options)
        if unknown:
            asked = f"{name} {options.command}".strip()
            raise UsageError(f"unrecognized arguments: {' '.join(unknown)}. See {asked} --help.")
        status = options.run(options)
        sys.stdout.flush()
        return int(status or 0)
    except SystemExit as end:  # after --help, or after a signal that ended a study
        return int(end.code or 0)
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough. Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except UsageError as error:
        return _said(f"{name} {options.command}".strip(), str(error), 2)
    except (OSError, ValueError, TypeError, ImportError, FloatingPointError) as error:
        return _said(f"{name} {options.command}".strip(), said(error), wrong)
    except KeyboardInterrupt:
        return _said(f"{name} {options.command}".strip(), f"interrupted{getattr(options, 'after_interrupt', '.')}", 130)


def _version(parser: Parser, options: argparse.Namespace) -> None:
    if not options.version:
        parser.error("a command must be given")
    import minicnn

    print(f"minicnn {minicnn.__version__}")


def _said(name: str, message: str, status: int) -> int:
    for function in (name.rpartition(" ")[2], "minicnn", *FUNCTIONS):
        message = message.removeprefix(f"{function}: ")
    print(f"{name}: {message}", file=sys.stderr)
    return status
