"""Networks of steerable DISCO layers: the residual U-Net and classifier on features with spin."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from armillary.groups import Orders
from armillary.models.sphere import level_grids
from armillary.models.unet import LayerFactory, ResidualClassifier, ResidualUNet
from armillary.nn import (
    FourierAzimuth,
    PointwiseLinear,
    SphereMean,
    SpinBatchNorm,
    SpinDropout,
    SpinGate,
    SpinInvariants,
    SpinLinear,
    SpinPointwise,
    SteerableDiscoConv,
    rings,
)
from armillary.ops.integers import checked_integer
from armillary.spaces import SphereGrid


class SteerableLayers(LayerFactory):
    """Steerable DISCO layers on a grid and its coarser versions; a width w is w complex channels of each spin 0..S.

    ``SpinBatchNorm`` before the nonlinearity, which is GELU for spin 0 and a gate for other spins (``SpinGate``), or
    with ``frames`` > 0 GELU by lift and projection in so many turned frames (``SpinPointwise``). Both are in the
    module that ``norm`` returns, which knows the channels; ``activation`` adds nothing.

    Raises: as ``DiscoLayers``, and for a highest spin S below 1 or too few frames.
    """

    def __init__(
        self,
        grid: SphereGrid,
        levels: int,
        highest_spin: int = 1,
        n_radial: int = 3,
        rings_per_cutoff: float = 3.0,
        frames: int = 0,
        dropout: float = 0.0,
        recompute: bool = False,
    ) -> None:
        self.grids = level_grids(grid, levels, rings_per_cutoff)
        self.highest = checked_integer("highest_spin", highest_spin, 1)
        self.rings, self.frames, self.p_drop = rings_per_cutoff, checked_integer("frames", frames, 0), dropout
        self.basis = FourierAzimuth(n_radial, self.highest)
        self.recompute = recompute
        self.parts = 2 * (self.highest + 1)

    def orders(self, width: int) -> Orders:
        """The fields of a width."""
        return Orders.upto(self.highest, width)

    def _conv(self, orders: Orders, width: int, level: int, level_out: int) -> nn.Module:
        grid, grid_out = self.grids[level], self.grids[level_out]
        cutoff = rings(self.rings, grid)
        return SteerableDiscoConv(orders, self.orders(width), grid, grid_out, basis=self.basis, cutoff=cutoff)

    def stem(self, in_channels: int, width: int) -> nn.Module:
        return self._conv(Orders.image(in_channels), width, 0, 0)

    def conv(self, in_channels: int, out_channels: int, level: int) -> nn.Module:
        return self._conv(self.orders(in_channels), out_channels, level, level)

    def down(self, in_channels: int, out_channels: int, level: int) -> nn.Module:
        return self._conv(self.orders(in_channels), out_channels, level, level + 1)

    def up(self, in_channels: int, out_channels: int, level: int) -> nn.Module:
        return self._conv(self.orders(in_channels), out_channels, level + 1, level)

    def norm(self, channels: int, level: int) -> nn.Module:
        orders, grid = self.orders(channels), self.grids[level]
        norm = SpinBatchNorm(orders, grid)
        if self.frames:
            return nn.Sequential(norm, SpinPointwise(nn.GELU(), orders, grid, self.frames))
        return nn.Sequential(norm, SpinGate(nn.GELU(), orders, grid))

    def activation(self, level: int) -> nn.Module:
        return nn.Identity()

    def mean(self, level: int) -> nn.Module:
        return SphereMean(self.grids[level])

    def dropout(self) -> nn.Module:
        return SpinDropout(self.p_drop)

    def linear(self, in_channels: int, out_channels: int) -> nn.Module:
        return SpinLinear(self.orders(in_channels), self.orders(out_channels))

    def readout(self, in_channels: int, out_channels: int, level: int) -> list[nn.Module]:
        invariants = SpinInvariants(self.orders(in_channels))
        return [invariants, PointwiseLinear(invariants.channels_out, out_channels)]

    def summary(self, in_channels: int, out_channels: int, level: int) -> list[nn.Module]:
        invariants = SpinInvariants(self.orders(in_channels))
        return [invariants, self.mean(level), nn.Linear(invariants.channels_out, out_channels)]


class SteerableDiscoUNet(ResidualUNet):
    """Residual U-Net of steerable DISCO: real scalars (B, in_channels, H, W) → real scalars (B, out_channels, H, W).

    The topology of ``DiscoUNet``, on features of the spins 0 to ``highest_spin``: ``widths`` are the complex channels
    of each spin on each level, finest first. Filters are directional, ``n_radial`` hats between equal spins and one
    less between others, and the network commutes with all rotations up to the discretisation error. Scores are linear
    in spin 0 and in the magnitudes of the other spins. ``rings_per_cutoff``, ``dropout`` and ``recompute`` as in
    ``DiscoUNet``, ``frames`` as in ``SteerableLayers``. With widths of 0.4 times those of a ``DiscoUNet`` it has about
    as many parameters. The state dict loads on other grids.

    Raises: ValueError where a level would have fewer than four rings, highest_spin < 1, or frames from 1 to
    2·highest_spin, which are too few.
    Source: ours; pinned by ``tests/models/test_steerable.py``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        grid: SphereGrid,
        widths: Sequence[int] = (6, 12, 24),
        blocks: int = 1,
        highest_spin: int = 1,
        n_radial: int = 3,
        rings_per_cutoff: float = 3.0,
        frames: int = 0,
        dropout: float = 0.0,
        recompute: bool = False,
    ) -> None:
        layers = SteerableLayers(
            grid, len(widths), highest_spin, n_radial, rings_per_cutoff, frames, dropout, recompute
        )
        super().__init__(layers, in_channels, out_channels, widths, blocks)


class SteerableDiscoClassifier(ResidualClassifier):
    """Encoder of steerable DISCO with a rotation-invariant head: (B, in_channels, H, W) → (B, out_channels); arguments
    as ``SteerableDiscoUNet``."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        grid: SphereGrid,
        widths: Sequence[int] = (6, 12, 24),
        blocks: int = 1,
        highest_spin: int = 1,
        n_radial: int = 3,
        rings_per_cutoff: float = 3.0,
        frames: int = 0,
        dropout: float = 0.0,
        recompute: bool = False,
    ) -> None:
        layers = SteerableLayers(
            grid, len(widths), highest_spin, n_radial, rings_per_cutoff, frames, dropout, recompute
        )
        super().__init__(layers, in_channels, out_channels, widths, blocks)
