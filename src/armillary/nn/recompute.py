"""Activations that are computed again in the backward pass instead of kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


@contextmanager
def _untracked(module: nn.Module) -> Iterator[None]:
    """Batch norms inside keep their running statistics: a batch that is seen again does not count again."""
    norms: list[Any] = [m for m in module.modules() if getattr(m, "track_running_stats", False)]
    before = [(norm, norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    try:
        for norm in norms:
            norm.momentum = 0.0
        yield
    finally:
        for norm, momentum, count in before:
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(count)


def recomputed(module: nn.Module, x: Tensor) -> Tensor:
    """``module(x)``, of which only x is kept for the backward pass: it runs again there.

    The same numbers, dropout included, for about a third more time. Without a gradient it is a plain call, and under
    ``torch.compile`` too: a compiled graph decides by itself what to keep, and would count a batch twice in running
    statistics.
    """
    if not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return module(x)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _untracked(module)

    return checkpoint(module, x, use_reentrant=False, context_fn=contexts)
