"""Lift, act, project on fields of spin: against the direct sum, exactness, turns of the frame, rotations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from armillary.groups import Orders
from armillary.nn import HarmonicSequential, SpinConv, SpinPointwise
from armillary.spaces import Equiangular, GaussLegendre
from armillary.testing import GroupAction, SpinSymmetry, check_layer, commutation_error

GRID = GaussLegendre(4, 7)
RAGGED, EVEN = Orders.of({-1: 2, 0: 3, 2: 1}), Orders.of({0: 2, 1: 2})
CASES = [(RAGGED, RAGGED), (RAGGED, EVEN), (EVEN, EVEN), (Orders.image(2), EVEN), (RAGGED, Orders.image(3))]


def turns(spins: Orders, spins_out: Orders, angles: list[float]) -> GroupAction:
    """Turns of the value at each point, which stays where it is."""
    return GroupAction((spins.size, *GRID.shape), angles, spins.act, spins_out.act)


def direct(x: Tensor, spins: Orders, out: Orders, frames: int, fn: Callable[[Tensor], Tensor]) -> Tensor:
    z = x + 0j if spins.real else torch.complex(*x.chunk(2, 1))
    firsts = {s: spins.channel_orders.index(s) for s in spins.orders}
    results = []
    for s_out, channels in out.streams:
        for c in range(channels):
            total = torch.zeros_like(z[:, 0])
            for j in range(frames):
                gamma = 2 * math.pi * j / frames
                F = torch.zeros_like(z[:, 0])
                for s, count in spins.streams:
                    if c < count:
                        F = F + z[:, firsts[s] + c] * complex(math.cos(s * gamma), -math.sin(s * gamma))
                G = fn(F.real) + (0 if spins.real else 1j * fn(F.imag))
                total = total + G * complex(math.cos(s_out * gamma), math.sin(s_out * gamma)) / frames
            results.append(total)
    z = torch.stack(results, 1)
    return z.real if out.real else torch.cat([z.real, z.imag], 1)


@pytest.mark.parametrize(("spins", "out"), CASES)
@pytest.mark.parametrize("frames", [5, 8])
def test_is_its_equation(spins: Orders, out: Orders, frames: int) -> None:
    x = torch.randn(2, spins.size, *GRID.shape, dtype=torch.float64)
    got = SpinPointwise(torch.exp, spins, GRID, frames, out)(x)
    torch.testing.assert_close(got, direct(x, spins, out, frames, torch.exp), rtol=0, atol=1e-13)


@pytest.mark.parametrize(("spins", "out"), CASES)
def test_contract_under_turns_by_samples(spins: Orders, out: Orders) -> None:
    layer = SpinPointwise(nn.GELU(), spins, GRID, 5, out)
    check_layer(layer, turns(spins, out, [2 * math.pi * k / 5 for k in (1, 3)]), tolerance=1e-13)


def test_the_identity_gives_back_what_came() -> None:
    for spins, frames in ((RAGGED, 5), (EVEN, 3), (Orders.image(2), 1)):
        x = torch.randn(2, spins.size, *GRID.shape, dtype=torch.float64)
        torch.testing.assert_close(SpinPointwise(nn.Identity(), spins, GRID, frames)(x), x, rtol=0, atol=1e-14)


def test_powers_are_exact_and_others_fall_with_the_frames() -> None:
    some = turns(EVEN, EVEN, [0.3, 1.1, 2.7])
    for power in (2, 3):
        exact = power * 1 + 1 + 1
        errors = [
            commutation_error(SpinPointwise(lambda v, k=power: v**k, EVEN, GRID, n), some) for n in (exact - 1, exact)
        ]
        assert errors[0] > 1e-2
        assert errors[1] < 1e-14
    relu = [commutation_error(SpinPointwise(nn.ReLU(), EVEN, GRID, n), some) for n in (4, 8, 16, 32)]
    assert all(after < before / 2.5 for before, after in itertools.pairwise(relu))
    gelu = [commutation_error(SpinPointwise(nn.GELU(), EVEN, GRID, n), some) for n in (4, 8, 16)]
    assert gelu[2] < 1e-5 < 1e-3 < gelu[0]


@pytest.mark.parametrize("kind", [GaussLegendre, Equiangular])
def test_rotations_of_the_sphere(kind: type[GaussLegendre | Equiangular]) -> None:
    """A polynomial on a grid that holds its degree commutes with rotations to rounding, ends included."""
    coarse, fine = kind(4, 8), kind(12, 24)
    net = HarmonicSequential(
        SpinConv(EVEN, RAGGED, coarse, grid_out=fine),
        SpinPointwise(torch.square, RAGGED, fine, 2 * 2 + 2 + 1),
        SpinConv(RAGGED, EVEN, fine, grid_out=coarse),
    )
    assert commutation_error(net, SpinSymmetry(EVEN, coarse, lmax=3)) < 1e-13
    alone = SpinPointwise(torch.square, EVEN, coarse, 4)
    assert commutation_error(alone, SpinSymmetry(EVEN, coarse, lmax=3)) > 1e-3


def test_autocast_leaves_the_transforms_alone() -> None:
    x = torch.randn(2, EVEN.size, *GRID.shape)
    layer = SpinPointwise(nn.GELU(), EVEN, GRID, 4)
    with torch.autocast("cpu", torch.bfloat16):
        got = layer(x)
    assert torch.equal(got, layer(x))


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"frames = 3, wanted an integer >= 5"):
        SpinPointwise(torch.relu, RAGGED, GRID, 3)
    with pytest.raises(ValueError, match="makes 2 functions"):
        SpinPointwise(torch.relu, EVEN, GRID, 9, RAGGED)
    with pytest.raises(ValueError, match="of each value by itself"):
        SpinPointwise(lambda v: v.sum(-1), EVEN, GRID, 4)(torch.zeros(1, EVEN.size, *GRID.shape))
    assert "relu, " in repr(SpinPointwise(torch.relu, EVEN, GRID, 4))
