"""Convolution with axisymmetric filters as a product of spherical harmonic coefficients, and when that is cheaper.

Shape legend: B batch, C channels in, O channels out, G groups, K basis functions, L degrees, M orders.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from armillary.harmonics.sht import SHT, InverseSHT
from armillary.ops.constants import ConstantModule
from armillary.ops.filters import FilterBasis, piecewise_gauss
from armillary.ops.precision import without_autocast
from armillary.ops.wigner import legendre_table
from armillary.spaces import SphereGrid
from armillary.spaces.neighbours import count_neighbours

_NODES = 24  # of a piece of the radius on which P_lmax turns a few times
_TURNS = 2.0

# Nanoseconds on one machine (2 cores, float32). Their ratio decides, so they need not be those of yours.
_ENTRY = 0.008  # of a stencil, for each channel and function, forward: mirrored entries are taken in pairs
_CALL = 5e5  # of the transforms, whatever their size
_NUMBER, _RING = 6.0, 0.01  # of a transform, for each number of the field: moved; and multiplied, for each ring


@dataclass(frozen=True)
class PathCosts:
    """Estimated nanoseconds of a forward pass, channel mixing left out: by a stencil and by harmonics."""

    stencil: float
    harmonic: float

    @classmethod
    def of(
        cls, grid: SphereGrid, grid_out: SphereGrid, cutoff: float, in_channels: int, out_channels: int, functions: int
    ) -> PathCosts:
        """Costs for one sample between two grids."""
        entries = count_neighbours(grid, grid_out, cutoff)
        there = in_channels * grid.nlat * grid.nlon * (_NUMBER + _RING * grid.nlat)
        back = out_channels * grid_out.nlat * grid_out.nlon * (_NUMBER + _RING * grid_out.nlat)
        return cls(_ENTRY * entries * in_channels * functions, _CALL + there + back)


def zonal_spectrum(basis: FilterBasis, cutoff: float, lmax: int) -> Tensor:
    """``λ_kl = 2π ∫ ψ_k(ϑ) P_l(cos ϑ) sin ϑ dϑ`` of the normalised functions of an axisymmetric basis, (K, lmax + 1).

    By the theorem of Funk and Hecke, convolution with ψ_k multiplies the coefficient f_lm by λ_kl.
    """
    pieces = max(1, math.ceil(lmax * cutoff / (2 * math.pi * _TURNS)))
    edges = sorted({0.0, 1.0, *basis.radial_breaks, *(i / pieces for i in range(1, pieces))})
    r, weight = piecewise_gauss(tuple(edges), _NODES)
    angle = r * cutoff
    degrees = torch.arange(lmax + 1, dtype=torch.float64)
    polynomials = legendre_table(lmax, torch.zeros(1, dtype=torch.int64), angle)[0]
    polynomials *= (4 * math.pi / (2 * degrees + 1)).sqrt()[:, None]
    values = basis.evaluate(r, torch.zeros_like(r)) * (2 * math.pi * cutoff * weight * torch.sin(angle))
    return (values @ polynomials.T) / basis.norms(cutoff)[:, None]


class ZonalProduct(ConstantModule):
    """Convolution with axisymmetric filters: ``y_olm = Σ_c Σ_k w_ock λ_kl x_clm`` between two grids.

    Shapes: x (B, C, *grid.shape), weight (O, C/G, K), bias (O,) or None → (B, O, *grid_out.shape). Exact for fields
    within the band limit of both grids, and exactly equivariant for them; what lies above it is removed. float32 and
    float64; half precision is computed in float32.

    Source: Driscoll & Healy 1994, theorem 1; pinned by ``tests/harmonics/test_zonal.py``.
    """

    def __init__(self, grid: SphereGrid, grid_out: SphereGrid, basis: FilterBasis, cutoff: float) -> None:
        super().__init__()
        self.lmax = min(grid.lmax, grid_out.lmax)
        self.analysis, self.synthesis = SHT(grid, self.lmax), InverseSHT(grid_out, self.lmax)
        self.register_constant("spectrum", zonal_spectrum(basis, cutoff, self.lmax))

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> Tensor:
        dtype = torch.promote_types(x.dtype, torch.float32)
        coefficients = torch.view_as_real(self.analysis(x.to(dtype)))  # (B, C, L, M, 2)
        batch, _, size, orders, _ = coefficients.shape
        with without_autocast(x):
            filters = weight.to(dtype) @ self.constant("spectrum", coefficients)  # (O, C/G, L)
            filters = filters.unflatten(0, (groups, -1)).permute(3, 0, 1, 2).flatten(0, 1)  # (L·G, O/G, C/G)
            columns = coefficients.unflatten(1, (groups, -1)).permute(3, 1, 2, 0, 4, 5)  # (L, G, C/G, B, M, 2)
            mixed = torch.bmm(filters, columns.flatten(3).flatten(0, 1))  # (L·G, O/G, B·M·2)
        mixed = mixed.reshape(size, -1, batch, orders, 2).permute(2, 1, 0, 3, 4)
        y = self.synthesis(torch.view_as_complex(mixed.contiguous()))
        if bias is not None:
            y = y + bias[:, None, None]
        return y.to(x.dtype)
