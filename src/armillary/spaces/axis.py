"""One axis of a grid of parameters: evenly spaced values that may wrap."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Axis:
    """``size`` values ``start + k · step``, k = 0 … size - 1; a periodic axis wraps after ``period = size · step``.

    Raises: ValueError for a size that is no positive integer, a step that is not positive, or numbers not finite.
    Pinned by ``tests/spaces/test_axis.py``.
    """

    size: int
    start: float = 0.0
    step: float = 1.0
    periodic: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 1:
            raise ValueError(f"Axis: got size = {self.size!r}, wanted an integer >= 1.")
        if not (math.isfinite(self.start) and math.isfinite(self.step) and self.step > 0):
            raise ValueError(f"Axis: got start = {self.start!r}, step = {self.step!r}, wanted finite and step > 0.")

    @property
    def period(self) -> float:
        """What a periodic axis repeats after, ``size · step``."""
        return self.size * self.step

    @property
    def values(self) -> Tensor:
        """The values, (size,) float64."""
        return self.start + self.step * torch.arange(self.size, dtype=torch.float64, device="cpu")

    def wrap(self, value: Tensor) -> Tensor:
        """``value`` moved by whole periods into [start, start + period); unchanged where the axis is not periodic."""
        if not self.periodic:
            return value
        rest = torch.remainder(value - self.start, self.period)
        wrapped = self.start + rest
        # just below start the remainder rounds to the period: the end, which is start
        return torch.where(wrapped >= self.start + self.period, self.start + (rest - rest.detach()), wrapped)

    def difference(self, a: Tensor, b: Tensor) -> Tensor:
        """``a - b``, on a periodic axis the short way round, in [-period/2, period/2)."""
        if not self.periodic:
            return a - b
        half = self.period / 2
        rest = torch.remainder(a - b + half, self.period)
        return torch.where(rest >= self.period, rest - self.period, rest) - half

    @property
    def waves(self) -> Tensor:
        """(cos, sin) of ``2π (value - start)/period``, (size, 2) float64."""
        turns = 2 * math.pi / self.size * torch.arange(self.size, dtype=torch.float64, device="cpu")
        return torch.stack([turns.cos(), turns.sin()], dim=-1)

    def pointed_at(self, direction: Tensor, least: float | None = None) -> Tensor:
        """The value whose wave points in a direction (cos, sin) of any length, (..., 2) → (...), within half a period.

        Where the length is rounding, so that nothing is pointed at, it is ``start`` with zero gradient: up to
        ``least``, by default the eps of the dtype, which in half precision is long: convert to float32 before.
        """
        least = torch.finfo(direction.dtype).eps if least is None else least
        marked = direction.square().sum(-1) > least**2
        cos, sin = direction.unbind(-1)
        angle = torch.atan2(torch.where(marked, sin, 0.0), torch.where(marked, cos, 1.0))
        return self.start + self.period / (2 * math.pi) * angle

    def coarser(self, factor: int) -> Axis:
        """The centres of cells of ``factor`` neighbours, as a pooling by ``factor`` leaves them.

        Raises: ValueError unless ``factor`` divides the size.
        """
        if isinstance(factor, bool) or not isinstance(factor, int) or factor < 1 or self.size % factor:
            raise ValueError(f"Axis.coarser: got factor = {factor!r}, wanted a divisor of the size, {self.size}.")
        return Axis(self.size // factor, self.start + (factor - 1) / 2 * self.step, factor * self.step, self.periodic)
