"""Fields of spin as real tensors: wind turns as vectors do, the layout of ``Orders``, random fields."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from armillary.groups import Orders, random_rotation
from armillary.harmonics import random_spins, rotate, rotate_spins, spin_to_wind, wind_to_spin
from armillary.spaces import Equiangular, GaussLegendre, SphereGrid


def east_and_north(grid: SphereGrid) -> tuple[Tensor, Tensor]:
    theta, phi = torch.broadcast_tensors(grid.colatitudes[:, None], grid.longitudes)
    east = torch.stack([-phi.sin(), phi.cos(), torch.zeros_like(phi)], -1)
    north = torch.stack([-theta.cos() * phi.cos(), -theta.cos() * phi.sin(), theta.sin()], -1)
    return east, north


def wind(vectors: Tensor, grid: SphereGrid) -> tuple[Tensor, Tensor]:
    """u and v of tangent vectors (nlat, nlon, 3)."""
    east, north = east_and_north(grid)
    return (vectors * east).sum(-1), (vectors * north).sum(-1)


@pytest.mark.parametrize("grid", [GaussLegendre(5, 11), Equiangular(6, 12)], ids=str)
def test_wind_turns_as_vectors_do(grid: SphereGrid) -> None:
    """Flow about the axis n and flow towards n: V_n(p) = n × p + 2 (n - (n·p) p), turned it is V_{Rn}."""
    generator = torch.Generator().manual_seed(0)

    def flow(n: Tensor) -> Tensor:
        p = grid.points
        along = n - (p @ n)[..., None] * p
        return wind_to_spin(*wind(torch.linalg.cross(n.expand_as(p), p) + 2 * along, grid))

    n = torch.nn.functional.normalize(torch.randn(3, generator=generator, dtype=torch.float64), dim=0)
    for _ in range(3):
        R = random_rotation(generator)
        turned = rotate_spins(flow(n)[None], Orders.of({1: 1}), grid, R)[0]
        torch.testing.assert_close(turned, flow(R @ n), rtol=0, atol=1e-13)
        assert (turned - rotate_spins(flow(n)[None], Orders.of({-1: 1}), grid, R)[0]).abs().max() > 0.1


def test_wind_there_and_back() -> None:
    u, v = torch.randn(2, 3, 4, 8, generator=torch.Generator().manual_seed(1)).unbind(0)
    x = wind_to_spin(u, v)
    assert x.shape == (3, 2, 4, 8)
    torch.testing.assert_close(x[:, 0], -v, rtol=0, atol=0)
    for got, wanted in zip(spin_to_wind(x), (u, v), strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=0)
    for wrong in (v[..., 1:], v[0], v.long(), v.to(torch.complex64)):
        with pytest.raises(ValueError, match="two real fields"):
            wind_to_spin(u, wrong)
    with pytest.raises(ValueError, match="one channel"):
        spin_to_wind(torch.zeros(4, 8))


def test_turns_about_a_point_are_those_of_orders() -> None:
    """At a pole ring's centre a rotation about z is a shift in longitude; values keep their frame (e_θ, e_φ)."""
    grid, spins = GaussLegendre(5, 12), Orders.of({-1: 1, 0: 2, 2: 1})
    x = random_spins(spins, grid, 4, 2, torch.Generator().manual_seed(2))
    R = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    torch.testing.assert_close(rotate_spins(x, spins, grid, R), x.roll(3, -1), rtol=0, atol=1e-12)


def test_real_scalars_turn_as_scalars() -> None:
    grid, generator = Equiangular(7, 13), torch.Generator().manual_seed(3)
    x = random_spins(Orders.image(2), grid, None, 3, generator)
    R = random_rotation(generator)
    torch.testing.assert_close(rotate_spins(x, Orders.image(2), grid, R), rotate(x, grid, R), rtol=0, atol=1e-12)
    single = rotate_spins(x.float(), Orders.image(2), grid, R)
    assert single.dtype == torch.float32


def test_random_fields_have_unit_variance() -> None:
    grid, spins = GaussLegendre(8), Orders.of({0: 200, 2: 200})
    x = random_spins(spins, grid, 7, 1, torch.Generator().manual_seed(4))
    variance = grid.integrate(x**2).mean(0).view(2, 2, 200).mean(-1) / (4 * math.pi)
    torch.testing.assert_close(variance, torch.ones(2, 2).double(), rtol=0, atol=0.05)
    with pytest.raises(ValueError, match="degrees from 2 on"):
        random_spins(spins, grid, 1)
    with pytest.raises(ValueError, match="lmax = 1, a field of spin 2 has degrees from 2 on"):
        rotate_spins(x, spins, grid, torch.eye(3), lmax=1)  # all of spin 2 would be removed
    with pytest.raises(ValueError, match="800"):
        rotate_spins(x[:, 1:], spins, grid, torch.eye(3))
