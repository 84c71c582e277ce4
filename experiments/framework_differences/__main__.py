"""Where do Keras, PyTorch and ONNX differ for the same 4x4 image, and which call of minicnn gives each answer?

The answers of the frameworks are constants in answers.py, derived from their documented rules; those of PyTorch are
also compared with PyTorch itself if it is installed. The answers of minicnn are computed. The exit code is 1 if any of
them disagree.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import textwrap
from typing import Any

import numpy as np

from experiments.framework_differences.answers import TOPICS
from experiments.framework_differences.topic import Answer, Topic


def main(argv: list[str] | None = None) -> int:
    """Print all topics and return the exit code: 1 if an answer disagrees, else 0."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.framework_differences",
        description="Print for each topic what Keras, PyTorch and ONNX compute for a 4x4 image, and the minicnn call "
        "that computes the same. The answers of PyTorch are compared with PyTorch if it is installed. The exit code is "
        "1 if an answer disagrees.",
    )
    parser.parse_args(argv)
    torch = _torch()
    disagreements = sum(_print(topic, torch) for topic in TOPICS)
    checked = f"compared with torch {torch.__version__}" if torch else "not compared, torch is not installed"
    print(f"Answers of PyTorch: {checked}.")
    print(f"{disagreements} DISAGREE." if disagreements else "minicnn gives all answers.")
    return 1 if disagreements else 0


def compare(answer: Answer, image: np.ndarray, torch: Any = None) -> dict[str, np.ndarray | None]:
    """Return for minicnn and, if given, torch: None if it computes the expected answer, otherwise what it computes."""
    if answer.rows is None or answer.minicnn is None:
        return {}
    expected = np.array(answer.rows)
    found = {f"minicnn {answer.minicnn}": answer.minicnn.answer(image)}
    if torch and answer.compute:
        y = answer.compute(torch, torch.tensor(image[None, None])).numpy()
        found[f"torch {torch.__version__}"] = y.reshape(expected.shape) if y.size == expected.size else y.ravel()
    return {name: None if _same(y, expected) else y for name, y in found.items()}


def _same(y: np.ndarray, expected: np.ndarray) -> bool:
    return y.shape == expected.shape and np.allclose(y, expected, rtol=1e-12, atol=0)


def _print(topic: Topic, torch: Any) -> int:
    """Print a topic and return the number of answers that disagree."""
    why = textwrap.fill(topic.why, 110, break_on_hyphens=False)
    print(f"{topic.name}\n{'-' * len(topic.name)}\n{why}\n\n{_matrix(topic.image)}\n")
    disagreements = 0
    for answer in topic.answers:
        print(f"{answer.framework:8}{answer.call}\n        {answer.source}")
        if answer.rows is not None:
            print(_matrix(np.array(answer.rows)))
        for name, other in compare(answer, topic.image, torch).items():
            print(f"      = {name}" if other is None else f"DISAGREES: {name} gives\n{_matrix(other)}")
            disagreements += other is not None
        print()
    return disagreements


def _matrix(rows: np.ndarray) -> str:
    return "\n".join(" " * 10 + " ".join(f"{value:6.4g}" for value in row) for row in np.atleast_2d(rows))


def _torch() -> Any:
    return importlib.import_module("torch") if importlib.util.find_spec("torch") else None


if __name__ == "__main__":
    sys.exit(main())
