"""Networks on the sphere: the DISCO residual U-Net and classifier.

Source: Ocampo, Price & McEwen 2023 (arXiv 2209.13603), section 5: a residual U-Net of DISCO and transposed DISCO
layers with batch normalisation and skips.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from armillary.models.unet import LayerFactory, ResidualClassifier, ResidualUNet
from armillary.nn import (
    DiscoConv,
    DiscoConvTranspose,
    FieldDropout,
    FilterBasis,
    PiecewiseLinear,
    Pointwise,
    SphereBatchNorm,
    SphereMean,
    rings,
)
from armillary.spaces import SphereGrid


def level_grids(grid: SphereGrid, levels: int, rings_per_cutoff: float) -> list[SphereGrid]:
    """A grid and its coarser versions, finest first, each with half the rings of the one before.

    Raises: ValueError where a level would have fewer than four rings, or a cutoff of a quarter of the circumference.
    """
    grids = [grid]
    for _ in range(levels - 1):
        grids.append(grids[-1].coarser(2))
    if grids[-1].nlat < 4:
        raise ValueError(
            f"{levels} levels halve {grid} to {grids[-1].nlat} rings, wanted at least 4: "
            f"give fewer widths or a finer grid."
        )
    cutoff = rings(rings_per_cutoff, grids[-1])
    if not 0 < cutoff < math.pi / 2:
        raise ValueError(
            f"got a cutoff of {rings_per_cutoff:g} rings, {cutoff:.3g} rad on the coarsest level {grids[-1]}, "
            f"wanted more than 0 and less than π/2: give fewer rings, fewer widths or a finer grid."
        )
    return grids


class DiscoLayers(LayerFactory):
    """DISCO layers on a grid and its coarser versions, each level with half the rings of the one before.

    ``rings_per_cutoff`` is the cutoff in rings of each layer's input grid. Raises: ValueError where a level would have
    fewer than four rings, or a cutoff of a quarter of the circumference.
    """

    def __init__(
        self,
        grid: SphereGrid,
        levels: int,
        basis: FilterBasis | None = None,
        rings_per_cutoff: float = 3.0,
        oversample: float = 1.0,
        dropout: float = 0.0,
        recompute: bool = False,
    ) -> None:
        self.grids = level_grids(grid, levels, rings_per_cutoff)
        self.basis = PiecewiseLinear(3) if basis is None else basis
        self.rings, self.oversample, self.p_drop = rings_per_cutoff, oversample, dropout
        self.recompute = recompute

    def _cutoff(self, level: int) -> float:
        return rings(self.rings, self.grids[level])

    def conv(self, in_channels: int, out_channels: int, level: int) -> nn.Module:
        grid = self.grids[level]
        return DiscoConv(in_channels, out_channels, grid, basis=self.basis, cutoff=self._cutoff(level))

    def down(self, in_channels: int, out_channels: int, level: int) -> nn.Module:
        grid, coarse = self.grids[level], self.grids[level + 1]
        return DiscoConv(in_channels, out_channels, grid, coarse, basis=self.basis, cutoff=self._cutoff(level))

    def up(self, in_channels: int, out_channels: int, level: int) -> nn.Module:
        grid, coarse = self.grids[level], self.grids[level + 1]
        cutoff = self._cutoff(level + 1)
        return DiscoConvTranspose(in_channels, out_channels, coarse, grid, basis=self.basis, cutoff=cutoff)

    def norm(self, channels: int, level: int) -> nn.Module:
        return SphereBatchNorm(channels, self.grids[level])

    def activation(self, level: int) -> nn.Module:
        return Pointwise(nn.GELU(), self.grids[level], oversample=self.oversample)

    def mean(self, level: int) -> nn.Module:
        return SphereMean(self.grids[level])

    def dropout(self) -> nn.Module:
        return FieldDropout(self.p_drop)


class DiscoUNet(ResidualUNet):
    """DISCO residual U-Net for segmentation and regression: (B, in_channels, H, W) → (B, out_channels, H, W).

    ``widths`` are the channels of each level, finest first; each level has half the rings of the one before.
    ``rings_per_cutoff``, ``basis`` as in ``nn.DiscoConv`` (default: axisymmetric, three hats); ``oversample`` as in
    ``nn.Pointwise``; ``dropout`` the probability with which a whole field is dropped. With ``recompute`` residual
    blocks keep their input only and are computed again in the backward pass. The state dict loads on other grids.

    Raises: ValueError where a level would have fewer than four rings.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        grid: SphereGrid,
        widths: Sequence[int] = (16, 32, 64),
        blocks: int = 1,
        basis: FilterBasis | None = None,
        rings_per_cutoff: float = 3.0,
        oversample: float = 1.0,
        dropout: float = 0.0,
        recompute: bool = False,
    ) -> None:
        layers = DiscoLayers(grid, len(widths), basis, rings_per_cutoff, oversample, dropout, recompute)
        super().__init__(layers, in_channels, out_channels, widths, blocks)


class DiscoClassifier(ResidualClassifier):
    """DISCO encoder with a rotation-invariant head: (B, in_channels, H, W) → (B, out_channels); arguments as
    ``DiscoUNet``."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        grid: SphereGrid,
        widths: Sequence[int] = (16, 32, 64),
        blocks: int = 1,
        basis: FilterBasis | None = None,
        rings_per_cutoff: float = 3.0,
        oversample: float = 1.0,
        dropout: float = 0.0,
        recompute: bool = False,
    ) -> None:
        layers = DiscoLayers(grid, len(widths), basis, rings_per_cutoff, oversample, dropout, recompute)
        super().__init__(layers, in_channels, out_channels, widths, blocks)
