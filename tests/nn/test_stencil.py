"""Stencils: their moments are the continuous filter's, and they convolve harmonics as Funk and Hecke say."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from armillary.groups import from_euler_zyz
from armillary.harmonics import InverseSHT
from armillary.nn import DiscoConv, rings
from armillary.nn.stencil import Centre, Stencil, build_stencil
from armillary.ops.filters import CustomBasis, FilterBasis, FourierAzimuth, PiecewiseLinear, Zernike
from armillary.spaces import Equiangular, GaussLegendre, SphereGrid


def dense(stencil: Stencil, grid: SphereGrid, grid_out: SphereGrid) -> Tensor:
    """(K, output points, input points)."""
    pattern, (values, entries, starts) = stencil.pattern, stencil.tensors[:3]
    matrix = torch.zeros(values.shape[1], *grid_out.shape, *grid.shape, dtype=torch.float64)
    for row, (first, last) in enumerate(itertools.pairwise(starts.tolist())):
        j, phase = divmod(row, pattern.n_phases)
        for t in range(pattern.repeats):
            ring, column = entries[first:last].T
            column = (column + t * pattern.stride) % grid.nlon
            matrix[:, j, t * pattern.n_phases + phase].index_put_(
                (torch.arange(len(matrix))[:, None], ring, column), values[first:last].T, accumulate=True
            )
    return matrix.flatten(3).flatten(1, 2)


def tangent(grid: SphereGrid, grid_out: SphereGrid, cutoff: float) -> tuple[Tensor, Tensor]:
    """(u, v) of every input point at every output point: geodesic polar coordinates in units of the cutoff."""
    theta, phi = grid_out.colatitudes[:, None].expand(grid_out.shape), grid_out.longitudes.expand(grid_out.shape)
    out = from_euler_zyz(phi, theta, 0.0).reshape(-1, 3, 3)
    x, y, z = torch.einsum("qab,pa->bqp", out, grid.points.reshape(-1, 3))
    r = torch.atan2(torch.hypot(x, y), z) / cutoff
    azimuth = torch.atan2(y, x)
    return r * torch.cos(azimuth), r * torch.sin(azimuth)


PAIRS = [
    (Equiangular(16), Equiangular(16)),
    (GaussLegendre(13, 25), GaussLegendre(13, 25)),
    (Equiangular(17, poles=True), Equiangular(9, poles=True)),
    (GaussLegendre(12), Equiangular(9, 16)),
]


@pytest.mark.parametrize(
    "basis", [PiecewiseLinear(3), PiecewiseLinear(2, 3), FourierAzimuth(2, 2), Zernike(2)], ids=str
)
@pytest.mark.parametrize(("grid", "grid_out"), PAIRS, ids=str)
def test_moments_of_the_continuous_filter(grid: SphereGrid, grid_out: SphereGrid, basis: FilterBasis) -> None:
    """Σ_i s_i u^a v^b at every output point, by brute force, against ∫ ψ u^a v^b dω / ∫ |ψ| dω."""
    cutoff = 3.2 * grid.ring_spacing
    stencil = build_stencil(grid, grid_out, basis, cutoff, 4)
    plain = build_stencil(grid, grid_out, basis, cutoff, None)
    assert (stencil.degree, plain.degree) == (4, -1)
    u, v = tangent(grid, grid_out, cutoff)
    matrix, sampled = dense(stencil, grid, grid_out), dense(plain, grid, grid_out)
    r, azimuth, weight = basis.nodes(cutoff)
    psi = basis.evaluate(r, azimuth)
    psi = psi / (psi.abs() @ weight)[:, None]
    x, y = r * torch.cos(azimuth), r * torch.sin(azimuth)
    worst = 0.0
    for a in range(5):
        for b in range(5 - a):
            exact = (psi * weight) @ (x**a * y**b)
            got = (matrix * u**a * v**b).sum(-1)
            torch.testing.assert_close(got, exact[:, None].expand_as(got), rtol=0, atol=1e-11)
            worst = max(worst, float(((sampled * u**a * v**b).sum(-1) - exact[:, None]).abs().max()))
    assert worst > 1e-3, "sampling alone must be seen to miss"


@pytest.mark.parametrize("basis", [PiecewiseLinear(3), PiecewiseLinear(2, 2), Zernike(1)], ids=str)
def test_normalised_by_the_continuous_integral(basis: FilterBasis) -> None:
    """A constant goes to ∫ ψ_k / ∫ |ψ_k|: one for functions that are nowhere negative."""
    grid = Equiangular(12)
    stencil = build_stencil(grid, grid, basis, 0.9, 4)
    total = dense(stencil, grid, grid).sum(-1)
    positive = (basis.evaluate(*(n for n in basis.nodes(0.9)[:2])) >= 0).all(1)
    torch.testing.assert_close(total[positive], torch.ones_like(total[positive]), rtol=0, atol=1e-12)
    assert positive.any()
    if not positive.all():
        assert total[~positive].abs().max() < 1e-11


@pytest.mark.parametrize(("cutoff_rings", "degree"), [(1.05, {0, 1}), (1.6, {0, 1, 2}), (3.0, {4})])
def test_degree_is_what_the_neighbours_support(cutoff_rings: float, degree: set[int]) -> None:
    grid = Equiangular(16)
    stencil = build_stencil(grid, grid, PiecewiseLinear(2), cutoff_rings * grid.ring_spacing, 4)
    assert stencil.degree in degree
    lower = build_stencil(grid, grid, PiecewiseLinear(2), 3 * grid.ring_spacing, 1)
    assert lower.degree == 1


@pytest.mark.parametrize("turn", [0.4, 2.0])
def test_turned_filters(turn: float) -> None:
    """A stencil with ``turn`` is that of ψ(r, ϕ - turn)."""
    grid = GaussLegendre(10)
    basis = FourierAzimuth(2, 1)
    turned = CustomBasis(lambda r, a: basis.evaluate(r, a - turn), basis.size, False, breaks=basis.radial_breaks)
    for centre in Centre:
        first = build_stencil(grid, grid, basis, 1.0, 4, centre, turn)
        second = build_stencil(grid, grid, turned, 1.0, 4, centre)
        rescaled = dense(second, grid, grid)
        ratio = (dense(first, grid, grid) * rescaled).sum((1, 2)) / rescaled.square().sum((1, 2))
        torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=0, atol=3e-3)  # ∫ |cos| by 128 nodes
        torch.testing.assert_close(dense(first, grid, grid), ratio[:, None, None] * rescaled, rtol=0, atol=1e-10)


def test_spin_doubles_the_functions() -> None:
    """Each function times cos and sin of n times the transport angle; the square sum is the plain stencil's."""
    grid = Equiangular(9)
    basis = PiecewiseLinear(2)
    plain = dense(build_stencil(grid, grid, basis, 1.0, 2), grid, grid)
    spun = build_stencil(grid, grid, basis, 1.0, 2, spin=3)
    assert spun.values.shape[1] == 4
    cos, sin = dense(spun, grid, grid).split(2)
    torch.testing.assert_close(cos**2 + sin**2, plain**2, rtol=0, atol=1e-14)
    assert sin.abs().max() > 1e-3


