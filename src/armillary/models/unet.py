"""The residual U-Net and classifier of the papers, over any kind of layer.

A network is a topology and a ``LayerFactory`` that knows, for each level of resolution, how to convolve, normalise,
go down and come up. The same topology with spherical and with planar layers makes a fair comparison.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from armillary.nn import PointwiseLinear
from armillary.nn.recompute import recomputed
from armillary.ops.integers import checked_integer


class LayerFactory(ABC):
    """Layers on levels 0 (finest) .. n - 1 (coarsest); every method returns a new module.

    ``recompute``: whether blocks keep their input only and compute their activations again in the backward pass.
    ``parts``: into how many runs of equal length, one for each kind, the channels of a field are laid out: a field of
    spins has its real and imaginary parts of each spin. Channels of two fields are joined kind by kind.

    The last four methods are what plain channels need; layers whose channels turn with the frame have their own.
    """

    recompute = False
    parts = 1

    @abstractmethod
    def conv(self, in_channels: int, out_channels: int, level: int) -> nn.Module:
        """A convolution that stays on its level."""

    @abstractmethod
    def down(self, in_channels: int, out_channels: int, level: int) -> nn.Module:
        """From ``level`` to ``level + 1``."""

    @abstractmethod
    def up(self, in_channels: int, out_channels: int, level: int) -> nn.Module:
        """From ``level + 1`` to ``level``."""

    @abstractmethod
    def norm(self, channels: int, level: int) -> nn.Module:
        """Normalisation of each channel."""

    @abstractmethod
    def activation(self, level: int) -> nn.Module:
        """The pointwise nonlinearity."""

    @abstractmethod
    def mean(self, level: int) -> nn.Module:
        """The mean over the space: (B, C, ...) → (B, C)."""

    @abstractmethod
    def dropout(self) -> nn.Module:
        """Dropout of whole fields."""

    def stem(self, in_channels: int, width: int) -> nn.Module:
        """The first convolution, from the data."""
        return self.conv(in_channels, width, 0)

    def linear(self, in_channels: int, out_channels: int) -> nn.Module:
        """A linear map of the channels at each point."""
        return PointwiseLinear(in_channels, out_channels)

    def readout(self, in_channels: int, out_channels: int, level: int) -> list[nn.Module]:
        """From the features at each point to plain channels."""
        return [PointwiseLinear(in_channels, out_channels)]

    def summary(self, in_channels: int, out_channels: int, level: int) -> list[nn.Module]:
        """From the features to numbers for the whole field: (B, ...) → (B, out_channels)."""
        return [self.mean(level), nn.Linear(in_channels, out_channels)]


class ResidualBlock(nn.Module):
    """``x + conv(act(norm(dropout(conv(act(norm(x)))))))``, pre-activation; a linear map on the skip where widths
    differ. With ``layers.recompute`` its activations are computed again in the backward pass."""

    def __init__(self, layers: LayerFactory, in_channels: int, out_channels: int, level: int) -> None:
        super().__init__()
        self.recompute = layers.recompute
        self.body = nn.Sequential(
            layers.norm(in_channels, level),
            layers.activation(level),
            layers.conv(in_channels, out_channels, level),
            layers.norm(out_channels, level),
            layers.activation(level),
            layers.dropout(),
            layers.conv(out_channels, out_channels, level),
        )
        same = in_channels == out_channels
        self.skip = nn.Identity() if same else layers.linear(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + (recomputed(self.body, x) if self.recompute else self.body(x))


def _check_widths(widths: Sequence[int], blocks: int) -> None:
    if not widths:
        raise ValueError("got no widths, wanted one channel count for each level.")
    for width in widths:
        checked_integer("a width", width, 1, why=", the channels of a level")
    checked_integer("blocks", blocks, 1, why=", the residual blocks of each level")


class ResidualEncoder(nn.Module):
    """From a field to the features of every level, finest first."""

    def __init__(self, layers: LayerFactory, in_channels: int, widths: Sequence[int], blocks: int) -> None:
        super().__init__()
        _check_widths(widths, blocks)
        self.stem = layers.stem(in_channels, widths[0])
        self.downs = nn.ModuleList(
            layers.down(widths[level], widths[level + 1], level) for level in range(len(widths) - 1)
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(layers, width, width, level) for _ in range(blocks)))
            for level, width in enumerate(widths)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        features = [self.stages[0](self.stem(x))]
        for down, stage in zip(self.downs, list(self.stages)[1:], strict=True):
            features.append(stage(down(features[-1])))
        return features


class ResidualUNet(nn.Module):
    """Encoder, decoder with skips, and a linear head at every point: (B, in, ...) → (B, out, ...) on the finest
    level."""

    def __init__(
        self, layers: LayerFactory, in_channels: int, out_channels: int, widths: Sequence[int], blocks: int = 1
    ) -> None:
        super().__init__()
        self.parts = layers.parts
        self.encoder = ResidualEncoder(layers, in_channels, widths, blocks)
        levels = range(len(widths) - 2, -1, -1)
        self.ups = nn.ModuleList(layers.up(widths[level + 1], widths[level], level) for level in levels)
        self.merges = nn.ModuleList(
            nn.Sequential(
                ResidualBlock(layers, 2 * widths[level], widths[level], level),
                *(ResidualBlock(layers, widths[level], widths[level], level) for _ in range(blocks - 1)),
            )
            for level in levels
        )
        self.head = nn.Sequential(
            layers.norm(widths[0], 0), layers.activation(0), *layers.readout(widths[0], out_channels, 0)
        )

    def forward(self, x: Tensor) -> Tensor:
        *skips, y = self.encoder(x)
        for up, merge, skip in zip(self.ups, self.merges, reversed(skips), strict=True):
            both = [field.unflatten(1, (self.parts, -1)) for field in (up(y), skip)]
            y = merge(torch.cat(both, dim=2).flatten(1, 2))
        return self.head(y)


class ResidualClassifier(nn.Module):
    """Encoder, mean over the space, linear head: (B, in, ...) → (B, out). Invariant if its layers are equivariant."""

    def __init__(
        self, layers: LayerFactory, in_channels: int, out_channels: int, widths: Sequence[int], blocks: int = 1
    ) -> None:
        super().__init__()
        last = len(widths) - 1
        self.encoder = ResidualEncoder(layers, in_channels, widths, blocks)
        self.head = nn.Sequential(
            layers.norm(widths[-1], last),
            layers.activation(last),
            *layers.summary(widths[-1], out_channels, last),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x)[-1])
