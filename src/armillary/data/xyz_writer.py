"""Extended XYZ, written: what ``read_extxyz`` and ASE read."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import torch
from torch import Tensor

from armillary.data.elements import SYMBOLS
from armillary.data.replacing import replacing
from armillary.data.structures import Structures

_NAME = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)
_TAKEN = frozenset(("species", "Z", "pos", "Lattice", "pbc", "Properties", "energy", "forces", "stress"))


def write_extxyz(path: str | os.PathLike[str], structures: Structures) -> None:
    """``format_extxyz`` in a file, whole or not at all: written under a temporary name, then renamed.

    Raises: ValueError as ``format_extxyz``; OSError where the file cannot be written.
    Source: pinned by ``tests/data/test_xyz_writer.py``.
    """
    text = format_extxyz(structures)
    with replacing(Path(path)) as file:
        file.write(text.encode("ascii"))


def format_extxyz(structures: Structures) -> str:
    """Structures as frames of an extended XYZ file, each with as many digits as float64 has.

    Columns ``species``, ``pos`` (Å), ``forces`` (eV/Å) and the properties of atoms; in the second line ``Lattice`` (Å,
    row by row) and ``pbc`` where there is a cell, ``energy`` (eV), ``stress`` (eV/Å³, nine numbers) and the properties
    of structures. ``read_extxyz`` gives the same tensors back, but cells where nothing is periodic, and properties
    (atoms, 1), which come back as (atoms,).
    Raises: ValueError for properties that cannot be columns or values: of several axes for each atom, named like one of
    the above or other than by letters, digits, "_", "-" and ".", or in several axes and not finite.
    """
    n = len(structures)
    values, columns = {}, {}
    for name, value in structures.properties.items():
        if name in _TAKEN or not _NAME.fullmatch(name):
            raise ValueError(f"property {name!r} cannot be written to extended XYZ: give it another name.")
        if len(value) == n:
            values[name] = list(value)
        elif value.ndim > 2:
            raise ValueError(f"property {name!r} has shape {tuple(value.shape)}, wanted (atoms,) or (atoms, numbers).")
        else:
            columns[name] = value.reshape(len(value), -1).split(structures.sizes.tolist())
    positions = structures.parts("positions")
    forces = None if structures.forces is None else structures.parts("forces")
    frames = []
    for k, charges in enumerate(structures.parts("charges")):
        table = {"pos": positions[k]} | ({} if forces is None else {"forces": forces[k]})
        table |= {name: parts[k] for name, parts in columns.items()}
        header = _cell(structures, k)
        header.append(
            "Properties=species:S:1" + "".join(f":{name}:{_kind(c)}:{c.shape[1]}" for name, c in table.items())
        )
        if structures.energies is not None:
            header.append(f"energy={_text(structures.energies[k])}")
        if structures.stresses is not None:
            header.append(f'stress="{_text(structures.stresses[k].flatten())}"')
        header += [f"{name}={_value(name, parts[k])}" for name, parts in values.items()]
        rows = zip(*([_text(row) for row in column] for column in table.values()), strict=True)
        atoms = [f"{SYMBOLS[z - 1]} {' '.join(row)}" for z, row in zip(charges.tolist(), rows, strict=True)]
        frames.append("\n".join([str(len(charges)), " ".join(header), *atoms]) + "\n")
    return "".join(frames)


def _cell(structures: Structures, k: int) -> list[str]:
    if structures.cells is None or structures.periodic is None:
        return []
    cell, wraps = structures.cells[k], structures.periodic[k]
    if not (bool(cell.any()) or bool(wraps.any())):
        return ['pbc="F F F"']
    return [f'Lattice="{_text(cell.flatten())}"', f'pbc="{_text(wraps)}"']


def _kind(column: Tensor) -> str:
    return "L" if column.dtype == torch.bool else "R" if column.dtype.is_floating_point else "I"


def _text(numbers: Tensor) -> str:
    """Numbers or truth values in a row."""
    found = numbers.reshape(-1).tolist()
    return " ".join(("T" if x else "F") if isinstance(x, bool) else repr(x) for x in found)


def _value(name: str, value: Tensor) -> str:
    """One number as it is, several in quotes, one in a list or several axes of them in brackets."""
    if value.ndim == 0:
        return _text(value)
    if value.ndim == 1 and len(value) > 1:
        return f'"{_text(value)}"'
    if value.dtype.is_floating_point and not bool(value.isfinite().all()):
        raise ValueError(f"property {name!r} of shape {tuple(value.shape)} holds values that are not finite.")
    return json.dumps(value.tolist())