def eigenvalue(l: int, profile: int, basis: PiecewiseLinear, cutoff: float) -> float:
    """Funk–Hecke: 2π ∫ ψ(ϑ) P_l(cos ϑ) sin ϑ dϑ / ∫ |ψ| dω, by a fine midpoint rule."""
    t = (torch.arange(30000, dtype=torch.float64) + 0.5) / 30000
    psi = basis.evaluate(t, torch.zeros_like(t))[profile]
    area = psi * torch.sin(t * cutoff)
    before, value = torch.ones_like(t), torch.cos(t * cutoff)
    for k in range(1, l):
        before, value = value, ((2 * k + 1) * torch.cos(t * cutoff) * value - k * before) / (k + 1)
    return float((area * (value if l else before)).sum() / area.sum())


def funk_hecke_error(grid: SphereGrid, lmax: int, cutoff: float, moments: int | None) -> float:
    """The largest relative error (L²) of the three hats over some harmonics of degree ≤ lmax."""
    basis = PiecewiseLinear(3)
    layer = DiscoConv(1, 3, grid, basis=basis, cutoff=cutoff, bias=False, moments=moments).double()
    with torch.no_grad():
        layer.weight.copy_(torch.eye(3)[:, None])
    worst = 0.0
    for l, m in ((0, 0), (1, 1), (lmax // 2, 2), (lmax, 0), (lmax, 1), (lmax, lmax // 2), (lmax, lmax)):
        c = torch.zeros(lmax + 1, lmax + 1, dtype=torch.complex128)
        c[l, m] = 1
        Y = InverseSHT(grid, lmax)(c)
        y = layer(Y[None, None])[0].detach()
        for k in range(3):
            error = y[k] - eigenvalue(l, k, basis, cutoff) * Y
            worst = max(worst, float((grid.integrate(error**2) / grid.integrate(Y**2)).sqrt()))
    return worst


@pytest.mark.parametrize("kind", [Equiangular, GaussLegendre])
def test_funk_hecke(kind: type[SphereGrid]) -> None:
    """l ≤ 16 on 64 latitudes with three rings: within 1e-4 of the continuous convolution; plain samples are not."""
    grid = kind(64)
    cutoff = 3 * math.pi / 64
    assert funk_hecke_error(grid, 16, cutoff, 4) < 1e-4
    assert funk_hecke_error(grid, 16, cutoff, None) > 1e-2


@pytest.mark.parametrize("kind", [Equiangular, GaussLegendre])
def test_convergence_is_of_fourth_order_or_better(kind: type[SphereGrid]) -> None:
    errors = [funk_hecke_error(kind(n), 8, 3 * math.pi / n, 4) for n in (24, 48, 96)]
    orders = [math.log2(coarse / fine) for coarse, fine in itertools.pairwise(errors)]
    assert min(orders) > 4, (errors, orders)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Equiangular, GaussLegendre])
