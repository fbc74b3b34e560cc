"""SpinSymmetry sees what breaks: a layer that mixes spins, and one that adds a constant to vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from armillary.groups import Orders
from armillary.spaces import GaussLegendre
from armillary.testing import SpinSymmetry, commutation_error

SPINS, GRID = Orders.of({0: 1, 1: 1}), GaussLegendre(8)


def swapped(x: Tensor) -> Tensor:
    return x[:, [1, 0, 3, 2]]


def test_what_commutes_and_what_does_not() -> None:
    symmetry = SpinSymmetry(SPINS, GRID)
    assert commutation_error(nn.Identity(), symmetry) < 1e-14
    assert commutation_error(swapped, symmetry) > 0.1
    assert commutation_error(swapped, SpinSymmetry(SPINS, GRID, Orders.of({0: 1, 1: 1}), lmax=5)) > 0.1
    assert commutation_error(lambda x: x[:, :1], SpinSymmetry(SPINS, GRID, Orders.image(1))) < 1e-14
    assert commutation_error(lambda x: x[:, 1:2], SpinSymmetry(SPINS, GRID, Orders.image(1))) > 0.1


def test_invariants() -> None:
    def energy(x: Tensor) -> Tensor:
        return GRID.integrate(x**2).view(len(x), 2, 2).sum(1)

    assert commutation_error(energy, SpinSymmetry(SPINS, GRID, invariant=True)) < 1e-13
    parts = SpinSymmetry(SPINS, GRID, invariant=True)
    assert commutation_error(lambda x: GRID.integrate(x**2), parts) > 1e-2
    assert torch.equal(parts.inputs(2, torch.Generator()), parts.inputs(2, torch.Generator()))
