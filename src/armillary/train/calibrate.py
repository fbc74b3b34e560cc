"""Batch normalisation statistics for evaluation, averaged anew with fixed weights.

The running averages that batch normalisation keeps while training mix the statistics of many past weights with the
noise of few recent batches. Networks whose filters take small differences of large responses, as radial hats do, feel
that: their validation loss can be several times what the same weights deserve. So before a network is scored its
statistics are averaged over some training batches with the weights held still.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from armillary.train.evaluate import applied


def _tracking_norms(model: nn.Module) -> list[Any]:
    """The modules that keep running statistics of batches, torch's or ours."""
    names = ("running_mean", "running_var", "num_batches_tracked")
    return [m for m in model.modules() if all(isinstance(getattr(m, name, None), Tensor) for name in names)]


@torch.no_grad()
def calibrate(model: nn.Module, inputs: Iterable[Any]) -> int:
    """Replace running means and variances by their plain average over the batches ``inputs``; returns how many there
    were.

    Only the norms are in training mode meanwhile, so dropout and the random state are left alone. With no batch, or
    no norm that tracks statistics, nothing changes. The modules' modes and momenta are put back.
    """
    norms = _tracking_norms(model)
    modes = [(m, m.training) for m in model.modules()]
    momenta = [norm.momentum for norm in norms]
    count = 0
    try:
        model.eval()
        for x in inputs if norms else ():
            if count == 0:
                for norm in norms:
                    norm.train()
                    norm.momentum = None  # a cumulative average
                    norm.running_mean.zero_()
                    norm.running_var.fill_(1)
                    norm.num_batches_tracked.zero_()
            applied(model, x)
            count += 1
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, mode in modes:
            module.training = mode
    return count
