"""Lift to SO(3), act, project: the direct sum, exactness of powers, error against the samples."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from armillary.groups import SO3, Degrees, random_rotations, wigner_D_real
from armillary.nn import RotationPointwise
from armillary.testing import GroupAction, check_layer, commutation_error

SPHERE, WHOLE = Degrees.of({0: 3, 1: 3, 2: 3}), Degrees.of({0: 2, 1: 6})


class Rows(nn.Module):
    """(B, size, P) as check_layer has it."""

    def __init__(self, layer: nn.Module, points: int) -> None:
        super().__init__()
        self.layer, self.points = layer, points

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] != self.points:
            raise ValueError(f"x has shape {tuple(x.shape)}")
        return self.layer(x.mT).mT


def turns(degrees: Degrees) -> GroupAction:
    def act(R: Tensor, x: Tensor) -> Tensor:
        return degrees.act(R, x.mT).mT

    return GroupAction((degrees.size, 4), list(random_rotations(4, torch.Generator().manual_seed(0))), act, act)


def direct(x: Tensor, degrees: Degrees, functions: int, band: int) -> Tensor:
    """exp of F at each rotation of a quadrature on all of SO(3), one sample and column after the other."""
    parts = degrees.split(x)
    outputs = [torch.zeros_like(part) for part in parts]
    for Q, weight in zip(*SO3().quadrature(band), strict=True):
        for g in range(functions):
            F = torch.zeros(len(x), dtype=torch.float64)
            for part, (l, channels) in zip(parts, degrees.streams, strict=True):
                for n in range(channels // functions):
                    column = l + (n + 1) // 2 * (-1) ** n
                    own = part[..., g * (channels // functions) + n]
                    F = F + (2 * l + 1) ** 0.5 * own @ wigner_D_real(l, Q)[:, column]
            for out, (l, channels) in zip(outputs, degrees.streams, strict=True):
                for n in range(channels // functions):
                    column = l + (n + 1) // 2 * (-1) ** n
                    term = torch.exp(F)[:, None] * wigner_D_real(l, Q)[:, column]
                    out[..., g * (channels // functions) + n] += weight * (2 * l + 1) ** 0.5 * term
    return torch.cat([out.flatten(1) for out in outputs], 1)


@pytest.mark.parametrize(("degrees", "functions"), [(SPHERE, 3), (WHOLE, 2)])
def test_is_the_integral(degrees: Degrees, functions: int) -> None:
    x = torch.randn(2, degrees.size, dtype=torch.float64) / 3
    layer = RotationPointwise(torch.exp, degrees, 3)
    assert layer.samples == {3: 28, 2: 196}[functions]
    torch.testing.assert_close(layer(x), direct(x, degrees, functions, 3), rtol=0, atol=1e-12)


def test_contract() -> None:
    check_layer(Rows(RotationPointwise(nn.Tanh(), SPHERE, 4), 4), turns(SPHERE), tolerance=0.2)


@pytest.mark.parametrize("degrees", [SPHERE, WHOLE])
def test_identity_and_powers_are_exact(degrees: Degrees) -> None:
    x = torch.randn(5, degrees.size, dtype=torch.float64)
    highest = max(degrees.degrees)
    torch.testing.assert_close(RotationPointwise(nn.Identity(), degrees, highest)(x), x, rtol=0, atol=1e-13)
    for band, limit in ((highest, 1e-13), (2 * highest, 1e-13)):
        power = {highest: 1, 2 * highest: 3}[band]
        layer = Rows(RotationPointwise(lambda v, k=power: v**k, degrees, band), 4)
        assert commutation_error(layer, turns(degrees)) < limit
    assert commutation_error(Rows(RotationPointwise(lambda v: v**4, degrees, highest), 4), turns(degrees)) > 1e-3


def test_error_falls_with_the_samples() -> None:
    errors = [
        commutation_error(Rows(RotationPointwise(nn.GELU(), SPHERE, band), 4), turns(SPHERE)) for band in (2, 4, 8)
    ]
    assert all(after < before / 5 for before, after in itertools.pairwise(errors))


def test_errors() -> None:
    with pytest.raises(ValueError, match="band = 1, wanted an integer >= 2"):
        RotationPointwise(torch.relu, SPHERE, 1)
    with pytest.raises(ValueError, match="from 1 to 2l"):
        RotationPointwise(torch.relu, SPHERE, 2, functions=1)
    with pytest.raises(ValueError, match=r"wants \(\.\.\., 27\)"):
        RotationPointwise(torch.relu, SPHERE, 2)(torch.zeros(2, 26))
