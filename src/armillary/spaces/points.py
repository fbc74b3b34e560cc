"""Points in space and who is near whom: radius graphs, nearest neighbours, complete graphs, batched, in periodic cells.

``edge_index`` (2, E): row 0 the neighbour j (source), row 1 the point i (target). The vector of an edge is
``r = x_j - x_i + shift @ cell``, the rows of ``cell`` being the lattice vectors. ``batch`` (points,) numbers the graph
of each point, as in PyTorch Geometric; there are no edges between graphs.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from armillary.ops.extras import extra_module
from armillary.ops.integers import checked_integer
from armillary.spaces.lattices import complete_cells, images

Search = Literal["scipy", "vesin"]

_VESIN_SPREAD = 1000  # in cutoffs: vesin 0.6 ends the process where points lie too far apart
_LARGEST = 1e150  # coordinate
_SLACK = 1e-9  # relative: candidates are searched a little further than the cutoff, and then measured


class Neighbours(NamedTuple):
    """Directed edges: ``edge_index`` (2, E) int64, sources over targets; ``shifts`` (E, 3) int64, whole lattice vectors
    to add to the source's position, zeros where nothing is periodic."""

    edge_index: Tensor
    shifts: Tensor

    def to(self, device: torch.device | str) -> Neighbours:
        """The same edges on another device."""
        return Neighbours(self.edge_index.to(device), self.shifts.to(device))


def radius_graph(
    positions: Tensor,
    cutoff: float,
    batch: Tensor | None = None,
    cell: Tensor | None = None,
    periodic: Tensor | bool | None = None,
    max_neighbours: int | None = None,
    *,
    search: Search = "scipy",
) -> Neighbours:
    """Edges between all points, or images of points, of a graph that are at most ``cutoff`` apart: ``|r| <= cutoff``.

    ``positions`` (points, 3) in the unit of ``cutoff`` and ``cell``. ``cell``: (3, 3) for all graphs or (graphs, 3, 3),
    lattice vectors as rows; those of directions that are not periodic are not read and may be zero. ``periodic``: a
    bool, or bool tensor (3,) or (graphs, 3); by default, every direction where there is a cell. Points need not lie in
    the cell, and the cell may be much smaller than the cutoff: every image counts, also those of the point itself. Only
    the point itself, at shift zero, is not its own neighbour; two points in one place are neighbours at r = 0.

    ``max_neighbours`` keeps the nearest of each target; of equal distances (to rounding) the lower source and shift, so
    that a choice among equals is not equivariant. Edges are sorted by target, source and shift. Distances are
    measured in float64, and the graph is found on the processor and carries no gradient: ``edge_vectors`` does.
    ``search``: "scipy", one KD-tree for the whole batch, or "vesin", cell lists, for each graph (extra ``molecules``);
    the edges are the same.

    Raises: ValueError for other shapes, positions or cells that are not finite or whose squares overflow, a periodic
    cell without volume, a cutoff that is not positive and finite, or one that would make more than 50 million images;
    ImportError without vesin.
    Source: pinned against the sum over all pairs and images by ``tests/spaces/test_points.py``.
    """
    x, number = _checked(positions, batch)
    if not (isinstance(cutoff, int | float) and 0 < cutoff < math.inf):
        raise ValueError(f"got cutoff = {cutoff!r}, wanted a positive number; complete_graph joins all points.")
    graphs = int(number.max()) + 1 if len(number) else 1
    cells, wraps = _checked_cells(cell, periodic, graphs)
    find = {"scipy": _pairs_by_tree, "vesin": _pairs_by_vesin}.get(search)
    if find is None:
        raise ValueError(f"got search = {search!r}, wanted 'scipy' or 'vesin'.")
    reach = cutoff * (1 + _SLACK) + 16 * np.finfo(np.float64).eps * float(np.abs(x).max(initial=0.0))
    source, target, shift = find(x, number, complete_cells(cells, wraps), wraps, reach)
    r = x[source] - x[target] + np.einsum("ek,ekd->ed", shift, cells[number[target]])
    distance = np.sqrt((r * r).sum(1))
    kept = (distance <= cutoff) & ((source != target) | (shift != 0).any(1))
    source, target, shift, distance = source[kept], target[kept], shift[kept], distance[kept]
    keys = (shift[:, 2], shift[:, 1], shift[:, 0], source)
    if max_neighbours is not None:
        checked_integer("max_neighbours", max_neighbours, 1)
        places = np.round(distance / cutoff, 9)  # equal to rounding
        order = np.lexsort((*keys, places, target))
        order = order[_rank_in_run(target[order]) < max_neighbours]
        source, target, shift = source[order], target[order], shift[order]
        keys = (shift[:, 2], shift[:, 1], shift[:, 0], source)
    order = np.lexsort((*keys, target))
    return _as_neighbours(source[order], target[order], shift[order], positions.device)


