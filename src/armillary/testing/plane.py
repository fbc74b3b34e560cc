"""Turns of the plane by any angle, acting exactly on images that are samples of analytic functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from armillary.spaces import ImageGrid
from armillary.testing.symmetry import Symmetry

_WHOLE = 1e-9  # radians within which an angle is a multiple of a quarter turn


@dataclass(frozen=True)
class _Waves:
    """``f(p) = g(|p|) Σ_w a_w cos(k_w · p + t_w)`` for each sample and channel; k (B, C, w, 2), a and t (B, C, w)."""

    k: Tensor
    amplitude: Tensor
    phase: Tensor
    window: float | None

    def at(self, points: Tensor) -> Tensor:
        """Values (B, C, H, W) at points (H, W, 2)."""
        values = torch.cos(torch.einsum("bcwd,hvd->bcwhv", self.k, points) + self.phase[..., None, None])
        field = torch.einsum("bcw,bcwhv->bchv", self.amplitude, values)
        if self.window is None:
            return field
        return field * torch.exp(-points.square().sum(-1) / (2 * self.window**2))


@dataclass(frozen=True)
class PlaneSymmetry(Symmetry):
    """Turns of images about their middle, counter-clockwise, by any angle; nothing is interpolated.

    Inputs are band-limited functions of the plane, ``f(p) = g(|p|) Σ_w a_w cos(k_w · p + t_w)`` with ``waves`` random
    waves of ``|k| ≤ frequency · π`` (a share of Nyquist, uniform in that disc) and a Gaussian g of standard deviation
    ``window`` pixels (None: g = 1), sampled at the pixels. The turned input is the same function sampled at the turned
    points, ``(R f)(p) = ρ(R) f(R⁻¹ p)``, which is exact.

    The middle is a fixed point of every turn. Where ``grid_out`` has a pixel there (odd sizes) the outputs are compared
    at it, ``L(R f)(0) = ρ'(R) L(f)(0)``; it need not have as many pixels as ``grid``, but has to have the same middle.
    On a square ``grid_out`` of even size no pixel stays in place, and only quarter turns can be asked for. These map
    pixels to pixels: outputs are then compared all over the image, against ``torch.rot90``. ``grid_out`` None: outputs
    that lie on no image, such as class scores, are compared as they are.

    ``act_in`` and ``act_out`` are ρ(R) and ρ'(R) on the values alone, functions of the angle in radians and a tensor
    (batch, ..., h, w): multiplication by e^{imα}, vectors that turn, a group axis that is permuted. None: scalars.
    ``channels`` of one input, with a group axis a tuple: inputs are (batch, *channels, height, width). ``angles``
    replaces random ones, uniform in [0, 2π).

    Raises: ValueError for a frequency outside of (0, 1], an angle that cannot be compared, or an output off
    ``grid_out``. Pinned by ``tests/testing/test_plane.py``.
    """

    grid: ImageGrid
    grid_out: ImageGrid | None
    channels: int | tuple[int, ...]
    act_in: Callable[[float, Tensor], Tensor] | None = None
    act_out: Callable[[float, Tensor], Tensor] | None = None
    frequency: float = 0.25
    window: float | None = None
    waves: int = 8
    angles: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.frequency <= 1:
            raise ValueError(f"PlaneSymmetry: got frequency = {self.frequency}, wanted a share of Nyquist in (0, 1].")
        if self.waves < 1 or (self.window is not None and not self.window > 0):
            raise ValueError(
                f"PlaneSymmetry: got waves = {self.waves}, window = {self.window}, wanted waves >= 1 and a window of "
                f"positive width or None."
            )
        for angle in self.angles or ([0.1] if self.angles is None else []):
            self._check_angle(angle)

    def _check_angle(self, angle: float) -> None:
        out = self.grid_out
        if out is None:
            return
        if quarter_turns(angle) is None:
            if out.height % 2 == 0 or out.width % 2 == 0:
                raise ValueError(
                    f"PlaneSymmetry: outputs on {out} have no pixel in the middle, so that turns by {angle:.4g} cannot "
                    f"be compared: pass angles that are multiples of π/2, or take odd sizes."
                )
        elif quarter_turns(angle) % 2 and out.height != out.width:  # type: ignore[operator]
            raise ValueError(f"PlaneSymmetry: a quarter turn does not map {out} to itself: take a square image.")

    def inputs(self, batch: int, generator: torch.Generator) -> Tensor:
        return self._shaped(self._function(batch, generator).at(self.grid.points))

    def pairs(self, count: int, batch: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor, float]]:
        angles = self.angles
        if angles is None:
            angles = (2 * math.pi * torch.rand(count, generator=generator, dtype=torch.float64)).tolist()
        for angle in angles:
            function = self._function(batch, generator)
            x, moved = (self._shaped(function.at(points)) for points in (self.grid.points, self._turned_back(angle)))
            yield x, moved if self.act_in is None else self.act_in(angle, moved), angle

    def compare(self, output: Tensor, after: Tensor, g: float) -> tuple[float, float]:
        if after.shape != output.shape:
            raise ValueError(
                f"the map gives shape {tuple(output.shape)}, and {tuple(after.shape)} for the turned input."
            )
        wanted = output if self.act_out is None else self.act_out(g, output)
        if wanted.shape != output.shape:
            raise ValueError(f"act_out gave shape {tuple(wanted.shape)}, the map gives {tuple(output.shape)}.")
        if self.grid_out is not None:
            self.grid_out.check_field(output, "grid_out")
            turns = quarter_turns(g)
            if turns is None:
                middle = (..., self.grid_out.height // 2, self.grid_out.width // 2)
                output, wanted, after = output[middle], wanted[middle], after[middle]
            else:
                wanted = torch.rot90(wanted, turns, (-2, -1))
        return float((after - wanted).abs().square().sum()), float(output.abs().square().sum())

    def _turned_back(self, angle: float) -> Tensor:
        """R⁻¹ p for each pixel; by whole numbers where the turn is a multiple of π/2."""
        turns = quarter_turns(angle)
        cos, sin = (math.cos(angle), math.sin(angle)) if turns is None else [(1, 0), (0, 1), (-1, 0), (0, -1)][turns]
        x, y = self.grid.points.unbind(-1)
        return torch.stack([cos * x + sin * y, cos * y - sin * x], dim=-1)

    def _function(self, batch: int, generator: torch.Generator) -> _Waves:
        channels = self.channels if isinstance(self.channels, int) else math.prod(self.channels)
        shape = (batch, channels, self.waves)

        def uniform() -> Tensor:
            return torch.rand(shape, generator=generator, dtype=torch.float64)

        radius = math.pi * self.frequency * uniform().sqrt()
        direction, phase = 2 * math.pi * uniform(), 2 * math.pi * uniform()
        k = torch.stack([radius * torch.cos(direction), radius * torch.sin(direction)], dim=-1)
        amplitude = torch.randn(shape, generator=generator, dtype=torch.float64) * (2 / self.waves) ** 0.5
        return _Waves(k, amplitude, phase, self.window)

    def _shaped(self, x: Tensor) -> Tensor:
        return x if isinstance(self.channels, int) else x.unflatten(1, self.channels)


def quarter_turns(angle: float) -> int | None:
    """0, 1, 2 or 3 where ``angle`` is so many quarter turns, up to full ones; None where it is no multiple of π/2."""
    turns = angle / (math.pi / 2)
    return round(turns) % 4 if abs(turns - round(turns)) < _WHOLE else None
