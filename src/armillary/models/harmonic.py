"""A network after the harmonic networks paper for small images, and the plain CNN beside it.

Shape legend: B batch, C channels, K classes, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from armillary.groups import Orders
from armillary.nn import (
    CircularHarmonics,
    HarmonicConv,
    HarmonicSequential,
    ImageInput,
    ImageMeanPool,
    MagnitudeBatchNorm,
    MagnitudeReLU,
    Magnitudes,
)
from armillary.spaces import ImageGrid


class HarmonicClassifier(nn.Module):
    """Classes of images, the same for every turn of the image up to the discretisation error.

    For each width two convolutions with circular harmonics between the orders 0 to ``highest``, the first followed by
    C-ReLU, the second by batch norm of magnitudes; means over 2 × 2 pixels between widths. A last convolution gives as
    many channels of each order as classes; their magnitudes are summed over orders and averaged over the image.

    Shapes: (B, in_channels, *grid.shape) → (B, out_channels). With the defaults and one channel in, on 28 × 28 pixels,
    it has the plan of the paper's network for rotated MNIST: orders 0 and 1, 5 × 5 pixels, the widths and the pooling
    (docs/hnets.md lists what differs). ``basis`` as for ``HarmonicConv``. Quarter turns of square images leave the
    scores as they are to rounding.

    Raises: ValueError for no width, a size that cannot be halved between widths, or an input of another shape.
    Source: Worrall et al. 2017 (arXiv 1612.04642); pinned by ``tests/models/test_harmonic.py``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        grid: ImageGrid,
        widths: Sequence[int] = (8, 16, 32),
        highest: int = 1,
        basis: CircularHarmonics | None = None,
    ) -> None:
        super().__init__()
        _check_widths(widths)
        self.in_channels, self.out_channels = in_channels, out_channels
        layers: list[nn.Module] = []
        before = Orders.image(in_channels)
        for level, width in enumerate(widths):
            orders = Orders.upto(highest, width)
            if level:
                pool = ImageMeanPool(before, grid)
                layers.append(pool)
                grid = pool.grid_out
            layers += [HarmonicConv(before, orders, grid, basis=basis), MagnitudeReLU(orders, grid)]
            layers += [HarmonicConv(orders, orders, grid, basis=basis), MagnitudeBatchNorm(orders, grid)]
            before = orders
        self.body = HarmonicSequential(*layers)
        scores = Orders.upto(highest, out_channels)
        self.head = HarmonicConv(before, scores, grid, basis=basis)
        self.magnitudes = Magnitudes(scores, grid)
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def features(self, x: Tensor) -> Tensor:
        """The complex channels behind the scores, as ``head.orders_out`` lays them out, on ``head.grid``."""
        return self.head(self.body(x))

    def forward(self, x: Tensor) -> Tensor:
        per_order = self.magnitudes(self.features(x)).unflatten(1, (-1, self.out_channels))
        return per_order.sum(1).mean((-2, -1)) + self.bias.to(per_order.dtype)


class PlainClassifier(nn.Module):
    """The same network with plain convolutions: what ``HarmonicClassifier`` is compared with.

    Convolutions of ``size`` × ``size`` pixels with zeros beyond the edge, batch norm and ReLU after each, means over
    2 × 2 pixels between widths, a last convolution to the classes and the mean over the image.

    Shapes: (B, in_channels, *grid.shape) → (B, out_channels).
    Raises: ValueError for no width, an even size, a grid that cannot be halved between widths, or an input of another
    shape. Pinned by ``tests/models/test_harmonic.py``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, grid: ImageGrid, widths: Sequence[int] = (8, 16, 32), size: int = 5
    ) -> None:
        super().__init__()
        _check_widths(widths)
        if size % 2 == 0:
            raise ValueError(f"PlainClassifier: got size = {size}, wanted an odd number of pixels.")
        self.in_channels, self.grid = in_channels, grid
        self.input = ImageInput(in_channels, grid, "PlainClassifier")
        layers: list[nn.Module] = []
        before = in_channels
        for level, width in enumerate(widths):
            if level:
                pool = ImageMeanPool(Orders.image(before), grid)
                layers.append(pool)
                grid = pool.grid_out
            for channels in (before, width):
                convolution = nn.Conv2d(channels, width, size, padding=size // 2, bias=False)
                layers += [convolution, nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv2d(before, out_channels, size, padding=size // 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.input(x))).mean((-2, -1))


def _check_widths(widths: Sequence[int]) -> None:
    if not widths or min(widths) < 1:
        raise ValueError(f"got widths = {tuple(widths)}, wanted at least one width of 1 or more channels.")
