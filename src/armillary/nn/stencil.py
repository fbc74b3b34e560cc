"""Stencils of DISCO layers: a continuous filter basis on a pair of grids, as the numbers that ``ops.disco`` contracts.

Each basis function is normalised by its continuous integral, ``∫ |ψ_k| dω = 1`` over the cap, and, with matched
moments, integrates every local polynomial of degree ≤ p as the continuous filter does. A layer is therefore the
continuous convolution, whatever the grid: its weights may be moved between resolutions and kinds of grid unchanged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache, partial
from itertools import accumulate, product

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
def build_stencils(
    grid_in: SphereGrid,
    grid_out: SphereGrid,
    basis: FilterBasis,
    cutoff: float,
    max_degree: int | None,
    centre: Centre = Centre.OUTPUT,
    turns: tuple[float, ...] = (0.0,),
    spins: tuple[int, ...] = (0,),
) -> dict[tuple[float, int], Stencil]:
    """The stencils of ``basis`` between two grids, turned by each of ``turns`` about its centre, by (turn, spin).

    With ``spin`` = n > 0 each function appears twice, times cos(n t) and sin(n t) with t the angle of parallel
    transport from the input to the output point: that carries the orientation frequency n of a field between their
    frames. ``max_degree`` None switches the moment correction off.

    Raises: ValueError where a cap holds no input point.
    """
    caps = [_Cap(hood) for hood in neighbourhoods(grid_in, grid_out, cutoff)]
    if any(cap.empty for cap in caps):
        raise ValueError(
            f"cutoff = {cutoff:.4g} rad is too small: some point of {grid_out} has no point of {grid_in} within it. "
            f"Wanted at least {grid_in.ring_spacing:.4g} rad (one ring of the input grid)."
        )
    degree = -1
    if max_degree is not None:
        for cap in caps:
            cap.factor(cutoff, max_degree)
        degree = next(d for d in range(max_degree, -1, -1) if all(cap.supports(d) for cap in caps))
    norms = _norms(basis, cutoff)
    moments = partial(_moments, basis, cutoff, centre, degree=degree + EXTRA_DEGREES)
    targets_move = centre is Centre.INPUT and not basis.axisymmetric
    parts: dict[tuple[float, int], list[Tensor]] = {key: [] for key in product(turns, spins)}
    for turn in turns:
        shared = moments(turn, 0.0)
        for theta, cap in zip(grid_out.colatitudes.tolist(), caps, strict=True):
            values = cap.sample(basis, cutoff, centre, turn)
            if degree >= 0:
                cap.correct(values, moments(turn, theta) if targets_move else shared, degree)
            values /= norms[:, None, None]
            for spin in spins:
                parts[turn, spin].append(cap.spun(values, spin).flatten())

    def stencil(pieces: list[Tensor], copies: int) -> Stencil:
        offsets = [0, *accumulate(piece.numel() for piece in pieces[:-1])]
        places = [(c.hood.ring, c.hood.angle.shape[1], c.hood.column, c.hood.angle.shape[2]) for c in caps]
        return Stencil(
            values=torch.cat(pieces),
            blocks=torch.tensor([(*place, offset) for place, offset in zip(places, offsets, strict=True)]),
            degree=degree,
            n_functions=basis.size * copies,
            pattern=LongitudePattern(grid_in.nlon, grid_out.nlon),
        )

    return {(turn, spin): stencil(pieces, 2 if spin else 1) for (turn, spin), pieces in parts.items()}


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
    """The one stencil of ``build_stencils`` for this turn and spin."""
    return build_stencils(grid_in, grid_out, basis, cutoff, max_degree, centre, (turn,), (spin,))[turn, spin]


class _Cap:
    """The caps of one output latitude: what filters are sampled on, and how their moments are corrected."""

    def __init__(self, hood: Neighbourhood) -> None:
        self.hood = hood
        self.empty = bool((hood.inside.flatten(1).sum(1) == 0).any())
        self.polynomials: list[LocalPolynomials] = []

    def factor(self, cutoff: float, degree: int) -> None:
        r = self.hood.angle / cutoff
        u, v = r * torch.cos(self.hood.azimuth), r * torch.sin(self.hood.azimuth)
        for phase, inside in enumerate(self.hood.inside):
            weight = self.hood.weight[phase][inside]
            self.polynomials.append(LocalPolynomials(u[phase][inside], v[phase][inside], weight, degree))

    def supports(self, degree: int) -> bool:
        return all(polynomial.supports(degree) for polynomial in self.polynomials)

    def sample(self, basis: FilterBasis, cutoff: float, centre: Centre, turn: float) -> Tensor:
        """Filters times quadrature, (n_phases, K, rings, width); a point just outside takes the value at the edge."""
        hood = self.hood
        azimuth = hood.azimuth if centre is Centre.OUTPUT else math.pi + hood.azimuth - hood.transport
        sampled = basis.evaluate((hood.angle / cutoff).clamp(max=1), azimuth - turn) * hood.weight * hood.inside
        return sampled.transpose(0, 1).contiguous()

    def correct(self, values: Tensor, moments: Tensor, degree: int) -> None:
        """Match the moments of ``values`` in place."""
        for phase, polynomial in enumerate(self.polynomials):
            inside = self.hood.inside[phase]
            values[phase][:, inside] = polynomial.correct(values[phase][:, inside], moments, degree)

    def spun(self, values: Tensor, spin: int) -> Tensor:
        """Functions times cos and sin of ``spin`` times the angle of transport; unchanged for spin 0."""
        if spin == 0:
            return values
        angle = spin * self.hood.transport[:, None]
        return torch.cat([values * torch.cos(angle), values * torch.sin(angle)], dim=1)


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
