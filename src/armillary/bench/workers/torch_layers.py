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


class ResidualBlock(nn.Module):
    """``ReLU(skip(x) + norm(conv(ReLU(norm(conv(x))))))`` with 3×3 convolutions; see ``GroupResidualBlock``."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.skip: nn.Module = nn.Identity()
        if in_channels != out_channels or stride > 1:
            conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.skip = nn.Sequential(conv, nn.BatchNorm2d(out_channels))
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.skip(x) + self.branch(x))


def build_resnet(net: dict[str, Any]) -> nn.Module:
    """``models.GroupResNet`` with channels in place of fields over a group: (B, in_channels, 32, 32) → (B, classes)."""
    fields = net["channels"][0]
    conv = nn.Conv2d(net["in_channels"], fields, 4, padding=2, bias=False)
    steps: list[nn.Module] = [conv, nn.BatchNorm2d(fields), nn.ReLU()]
    for stage, width in enumerate(net["channels"]):
        for block in range((net["depth"] - 2) // 6):
            steps.append(ResidualBlock(fields, width, 2 if stage and not block else 1))
            fields = width
    return nn.Sequential(*steps, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(fields, net["classes"]))


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


BUILDERS = {"conv2d": build_conv2d, "product": build_product, "copy": build_copy, "resnet": build_resnet}
