"""Nonlinearities of signals: the integral, exactness of powers, the error against samples, norms, errors."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from armillary.groups import SO3, Degrees, SO3Signals, random_rotations, solid_rule
from armillary.nn import NormReLU, RotationMLP
from armillary.testing import GroupAction, check_layer, commutation_error

SIGNALS, OUT = SO3Signals(3, 1), SO3Signals(2, 2)


class Rows(nn.Module):
    """(B, size, P) as check_layer has it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] != 4:
            raise ValueError(f"x has shape {tuple(x.shape)}")
        return self.layer(x.mT).mT


class Cube(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x**3


def turns(degrees: Degrees, out: Degrees) -> GroupAction:
    rotations = list(random_rotations(4, torch.Generator().manual_seed(0)))
    return GroupAction(
        (degrees.size, 4), rotations, lambda R, x: degrees.act(R, x.mT).mT, lambda R, y: out.act(R, y.mT).mT
    )


@torch.no_grad()
def test_is_the_integral() -> None:
    torch.manual_seed(0)
    layer = RotationMLP(SIGNALS, OUT, hidden=5, rule=SO3().quadrature(3)).double()
    x, rule = torch.randn(2, SIGNALS.size).double(), SO3().quadrature(3)
    wanted = torch.zeros(2, OUT.components, 2, dtype=torch.float64)
    for Q, weight in zip(*rule, strict=True):
        f = SIGNALS.sampled(x, Q[None])[:, 0]
        acted = nn.functional.gelu(f @ layer.inner.weight.T + layer.inner.bias) @ layer.outer.weight.T
        wanted += weight * OUT.basis(Q)[:, None] * (acted + layer.outer.bias)[:, None]
    torch.testing.assert_close(layer(x), wanted.flatten(1), rtol=0, atol=1e-12)
    assert layer.samples == 7 * 7 * 4


def test_contract() -> None:
    torch.manual_seed(0)
    layer = RotationMLP(SIGNALS, OUT, rule=SO3().quadrature(4))
    check_layer(Rows(layer), turns(SIGNALS.degrees, OUT.degrees), tolerance=0.05)
    norms = NormReLU(SIGNALS.degrees)
    nn.init.normal_(norms.bias)
    check_layer(Rows(norms), turns(SIGNALS.degrees, SIGNALS.degrees), tolerance=1e-12)


def test_powers_are_exact_and_others_fold_back() -> None:
    """A cube of degree 1 is of degree 3, with the basis of degree 1 the integrand is of degree 4: a rule of band 2."""
    symmetry = turns(SIGNALS.degrees, SIGNALS.degrees)
    for band, exact in ((1, False), (2, True)):
        layer = RotationMLP(SIGNALS, rule=SO3().quadrature(band), activation=Cube())
        error = commutation_error(Rows(layer), symmetry)
        assert (error < 1e-13) is exact
        assert exact or error > 1e-3
    errors = [commutation_error(Rows(RotationMLP(SIGNALS, rule=SO3().quadrature(n))), symmetry) for n in (1, 2, 4, 6)]
    assert all(after < before / 3 for before, after in itertools.pairwise(errors))


def test_rotations_of_the_sampling_group_are_exact() -> None:
    """A group of rotations as the rule: the error is zero under that group, at any coarseness."""
    cube, _ = solid_rule(24)
    layer = RotationMLP(SIGNALS, rule=solid_rule(24)).double()
    x = torch.randn(3, SIGNALS.size).double()
    for R in cube[[3, 11, 20]]:
        wanted = SIGNALS.degrees.act(R, layer(x))
        torch.testing.assert_close(layer(SIGNALS.degrees.act(R, x)), wanted, rtol=0, atol=1e-12)


def test_norms_of_nothing() -> None:
    degrees = Degrees.of({0: 1, 1: 2})
    layer = NormReLU(degrees).double()
    x = torch.zeros(1, degrees.size, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(x).sum(), x)
    assert bool(gradient.isfinite().all())
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([0.5, 1.0, -1.0]))
        _, v = degrees.split(torch.tensor([[3.0, *(0.0, 2.0, 3.0, 0.0, 4.0, 0.0)]]).double())  # (1, m, channel)
        y = layer(torch.tensor([[3.0, *(0.0, 2.0, 3.0, 0.0, 4.0, 0.0)]]).double())
        lengths = degrees.split(y)[1].norm(dim=1) / v.norm(dim=1)
        torch.testing.assert_close(lengths, torch.tensor([[4 / 5, 3 / 2]]).double())
        assert float(y[0, 0]) == 2.5


def test_errors() -> None:
    with pytest.raises(ValueError, match="does not give back 2 functions of degree <= 2"):
        RotationMLP(SIGNALS, OUT, rule=SO3().quadrature(1))
    with pytest.raises(ValueError, match="hidden = 0"):
        RotationMLP(SIGNALS, hidden=0)
    with pytest.raises(ValueError, match=r"wants \(\.\.\., 30\)"):
        RotationMLP(SIGNALS)(torch.zeros(2, 29))
    with pytest.raises(ValueError, match=r"wants \(\.\.\., 30\)"):
        NormReLU(SIGNALS.degrees)(torch.zeros(2, 29))
