"""Constants that are cast under one mode of torch serve under every other."""

from __future__ import annotations

import torch

from armillary.ops.constants import ConstantModule


class Scale(ConstantModule):
    """x times a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.register_constant("gain", torch.arange(3, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.constant("gain", x)


def test_a_cast_made_in_inference_mode_serves_a_backward_pass() -> None:
    layer = Scale()
    with torch.inference_mode():
        layer(torch.ones(3))
    assert layer.constant("gain", torch.ones(3)) is layer.constant("gain", torch.ones(3))
    x = torch.ones(3, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 2]
