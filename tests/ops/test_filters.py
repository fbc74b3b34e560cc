"""Filter bases: their definitions, what they sum to, their quadrature."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from armillary.ops.filters import CustomBasis, FilterBasis, FourierAzimuth, PiecewiseLinear, Zernike

PI = math.pi
BASES = [
    PiecewiseLinear(1),
    PiecewiseLinear(3),
    PiecewiseLinear(2, 2),
    PiecewiseLinear(3, 5),
    FourierAzimuth(1, 3),
    FourierAzimuth(3, 2),
    FourierAzimuth(2, 0),
    Zernike(0),
    Zernike(4),
]


def disc(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    r, t = torch.rand(2, count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return r, 2 * PI * (t - 0.5)


def hat(x: float) -> float:
    return max(0.0, 1 - abs(x))


@given(n_radial=st.integers(1, 5), n_azimuthal=st.integers(1, 6), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_piecewise_linear_by_its_definition(n_radial: int, n_azimuthal: int, seed: int) -> None:
    basis = PiecewiseLinear(n_radial, n_azimuthal)
    r, phi = disc(6, seed)
    values = basis.evaluate(r, phi)
    assert values.shape == (basis.size, 6)
    assert basis.size == 1 + (n_radial - 1) * n_azimuthal
    for p, (radius, angle) in enumerate(zip(r.tolist(), phi.tolist(), strict=True)):
        wanted = [hat(radius * n_radial)]
        for i in range(1, n_radial):
            for j in range(n_azimuthal):
                gap = abs(angle - 2 * PI * j / n_azimuthal) % (2 * PI)
                gap = min(gap, 2 * PI - gap)
                wanted.append(
                    hat(radius * n_radial - i) * (hat(gap * n_azimuthal / (2 * PI)) if n_azimuthal > 1 else 1)
                )
        assert values[:, p].tolist() == pytest.approx(wanted, abs=1e-13)
    # a partition of unity up to the last node, then down to zero at the edge
    torch.testing.assert_close(values.sum(0), (n_radial * (1 - r)).clamp(max=1), rtol=0, atol=1e-13)
    assert (values >= 0).all()


def test_fourier_azimuth_by_its_definition() -> None:
    basis = FourierAzimuth(3, 2)
    r, phi = disc(10)
    radial = PiecewiseLinear(3).evaluate(r, phi)
    wanted = [*radial]
    for m in (1, 2):
        for i in (1, 2):
            wanted += [radial[i] * torch.cos(m * phi), radial[i] * torch.sin(m * phi)]
    torch.testing.assert_close(basis.evaluate(r, phi), torch.stack(wanted), rtol=0, atol=1e-15)
    assert basis.size == 11
    # a turned filter stays in the span: cos m(ϕ - t) = cos mt cos mϕ + sin mt sin mϕ
    turned, values = basis.evaluate(r, phi - 0.4), basis.evaluate(r, phi)
    wanted_wave = math.cos(0.8) * values[7] + math.sin(0.8) * values[8]
    torch.testing.assert_close(turned[7], wanted_wave, rtol=0, atol=1e-14)


def test_zernike_written_out() -> None:
    """In the order of the single index: (0,0) (1,-1) (1,1) (2,-2) (2,0) (2,2) (3,-3) (3,-1) (3,1) (3,3)."""
    r, phi = disc(8)
    s, c = torch.sin, torch.cos
    wanted = [
        torch.ones_like(r),
        r * s(phi),
        r * c(phi),
        r**2 * s(2 * phi),
        2 * r**2 - 1,
        r**2 * c(2 * phi),
        r**3 * s(3 * phi),
        (3 * r**3 - 2 * r) * s(phi),
        (3 * r**3 - 2 * r) * c(phi),
        r**3 * c(3 * phi),
    ]
    torch.testing.assert_close(Zernike(3).evaluate(r, phi), torch.stack(wanted), rtol=0, atol=1e-14)


def test_zernike_is_orthogonal_on_the_flat_disc() -> None:
    """∫ Z_n^m Z_n'^m' r dr dϕ = π (1 + δ_m0) / (2n + 2)."""
    n_max = 6
    x, w = (torch.from_numpy(v) for v in np.polynomial.legendre.leggauss(16))
    r, wr = (x + 1) / 2, w / 2
    phi = torch.arange(32, dtype=torch.float64) * (2 * PI / 32)
    values = Zernike(n_max).evaluate(r[:, None].expand(16, 32), phi.expand(16, 32))
    gram = torch.einsum("krp,jrp,r->kj", values, values, wr * r) * (2 * PI / 32)
    orders = [(n, m) for n in range(n_max + 1) for m in range(-n, n + 1, 2)]
    norms = torch.tensor([PI * (1 + (m == 0)) / (2 * n + 2) for n, m in orders], dtype=torch.float64)
    torch.testing.assert_close(gram, torch.diag(norms), rtol=0, atol=1e-13)
    edge = Zernike(n_max).evaluate(torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
    assert edge[:, 0].tolist() == pytest.approx([float(m >= 0) for _, m in orders], abs=1e-13)


@pytest.mark.parametrize("basis", BASES, ids=str)
@pytest.mark.parametrize("cutoff", [0.05, 1.2])
def test_nodes_integrate_over_the_cap(basis: FilterBasis, cutoff: float) -> None:
    """Area 2π(1 - cos θ_c), and moments of x, y, z on the cap in closed form."""
    r, phi, w = basis.nodes(cutoff)
    assert (w > 0).all()
    assert r.max() < 1
    area = 2 * PI * (1 - math.cos(cutoff))
    theta = r * cutoff
    x, y, z = theta.sin() * phi.cos(), theta.sin() * phi.sin(), theta.cos()
    wanted = {
        "1": (torch.ones_like(z), area),
        "z": (z, PI * math.sin(cutoff) ** 2),
        "x": (x, 0.0),
        "xy": (x * y, 0.0),
        "x2": (x * x, PI * (2 / 3 - math.cos(cutoff) + math.cos(cutoff) ** 3 / 3)),
        "y2": (y * y, PI * (2 / 3 - math.cos(cutoff) + math.cos(cutoff) ** 3 / 3)),
    }
    for values, exact in wanted.values():
        assert float(values @ w) == pytest.approx(exact, abs=1e-13 * area)


@pytest.mark.parametrize("basis", BASES, ids=str)
def test_nodes_respect_the_kinks(basis: FilterBasis) -> None:
    """The integral of each function, against 1200 × 360 midpoints on the same pieces."""
    cutoff = 0.7
    r, phi, w = basis.nodes(cutoff)
    got = basis.evaluate(r, phi) @ w
    edges = [0.0, *basis.radial_breaks, 1.0]
    total = torch.zeros(basis.size, dtype=torch.float64)
    angles = (torch.arange(360, dtype=torch.float64) + 0.5) * (2 * PI / 360)
    for low, high in itertools.pairwise(edges):
        step = (high - low) / 1200
        radii = low + (torch.arange(1200, dtype=torch.float64) + 0.5) * step
        values = basis.evaluate(radii[:, None].expand(1200, 360), angles.expand(1200, 360))
        total += torch.einsum("krp,r->k", values, torch.sin(radii * cutoff)) * step * cutoff * (2 * PI / 360)
    torch.testing.assert_close(got, total, rtol=0, atol=3e-6)


@pytest.mark.parametrize("basis", BASES, ids=str)
def test_axisymmetric_means_independent_of_azimuth(basis: FilterBasis) -> None:
    r, phi = disc(50)
    constant = torch.allclose(basis.evaluate(r, phi), basis.evaluate(r, phi + 1.0), atol=1e-12)
    assert basis.axisymmetric == constant


@pytest.mark.parametrize("basis", BASES, ids=str)
def test_dtype_and_shape(basis: FilterBasis) -> None:
    r, phi = (v.float().reshape(2, 5) for v in disc(10))
    values = basis.evaluate(r, phi)
    assert (values.dtype, values.shape) == (torch.float32, (basis.size, 2, 5))
    torch.testing.assert_close(values.double(), basis.evaluate(r.double(), phi.double()), rtol=0, atol=2e-6)
    assert hash(basis) == hash(type(basis)(**vars(basis)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: PiecewiseLinear(0), "n_radial = 0"),
        (lambda: PiecewiseLinear(2, 0), "n_azimuthal = 0"),
        (lambda: PiecewiseLinear(2.0), "n_radial = 2.0"),
        (lambda: PiecewiseLinear(True), "n_radial = True"),
        (lambda: FourierAzimuth(2, -1), "m_max = -1, wanted an integer >= 0"),
        (lambda: Zernike(-1), "n_max = -1"),
        (lambda: Zernike(1.5), "n_max = 1.5"),
    ],
)
def test_bad_counts(build: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_custom_basis() -> None:
    r, phi = disc(7)
    basis = CustomBasis(lambda r, a: torch.stack([r, r * torch.cos(a)]), 2, False, breaks=(0.5,), azimuth_breaks=(0.0,))
    torch.testing.assert_close(basis.evaluate(r, phi)[1], r * torch.cos(phi))
    assert (basis.size, basis.axisymmetric, basis.radial_breaks, basis.azimuthal_breaks) == (2, False, (0.5,), (0.0,))
    assert float(basis.nodes(0.3)[2].sum()) == pytest.approx(2 * PI * (1 - math.cos(0.3)))
    with pytest.raises(ValueError, match=r"returned shape \(7,\).*wanted \(2, 7\).*stack the 2 functions"):
        CustomBasis(lambda r, a: r, 2, True).evaluate(r, phi)


@pytest.mark.parametrize(
    "basis", [FourierAzimuth(3, 2), FourierAzimuth(1, 2), FourierAzimuth(2, 0), Zernike(5)], ids=str
)
def test_waves_are_pairs_of_cosine_and_sine(basis: FourierAzimuth | Zernike) -> None:
    """Every function of the basis is a radial function times the wave that it is said to be, and is told once."""
    r, phi = disc(9)
    values, radial = basis.evaluate(r, phi), basis.evaluate(r, torch.zeros_like(phi))
    told = []
    for m in range(7):
        assert basis.waves(m) == basis.waves(-m)
        for cosine, sine in basis.waves(m):
            torch.testing.assert_close(values[cosine], radial[cosine] * torch.cos(m * phi), rtol=0, atol=1e-14)
            told.append(cosine)
            assert (sine is None) == (m == 0)
            if sine is not None:
                torch.testing.assert_close(values[sine], radial[cosine] * torch.sin(m * phi), rtol=0, atol=1e-14)
                told.append(sine)
    assert sorted(told) == list(range(basis.size))
