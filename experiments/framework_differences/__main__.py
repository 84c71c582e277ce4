"""Where do Keras, PyTorch and ONNX disagree on the same 4x4 image, and how is each answer had from minicnn?

Every answer of a framework is a constant in answers.py, worked out by its rule and, for
PyTorch, asked of PyTorch itself where that is installed. minicnn's answers are computed. The exit code is 1 if
anything disagrees.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import textwrap
from typing import Any

import numpy as np

from experiments.framework_differences.answers import TOPICS, Answer, Topic


def main(argv: list[str] | None = None) -> int:
    """Print every topic and say whether all answers agree."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.framework_differences",
        description="Show, on one 4x4 image a topic, what Keras, PyTorch and ONNX answer and which minicnn call gives "
        "each answer. PyTorch's answers are checked against PyTorch where it is installed. Exit code 1: disagreement.",
    )
    parser.parse_args(argv)
    torch = _torch()
    wrong = sum(_print(topic, torch) for topic in TOPICS)
    how = f"checked against torch {torch.__version__}" if torch else "torch not installed: its column is from the rule"
    print(f"PyTorch's answers: {how}.")
    print(f"{wrong} DISAGREE." if wrong else "minicnn gives every answer.")
    return 1 if wrong else 0


def compare(answer: Answer, image: np.ndarray, torch: Any = None) -> dict[str, np.ndarray | None]:
    """Return whom we asked, each with None if it gives the framework's answer, else with what it gives."""
    if answer.rows is None or answer.minicnn is None:
        return {}
    golden = np.array(answer.rows)
    found = {f"minicnn {answer.minicnn}": answer.minicnn.answer(image)}
    if torch and answer.ask:
        y = answer.ask(torch, torch.tensor(image[None, None])).numpy()
        found[f"torch {torch.__version__}"] = y.reshape(golden.shape) if y.size == golden.size else y.ravel()
    return {who: None if _same(y, golden) else y for who, y in found.items()}


def _same(y: np.ndarray, golden: np.ndarray) -> bool:
    return y.shape == golden.shape and np.allclose(y, golden, rtol=1e-12, atol=0)


def _print(topic: Topic, torch: Any) -> int:
    """Print a topic and return how many disagree."""
    why = textwrap.fill(topic.why, 110, break_on_hyphens=False)
    print(f"{topic.name}\n{'-' * len(topic.name)}\n{why}\n\n{_matrix(topic.image)}\n")
    wrong = 0
    for answer in topic.answers:
        print(f"{answer.framework:8}{answer.call}\n        {answer.source}")
        if answer.rows is not None:
            print(_matrix(np.array(answer.rows)))
        for who, other in compare(answer, topic.image, torch).items():
            print(f"      = {who}" if other is None else f"DISAGREES: {who} gives\n{_matrix(other)}")
            wrong += other is not None
        print()
    return wrong


def _matrix(rows: np.ndarray) -> str:
    return "\n".join(" " * 10 + " ".join(f"{value:6.4g}" for value in row) for row in np.atleast_2d(rows))


def _torch() -> Any:
    return importlib.import_module("torch") if importlib.util.find_spec("torch") else None


if __name__ == "__main__":
    sys.exit(main())
