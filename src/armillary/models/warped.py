"""Networks that estimate the pose of an image, two coordinates of a group: on its warp, and two baselines without.

All three are the same CNN, blocks of *5×5 convolution, batch norm, ReLU* with means over 2×2 pixels between them. They
differ in what it sees and in how a pose is read off. Shape legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from armillary.nn import Foldable, ImageInput, SoftArgmax, WarpImage, with_warp_padding
from armillary.nn.averages import working_dtype
from armillary.nn.fold import stock_graph
from armillary.nn.warp import Interpolation
from armillary.spaces import Axis, ImageGrid, Warp

DEFAULT_WIDTHS = (16, 32, 32)


class WarpedPose(nn.Module):
    """Warp, CNN, soft-argmax: an estimate u of the pose that moves with the image.

    ``û(x) = softargmax(CNN(Î))`` with the warp Î of x, one response map, and convolutions that wrap where the warp
    does. Since t_v shifts Î by v, and a response that is shifted by v has its position v further,
    ``û(t_v x) = û(x) + v``: up to interpolation, to the edges of axes that do not wrap, and to the means over 2×2,
    which are exact only for shifts by their multiples. Before training u is counted from the middle of axes that do
    not wrap.

    Shapes: (B, in_channels, *grid.shape) → (B, 2), u in the units of ``warp.axes``, both of whose sizes must be
    divisible by ``2^(len(widths) - 1)``. ``widths`` are the channels of the blocks.
    Raises: ValueError for sizes that cannot be halved, no widths, or an input with other channels or off the grid.
    Source: Henriques & Vedaldi 2017 (arXiv 1609.04382), section 6; the sizes are ours. Pinned by
    ``tests/models/test_warped.py``.
    """

    def __init__(
        self,
        in_channels: int,
        grid: ImageGrid,
        warp: Warp,
        widths: Sequence[int] = DEFAULT_WIDTHS,
        interpolation: Interpolation = "bilinear",
    ) -> None:
        super().__init__()
        self.in_channels, self.grid = in_channels, grid
        self.input = ImageInput(in_channels, grid, "WarpedPose")
        self.warp = WarpImage(warp, grid, interpolation)
        self.features = with_warp_padding(_cnn(in_channels, widths, maps=1), warp)
        self.head = SoftArgmax([axis.coarser(_reduction(widths)) for axis in warp.axes])
        middles = [0.0 if axis.periodic else middle for axis, middle in zip(warp.axes, self.head.middles, strict=True)]
        with torch.no_grad():
            self.head.bias.copy_(-torch.tensor(middles))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(self.warp(self.input(x))))[:, 0]


class PlanarPose(nn.Module):
    """The baseline of the same CNN and soft-argmax on the image as it is.

    Two response maps have a position each, in halves of the image's sides; the pose is an affine function of these
    four numbers, on a periodic axis the direction of two such. (The paper's has one map, a scale and a bias, which
    cannot follow a full turn.) Shapes, arguments and errors as for ``WarpedPose``, with the ``axes`` of the pose in
    place of the warp.
    """

    def __init__(
        self, in_channels: int, grid: ImageGrid, axes: tuple[Axis, Axis], widths: Sequence[int] = DEFAULT_WIDTHS
    ) -> None:
        super().__init__()
        self.in_channels, self.grid = in_channels, grid
        self.input = ImageInput(in_channels, grid, "PlanarPose")
        self.features = _cnn(in_channels, widths, maps=2)
        pixels = [Axis(size, 1 / size - 1, 2 / size).coarser(_reduction(widths)) for size in grid.shape]
        self.head = SoftArgmax(pixels, maps=2)
        self.readout = _Readout(4, axes)

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.head(self.features(self.input(x))).flatten(1))


class FullyConnectedPose(nn.Module):
    """The baseline of the same CNN with a fully connected layer from all of its last pixels to the pose.

    On a periodic axis the layer gives a direction, cosine and sine, so that there is no seam to learn. Shapes,
    arguments and errors as for ``PlanarPose``.
    """

    def __init__(
        self, in_channels: int, grid: ImageGrid, axes: tuple[Axis, Axis], widths: Sequence[int] = DEFAULT_WIDTHS
    ) -> None:
        super().__init__()
        self.in_channels, self.grid = in_channels, grid
        self.input = ImageInput(in_channels, grid, "FullyConnectedPose")
        self.features = _blocks(in_channels, widths)
        pixels = [Axis(size).coarser(_reduction(widths)).size for size in grid.shape]
        self.readout = _Readout(widths[-1] * pixels[0] * pixels[1], axes)

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.features(self.input(x)).flatten(1))


class _Readout(nn.Module, Foldable):
    """(B, features) → (B, 2): a linear map to one number for each axis, or to a direction where it is periodic."""

    def __init__(self, in_features: int, axes: tuple[Axis, Axis]) -> None:
        super().__init__()
        self.axes = axes
        self.linear = nn.Linear(in_features, sum(2 if axis.periodic else 1 for axis in axes))

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        y = y.to(working_dtype(y.dtype))  # a direction in half precision would point at few angles
        return self._values(y, torch.finfo(y.dtype).eps)

    def _values(self, y: Tensor, rounding: float) -> Tensor:
        found: list[Tensor] = []
        start = 0
        for axis in self.axes:
            if axis.periodic:
                found.append(axis.wrap(axis.pointed_at(y[..., start : start + 2], rounding)))
            else:
                found.append(y[..., start])
            start += 2 if axis.periodic else 1
        return torch.stack(found, dim=-1)

    def folded(self) -> nn.Module:
        rounding = torch.finfo(working_dtype(self.linear.weight.dtype)).eps
        return nn.Sequential(copy.deepcopy(self.linear), stock_graph(partial(self._values, rounding=rounding)))


def _blocks(in_channels: int, widths: Sequence[int]) -> nn.Sequential:
    if not widths or min(widths) < 1:
        raise ValueError(f"got widths = {tuple(widths)}, wanted the channels of each block, at least one block.")
    layers: list[nn.Module] = []
    for before, width in zip((in_channels, *widths[:-1]), widths, strict=True):
        if layers:
            layers.append(nn.AvgPool2d(2))
        layers += [nn.Conv2d(before, width, 5, padding=2, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers)


def _cnn(in_channels: int, widths: Sequence[int], maps: int) -> nn.Sequential:
    return _blocks(in_channels, widths).append(nn.Conv2d(widths[-1], maps, 1, bias=False))  # softmax ignores a bias


def _reduction(widths: Sequence[int]) -> int:
    return 2 ** (len(widths) - 1)
