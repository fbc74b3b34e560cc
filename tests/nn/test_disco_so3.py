"""DISCO with an orientation axis: SO(3) equivariance, twins, contract."""

import math

import pytest
import torch

from armillary.groups import euler_zyz, from_euler_zyz
from armillary.nn import DiscoLift, DiscoSO3Conv, FourierAzimuth, OrientationMean, PiecewiseLinear
from armillary.spaces import Equiangular, GaussLegendre, OrientedGrid
from armillary.testing import check_layer, equivariance_error


@pytest.mark.parametrize("grid", [GaussLegendre(32), Equiangular(32)], ids=["gauss", "equiangular"])
@pytest.mark.parametrize("basis", [FourierAzimuth(3, 1), PiecewiseLinear(2, 3)], ids=["fourier", "hats"])
def test_lift_is_equivariant_under_so3(grid, basis):
    layer = DiscoLift(2, 2, grid, 5, basis=basis)
    assert equivariance_error(layer, grid, layer.space_out, lmax=3, n_rotations=2) < 2e-6


@pytest.mark.parametrize("n_orientations", [4, 5])
def test_so3_convolution_is_equivariant_under_so3(n_orientations):
    grid = GaussLegendre(32)
    layer = DiscoSO3Conv(2, 2, grid, n_orientations, basis=FourierAzimuth(2, 1))
    assert equivariance_error(layer, layer.space, layer.space_out, lmax=3, n_rotations=2) < 2e-6


def test_error_falls_with_resolution_and_a_strided_output_keeps_it():
    errors = []
    for nlat in (32, 64):
        grid = Equiangular(nlat)
        torch.manual_seed(0)
        layer = DiscoSO3Conv(1, 1, grid, 3, grid.coarser(), basis=FourierAzimuth(2, 1))
        errors.append(equivariance_error(layer, layer.space, layer.space_out, lmax=3, n_rotations=2))
    assert errors[1] < errors[0] / 2**4


def _direct_lift(layer, x):
    """Σ_i q_i x_i ψ(R⁻¹ω_i) at every node, low-passed in γ from many orientations: the definition, with no blocks."""
    grid, space = layer.grid, layer.space_out
    points, weights = grid.points.reshape(-1, 3), grid.quadrature.reshape(-1)
    r, azimuth, w = layer.basis.nodes(layer.cutoff)
    norms = layer.basis.evaluate(r, azimuth).abs() @ w
    many = 64
    out = torch.zeros(x.shape[0], layer.out_channels, many, *space.grid.shape, dtype=torch.float64)
    for g in range(many):
        for j, theta in enumerate(space.grid.colatitudes.tolist()):
            for q, phi in enumerate(space.grid.longitudes.tolist()):
                local = points @ from_euler_zyz(phi, theta, 2 * math.pi * g / many)
                angle = torch.atan2(torch.hypot(local[:, 0], local[:, 1]), local[:, 2])
                inside = angle <= layer.cutoff * 1.001
                psi = layer.basis.evaluate(
                    (angle[inside] / layer.cutoff).clamp(max=1), torch.atan2(local[inside, 1], local[inside, 0])
                )
                z = torch.einsum("kn,bcn->bck", psi * weights[inside] / norms[:, None], x.flatten(2)[..., inside])
                out[:, :, g, j, q] = torch.einsum("ock,bck->bo", layer.weight.detach(), z)
    spectrum = torch.fft.rfft(out, dim=2, norm="forward")[:, :, : space.nmax + 1]
    return torch.fft.irfft(spectrum, n=space.n_orientations, dim=2, norm="forward")


def test_lift_equals_its_definition():
    grid = Equiangular(6, 8)
    layer = DiscoLift(2, 3, grid, 3, cutoff=0.8, basis=FourierAzimuth(2, 1), moments=None, bias=False).double()
    x = torch.randn(1, 2, *grid.shape, dtype=torch.float64)
    torch.testing.assert_close(layer(x), _direct_lift(layer, x), rtol=1e-10, atol=1e-12)


