"""The error of an invalid shape: where it happened, what does not fit, and what would."""

from __future__ import annotations


class ShapeError(ValueError):
    """A ValueError in parts, so that an op can add its name, and a network the layer's name and the history of sizes.

    Attributes
    ----------
    where : str
        The op, or the layer with its place in the net.
    what : str
        What does not fit, with the formula and its numbers.
    fix : str
        What would fit.
    placed : bool
        Whether a network has already put its layer's name into `where`.

    Examples
    --------
    >>> print(ShapeError("conv2d", "the kernel wants 3 channels, the input has 1", "Use a 3-channel image."))
    conv2d: the kernel wants 3 channels, the input has 1. Use a 3-channel image.
    """

    def __init__(self, where: str, what: str, fix: str) -> None:
        super().__init__(where, what, fix)
        self.where, self.what, self.fix, self.placed = where, what, fix, False

    def place(self, name: str, history: str = "") -> None:
        """Name the layer in which it happened; the innermost network adds the history of sizes."""
        self.where = f"{name}/{self.where}" if self.placed else name
        if history and not self.placed:
            self.what = f"{self.what}. {history}"
        self.placed = True

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. {self.fix}"
