"""Molecular dynamics: many frames of one molecule with energies and forces, from an npz."""

from __future__ import annotations

import os

import numpy as np
import torch

from armillary.data.arrays import array_names, open_npz, read_array
from armillary.data.config import existing_path
from armillary.data.spec import DataError, known
from armillary.data.structures import Structures

_PARTS = ("z", "pos", "energy", "forces")


def trajectory_names(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """The names of the trajectories in a file that ``load_npz_trajectory`` reads. Raises: DataError for no such
    file."""
    found = existing_path(path)
    with open_npz(found) as archive:
        names = array_names(archive)
    return tuple(n[:-2] for n in names if n.endswith("_z") and all(f"{n[:-2]}_{part}" in names for part in _PARTS))


def load_npz_trajectory(path: str | os.PathLike[str], name: str, max_gib: float = 4.0) -> Structures:
    """The frames of one trajectory: arrays ``NAME_z`` (atoms,), ``NAME_pos`` (frames, atoms, 3) in ångström,
    ``NAME_energy`` (frames,) in eV and ``NAME_forces`` (frames, atoms, 3) in eV/Å. Each frame is a structure, in order.

    Raises: DataError for a file that is not there or damaged, an unknown name, or arrays that do not fit.
    Source: pinned by ``tests/data/test_structures.py``.
    """
    names = trajectory_names(path)
    if name not in names:
        raise DataError(f"{path}: {known('trajectory', name, names)}")
    found = existing_path(path)
    with open_npz(found) as archive:
        z, x, energy, forces = (read_array(archive, f"{name}_{part}", found, max_gib) for part in _PARTS)
    frames, atoms = (len(x), len(z)) if z.ndim == 1 and x.ndim == 3 else (-1, -1)
    shapes = x.shape == forces.shape == (frames, atoms, 3) and energy.shape == (frames,)
    if not shapes or z.dtype.kind not in "iu" or any(a.dtype.kind != "f" for a in (x, energy, forces)):
        raise DataError(
            f"{path}: {name} has _z {z.dtype} {z.shape}, _pos {x.dtype} {x.shape}, _energy {energy.dtype} "
            f"{energy.shape}, _forces {forces.dtype} {forces.shape}, wanted integers (atoms,) and floats "
            f"(frames, atoms, 3), (frames,), (frames, atoms, 3)."
        )
    return Structures(
        torch.from_numpy(np.tile(z.astype(np.int64), frames)),
        torch.from_numpy(x.reshape(-1, 3).astype(np.float64)),
        atoms * torch.arange(frames + 1),
        torch.from_numpy(energy.astype(np.float64)),
        torch.from_numpy(forces.reshape(-1, 3).astype(np.float64)),
    )
