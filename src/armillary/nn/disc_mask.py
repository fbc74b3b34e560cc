"""What stays in the picture under every turn: the disc inside an image."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from armillary.nn.fold import Foldable, stock_graph
from armillary.ops.constants import ConstantModule
from armillary.spaces import ImageGrid


class DiscMask(ConstantModule, Foldable):
    """Images or feature maps times a disc about their middle, which falls to zero towards the nearest side.

    Equation: ``y(p) = m(|p|) x(p)``, m = 1 up to R - edge and ``cos²(π/2 · (|p| - R + edge)/edge)`` from there to R =
    min(height, width)/2, in pixels; zero beyond. A turn by 45° takes the corners of an image away and brings others in,
    which a network over C_8 would see as another image. A soft edge stays soft when it is sampled at turned pixels.

    Shapes: (..., *grid.shape) in and out, any axes before. No parameters. Commutes with everything that keeps the
    middle, exactly where pixels are permuted.
    Raises: ValueError for an edge outside of (0, R], or an input off the grid.
    Pinned by ``tests/nn/test_disc_mask.py``.
    """

    mask: Tensor

    def __init__(self, grid: ImageGrid, edge: float = 2.0) -> None:
        super().__init__()
        radius = min(grid.shape) / 2
        if not 0 < edge <= radius:
            raise ValueError(f"DiscMask: got edge = {edge} on {grid}, wanted 0 < edge <= {radius:g} pixels.")
        self.grid, self.edge = grid, edge
        with torch.device("cpu"):
            outside = (grid.points.norm(dim=-1) - radius + edge) / edge
            self.register_constant("mask", torch.cos(math.pi / 2 * outside.clamp(0, 1)).square() * (outside < 1))

    def forward(self, x: Tensor) -> Tensor:
        self.grid.check_field(x, "DiscMask")
        return x * self.constant("mask", x)

    def folded(self) -> nn.Module:
        return stock_graph(lambda x, mask: x * mask, mask=self.mask)

    def extra_repr(self) -> str:
        return f"{self.grid}, edge={self.edge:g}"
