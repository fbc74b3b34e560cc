"""Batch normalisation of signals on SO(3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from armillary.groups import SO3Signals
from armillary.nn.averages import working_dtype
from armillary.nn.norms import merge_over_processes, track_moments


class SignalBatchNorm(nn.Module):
    """Batch normalisation of functions on SO(3): ``f_c ↦ w_c (f_c - μ_c)/√(σ²_c + ε) + b_c``.

    μ and σ² are the mean and the (population) variance of the values over all points and all of SO(3), which the
    components have exactly: μ_c = mean of x_000c, σ²_c = mean of Σ_lmn x²_lmnc - μ²_c. Running averages (``momentum``;
    None: cumulative) in evaluation. Under an initialised ``torch.distributed`` the statistics are those of all
    processes together.

    Shapes: (..., signals.size) in and out. Commutes with rotations to rounding. State dict: ``weight``, ``bias``,
    ``running_mean``, ``running_var`` (channels,), ``num_batches_tracked``.
    Raises: ValueError for another number of components, or no points while training.
    Source: Ioffe & Szegedy 2015, of functions on the group; pinned by ``tests/nn/test_se3_norm.py``.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, signals: SO3Signals, eps: float = 1e-5, momentum: float | None = 0.1) -> None:
        super().__init__()
        self.signals, self.in_channels, self.eps, self.momentum = signals, signals.size, eps, momentum
        self.weight = nn.Parameter(torch.ones(signals.channels))
        self.bias = nn.Parameter(torch.zeros(signals.channels))
        self.register_buffer("running_mean", torch.zeros(signals.channels))
        self.register_buffer("running_var", torch.ones(signals.channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        self.signals.check(x, "SignalBatchNorm")
        functions = x.to(working_dtype(x.dtype)).unflatten(-1, (-1, self.signals.channels))
        if self.training:
            flat = functions.flatten(0, -3)
            mean = flat[:, 0].mean(0)
            var = flat[:, 1:].square().sum(1).mean(0) + (flat[:, 0] - mean).square().mean(0)
            mean, var = merge_over_processes(mean, var, len(flat))
            track_moments(self, mean, var, self.momentum)
        else:
            mean, var = self.running_mean.to(functions), self.running_var.to(functions)
        gain = self.weight.to(var) * (var + self.eps).rsqrt()
        scaled = functions * gain
        constant = scaled[..., :1, :] + (self.bias.to(var) - gain * mean)
        return torch.cat([constant, scaled[..., 1:, :]], -2).flatten(-2).to(x.dtype)

    def extra_repr(self) -> str:
        return f"{self.signals}, eps={self.eps:g}, momentum={self.momentum}"
