"""One axis of a window op: what follows from its sizes. The notation is that of `geometry`, which decides them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Axis:
    """One axis of a window op with everything decided.

    n pixels of input, windows of k taps that lie d apart, one window every s pixels, padding before and after, without
    the overhang of ceil mode, and out windows.

    >>> Axis(n=5, k=3, s=2, d=1, before=1, after=1, out=3).formula("floor")
    'floor((5 + 1 + 1 - 3) / 2) + 1 = 3'
    """

    n: int
    k: int
    s: int
    d: int
    before: int
    after: int
    out: int

    @property
    def span(self) -> int:
        """Pixels from the first to the last tap of a window."""
        return (self.k - 1) * self.d + 1

    @property
    def overhang(self) -> int:
        """Number of pixels by which the last window extends past the padding (ceil mode only)."""
        return max(0, (self.out - 1) * self.s + self.span - self.before - self.n - self.after)

    @property
    def unread(self) -> tuple[int, ...]:
        """Pixels of the input that no tap reads: at its end, or between windows and taps that lie apart."""
        read = np.zeros(self.n, bool)
        for tap in range(min(self.k, (self.n - 1 + self.before) // self.d + 1)):
            first = tap * self.d - self.before  # one of its reads every stride; some may lie before the input
            end = first + self.out * self.s
            read[first % self.s if first < 0 else first : max(end, 0) : self.s] = True
        return tuple(np.flatnonzero(~read).tolist())

    def formula(self, rounding: str) -> str:
        """Return the size formula with its numbers."""
        if rounding == "same":
            return f"ceil({self.n} / {self.s}) = {self.out}"
        sides = (self.before, self.after) if self.before or self.after else ()
        pads = "".join(f" {'-' if side < 0 else '+'} {abs(side)}" for side in sides)
        if sides and self.span == self.s == 1:
            return f"{self.n}{pads} = {self.out}"
        free = self.n + self.before + self.after - self.span
        most = -(-free // self.s) + 1 if rounding == "ceil" else self.out
        dropped = "" if most == self.out else f" = {most}, less one that would start past the input"
        return f"{rounding}(({self.n}{pads} - {self.span}) / {self.s}) + 1{dropped} = {self.out}"

    def real_elements(self, *, include_pad: bool) -> list[int]:
        """Return how many pixels each window reads: of the input, or of the input and its padding.

        What extends past the padding in ceil mode never counts.
        """
        first, end = (-self.before, self.n + self.after) if include_pad else (0, self.n)
        starts = [i * self.s - self.before for i in range(self.out)]
        return [self._taps_before(end - start) - self._taps_before(first - start) for start in starts]

    def _taps_before(self, distance: int) -> int:
        """Return how many taps lie less than a distance from the first one."""
        return min(max(-(-distance // self.d), 0), self.k)
