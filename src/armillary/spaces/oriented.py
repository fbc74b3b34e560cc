"""The sphere with an orientation at each point: a sampling of SO(3) for directional filters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from armillary.spaces.sphere import SphereGrid


@dataclass(frozen=True)
class OrientedGrid:
    """SO(3) as (orientation γ, colatitude θ, longitude φ): the rotation Z(φ)Y(θ)Z(γ) at each node.

    γ_g = 2πg/n_orientations. Fields are ``(batch, channels, n_orientations, nlat, nlon)``: the orientation axis comes
    right after the channels. An even number of orientations holds frequencies |n| < n_orientations/2, an odd one
    |n| ≤ (n_orientations - 1)/2 (``nmax``).
    """

    grid: SphereGrid
    n_orientations: int

    def __post_init__(self) -> None:
        if not isinstance(self.n_orientations, int) or self.n_orientations < 1:
            raise ValueError(f"OrientedGrid: got n_orientations = {self.n_orientations!r}, wanted an integer >= 1.")

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.n_orientations, *self.grid.shape)

    @property
    def orientations(self) -> Tensor:
        """(n_orientations,), from 0, radians."""
        return torch.arange(self.n_orientations, dtype=torch.float64, device="cpu") * (
            2 * math.pi / self.n_orientations
        )

    @property
    def nmax(self) -> int:
        """The highest orientation frequency the samples hold."""
        return (self.n_orientations - 1) // 2

    @property
    def lmax(self) -> int:
        return self.grid.lmax

    @property
    def quadrature(self) -> Tensor:
        """Weights of the Haar integral ∫ f sin θ dγ dθ dφ, shape (n_orientations, nlat, nlon), sum 8π²."""
        return (self.grid.quadrature * (2 * math.pi / self.n_orientations)).expand(self.shape)

    def integrate(self, field: Tensor) -> Tensor:
        """``(..., n_orientations, nlat, nlon) -> (...)``."""
        self.check_field(field)
        return self.grid.integrate(field).sum(-1) * (2 * math.pi / self.n_orientations)

    def check_field(self, field: Tensor, who: str = "this grid") -> None:
        if tuple(field.shape[-3:]) != self.shape:
            raise ValueError(
                f"x has shape {tuple(field.shape)}, {who} wants (..., {', '.join(map(str, self.shape))}) for {self}: "
                f"the orientation axis comes right after the channels."
            )

    def to_dict(self) -> dict[str, Any]:
        return {"type": "OrientedGrid", "grid": self.grid.to_dict(), "n_orientations": self.n_orientations}
