"""Sums over related points, without a scatter in either direction."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def gather_sum(x: Tensor, table: Tensor, transposed: Tensor) -> Tensor:
    """``y_j = Σ_r x_table[j, r]``: (..., N) → (..., M), for a relation in which each j has R points and each i has S.

    ``table`` (M, R) and ``transposed`` (N, S) are the same relation read both ways: j is in row i of ``transposed`` as
    often as i is in row j of ``table``. The gradient is the same sum by ``transposed``, so that nothing is scattered.
    Source: pinned by ``tests/ops/test_gather_sum.py``.
    """
    return _GatherSum.apply(x, table, transposed)


class _GatherSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, table: Tensor, transposed: Tensor) -> Tensor:
        ctx.save_for_backward(table, transposed)
        rows = x.reshape(-1, x.shape[-1]).T.contiguous()  # points first: sums of rows are several times as fast
        return F.embedding_bag(table, rows, mode="sum").T.reshape(*x.shape[:-1], table.shape[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        table, transposed = ctx.saved_tensors
        return gather_sum(gradients[0], transposed, table), None, None
