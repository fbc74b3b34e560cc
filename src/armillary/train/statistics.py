"""Running statistics of batch norms that know nothing of other processes, the same in all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from armillary.train.evaluate import sum_over_processes

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@torch.no_grad()
def average_statistics(model: nn.Module, fabric: Fabric) -> None:
    """Replace the running means and variances of torch's batch norms by their averages over all processes.

    ``nn.BatchNorm2d`` and its kin see the samples of their own process only, so that networks would differ from process
    to process in evaluation, and a checkpoint, written by one, would not hold what the others had seen. A running
    average is linear in what it averages: after each step the average over processes is that of all their batches.
    (They still normalise by their own part of a batch; norms of ours by the whole.) One collective; nothing happens
    with one process or without such norms. Pinned by ``tests/train/test_processes_statistics.py``.
    """
    if fabric.world_size == 1:
        return
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    buffers = [b for m in norms for b in (m.running_mean, m.running_var) if isinstance(b, Tensor)]
    if not buffers:
        return
    together = sum_over_processes(torch.cat([b.flatten().double() for b in buffers]), fabric) / fabric.world_size
    for buffer, average in zip(buffers, together.split([b.numel() for b in buffers]), strict=True):
        buffer.copy_(average.view_as(buffer))
