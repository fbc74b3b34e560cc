"""Neighbourhoods between two grids of iso-latitude rings: which input points lie in the cap about an output point.

The grids repeat in longitude, so one block per output latitude describes all of its points. Where the numbers of
longitudes have greatest common divisor g, the pattern repeats every ``n_phases = nlon_out/g`` output points, for
which the input moves by ``stride = nlon_in/g`` points: one phase where the ratio nlon_in/nlon_out is an integer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from armillary.spaces.sphere import SphereGrid

SLACK = 1e-3  # relative; a grid point on the edge of the cap is not lost to rounding


@dataclass(frozen=True)
class LongitudePattern:
    """How output longitudes step over input longitudes."""

    nlon_in: int
    nlon_out: int

    @property
    def repeats(self) -> int:
        return math.gcd(self.nlon_in, self.nlon_out)

    @property
    def n_phases(self) -> int:
        return self.nlon_out // self.repeats

    @property
    def stride(self) -> int:
        return self.nlon_in // self.repeats


@dataclass(frozen=True)
class Neighbourhood:
    """The rectangle of input points that holds the caps about the output points of one latitude.

    ``ring`` and ``column`` are its first ring and longitude index (the latter relative to output point 0, may be
    negative; indices wrap). All tensors have shape (n_phases, rings, width), float64: ``angle`` the geodesic distance
    ϑ, ``azimuth`` the direction ϕ from growing colatitude towards growing longitude, ``transport`` the angle by which
    the frame at the input point is turned, after parallel transport along the geodesic, against the frame at the output
    point; ``weight`` quadrature of the input point; ``inside`` whether ϑ ≤ cutoff.
    """

    ring: int
    column: int
    angle: Tensor
    azimuth: Tensor
    transport: Tensor
    weight: Tensor
    inside: Tensor


def neighbourhoods(grid_in: SphereGrid, grid_out: SphereGrid, cutoff: float) -> Iterator[Neighbourhood]:
    """One ``Neighbourhood`` for each latitude of ``grid_out``, from north to south; cutoff in radians."""
    theta_in, weights = grid_in.colatitudes, grid_in.quadrature[:, 0]
    reach = cutoff * (1 + SLACK)
    pattern = LongitudePattern(grid_in.nlon, grid_out.nlon)
    step_in, step_out = grid_in.longitude_step, grid_out.longitude_step
    phases = torch.arange(pattern.n_phases, dtype=torch.float64) * step_out
    for theta in grid_out.colatitudes:
        rings = torch.nonzero((theta_in - theta).abs() <= reach).flatten()
        if len(rings) == 0:
            rings = (theta_in - theta).abs().argmin().reshape(1)
        ring_theta = theta_in[rings]
        half = float(_half_widths(theta, ring_theta, reach).max())
        if 2 * half + float(phases[-1]) >= 2 * math.pi - 2 * step_in:
            first, width = 0, grid_in.nlon
        else:
            first = math.floor(-half / step_in)
            width = min(grid_in.nlon, math.ceil((half + float(phases[-1])) / step_in) - first + 1)
        columns = torch.arange(first, first + width, dtype=torch.float64) * step_in
        delta = columns - phases[:, None, None]
        angle, azimuth, transport = relative_position(theta, ring_theta[:, None], delta)
        yield Neighbourhood(
            ring=int(rings[0]),
            column=first,
            angle=angle,
            azimuth=azimuth,
            transport=transport,
            weight=weights[rings][:, None].expand_as(angle),
            inside=angle <= reach,
        )


def count_neighbours(grid_in: SphereGrid, grid_out: SphereGrid, cutoff: float) -> float:
    """About how many pairs of an output point and an input point lie within the cutoff of each other."""
    arcs = _half_widths(grid_out.colatitudes[:, None], grid_in.colatitudes, cutoff)
    return float(arcs.sum()) / math.pi * grid_in.nlon * grid_out.nlon


def _half_widths(theta: Tensor, ring_theta: Tensor, reach: float) -> Tensor:
    """|Δφ| up to which a ring lies within the cap; 0 where they do not meet, π where the ring lies wholly inside."""
    product = torch.sin(theta) * torch.sin(ring_theta)
    gap = math.cos(reach) - torch.cos(theta) * torch.cos(ring_theta)
    covered = (theta + ring_theta <= reach) | (2 * math.pi - theta - ring_theta <= reach)
    covered |= (product < 1e-14) & ((theta - ring_theta).abs() <= reach)
    half = torch.acos((gap / product.clamp(min=1e-14)).clamp(-1, 1))
    return torch.where(covered, math.pi, half)


def relative_position(theta_out: Tensor, theta_in: Tensor, delta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(distance ϑ, azimuth ϕ, transport angle) of the point (θ_in, φ_out + Δ) seen from the frame at θ_out.

    With ``Y(-θ_out) Z(Δ) Y(θ_in) = Z(a) Y(ϑ) Z(c)``: ϕ = a, and a + c is the transport angle. Written so that nearby
    points lose no digits.
    """
    half_sin = torch.sin(delta / 2)
    x = torch.sin(theta_in - theta_out) - 2 * torch.cos(theta_out) * torch.sin(theta_in) * half_sin**2
    y = torch.sin(theta_in) * torch.sin(delta)
    z = torch.cos(theta_in - theta_out) - 2 * torch.sin(theta_out) * torch.sin(theta_in) * half_sin**2
    angle = torch.atan2(torch.hypot(x, y), z)
    azimuth = torch.atan2(y, x)
    half_cos = torch.cos(delta / 2)
    transport = 2 * torch.atan2(
        half_sin * torch.cos((theta_in + theta_out) / 2), half_cos * torch.cos((theta_in - theta_out) / 2)
    )
    return angle, azimuth, transport
