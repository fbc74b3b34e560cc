"""Circular-harmonic filters: they are the limit of Gaussian taps on rings, they steer, and orders have a limit."""

from __future__ import annotations

import cmath
import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from armillary.ops.circular import CircularHarmonics

BASES = [CircularHarmonics(3, 2), CircularHarmonics(5, 4), CircularHarmonics(7, 4), CircularHarmonics(9, 5)]


def pixels(size: int) -> tuple[Tensor, Tensor]:
    steps = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    x, y = torch.meshgrid(steps, -steps, indexing="xy")
    return x, y


def continuous(basis: CircularHarmonics, order: int, x: Tensor, y: Tensor) -> Tensor:
    """R(ρ) e^{imφ} at points."""
    return basis.profile(order, torch.hypot(x, y)) * torch.exp(1j * order * torch.atan2(y, x))


@pytest.mark.parametrize("order", [0, 1, 2, -1])
def test_are_gaussian_taps_on_rings(order: int) -> None:
    """The closed form against 64 taps on each ring, spread onto the pixels."""
    basis = CircularHarmonics(5, 4, match_moments=False)
    x, y = pixels(5)
    taps = torch.arange(64, dtype=torch.float64) * 2 * math.pi / 64
    for radius, got in zip(basis.radii_of(order), basis.filters(order), strict=True):
        distance = (x[..., None] - radius * torch.cos(taps)) ** 2 + (y[..., None] - radius * torch.sin(taps)) ** 2
        wanted = (torch.exp(-distance / (2 * basis.sigma**2)) * torch.exp(1j * order * taps)).sum(-1)
        torch.testing.assert_close(got, wanted / wanted.abs().square().sum().sqrt(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("order", [-2, 0, 1, 2])
def test_the_continuous_filter_steers(order: int) -> None:
    """W_m(R⁻¹ x) = e^{-imα} W_m(x), at any points and for any angle."""
    basis, points, angle = CircularHarmonics(7, 4), torch.randn(50, 2, dtype=torch.float64), 0.83
    x, y = points.unbind(-1)
    back = (math.cos(angle) * x + math.sin(angle) * y, math.cos(angle) * y - math.sin(angle) * x)
    wanted = continuous(basis, order, x, y) * cmath.exp(-1j * order * angle)
    torch.testing.assert_close(continuous(basis, order, *back), wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize("basis", BASES, ids=str)
def test_sampled_filters_turn_by_quarters_and_mirror(basis: CircularHarmonics) -> None:
    for order in range(-basis.size + 1, basis.size):
        try:
            filters = basis.filters(order)
        except ValueError:
            continue
        turned = torch.rot90(filters, 1, (-2, -1))  # W(R⁻¹ x)
        torch.testing.assert_close(turned, (-1j) ** order * filters, rtol=0, atol=1e-15)
        torch.testing.assert_close(filters.flip(-2), filters.conj(), rtol=0, atol=1e-15)
        torch.testing.assert_close(basis.filters(-order), filters.conj(), rtol=0, atol=1e-9)
        assert torch.allclose(torch.linalg.vector_norm(filters, dim=(1, 2)), torch.ones(1, dtype=torch.float64))


@pytest.mark.parametrize("basis", BASES[1:], ids=str)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_moments_of_wrong_frequencies_vanish(basis: CircularHarmonics, order: int) -> None:
    x, y = pixels(basis.size)
    rho, phi = torch.hypot(x, y), torch.atan2(y, x)
    sampled = CircularHarmonics(basis.size, basis.rings, match_moments=False)
    for n in range(1 - basis.size, basis.size):
        for degree in range(abs(n), basis.size, 2):
            test = (rho / rho.max()) ** degree * torch.exp(-1j * n * phi)
            moments = (basis.filters(order) * test).sum((-2, -1)).abs()
            if n != order:
                assert moments.max() < 1e-10
            if n == order - 4 and degree == abs(n):
                assert (sampled.filters(order) * test).sum((-2, -1)).abs().max() > 1e-4


def steering_error(basis: CircularHarmonics, order: int, wavenumber: float) -> float:
    """How far the response to a wave is from c e^{imt}, t its direction, relative, over directions and rings."""
    x, y = pixels(basis.size)
    t = torch.arange(64, dtype=torch.float64) * 2 * math.pi / 64
    waves = torch.exp(1j * wavenumber * (torch.cos(t)[:, None, None] * x + torch.sin(t)[:, None, None] * y))
    response = torch.einsum("jxy,txy->jt", basis.filters(order), waves) * torch.exp(-1j * order * t)
    wrong = response - response.mean(1, keepdim=True)
    return float((wrong.abs().square().sum() / response.abs().square().sum()).sqrt())


@pytest.mark.parametrize("size", [5, 7])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_the_error_falls_with_the_wavenumber_as_stated(size: int, order: int) -> None:
    """At least as κ^(size - |m|) with matched moments; sampled alone, order 2 does not get better at all."""
    basis = CircularHarmonics(size, 4)
    coarse, fine = (steering_error(basis, order, k) for k in (0.4, 0.2))
    assert math.log2(coarse / fine) > size - order - 0.2
    sampled = CircularHarmonics(size, 4, match_moments=False)
    assert steering_error(sampled, order, 0.2) > 10 * fine
    if order == 2:
        assert steering_error(sampled, order, 0.2) > 0.9 * steering_error(sampled, order, 0.4)


@pytest.mark.parametrize("order", [0, 1])
def test_the_error_falls_with_the_size(order: int) -> None:
    errors = [steering_error(basis, order, 0.4) for basis in BASES]
    assert all(large < small / 2 for small, large in pairwise(errors)), errors


def test_orders_that_a_ring_or_a_kernel_cannot_hold() -> None:
    basis = CircularHarmonics(5, 4)
    assert basis.radii == (0.0, 0.5, 1.0, 1.5)
    assert [len(basis.radii_of(m)) for m in (0, 1, -1, 2, 3, 4)] == [4, 3, 3, 2, 2, 1]
    with pytest.raises(ValueError, match=r"got order 5 on .*hold \|m\| <= 4"):
        basis.filters(5)
    with pytest.raises(ValueError, match=r"got order 2.*larger kernel"):
        CircularHarmonics(3, 2).filters(2)
    with pytest.raises(ValueError, match="got order 1"):
        CircularHarmonics(5, 1).filters(1)


@pytest.mark.parametrize("bad", [(4, 2), (1, 1), (5, 0), (5, 2, 0.0), (5, 2, 2.0)])
def test_bad_bases(bad) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="CircularHarmonics: got"):
        CircularHarmonics(*bad)


@pytest.mark.parametrize("match_moments", [True, False])
def test_a_gaussian_that_reaches_no_pixel_is_an_error(match_moments: bool) -> None:
    for sigma in (1e-3, 1e-2):
        with pytest.raises(ValueError, match=r"take a larger sigma|nothing is left"):
            CircularHarmonics(5, 4, sigma, match_moments).filters(1)
    assert torch.isfinite(torch.view_as_real(CircularHarmonics(5, 4, 0.2, match_moments).filters(1))).all()


@pytest.mark.parametrize("bad", [(5.0, 4), (5, 4.0), (True, 4), (5, True)])
def test_sizes_are_whole_numbers(bad) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=r"CircularHarmonics: got .* wanted an integer"):
        CircularHarmonics(*bad)


def test_filters_do_not_depend_on_the_default_device() -> None:
    basis = CircularHarmonics(5, 3, 0.45)  # none that another test has kept
    with torch.device("meta"):
        first = basis.filters(1)
    assert not first.is_meta
    assert torch.equal(first, basis.filters(1))


def test_the_cache_is_not_handed_out() -> None:
    CircularHarmonics(5, 4).filters(1).zero_()
    assert CircularHarmonics(5, 4).filters(1).abs().sum() > 1
