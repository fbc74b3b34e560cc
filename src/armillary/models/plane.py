"""Planar networks on the equirectangular image: the baselines that know nothing of the sphere."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from armillary.models.unet import LayerFactory, ResidualClassifier, ResidualUNet


class _Resize(nn.Module):
    """Bilinear interpolation, or the mean over cells, to a fixed size."""

    def __init__(self, size: tuple[int, int], finer: bool) -> None:
        super().__init__()
        self.size, self.finer = size, finer

    def forward(self, x: Tensor) -> Tensor:
        if self.finer:
            return F.interpolate(x, size=self.size, mode="bilinear", align_corners=False)
        return F.adaptive_avg_pool2d(x, self.size)

    def extra_repr(self) -> str:
        return f"{self.size}, {'bilinear' if self.finer else 'mean'}"


class _ImageMean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(-2, -1))


class PlanarLayers(LayerFactory):
    """3×3 convolutions with zero padding on an image and its halved versions."""

    def __init__(self, shape: tuple[int, int], levels: int, dropout: float = 0.0, recompute: bool = False) -> None:
        self.shapes = [(max(1, shape[0] >> level), max(1, shape[1] >> level)) for level in range(levels)]
        self.p_drop = dropout
        self.recompute = recompute

    def conv(self, in_channels: int, out_channels: int, level: int) -> nn.Module:
        return nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def down(self, in_channels: int, out_channels: int, level: int) -> nn.Module:
        return nn.Sequential(self.conv(in_channels, out_channels, level), _Resize(self.shapes[level + 1], finer=False))

    def up(self, in_channels: int, out_channels: int, level: int) -> nn.Module:
        return nn.Sequential(_Resize(self.shapes[level], finer=True), self.conv(in_channels, out_channels, level))

    def norm(self, channels: int, level: int) -> nn.Module:
        return nn.BatchNorm2d(channels)

    def activation(self, level: int) -> nn.Module:
        return nn.GELU()

    def mean(self, level: int) -> nn.Module:
        return _ImageMean()

    def dropout(self) -> nn.Module:
        return nn.Dropout2d(self.p_drop)


class PlanarUNet(ResidualUNet):
    """The topology of ``DiscoUNet`` with 3×3 image convolutions: (B, in_channels, H, W) → (B, out_channels, H, W)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        shape: tuple[int, int],
        widths: Sequence[int] = (16, 32, 64),
        blocks: int = 1,
        dropout: float = 0.0,
        recompute: bool = False,
    ) -> None:
        super().__init__(
            PlanarLayers(shape, len(widths), dropout, recompute), in_channels, out_channels, widths, blocks
        )


class PlanarClassifier(ResidualClassifier):
    """The topology of ``DiscoClassifier`` with 3×3 image convolutions: (B, in_channels, H, W) → (B, out_channels)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        shape: tuple[int, int],
        widths: Sequence[int] = (16, 32, 64),
        blocks: int = 1,
        dropout: float = 0.0,
        recompute: bool = False,
    ) -> None:
        super().__init__(
            PlanarLayers(shape, len(widths), dropout, recompute), in_channels, out_channels, widths, blocks
        )