def knn_graph(
    positions: Tensor,
    k: int,
    batch: Tensor | None = None,
    cell: Tensor | None = None,
    periodic: Tensor | bool | None = None,
) -> Neighbours:
    """Edges from the ``k`` nearest other points, or images of points, of its graph to each point, nearest first; from
    all others where there are fewer than k, which no periodic graph has.

    ``positions`` (points, 3), ``batch``, ``cell`` and ``periodic`` as for ``radius_graph``: images of the point itself
    count. Not symmetric: j may be near i and not i near j. Which of several equally distant points count is not told,
    so that a choice among equals is not equivariant.

    Raises: ValueError for other shapes, positions or cells that are not finite, a periodic cell without volume, or k <
    1.
    Source: pinned against all distances by ``tests/spaces/test_points.py``.
    """
    x, number = _checked(positions, batch)
    k, N = checked_integer("k", k, 1), len(x)
    graphs = int(number.max()) + 1 if N else 1
    cells, wraps = _checked_cells(cell, periodic, graphs)
    if N == 0:
        none = np.zeros(0, np.int64)
        return _as_neighbours(none, none, np.zeros((0, 3), np.int64), positions.device)
    complete, endless = complete_cells(cells, wraps), wraps[number].any(1)
    reach = _first_reach(cells, wraps, np.bincount(number, minlength=graphs), k)
    while True:
        source, target, shift, distance = _nearest_images(x, number, complete, wraps, reach, k)
        # Images are complete up to ``reach``: whoever is among the k nearest, and no farther, is so of all there are.
        if (np.bincount(target[distance <= reach], minlength=N)[endless] >= k).all():
            return _as_neighbours(source, target, shift, positions.device)
        reach *= 1.5


def complete_graph(batch: Tensor | int) -> Neighbours:
    """Edges between all ordered pairs of different points of one graph: n (n - 1) for each graph of n points.

    ``batch``: (points,) int64, in any order, or the number of points of a single graph.
    Raises: ValueError for another shape or type.
    Source: pinned by ``tests/spaces/test_points.py``.
    """
    if not isinstance(batch, Tensor):
        batch = torch.zeros(checked_integer("batch", batch, 0), dtype=torch.int64)
    _check_batch(batch, len(batch) if batch.ndim else -1)
    number = batch.cpu().numpy()
    order = np.argsort(number, kind="stable")
    sizes = np.bincount(number)
    starts = np.cumsum(sizes) - sizes
    size, start = sizes[number[order]], starts[number[order]]  # of the graph of each point
    target = np.repeat(order, size)
    place = np.arange(len(target)) - np.repeat(np.cumsum(size) - size, size)
    source = order[np.repeat(start, size) + place]
    kept = source != target
    shift = np.zeros((int(kept.sum()), 3), np.int64)
    return _as_neighbours(source[kept], target[kept], shift, batch.device)


