"""The harmonic path of wide filters: its spectrum, the same convolution as the stencil, exact equivariance."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import scipy.integrate
import scipy.special
import torch

from armillary.harmonics import SHT, InverseSHT, random_field
from armillary.harmonics.zonal import PathCosts, zonal_spectrum
from armillary.nn import CustomBasis, DiscoConv, DiscoConvTranspose, PiecewiseLinear, Zernike, rings
from armillary.spaces import Equiangular, GaussLegendre
from armillary.spaces.neighbours import count_neighbours, neighbourhoods
from armillary.testing import check_layer, equivariance_error


@pytest.mark.parametrize("cutoff", [0.05, 1.0, 3.1])
def test_spectrum_of_hats(cutoff: float) -> None:
    """Against adaptive quadrature of each piece."""
    basis, lmax = PiecewiseLinear(3), 40
    spectrum = zonal_spectrum(basis, cutoff, lmax)
    edges = [i * cutoff / 3 for i in range(4)]
    for k in range(3):

        def hat(angle: float, k: int = k) -> float:
            return max(0.0, 1 - abs(3 * angle / cutoff - k)) * math.sin(angle)

        def integral(l: int, hat=hat) -> float:  # type: ignore[no-untyped-def]
            parts = pairwise(edges)
            function = lambda t: hat(t) * scipy.special.eval_legendre(l, math.cos(t))  # noqa: E731
            return sum(scipy.integrate.quad(function, a, b, limit=200, epsabs=1e-13)[0] for a, b in parts)

        for l in (0, 1, 7, 40):
            assert float(spectrum[k, l]) == pytest.approx(integral(l) / integral(0), abs=1e-10)


def test_a_constant_field_by_either_path() -> None:
    """Filters have unit integral, so ones become Σ w + b."""
    for harmonic in (True, False):
        layer = DiscoConv(2, 3, Equiangular(16), cutoff=rings(4, Equiangular(16)), harmonic=harmonic).double()
        y = layer(torch.ones(1, 2, *layer.grid.shape, dtype=torch.float64))
        wanted = (layer.weight.sum((1, 2)) + layer.bias)[None, :, None, None].expand_as(y)
        torch.testing.assert_close(y, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", [DiscoConv, DiscoConvTranspose])
@pytest.mark.parametrize("nlats", [(32, 32), (64, 32), (32, 64)])
@pytest.mark.parametrize("groups", [1, 2])
def test_both_paths_are_one_convolution(kind: type, nlats: tuple[int, int], groups: int) -> None:
    """Smooth fields see no difference but the stencil's own error, which falls with the grid."""
    gaps = []
    for scale in (1, 2):
        torch.manual_seed(0)  # the same weights on both grids
        grids = [GaussLegendre(scale * n) for n in nlats]
        layers = [
            kind(2, 4, *grids, cutoff=0.5, groups=groups, harmonic=harmonic).double() for harmonic in (False, True)
        ]
        layers[1].load_state_dict(layers[0].state_dict())
        x = random_field(grids[0], 6, (2, 2), torch.Generator().manual_seed(0))
        wanted, got = (layer(x).detach() for layer in layers)
        gaps.append(float((got - wanted).norm() / wanted.norm()))
    assert gaps[0] < 5e-5
    assert gaps[1] < gaps[0] / 2


