"""Files of structures of any kind that is read here, told apart by their names and, failing that, by what they hold."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from armillary.data.arrays import array_names, open_npz
from armillary.data.config import existing_path
from armillary.data.oc20 import LmdbStructures
from armillary.data.qm9 import load_qm9
from armillary.data.spec import DataError
from armillary.data.structures import Structures
from armillary.data.trajectories import load_npz_trajectory, trajectory_names
from armillary.data.xyz import OnBad, read_extxyz

Kind = Literal["extxyz", "npz", "lmdb", "qm9"]

READ = (
    "extended XYZ (.xyz, .extxyz), npz of trajectories (.npz, or FILE.npz:NAME for one of several), LMDB as OC20 and "
    "OMat24 have (.lmdb, .aselmdb, or a folder of them), and QM9 (its .tar, .tar.bz2, or an .npz with N, Z, R)"
)
"""What ``read_structures`` reads, in words."""

_SUFFIXES: dict[str, Kind] = {
    ".xyz": "extxyz",
    ".extxyz": "extxyz",
    ".npz": "npz",
    ".lmdb": "lmdb",
    ".aselmdb": "lmdb",
    ".tar": "qm9",
    ".bz2": "qm9",
    ".tgz": "qm9",
}
_LMDB = 0xBEEFC0DE.to_bytes(4, "little")  # in the header of the first page


def read_structures(
    path: str | os.PathLike[str],
    *,
    energy: str = "",
    forces: str = "",
    on_bad: OnBad = "stop",
    most: int = 0,
    seed: int = 0,
) -> Structures:
    """The structures of a file, in order: Å, eV, eV/Å as its reader says (``read_extxyz``, ``load_npz_trajectory``,
    ``LmdbStructures``, ``load_qm9``), which does not convert units but for QM9.

    ``FILE.npz:NAME`` is one trajectory of several. ``energy``, ``forces``: names in the file of what is read as such,
    where they are others (energy: extended XYZ, LMDB; forces: extended XYZ). ``on_bad``: "skip" leaves out what cannot
    be read, and names it in ``skipped``. ``most`` > 0: no more structures than this, drawn by ``seed``; of an LMDB only
    these are read.
    Raises: DataError for a file that is not there, of a kind that is not read (naming those that are), or damaged.
    Source: pinned by ``tests/data/test_atom_files.py``.
    """
    found, name = _located(path)
    kind = _kind(found)
    for setting, value, kinds in (("energy", energy, ("extxyz", "lmdb")), ("forces", forces, ("extxyz",))):
        if value and kind not in kinds:
            raise DataError(f"{path}: got {setting} = {value!r}, which only {' and '.join(kinds)} files have by names.")
    if name and kind != "npz":
        raise DataError(f"{path}: a name behind the file is for trajectories in an npz, this is {kind}.")
    if kind == "lmdb":
        held = LmdbStructures(found, energy=energy or None)
        return held.read(_drawn(len(held), most, seed), on_bad=on_bad)
    readers: dict[Kind, Callable[[], Structures]] = {
        "extxyz": lambda: read_extxyz(found, energy=energy or "energy", forces=forces or "forces", on_bad=on_bad),
        "npz": lambda: _from_npz(found, name),
        "qm9": lambda: load_qm9(found, on_bad=on_bad),
    }
    structures = readers[kind]()
    if 0 < most < len(structures):
        return replace(structures[_drawn(len(structures), most, seed)], skipped=structures.skipped)
    return structures


def _drawn(n: int, most: int, seed: int) -> list[int]:
    if not 0 < most < n:
        return list(range(n))
    return np.sort(np.random.default_rng(seed).permutation(n)[:most]).tolist()


def _located(path: str | os.PathLike[str]) -> tuple[Path, str]:
    """The file, and the name behind it."""
    text = os.fspath(path)
    file, colon, name = text.rpartition(".npz:")
    if colon and not os.path.exists(text):
        return existing_path(f"{file}.npz"), name
    return existing_path(text), ""


def _kind(path: Path) -> Kind:
    if path.is_dir():
        if any(p.suffix in (".lmdb", ".aselmdb") for p in path.iterdir()):
            return "lmdb"
        raise DataError(f"{path}: a folder without *.lmdb or *.aselmdb files; what is read: {READ}.")
    if path.suffix.lower() in _SUFFIXES:
        return _SUFFIXES[path.suffix.lower()]
    try:
        with open(path, "rb") as file:
            start = file.read(64)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    words = start.split()
    if start[:4] == b"PK\x03\x04":
        return "npz"
    if start[16:20] == _LMDB:
        return "lmdb"
    if words and words[0].isdigit():
        return "extxyz"
    raise DataError(f"{path}: neither its name nor what it holds tells what it is; what is read: {READ}.")


def _from_npz(path: Path, name: str) -> Structures:
    with open_npz(path) as archive:
        arrays = set(array_names(archive))
    if not name and {"N", "Z", "R"} <= arrays:
        return load_qm9(path)
    names = trajectory_names(path)
    if not names:
        raise DataError(
            f"{path}: no trajectory, which is four arrays NAME_z, NAME_pos, NAME_energy and NAME_forces; the file has "
            f"{', '.join(sorted(arrays)[:12]) or 'no arrays'}."
        )
    if not name and len(names) > 1:
        raise DataError(f"{path}: several trajectories: {', '.join(names)}. Name one, as {path.name}:{names[0]}.")
    return load_npz_trajectory(path, name or names[0])
