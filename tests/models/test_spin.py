"""SpinNet: rotations, scalars as a special case, training reaches it."""

from __future__ import annotations

import pytest
import torch

from armillary.groups import Orders
from armillary.models import SpinNet
from armillary.spaces import Equiangular, GaussLegendre
from armillary.testing import SpinSymmetry, commutation_error

WIND, HIDDEN = Orders.of({1: 1}), Orders.of({0: 4, 1: 4})


def error(net: SpinNet, grid: GaussLegendre, lmax: int) -> float:
    return commutation_error(net, SpinSymmetry(WIND, grid, lmax=lmax), count=2)


def test_error_under_rotations_falls_with_resolution_and_frames() -> None:
    torch.manual_seed(0)
    coarse, fine = GaussLegendre(12), GaussLegendre(32)
    net = SpinNet(WIND, WIND, coarse, HIDDEN, frames=4, profiles=4, lmax=7)
    better = SpinNet(WIND, WIND, fine, HIDDEN, frames=12, profiles=4, lmax=7)
    better.load_state_dict(net.state_dict())
    errors = error(net, coarse, 7), error(better, fine, 7)
    assert errors[1] < errors[0] / 20
    assert errors[1] < 1e-3


def test_scalars_and_invariants() -> None:
    grid = Equiangular(10)
    scalars = SpinNet(Orders.image(2), Orders.image(3), grid, Orders.image(8), blocks=1, profiles=3)
    assert scalars(torch.randn(2, 2, *grid.shape)).shape == (2, 3, *grid.shape)
    mixed = SpinNet(WIND, Orders.image(1), grid, HIDDEN, blocks=0, profiles=None)
    assert mixed(torch.randn(1, 2, *grid.shape)).shape == (1, 1, *grid.shape)


def test_every_parameter_learns() -> None:
    grid = GaussLegendre(8)
    net = SpinNet(WIND, WIND, grid, HIDDEN, blocks=1, profiles=3)
    net(torch.randn(2, 2, *grid.shape)).square().sum().backward()
    assert all(p.grad is not None and float(p.grad.abs().sum()) > 0 for p in net.parameters())


def test_errors() -> None:
    with pytest.raises(ValueError, match="blocks = -1"):
        SpinNet(WIND, WIND, GaussLegendre(8), HIDDEN, blocks=-1)
    with pytest.raises(ValueError, match=r"blocks = 1\.5"):
        SpinNet(WIND, WIND, GaussLegendre(8), HIDDEN, blocks=1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="frames = 2"):
        SpinNet(WIND, WIND, GaussLegendre(8), HIDDEN, frames=2, profiles=3)
