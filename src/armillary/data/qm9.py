"""QM9: 133,885 small organic molecules with fifteen computed properties, as published or from an npz."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import torch

from armillary.data.arrays import array_names, open_npz, read_array
from armillary.data.config import existing_path
from armillary.data.elements import atomic_number
from armillary.data.spec import DataError
from armillary.data.structures import Structures
from armillary.data.xyz import OnBad

HARTREE = 27.211386245988
"""Electronvolts in a hartree (CODATA 2018)."""
PROPERTIES = ("A", "B", "C", "mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "U0", "U", "H", "G", "Cv")
"""In the order of the second line of a file."""

_ENERGIES = {"homo", "lumo", "gap", "zpve", "U0", "U", "H", "G"}  # hartree in the files
_LARGEST = 1 << 16  # bytes of one molecule's file


def load_qm9(
    path: str | os.PathLike[str],
    *,
    exclude: Collection[int] = (),
    on_bad: OnBad = "stop",
    max_gib: float = 4.0,
) -> Structures:
    """Molecules of a folder of ``*.xyz`` files, or of a tar archive of such (read in place, nothing is unpacked), in
    order of their names; or of an npz.

    Positions in ångström; ``energies`` are U0, the internal energy at 0 K, in eV. ``properties``: ``id``, the published
    number, and rotational constants ``A``, ``B``, ``C`` (GHz), ``mu`` (debye), ``alpha`` (bohr³), ``homo``, ``lumo``,
    ``gap``, ``zpve``, ``U0``, ``U``, ``H``, ``G`` (eV; the files have hartree, and are converted by 27.211386245988),
    ``r2`` (bohr²), ``Cv`` (cal/(mol K)); and ``partial_charges`` (e) of each atom. An npz has ``N`` (n,) atoms of each
    molecule, ``Z`` and ``R`` of all of them one after the other, ``id`` and properties by these names, its energies
    already in eV.

    ``exclude``: numbers (``id``) to leave out, such as the 3,054 that do not keep their bonds. ``on_bad``: "skip"
    leaves out files that cannot be read and names them in ``skipped``.
    Raises: DataError naming a file that is damaged or of another form, or where nothing is left.
    Source: Ramakrishnan et al. 2014, Scientific Data 1, 140022; pinned by ``tests/data/test_qm9.py``.
    """
    found = existing_path(path)
    if found.suffix == ".npz":
        return _from_npz(found, exclude, max_gib)
    charges, positions, partial, rows, sizes = [], [], [], [], [0]
    skipped = []
    for name, text in _files(found):
        try:
            z, table, row = _molecule(text)
        except DataError as error:
            if on_bad == "stop":
                raise DataError(f"{name}: {error}") from error
            skipped.append((name, str(error)))
            continue
        if int(row[0]) not in exclude:
            charges.append(z)
            positions.append(table[:, :3])
            partial.append(table[:, 3])
            rows.append(row)
            sizes.append(len(z))
    if not rows:
        raise DataError(f"{path}: no molecules" + (f" can be read; the first: {skipped[0][1]}" if skipped else "."))
    values = np.stack(rows)
    properties = {"id": torch.from_numpy(values[:, 0].astype(np.int64))}
    for k, name in enumerate(PROPERTIES, 1):
        properties[name] = torch.from_numpy(values[:, k] * (HARTREE if name in _ENERGIES else 1.0))
    properties["partial_charges"] = torch.from_numpy(np.concatenate(partial))
    return Structures(
        torch.from_numpy(np.concatenate(charges)),
        torch.from_numpy(np.concatenate(positions)),
        torch.from_numpy(np.cumsum(sizes)),
        properties["U0"].clone(),
        properties=properties,
        skipped=tuple(skipped),
    )


def _files(path: Path) -> Iterator[tuple[str, str]]:
    """Names and contents, in order of names in a folder, as they come in an archive."""
    if path.is_dir():
        for file in sorted(path.glob("*.xyz")):
            try:
                with open(file, "rb") as stream:
                    text = stream.read(_LARGEST).decode("ascii", "replace")
            except OSError as error:
                raise DataError(f"{file}: cannot be read ({error}).") from error
            yield str(file), text
        return
    try:
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                if member.isfile() and member.name.endswith(".xyz"):
                    content = archive.extractfile(member)
                    assert content is not None, "a member that is a file has contents"
                    yield f"{path}: {member.name}", content.read(_LARGEST).decode("ascii", "replace")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"{path}: neither a folder, a tar archive nor an .npz that can be read ({error}).") from error


def _molecule(text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Atomic numbers (n,), positions and partial charges (n, 4), and the published number and properties (16,)."""
    lines = text.splitlines()
    count = lines[0].strip() if lines else ""
    if not (count.isascii() and count.isdigit() and len(count) < 5 and int(count) > 0):
        raise DataError(f"line 1: got {count[:40]!r}, wanted the number of atoms.")
    n = int(count)
    if len(lines) < n + 2:
        raise DataError(f"{len(lines)} lines for {n} atoms: the file is cut short.")
    head = lines[1].split()
    if len(head) != 2 + len(PROPERTIES) or head[0] != "gdb":
        raise DataError(f"line 2: got {lines[1][:60]!r}, wanted gdb, a number and {len(PROPERTIES)} properties.")
    rows = [line.split() for line in lines[2 : n + 2]]
    wrong = [k for k, row in enumerate(rows) if len(row) != 5]
    if wrong:
        raise DataError(f"line {wrong[0] + 3}: wanted a symbol and four numbers, got {lines[wrong[0] + 2][:60]!r}.")
    z = np.array([atomic_number(row[0]) for row in rows], dtype=np.int64)
    try:
        table = np.array([[v.replace("*^", "e") for v in row[1:]] for row in rows], dtype=np.float64)
        values = np.array([v.replace("*^", "e") for v in head[1:]], dtype=np.float64)
    except ValueError as error:
        raise DataError(f"not a number: {error}.") from error
    if not (np.isfinite(table).all() and np.isfinite(values).all()):
        raise DataError("holds numbers that are not finite.")
    if values[0] != np.round(values[0]) or abs(values[0]) > 1 << 53:
        raise DataError(f"line 2: got {head[1][:40]!r}, wanted the whole number of a molecule.")
    return z, table, values


