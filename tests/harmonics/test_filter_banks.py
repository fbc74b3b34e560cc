"""Filter banks: partition of unity, refinement, and what is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import scipy.integrate
import torch
from torch import Tensor

from armillary.harmonics import BumpBank, FilterBank, MeyerBank

BANKS = [MeyerBank(), MeyerBank(order=1), MeyerBank(order=6), BumpBank()]
RANDOM = torch.rand(1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("bank", BANKS, ids=repr)
def test_partition_of_unity(bank: FilterBank) -> None:
    masks = bank.masks(0.5 * RANDOM)
    assert float((masks.square().sum(0) - 1).abs().max()) < 1e-14
    assert float(masks.min()) >= 0
    assert bank.masks(torch.tensor([0.0, 0.125]).double())[0].tolist() == [1, 1]
    assert bank.masks(torch.tensor([0.25, 0.4, 0.5]).double())[0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("bank", BANKS, ids=repr)
def test_refinement(bank: FilterBank) -> None:
    """α̂(2ξ) = â(ξ) α̂(ξ), β̂_r(2ξ) = b̂_r(ξ) α̂(ξ); hence α̂(ξ)² + Σ β̂_r(ξ)² = α̂(ξ/2)²."""
    xi = 0.5 * RANDOM
    masks = bank.masks(xi)
    torch.testing.assert_close(bank.scaling(2 * xi), masks[0] * bank.scaling(xi), rtol=0, atol=1e-14)
    torch.testing.assert_close(bank.framelets(2 * xi), masks[1:] * bank.scaling(xi), rtol=0, atol=1e-14)
    wide = 3 * RANDOM
    total = bank.scaling(wide).square() + bank.framelets(wide).square().sum(0)
    torch.testing.assert_close(total, bank.scaling(wide / 2).square(), rtol=0, atol=1e-14)
    assert bank.scaling(torch.tensor([0.0, 0.25, 0.5, 0.7]).double()).tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("order", [1, 3])
def test_meyer_masks_against_the_published_formula(order: int) -> None:
    """On [1/8, 1/4] â = cos(½π ν(8ξ - 1)) with ν(t) = 3t² - 2t³ or t⁴ (35 - 84 t + 70 t² - 20 t³)."""
    t = RANDOM  # alternating terms up to 84: the polynomial itself rounds to 1e-14
    rise = 3 * t**2 - 2 * t**3 if order == 1 else t**4 * (35 - 84 * t + 70 * t**2 - 20 * t**3)
    zero = torch.zeros_like(t)
    low = torch.stack([torch.cos(0.5 * math.pi * rise), torch.sin(0.5 * math.pi * rise), zero])
    torch.testing.assert_close(MeyerBank(order).masks((t + 1) / 8), low, rtol=0, atol=1e-12)
    high = torch.stack([zero, torch.cos(0.5 * math.pi * rise), torch.sin(0.5 * math.pi * rise)])
    torch.testing.assert_close(MeyerBank(order).masks((t + 1) / 4), high, rtol=0, atol=1e-12)


def test_the_bump_against_adaptive_quadrature() -> None:
    def integral(to: float) -> float:
        return scipy.integrate.quad(lambda u: math.exp(-1 / (1 - u**2)), -1, to, epsabs=0, epsrel=1e-13)[0]

    t = torch.tensor([0.1, 0.3, 0.5, 0.8])
    wanted = [integral(2 * float(s) - 1) / integral(1 - 1e-12) for s in t.double()]
    got = BumpBank().masks((t.double() + 1) / 8)[1].square()
    torch.testing.assert_close(got, torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-12)


@dataclass(frozen=True)
class _Faulty(FilterBank):
    leak: float = 0.0
    high: int = 1

    def masks(self, xi: Tensor) -> Tensor:
        low = (xi < 0.2).double() * (1 + self.leak)
        return torch.stack([low] + [(xi >= 0.2).double()] * self.high)


def test_faulty_banks_are_refused() -> None:
    _Faulty().check()
    with pytest.raises(ValueError, match="is no filter bank: its squares sum to one within 2"):
        _Faulty(leak=1e-6).check()
    with pytest.raises(ValueError, match="n >= 1 high-pass masks"):
        _Faulty(high=0).check()
    for order in (0, 2.0, True):
        with pytest.raises(ValueError, match="wanted an integer >= 1"):
            MeyerBank(order)  # type: ignore[arg-type]