def test_convergence_to_512_latitudes(kind: type[SphereGrid]) -> None:
    errors = [funk_hecke_error(kind(n), 16, 3 * math.pi / n, 4) for n in (64, 128, 256, 512)]
    orders = [math.log2(coarse / fine) for coarse, fine in itertools.pairwise(errors)]
    assert min(orders) > 4, (errors, orders)


@pytest.mark.parametrize(("moments", "agree"), [(4, True), (None, False)])
def test_same_operator_on_other_grids(moments: int | None, agree: bool) -> None:
    """The continuous convolution at a fixed cutoff, whatever the grid: the same weights, values at common points.

    They agree to the discretisation error that ``test_funk_hecke`` states, which plain samples exceed.
    """
    results = []
    for grid in (Equiangular(64), GaussLegendre(72, 144), Equiangular(65, poles=True)):
        layer = DiscoConv(1, 1, grid, Equiangular(6), cutoff=0.25, bias=False, moments=moments).double()
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([[[0.5, -1.0, 2.0]]]))
        c = torch.tril(torch.randn(9, 9, generator=torch.Generator().manual_seed(0), dtype=torch.complex128))
        results.append(layer(InverseSHT(grid, 8)(c)[None, None]).detach())
    scale = float(results[0].abs().max())
    for other in results[1:]:
        assert (float((other - results[0]).abs().max()) < 1e-4 * scale) == agree


def test_moments_of_filters_anchored_at_the_input() -> None:
    """Σ_i s_i u^a v^b of the transposed stencil against ∫ ψ(R_ω'⁻¹ ω) u^a v^b dω' with explicit frames at ω'.

    At latitudes whose cap holds no pole: at a pole the frames turn once around, and the integrand is not smooth.
    """
    grid = GaussLegendre(12)
    basis, cutoff = FourierAzimuth(2, 1), 3 * grid.ring_spacing
    matrix = dense(build_stencil(grid, grid, basis, cutoff, 4, Centre.INPUT), grid, grid)
    u, v = tangent(grid, grid, cutoff)
    r, azimuth, weight = basis.nodes(cutoff)
    norm = basis.evaluate(r, azimuth).abs() @ weight
    x, y = r * torch.cos(azimuth), r * torch.sin(azimuth)
    for row in (4, 5, 7):
        frame = from_euler_zyz(0.0, float(grid.colatitudes[row]), 0.0)
        inputs = from_euler_zyz(azimuth, r * cutoff, 0.0)[..., 2] @ frame.T
        theta = torch.atan2(torch.hypot(inputs[:, 0], inputs[:, 1]), inputs[:, 2])
        local = torch.einsum(
            "pab,a->pb", from_euler_zyz(torch.atan2(inputs[:, 1], inputs[:, 0]), theta, 0.0), frame[:, 2]
        )
        psi = basis.evaluate(r, torch.atan2(local[:, 1], local[:, 0])) / norm[:, None]
        q = row * grid.nlon  # the output point at longitude 0
        for a in range(5):
            for b in range(5 - a):
                exact = (psi * weight) @ (x**a * y**b)
                got = (matrix[:, q] * u[q] ** a * v[q] ** b).sum(-1)
                torch.testing.assert_close(got, exact, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "grid", [Equiangular(32, 32), Equiangular(16, 16), Equiangular(24, 36), Equiangular(12, 20)], ids=str
)
@pytest.mark.parametrize("count", [2.0, 2.5, 3.0])
def test_stencils_stay_of_the_size_of_their_filters_where_rings_are_closer_than_longitudes(
    grid: Equiangular, count: float
) -> None:
    """∫ |ψ| dω = 1: matched moments may not be had by large terms that cancel, whatever the distances of the points."""
    for cutoff in (rings(count, grid), count * grid.ring_spacing):
        try:
            stencil = build_stencil(grid, grid, FourierAzimuth(3, 1), cutoff, 4)
        except ValueError:
            assert cutoff < 2 * math.pi / grid.nlon  # a cap without a neighbour
            continue
        size = torch.zeros(len(stencil.tensors[2]) - 1, stencil.values.shape[1], dtype=torch.float64)
        row = torch.repeat_interleave(torch.arange(len(size)), stencil.tensors[2].diff())
        assert float(size.index_add(0, row, stencil.values.abs()).max()) < 10
