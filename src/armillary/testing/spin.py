"""Rotations of fields of spin on the sphere, acting exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from armillary.groups import Orders, random_rotation
from armillary.harmonics.spin_fields import random_spins, rotate_spins
from armillary.spaces import SphereGrid
from armillary.testing.symmetry import Symmetry


@dataclass(frozen=True)
class SpinSymmetry(Symmetry):
    """Rotations of the sphere on fields of several spins, values and frames together; nothing is interpolated.

    Inputs are random fields of degree ≤ ``lmax`` (default: a quarter of the band limit of ``grid``, and no less than
    the highest spin), (batch, spins.size, *grid.shape) in the layout of ``groups.Orders``. Outputs are fields of
    ``spins_out`` on ``grid_out`` (default: those of the input), compared in the quadrature norm; with
    ``invariant`` they should not change, and may have any shape. ``rotations`` replaces random ones (Haar).

    Raises: ValueError where the output has another shape. Pinned by ``tests/testing/test_spin.py``.
    """

    spins: Orders
    grid: SphereGrid
    spins_out: Orders | None = None
    grid_out: SphereGrid | None = None
    invariant: bool = False
    lmax: int | None = None
    rotations: Sequence[Tensor] | None = None

    def inputs(self, batch: int, generator: torch.Generator) -> Tensor:
        least = max(1, *(abs(s) for s in self.spins.orders))
        lmax = max(least, self.grid.lmax // 4) if self.lmax is None else self.lmax
        return random_spins(self.spins, self.grid, lmax, batch, generator)

    def pairs(self, count: int, batch: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        chosen = [random_rotation(generator) for _ in range(count)] if self.rotations is None else self.rotations
        for R in chosen:
            x = self.inputs(batch, generator)
            yield x, rotate_spins(x, self.spins, self.grid, R), R

    def compare(self, output: Tensor, after: Tensor, g: Tensor) -> tuple[float, float]:
        if self.invariant:
            return float((after - output).square().sum()), float(output.square().sum())
        grid, spins = self.grid_out or self.grid, self.spins_out or self.spins
        difference = after - rotate_spins(output, spins, grid, g)
        return float(grid.integrate(difference**2).sum()), float(grid.integrate(output**2).sum())
