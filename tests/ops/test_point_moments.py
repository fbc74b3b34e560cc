"""Hat functions, and moments of features around points: against sums written out."""

from __future__ import annotations

import math

import pytest
import torch

from armillary.ops.hats import hat_functions
from armillary.ops.point_moments import check_points, differences, point_moments
from armillary.ops.real_harmonics import solid_harmonics


def test_hats() -> None:
    lengths = torch.tensor([0.0, 0.1, 0.25, 0.4, 0.9, 1.0, 3.0], dtype=torch.float64)
    r = lengths[:, None] * torch.tensor([0.6, 0.0, -0.8], dtype=torch.float64)
    found = hat_functions(r, 4)
    for length, row in zip(lengths.tolist(), found.tolist(), strict=True):
        wanted = [max(0.0, 1 - abs(4 * length - k)) for k in range(4)]
        assert row == pytest.approx(wanted, abs=1e-14)
    zero = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(hat_functions(zero, 3).sum(), zero)
    assert bool((gradient == 0).all())


def test_moments_are_the_sum() -> None:
    generator = torch.Generator().manual_seed(0)
    x, positions = (torch.randn(6, n, generator=generator, dtype=torch.float64) for n in (4, 3))
    neighbours = torch.tensor([[1, 2, 5], [0, -1, -1], [-1, -1, -1]])
    r = differences(positions, neighbours, positions[:3]) / 3
    found = point_moments(x, r, neighbours, 2, 3)
    assert found.shape == (3, 2, 16, 4)
    for i in range(3):
        mine = [int(j) for j in neighbours[i] if j >= 0]
        wanted = torch.zeros(2, 16, 4, dtype=torch.float64)
        for j in mine:
            d = (positions[j] - positions[i]) / 3
            S = math.sqrt(4 * math.pi) * solid_harmonics(3, d)
            for k in range(2):
                hat = max(0.0, 1 - abs(2 * float(d.norm()) - k))
                wanted[k] += hat * S[:, None] * x[j] / len(mine)
        torch.testing.assert_close(found[i], wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize("far", [1e12, 1e30])
def test_points_beyond_reach_do_not_overflow(far: float) -> None:
    positions = torch.tensor([[0.0, 0, 0], [0.3, 0.2, 0], [far, -far, 0]])
    x, r = torch.ones(3, 2), (positions[None] - positions[:1, None]).requires_grad_()
    for table in (torch.tensor([[0, 1, 2]]), torch.tensor([[0, 1, -1]])):
        found = point_moments(x, r, table, 3, 6)
        near = point_moments(x, r[:, :2], table[:, :2], 3, 6) * (2 / 3 if table[0, 2] == 2 else 1)
        torch.testing.assert_close(found, near)
        (gradient,) = torch.autograd.grad(found.sum(), r)
        assert gradient.isfinite().all()
    r = torch.full((1, 1, 3), float("nan"))
    assert point_moments(x, r, torch.tensor([[0]]), 2, 2).isnan().any()  # is not hidden


def test_errors() -> None:
    positions, table = torch.zeros(4, 3), torch.zeros(2, 5, dtype=torch.int64)
    check_points(positions, 4, table, positions[:2])
    for wrong, message in (
        ((positions, 3, table, positions[:2]), r"wanted \(3, 3\)"),
        ((positions, 4, table, positions[0]), r"wanted \(Q, 3\)"),
        ((positions, 4, table, positions), r"integers \(4, K\)"),
        ((positions, 4, table.bool(), positions[:2]), "torch.bool"),
    ):
        with pytest.raises(ValueError, match=message):
            check_points(*wrong)
