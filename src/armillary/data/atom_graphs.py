"""Structures of atoms as samples for networks: neighbours found once, batches without padding.

Shape legend: B structures, P atoms of all of them, E edges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from armillary.data.structures import Structures
from armillary.nn.energies import EnergyTargets
from armillary.ops.sums import mean_by
from armillary.spaces.points import radius_graph


class AtomGraph(NamedTuple):
    """The arguments of a network of atoms, in order (see ``models.ConservativeForces``).

    ``charges`` (P,) int64, ``positions`` (P, 3) Å, ``edge_index`` (2, E) int64 with row 0 the neighbour, ``offsets``
    (E, 3) Å, the lattice vectors added to the neighbour's position, ``batch`` (P,) int64, and how many structures.
    """

    charges: Tensor
    positions: Tensor
    edge_index: Tensor
    offsets: Tensor
    batch: Tensor
    structures: int


def atom_graph(
    charges: Tensor, positions: Tensor, cutoff: float, cell: Tensor | None = None, periodic: Tensor | bool | None = None
) -> AtomGraph:
    """One structure and its neighbours within ``cutoff``: charges (P,), positions (P, 3), rows of ``cell`` (3, 3) the
    lattice vectors, as for ``spaces.radius_graph``; edges are found in the precision given, and the rest is float32,
    positions from the mean of the structure, so that they keep their differences wherever it lies.

    Raises: ValueError as ``radius_graph`` does.
    """
    found = radius_graph(positions, cutoff, cell=cell, periodic=periodic)
    offsets = torch.zeros(len(found.shifts), 3) if cell is None else (found.shifts.double() @ cell.double()).float()
    batch = torch.zeros(len(charges), dtype=torch.int64)
    return AtomGraph(charges.long(), _centred(positions, batch, 1), found.edge_index, offsets, batch, 1)


def join_graphs(graphs: Sequence[AtomGraph]) -> AtomGraph:
    """Structures one after the other as one graph without edges between them."""
    starts, atoms, structures = [], 0, 0
    for graph in graphs:
        starts.append((atoms, structures))
        atoms, structures = atoms + len(graph.charges), structures + graph.structures
    return AtomGraph(
        torch.cat([g.charges for g in graphs]),
        torch.cat([g.positions for g in graphs]),
        torch.cat([g.edge_index + first for g, (first, _) in zip(graphs, starts, strict=True)], 1),
        torch.cat([g.offsets for g in graphs]),
        torch.cat([g.batch + number for g, (_, number) in zip(graphs, starts, strict=True)]),
        structures,
    )


def collate_atoms(samples: Sequence[tuple[AtomGraph, EnergyTargets]]) -> tuple[AtomGraph, EnergyTargets]:
    """Samples of ``AtomGraphs`` as one batch: ``collate`` of ``train.fit``."""
    targets = [y for _, y in samples]
    energies, forces, sizes = (torch.cat([y[k] for y in targets]) for k in range(3))
    return join_graphs([x for x, _ in samples]), EnergyTargets(energies, forces, sizes)


def _centred(positions: Tensor, batch: Tensor, structures: int) -> Tensor:
    x = positions.double()
    return (x - mean_by(batch, x, structures)[batch]).float()


def reference_energies(structures: Structures) -> dict[int, float]:
    """The energy of an atom of each element that occurs, eV, by least squares: ``E_b ≈ Σ_z n_bz e_z``.

    Where the numbers of atoms do not determine them, as for one molecule in many poses, those of the least norm.
    Raises: ValueError for no structures, or structures without energies.
    Source: pinned by ``tests/data/test_atom_graphs.py``.
    """
    if len(structures) == 0 or structures.energies is None:
        raise ValueError(
            f"got {len(structures)} structures, energies: {structures.energies}, wanted some with energies."
        )
    elements, places = structures.charges.unique(return_inverse=True)
    counts = torch.zeros(len(structures), len(elements), dtype=torch.float64)
    counts.index_put_((structures.batch, places), torch.ones(len(places), dtype=torch.float64), accumulate=True)
    found = torch.linalg.pinv(counts) @ structures.energies
    return dict(zip(elements.tolist(), found.tolist(), strict=True))


class AtomGraphs(Dataset[Any]):
    """Structures with energies and forces as samples ``(AtomGraph, EnergyTargets)``, for ``train.fit`` with
    ``collate=collate_atoms``.

    ``references``: the energy of an atom by atomic number, eV, which is subtracted in float64, so that float32 holds
    the rest; positions are from the mean of each structure. Neighbours within ``cutoff`` Å are found once, here.
    Raises: ValueError for structures without energies or forces, atoms without a reference, and as ``radius_graph``.
    Source: pinned by ``tests/data/test_atom_graphs.py``.
    """

    def __init__(self, structures: Structures, cutoff: float, references: Mapping[int, float]) -> None:
        if structures.energies is None or structures.forces is None:
            raise ValueError("these structures have no energies or no forces, wanted both.")
        others = sorted(set(structures.charges.tolist()) - set(references))
        if others:
            raise ValueError(f"got atoms with atomic numbers {others}, there are references of {sorted(references)}.")
        each = torch.tensor([references.get(z, 0.0) for z in range(119)], dtype=torch.float64)[structures.charges]
        batch, cells = structures.batch, structures.cells
        rest = structures.energies.index_add(0, batch, -each).float()
        found = radius_graph(structures.positions, cutoff, batch, cells, structures.periodic)
        home = batch[found.edge_index[1]]
        shifts = found.shifts.double()
        offsets = shifts if cells is None else torch.einsum("ek,ekd->ed", shifts, cells[home])
        counts = home.bincount(minlength=len(structures)).tolist()
        parts = zip(
            structures.parts("charges"),
            _centred(structures.positions, batch, len(structures)).split(structures.sizes.tolist()),
            (found.edge_index - structures.offsets[home]).split(counts, 1),
            offsets.float().split(counts),
            structures.forces.float().split(structures.sizes.tolist()),
            strict=True,
        )
        self.samples: list[tuple[AtomGraph, EnergyTargets]] = []
        for k, (z, x, edges, shift, force) in enumerate(parts):
            graph = AtomGraph(z, x, edges, shift, torch.zeros_like(z), 1)
            self.samples.append((graph, EnergyTargets(rest[k : k + 1], force, structures.sizes[k : k + 1])))

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, i: int) -> tuple[AtomGraph, EnergyTargets]:
        return self.samples[i]

    def neighbours(self) -> float:
        """The mean number of neighbours of an atom."""
        atoms = sum(len(x.charges) for x, _ in self.samples)
        return sum(x.edge_index.shape[1] for x, _ in self.samples) / max(1, atoms)

    def force_scale(self) -> float:
        """The root mean square of the components of all forces, eV/Å."""
        forces = torch.cat([y.forces for _, y in self.samples]).double()
        return float(forces.square().mean().sqrt())
