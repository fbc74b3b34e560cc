"""Sums and means of rows by the group that each belongs to: neighbours of a point, points of a graph."""

from __future__ import annotations

from torch import Tensor


def sum_by(index: Tensor, values: Tensor, count: int) -> Tensor:
    """``y_g = Σ_{n: index_n = g} values_n``: values (n, ...) and their groups (n,) int64 → (count, ...).

    Zeros for a group without rows. Raises: IndexError or RuntimeError, torch's, for a group outside 0..count - 1.
    Pinned by ``tests/ops/test_sums.py``.
    """
    return values.new_zeros(count, *values.shape[1:]).index_add(0, index, values)


def mean_by(index: Tensor, values: Tensor, count: int) -> Tensor:
    """``sum_by`` over the number of rows of each group; zeros for a group without rows."""
    sizes = sum_by(index, values.new_ones(len(values)), count).clamp(min=1)
    return sum_by(index, values, count) / sizes.view(-1, *[1] * (values.ndim - 1))
