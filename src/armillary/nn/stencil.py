"""Stencils of DISCO layers: a continuous filter basis on a pair of grids, as the numbers that ``ops.disco`` contracts.

Each basis function is normalised by its continuous integral, ``∫ |ψ_k| dω = 1`` over the cap, and, with matched
moments,
integrates every local polynomial of degree ≤ p as the continuous filter does. A layer is therefore the continuous
convolution, whatever the grid: its weights may be moved between resolutions and kinds of grid unchanged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

import torch
from torch import Tensor

from armillary.ops.filters import FilterBasis
from armillary.ops.moments import EXTRA_DEGREES, LocalPolynomials, monomials
from armillary.spaces import SphereGrid
from armillary.spaces.neighbours import LongitudePattern, Neighbourhood, neighbourhoods


class Centre(Enum):
    """At which end of the stencil the filter is anchored; the two differ for directional filters only."""

    OUTPUT = "output"  # y(ω) = ∫ x(ω') ψ(R_ω⁻¹ ω') dω': convolution
    INPUT = "input"  # y(ω) = ∫ x(ω') ψ(R_ω'⁻¹ ω) dω': transposed convolution


@dataclass(frozen=True)
class Stencil:
    """What ``ops.disco`` needs, and what a user should know about it.

    ``values`` (nnz,) float64 and ``blocks`` (nlat_out, 5) int64 as ``ops.disco`` lays them out; ``degree`` the highest
    degree of matched moments (-1: none, the filter is only sampled); ``n_functions`` the number K of functions in it.
    """

    values: Tensor
    blocks: Tensor
    degree: int
    n_functions: int
    pattern: LongitudePattern


@lru_cache(maxsize=32)
def build_stencil(
    grid_in: SphereGrid,
    grid_out: SphereGrid,
    basis: FilterBasis,
    cutoff: float,
    max_degree: int | None,
    centre: Centre = Centre.OUTPUT,
    turn: float = 0.0,
    spin: int = 0,
) -> Stencil:
    """The stencil of ``basis``, turned by the angle ``turn`` about its centre, between two grids.

    With ``spin`` = n > 0 each function appears twice, times cos(n t) and sin(n t) with t the angle of parallel
    transport from
    the input to the output point: that carries the orientation frequency n of a field between their frames.
    ``max_degree`` None switches the moment correction off.

    Raises: ValueError where a cap holds no input point.
    """
    caps = [_Cap(hood, basis, cutoff, centre, turn) for hood in neighbourhoods(grid_in, grid_out, cutoff)]
    if any(cap.empty for cap in caps):
        raise ValueError(
            f"cutoff = {cutoff:.4g} rad is too small: some point of {grid_out} has no point of {grid_in} within it. "
            f"Wanted at least {grid_in.ring_spacing:.4g} rad (one ring of the input grid)."
        )
    norms = _norms(basis, cutoff)

    degree = -1
    if max_degree is not None:
        for cap in caps:
            cap.factor(max_degree)
        degree = next(d for d in range(max_degree, -1, -1) if all(cap.supports(d) for cap in caps))
    shared = _moments(basis, cutoff, centre, turn, 0.0, degree + EXTRA_DEGREES)
    values, rows, offset = [], [], 0
    for theta, cap in zip(grid_out.colatitudes.tolist(), caps, strict=True):
        if degree >= 0:
            own = centre is Centre.INPUT and not basis.axisymmetric
            targets = _moments(basis, cutoff, centre, turn, theta, degree + EXTRA_DEGREES) if own else shared
            cap.correct(targets, degree)
        block = cap.values / norms[:, None, None]
        if spin:
            angle = spin * cap.hood.transport[:, None]
            block = torch.cat([block * torch.cos(angle), block * torch.sin(angle)], dim=1)
        rings, width = block.shape[-2:]
        values.append(block.flatten())
        rows.append([cap.hood.ring, rings, cap.hood.column, width, offset])
        offset += block.numel()
    return Stencil(
        values=torch.cat(values),
        blocks=torch.tensor(rows),
        degree=degree,
        n_functions=basis.size * (2 if spin else 1),
        pattern=LongitudePattern(grid_in.nlon, grid_out.nlon),
    )


class _Cap:
    """The caps of one output latitude: sampled filters, then corrected; values (n_phases, K, rings, width)."""

    def __init__(self, hood: Neighbourhood, basis: FilterBasis, cutoff: float, centre: Centre, turn: float) -> None:
        self.hood = hood
        self.r = (
            hood.angle / cutoff
        )  # up to 1 + slack: a point just outside keeps its place, but ψ is taken at the edge
        azimuth = hood.azimuth if centre is Centre.OUTPUT else math.pi + hood.azimuth - hood.transport
        sampled = basis.evaluate(self.r.clamp(max=1), azimuth - turn) * hood.weight * hood.inside
        self.values = sampled.transpose(0, 1).contiguous()
        self.empty = bool((hood.inside.flatten(1).sum(1) == 0).any())
        self.polynomials: list[LocalPolynomials] = []

    def factor(self, degree: int) -> None:
        u, v = self.r * torch.cos(self.hood.azimuth), self.r * torch.sin(self.hood.azimuth)
        for phase, inside in enumerate(self.hood.inside):
            weight = self.hood.weight[phase][inside]
            self.polynomials.append(LocalPolynomials(u[phase][inside], v[phase][inside], weight, degree))

    def supports(self, degree: int) -> bool:
        return all(polynomial.supports(degree) for polynomial in self.polynomials)

    def correct(self, moments: Tensor, degree: int) -> None:
        for phase, polynomial in enumerate(self.polynomials):
            inside = self.hood.inside[phase]
            self.values[phase][:, inside] = polynomial.correct(self.values[phase][:, inside], moments, degree)


def _norms(basis: FilterBasis, cutoff: float) -> Tensor:
    """∫ |ψ_k| dω over the cap, (K,)."""
    r, azimuth, weight = basis.nodes(cutoff)
    return basis.evaluate(r, azimuth).abs() @ weight


@lru_cache(maxsize=4096)
def _moments(basis: FilterBasis, cutoff: float, centre: Centre, turn: float, theta: float, degree: int) -> Tensor:
    """∫ ψ_k u^a v^b dω of the continuous filters in the tangent coordinates of the output point, (K, monomials).

    ``theta`` is the colatitude of the output point; it matters only for filters anchored at the input.
    """
    r, azimuth, weight = basis.nodes(cutoff)
    if centre is Centre.OUTPUT:
        values = basis.evaluate(r, azimuth)
        azimuth = azimuth + turn
    else:
        seen = azimuth if basis.axisymmetric else math.pi + azimuth - _transport(r * cutoff, azimuth, theta)
        values = basis.evaluate(r, seen - turn)
    return (values * weight) @ monomials(r * torch.cos(azimuth), r * torch.sin(azimuth), degree).T


def _transport(angle: Tensor, azimuth: Tensor, theta: float) -> Tensor:
    """The transport angle to the frame at (θ, 0) from the points at the given distances and directions from it."""
    sin, cos = torch.sin(angle), torch.cos(angle)
    x, y = sin * torch.cos(azimuth), sin * torch.sin(azimuth)
    east, north = y, cos * math.cos(theta) - x * math.sin(theta)
    front = x * math.cos(theta) + cos * math.sin(theta)
    theta_in = torch.atan2(torch.hypot(front, east), north)
    delta = torch.atan2(east, front)
    return 2 * torch.atan2(
        torch.sin(delta / 2) * torch.cos((theta_in + theta) / 2),
        torch.cos(delta / 2) * torch.cos((theta_in - theta) / 2),
    )
