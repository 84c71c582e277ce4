"""Bad options of the commands: exit status 2 and one line, no traceback; --help says how."""

import importlib
import importlib.util

import pytest

COMMANDS = {  # the modules of each, the first that is there
    "pooling_heads": ["pooling_heads"],
    "mnist": ["mnist"],
    "known_bugs": ["known_bugs.__main__", "bug_zoo"],
    "benchmark": ["benchmark.__main__", "speed"],
    "framework_differences": ["framework_differences.__main__", "framework_differences"],
}
OPTIONS = [
    ("pooling_heads", "--dataset", "imagenet"),
    ("pooling_heads", "--seeds", "many"),
    ("pooling_heads", "--seeds", "0"),
    ("pooling_heads", "--epochs", "-1"),
    ("pooling_heads", "--heads", "maximum"),
    ("pooling_heads", "--jobs", "0"),
    ("pooling_heads", "--jobs", "1.5"),
    ("pooling_heads", "--trunks", "max3"),
    ("pooling_heads", "--match", "size"),
    ("mnist", "--nets", "resnet"),
    ("mnist", "--epochs", "0"),
    ("mnist", "--seed", "one"),
    ("mnist", "--epochs", "2.5"),
    ("known_bugs", "--seeds", "0"),
    ("known_bugs", "--epochs", "x"),
    ("known_bugs", "--optimizer", "adagrad"),
    ("known_bugs", "--processes", "-2"),
    ("benchmark", "--rounds", "0"),
    ("benchmark", "--nets", "resnet"),
    ("benchmark", "--batches", "0"),
    ("benchmark", "--batches", "a"),
    ("benchmark", "--modes", "both"),
    ("benchmark", "--frameworks", "nobody"),
    *((name, "--no-such-option") for name in COMMANDS),
]


def run(name, arguments):
    """Return the exit status of a command."""
    module = next(m for m in COMMANDS[name] if importlib.util.find_spec(f"experiments.{m.partition('.')[0]}"))
    try:
        module = importlib.import_module(f"experiments.{module}")
    except ModuleNotFoundError:  # a module instead of a package
        module = importlib.import_module(f"experiments.{module.partition('.')[0]}")
    try:
        return module.main(list(arguments)) or 0
    except SystemExit as end:
        return end.code or 0


@pytest.mark.parametrize(("name", "arguments"), [(n, a) for n, *a in OPTIONS], ids=str)
def test_a_bad_option_ends_a_command_with_status_2_and_one_line(name, arguments, tmp_path, monkeypatch, capsys):
    """argparse writes its usage above the line."""
    monkeypatch.chdir(tmp_path)
    assert run(name, arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    *usage, said = err.splitlines()
    assert not usage or usage[0].startswith("usage: ")
    assert arguments[0] in said or arguments[-1] in said


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_a_command_with_status_0(name, capsys):
    assert run(name, ["--help"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("usage: ")
    assert err == ""
