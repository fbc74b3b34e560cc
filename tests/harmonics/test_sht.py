"""The spherical harmonic transform: scipy's harmonics, round trips, every path, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from armillary.harmonics import SHT, InverseSHT
from armillary.spaces import Equiangular, GaussLegendre, SphereGrid

GRIDS = [
    Equiangular(8),
    Equiangular(7, 13),
    Equiangular(9, 11),  # longitudes bound the band
    Equiangular(6, 40),
    Equiangular(8, poles=True),
    Equiangular(9, 17, poles=True),
    Equiangular(3, 4, poles=True),
    GaussLegendre(8),
    GaussLegendre(7, 13),
    GaussLegendre(1),
    Equiangular(1, 1),
]


def coefficients(lmax: int, *batch: int, seed: int = 0, dtype: torch.dtype = torch.complex128) -> Tensor:
    """Random coefficients of real fields."""
    generator = torch.Generator().manual_seed(seed)
    c = torch.tril(torch.randn(*batch, lmax + 1, lmax + 1, generator=generator, dtype=dtype))
    c[..., 0] = c[..., 0].real.to(dtype)
    return c


def harmonic(grid: SphereGrid, l: int, m: int) -> Tensor:
    theta, phi = np.meshgrid(grid.colatitudes.numpy(), grid.longitudes.numpy(), indexing="ij")
    return torch.from_numpy(scipy.special.sph_harm_y(l, m, theta, phi))


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_full_band_of_scipys_harmonics(grid: SphereGrid) -> None:
    """Each Y_lm of the band, up to the highest degree the grid holds, has one coefficient."""
    transform = SHT(grid)
    for l in range(grid.lmax + 1):
        for m in range(l + 1):
            wanted = torch.zeros(grid.lmax + 1, grid.lmax + 1, dtype=torch.complex128)
            wanted[l, m] = 0.5 if m else 1.0
            Y = harmonic(grid, l, m)
            torch.testing.assert_close(transform(Y.real), wanted, rtol=0, atol=1e-13)
            if m:
                torch.testing.assert_close(transform(Y.imag), -1j * wanted, rtol=0, atol=1e-13)
            torch.testing.assert_close(InverseSHT(grid)(wanted), Y.real, rtol=0, atol=1e-13)


@given(nlat=st.integers(3, 24), nlon=st.integers(1, 50), kind=st.integers(0, 2), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_round_trip_at_any_size(nlat: int, nlon: int, kind: int, seed: int) -> None:
    grid = [Equiangular(nlat, nlon), Equiangular(nlat, nlon, poles=True), GaussLegendre(nlat, nlon)][kind]
    c = coefficients(grid.lmax, 2, seed=seed)
    torch.testing.assert_close(SHT(grid)(InverseSHT(grid)(c)), c, rtol=0, atol=1e-12)


@pytest.mark.parametrize("grid", [Equiangular(256), Equiangular(257, poles=True), GaussLegendre(256)], ids=str)
def test_round_trip_at_degree_255(grid: SphereGrid) -> None:
    assert grid.lmax == 255
    c = coefficients(255)
    f = InverseSHT(grid)(c)
    back = SHT(grid)(f)
    assert float((back - c).norm() / c.norm()) < 1e-12
    assert float((back - c).abs().max()) < 1e-10
    assert float((InverseSHT(grid)(back) - f).norm() / f.norm()) < 1e-12
    single = SHT(grid)(f.float())
    assert single.dtype == torch.complex64
    assert float((single - c).norm() / c.norm()) < 3e-6


def test_parseval() -> None:
    """∫ f² = Σ |f_lm|², m < 0 included: by Gauss–Legendre quadrature, exact for the product."""
    grid = GaussLegendre(12, 24)
    c = coefficients(11)
    twice = torch.full((12,), 2.0, dtype=torch.float64)
    twice[0] = 1
    f = InverseSHT(grid)(c)
    assert float(grid.integrate(f**2)) == pytest.approx(float((c.abs() ** 2 * twice).sum()), rel=1e-12)


@pytest.mark.parametrize("grid", [Equiangular(12), Equiangular(12, 25, poles=True), GaussLegendre(12)], ids=str)
def test_lower_lmax_projects(grid: SphereGrid) -> None:
    """Degrees above lmax are cut, not aliased into those below."""
    c = coefficients(grid.lmax)
    f = InverseSHT(grid)(c)
    torch.testing.assert_close(SHT(grid, lmax=4)(f), c[:5, :5], rtol=0, atol=1e-12)
    assert SHT(grid, lmax=0)(f).shape == (1, 1)


@pytest.mark.parametrize("batch", [(), (1,), (3,), (2, 1, 4)])
def test_leading_dimensions_and_strides(batch: tuple[int, ...]) -> None:
    grid = Equiangular(6, 13)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(*reversed(grid.shape), *batch, generator=generator, dtype=torch.float64)
    x = x.permute(*range(2, x.ndim), 1, 0)
    assert not x.is_contiguous()
    got = SHT(grid)(x)
    assert got.shape == (*batch, 6, 6)
    torch.testing.assert_close(got, SHT(grid)(x.contiguous()))
    for index in np.ndindex(*batch):
        torch.testing.assert_close(got[index], SHT(grid)(x[index]), rtol=0, atol=1e-14)
    swapped = got.transpose(-1, -2).contiguous().transpose(-1, -2)
    torch.testing.assert_close(InverseSHT(grid)(swapped), InverseSHT(grid)(got))


def test_entries_that_do_not_enter_synthesis() -> None:
    grid = GaussLegendre(5)
    c = coefficients(4)
    junk = c + torch.triu(torch.full((5, 5), 3.0 - 1j, dtype=torch.complex128), diagonal=1)
    junk[:, 0] += 2j
    torch.testing.assert_close(InverseSHT(grid)(junk), InverseSHT(grid)(c))


@pytest.mark.parametrize("grid", [Equiangular(4), GaussLegendre(3, 5), Equiangular(4, poles=True)], ids=str)
def test_gradients(grid: SphereGrid) -> None:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(2, *grid.shape, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(SHT(grid), x)
    assert torch.autograd.gradcheck(InverseSHT(grid), coefficients(grid.lmax, 2).requires_grad_())


@pytest.mark.parametrize("grid", [Equiangular(9), GaussLegendre(8, 11), Equiangular(7, poles=True)], ids=str)
def test_without_a_table_the_same(grid: SphereGrid) -> None:
    x = torch.randn(2, *grid.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    pairs = [(SHT(grid, table=table), InverseSHT(grid, table=table)) for table in (True, False)]
    assert "table" in repr(pairs[0][0])
    assert "by recurrence" in repr(pairs[1][0])
    assert "by recurrence" in repr(pairs[1][1])
    results = []
    for analysis, synthesis in pairs:
        field = x.clone().requires_grad_()
        c = analysis(field)
        back = synthesis(c)
        back.square().sum().backward()
        results.append((c.detach(), back.detach(), field.grad))
    for with_table, without in zip(*results, strict=True):
        torch.testing.assert_close(with_table, without, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.compile(pairs[1][0], backend="eager", fullgraph=True)(x), results[0][0])


def test_large_transforms_keep_no_table() -> None:
    assert not SHT(GaussLegendre(1024)).tabulated
    assert SHT(GaussLegendre(256)).tabulated


@pytest.mark.parametrize("build", [SHT, InverseSHT])
@pytest.mark.parametrize("lmax", [-1, 8, 100])
def test_lmax_beyond_the_grid(build: type, lmax: int) -> None:
    with pytest.raises(ValueError, match=f"lmax = {lmax}.*holds 0 <= lmax <= 7"):
        build(Equiangular(8), lmax)


def test_wrong_input() -> None:
    grid = Equiangular(8)
    with pytest.raises(ValueError, match="x is complex"):
        SHT(grid)(torch.zeros(*grid.shape, dtype=torch.complex64))
    with pytest.raises(ValueError, match=r"wants \(\.\.\., 8, 16\)"):
        SHT(grid)(torch.zeros(16, 8))
    for wrong in (torch.zeros(7, 8, dtype=torch.complex64), torch.zeros(8, 8)):
        with pytest.raises(ValueError, match=r"wants complex \(\.\.\., 8, 8\)"):
            InverseSHT(grid)(wrong)


def test_constants_keep_float64() -> None:
    grid = Equiangular(8)
    transform = SHT(grid).to(torch.bfloat16).to(torch.float32)
    x = harmonic(grid, 5, 2).real
    assert float(transform(x)[5, 2].real) == pytest.approx(0.5, abs=1e-13)


def test_closed_form_of_a_kernel() -> None:
    """Σ_l t^l P_l(cos θ) = (1 - 2t cos θ + t²)^(-1/2): coefficients t^l √(4π/(2l + 1)) at m = 0."""
    grid, t = GaussLegendre(60, 4), 0.4
    f = (1 - 2 * t * torch.cos(grid.colatitudes) + t * t).rsqrt()[:, None].expand(grid.shape)
    assert grid.lmax == 1
    wide = GaussLegendre(60)
    c = SHT(wide, lmax=20)(f[:, :1].expand(wide.shape))
    l = torch.arange(21, dtype=torch.float64)
    torch.testing.assert_close(c[:, 0].real, t**l * (4 * math.pi / (2 * l + 1)).sqrt(), rtol=0, atol=1e-13)
    assert c[:, 1:].abs().max() < 1e-14
