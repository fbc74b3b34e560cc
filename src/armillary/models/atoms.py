"""One configuration that names and sizes a network of atoms; what run directories store and calculators open."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

from armillary.models.forces import ConservativeForces, DirectForces
from armillary.models.invariant import InvariantNetwork
from armillary.models.scn import SCN

ADDED = {"added": True}
"""Of settings that older runs have not: their tables leave them out while they have their defaults."""


def _added(default: Any) -> Any:
    return field(default=default, metadata=ADDED)


@dataclass(frozen=True)
class AtomsModelConfig:
    """A network of atoms and its size: what is chosen; ``AtomsConfig`` adds what is measured.

    Raises: ValueError for what the invariant network has not: direct forces, a degree of far neighbours, taps.
    """

    name: Literal["escn", "scn", "invariant"] = "escn"
    """escn and scn: functions on the sphere, messages that commute with turns of the edge's frame, or that do not;
    invariant: distances alone."""
    channels: int = 32
    """Channels of each atom."""
    layers: int = 2
    """Rounds of messages."""
    lmax: int = 2
    """Highest degree L of the functions on the sphere (escn, scn)."""
    mmax: int = 2
    """Highest order M in the frame of an edge (escn, scn)."""
    hidden: int = 32
    """Hidden channels of a message (escn), or its hidden width (scn)."""
    cutoff: float = 5.0
    """Å beyond which atoms are no neighbours."""
    radial: int = 8
    """Radial functions: Bessel functions (escn, scn), Gaussians (invariant)."""
    rings: int = 0
    """Rings of the grid of the nonlinearity (escn, scn); 0: 2 (L + 1), as published."""
    head: Literal["directions", "mean"] = "directions"
    """Energy from the functions at 128 directions, or from their means alone (escn, scn)."""
    forces: Literal["conservative", "direct"] = "conservative"
    """Forces as derivatives of the energy, or by a head of their own (escn, scn)."""
    reflections: bool = True
    """Whether messages commute with reflections (escn)."""
    nearest: int | None = _added(None)
    """How many neighbours of an atom send messages of degree lmax, the nearest ones; none: all (escn, scn)."""
    far_degree: int | None = _added(None)
    """Degree of the messages of the others; wanted where nearest is given (escn, scn)."""
    blend: float = _added(0.5)
    """Å over which a neighbour that becomes farther than the nearest goes from one message to the other."""
    taps: int = _added(1)
    """Turns of the frame about the edge over which a message is averaged (scn)."""

    def __post_init__(self) -> None:
        if self.name == "invariant" and self.forces == "direct":
            raise ValueError("network: an invariant network has no directions for direct forces: use conservative.")
        if self.name == "invariant" and ((self.nearest, self.far_degree) != (None, None) or self.taps != 1):
            raise ValueError("network: an invariant network has no degrees: leave nearest, far_degree and taps out.")


@dataclass(frozen=True)
class AtomsConfig(AtomsModelConfig):
    """A network of atoms, its size, and what was measured on the structures it is trained on.

    Raises: ValueError for other than one reference for each element, and as ``AtomsModelConfig``.
    """

    elements: tuple[int, ...] = (1, 6, 7, 8)
    """Atomic numbers that occur."""
    references: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    """The energy of an atom of each element, eV, added to what the network gives (see data.reference_energies)."""
    neighbours: float = 10.0
    """Mean number of neighbours, by whose root sums of messages are divided."""
    scale: float = 1.0
    """Unit of energies and forces inside the network, eV and eV/Å: the root mean square of forces is a good one."""

    def __post_init__(self) -> None:
        if len(self.references) != len(self.elements):
            raise ValueError(
                f"network: got {len(self.references)} references of {len(self.elements)} elements, wanted one for each."
            )
        super().__post_init__()

    def reference_table(self) -> dict[int, float]:
        """The reference of each element, by atomic number."""
        return dict(zip(self.elements, self.references, strict=True))


def build_atoms_model(config: AtomsConfig) -> nn.Module:
    """The network of a configuration, with forces: (charges, positions, edge_index, offsets, batch, structures) →
    ``nn.EnergyForces``, whose energies are those above the references.

    Raises: ValueError for sizes that do not fit.
    """
    if config.name == "invariant":
        network: nn.Module = InvariantNetwork(
            config.elements,
            config.channels,
            config.layers,
            config.cutoff,
            radial=config.radial,
            neighbours=config.neighbours,
            scale=config.scale,
        )
        return ConservativeForces(network)
    network = SCN(
        config.elements,
        config.channels,
        config.layers,
        config.lmax,
        config.mmax,
        config.cutoff,
        message="escn" if config.name == "escn" else "scn",
        hidden=config.hidden,
        radial=config.radial,
        rings=config.rings or None,
        head=config.head,
        forces=config.forces == "direct",
        reflections=config.reflections,
        neighbours=config.neighbours,
        scale=config.scale,
        nearest=config.nearest,
        far_degree=config.far_degree,
        blend=config.blend,
        taps=config.taps,
    )
    return DirectForces(network) if config.forces == "direct" else ConservativeForces(network)
