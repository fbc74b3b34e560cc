"""Gates on fields of spin: against their equation, and under turns of the frame and rotations of the sphere."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from armillary.groups import Orders
from armillary.nn import SpinGate
from armillary.spaces import Equiangular, GaussLegendre
from armillary.testing import SpinSymmetry, check_layer, commutation_error

ORDERS = Orders.of({-1: 3, 0: 3, 2: 3})
GRID = GaussLegendre(12)


def drawn(layer: SpinGate) -> SpinGate:
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return layer.double()


def fields(orders: Orders = ORDERS, grid: Equiangular | GaussLegendre = GRID) -> Tensor:
    return torch.randn(2, orders.size, *grid.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_each_channel_against_the_equation() -> None:
    layer, x = drawn(SpinGate(torch.sin, ORDERS, GRID, eps=0.1)), fields()
    z = torch.complex(*x.chunk(2, 1))
    wanted = torch.empty_like(z)
    for c in range(3):
        below, zero, above = z[:, c], z[:, 3 + c], z[:, 6 + c]
        v = torch.stack([zero.real, zero.imag, *((t.abs() ** 2 + 0.01).sqrt() for t in (below, above))])
        u = torch.tensordot(layer.weight[c], v, 1) + layer.bias[c][:, None, None, None]
        wanted[:, c], wanted[:, 6 + c] = torch.sigmoid(u[2]) * below, torch.sigmoid(u[3]) * above
        wanted[:, 3 + c] = torch.complex(u[0].sin(), u[1].sin())
    torch.testing.assert_close(torch.complex(*layer(x).chunk(2, 1)), wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize("grid", [GRID, Equiangular(9, poles=True)], ids=str)
def test_a_turn_of_the_frame_comes_through(grid: Equiangular | GaussLegendre) -> None:
    layer, x = drawn(SpinGate(nn.GELU(), ORDERS, grid)), fields(grid=grid)
    torch.testing.assert_close(layer(ORDERS.act(0.7, x)), ORDERS.act(0.7, layer(x)), rtol=0, atol=1e-13)


def test_rotations_of_the_sphere_come_through_better_on_finer_grids() -> None:
    """Degrees ≤ 4 and a smooth σ: what is left is aliasing."""
    errors = []
    for nlat in (12, 24, 48):
        grid = GaussLegendre(nlat)
        layer = drawn(SpinGate(torch.tanh, ORDERS, grid, eps=0.5))
        errors.append(commutation_error(layer, SpinSymmetry(ORDERS, grid, lmax=4)))
    assert errors[1] < errors[0] / 4
    assert errors[2] < errors[1] / 4


def test_it_keeps_the_contract_of_a_layer() -> None:
    check_layer(SpinGate(nn.GELU(), ORDERS, GRID), SpinSymmetry(ORDERS, GRID, lmax=4), tolerance=None)


def test_at_first_each_channel_is_its_own() -> None:
    layer, x = SpinGate(nn.GELU(), ORDERS, GRID).double(), fields()
    z, y = (torch.complex(*f.chunk(2, 1)) for f in (x, layer(x)))
    torch.testing.assert_close(y[:, 3:6].real, nn.functional.gelu(z[:, 3:6].real), rtol=0, atol=1e-14)
    gate = torch.sigmoid((z[:, 6:].abs() ** 2 + 1e-4).sqrt())
    torch.testing.assert_close(y[:, 6:], gate * z[:, 6:], rtol=0, atol=1e-14)


def test_zeros_have_a_gradient() -> None:
    x = torch.zeros(1, ORDERS.size, *GRID.shape, requires_grad=True)
    SpinGate(nn.GELU(), ORDERS, GRID)(x).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize(
    ("orders", "eps", "match"),
    [
        (Orders.image(3), 0.1, "wanted complex channels of spin 0"),
        (Orders.of({1: 2}), 0.1, "wanted complex channels of spin 0"),
        (Orders.of({0: 2}), 0.1, "wanted complex channels of spin 0"),
        (Orders.of({0: 2, 1: 1}), 0.1, "as many of each spin"),
        (ORDERS, 0.0, "eps = 0.0"),
    ],
)
def test_what_it_cannot_be_built_for(orders: Orders, eps: float, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        SpinGate(nn.GELU(), orders, GRID, eps)
