"""Trained networks of atoms as calculators of ASE: relaxation, molecular dynamics, and all else that it runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from armillary.data.atom_graphs import AtomGraph
from armillary.interop.atoms_run import load_network
from armillary.ops.extras import MissingExtra
from armillary.spaces.points import Neighbours, radius_graph
from armillary.train import Run

try:
    from ase.calculators.calculator import Calculator as AseCalculator
    from ase.calculators.calculator import all_changes
except ImportError as error:
    raise MissingExtra(
        'armillary.interop.ase needs ase, which is not installed: pip install "armillary[molecules]".'
    ) from error

if TYPE_CHECKING:
    from ase import Atoms


class Calculator(AseCalculator):
    """The network of a run directory as a calculator: energy in eV, forces in eV/Å, stress in eV/Å³.

    ``Calculator("runs/ethanol")`` opens the settings and weights of a run whose configuration has a table [network]
    (``models.AtomsConfig``). The stress, ``1/V ∂E/∂ε`` of a symmetric strain ε, in ASE's order xx, yy, zz, yz, xz, xy,
    is there where the forces are derivatives, the structure is periodic in all three directions and the cell has a
    volume. ``energy`` is that of the whole structure, references of the elements included, summed in float64.

    Neighbours are found within the cutoff and ``skin``, and again when an atom has moved by half of it or the cell has
    changed: results do not depend on it. ``dtype``: what the network computes in.

    Raises: RunError where the run is damaged or of another kind; ValueError for elements the network does not know,
    positions that are not finite, or a skin below 0; ASE's PropertyNotImplementedError for a stress that is not there.
    Source: pinned by ``tests/interop/test_ase.py``.
    """

    def __init__(
        self,
        run: str | Path | Run,
        checkpoint: str = "best",
        *,
        dtype: Literal["float32", "float64"] = "float32",
        device: str = "cpu",
        skin: float = 0.5,
    ) -> None:
        super().__init__()
        if dtype not in ("float32", "float64") or not skin >= 0:
            raise ValueError(f"got dtype = {dtype!r} and skin = {skin}, wanted float32 or float64, and a length >= 0.")
        run = run if isinstance(run, Run) else Run.open(run)
        self.config, self.network = load_network(run, checkpoint)
        self.dtype, self.device, self.skin = getattr(torch, dtype), torch.device(device), float(skin)
        self.network.to(self.device, self.dtype)
        self._graph: tuple[Atoms, Neighbours] | None = None

    @property
    def implemented_properties(self) -> list[str]:  # type: ignore[override]
        """What it computes: no stress from direct forces."""
        found = ["energy", "free_energy", "forces"]
        return found if self.config.forces == "direct" else [*found, "stress"]

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """ASE's hook: fills ``results`` for ``atoms``."""
        super().calculate(atoms, list(properties), list(system_changes))
        atoms = self.atoms
        assert atoms is not None
        with torch.no_grad():
            found = self.network(*self._inputs(atoms))
        references = self.config.reference_table()
        energy = float(found.energies[0]) + sum(references[int(z)] for z in atoms.numbers)
        self.results = {"energy": energy, "free_energy": energy, "forces": _array(found.forces)}
        if found.virials is not None and atoms.pbc.all() and abs(atoms.cell.volume) > 0:
            stress = _array(found.virials[0]) / abs(atoms.cell.volume)
            self.results["stress"] = stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]

    def _inputs(self, atoms: Atoms) -> AtomGraph:
        edges = self._neighbours(atoms)
        offsets = edges.shifts.double() @ torch.from_numpy(np.array(atoms.cell))
        charges = torch.from_numpy(atoms.numbers.astype(np.int64))
        unknown = sorted(set(charges.tolist()) - set(self.config.elements))
        if unknown:
            raise ValueError(f"got atoms with atomic numbers {unknown}, the run knows {list(self.config.elements)}.")
        # from the middle: float32 keeps differences where coordinates are large, and nothing else is looked at
        positions = torch.from_numpy(atoms.positions - atoms.positions.sum(0) / max(1, len(atoms)))
        to = {"device": self.device, "dtype": self.dtype}
        batch = torch.zeros(len(charges), dtype=torch.int64, device=self.device)
        index = edges.edge_index.to(self.device)
        return AtomGraph(charges.to(self.device), positions.to(**to), index, offsets.to(**to), batch, 1)

    def _neighbours(self, atoms: Atoms) -> Neighbours:
        if self._graph is not None:
            old, edges = self._graph
            same = len(old) == len(atoms) and bool((old.pbc == atoms.pbc).all() and (old.cell == atoms.cell).all())
            if same and float(((atoms.positions - old.positions) ** 2).sum(1).max(initial=0.0)) <= (self.skin / 2) ** 2:
                return edges
        cell, periodic = torch.from_numpy(np.array(atoms.cell)), torch.from_numpy(atoms.pbc.copy())
        reach = self.config.cutoff + self.skin
        edges = radius_graph(torch.from_numpy(atoms.positions.copy()), reach, cell=cell, periodic=periodic)
        self._graph = (atoms.copy(), edges)
        return edges


def _array(values: Any) -> np.ndarray:
    return np.asarray(values.detach().cpu().double())
