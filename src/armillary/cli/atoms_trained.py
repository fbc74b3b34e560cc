"""A trained network of atoms, and what it says of structures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from armillary.data import DataError, Structures
from armillary.data.atom_graphs import AtomGraph, atoms_alone, graphs_of, join_graphs
from armillary.data.elements import SYMBOLS
from armillary.interop.atoms_run import load_network
from armillary.models import AtomsConfig
from armillary.nn import EnergyForces, EnergyForcesMetrics, EnergyTargets
from armillary.train import Run


@dataclass(frozen=True)
class TrainedAtoms:
    """A network in evaluation mode with what was measured when it was trained."""

    network: nn.Module
    config: AtomsConfig
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def unknown(self, structures: Structures) -> dict[int, list[int]]:
        """Structures with elements that the network does not know, by number, and which elements these are."""
        known = torch.zeros(119, dtype=torch.bool)
        known[torch.tensor(self.config.elements)] = True
        wrong = ~known[structures.charges]
        found: dict[int, list[int]] = {}
        for k, z in zip(structures.batch[wrong].tolist(), structures.charges[wrong].tolist(), strict=True):
            if z not in found.setdefault(k, []):
                found[k].append(z)
        return found

    def predict(self, structures: Structures, batch_size: int = 16, dtype: torch.dtype = torch.float32) -> Structures:
        """The same structures with the network's energies (references included, summed in float64) and forces, and with
        stresses where the forces are derivatives and all structures are periodic in three directions.

        Raises: DataError for elements that the network does not know, and where a cell is none.
        """
        unknown = self.unknown(structures)
        if unknown:
            k, elements = next(iter(unknown.items()))
            raise DataError(f"structure {k}: {self.unknown_elements(elements)}.")
        found = self.evaluate(graphs_of(structures, self.config.cutoff, dtype), batch_size, dtype, "predicting")
        energies = found.energies + atoms_alone(structures, self.config.reference_table())
        stresses = None
        if found.virials is not None and structures.cells is not None and bool(structures.periodic.all()):  # type: ignore[union-attr]
            stresses = found.virials / torch.linalg.det(structures.cells).abs()[:, None, None]
        return Structures(
            structures.charges,
            structures.positions,
            structures.offsets,
            energies,
            found.forces,
            structures.cells,
            structures.periodic,
            stresses,
            structures.properties,
            structures.skipped,
        )

    def evaluate(
        self, graphs: Sequence[AtomGraph], batch_size: int, dtype: torch.dtype, progress: str = ""
    ) -> EnergyForces:
        """What the network says of graphs, on the CPU and in float64; energies are those above the references.
        ``progress`` names the bar that is shown."""
        network = self.network.to(self.device, dtype)
        starts = range(0, len(graphs), batch_size)
        parts: list[EnergyForces] = []
        for start in track(starts, progress, transient=True, disable=not progress or not Console().is_terminal):
            batch = join_graphs(graphs[start : start + batch_size])
            on_device = (value.to(self.device) if isinstance(value, Tensor) else value for value in batch)
            with torch.no_grad():
                parts.append(network(*on_device))
        energies, forces, virials = (
            None if parts[0][k] is None else torch.cat([part[k].cpu().double() for part in parts])  # type: ignore[union-attr]
            for k in range(3)
        )
        assert energies is not None
        assert forces is not None
        return EnergyForces(energies, forces, virials)

    def unknown_elements(self, elements: Sequence[int]) -> str:
        """The sentence for atoms of other elements."""
        known = ", ".join(SYMBOLS[z - 1] for z in self.config.elements)
        return f"has {', '.join(SYMBOLS[z - 1] for z in elements)}, the network was trained on {known}"


def load_trained_atoms(run: Run, checkpoint: str = "best", device: torch.device | None = None) -> TrainedAtoms:
    """Raises: RunError for a run of another kind, a checkpoint that is not there, or files that do not fit together."""
    config, network = load_network(run, checkpoint)
    return TrainedAtoms(network, config, device or torch.device("cpu"))


def free_target(target: Path, file: str, overwrite: bool) -> Path:
    """Where a result goes. Raises: ValueError where a file is there and may not be replaced, or is the one that is
    read."""
    if target.exists() and not overwrite:
        raise ValueError(f"{target} exists: add --overwrite, or choose another --out.")
    sources = (Path(file), Path(file.rpartition(":")[0] or file))  # FILE.npz:NAME too
    if target.exists() and any(source.exists() and target.samefile(source) for source in sources):
        raise ValueError(f"--out {target} is the file that is read: choose another.")
    return target


def score_structures(predicted: Structures, true: Structures) -> dict[str, float]:
    """Errors in meV and meV/Å of what ``true`` has (``EnergyForcesMetrics``); empty where it has nothing."""
    if true.energies is None and true.forces is None:
        return {}
    assert predicted.energies is not None
    assert predicted.forces is not None
    metrics = EnergyForcesMetrics()
    targets = EnergyTargets(true.energies, true.forces, true.sizes)
    metrics.update(EnergyForces(predicted.energies, predicted.forces), targets)
    return metrics.compute()
