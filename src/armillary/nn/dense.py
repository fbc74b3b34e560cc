"""A dense network of two layers whose outputs are at first as large as its inputs."""

from __future__ import annotations

import torch
from torch import nn

_SILU_GAIN = 1.6765  # 1/√<SiLU(x)²> over the normal distribution


def dense(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """``W₂ SiLU(W₁ x + b₁) + b₂``, (..., inputs) → (..., outputs).

    W are normal with variance 1/fan-in, W₂ times the gain that undoes what SiLU takes of unit variance: forces are
    derivatives through every layer, and the uniform start of ``nn.Linear`` makes them 1/√3 as large at each. b = 0.
    """
    network = nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, outputs))
    for layer, gain in ((network[0], 1.0), (network[2], _SILU_GAIN)):
        assert isinstance(layer, nn.Linear)
        with torch.no_grad():
            layer.weight.normal_(0, gain * layer.in_features**-0.5)
            layer.bias.zero_()
    return network
