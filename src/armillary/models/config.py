"""One configuration that names and sizes a network; what the command line and run directories store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from torch import nn

from armillary.groups import cyclic, dihedral
from armillary.models.gcnn import GroupCNN, GroupResNet
from armillary.models.harmonic import HarmonicClassifier
from armillary.models.plane import PlanarClassifier, PlanarUNet
from armillary.models.s2cnn import S2CNNClassifier, S2CNNSegmenter
from armillary.models.sphere import DiscoClassifier, DiscoUNet
from armillary.models.steerable import SteerableDiscoClassifier, SteerableDiscoUNet
from armillary.nn import FilterBasis, FourierAzimuth, PiecewiseLinear
from armillary.spaces import ImageGrid, SphereGrid

Head = Literal["dense", "global"]
Name = Literal["disco_unet", "steerable_disco", "s2cnn", "planar_unet", "group_cnn", "group_resnet", "harmonic"]


@dataclass(frozen=True)
class ModelConfig:
    """A network and its size. Each ignores what belongs to others."""

    name: Name = "disco_unet"
    """disco_unet, steerable_disco and s2cnn on the sphere; planar_unet, plain 3×3 convolutions, on either; on images,
    classes only: group_cnn and group_resnet over turns (and reflections), harmonic for turns by any angle."""
    widths: tuple[int, ...] = (16, 32, 64)
    """Channels of each level, finest first; each level has half the rings or rows of the one before. group_cnn has one
    width, s2cnn one for each layer; those of steerable_disco are complex channels of each spin."""
    bandlimits: tuple[int, ...] = ()
    """Band limits of the layers of s2cnn, as many as widths; empty: in the published proportions to the grid's."""
    blocks: int = 1
    """Residual blocks on each level."""
    turns: int = 4
    """Turns in the point group of group_cnn and group_resnet; 1, 2 and 4 are exact."""
    reflections: bool = False
    """Whether that group has reflections too."""
    rings: float = 3.0
    """Filter cutoff in rings of a layer's input grid."""
    n_radial: int = 3
    """Radial functions of the filter basis."""
    n_azimuthal: int = 1
    """Azimuthal functions of the filter basis of disco_unet; 1 is axisymmetric, and only that is equivariant under
    SO(3)."""
    m_max: int = 0
    """Highest Fourier mode in azimuth instead of n_azimuthal hats; 0 for none."""
    highest_spin: int = 1
    """Features of steerable_disco have the spins 0 to this."""
    frames: int = 0
    """Turned frames in which steerable_disco takes its nonlinearity, by lift and projection; 0 is GELU on spin 0 and
    gates on others."""
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
    config: ModelConfig, in_channels: int, out_channels: int, grid: SphereGrid | ImageGrid, head: Head
) -> nn.Module:
    """The network of a configuration: ``dense`` maps (B, in, H, W) → (B, out, H, W), ``global`` → (B, out).

    Raises: ValueError for a name or head that does not exist, one that does not work on this kind of grid, or sizes
    that do not fit it.
    """
    if head not in ("dense", "global"):
        raise ValueError(f"got head = {head!r}, wanted 'dense' or 'global'.")
    if config.name not in get_args(Name):
        raise ValueError(f"got model name {config.name!r}, wanted one of {', '.join(get_args(Name))}.")
    if config.name == "planar_unet":
        plane = PlanarUNet if head == "dense" else PlanarClassifier
        return plane(
            in_channels, out_channels, grid.shape, config.widths, config.blocks, config.dropout, config.recompute
        )
    if config.name in ("disco_unet", "steerable_disco", "s2cnn"):
        if isinstance(grid, ImageGrid):
            raise ValueError(
                f"the model {config.name} works on the sphere, the data are images {grid.shape}: choose a network of "
                "the plane (--model.name planar_unet)."
            )
        return _on_the_sphere(config, in_channels, out_channels, grid, head)
    if not isinstance(grid, ImageGrid) or head == "dense":
        kind = "fields on the sphere" if isinstance(grid, SphereGrid) else "a value for each pixel"
        raise ValueError(f"the model {config.name} finds classes of images, wanted are {kind}: choose a U-Net.")
    return _on_images(config, in_channels, out_channels, grid)


def _on_the_sphere(config: ModelConfig, in_channels: int, out_channels: int, grid: SphereGrid, head: Head) -> nn.Module:
    if config.name == "steerable_disco":
        steerable = SteerableDiscoUNet if head == "dense" else SteerableDiscoClassifier
        return steerable(
            in_channels,
            out_channels,
            grid,
            config.widths,
            config.blocks,
            config.highest_spin,
            config.n_radial,
            config.rings,
            config.frames,
            config.dropout,
            config.recompute,
        )
    if config.name == "s2cnn":
        so3 = S2CNNSegmenter if head == "dense" else S2CNNClassifier
        sizes = (config.widths, config.bandlimits, config.n_radial, config.rings, config.oversample)
        return so3(in_channels, out_channels, grid, *sizes, config.dropout, config.recompute)
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


def _on_images(config: ModelConfig, in_channels: int, classes: int, grid: ImageGrid) -> nn.Module:
    if config.name == "harmonic":
        return HarmonicClassifier(in_channels, classes, grid, config.widths)
    group = (dihedral if config.reflections else cyclic)(config.turns)
    if config.name == "group_cnn":
        if len(config.widths) != 1:
            raise ValueError(f"got widths = {config.widths}, group_cnn wants one, the fields of all its layers.")
        return GroupCNN(group, config.widths[0], in_channels, classes, config.dropout)
    return GroupResNet(group, config.widths, 6 * config.blocks + 2, in_channels, classes)
