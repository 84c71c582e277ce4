"""Random calls of every public name, with valid and invalid arguments of every kind: what do they end in?

    python tests/random_calls.py --calls 20000 --seed 1

A call must return, or raise ValueError or TypeError in minicnn's own words. Told apart are

    returned    a result
    refused     ValueError or TypeError, raised by a `raise` of minicnn; OSError where a file is named;
                FloatingPointError of fit
    foreign     ValueError or TypeError in the words of Python, NumPy or another package
    other       any other exception
    time        still running after five seconds
    memory      more memory than the limit

Each call is a line of Python, so that an offender can be run again: the namespace is that of `names()`. The names, and
most kinds of arguments, are read from the package, so that a new public name is called without a line here.
"""

from __future__ import annotations

import argparse
import ast
import collections
import contextlib
import functools
import inspect
import io
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np

import minicnn
from minicnn import Tensor, data, gradcheck, layers, models, ops, optim, schedules, train
from minicnn.layers import initializers

PACKAGE = str(Path(minicnn.__file__).parent)
SECONDS = 5
KINDS = {  # of arguments: valid values
    "image": ["np.ones((2, 5, 4, 3))", "np.linspace(-1, 1, 120, dtype=np.float32).reshape(2, 5, 4, 3)",
        "np.ones((0, 5, 4, 3))", "np.ones((1, 8, 8, 1), np.float32)", "frozen(np.ones((2, 5, 4, 3)))",
        "np.ones((3, 4, 5, 2)).T[:2]", "Tensor(np.ones((2, 5, 4, 3), np.float32))", "np.ones((2, 10, 4, 3))[:, ::2]",
        "np.full((1, 5, 4, 3), np.nan)"],
    "array": ["np.ones((3, 4))", "np.ones((3, 4), np.float32)", "Tensor(np.ones((3, 4)))", "np.ones(4)", "2.0", "3",
        "np.float64(2)", "Tensor(2.0)", "np.ones((0, 4))", "np.array(-1.5)"],
    "matrix": ["np.ones((3, 4))", "Tensor(np.ones((3, 4), np.float32))", "np.eye(4)", "np.ones((4, 3))[:3, :]"],
    "kernel": ["np.ones((3, 3, 3, 8))", "np.ones((2, 2, 3, 4), np.float32)", "Tensor(np.ones((3, 3, 3, 4)))",
        "np.ones((1, 1, 1, 6))", "np.ones((4, 2))"],
    "vector": ["np.ones(3)", "np.ones(4)", "np.ones(8, np.float32)", "None", "Tensor(np.ones(4))"],
    "labels": ["np.array([0, 1, 3])", "np.array([2, 0, 1], np.uint8)", "np.zeros(4, int)"],
    "indices": ["ops.max_pool2d_indices(np.ones((2, 10, 8, 3)))", "np.zeros((2, 5, 4, 3), int)"],
    "index": ["0", "-1", "slice(1, None)", "(0, slice(None))", "...", "None", "np.array([0, 0])",
        "[True, False, True]"],
    "axis": ["None", "0", "-1", "(0, 1)", "1", "(1,)"],
    "shape": ["(8, 8, 1)", "(5, 4, 3)", "(12,)", "(3, 4)", "(-1,)", "12", "(2, 60)", "[5, 4, 3]"],
    "size": ["1", "2", "3", "(2, 3)", "[1, 2]", "np.int64(2)", "30"],
    "padding": ["'valid'", "'same'", "1", "(0, 1)", "((1, 0), (0, 1))", "0"],
    "mode": ["'constant'", "'reflect'", "'edge'", "'wrap'"],
    "ties": ["'first'", "'split'"],
    "flag": ["True", "False", "np.bool_(True)"],
    "count": ["1", "2", "4", "np.int64(8)", "12"],
    "few": ["1", "2"],
    "fraction": ["0.5", "0", "0.1", "1.0", "np.float64(0.25)", "2", "1e-3", "3.0"],
    "generator": ["rng()", "None"],
    "layer": ["layers.ReLU()", "layers.Conv2D(4, 3, padding='same')", "net()", "layers.Flatten()", "layers.Dense(4)",
        "layers.BatchNormalization()", "layers.MaxPooling2D(2)"],
    "layers": ["[layers.ReLU()]", "[layers.Flatten(), layers.Dense(4)]", "(layers.Conv2D(2, 3), layers.ReLU())"],
    "initializer": ["'he_normal'", "initializers.zeros", "(lambda rng, shape: np.zeros(shape, np.float32))"],
    "params": ["net().init(rng(), (8, 8, 1))", "{}", "{'w': np.ones((2, 3))}", "{'a': {'b': np.ones(2, np.float32)}}"],
    "state": ["optim.Adam().init({'w': np.ones((2, 3))})", "optim.SGD(0.1).init({'w': np.ones((2, 3))})"],
    "split": ["split()", "split()[:3]", "None"],
    "images": ["split().images", "np.ones((3, 8, 8, 1), np.float32)", "np.ones((0, 8, 8, 1), np.float32)"],
    "classes": ["split().labels", "np.zeros(3, int)", "[0, 1, 2]"],
    "net": ["net()", "models.mlp((4,), 3)"],
    "optimizer": ["optim.SGD(0.1)", "optim.Adam(1e-3)", "optim.SGD(schedules.Cosine(0.1), momentum=0.9)"],
    "callbacks": ["()", "[train.EarlyStopping(2, 'loss')]", "[lambda moment: None]",
        "[train.BestWeights('accuracy')]"],
    "monitor": ["'loss'", "'accuracy'", "'valid_loss'"],
    "history": ["train.History([{'epoch': 1, 'loss': 2.5, 'accuracy': 0.5}])", "train.History()"],
    "moment": ["train.Moment({}, train.History([{'epoch': 1, 'loss': 2.5, 'accuracy': 0.5, 'valid_loss': 2.0}]))"],
    "path": ["'params.npz'", "Path('new.npz')", "'no/such/folder/x.npz'", "'.'", "'damaged.npz'", "'table.csv'"],
    "dataset": ["'digits'", "'mnist'"],
    "root": ["None", "'.'", "Path('.')"],
    "head": ["'max'", "'flatten'", "models.HEADS['max']", "'global-average'"],
    "counts": ["(4,)", "(4, 8)", "(1, 2)", "[2]", "()"],
    "function": ["(lambda p, *rest: ops.sum(p))", "ops.sum", "(lambda p, *rest: ops.mean(p, axis=0))", "ops.relu"],
    "augment": ["None", "data.Augmentation(shift=1)", "(lambda images, rng: images)"],
    "rows": ["[{'epoch': 1, 'loss': 2.5, 'accuracy': 0.5}]", "[]"],
    "name": ["'w'", "'loss'"],
    "anything": [],
}  # fmt: skip
JUNK = [
    "None", "True", "False", "0", "-1", "1", "2", "3", "7", "2.5", "0.0", "-0.5", "1e308", "-1e-300", "np.nan",
    "np.inf", "1j", "'a'", "''", "b'x'", "'same'", "[]", "()", "{}", "[1, 2]", "(1, 2)", "(1, 2, 3)",
    "((1, 1), (0, 2))", "[[1], [2, 3]]", "{'a': 1}", "{'a': [1.0, 'b']}", "set()", "object()", "len", "int", "np",
    "range(3)", "iter([1])", "np.int64(2)", "np.float64(0.5)", "np.float32(1.5)", "np.bool_(True)", "np.float16(1)",
    "np.longdouble(1)", "np.array(2.0)", "np.array(3)", "np.zeros(0)", "np.ones(3)", "np.ones((2, 3))",
    "np.ones((1, 5, 4, 3))", "np.ones((2, 0, 3, 1))", "np.full((2, 3), np.nan)", "np.full((1, 5, 4, 3), np.inf)",
    "np.arange(3)", "np.array([True, False])", "np.array(['a', 'b'])", "np.array([None, 1], object)",
    "np.array([(1, 2.0)], 'i4,f4')", "np.matrix([[1.0, 2.0]])", "np.ma.masked_array(np.ones((1, 5, 4, 3)), 0)",
    "np.ones((1, 5, 4, 3), '>f4')", "np.ones((1, 5, 4, 3), np.float16)", "np.ones((1, 4, 4, 2), complex)",
    "np.ones((1, 1, 5, 4, 3))", "[np.ones(2)]", "frozen(np.ones((1, 5, 4, 3), np.float32))", "Tensor([1.0, 2.0])",
    "Tensor(np.ones((1, 5, 4, 3)))", "Tensor(1.0)", "layers.ReLU()", "layers.ReLU", "optim.Adam(1e-3)", "optim.Adam",
    "rng()", "np.random.RandomState(0)", "rng", "Fraction(1, 3)", "Decimal(1)", "datetime(2020, 1, 1)", "Path('x')",
    "slice(None)", "...", "NotImplemented", "np.datetime64('2020')", "np.str_('a')", "memoryview(b'x')",
    "(lambda *a, **k: None)", "ValueError('x')",
]  # fmt: skip
HUGE = [
    "1000", "2**31", "2**40", "2**61", "2**63", "10**30", "-2**63", "10**400", "10**5000", "(2**40, 1)", "(1, 2**63)",
    "((2**40, 0), (0, 0))", "(2**40, 2**40, 1)",
]  # fmt: skip
UNKNOWN = [
    "activation='relu'", "input_shape=(8, 8, 1)", "stride=2", "kernel=3", "lr=0.1", "bias=True", "foo=None",
]  # fmt: skip
PARAMETERS = {  # kind: the parameters that are of it, by their names
    "image": ["x", "images_or_x"],
    "array": ["y", "exponent", "arrays", "data", "args"],
    "kernel": ["kernel"],
    "indices": ["indices"],
    "vector": ["bias", "gamma", "beta"],
    "matrix": ["logits", "prediction", "target"],
    "labels": ["labels"],
    "index": ["index"],
    "axis": ["axis", "axes"],
    "shape": ["shape", "input_shape"],
    "padding": ["padding", "cropping"],
    "size": ["pool_size", "strides", "dilation_rate", "output_size", "kernel_size"],
    "mode": ["mode", "padding_mode"],
    "ties": ["ties"],
    "layers": ["layers", "branches"],
    "flag": ["keepdims", "ceil_mode", "count_include_pad", "use_bias", "approximate", "relu", "nesterov",
        "batch_norm", "average", "uniform", "progress", "has_aux", "interrupted"],
    "count": ["filters", "units", "groups", "batch_size", "seed", "every", "steps", "patience", "most", "step",
        "classes"],
    "few": ["epochs", "directions"],
    "generator": ["rng"],
    "layer": ["trunk", "head", "body", "shortcut", "layer"],
    "net": ["net"],
    "initializer": ["kernel_initializer", "bias_initializer"],
    "params": ["params", "grads"],
    "state": ["state"],
    "split": ["split", "train", "valid"],
    "images": ["images"],
    "callbacks": ["callbacks"],
    "monitor": ["monitor"],
    "history": ["history"],
    "moment": ["moment"],
    "path": ["path"],
    "root": ["root"],
    "function": ["f"],
    "augment": ["augment"],
    "rows": ["rows"],
    "name": ["where", "what", "fix"],
    "optimizer": ["optimizer", "schedule"],
}  # fmt: skip
INTERNAL = ("Layer", "keep")
BY_NAME = {name: kind for kind, parameters in PARAMETERS.items() for name in parameters}
BY_FUNCTION = {  # where the name alone does not tell
    "data.load valid": "fraction",
    "data.load test": "fraction",
    "data.load name": "dataset",
    "models.small_cnn head": "head",
    "models.make_head name": "head",
    "models.small_cnn filters": "counts",
    "models.small_cnn strides": "counts",
    "models.mlp units": "counts",
    "data.Split labels": "classes",
    "ops.dense x": "matrix",
    "ops.dense kernel": "kernel",
    "ops.matmul x": "matrix",
    "ops.softmax x": "matrix",
    "ops.reshape x": "matrix",
    "ops.getitem x": "matrix",
}
AFTER = {  # what is called of what a call returned
    "layers": ["", "", ".init({generator}, {shape})", ".output_shape({shape})", ".param_shapes({shape})",
        "({params}, {image})", ".multiply_adds({shape})", ".windows({shape})", ".children({shape})",
        ".calibrate({params}, {image})"],
    "initializers": ["", "({generator}, {shape})"],
    "optim": ["", ".init({params})", ".update({params}, {state}, {params})"],
    "schedules": ["", "({count})"],
    "data.Augmentation": ["", "({images}, {generator})"],
    "train.EarlyStopping": ["", "({moment})"],
    "train.BestWeights": ["", "({moment})"],
    "train.CSVLog": ["", "({moment})"],
    "train.History": ["", ".best({monitor})", "[{monitor}]", ".write_csv({path})", ".plot()"],
    "grad": ["({params})", "({array}, {array})"],
    "value_and_grad": ["({params})", "({array}, {array})"],
}  # fmt: skip
TEMPLATES = [
    "Tensor({matrix}).sum({axis}, {flag})", "Tensor({matrix}).mean({axis})", "Tensor({matrix}).max({axis}, {flag})",
    "Tensor({matrix}).transpose({axis})", "Tensor({matrix}).reshape({shape})", "Tensor({matrix}).backward()",
    "Tensor({matrix}).reshape({count}, {count})", "Tensor({matrix}).T", "Tensor({matrix}).sum().backward()",
    "Tensor({matrix}).__getitem__({index})", "{array} + Tensor({matrix})", "{array} - Tensor({matrix})",
    "{array} * Tensor({matrix})", "{array} / Tensor({matrix})", "{array} @ Tensor({matrix})",
    "Tensor({matrix}) + {array}", "Tensor({matrix}) - {array}", "Tensor({matrix}) * {array}",
    "Tensor({matrix}) / {array}", "Tensor({matrix}) @ {array}", "Tensor({matrix}) ** {fraction}",
    "{fraction} ** Tensor({matrix})", "{array} == Tensor(1.0)", "Tensor({array}) < {array}",
    "np.exp(Tensor({array}))", "np.sum(Tensor({array}))", "np.concatenate([Tensor({matrix})])",
    "float(Tensor({array}))", "bool(Tensor({array}))", "len(Tensor({array}))", "list(Tensor({array}))",
    "np.asarray(Tensor({array}))", "train.load(train.save({path}, {params}))", "train.load({path})",
    "list(data.batches({split}, {count}))", "split()[{index}]", "minicnn.kernels.name()",
    "run(layers.Sequential([{layer}]), {shape}, {image})", "run(layers.Concat([{net}]), (8, 8, 1), {images})",
    "run(layers.Sequential({layers}), {shape}, {image})", "layers.summary({layer}, {shape})",
    "str(explain({layer}, {shape}))",
]  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A public callable: its name in the calls, its parameters."""

    text: str
    parameters: tuple[inspect.Parameter, ...]
    group: str

    def kind(self, parameter: inspect.Parameter) -> str:
        module, _, name = self.text.rpartition(".")
        found = BY_FUNCTION.get(f"{self.text} {parameter.name}") or BY_NAME.get(parameter.name)
        numeric = "float" in str(parameter.annotation) or isinstance(parameter.default, float)
        if module == "ops" and parameter.name == "x" and f"{self.text} x" not in BY_FUNCTION and "2d" not in name:
            return "array"
        return found or ("fraction" if numeric else "anything")


def targets() -> list[Target]:
    """Return every public callable of the package, read from it."""
    found = []
    modules = {"ops": ops, "layers": layers, "train": train, "data": data, "optim": optim, "schedules": schedules,
               "models": models, "initializers": initializers, "": minicnn}  # fmt: skip
    for prefix, module in modules.items():
        own = [n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__ and n[0] != "_"]
        for name in getattr(module, "__all__", own):
            value = getattr(module, name)
            if callable(value) and name not in INTERNAL:
                found.append((f"{prefix}.{name}" if prefix else name, value))
    found += [("gradcheck.gradcheck", gradcheck.gradcheck), ("minicnn.kernels.name", minicnn.kernels.name)]
    found += [(f"initializers.{n}", v) for n, v in vars(initializers).items() if type(v).__name__ == "Initializer"]
    return [Target(text, tuple(inspect.signature(value).parameters.values()), _group(value)) for text, value in found]


def _group(value: object) -> str:
    """Return a word for what a callable gives: what may be called of that."""
    if not isinstance(value, type):
        return ""
    bases = {layers.Layer: "layers", initializers.Initializer: "initializers"}
    records = {"minicnn.optim": "optim", "minicnn.schedules": "schedules"}
    return next((word for base, word in bases.items() if issubclass(value, base)), records.get(value.__module__, ""))


def names() -> dict[str, object]:
    """Return the namespace of the calls."""

    def net():
        return layers.Sequential(
            [layers.Conv2D(2, 3), layers.ReLU(), layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(3)]
        )

    def frozen(a):
        a.flags.writeable = False
        return a

    def run(layer, shape, x):
        y = layer(layer.init(rng(), shape), x, rng())
        return backward(layer(layer.init(rng(), shape), Tensor(x) if isinstance(x, np.ndarray) else x)), y

    def rng():
        return np.random.default_rng(0)

    def split():
        return data.Split(rng().random((6, 8, 8, 1), np.float32), np.array([0, 1, 2, 0, 1, 2]))

    def backward(y):
        if isinstance(y, Tensor):
            ops.sum(y).backward()
        return y

    own = {f.__name__: f for f in (net, frozen, run, rng, split, backward)}
    modules = {"np": np, "data": data, "layers": layers, "models": models, "ops": ops, "optim": optim, "train": train}
    more = {"schedules": schedules, "gradcheck": gradcheck, "initializers": initializers, "minicnn": minicnn}
    top = {name: getattr(minicnn, name) for name in minicnn.__all__ if name not in modules | more}
    types = {"Fraction": Fraction, "Decimal": Decimal, "datetime": datetime, "Path": Path, "Tensor": Tensor}
    return {**own, **modules, **more, **top, **types, "explain": minicnn.explain_shapes}


def call_text(draw: random.Random, known: list[Target]) -> str:
    """Return a random call: all arguments valid, one wrong, or many wrong."""
    wrong = draw.choice([0, 0, 1, 1, 1, 2, 2, 3])
    if draw.random() < 0.2:
        return _fill(draw, draw.choice(TEMPLATES), wrong)
    target = draw.choice(known)
    shown = [p for p in target.parameters if p.default is p.empty or draw.random() < 0.35]
    if draw.random() < 0.02 and shown:
        shown.remove(draw.choice(shown))
    chosen = set(draw.sample(range(len(shown)), min(wrong, len(shown))))
    parts, by_name = [], False
    for i, p in enumerate(shown):
        if p.kind is p.VAR_KEYWORD:
            continue
        here = [q.name for q in target.parameters]
        by_name |= p.kind is p.KEYWORD_ONLY or here.index(p.name) != i
        for _ in range(draw.randrange(1, 4) if p.kind is p.VAR_POSITIONAL else 1):
            value = _value(draw, target.kind(p), i in chosen)
            parts.append(f"{p.name}={value}" if by_name and p.kind is not p.VAR_POSITIONAL else value)
    if draw.random() < 0.02:
        parts.append(draw.choice(UNKNOWN))
    if target.text == "data.load":
        parts = [*(p for p in parts if not p.startswith("download")), "download=False"]
    text = f"{target.text}({', '.join(parts)})"
    after = AFTER.get(target.text) or AFTER.get(target.group, [""])
    text += _fill(draw, draw.choice(after), draw.choice([0, 0, 1]))
    return f"backward({text})" if target.text.startswith("ops.") else text


def _fill(draw: random.Random, template: str, wrong: int) -> str:
    places = re.findall(r"\{(\w+)\}", template)
    chosen = iter(draw.sample([True] * wrong + [False] * len(places), len(places)))
    return re.sub(r"\{(\w+)\}", lambda found: _value(draw, found[1], next(chosen)), template)


def _value(draw: random.Random, kind: str, wrong: bool) -> str:
    if not wrong and KINDS[kind]:
        return draw.choice(KINDS[kind])
    if kind == "few":  # an honest huge number of epochs takes for ever
        return draw.choice([v for v in JUNK if v not in ("7", "3")])
    pool = draw.choices([JUNK, HUGE, KINDS[draw.choice(list(KINDS))] or JUNK], [6, 2, 2])[0]
    return draw.choice(pool)


class OutOfTimeError(BaseException):
    """The call took longer than the limit."""


def verdict(text: str, space: dict[str, object]) -> tuple[str, str]:
    """Return how a call ended, and its error in one line."""
    began = time.monotonic()
    ended = _run(text, space, 20 * SECONDS)
    if time.monotonic() - began < SECONDS:
        return ended
    # It may have compiled a kernel or imported a package, once. To interrupt an import would leave half of the package.
    return _run(text, space, SECONDS)


def _run(text: str, space: dict[str, object], seconds: float) -> tuple[str, str]:
    def stop(*_: object) -> None:
        raise OutOfTimeError

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    raised: Exception | None = None
    try:
        eval(compile(text, "<call>", "eval"), dict(space))  # noqa: S307 - a text that was made above
    except OutOfTimeError:
        return "time", ""
    except Exception as error:
        raised = error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if raised is None:
        return "returned", ""
    said = f"{type(raised).__name__}: {' '.join(str(raised).split())[:300]} [{_place(raised)}]"
    return _class(text, raised), said


def _class(text: str, error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "memory"
    files = isinstance(error, OSError) and any(
        f in text for f in ("train.", "data.load", "data.read_image", "split().plot")
    )
    if files or (isinstance(error, FloatingPointError) and "train.fit" in text):
        return "refused"
    if not isinstance(error, ValueError | TypeError) or isinstance(error, UnicodeError):
        return "other"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return "refused" if frame.filename.startswith(PACKAGE) and frame.lineno in _raises(frame.filename) else "foreign"


def _place(error: Exception) -> str:
    inside = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(PACKAGE)]
    return f"{Path(inside[-1].filename).relative_to(PACKAGE)}:{inside[-1].lineno}" if inside else "the call"


@functools.cache
def _raises(path: str) -> set[int]:
    """Return the lines of a file's raise statements."""
    nodes = [n for n in ast.walk(ast.parse(Path(path).read_text())) if isinstance(n, ast.Raise) and n.exc is not None]
    return {line for n in nodes for line in range(n.lineno, n.end_lineno + 1)}


