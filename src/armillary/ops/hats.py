"""Hat functions of a length: a radial basis with equidistant knots."""

from __future__ import annotations

import torch
from torch import Tensor


def hat_functions(r: Tensor, count: int) -> Tensor:
    """h_k(|r|) = max(0, 1 - ||r|·count - k|), k = 0..count - 1, of vectors r (..., 3): (..., count).

    Knots at k/count; all are zero from |r| = 1 on. At r = 0 the gradient is zero.
    Pinned by ``tests/ops/test_point_moments.py``.
    """
    place = r.square().sum(-1, keepdim=True).clamp(min=1e-30).sqrt() * count
    return (1 - (place - torch.arange(count, device=r.device)).abs()).clamp(min=0)