def edge_vectors(
    positions: Tensor, neighbours: Neighbours, cell: Tensor | None = None, batch: Tensor | None = None
) -> Tensor:
    """``r = x_j - x_i + shift @ cell``, source minus target, of every edge: (E, 3) in the type of ``positions``.

    Differentiable in ``positions`` (points, 3) and ``cell``, (3, 3) or (graphs, 3, 3), to all orders, so that forces
    and stresses are gradients. ``batch`` chooses the cell of each edge where there are several.
    Raises: ValueError for other shapes, for several cells without ``batch``, or shifts without a cell (the last is not
    looked for while compiling).
    Source: pinned by ``tests/spaces/test_points.py``.
    """
    if positions.ndim != 2 or positions.shape[1] != 3:
        raise ValueError(f"positions have shape {tuple(positions.shape)}, wanted (points, 3).")
    source, target = neighbours.edge_index.unbind(0)
    r = positions[source] - positions[target]
    if cell is None:
        if not torch.compiler.is_compiling() and bool(neighbours.shifts.any()):
            raise ValueError("the edges have shifts over periodic cells: pass the cell that they were found with.")
        return r
    if cell.shape == (3, 3):
        return r + neighbours.shifts.to(cell) @ cell
    if cell.ndim != 3 or cell.shape[1:] != (3, 3):
        raise ValueError(f"cell has shape {tuple(cell.shape)}, wanted (3, 3) or (graphs, 3, 3).")
    if batch is None:
        if len(cell) != 1:
            raise ValueError(f"got {len(cell)} cells and no batch: pass batch, which says the graph of each point.")
        return r + neighbours.shifts.to(cell) @ cell[0]
    return r + torch.einsum("ek,ekd->ed", neighbours.shifts.to(cell), cell[batch[target]])


def _pairs_by_tree(
    x: np.ndarray, number: np.ndarray, cells: np.ndarray, wraps: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Source, target and shift of all pairs within reach, the points themselves among them."""
    from scipy.spatial import cKDTree

    copy, moved, shift, home = images(x, number, cells, wraps, reach)
    centre = x - np.einsum("nk,nkd->nd", home, cells[number])
    apart = 4 * reach  # graphs lie beyond each other's reach along a fourth axis
    targets = cKDTree(np.concatenate([centre, apart * number[:, None].astype(np.float64)], 1))
    sources = cKDTree(np.concatenate([moved, apart * number[copy][:, None].astype(np.float64)], 1))
    found = targets.sparse_distance_matrix(sources, reach, output_type="ndarray")
    target, image = found["i"].astype(np.int64), found["j"].astype(np.int64)
    return copy[image], target, shift[image] + home[target]


def _first_reach(cells: np.ndarray, wraps: np.ndarray, sizes: np.ndarray, k: int) -> float:
    """A distance within which about k images of evenly spread points lie, in the emptiest periodic graph."""
    found = [0.0]
    for lattice, wrap, size in zip(cells, wraps, sizes, strict=True):
        if wrap.any() and size:
            volume = math.sqrt(np.linalg.det(lattice[wrap] @ lattice[wrap].T))
            found.append(float((volume * (k + 1) / size) ** (1 / wrap.sum())))
    return max(found)


def _nearest_images(
    x: np.ndarray, number: np.ndarray, cells: np.ndarray, wraps: np.ndarray, reach: float, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Source, target, shift and distance of the k nearest among the images that may lie within reach, nearest first."""
    from scipy.spatial import cKDTree

    copy, moved, shift, home = images(x, number, cells, wraps, reach)
    centre = x - np.einsum("nk,nkd->nd", home, cells[number])
    most = min(k + 1, int(np.bincount(number[copy]).max()))
    everything = np.concatenate([centre, moved])
    apart = (
        2 * math.sqrt(3) * float(np.ptp(everything, axis=0).max()) + 1.0
    )  # graphs lie further apart than any is wide
    tree = cKDTree(np.concatenate([moved, apart * number[copy][:, None].astype(np.float64)], 1))
    distance, found = tree.query(
        np.concatenate([centre, apart * number[:, None].astype(np.float64)], 1), [*range(1, most + 1)]
    )
    target, distance, found = np.repeat(np.arange(len(x)), most), distance.reshape(-1), found.reshape(-1)
    there = found < len(copy)
    target, distance, found = target[there], distance[there], found[there]
    source, whole = copy[found], shift[found] + home[target]
    other = (number[source] == number[target]) & ((source != target) | (whole != 0).any(1))
    source, target, whole, distance = source[other], target[other], whole[other], distance[other]
    kept = _rank_in_run(target) < k  # where k + 1 points share one place, the point itself need not be among them
    return source[kept], target[kept], whole[kept], distance[kept]


def _pairs_by_vesin(
    x: np.ndarray, number: np.ndarray, cells: np.ndarray, wraps: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    vesin = extra_module("vesin", "molecules", 'search = "vesin"')
    if len(x) and float(np.ptp(x, axis=0).max()) > _VESIN_SPREAD * reach:
        raise ValueError(
            f"the points spread over {float(np.ptp(x, axis=0).max()) / reach:.1e} cutoffs, and vesin's cell lists fail "
            f"beyond {_VESIN_SPREAD}: use search = 'scipy'."
        )
    search = vesin.NeighborList(cutoff=reach, full_list=True)
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for graph in np.unique(number):
        members = np.flatnonzero(number == graph)
        target, source, shift = search.compute(
            points=np.ascontiguousarray(x[members]), box=cells[graph], periodic=wraps[graph], quantities="ijS"
        )
        found.append((members[source.astype(np.int64)], members[target.astype(np.int64)], shift.astype(np.int64)))
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 3), np.int64)
    source, target, shift = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return source, target, shift


