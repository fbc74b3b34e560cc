"""Sums over atoms."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from armillary.models import AtomSum, NeedletRegressor
from armillary.spaces import GaussLegendre
from armillary.testing import GroupAction, check_layer


def test_the_sum_by_its_definition() -> None:
    grid = GaussLegendre(4)
    network = NeedletRegressor(2, 3, grid, (2,), hidden=4)
    model = AtomSum(network, channels=2, kinds=3)
    x = torch.randn(2, 4, 5, *grid.shape)
    x[:, :, 2:] = 0
    for molecule, kinds in enumerate(((0, 2, 2), (1,))):
        for atom, kind in enumerate(kinds):
            x[molecule, atom, 2 + kind] = 1
    y = model(x)
    with torch.no_grad():
        each = [[network(x[m, a, None, :2])[0, k] for a, k in enumerate(ks)] for m, ks in enumerate(((0, 2, 2), (1,)))]
    torch.testing.assert_close(y.detach(), torch.stack([torch.stack(e).sum() for e in each]), rtol=1e-5, atol=1e-6)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), y, rtol=1e-5, atol=1e-6)


def test_contract_and_order_of_atoms() -> None:
    grid = GaussLegendre(4)
    model = AtomSum(NeedletRegressor(2, 3, grid, (2,), hidden=4), channels=2, kinds=3)
    orders = [torch.tensor([2, 0, 1]), torch.tensor([1, 0, 2])]
    symmetry = GroupAction((3, 5, *grid.shape), orders, lambda g, x: x[:, g], refuses=("wrong grid",))
    check_layer(model, symmetry, tolerance=1e-12)


def test_bad_input() -> None:
    model = AtomSum(nn.Identity(), 2, 3)
    for shape in ((1, 4, 4, 2, 2), (4, 5, 2, 2)):
        with pytest.raises(ValueError, match="this AtomSum wants"):
            model(torch.zeros(shape))
    one = nn.Sequential(nn.Flatten(), nn.Linear(2 * 4 * 8, 1))  # would be spread over all kinds
    with pytest.raises(ValueError, match=r"gave shape .* wants a number for each of 3 kinds"):
        AtomSum(one, 2, 3)(torch.zeros(1, 4, 5, 4, 8))
