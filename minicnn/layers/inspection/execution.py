"""How a network is executed: which layers run together in one kernel, which do not, and why."""

from __future__ import annotations

import html
from collections.abc import Iterator

from minicnn import kernels
from minicnn.hints import explained, frozen
from minicnn.layers import fusion
from minicnn.layers.base import Layer
from minicnn.validation import shown


@frozen(repr=False)
class Execution:
    """The steps in which a network runs: `print` it, or let a notebook display it.

    Attributes
    ----------
    kernels : str
        The name of the kernels in use.
    off : str
        Why fusion is off; empty if it is on.
    steps : tuple of (tuple of str, str)
        For each step the layers in it, named by their paths, and the reason.
    """

    kernels: str
    off: str
    steps: tuple[tuple[tuple[str, ...], str], ...]

    def __repr__(self) -> str:
        layers = sum(len(names) for names, _ in self.steps)
        return f"Execution({layers} layers in {len(self.steps)} steps, {self.kernels} kernels)"

    def __str__(self) -> str:
        state = f"fusion is off: {self.off}" if self.off else "fusion is on, MINICNN_FUSE=0 switches it off"
        lines = (f"{' + '.join(names)}{': ' * bool(reason)}{reason}" for names, reason in self.steps)
        return "\n".join([f"{self.kernels} kernels; {state}", *lines])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


@explained
def explain_execution(net: Layer) -> Execution:
    """Return the steps in which a network runs with the kernels in use; print it.

    Layers joined by + run together: each such step gives the same bits as its layers one by one.
    The other lines say why a layer that could take part in a fused kernel does not.

    >>> from minicnn import layers as L
    >>> net = L.Sequential([L.Conv2D(4, 3), L.ReLU(), L.MaxPooling2D(3, strides=2), L.Flatten(), L.Dense(10)])
    >>> print(explain_execution(net))  # doctest: +SKIP
    compiled kernels; fusion is on, MINICNN_FUSE=0 switches it off
    conv2d + relu: one kernel: the output of the convolution is used while it is in cache
    max_pooling2d: its strides differ from its pool_size
    flatten
    dense

    Raises
    ------
    TypeError
        For what is not a layer.
    """
    if not isinstance(net, Layer):
        raise TypeError(f"explain_execution: net must be a layer, got {shown(net)}. Use one such as Sequential([...]).")
    return Execution(kernels.name(), fusion.why_off(), tuple(_steps("", net)))


def _steps(path: str, layer: Layer) -> Iterator[tuple[tuple[str, ...], str]]:
    inside = layer.steps()
    if not inside:
        yield (path or "layer",), ""
    for step in inside:
        names = tuple(f"{path}/{name}" if path else name for name in step.names)
        if isinstance(step.run, Layer) and step.run.steps():
            yield from _steps(names[0], step.run)
        else:
            yield names, step.reason
