"""Sums over related points against the dense relation."""

from __future__ import annotations

import pytest
import torch

from armillary.ops.gather_sum import gather_sum


def relation(points: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two points of N for each of N, and the same from the other side: table, transposed, dense (M, N)."""
    order = torch.randperm(points, generator=torch.Generator().manual_seed(seed))
    table = torch.stack([torch.arange(points).roll(1), order], dim=1)
    transposed = torch.stack([torch.arange(points).roll(-1), order.argsort()], dim=1)
    dense = torch.zeros(points, points, dtype=torch.float64)
    for r in range(2):
        dense[torch.arange(points), table[:, r]] += 1
    return table, transposed, dense


@pytest.mark.parametrize("shape", [(7,), (3, 7), (2, 3, 7), (0, 3, 7)])
def test_sums_and_gradients(shape: tuple[int, ...]) -> None:
    table, transposed, dense = relation(7)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    y = gather_sum(x, table, transposed)
    torch.testing.assert_close(y, x @ dense.T, rtol=0, atol=1e-14)
    torch.testing.assert_close(gather_sum(x.float(), table, transposed), (x @ dense.T).float())
    if x.numel():
        torch.autograd.gradcheck(lambda x: gather_sum(x, table, transposed), x)
        torch.autograd.gradgradcheck(lambda x: gather_sum(x, table, transposed).tanh(), x)


def test_strided_input() -> None:
    table, transposed, dense = relation(5)
    x = torch.randn(5, 2, 4, dtype=torch.float64).permute(2, 1, 0)
    torch.testing.assert_close(gather_sum(x, table, transposed), x @ dense.T, rtol=0, atol=1e-14)
