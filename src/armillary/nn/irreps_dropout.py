"""Dropout of features of O(3): a channel is kept whole or dropped whole."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from armillary.groups import Irreps


class IrrepsDropout(nn.Module):
    """``y_cm = x_cm k_c/(1 - p)``, with k = 0 with probability p, else 1: one draw for each point and channel.

    All components m of a channel share the draw, so that a given draw commutes with O(3); dropping single components
    would not. The identity in evaluation. Shapes: (..., irreps.dim) in and out.
    Raises: ValueError unless 0 ≤ p < 1, or for x of another size. Pinned by ``tests/nn/test_irreps_dropout.py``.
    """

    def __init__(self, irreps: Irreps, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"IrrepsDropout: got p = {p}, wanted 0 <= p < 1 (the share of channels that is dropped).")
        self.irreps, self.p, self.in_channels = irreps, p, irreps.dim

    def forward(self, x: Tensor) -> Tensor:
        self.irreps.check(x, "IrrepsDropout")
        if not self.training or self.p == 0:
            return x
        keep = torch.rand(*x.shape[:-1], self.irreps.count, device=x.device) >= self.p
        scales = (keep.to(x.dtype) / (1 - self.p)).split([n for n, _ in self.irreps], -1)
        return self.irreps.join(
            part * scale[..., None, :] for part, scale in zip(self.irreps.split(x), scales, strict=True)
        )

    def extra_repr(self) -> str:
        return f"{self.irreps}, p={self.p}"
