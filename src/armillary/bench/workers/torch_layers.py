"""Builders of what needs only torch, for the worker ``timer.py``: planar convolution, a matrix product, a copy."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Conv2d(nn.Module):
    """``torch.nn.Conv2d`` of odd size without bias, zeros above, below and at the seam: (B, C, H, W) → (B, O, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, size, padding=size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class RingConv2d(nn.Module):
    """``Conv2d`` on a field that goes on across the seam: padded once around the rings, zeros beyond the poles."""

    def __init__(self, in_channels: int, out_channels: int, size: int) -> None:
        super().__init__()
        self.margin = size // 2
        self.conv = nn.Conv2d(in_channels, out_channels, size, padding=(size // 2, 0), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(nn.functional.pad(x, (self.margin, self.margin, 0, 0), mode="circular"))


class MatrixProduct(nn.Module):
    """``x @ w`` with a square w: (n, n) → (n, n)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size, size))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


class Copy(nn.Module):
    """x copied to memory that is there already."""

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.register_buffer("target", torch.zeros(numbers))

    def forward(self, x: Tensor) -> Tensor:
        return self.get_buffer("target").copy_(x)


def build_conv2d(layer: dict[str, Any]) -> nn.Module:
    """A planar convolution, circular around the rings or padded with zeros."""
    kind = RingConv2d if layer["circular"] else Conv2d
    return kind(layer["channels"], layer["channels"], layer["size"])


def build_product(layer: dict[str, Any]) -> nn.Module:
    """A square matrix product."""
    return MatrixProduct(layer["size"])


def build_copy(layer: dict[str, Any]) -> nn.Module:
    """A copy of so many numbers."""
    return Copy(layer["numbers"])


BUILDERS = {"conv2d": build_conv2d, "product": build_product, "copy": build_copy}
