"""ONNX Runtime: the net as minicnn exports it, for inference only."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime

from minicnn import interop
from minicnn.layers import Sequential


class OnnxRuntimeAdapter:
    """See `frameworks.Adapter`.

    The exported graph takes images as (N, H, W, C) and transposes them: at most 3 % more time than one without.
    """

    def __init__(self, net: Sequential, shape: tuple[int, ...], params: Any, *_: float) -> None:
        options = onnxruntime.SessionOptions()
        if "OMP_NUM_THREADS" in os.environ:  # which this runtime does not read
            options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
        with TemporaryDirectory() as folder:
            path = interop.to_onnx(net, params, shape, Path(folder) / "net.onnx")
            self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def make_batch(self, images: np.ndarray, labels: np.ndarray) -> Any:
        """Return the images under the name of the graph's input."""
        return {"image": images}

    def train_step(self, batch: Any) -> float:
        """Raise TypeError: this runtime does not train."""
        raise TypeError("benchmark: mode must be inference for ONNX Runtime, got training. It does not train.")

    def infer(self, batch: Any) -> np.ndarray:
        """Return the logits."""
        return self.session.run(None, batch)[0]  # type: ignore[no-any-return]