def check(calls: int, seed: int) -> tuple[collections.Counter[str], list[tuple[str, str, str]]]:
    """Make the calls in a folder of their own, and return how many ended how, and the offenders with their errors."""
    draw, known, space = random.Random(seed), targets(), names()  # noqa: S311 - for repetition
    counts, offenders = collections.Counter(), []
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        os.chdir(folder)
        Path("damaged.npz").write_bytes(b"PK\x03\x04 not an archive")
        try:
            for _ in range(calls):
                text = call_text(draw, known)
                with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
                    kind, error = verdict(text, space)
                counts[kind] += 1
                if kind not in ("returned", "refused"):
                    offenders.append((kind, text, error))
        finally:
            os.chdir(here)
    return counts, offenders


def main() -> int:
    """Print the table, and the offenders; 1 if there are other exceptions, or more than 1 % in foreign words."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000, help="how many calls (20,000)")
    parser.add_argument("--seed", type=int, default=0, help="which calls (0)")
    parser.add_argument("--memory", type=float, default=4.0, help="limit in GiB (4)")
    parser.add_argument("--kernels", choices=minicnn.kernels.CHOICES, help="which kernels (those of the environment)")
    options = parser.parse_args()
    if options.kernels:
        os.environ["MINICNN_KERNELS"] = options.kernels
    limit = int(options.memory * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    counts, offenders = check(options.calls, options.seed)
    for kind, text, error in sorted(offenders):
        print(f"{kind:8} {text}\n         {error}")
    print(f"\n{options.calls} calls, seed {options.seed}, {minicnn.kernels.name()} kernels")
    for kind in ("returned", "refused", "foreign", "other", "time", "memory"):
        print(f"{kind:8} {counts[kind]:7} {counts[kind] / options.calls:8.2%}")
    bad = counts["other"] + counts["time"] + counts["memory"]
    return int(bad > 0 or counts["foreign"] > 0.01 * options.calls)


if __name__ == "__main__":
    sys.exit(main())