def _rank_in_run(values: np.ndarray) -> np.ndarray:
    """0, 1, 2, ... within each run of equal neighbouring values."""
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]]) if len(values) else np.zeros(0, np.int64)
    return np.arange(len(values)) - np.repeat(starts, np.diff(np.r_[starts, len(values)]))


def _as_neighbours(source: np.ndarray, target: np.ndarray, shift: np.ndarray, device: torch.device) -> Neighbours:
    edges = torch.from_numpy(np.stack([source, target]).astype(np.int64, copy=False))
    return Neighbours(edges.to(device), torch.from_numpy(shift.astype(np.int64, copy=False)).to(device))


def _check_batch(batch: Tensor, points: int) -> None:
    if batch.shape != (points,) or batch.dtype != torch.int64:
        raise ValueError(f"got batch of shape {tuple(batch.shape)}, {batch.dtype}, wanted ({points},) int64.")
    if points and bool(batch.min() < 0):
        raise ValueError("got a negative number in batch, wanted the number of each point's graph, from 0.")


def _checked(positions: Tensor, batch: Tensor | None) -> tuple[np.ndarray, np.ndarray]:
    """Positions in float64 and graph numbers, as arrays on the processor."""
    if positions.ndim != 2 or positions.shape[1] != 3 or not positions.is_floating_point():
        raise ValueError(
            f"positions have shape {tuple(positions.shape)}, {positions.dtype}, wanted floating point (points, 3)."
        )
    x = positions.detach().double().cpu().numpy()
    if not np.isfinite(x).all():
        raise ValueError(f"positions of points {np.flatnonzero(~np.isfinite(x).all(1))[:5].tolist()} are not finite.")
    if np.abs(x).max(initial=0.0) > _LARGEST:
        raise ValueError(f"got coordinates up to {np.abs(x).max():.1e}, whose squares overflow: wanted {_LARGEST:g}.")
    if batch is None:
        return x, np.zeros(len(x), np.int64)
    _check_batch(batch, len(x))
    return x, batch.cpu().numpy()


def _checked_cells(cell: Tensor | None, periodic: Tensor | bool | None, graphs: int) -> tuple[np.ndarray, np.ndarray]:
    """Cells (graphs, 3, 3) float64, zeros without one, and which of their directions wrap, (graphs, 3) bool."""
    if periodic is None:
        periodic = cell is not None
    wraps = torch.as_tensor(periodic).detach().cpu()
    if wraps.dtype != torch.bool or tuple(wraps.shape) not in ((), (3,), (graphs, 3)):
        raise ValueError(
            f"got periodic of shape {tuple(wraps.shape)}, {wraps.dtype}, wanted bool (), (3,) or ({graphs}, 3)."
        )
    if cell is None:
        if bool(wraps.any()):
            raise ValueError("got periodic directions and no cell: pass cell, its rows the lattice vectors.")
        return np.zeros((graphs, 3, 3)), np.zeros((graphs, 3), bool)
    if tuple(cell.shape) not in ((3, 3), (graphs, 3, 3)):
        raise ValueError(f"cell has shape {tuple(cell.shape)}, wanted (3, 3) or ({graphs}, 3, 3).")
    cells = cell.detach().double().cpu().expand(graphs, 3, 3).numpy()
    if not np.isfinite(cells).all():
        raise ValueError("cell holds values that are not finite.")
    return cells, wraps.expand(graphs, 3).numpy()
