"""Neighbourhoods against brute force over all pairs of points, in Cartesian coordinates."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from armillary.groups import from_euler_zyz
from armillary.spaces import Equiangular, GaussLegendre, SphereGrid
from armillary.spaces.neighbours import SLACK, LongitudePattern, neighbourhoods, relative_position

PAIRS = [
    (Equiangular(8), Equiangular(8)),
    (Equiangular(9, 18), Equiangular(5, 6)),
    (GaussLegendre(7, 13), GaussLegendre(7, 13)),
    (GaussLegendre(6, 12), Equiangular(5, 9, poles=True)),  # four input steps to three output steps
    (Equiangular(9, 10, poles=True), GaussLegendre(4, 15)),
    (Equiangular(5, 8, poles=True), Equiangular(9, 16, poles=True)),
    (Equiangular(6, 7), Equiangular(4, 5)),
    (GaussLegendre(6, 1), Equiangular(6, 2)),
]


def frames(theta: Tensor, phi: Tensor) -> Tensor:
    """Z(φ) Y(θ): columns point along growing colatitude, growing longitude, and outwards."""
    return from_euler_zyz(phi, theta, 0.0)


def seen_from(out: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Distance by arccos of the dot product and azimuth in the output frame, of points (…, 3) from frames (…, 3, 3)."""
    local = torch.einsum("...ab,...a->...b", out, points)
    return torch.acos(local[..., 2].clamp(-1, 1)), torch.atan2(local[..., 1], local[..., 0])


def transported(out: Tensor, inn: Tensor) -> Tensor:
    """The angle of the input frame against the output frame, after parallel transport along the geodesic."""
    p, q = torch.broadcast_tensors(inn[..., 2], out[..., 2])
    axis = torch.linalg.cross(p, q)
    cos = (p * q).sum(-1)

    def turn(v: Tensor) -> Tensor:  # the rotation in the plane of p and q that takes p to q
        along = torch.linalg.cross(axis, v)
        return v + along + torch.linalg.cross(axis, along) / (1 + cos)[..., None]

    first = turn(inn[..., 0])
    return torch.atan2((first * out[..., 1]).sum(-1), (first * out[..., 0]).sum(-1))


def wrapped(angle: Tensor) -> Tensor:
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi


@pytest.mark.parametrize("cutoff", [0.35, 0.8, 1.5])
@pytest.mark.parametrize(("grid_in", "grid_out"), PAIRS, ids=str)
def test_brute_force(grid_in: SphereGrid, grid_out: SphereGrid, cutoff: float) -> None:
    """Every output point of every phase: the same points, distances, azimuths, weights and transport, each once."""
    pattern = LongitudePattern(grid_in.nlon, grid_out.nlon)
    theta_in = grid_in.colatitudes[:, None].expand(grid_in.shape)
    phi_in = grid_in.longitudes.expand(grid_in.shape)
    all_frames = frames(theta_in, phi_in)
    hoods = list(neighbourhoods(grid_in, grid_out, cutoff))
    assert len(hoods) == grid_out.nlat
    for theta, hood in zip(grid_out.colatitudes, hoods, strict=True):
        rings = slice(hood.ring, hood.ring + hood.angle.shape[1])
        for q in range(grid_out.nlon):
            repeat, phase = divmod(q, pattern.n_phases)
            width = hood.angle.shape[2]
            columns = (hood.column + repeat * pattern.stride + torch.arange(width)) % grid_in.nlon
            assert len(columns.unique()) == width, "a point must not be counted twice"
            out = frames(theta, grid_out.longitudes[q])
            angle, azimuth = seen_from(out, all_frames[..., 2])
            found = torch.zeros(grid_in.shape, dtype=torch.bool)
            inside = hood.inside[phase]
            found[rings, columns] = inside
            assert torch.equal(found, angle <= cutoff * (1 + SLACK))
            torch.testing.assert_close(hood.angle[phase], angle[rings][:, columns], rtol=0, atol=3e-8)
            far = (hood.angle[phase] > 1e-7) & (hood.angle[phase] < 3.1)
            gap = wrapped(hood.azimuth[phase] - azimuth[rings][:, columns])
            assert (gap[far].abs() < 1e-7).all()
            gap = wrapped(hood.transport[phase] - transported(out, all_frames[rings][:, columns]))
            assert (gap[hood.angle[phase] < 3.1].abs() < 1e-7).all()
            torch.testing.assert_close(hood.weight[phase], grid_in.quadrature[rings][:, columns], rtol=1e-14, atol=0)


def test_a_point_on_the_edge_is_kept() -> None:
    grid = Equiangular(16)
    middle = list(neighbourhoods(grid, grid, 3 * grid.ring_spacing))[8]
    assert int(middle.inside[0][:, -middle.column].sum()) == 7  # three rings on either side, rounding or not


@pytest.mark.parametrize(("nlon_in", "nlon_out"), [(12, 12), (12, 6), (6, 12), (12, 9), (7, 5), (1, 4)])
def test_pattern_maps_the_grids_onto_themselves(nlon_in: int, nlon_out: int) -> None:
    pattern = LongitudePattern(nlon_in, nlon_out)
    assert pattern.n_phases * pattern.repeats == nlon_out
    assert pattern.stride * pattern.repeats == nlon_in
    assert pattern.stride * nlon_out == pattern.n_phases * nlon_in  # the same angle
    if nlon_in % nlon_out == 0:
        assert pattern.n_phases == 1


def test_nearby_points_lose_no_digits() -> None:
    theta, step = torch.tensor(1.0, dtype=torch.float64), torch.tensor(1e-9, dtype=torch.float64)
    zero = torch.zeros((), dtype=torch.float64)
    angle, azimuth, transport = relative_position(theta, theta + step, zero)
    assert float(angle) == pytest.approx(1e-9, rel=1e-6)  # theta + step itself is rounded
    assert float(azimuth) == 0
    assert float(transport) == 0
    angle, azimuth, transport = relative_position(theta, theta, step)
    assert float(angle) == pytest.approx(1e-9 * math.sin(1), rel=1e-14)
    assert float(azimuth) == pytest.approx(math.pi / 2, abs=1e-8)
    assert float(transport) == pytest.approx(1e-9 * math.cos(1), rel=1e-9)


def test_relative_position_is_the_product_of_rotations() -> None:
    """Y(-θ_out) Z(Δ) Y(θ_in) = Z(ϕ) Y(ϑ) Z(t - ϕ), with t the transport angle."""
    generator = torch.Generator().manual_seed(0)
    out, inn = math.pi * torch.rand(2, 20, generator=generator, dtype=torch.float64)
    delta = 2 * math.pi * torch.rand(20, generator=generator, dtype=torch.float64) - math.pi
    angle, azimuth, transport = relative_position(out, inn, delta)
    product = from_euler_zyz(0, -out, 0) @ from_euler_zyz(delta, inn, 0)
    torch.testing.assert_close(from_euler_zyz(azimuth, angle, transport - azimuth), product, rtol=0, atol=1e-13)
