"""Any map of channels on functions on the sphere, given and wanted as coefficients: through values at directions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from armillary.ops.constants import ConstantModule
from armillary.ops.integers import checked_integer
from armillary.ops.real_harmonics import spherical_harmonics
from armillary.spaces import GaussLegendre


class SpherePointwise(ConstantModule):
    """A module of channels applied to functions on the sphere at each direction n of a grid.

        F(n) = Σ_lm x_lm S_lm(n),    y_lm = 1/4π ∫ module(F(n)) S_lm(n) dn,    S = √4π Y, so that Σ_m S_lm² = 2l + 1

    The grid has ``rings`` Gauss–Legendre rings of ``rings + 1`` directions (default: 2(L + 1), as published). Linear
    modules are exact; others commute with rotations up to aliasing, which more rings lower: products of two functions
    are exact from ⌈(3L + 1)/2⌉ rings in degree and 3L in order on. Reflections are exact where the grid has them.

    Shapes: (..., (L + 1)², channels in) → (..., (L + 1)², channels out), rows by degree, then m = -l..l.
    Raises: ValueError for another number of rows, or rings ≤ L.
    Source: Zitnick et al. 2022 (SCN, arXiv 2206.14331), section 3.3; pinned by ``tests/nn/test_sphere_pointwise.py``.
    """

    def __init__(self, module: nn.Module, lmax: int, rings: int | None = None) -> None:
        super().__init__()
        self.lmax = checked_integer("lmax", lmax, 0)
        self.rings = checked_integer("rings", 2 * (lmax + 1) if rings is None else rings, lmax + 1, why=", lmax + 1")
        self.module = module
        with torch.device("cpu"):
            grid = GaussLegendre(self.rings, self.rings + 1)
            S = sphere_functions(self.lmax, grid.points.flatten(0, 1))
            weights = grid.quadrature.expand(grid.shape).flatten() / (4 * math.pi)
            self.register_constant("to_grid", S)
            self.register_constant("from_grid", (S * weights[:, None]).T.contiguous())

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 2 or x.shape[-2] != (self.lmax + 1) ** 2:
            raise ValueError(f"x has shape {tuple(x.shape)}, wanted (..., {(self.lmax + 1) ** 2}, channels).")
        return self.constant("from_grid", x) @ self.module(self.constant("to_grid", x) @ x)

    def extra_repr(self) -> str:
        return f"lmax={self.lmax}, rings={self.rings}"


def sphere_functions(lmax: int, directions: Tensor) -> Tensor:
    """S_lm = √4π Y_lm at directions (..., 3): (..., (lmax + 1)²); over the sphere their mean square is 1."""
    return math.sqrt(4 * math.pi) * spherical_harmonics(lmax, directions)
