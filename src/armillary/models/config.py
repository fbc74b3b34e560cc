"""One configuration that names and sizes a network; what the command line and run directories store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from armillary.models.plane import PlanarClassifier, PlanarUNet
from armillary.models.sphere import DiscoClassifier, DiscoUNet
from armillary.nn import FilterBasis, FourierAzimuth, PiecewiseLinear
from armillary.spaces import ImageGrid, SphereGrid


@dataclass(frozen=True)
class ModelConfig:
    """A network and its size. The planar networks ignore what belongs to the sphere."""

    name: Literal["disco_unet", "planar_unet"] = "disco_unet"
    """Kind of layers: DISCO on the sphere, or 3×3 image convolutions as a baseline."""
    widths: tuple[int, ...] = (16, 32, 64)
    """Channels of each level, finest first; each level has half the rings of the one before."""
    blocks: int = 1
    """Residual blocks on each level."""
    rings: float = 3.0
    """Filter cutoff in rings of a layer's input grid."""
    n_radial: int = 3
    """Radial functions of the filter basis."""
    n_azimuthal: int = 1
    """Azimuthal functions of the filter basis; 1 is axisymmetric, and only that is equivariant under SO(3)."""
    m_max: int = 0
    """Highest Fourier mode in azimuth instead of n_azimuthal hats; 0 for none."""
    oversample: float = 1.0
    """Oversampling of the pointwise nonlinearities; 2 suppresses their aliasing at four times the cost."""
    dropout: float = 0.0
    """Probability with which a whole field is dropped."""
    recompute: bool = False
    """Compute the activations of residual blocks again in the backward pass: less memory, a third more time."""

    def basis(self) -> FilterBasis:
        """The filter basis it describes. Raises: ValueError where both azimuthal kinds are asked for."""
        if self.m_max and self.n_azimuthal > 1:
            raise ValueError(
                f"got n_azimuthal = {self.n_azimuthal} and m_max = {self.m_max}: give one of them, hats or modes."
            )
        return (
            FourierAzimuth(self.n_radial, self.m_max)
            if self.m_max
            else PiecewiseLinear(self.n_radial, self.n_azimuthal)
        )


def build_model(
    config: ModelConfig,
    in_channels: int,
    out_channels: int,
    grid: SphereGrid | ImageGrid,
    head: Literal["dense", "global"],
) -> nn.Module:
    """The network of a configuration: ``dense`` maps (B, in, H, W) → (B, out, H, W), ``global`` → (B, out).

    Raises: ValueError for a name or head that does not exist, one that does not work on this kind of grid, or sizes
    that do not fit it.
    """
    if head not in ("dense", "global"):
        raise ValueError(f"got head = {head!r}, wanted 'dense' or 'global'.")
    if config.name == "disco_unet":
        if isinstance(grid, ImageGrid):
            raise ValueError(
                f"the model disco_unet works on the sphere, the data are images {grid.shape}: choose a network of the "
                "plane (--model.name planar_unet)."
            )
        kind = DiscoUNet if head == "dense" else DiscoClassifier
        return kind(
            in_channels,
            out_channels,
            grid,
            config.widths,
            config.blocks,
            config.basis(),
            config.rings,
            config.oversample,
            config.dropout,
            config.recompute,
        )
    if config.name == "planar_unet":
        plane = PlanarUNet if head == "dense" else PlanarClassifier
        return plane(
            in_channels, out_channels, grid.shape, config.widths, config.blocks, config.dropout, config.recompute
        )
    raise ValueError(f"got model name {config.name!r}, wanted 'disco_unet' or 'planar_unet'.")
