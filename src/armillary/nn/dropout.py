"""Dropout that keeps the symmetry: a field is kept whole or dropped whole."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FieldDropout(nn.Module):
    """Drops whole fields: ``y[b, c] = x[b, c]·k[b, c]/(1 - p)``, with k = 0 with probability p, else 1.

    One draw per sample and channel, shared by all points and orientations, so a given draw commutes with every rotation
    (dropping single pixels would not). The identity in evaluation. Shapes: ``(B, C, ...)`` in and out, any space.
    Raises: ValueError unless 0 ≤ p < 1, or where x has no batch and channel dimension.
    Source: Tompson et al. 2015 (spatial dropout); pinned by ``tests/nn/test_dropout.py``.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"FieldDropout: got p = {p}, wanted 0 <= p < 1 (the share of fields that is dropped).")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 3:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, FieldDropout wants (batch, channels, points...): "
                f"for vectors of features use torch.nn.Dropout."
            )
        if not self.training or self.p == 0:
            return x
        keep = torch.rand(x.shape[:2], device=x.device) >= self.p
        scale = keep.to(x.dtype) / (1 - self.p)
        return x * scale.view(*x.shape[:2], *(1,) * (x.ndim - 2))

    def extra_repr(self) -> str:
        return f"p={self.p}"
