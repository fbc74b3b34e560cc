"""What ``torch.autocast`` means for these operators: convolutions take the lower precision, transforms never do."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor


def as_autocast(x: Tensor) -> Tensor:
    """x in the dtype in which autocast runs a convolution of it; as it is outside of autocast and in float64."""
    kind = x.device.type
    if x.dtype == torch.float64 or not x.is_floating_point() or kind == "meta" or not torch.is_autocast_enabled(kind):
        return x
    return x.to(torch.get_autocast_dtype(kind))


def without_autocast(x: Tensor) -> AbstractContextManager[Any]:
    """A context in which products of tensors like x keep their precision."""
    if x.device.type == "meta":  # which has no autocast
        return nullcontext()
    return torch.autocast(x.device.type, enabled=False)
