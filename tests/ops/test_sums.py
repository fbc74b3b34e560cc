"""Sums and means by group, against sums written out."""

from __future__ import annotations

import pytest
import torch

from armillary.ops.sums import mean_by, sum_by


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_sums_and_means_of_groups(shape: tuple[int, ...]) -> None:
    index = torch.tensor([2, 0, 2, 2, 4])
    values = torch.randn(5, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for g in range(6):  # 1, 3 and 5 have no rows
        own = [values[n] for n in range(5) if index[n] == g]
        total = sum(own, torch.zeros(shape, dtype=torch.float64))
        torch.testing.assert_close(sum_by(index, values, 6)[g], total, rtol=0, atol=1e-15)
        torch.testing.assert_close(mean_by(index, values, 6)[g], total / max(1, len(own)), rtol=0, atol=1e-15)


def test_no_rows_and_gradients() -> None:
    none = torch.zeros(0, 2, dtype=torch.float64)
    assert mean_by(torch.zeros(0, dtype=torch.int64), none, 3).tolist() == [[0, 0]] * 3
    values = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: mean_by(torch.tensor([0, 1, 1, 1]), v, 3), (values,))
    with pytest.raises((IndexError, RuntimeError)):
        sum_by(torch.tensor([3]), torch.ones(1), 3)
