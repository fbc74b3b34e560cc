"""What a network costs: the time of one sphere in evaluation, and of one in training."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from armillary.spaces import SphereGrid

BATCH, REPEATS = 8, 5


def latency(network: nn.Module, grid: SphereGrid) -> dict[str, float]:
    """Milliseconds per sphere on the CPU, medians of ``REPEATS`` after one that warms up: "latency", one sphere without
    gradients; "training", forward and backward of ``BATCH`` spheres divided by their number."""
    x = torch.randn(BATCH, 1, *grid.shape, generator=torch.Generator().manual_seed(0))
    network = network.cpu().eval()
    with torch.no_grad():
        alone = _median(lambda: network(x[:1]))
    network.train()
    together = _median(lambda: network(x).square().mean().backward())
    return {"latency": alone, "training": together / BATCH}


def _median(run: Callable[[], object]) -> float:
    """Milliseconds of ``run``."""
    times = []
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - began))
    return statistics.median(times[1:])
