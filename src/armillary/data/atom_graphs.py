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
from armillary.ops.sums import mean_by, sum_by
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
    x = _centred(positions, batch, 1).float()
    return AtomGraph(charges.long(), x, found.edge_index, offsets, batch, 1)


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
    energies, forces = (together([getattr(y, name) for y in targets]) for name in ("energies", "forces"))
    sizes = torch.cat([y.sizes for y in targets])
    return join_graphs([x for x, _ in samples]), EnergyTargets(energies, forces, sizes)


def together(parts: Sequence[Tensor | None]) -> Tensor | None:
    """All parts one after the other, or None where one of them is."""
    there = [part for part in parts if part is not None]
    return torch.cat(there) if len(there) == len(parts) else None


def atoms_alone(structures: Structures, references: Mapping[int, float]) -> Tensor:
    """``Σ_i e_{z_i}``, the references of the atoms of each structure summed: (n,) float64, eV. Elements without a
    reference count as 0."""
    each = torch.tensor([references.get(z, 0.0) for z in range(119)], dtype=torch.float64)[structures.charges]
    return sum_by(structures.batch, each, len(structures))


def _centred(positions: Tensor, batch: Tensor, structures: int) -> Tensor:
    x = positions.double()
    return x - mean_by(batch, x, structures)[batch]


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


def graphs_of(structures: Structures, cutoff: float, dtype: torch.dtype = torch.float32) -> list[AtomGraph]:
    """The graph of each structure, neighbours within ``cutoff`` Å found in float64 for all at once, the rest in
    ``dtype``, positions from the mean of each.

    Raises: ValueError as ``radius_graph`` does.
    """
    batch, cells = structures.batch, structures.cells
    found = radius_graph(structures.positions, cutoff, batch, cells, structures.periodic)
    home = batch[found.edge_index[1]]
    shifts = found.shifts.double()
    offsets = shifts if cells is None else torch.einsum("ek,ekd->ed", shifts, cells[home])
    counts = home.bincount(minlength=len(structures)).tolist()
    parts = zip(
        structures.parts("charges"),
        _centred(structures.positions, batch, len(structures)).to(dtype).split(structures.sizes.tolist()),
        (found.edge_index - structures.offsets[home]).split(counts, 1),
        offsets.to(dtype).split(counts),
        strict=True,
    )
    return [AtomGraph(z, x, edges, shift, torch.zeros_like(z), 1) for z, x, edges, shift in parts]


class AtomGraphs(Dataset[Any]):
    """Structures with energies, forces or both as samples ``(AtomGraph, EnergyTargets)``, for ``train.fit`` with
    ``collate=collate_atoms``.

    ``references``: the energy of an atom by atomic number, eV, which is subtracted in float64, so that float32 holds
    the rest. Neighbours within ``cutoff`` Å are found once, here.
    Raises: ValueError for structures with neither energies nor forces, atoms without a reference, and as
    ``radius_graph``.
    Source: pinned by ``tests/data/test_atom_graphs.py``.
    """

    def __init__(self, structures: Structures, cutoff: float, references: Mapping[int, float]) -> None:
        if structures.energies is None and structures.forces is None:
            raise ValueError("these structures have neither energies nor forces, wanted one or both.")
        others = sorted(set(structures.charges.tolist()) - set(references))
        if others:
            raise ValueError(f"got atoms with atomic numbers {others}, there are references of {sorted(references)}.")
        rest: list[Tensor | None] = [None] * len(structures)
        if structures.energies is not None:
            rest = list((structures.energies - atoms_alone(structures, references)).float().split(1))
        forces: list[Tensor | None] = [None] * len(structures)
        if structures.forces is not None:
            forces = [f.float() for f in structures.parts("forces")]
        graphs, sizes = graphs_of(structures, cutoff), structures.sizes.split(1)
        self.samples: list[tuple[AtomGraph, EnergyTargets]] = [
            (graph, EnergyTargets(*targets)) for graph, *targets in zip(graphs, rest, forces, sizes, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, i: int) -> tuple[AtomGraph, EnergyTargets]:
        return self.samples[i]

    def neighbours(self) -> float:
        """The mean number of neighbours of an atom."""
        atoms = sum(len(x.charges) for x, _ in self.samples)
        return sum(x.edge_index.shape[1] for x, _ in self.samples) / max(1, atoms)

    def force_scale(self) -> float:
        """The root mean square of the components of all forces, eV/Å. Raises: ValueError where there are none."""
        forces = together([y.forces for _, y in self.samples])
        if forces is None:
            raise ValueError("these structures have no forces to measure a scale by.")
        return float(forces.double().square().mean().sqrt())

    def energy_scale(self) -> float:
        """The root mean square of energies above the references, for each atom, eV. Raises: ValueError where there are
        none."""
        energies = together([y.energies for _, y in self.samples])
        if energies is None:
            raise ValueError("these structures have no energies to measure a scale by.")
        sizes = torch.cat([y.sizes for _, y in self.samples])
        return float((energies.double() / sizes).square().mean().sqrt())
