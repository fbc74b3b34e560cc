"""Statistics for evaluation are the plain averages over batches, and nothing else changes."""

import pytest
import torch
from torch import nn

from armillary.nn import SphereBatchNorm
from armillary.spaces import GaussLegendre
from armillary.train.calibrate import calibrate

GRID = GaussLegendre(4)


@pytest.mark.parametrize("kind", [nn.BatchNorm2d, lambda channels: SphereBatchNorm(channels, GRID)])
def test_statistics_are_averages_over_the_batches(kind):
    norm = kind(2)
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Dropout(0.5), norm).train()
    norm.running_mean.fill_(7.0)
    batches = [torch.randn(3, 1, *GRID.shape) for _ in range(5)]
    state = torch.get_rng_state()
    assert calibrate(model, batches) == 5
    assert torch.equal(state, torch.get_rng_state())
    fresh = kind(2).train()
    means = []
    for x in batches:
        fresh.momentum = 1.0
        fresh(model[0](x))
        means.append(fresh.running_mean.clone())
    torch.testing.assert_close(norm.running_mean, torch.stack(means).mean(0))
    assert model.training
    assert norm.momentum == 0.1


def test_nothing_happens_without_batches_or_norms():
    norm = nn.BatchNorm2d(2)
    norm.running_mean.fill_(7.0)
    assert calibrate(nn.Sequential(norm), []) == 0
    assert norm.running_mean[0] == 7.0
    assert calibrate(nn.Conv2d(1, 1, 1), [torch.zeros(1, 1, 2, 2)]) == 0


def test_modes_and_momenta_come_back_after_an_error():
    norm = SphereBatchNorm(2, GRID).train()
    with pytest.raises(ValueError, match="channels"):
        calibrate(nn.Sequential(norm), [torch.zeros(1, 3, *GRID.shape)])
    assert norm.training
    assert norm.momentum == 0.1
