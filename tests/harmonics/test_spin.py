"""Spin-weighted harmonics: closed forms, round trips, rotation, and the columns of SO(3) that they are."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from armillary.groups import random_rotation, wigner_D
from armillary.groups.so3 import euler_angles, from_euler_zyz
from armillary.harmonics import SHT, ComplexSO3Transform, InverseSpinSHT, SO3Blocks, SpinSHT, rotate_coefficients
from armillary.spaces import Equiangular, GaussLegendre, OrientedGrid, SphereGrid

GRIDS = [Equiangular(8, 17), Equiangular(7, 13), Equiangular(9, 16, poles=True), GaussLegendre(6), GaussLegendre(1)]


def coefficients(lmax: int, spin: int, *batch: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    c = torch.randn(*batch, lmax + 1, 2 * lmax + 1, generator=generator, dtype=torch.complex128)
    l, m = torch.arange(lmax + 1)[:, None], torch.arange(-lmax, lmax + 1)
    return c * (l >= m.abs().clamp(min=abs(spin)))


def goldberg(s: int, l: int, m: int, theta: Tensor, phi: Tensor) -> Tensor:
    """Eq. 3.1 of Goldberg et al. 1967, with (-1)^m for the phase of Condon and Shortley."""
    f = math.factorial
    norm = math.sqrt(f(l + m) * f(l - m) * (2 * l + 1) / (4 * math.pi * f(l + s) * f(l - s)))
    total = torch.zeros_like(theta)
    for r in range(max(0, m - s), min(l - s, l + m) + 1):
        sign = (-1.0) ** (l - r - s)
        powers = torch.sin(theta / 2) ** (2 * l - 2 * r - s + m) * torch.cos(theta / 2) ** (2 * r + s - m)
        total = total + sign * math.comb(l - s, r) * math.comb(l + s, r + s - m) * powers
    return (-1.0) ** m * norm * total * torch.polar(torch.ones_like(phi), m * phi)


@pytest.mark.parametrize("s", [-3, -2, -1, 0, 1, 2])
def test_closed_form(s: int) -> None:
    grid = GaussLegendre(6)
    theta, phi = torch.broadcast_tensors(grid.colatitudes[:, None], grid.longitudes)
    for l in range(abs(s), 6):
        for m in range(-l, l + 1):
            c = torch.zeros(6, 11, dtype=torch.complex128)
            c[l, 5 + m] = 1
            torch.testing.assert_close(InverseSpinSHT(grid, s)(c), goldberg(s, l, m, theta, phi), rtol=0, atol=1e-13)


def test_the_wave_of_two_merging_bodies() -> None:
    """₋₂Y₂₂ = sqrt(5/64π) (1 + cos θ)² e^{2iφ}, ₁Y₁₀ = sqrt(3/8π) sin θ."""
    theta, phi = torch.tensor([0.7], dtype=torch.float64), torch.tensor([0.3], dtype=torch.float64)
    wave = math.sqrt(5 / (64 * math.pi)) * (1 + torch.cos(theta)) ** 2 * torch.polar(torch.ones_like(phi), 2 * phi)
    torch.testing.assert_close(goldberg(-2, 2, 2, theta, phi), wave)
    known = math.sqrt(3 / (8 * math.pi)) * torch.sin(theta)
    torch.testing.assert_close(goldberg(1, 1, 0, theta, phi).real, known)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("spin", [0, 1, -2, 3])
def test_round_trip(grid: SphereGrid, spin: int) -> None:
    c = coefficients(grid.lmax, spin, 2, 1)
    f = InverseSpinSHT(grid, spin)(c)
    assert f.shape == (2, 1, *grid.shape)
    torch.testing.assert_close(SpinSHT(grid, spin)(f), c, rtol=0, atol=1e-12)
    low = grid.lmax // 2
    cut = c[..., : low + 1, grid.lmax - low : grid.lmax + low + 1]
    torch.testing.assert_close(SpinSHT(grid, spin, low)(f), cut, rtol=0, atol=1e-12)
    single = SpinSHT(grid, spin)(f.to(torch.complex64))
    assert single.dtype == torch.complex64
    torch.testing.assert_close(single, c.to(torch.complex64), rtol=0, atol=2e-5)


def test_spin_0_is_the_sht() -> None:
    grid = Equiangular(7, 13)
    x = torch.randn(2, *grid.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    got = SpinSHT(grid, 0)(x.to(torch.complex128))
    torch.testing.assert_close(got[..., grid.lmax :], SHT(grid)(x), rtol=0, atol=1e-13)


@pytest.mark.parametrize("spin", [-2, -1, 0, 3])
def test_columns_of_so3(spin: int) -> None:
    """f(Z(φ) Y(θ) Z(γ)) = g(θ, φ) e^{-isγ} has the coefficients of g in its column n = -s, times (-1)^s sqrt(2π)."""
    space = OrientedGrid(GaussLegendre(6, 11), 11)
    g = coefficients(5, spin, seed=2)
    wave = torch.polar(torch.ones(11, dtype=torch.float64), -spin * space.orientations)
    field = wave[:, None, None] * InverseSpinSHT(space.grid, spin)(g)
    blocks = SO3Blocks(5, half=False).split(ComplexSO3Transform(space)(field))
    for l, block in enumerate(blocks):
        wanted = torch.zeros_like(block)
        if l >= abs(spin):
            wanted[:, l - spin] = (-1) ** spin * math.sqrt(2 * math.pi) * g[l, 5 - l : 5 + l + 1]
        torch.testing.assert_close(block, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("spin", [-1, 2])
def test_rotation_turns_value_and_frame(spin: int) -> None:
    """(R f)(Q) = f(R⁻¹ Q) for f(Z(φ) Y(θ) Z(γ)) = f(θ, φ) e^{-isγ}: by the direct sum over harmonics."""
    grid, generator = GaussLegendre(5, 9), torch.Generator().manual_seed(3)
    c, R = coefficients(4, spin, seed=3), random_rotation(generator)
    turned = InverseSpinSHT(grid, spin)(rotate_coefficients(c, R))
    Q = from_euler_zyz(grid.longitudes, grid.colatitudes[:, None], 0.0)
    direct = torch.zeros(grid.shape, dtype=torch.complex128)
    for l in range(abs(spin), 5):
        D = wigner_D(l, R.T @ Q).conj()[..., l - spin]
        direct += (-1) ** spin * math.sqrt((2 * l + 1) / (4 * math.pi)) * (D @ c[l, 4 - l : 4 + l + 1])
    torch.testing.assert_close(turned, direct, rtol=0, atol=1e-12)
    assert float(euler_angles(R.T @ Q)[2].abs().max()) > 0.1


def test_gradients_strides_and_compile() -> None:
    grid = Equiangular(4)
    x = torch.randn(8, 4, 2, generator=torch.Generator().manual_seed(4), dtype=torch.complex128).permute(2, 1, 0)
    transform, inverse = SpinSHT(grid, 1), InverseSpinSHT(grid, 1)
    torch.testing.assert_close(transform(x), transform(x.contiguous()), rtol=0, atol=1e-14)
    torch.testing.assert_close(transform(x[:1])[0], transform(x)[0], rtol=0, atol=1e-14)
    assert torch.autograd.gradcheck(transform, x.requires_grad_())
    assert torch.autograd.gradcheck(inverse, coefficients(3, 1, 2).requires_grad_())
    compiled = torch.compile(transform, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), transform(x), rtol=0, atol=1e-14)


def test_wrong_input() -> None:
    grid = Equiangular(4)
    with pytest.raises(ValueError, match="wants a complex field"):
        SpinSHT(grid, 1)(torch.zeros(4, 8))
    with pytest.raises(ValueError, match=r"wants \(\.\.\., 4, 8\)"):
        SpinSHT(grid, 1)(torch.zeros(8, 4, dtype=torch.complex64))
    with pytest.raises(ValueError, match=r"wants complex \(\.\.\., 4, 7\)"):
        InverseSpinSHT(grid, 1)(torch.zeros(4, 4, dtype=torch.complex64))
    with pytest.raises(ValueError, match=r"spin = 0\.5"):
        SpinSHT(grid, 0.5)  # type: ignore[arg-type]
    for lmax in (4, -1, 1.5, True):
        with pytest.raises(ValueError, match=f"lmax = {lmax}, (wanted an integer|Equiangular.*holds 0 <= lmax <= 3)"):
            SpinSHT(grid, 1, lmax=lmax)  # type: ignore[arg-type]