def _direct_so3(layer, x):
    """Σ_i q_i ψ_k(ϑ, ϕ) mean_γ' h(ϕ + χ) x(ω_i, γ') with (ϕ, ϑ, χ) the Euler angles of R⁻¹Q, by explicit matrices."""
    space, out_space = layer.space, layer.space_out
    grid, nmax = space.grid, space.nmax
    r, azimuth, w = layer.basis.nodes(layer.cutoff)
    norms = layer.basis.evaluate(r, azimuth).abs() @ w
    fine = 4 * space.n_orientations  # the input is a trigonometric polynomial in γ: refine it exactly
    spectrum = torch.fft.rfft(x, dim=2, norm="forward")[:, :, : nmax + 1]
    dense = torch.fft.irfft(spectrum, n=fine, dim=2, norm="forward")
    many = 24
    y = torch.zeros(x.shape[0], layer.out_channels, many, *out_space.grid.shape, dtype=torch.float64)
    weight = layer.weight.detach()
    for g in range(many):
        for j, theta in enumerate(out_space.grid.colatitudes.tolist()):
            for q, phi in enumerate(out_space.grid.longitudes.tolist()):
                R = from_euler_zyz(phi, theta, 2 * math.pi * g / many)
                for i, t in enumerate(grid.colatitudes.tolist()):
                    for p, f in enumerate(grid.longitudes.tolist()):
                        a, b, c = euler_zyz(R.T @ from_euler_zyz(f, t, 0.0))
                        if b > layer.cutoff * 1.001:
                            continue
                        if b < 1e-9:
                            a, c = 0.0, a
                        polar = torch.tensor([[min(1.0, b / layer.cutoff)], [a]], dtype=torch.float64)
                        psi = layer.basis.evaluate(*polar)
                        psi = psi[:, 0] * grid.quadrature[i, p] / norms
                        u = a + c + torch.arange(fine, dtype=torch.float64) * (2 * math.pi / fine)
                        terms = [torch.ones_like(u)]
                        for n in range(1, nmax + 1):
                            terms += [2**0.5 * torch.cos(n * u), 2**0.5 * torch.sin(n * u)]
                        h = torch.einsum("ockn,nu->ocku", weight, torch.stack(terms))
                        y[:, :, g, j, q] += torch.einsum("ocku,k,bcu->bo", h, psi, dense[..., i, p]) / fine
    spectrum = torch.fft.rfft(y, dim=2, norm="forward")[:, :, : out_space.nmax + 1]
    return torch.fft.irfft(spectrum, n=out_space.n_orientations, dim=2, norm="forward")


def test_so3_convolution_equals_its_definition():
    grid = GaussLegendre(4, 6)
    layer = DiscoSO3Conv(1, 2, grid, 3, cutoff=0.9, basis=FourierAzimuth(2, 1), moments=None, bias=False).double()
    x = torch.randn(1, 1, *layer.space.shape, dtype=torch.float64)
    torch.testing.assert_close(layer(x), _direct_so3(layer, x), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["lift", "so3"])
def test_contract(kind):
    grid = Equiangular(16)
    if kind == "lift":
        layer = DiscoLift(2, 4, grid, 3, groups=2)
        check_layer(layer, grid, layer.space_out, lmax=2, tolerance=1e-3)
    else:
        layer = DiscoSO3Conv(2, 4, grid, 3, groups=2)
        check_layer(layer, layer.space, layer.space_out, lmax=2, tolerance=1e-3)


def test_lift_convolve_project_is_a_network_on_the_sphere():
    grid = GaussLegendre(24)
    net = torch.nn.Sequential(
        DiscoLift(1, 2, grid, 5), DiscoSO3Conv(2, 2, grid, 5), OrientationMean(OrientedGrid(grid, 5))
    )
    assert equivariance_error(net, grid, channels=1, lmax=3, n_rotations=2) < 1e-4


def test_errors_name_the_shapes():
    grid = Equiangular(8)
    with pytest.raises(ValueError, match="groups"):
        DiscoLift(3, 4, grid, 3, groups=2)
    with pytest.raises(ValueError, match="DiscoLift was built for"):
        DiscoLift(2, 2, grid, 3)(torch.zeros(1, 3, *grid.shape))
    with pytest.raises(ValueError, match="orientation"):
        DiscoSO3Conv(2, 2, grid, 3)(torch.zeros(1, 2, *grid.shape))
