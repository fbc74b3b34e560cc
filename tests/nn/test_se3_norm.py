"""Batch norm of signals: mean and variance over points and SO(3), turns, running averages, errors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from armillary.groups import SO3, SO3Signals, random_rotations
from armillary.nn import SignalBatchNorm
from armillary.testing import GroupAction, check_layer

SIGNALS = SO3Signals(3, 2)


class Rows(nn.Module):
    """(B, size, P) as check_layer has it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] != 4:
            raise ValueError(f"x has shape {tuple(x.shape)}")
        return self.layer(x.mT).mT


def test_values_have_mean_and_variance() -> None:
    norm = SignalBatchNorm(SIGNALS, eps=0).double()
    x = 3 * torch.randn(2, 7, SIGNALS.size).double() + 1
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, 0.5]))
        norm.bias.copy_(torch.tensor([0.0, -1.0, 4.0]))
        Q, weights = SO3().quadrature(2)
        values = SIGNALS.sampled(norm(x), Q)
        mean = (values * weights[:, None]).sum(2).mean((0, 1))
        var = ((values - mean).square() * weights[:, None]).sum(2).mean((0, 1))
    torch.testing.assert_close(mean, norm.bias.detach(), rtol=0, atol=1e-12)
    torch.testing.assert_close(var, norm.weight.detach() ** 2, rtol=0, atol=1e-12)


def test_running_averages() -> None:
    norm = SignalBatchNorm(SIGNALS, momentum=0.25).double()
    batches = [torch.randn(9, SIGNALS.size).double() for _ in range(3)]
    with torch.no_grad():
        for x in batches:
            norm(x)
    assert int(norm.num_batches_tracked) == 3
    means = torch.zeros(3, dtype=torch.float64)
    for x in batches:
        means = 0.75 * means + 0.25 * x[:, :3].mean(0)
    torch.testing.assert_close(norm.running_mean, means, rtol=0, atol=1e-12)
    norm.eval()
    one = norm(batches[0])
    torch.testing.assert_close(norm(batches[0][:2]), one[:2], rtol=0, atol=1e-13)


def test_contract() -> None:
    norm = SignalBatchNorm(SIGNALS)
    norm.train()
    norm(2 * torch.randn(50, SIGNALS.size) + 1)
    nn.init.normal_(norm.bias)
    rotations = list(random_rotations(4, torch.Generator().manual_seed(0)))

    def act(R: Tensor, x: Tensor) -> Tensor:
        return SIGNALS.degrees.act(R, x.mT).mT

    check_layer(Rows(norm), GroupAction((SIGNALS.size, 4), rotations, act, act), tolerance=1e-12)


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"wants \(\.\.\., 105\)"):
        SignalBatchNorm(SIGNALS)(torch.zeros(2, 100))
    with pytest.raises(ValueError, match="empty batch"):
        SignalBatchNorm(SIGNALS)(torch.zeros(0, 105))
