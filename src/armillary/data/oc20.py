"""Structures in LMDB files, as OC20 and its successors are distributed: opened, not loaded; nothing is unpickled."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch.utils.data import Dataset

from armillary.data.config import existing_path
from armillary.data.plain_pickles import Record, RefusedPickle, read_plain_pickle
from armillary.data.spec import DataError
from armillary.data.structures import Structures
from armillary.data.xyz import OnBad
from armillary.ops.extras import extra_module

_ENERGY, _FORCES = ("y", "energy", "y_relaxed"), ("force", "forces")
_OPEN: WeakValueDictionary[Path, Any] = WeakValueDictionary()
_LARGEST = 1 << 28  # bytes of one entry, unpacked
_SINGLE = ("sid", "fid", "y_init", "y_relaxed", "free_energy")
_ATOMS = ("tags", "fixed", "pos_relaxed")


class LmdbStructures(Dataset[Structures]):
    """The structures of one ``*.lmdb`` or ``*.aselmdb`` file, or of all such files of a folder in order of their names,
    read when asked for.

    Two forms of entries are understood: pickled PyTorch Geometric ``Data`` under "0", "1", …, as OC20's IS2RE and S2EF
    are preprocessed (``pos``, ``atomic_numbers``, ``cell``, energy ``y`` or ``energy`` or ``y_relaxed``, ``force`` or
    ``forces``), read by an interpreter that runs nothing (``data.plain_pickles``); and the JSON rows of ASE's database
    in LMDB, as OMat24 has (``numbers``, ``positions``, ``cell``, ``pbc``, ``energy``, ``forces``, ``stress`` in
    the order xx yy zz yz xz xy). Å, eV, eV/Å, eV/Å³. ``energy`` names another value to read as energy. Numbers ``sid``,
    ``fid``, ``y_init``, ``y_relaxed`` and, of atoms, ``tags``, ``fixed``, ``pos_relaxed`` are properties. A cell
    without ``pbc`` is periodic in all directions.

    ``len``, ``[i]`` (a ``Structures`` of one), ``name(i)``, ``read(numbers)``. May be handed to other processes.
    LMDB maps a file into memory: one whose pages were tampered with can end the process, so that files from
    strangers belong into a process of their own. Needs the extra ``molecules`` (lmdb).
    Raises: ImportError without lmdb; DataError for files that are not there, cut short, no LMDB, or without entries,
    and, when read, for entries that are damaged or hold anything but plain records.
    Source: Chanussot et al. 2021 (arXiv 2010.09990); pinned by ``tests/data/test_oc20.py``.
    """

    def __init__(self, path: str | os.PathLike[str], *, energy: str | None = None) -> None:
        self.energy = energy
        found = existing_path(path)
        self.paths = (
            sorted(p for p in found.iterdir() if p.suffix in (".lmdb", ".aselmdb")) if found.is_dir() else [found]
        )
        self._environments: dict[Path, Any] = {}
        if not self.paths:
            raise DataError(f"{path}: the folder has no files *.lmdb or *.aselmdb.")
        self._entries: list[tuple[Path, bytes]] = []
        for file in self.paths:
            with self._environment(file).begin() as transaction, transaction.cursor() as cursor:
                keys = [bytes(key) for key in cursor.iternext(values=False)]
            self._entries += [(file, key) for key in sorted((k for k in keys if k.isdigit()), key=int)]
        if not self._entries:
            raise DataError(f"{path}: no entries under whole numbers.")

    def __len__(self) -> int:
        return len(self._entries)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_environments": {}}

    def name(self, index: int) -> str:
        """The file and key of an entry."""
        path, key = self._entries[index]
        return f"{path}: entry {key.decode()}"

    def __getitem__(self, index: int) -> Structures:
        path, key = self._entries[index]
        with self._environment(path).begin(buffers=False) as transaction:
            content = transaction.get(key)
        try:
            return _structure(_entry(content), self.energy)
        except (RefusedPickle, DataError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"{self.name(index)} cannot be read: {error}.") from error

    def read(self, numbers: Sequence[int] | None = None, *, on_bad: OnBad = "stop") -> Structures:
        """Those structures, or all, together; ``on_bad``: "skip" leaves out and names what cannot be read.

        Raises: DataError as above, or where none is left.
        """
        found, skipped = [], []
        for index in range(len(self)) if numbers is None else numbers:
            try:
                found.append(self[index])
            except DataError as error:
                if on_bad == "stop":
                    raise
                skipped.append((self.name(index), str(error)))
        if not found:
            raise DataError(f"{self.paths[0]}: no entry can be read" + (f"; {skipped[0][1]}" if skipped else "."))
        joined = Structures.join(found)
        object.__setattr__(joined, "skipped", tuple(skipped))
        return joined

    def _environment(self, path: Path) -> Any:
        if path not in self._environments:
            self._environments[path] = _environment(path.resolve())
        return self._environments[path]


def _environment(path: Path) -> Any:
    """The one map of a file that lmdb allows a process, shared by all that read it, forked processes too."""
    lmdb = extra_module("lmdb", "molecules", "reading LMDB files")
    opened = _OPEN.get(path)
    if opened is None:
        try:
            opened = lmdb.open(str(path), subdir=False, readonly=True, lock=False, readahead=False, create=False)
            needed = (opened.info()["last_pgno"] + 1) * opened.stat()["psize"]
        except (lmdb.Error, OSError) as error:
            raise DataError(f"{path}: not an LMDB file that can be read ({error}).") from error
        if path.stat().st_size < needed:
            opened.close()
            raise DataError(f"{path}: {path.stat().st_size} bytes of {needed}: the file is cut short.")
        _OPEN[path] = opened
    return opened


def open_oc20_lmdb(path: str | os.PathLike[str], *, energy: str | None = None) -> LmdbStructures:
    """``LmdbStructures`` of a file or folder, by the name that its users look for."""
    return LmdbStructures(path, energy=energy)


def _entry(content: bytes) -> dict[str, Any]:
    if content[:1] == b"\x80":
        found = read_plain_pickle(content)
        if not isinstance(found, Record):
            raise DataError(f"a pickled {type(found).__name__}, wanted a Data")
        return found
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(content, _LARGEST)
    except zlib.error as error:
        raise DataError(f"neither a pickle nor packed JSON ({error})") from error
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise DataError("packed JSON that is cut short or too large")
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"no JSON ({error})") from error
    if not isinstance(row, dict):
        raise DataError(f"JSON of a {type(row).__name__}, wanted an object")
    return {key: _decoded(value) for key, value in row.items()}


def _decoded(value: Any) -> Any:
    """ASE writes an array as {"__ndarray__": [shape, type, numbers]}, and older versions as such inside of an
    object."""
    if isinstance(value, dict):
        array = value.get("array", value)
        if isinstance(array, dict) and isinstance(array.get("__ndarray__"), list) and len(array["__ndarray__"]) == 3:
            shape, _, numbers = array["__ndarray__"]
            return np.array(numbers).reshape(shape)
    return value


def _numbers(entry: dict[str, Any], names: Sequence[str], shape: tuple[int, ...]) -> np.ndarray | None:
    """The first of the names that is there, as floats of the given shape. Raises: DataError for what is not such."""
    for name in names:
        if entry.get(name) is not None:
            array = np.asarray(entry[name])
            if array.dtype.kind not in "iufb" or array.size != int(np.prod(shape)):
                raise DataError(f"{name} is {array.dtype} {array.shape}, wanted numbers {shape}")
            return array.astype(np.float64).reshape(shape)
    return None


def _structure(entry: dict[str, Any], energy: str | None) -> Structures:
    charges = np.asarray(entry.get("atomic_numbers", entry.get("numbers", [])), dtype=np.float64).reshape(-1)
    n = len(charges)
    positions = _numbers(entry, ("pos", "positions"), (n, 3))
    if n == 0 or positions is None or not (charges == np.round(charges)).all():
        raise DataError(f"atomic numbers and positions are not there, only {sorted(entry)[:20]}")
    cell = _numbers(entry, ("cell",), (1, 3, 3))
    wraps = np.asarray(entry["pbc"]).astype(bool).reshape(1, 3) if "pbc" in entry else np.ones((1, 3), bool)
    energies = _numbers(entry, (energy,) if energy else _ENERGY, (1,))
    if energy and energies is None:
        raise DataError(f"no {energy!r}, only {sorted(entry)[:20]}")
    forces = _numbers(entry, _FORCES, (n, 3))
    voigt = _numbers(entry, ("stress",), (6,))
    stresses = None if voigt is None else voigt[[0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(1, 3, 3)
    properties: dict[str, torch.Tensor] = {}
    for name in (*_SINGLE, *_ATOMS):
        value = entry.get(name)
        if value is not None and np.asarray(value).dtype.kind in "iufb":
            shape = (1,) if name in _SINGLE else (n, 3) if name == "pos_relaxed" else (n,)
            array = np.asarray(value)
            if array.size != int(np.prod(shape)):
                raise DataError(f"{name} has shape {array.shape}, wanted {shape}")
            properties[name] = torch.from_numpy(np.array(array.reshape(shape)))

    def tensor(array: np.ndarray | None) -> torch.Tensor | None:
        return None if array is None else torch.from_numpy(array)

    return Structures(
        torch.from_numpy(charges.astype(np.int64)),
        torch.from_numpy(positions),
        torch.tensor([0, n]),
        tensor(energies),
        tensor(forces),
        tensor(cell),
        None if cell is None else torch.from_numpy(wraps),
        tensor(stresses),
        properties,
    )
