"""Random fields and values at scattered points."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
import torch

from armillary.harmonics import SHT, InverseSHT, evaluate, random_field
from armillary.spaces import Equiangular, GaussLegendre, OrientedGrid


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_evaluate_against_scipy() -> None:
    points = torch.randn(11, 3, generator=generator(), dtype=torch.float64)
    points[0], points[1] = torch.tensor([0.0, 0, 1]), torch.tensor([0.0, 0, -1])
    points = points / points.norm(dim=1, keepdim=True)
    c = torch.tril(torch.randn(2, 6, 6, generator=generator(1), dtype=torch.complex128))
    c[..., 0] = c[..., 0].real.to(c)
    theta, phi = np.arccos(points[:, 2].numpy()), np.arctan2(points[:, 1].numpy(), points[:, 0].numpy())
    wanted = torch.zeros(2, 11, dtype=torch.float64)
    for l in range(6):
        for m in range(l + 1):
            Y = torch.from_numpy(scipy.special.sph_harm_y(l, m, theta, phi))
            wanted += (2 if m else 1) * (c[:, l, m, None] * Y).real
    torch.testing.assert_close(evaluate(c, points), wanted, rtol=0, atol=1e-13)
    torch.testing.assert_close(evaluate(c, points.float()), wanted, rtol=0, atol=1e-5)


def test_evaluate_agrees_with_the_grid() -> None:
    grid = Equiangular(7, 15)
    f = random_field(grid, 6, (), generator(2))
    values = evaluate(SHT(grid)(f), grid.points.reshape(-1, 3))
    torch.testing.assert_close(values.unflatten(0, grid.shape), f, rtol=0, atol=1e-12)


def test_random_field_is_band_limited() -> None:
    grid = GaussLegendre(12)
    f = random_field(grid, 5, (2, 3), generator(3))
    assert f.shape == (2, 3, 12, 24)
    c = SHT(grid)(f)
    assert c[..., 6:, :].abs().max() < 1e-13
    assert (c[..., :6, :].abs().amax(-1) > 0).all()


def test_random_field_has_equal_power_in_every_degree_and_unit_variance() -> None:
    grid, lmax, count = GaussLegendre(7), 6, 4000
    f = random_field(grid, lmax, (count,), generator(4))
    # each of the 4π-averages of f² has mean 1 and variance Σ_l 2/(2l + 1)/(lmax + 1)²
    power = grid.integrate(f**2) / (4 * math.pi)
    spread = math.sqrt(sum(2 / (2 * l + 1) for l in range(lmax + 1))) / (lmax + 1)
    assert abs(float(power.mean()) - 1) < 5 * spread / math.sqrt(count)
    assert float(power.std()) == pytest.approx(spread, rel=0.15)
    c = SHT(grid)(f).abs().square()
    degree = (c[..., 0] + 2 * c[..., 1:].sum(-1)).mean(0)  # (lmax + 1,), each 4π/(lmax + 1)
    wanted = torch.full((lmax + 1,), 4 * math.pi / (lmax + 1), dtype=torch.float64)
    torch.testing.assert_close(degree, wanted, rtol=5 * math.sqrt(2 / count), atol=0)
    order = c.mean(0)[4] * 9 * (lmax + 1) / (4 * math.pi)  # all orders of a degree alike
    torch.testing.assert_close(order[:5], torch.ones(5, dtype=torch.float64), rtol=0.15, atol=0)
    assert f.mean((0, 2)).abs().max() < 5 / math.sqrt(count)


def test_random_oriented_field() -> None:
    space = OrientedGrid(GaussLegendre(5), 6)
    count = 2000
    f = random_field(space, 4, (count,), generator(5))
    assert f.shape == (count, 6, 5, 10)
    variance = space.integrate(f**2).mean() / (8 * math.pi**2)
    # frequencies |n| ≤ 2; degrees below |n| hold nothing, so the frequencies carry 5, 4, 4, 3, 3 of 5 degrees each
    assert float(variance) == pytest.approx((5 + 4 + 4 + 3 + 3) / 25, rel=0.05)
    spectrum = torch.fft.rfft(f, dim=1).abs().amax((0, 2, 3))
    assert (spectrum[:3] > 0.1).all()
    assert spectrum[3] < 1e-12
    with pytest.raises(ValueError, match="lmax = 5"):
        random_field(space, 5)


def test_draws_repeat_and_have_the_dtype_asked_for() -> None:
    grid = Equiangular(6)
    assert torch.equal(random_field(grid, 3, (), generator(6)), random_field(grid, 3, (), generator(6)))
    assert random_field(grid, 3, dtype=torch.float32).dtype == torch.float32
    assert random_field(OrientedGrid(grid, 3), 3, dtype=torch.float32).dtype == torch.float32
    with pytest.raises(ValueError, match="lmax = 6"):
        random_field(grid, 6)
    back = InverseSHT(grid)(SHT(grid)(random_field(grid, 5, (), generator(7))))
    torch.testing.assert_close(back, random_field(grid, 5, (), generator(7)), rtol=0, atol=1e-12)
