"""Maps of channels on functions on the sphere: exact for linear ones, aliasing that rings lower, errors."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from armillary.groups import random_rotations, wigner_D_real
from armillary.nn.sphere_pointwise import SpherePointwise, sphere_functions
from armillary.testing import GroupAction, check_layer


class Square(nn.Module):
    """A nonlinearity whose band is known."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x


def turned(R: Tensor, x: Tensor, lmax: int) -> Tensor:
    return torch.block_diag(*(wigner_D_real(l, R) for l in range(lmax + 1))) @ x


def error(layer: nn.Module, lmax: int, channels: int = 3) -> float:
    """The commutation error on functions of unit mean square."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, (lmax + 1) ** 2, channels, generator=generator, dtype=torch.float64) / (lmax + 1)
    worst = 0.0
    for R in random_rotations(4, generator):
        y = turned(R, layer(x), lmax)
        worst = max(worst, float((layer(turned(R, x, lmax)) - y).norm() / y.norm()))
    return worst


@pytest.mark.parametrize("lmax", [0, 1, 2, 5])
def test_a_linear_map_goes_through_unchanged(lmax: int) -> None:
    linear = nn.Linear(3, 2, bias=False).double()
    x = torch.randn(4, (lmax + 1) ** 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(SpherePointwise(linear, lmax)(x), linear(x), rtol=0, atol=1e-13)


def test_functions_have_unit_mean_square_and_the_value_of_their_coefficients() -> None:
    n = torch.tensor([[0.0, 0, 1], [0, 1, 0]], dtype=torch.float64)
    S = sphere_functions(3, n)
    torch.testing.assert_close(S[:, 1:4], 3**0.5 * n[:, [1, 2, 0]])
    for l in range(4):
        assert float(S[0, l * l : (l + 1) ** 2].square().sum()) == pytest.approx(2 * l + 1)


@pytest.mark.parametrize("lmax", [1, 2, 4])
def test_products_are_exact_from_enough_rings_on(lmax: int) -> None:
    assert error(SpherePointwise(Square(), lmax, rings=3 * lmax), lmax) < 1e-13
    if lmax > 1:
        assert error(SpherePointwise(Square(), lmax, rings=lmax + 1), lmax) > 1e-3


@pytest.mark.parametrize(("lmax", "published"), [(1, 0.03), (2, 0.03), (3, 0.1), (4, 0.15)])
def test_more_rings_lower_the_aliasing(lmax: int, published: float) -> None:
    """The published grid has too few azimuths for products of degree L >= 3."""
    counts = (2 * lmax + 2, 4 * lmax + 4, 6 * lmax + 6)
    errors = [error(SpherePointwise(nn.SiLU(), lmax, rings), lmax) for rings in counts]
    assert published / 2 < errors[0] < published
    assert errors[1] < 0.05 * errors[0]
    assert errors[2] < 1e-4


def test_dtypes_compile_state_and_errors() -> None:
    layer = SpherePointwise(nn.Sequential(nn.Linear(3, 4), nn.SiLU()), 2)
    x = torch.randn(5, 9, 3)
    assert layer(x).dtype == torch.float32
    torch.testing.assert_close(layer(x), layer.double()(x.double()).float(), rtol=0, atol=1e-5)
    layer = layer.float()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), layer(x))
    assert set(layer.state_dict()) == {"module.0.weight", "module.0.bias"}
    assert "rings=6" in repr(layer)
    with pytest.raises(ValueError, match=r"x has shape \(5, 4, 3\), wanted \(..., 9, channels\)"):
        layer(x[:, :4])
    with pytest.raises(ValueError, match="wanted an integer >= 3, lmax"):
        SpherePointwise(nn.SiLU(), 2, rings=2)
    assert layer.rings == 2 * (2 + 1)
    assert math.prod(layer.constant("to_grid", x).shape[:1]) == 6 * 7


def test_the_layer_contract() -> None:
    torch.manual_seed(0)
    layer = SpherePointwise(nn.Sequential(nn.Linear(3, 4), nn.SiLU(), nn.Linear(4, 2)), 2, rings=20)
    turns = list(random_rotations(4, torch.Generator().manual_seed(0)))
    action = GroupAction((9, 3), turns, lambda R, x: turned(R, x, 2), lambda R, y: turned(R, y, 2))
    check_layer(layer, action, tolerance=1e-4)  # large inputs alias more
