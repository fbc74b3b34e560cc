"""PyTorch Geometric's ``Data`` and the batches of its ``DataLoader`` as plain tensors and back; the package is not
required.

Whatever has the attributes is accepted: nothing here imports the package but ``to_pyg``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from armillary.data.spec import DataError
from armillary.data.structures import Structures
from armillary.ops.extras import extra_module
from armillary.spaces.points import Neighbours, radius_graph

_CHARGES, _ENERGY, _FORCES = ("z", "atomic_numbers"), ("energy", "y"), ("forces", "force")


def positions_of(data: Any) -> tuple[Tensor, Tensor]:
    """``pos`` (points, 3), and ``batch`` (points,) int64, zeros where the data are one graph.

    Raises: DataError without ``pos``, or for other shapes.
    Source: pinned by ``tests/interop/test_pyg.py``.
    """
    pos = getattr(data, "pos", None)
    if not isinstance(pos, Tensor) or pos.ndim != 2 or pos.shape[1] != 3:
        raise DataError(f"got pos = {_told(pos)} of a {type(data).__name__}, wanted positions (points, 3).")
    batch = getattr(data, "batch", None)
    if batch is None:
        batch = torch.zeros(len(pos), dtype=torch.int64, device=pos.device)
    if not isinstance(batch, Tensor) or batch.shape != (len(pos),) or batch.dtype != torch.int64:
        raise DataError(f"got batch = {_told(batch)}, wanted ({len(pos)},) int64.")
    return pos, batch


def neighbours_of(data: Any, cutoff: float | None = None, max_neighbours: int | None = None) -> Neighbours:
    """The edges that the data have, ``edge_index`` with ``cell_offsets`` or ``shifts`` where cells are periodic; with
    ``cutoff`` new ones, by ``radius_graph`` with the data's ``cell`` and ``pbc``.

    Both write the source over the target, as PyTorch Geometric does by default. ``shifts``: whole lattice vectors to
    add to the source's position.
    Raises: DataError where neither edges nor a cutoff are given, or edges of another form; ValueError as
    ``radius_graph``.
    Source: pinned by ``tests/interop/test_pyg.py``.
    """
    pos, batch = positions_of(data)
    if cutoff is not None:
        cell, periodic = _cells(data, pos, batch)
        return radius_graph(pos, cutoff, batch, cell, periodic, max_neighbours)
    edges = getattr(data, "edge_index", None)
    if edges is None:
        raise DataError("the data have no edge_index: pass cutoff, and neighbours are found by distance.")
    if not isinstance(edges, Tensor) or edges.ndim != 2 or edges.shape[0] != 2 or edges.dtype != torch.int64:
        raise DataError(f"got edge_index = {_told(edges)}, wanted (2, edges) int64.")
    if edges.numel() and not (int(edges.min()) >= 0 and int(edges.max()) < len(pos)):
        raise DataError(f"edge_index names points {int(edges.min())} to {int(edges.max())} of {len(pos)}.")
    shifts = next((s for name in ("cell_offsets", "shifts") if (s := getattr(data, name, None)) is not None), None)
    if shifts is None:
        shifts = torch.zeros(edges.shape[1], 3)
    if not isinstance(shifts, Tensor) or shifts.shape != (edges.shape[1], 3) or not torch.equal(shifts, shifts.round()):
        raise DataError(f"got shifts = {_told(shifts)}, wanted whole numbers ({edges.shape[1]}, 3).")
    return Neighbours(edges, shifts.to(edges))


def from_pyg(data: Any) -> Structures:
    """The structures of a ``Data`` or of a batch: ``z`` or ``atomic_numbers``, ``pos`` (Å), and where there ``cell``
    with ``pbc``, ``energy`` or ``y`` of one number a graph (eV), ``forces`` or ``force`` (eV/Å). Points of a graph must
    be together.

    Raises: DataError naming what is not there or of another shape.
    Source: pinned by ``tests/interop/test_pyg.py``.
    """
    pos, batch = positions_of(data)
    charges = next((c for name in _CHARGES if (c := getattr(data, name, None)) is not None), None)
    if not isinstance(charges, Tensor) or charges.numel() != len(pos):
        raise DataError(
            f"got z = {_told(charges)}, wanted the atomic numbers z or atomic_numbers of {len(pos)} points."
        )
    if bool((batch.diff() < 0).any()):
        raise DataError("the points of a graph are not together: batch must not fall.")
    sizes = torch.bincount(batch.cpu())
    cell, periodic = _cells(data, pos, batch)
    energy = next((e for name in _ENERGY if (e := getattr(data, name, None)) is not None), None)
    forces = next((f for name in _FORCES if (f := getattr(data, name, None)) is not None), None)
    energy = None if energy is None else torch.as_tensor(energy).detach().cpu().double().flatten()
    return Structures(
        charges.detach().cpu().flatten().long(),
        pos.detach().cpu().double(),
        torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)]),
        energy if energy is not None and len(energy) == len(sizes) else None,
        None if forces is None else forces.detach().cpu().double(),
        None if cell is None else cell.detach().cpu().double(),
        periodic,
    )


def to_pyg(structures: Structures) -> list[Any]:
    """One ``torch_geometric.data.Data`` for each structure: ``z``, ``pos`` in float32, and ``energy``, ``forces``,
    ``cell`` (1, 3, 3) and ``pbc`` (1, 3) where there are such, so that its ``DataLoader`` joins them.

    Raises: ImportError without PyTorch Geometric.
    Source: pinned by ``tests/interop/test_pyg.py``.
    """
    try:
        pyg = extra_module("torch_geometric.data", "points", "to_pyg")
    except ImportError as error:
        raise ImportError(
            "to_pyg needs PyTorch Geometric, which is not installed: pip install torch_geometric."
        ) from error
    found = []
    for number in range(len(structures)):
        one = structures[number]
        fields = {"energy": one.energies, "forces": one.forces, "cell": one.cells, "pbc": one.periodic}
        kept = {k: v.float() if v.is_floating_point() else v for k, v in fields.items() if v is not None}
        found.append(pyg.Data(z=one.charges, pos=one.positions.float(), **kept))
    return found


def _cells(data: Any, pos: Tensor, batch: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Cells (graphs, 3, 3) and which directions wrap, (graphs, 3) on the processor; all where the data do not say."""
    graphs = int(batch.max()) + 1 if len(batch) else 1
    cell = getattr(data, "cell", None)
    if cell is None:
        return None, None
    if not isinstance(cell, Tensor) or cell.numel() != 9 * graphs:
        raise DataError(f"got cell = {_told(cell)}, wanted ({graphs}, 3, 3).")
    periodic = getattr(data, "pbc", None)
    wraps = torch.ones(graphs, 3, dtype=torch.bool) if periodic is None else torch.as_tensor(periodic).cpu().bool()
    if wraps.numel() != 3 * graphs:
        raise DataError(f"got pbc = {_told(periodic)}, wanted ({graphs}, 3).")
    return cell.reshape(graphs, 3, 3), wraps.reshape(graphs, 3)


def _told(value: Any) -> str:
    return f"{tuple(value.shape)} {value.dtype}" if isinstance(value, Tensor) else repr(value)[:40]