def _from_npz(path: Path, exclude: Collection[int], max_gib: float) -> Structures:
    with open_npz(path) as archive:
        there = array_names(archive)
        named = [n for n in ("id", *PROPERTIES) if n in there]
        N, Z, R = (read_array(archive, name, path, max_gib) for name in ("N", "Z", "R"))
        values = {name: read_array(archive, name, path, max_gib) for name in named}
    whole = N.dtype.kind in "iu" and Z.dtype.kind in "iu" and R.dtype.kind == "f" and N.ndim == 1
    n, atoms = N.size, int(N.sum()) if whole and (N > 0).all() else -1
    if (
        Z.shape != (atoms,)
        or R.shape != (atoms, 3)
        or any(v.shape != (n,) or v.dtype.kind not in "iuf" for v in values.values())
    ):
        shapes = {name: v.shape for name, v in {"N": N, "Z": Z, "R": R, **values}.items()}
        raise DataError(
            f"{path}: got arrays of shapes {shapes}, wanted N (n,), Z (sum of N,), R (sum of N, 3), others (n,)."
        )
    found = Structures(
        torch.from_numpy(Z.astype(np.int64)),
        torch.from_numpy(R.astype(np.float64)),
        torch.from_numpy(np.cumsum([0, *N.astype(np.int64)])),
        torch.from_numpy(values["U0"].astype(np.float64)) if "U0" in values else None,
        properties={k: torch.from_numpy(v.astype(np.int64 if k == "id" else np.float64)) for k, v in values.items()},
    )
    if exclude:
        if "id" not in values:
            raise DataError(f"{path}: exclude names molecules by id, and the file has no array 'id'.")
        kept = ~np.isin(values["id"], list(exclude))
        if not kept.any():
            raise DataError(f"{path}: exclude leaves no molecule.")
        found = found[torch.from_numpy(np.flatnonzero(kept))]
    return found
