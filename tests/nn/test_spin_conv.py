"""SpinConv: against its equation in coefficients, all maps that commute, rotations, resampling, errors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from armillary.groups import Orders, random_rotation
from armillary.harmonics import InverseSpinSHT, SpinSHT, random_spins, rotate_spins
from armillary.harmonics.spin_fields import complex_channels
from armillary.nn import SpinConv
from armillary.spaces import Equiangular, GaussLegendre, SphereGrid
from armillary.testing import SpinSymmetry, check_layer

MIXED, VECTORS, SCALARS = Orders.of({-1: 1, 0: 2, 2: 1}), Orders.of({1: 2}), Orders.image(2)
GRIDS = [GaussLegendre(6, 12), Equiangular(7, 13)]


def direct(layer: SpinConv, x: Tensor) -> Tensor:
    """Degree by degree and channel by channel, conjugates made of the conjugate fields."""
    spins, lmax = layer.orders_in, layer.lmax
    z = complex_channels(x, spins)
    fields = [(s, z[:, i]) for i, s in enumerate(spins.channel_orders)]
    if layer.conjugates:
        fields += [(-s, f.conj()) for s, f in fields]
    knots = torch.linspace(0, lmax, layer.profiles, dtype=torch.float64)
    weight, outputs = layer.weight.detach(), []
    for o, s_out in enumerate(layer.orders_out.channel_orders):
        total: Tensor | int = 0
        for i, (s, f) in enumerate(fields):
            c = SpinSHT(layer.grid, s, lmax)(f.resolve_conj())
            for l in range(lmax + 1):
                hats = (1 - (knots - l).abs() / (knots[1] - knots[0])).clamp(min=0) if len(knots) > 1 else torch.ones(1)
                w = (hats[:, None] * weight[:, o, i]).sum(0)
                c[..., l, :] *= w[0] if len(w) == 1 else torch.complex(w[0], w[1])
            total = total + InverseSpinSHT(layer.grid_out, s_out, lmax)(c)
        if s_out == 0 and layer.bias is not None:
            b = layer.bias.detach()[:, sum(s == 0 for s in layer.orders_out.channel_orders[:o])]
            total = total + (b[0] if len(b) == 1 else torch.complex(b[0], b[1]))
        outputs.append(total)
    z = torch.stack(outputs, 1)  # type: ignore[arg-type]
    return z.real if layer.orders_out.real else torch.cat([z.real, z.imag], 1)


def randomised(layer: SpinConv) -> SpinConv:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    return layer.double()


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize(
    "pair", [(MIXED, VECTORS), (VECTORS, MIXED), (SCALARS, MIXED), (MIXED, SCALARS), (SCALARS, SCALARS)]
)
@pytest.mark.parametrize("profiles", [None, 3, 1])
def test_is_its_equation(grid: SphereGrid, pair: tuple[Orders, Orders], profiles: int | None) -> None:
    layer = randomised(SpinConv(*pair, grid, grid_out=GaussLegendre(5, 9), lmax=4, profiles=profiles))
    x = torch.randn(2, pair[0].size, *grid.shape, dtype=torch.float64)
    torch.testing.assert_close(layer(x), direct(layer, x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("pair", [(MIXED, VECTORS), (SCALARS, MIXED), (VECTORS, SCALARS)])
def test_contract(grid: SphereGrid, pair: tuple[Orders, Orders]) -> None:
    layer = randomised(SpinConv(*pair, grid, profiles=3))
    check_layer(layer, SpinSymmetry(pair[0], grid, pair[1], lmax=grid.lmax), tolerance=1e-12)


@pytest.mark.parametrize(("s", "s_out", "wanted"), [(0, 0, 4), (0, 1, 4), (1, 1, 4), (1, -2, 4)])
def test_all_maps_that_commute(s: int, s_out: int, wanted: int) -> None:
    """Four real numbers for each degree l ≥ max(|s|, |s'|), as many as the null space of the constraint has."""
    l, grid = 2, GaussLegendre(3, 5)
    generator, rotations = torch.Generator().manual_seed(0), []
    basis = torch.eye(2 * (2 * l + 1), dtype=torch.float64)

    def acting(spin: int, R: Tensor) -> Tensor:
        """R on the real coordinates of the coefficients of degree l."""
        c = torch.zeros(len(basis), 1, l + 1, 2 * l + 1, dtype=torch.complex128)
        c[:, 0, l] = torch.complex(*basis.chunk(2, 1))
        field = InverseSpinSHT(grid, spin, l)(c)
        x = torch.cat([field.real, field.imag], 1)
        turned = complex_channels(rotate_spins(x, Orders.of({spin: 1}), grid, R), Orders.of({spin: 1}))
        back = SpinSHT(grid, spin, l)(turned)[:, 0, l]
        return torch.cat([back.real, back.imag], 1).T.contiguous()

    for _ in range(3):
        R = random_rotation(generator)
        one = torch.eye(len(basis)).double()
        rotations.append(torch.kron(one, acting(s, R).T.contiguous()) - torch.kron(acting(s_out, R), one))
    values = torch.linalg.svdvals(torch.cat(rotations))
    assert int((values < 1e-9).sum()) == wanted
    layer = SpinConv(Orders.of({s: 1}), Orders.of({s_out: 1}), grid, lmax=l, bias=False)
    assert layer.weight[l].numel() == wanted


def test_finer_grid_and_back() -> None:
    coarse, fine = GaussLegendre(6, 12), Equiangular(12, 24)
    up = SpinConv(MIXED, MIXED, coarse, grid_out=fine)
    assert up(torch.zeros(1, MIXED.size, *coarse.shape)).shape == (1, MIXED.size, *fine.shape)
    check_layer(up.double(), SpinSymmetry(MIXED, coarse, MIXED, fine), tolerance=1e-12)
    down = SpinConv(MIXED, MIXED, fine, grid_out=coarse)
    check_layer(down.double(), SpinSymmetry(MIXED, fine, MIXED, coarse, lmax=5), tolerance=1e-12)


def test_bias_on_spin_0_alone_and_unit_gain() -> None:
    grid = GaussLegendre(10)
    layer = randomised(SpinConv(SCALARS, Orders.of({-1: 1, 0: 1, 1: 1}), grid))
    y = layer(torch.zeros(1, 2, *grid.shape, dtype=torch.float64))
    assert layer.bias is not None
    real, imaginary = layer.bias.detach().flatten().tolist()
    constants = torch.tensor([0, real, 0, 0, imaginary, 0], dtype=torch.float64)
    torch.testing.assert_close(y, constants[:, None, None].expand(1, 6, *grid.shape), rtol=0, atol=1e-13)
    assert SpinConv(SCALARS, VECTORS, grid).bias is None
    torch.manual_seed(0)
    big = Orders.of({0: 16, 1: 16})
    x = random_spins(big, grid, grid.lmax, 2, torch.Generator().manual_seed(0))
    assert 0.8 < float(SpinConv(big, big, grid).double()(x).detach().var()) < 1.2


def test_errors() -> None:
    grid = GaussLegendre(4)
    with pytest.raises(ValueError, match="highest spin, 4"):
        SpinConv(SCALARS, Orders.of({4: 1}), grid)
    with pytest.raises(ValueError, match="profiles = 5"):
        SpinConv(SCALARS, VECTORS, grid, profiles=5)
    with pytest.raises(ValueError, match=r"profiles = 2\.5, wanted an integer >= 1 and at most 4 = lmax \+ 1"):
        SpinConv(SCALARS, VECTORS, grid, profiles=2.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lmax = 4"):
        SpinConv(SCALARS, VECTORS, grid, grid_out=GaussLegendre(8), lmax=4)