def test_it_multiplies_coefficients() -> None:
    """The readable twin: y_lm = Σ_c Σ_k w_ck λ_kl x_clm, in loops."""
    grid, grid_out = Equiangular(10), GaussLegendre(8, 15)
    layer = DiscoConv(2, 2, grid, grid_out, cutoff=1.1, harmonic=True).double()
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(3, 2, *grid.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    spectrum = zonal_spectrum(layer.basis, 1.1, grid_out.lmax)
    coefficients = SHT(grid, grid_out.lmax)(x)
    wanted = torch.zeros(3, 2, grid_out.lmax + 1, grid_out.lmax + 1, dtype=torch.complex128)
    for o in range(2):
        for c in range(2):
            for k in range(layer.basis.size):
                wanted[:, o] += layer.weight[o, c, k] * spectrum[k][:, None] * coefficients[:, c]
    wanted = InverseSHT(grid_out)(wanted) + layer.bias[:, None, None]
    torch.testing.assert_close(layer(x), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("grid", [Equiangular(16), Equiangular(17, poles=True), GaussLegendre(16)], ids=str)
def test_equivariance_is_exact(grid) -> None:  # type: ignore[no-untyped-def]
    layer = DiscoConv(1, 3, grid, cutoff=2.0, harmonic=True)
    assert equivariance_error(layer, grid, lmax=grid.lmax) < 1e-12


def test_layer_contract() -> None:
    grid = GaussLegendre(12)
    check_layer(
        DiscoConv(4, 2, grid, GaussLegendre(8), cutoff=1.5, groups=2, harmonic=True),
        grid,
        GaussLegendre(8),
        tolerance=1e-12,
    )


def test_half_precision_and_gradients() -> None:
    grid = GaussLegendre(6)
    layer = DiscoConv(2, 2, grid, cutoff=1.5, harmonic=True)
    x = torch.randn(1, 2, *grid.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    y = layer(x.bfloat16())
    assert y.dtype == torch.bfloat16
    layer = layer.double()
    assert float((y - layer(x)).abs().max()) < 0.05 * float(layer(x).abs().max())
    assert torch.autograd.gradcheck(layer, x.requires_grad_())
    assert torch.autograd.gradgradcheck(layer, x)


def test_the_cost_model_picks_and_repr_tells() -> None:
    grid = GaussLegendre(64)
    narrow, wide = DiscoConv(16, 16, grid), DiscoConv(16, 16, grid, cutoff=2.0)
    assert narrow.harmonic is None
    assert "harmonics" not in repr(narrow)
    assert wide.harmonic is not None
    assert "by harmonics to degree 63 (a stencil: about " in repr(wide)
    assert wide.degree == 63
    costs = [PathCosts.of(grid, grid, cutoff, 16, 16, 3) for cutoff in (0.1, 0.5, 1.0, 3.0)]
    assert [c.stencil for c in costs] == sorted(c.stencil for c in costs)
    assert len({c.harmonic for c in costs}) == 1


def test_what_has_a_stencil_alone() -> None:
    grid = GaussLegendre(64)
    assert DiscoConv(8, 8, grid, cutoff=1.0, moments=None).harmonic is None
    for arguments in ({"moments": None}, {"basis": PiecewiseLinear(2, 3)}, {"basis": Zernike(1)}):
        with pytest.raises(ValueError, match=r"got harmonic=True with .*wanted an axisymmetric basis and moments"):
            DiscoConv(1, 1, grid, harmonic=True, **arguments)


def test_a_basis_of_ones_own() -> None:
    def rings_of_gauss(r: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.exp(-4 * r * r), r * torch.exp(-4 * r * r)])

    basis = CustomBasis(rings_of_gauss, 2, is_axisymmetric=True)
    grid = GaussLegendre(48)
    layers = [DiscoConv(1, 1, grid, basis=basis, cutoff=0.6, harmonic=harmonic).double() for harmonic in (False, True)]
    layers[1].load_state_dict(layers[0].state_dict())
    x = random_field(grid, 5, (1, 1), torch.Generator().manual_seed(3))
    wanted = layers[0](x)
    assert float((layers[1](x) - wanted).norm() / wanted.norm()) < 1e-3


@pytest.mark.parametrize("cutoff", [0.2, 1.0, 2.9])
def test_count_of_neighbours(cutoff: float) -> None:
    grid, grid_out = Equiangular(20), GaussLegendre(12)
    counted = sum(
        int(hood.inside.sum()) * grid_out.nlon // len(hood.inside) for hood in neighbourhoods(grid, grid_out, cutoff)
    )
    assert count_neighbours(grid, grid_out, cutoff) == pytest.approx(counted, rel=0.06)
