"""What is measured on the sphere: layers, transforms and planar convolutions, each with the jobs of all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from armillary.bench.edge_cases import EdgeCase
from armillary.bench.gcnn_cases import GroupNetCase
from armillary.bench.machine import COPY, COPY_NUMBERS, PRODUCT, PRODUCT_SIZE
from armillary.bench.peer_cases import WIDENING, PairedBasis, describe_layer, hats
from armillary.bench.so3_cases import SO3Case
from armillary.bench.turns import OURS, THEIRS, Job
from armillary.nn import DiscoConv, DiscoConvTranspose
from armillary.spaces import GaussLegendre

RING = "conv2d {0}×{0}, circular"
ZERO = "conv2d {0}×{0}, zeros"


@dataclass(frozen=True)
class DiscoCase:
    """A layer from ``nlat`` to ``nlat_out`` Gauss–Legendre rings, twice as many longitudes, as many channels out as in.

    The cutoff is three rings of the input, or with ``one_ring`` that of the peer's default: the widest gap between
    rings of the output.
    """

    nlat: int
    nlat_out: int
    channels: int = 32
    n_azimuthal: int = 1
    batch: int = 1
    n_radial: int = 3
    one_ring: bool = False

    @property
    def transposed(self) -> bool:
        """Whether it is a ``DiscoConvTranspose``."""
        return self.nlat_out > self.nlat

    @property
    def hats(self) -> PairedBasis:
        """The basis, as both libraries name it."""
        return hats(self.n_radial, self.n_azimuthal)

    @property
    def kind(self) -> str:
        """Plain, strided or transposed."""
        return "transposed" if self.transposed else "strided" if self.nlat_out < self.nlat else "plain"

    @property
    def name(self) -> str:
        """The kind of layer, and its functions if they have a direction."""
        directional = f"{self.kind}, directional ({self.hats.basis.size} functions)"
        return self.kind if self.n_azimuthal == 1 else directional

    @property
    def shapes(self) -> str:
        """The grids, in words."""
        return f"{self.nlat}×{2 * self.nlat} → {self.nlat_out}×{2 * self.nlat_out}"

    @property
    def cutoff(self) -> float | None:
        """In radians; None is the default."""
        if not self.one_ring:
            return None
        return float(GaussLegendre(self.nlat_out).colatitudes.diff().max()) * WIDENING

    def layer(self, channels: int, moments: int | None) -> DiscoConv | DiscoConvTranspose:
        """The layer, with so many channels in and out."""
        return (DiscoConvTranspose if self.transposed else DiscoConv)(
            channels,
            channels,
            GaussLegendre(self.nlat),
            GaussLegendre(self.nlat_out),
            basis=self.hats.basis,
            cutoff=self.cutoff,
            bias=False,
            moments=moments,
        )

    def jobs(self) -> dict[str, Job]:
        """armillary with its default matched moments, and both paths of torch-harmonics."""
        layer = self.layer(self.channels, None)  # without moments built in an instant; the description is the same
        x_shape = (self.batch, self.channels, *layer.grid.shape)
        ours = {
            "kind": "disco",
            "transposed": self.transposed,
            "in_channels": self.channels,
            "out_channels": self.channels,
            "grid": layer.grid.to_dict(),
            "grid_out": layer.grid_out.to_dict(),
            "n_radial": self.n_radial,
            "n_azimuthal": self.n_azimuthal,
            "cutoff": layer.cutoff,
        }
        theirs = {"kind": "disco", **describe_layer(layer, self.hats, "nodal", "x", "w")}
        jobs = {OURS: Job("our_layers", ours, x_shape)}
        for name in THEIRS[: 1 if self.transposed else 2]:  # their transposed layer has no fused path
            jobs[name] = Job("peer_layers", theirs | {"fused": name != THEIRS[0]}, x_shape)
        return jobs


@dataclass(frozen=True)
class RooflineCase:
    """A DISCO layer, with a matrix product and a copy that take their turns: what the machine can compute and move."""

    disco: DiscoCase

    def jobs(self) -> dict[str, Job]:
        """Those of the layer, the product and the copy."""
        size = PRODUCT_SIZE
        product = Job("torch_layers", {"kind": "product", "size": size}, (size, size), ("inference",))
        copy = Job("torch_layers", {"kind": "copy", "numbers": COPY_NUMBERS}, (COPY_NUMBERS,), ("inference",))
        return self.disco.jobs() | {PRODUCT: product, COPY: copy}


def conv2d_jobs(nlat: int, channels: int, size: int, batch: int = 1) -> dict[str, Job]:
    """Planar convolutions of ``size``² pixels on the same image, around the rings and with zeros at the seam."""
    x_shape = (batch, channels, nlat, 2 * nlat)
    build = {"kind": "conv2d", "channels": channels, "size": size}
    return {
        RING.format(size): Job("torch_layers", build | {"circular": True}, x_shape),
        ZERO.format(size): Job("torch_layers", build | {"circular": False}, x_shape),
    }


@dataclass(frozen=True)
class PlanarCase:
    """A plain DISCO layer and planar convolutions of about the same reach, ``size``² pixels."""

    disco: DiscoCase
    size: int

    @property
    def reach(self) -> str:
        """The cutoff of the layer, in words."""
        return "one ring" if self.disco.one_ring else "3 rings"

    def jobs(self) -> dict[str, Job]:
        """armillary and the two conv2d; the peer has its own suites."""
        ours = {OURS: self.disco.jobs()[OURS]}
        return ours | conv2d_jobs(self.disco.nlat, self.disco.channels, self.size, self.disco.batch)


@dataclass(frozen=True)
class ScalingCase:
    """One plain layer at one size, and a 3×3 convolution."""

    disco: DiscoCase

    @property
    def points(self) -> int:
        """The pixels of the grid."""
        return 2 * self.disco.nlat**2

    def jobs(self) -> dict[str, Job]:
        """armillary, both paths of torch-harmonics and the conv2d that goes around the rings."""
        planar = conv2d_jobs(self.disco.nlat, self.disco.channels, 3)
        return self.disco.jobs() | {RING.format(3): planar[RING.format(3)]}


@dataclass(frozen=True)
class ShtCase:
    """The transform or its inverse, all degrees 0..nlat - 1, for (batch, channels) fields in float32."""

    nlat: int
    batch: int
    channels: int
    inverse: bool = False

    def jobs(self) -> dict[str, Job]:
        """armillary and torch-harmonics."""
        lead, size = (self.batch, self.channels), self.nlat
        x_shape = (*lead, size, size) if self.inverse else (*lead, size, 2 * size)
        build: dict[str, Any] = {"kind": "sht", "nlat": self.nlat, "inverse": self.inverse}
        passes = ("inference", "training")
        return {
            name: Job(builders, build, x_shape, passes, complex=self.inverse)
            for name, builders in ((OURS, "our_layers"), (THEIRS[0], "peer_layers"))
        }


Case = DiscoCase | RooflineCase | PlanarCase | ScalingCase | ShtCase | GroupNetCase | SO3Case | EdgeCase
