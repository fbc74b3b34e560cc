"""A linear map of the channels, the same at every point."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PointwiseLinear(nn.Module):
    """``y_o(ω) = a_o + Σ_c w_oc x_c(ω)``: a 1×1 convolution, as one matrix product for each sample.

    Shapes: (B, in_channels, ...) → (B, out_channels, ...), on any space. Commutes with every action on points, exactly.
    State dict: ``weight`` (out, in) and ``bias`` (out,), drawn as ``nn.Linear`` draws them.

    Raises: ValueError for another number of channels. Pinned by ``tests/nn/test_linear.py``.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        drawn = nn.Linear(in_channels, out_channels)
        self.weight, self.bias = drawn.weight, drawn.bias

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 2 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, PointwiseLinear was built for (batch, {self.in_channels}, ...): pass "
                f"in_channels={x.shape[1] if x.ndim > 1 else '…'} or reshape x."
            )
        weight = self.weight.expand(x.shape[0], -1, -1)
        y = torch.baddbmm(self.bias[:, None], weight, x[..., None].flatten(2))
        return y.reshape(*y.shape[:2], *x.shape[2:])

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}"
