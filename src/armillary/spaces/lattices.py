"""Periodic cells: the images of points that may lie within a cutoff of a cell."""

from __future__ import annotations

import numpy as np

_MOST_IMAGES = 50_000_000
_FARTHEST = 2.0**50  # in cells
_FLAT = 1e-9  # the least volume of a cell whose lattice vectors have length one


def complete_cells(cells: np.ndarray, wraps: np.ndarray) -> np.ndarray:
    """Cells (graphs, 3, 3), lattice vectors as rows, in which directions that do not wrap (``wraps`` (graphs, 3) bool)
    are unit vectors perpendicular to all others.

    Raises: ValueError for a cell whose periodic lattice vectors span no length, area or volume.
    """
    complete = np.array(cells, dtype=np.float64)
    for pattern in np.unique(wraps, axis=0):
        rows = np.flatnonzero((wraps == pattern).all(1))
        kept = complete[rows][:, pattern]
        if pattern.any():
            full = np.linalg.qr(kept.swapaxes(1, 2), mode="complete").Q.swapaxes(1, 2)
            complete[np.ix_(rows, np.flatnonzero(~pattern))] = full[:, pattern.sum() :]
        else:
            complete[rows] = np.eye(3)
    lengths = np.linalg.norm(complete, axis=2)
    sound = (lengths > 0).all(1)
    sound[sound] = np.abs(np.linalg.det(complete[sound] / lengths[sound][:, :, None])) > _FLAT
    if not sound.all():
        graph = int(np.flatnonzero(~sound)[0])
        raise ValueError(
            f"cell {graph} has no volume: its periodic lattice vectors {cells[graph][wraps[graph]].tolist()} are not "
            f"independent; pass periodic = False for the directions that are open."
        )
    return complete


def images(
    x: np.ndarray, number: np.ndarray, cells: np.ndarray, wraps: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The images of points that may lie within ``reach`` of a point of the cell.

    x (N, 3), ``number`` (N,) the graph of each, complete cells and ``wraps`` of each graph. Gives (copy (M,), positions
    (M, 3), shift (M, 3), home (N, 3)): point ``copy`` plus ``shift`` lattice vectors lies at ``positions``; points
    minus ``home`` lattice vectors lie in the cell.
    Raises: ValueError for more than 50 million images, or points 2^50 cells away.
    """
    inverse = np.linalg.inv(cells)
    fraction = np.einsum("nd,ndk->nk", x, inverse[number])
    if np.abs(fraction[wraps[number]]).max(initial=0.0) > _FARTHEST:
        raise ValueError(
            f"a point lies {np.abs(fraction[wraps[number]]).max():.1e} cells away, so that no digit is left of where "
            f"it is in its own: check positions and cell, or wrap positions into the cell."
        )
    home = np.where(wraps[number], np.floor(fraction), 0).astype(np.int64)
    fraction = fraction - home
    margin = reach * np.linalg.norm(inverse, axis=1)[number] + 1e-9  # in units of the distance of lattice planes
    copy, shift = np.arange(len(x)), np.zeros((len(x), 3), np.int64)
    first = np.where(wraps[number], np.ceil(-margin - fraction), 0)
    last = np.where(wraps[number], np.floor(1 + margin - fraction), 0)
    total = float((last - first + 1).prod(1).sum())
    if total > _MOST_IMAGES:
        raise ValueError(
            f"the cutoff {reach:.4g} is so large, or the cells so small, that {total:.1e} images are within reach, "
            f"over {_MOST_IMAGES:.0e}: check their units."
        )
    for k in range(3):
        counts = (last[copy, k] - first[copy, k] + 1).astype(np.int64)
        start = np.repeat(np.cumsum(counts) - counts, counts)
        offsets = np.arange(len(start)) - start
        copy, shift = np.repeat(copy, counts), np.repeat(shift, counts, axis=0)
        shift[:, k] = first[copy, k].astype(np.int64) + offsets
    moved = x[copy] + np.einsum("nk,nkd->nd", shift - home[copy], cells[number[copy]])
    return copy, moved, shift - home[copy], home
