"""Strides of harmonic networks: means over blocks, and a blur before every second pixel; the middle stays in place.

Fields are real tensors (batch, orders.size, height, width) in the layout of ``groups.Orders``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armillary.groups import Orders
from armillary.nn.fold import Foldable
from armillary.nn.harmonic_fields import FieldLayer
from armillary.ops.integers import checked_integer
from armillary.spaces import ImageGrid
from armillary.spaces.fields import check_orders


class ImageMeanPool(FieldLayer, Foldable):
    """The mean over blocks of ``factor`` × ``factor`` pixels.

    Shapes: (B, orders.size, H, W) → (B, orders.size, H/factor, W/factor), on ``grid_out``. Blocks fill the image, so
    that the middle of the output is that of the input and quarter turns commute exactly. A block is square and its ends
    are sharp: with other turns it commutes for smooth images only, to the second order in the wavenumber.
    Raises: ValueError where factor does not divide the height and the width, or for an input of another shape.
    Pinned by ``tests/nn/test_harmonic_layers.py``.
    """

    def __init__(self, orders: Orders, grid: ImageGrid, factor: int = 2) -> None:
        super().__init__(orders, grid)
        checked_integer("factor", factor, 1, who="ImageMeanPool")
        if grid.height % factor or grid.width % factor:
            raise ValueError(
                f"ImageMeanPool: got factor = {factor} on {grid}, wanted a divisor of its height and width: the blocks "
                f"would not lie about the middle. Pad the image, or take BlurPool for odd sizes."
            )
        self.factor = factor

    @property
    def grid_out(self) -> ImageGrid:
        return ImageGrid(*(size // self.factor for size in self.grid.shape))

    def forward(self, x: Tensor) -> Tensor:
        check_orders(x, self.orders, self.grid, "ImageMeanPool")
        return F.avg_pool2d(x, self.factor)

    def folded(self) -> nn.Module:
        return nn.AvgPool2d(self.factor)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()} → {self.grid_out}, factor={self.factor}"


class BlurPool(FieldLayer, Foldable):
    """A Gaussian blur, then every ``factor``-th pixel: a stride that keeps the symmetry.

    Equation: ``y(p) = Σ_q g(q) x(p + q) / Σ_q g(q)``, ``g = exp(-|q|² / 2σ²)``, σ = ``sigma · factor`` pixels, cut off
    beyond 3σ; the image goes on with zeros. The Gaussian removes what the coarse grid would fold back; a stride without
    it does not commute with turns, however exact the convolution before it.

    Shapes: (B, orders.size, H, W) → (B, orders.size, *grid_out.shape), with the middle where it was: an odd size keeps
    pixels 0, factor, … up to the last (size - 1 has to be a multiple of factor), an even one, for even factors, the
    points midway between pixels, size/factor of them.
    Raises: ValueError for a size whose middle would move, a Gaussian that ends (3σ, rounded) short of
    ``max(1, factor/2)`` pixels, so that some would be left out, or an input of another shape.
    Source: anti-aliased strides (Zhang 2019, arXiv 1904.11486) with a round filter; pinned by
    ``tests/nn/test_harmonic_layers.py``.
    """

    taps_0: Tensor
    taps_1: Tensor

    def __init__(self, orders: Orders, grid: ImageGrid, factor: int = 2, sigma: float = 0.5) -> None:
        super().__init__(orders, grid)
        checked_integer("factor", factor, 2, who="BlurPool")
        if not (0 < sigma < math.inf and round(3 * sigma * factor) >= max(1, factor / 2)):
            raise ValueError(
                f"BlurPool: got sigma = {sigma} with factor = {factor}: a Gaussian that ends {3 * sigma * factor:.3g} "
                f"pixels from its middle leaves pixels out; wanted sigma >= {max(1, factor / 2) / (3 * factor):.3g}."
            )
        self.factor, self.sigma = factor, sigma
        sizes: list[int] = []
        self.padding: list[int] = []
        for axis, size in enumerate(grid.shape):
            taps, count = self._axis(size)
            sizes.append(count)
            # zeros so that the first window is centred on the first point of the output
            first = ((size - 1) - (count - 1) * factor) / 2
            self.padding.append(round((len(taps) - 1) / 2 - first))
            self.register_constant(f"taps_{axis}", taps / taps.sum())
        self.sizes = sizes

    @property
    def grid_out(self) -> ImageGrid:
        return ImageGrid(*self.sizes)

    def _axis(self, size: int) -> tuple[Tensor, int]:
        """The taps along one axis and the number of points of the output."""
        width = self.sigma * self.factor
        odd = size % 2 == 1
        if (odd and (size - 1) % self.factor) or (not odd and (self.factor % 2 or size % self.factor)):
            raise ValueError(
                f"BlurPool: got {self.grid} and factor = {self.factor}; the middle of the image would move. Wanted odd "
                f"sizes with size - 1 a multiple of factor, or even sizes that an even factor divides: pad the image."
            )
        reach = round(3 * width)
        count = 2 * reach + 1 if odd else 2 * reach
        steps = torch.arange(count, dtype=torch.float64, device="cpu") - (count - 1) / 2
        taps = torch.exp(-(steps**2) / (2 * width**2))
        return taps, (size - 1) // self.factor + 1 if odd else size // self.factor

    def forward(self, x: Tensor) -> Tensor:
        check_orders(x, self.orders, self.grid, "BlurPool")
        channels = x.shape[1]
        rows = self.constant("taps_0", x).view(1, 1, -1, 1).expand(channels, 1, -1, 1)
        columns = self.constant("taps_1", x).view(1, 1, 1, -1).expand(channels, 1, 1, -1)
        step = self.factor
        x = F.conv2d(x, rows, stride=(step, 1), padding=(self.padding[0], 0), groups=channels)
        return F.conv2d(x, columns, stride=(1, step), padding=(0, self.padding[1]), groups=channels)

    def folded(self) -> nn.Module:
        channels, step, (rows, columns) = self.in_channels, self.factor, self.padding
        taps = [self.taps_0.view(1, 1, -1, 1), self.taps_1.view(1, 1, 1, -1)]
        convolutions = nn.Sequential()
        for weight, stride, padding in zip(taps, ((step, 1), (1, step)), ((rows, 0), (0, columns)), strict=True):
            size = (weight.shape[2], weight.shape[3])
            conv = nn.Conv2d(channels, channels, size, stride, padding, groups=channels, bias=False).to(weight)
            with torch.no_grad():
                conv.weight.copy_(weight.expand_as(conv.weight))
            convolutions.append(conv)
        return convolutions

    def extra_repr(self) -> str:
        return f"{super().extra_repr()} → {self.grid_out}, factor={self.factor}, sigma={self.sigma:g}"
