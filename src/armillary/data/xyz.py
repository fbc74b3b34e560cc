"""Extended XYZ: structures in text, with cells, energies, forces and any other columns; read without running
anything."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np
import torch

from armillary.data.config import existing_path
from armillary.data.elements import atomic_number
from armillary.data.spec import DataError
from armillary.data.structures import Structures

OnBad = Literal["stop", "skip"]

_LONGEST = 1 << 20  # characters in a line
_PLAIN = "species:S:1:pos:R:3"
_ENTRY = re.compile(
    r"""\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\s=]+?))\s*"""  # a key
    r"""(?:=\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|\{([^{}]*)\}|(\[[^=]*?\](?=\s|$))|(\S*)))?(?=\s|$)"""
)
# texts as objects: an array of texts would give every atom the room of the longest
_KINDS: dict[str, type] = {"R": np.float64, "I": np.int64, "S": object, "L": np.bool_}
_BOOLS = {"T": True, "F": False, "TRUE": True, "FALSE": False}


@dataclass(frozen=True)
class _Frame:
    """Columns (atoms, width) and values of the header by name."""

    number: int
    columns: dict[str, np.ndarray]
    values: dict[str, np.ndarray]


def read_extxyz(
    path: str | os.PathLike[str],
    *,
    energy: str = "energy",
    forces: str = "forces",
    stress: str = "stress",
    on_bad: OnBad = "stop",
) -> Structures:
    """The frames of an extended XYZ file, each a structure, in order.

    The second line of a frame has ``key=value``: ``Properties``, the columns; ``Lattice``, nine numbers, three lattice
    vectors in Å, one after the other; ``pbc``, three of T and F, all T where there is a lattice and no ``pbc``. Columns
    ``species`` (or ``Z``) and ``pos`` (Å) must be there. ``energy`` (eV), ``forces`` (eV/Å) and ``stress`` (eV/Å³, nine
    numbers, or six in the order xx yy zz yz xz xy) name what is read as such; units are not converted. Every other
    column or value of numbers that all frames have, in one shape, is a property. Plain XYZ has no keys, and its comment
    is not read.

    ``on_bad``: "skip" leaves frames out that cannot be read, and tells which in ``skipped``; where even the number of
    atoms cannot be read, all that follows. "stop" raises.
    Raises: DataError naming file, frame and line for anything that is not such a file; where only some frames have an
    energy, forces or a stress; or where no frame is left.
    Source: the format as libAtoms and ASE write it; ASE is the twin in ``tests/data/test_xyz.py``.
    """
    found = existing_path(path)
    frames: list[_Frame] = []
    skipped: list[tuple[str, str]] = []
    try:
        with open(found, encoding="utf-8", newline=None) as file:
            for number, frame in enumerate(_frames(file, found)):
                if isinstance(frame, _Frame):
                    frames.append(frame)
                elif on_bad == "stop":
                    raise frame
                else:
                    skipped.append((f"{found}: frame {number}", str(frame)))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a text file that can be read ({error}).") from error
    if not frames:
        raise DataError(f"{path}: no frame can be read" + (f"; the first: {skipped[0][1]}" if skipped else ": empty."))
    return _structures(frames, found, (energy, forces, stress), tuple(skipped))


def _frames(file: IO[str], path: Path) -> Iterator[_Frame | DataError]:
    """Frames, or what is wrong with them; ends behind one whose number of atoms cannot be read."""
    number, line = 0, 0
    while first := file.readline(_LONGEST):
        line += 1
        if not first.strip():
            continue
        where = f"{path}: frame {number}, line {line}"
        text = first.strip()
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
            yield DataError(f"{where}: got {text[:40]!r}, wanted the number of atoms, 1 or more.")
            return
        lines = []
        for _ in range(int(text) + 1):
            lines.append(file.readline(_LONGEST))
            if not lines[-1] or len(lines[-1]) == _LONGEST:
                what = f"a line has more than {_LONGEST} characters."
                if not lines[-1]:
                    what = "the file ends in this frame; is it complete?"
                yield DataError(f"{where}: {what}")
                return
        try:
            yield _frame(number, lines[0], lines[1:])
        except DataError as error:
            yield DataError(f"{where}: {error}")
        line, number = line + len(lines), number + 1


def _frame(number: int, header: str, rows: list[str]) -> _Frame:
    values = parse_header(header) if "Properties=" in header or "Lattice=" in header else {}
    columns = {}
    table = [row.split() for row in rows]
    specification = values.pop("Properties", _PLAIN)
    fields = specification.split(":")
    sound = (
        len(fields) % 3 == 0
        and set(fields[1::3]) <= set(_KINDS)
        and all(re.fullmatch("[1-9][0-9]{0,2}", w) for w in fields[2::3])
    )
    if not sound:
        raise DataError(f"Properties={specification[:80]!r}: wanted name:kind:columns, kinds R, I, S, L.")
    width = sum(map(int, fields[2::3]))
    wrong = [i for i, row in enumerate(table) if len(row) < width or (len(row) > width and "Properties" in header)]
    if wrong:
        raise DataError(f"atom {wrong[0]} has {len(table[wrong[0]])} columns, wanted {width}.")
    start = 0
    for name, kind, count in zip(fields[::3], fields[1::3], map(int, fields[2::3]), strict=True):
        cells = [row[start : start + count] for row in table]
        columns[name] = _numbers(cells, kind, f"column {name!r}")
        start += count
    return _Frame(number, columns, {name: _value(value) for name, value in values.items()})


def parse_header(text: str) -> dict[str, str]:
    """The entries ``key=value`` of the second line: values in quotes, braces or brackets or without; a key alone is
    "T".

    Raises: DataError where a quote or bracket is left open.
    Source: pinned by ``tests/data/test_xyz.py``.
    """
    text = text.strip()
    entries, position = {}, 0
    while position < len(text):
        match = _ENTRY.match(text, position)
        if match is None or match.end() == position:
            raise DataError(f"the header is not key=value from {text[position : position + 40]!r} on.")
        groups = match.groups()
        key = next(g for g in groups[:3] if g is not None)
        value = next((g for g in groups[3:] if g is not None), "T")
        if value[:1] in ('"', "'", "{"):
            raise DataError(f"the header leaves a quote or brace open at {text[match.start() :][:40]!r}.")
        entries[key] = re.sub(r"\\(.)", r"\1", value) if value is not groups[6] else value
        position = match.end()
    return entries


def _value(text: str) -> np.ndarray:
    """Numbers or truth values where the text is such, else the text itself."""
    if text.startswith("["):
        try:
            parsed = np.array(json.loads(text, parse_constant=lambda _: None))
            return parsed if parsed.dtype.kind in "ifb" else np.array(text)
        except (ValueError, RecursionError):
            return np.array(text)
    parts = text.replace(",", " ").split()
    for kind in ("I", "R", "L"):
        try:
            found = _numbers([parts], kind, "value")[0]
        except DataError:
            continue
        return found[0] if len(found) == 1 else found
    return np.array(text)


def _numbers(cells: list[list[str]], kind: str, what: str) -> np.ndarray:
    try:
        if kind == "L":
            return np.array([[_BOOLS[c.upper()] for c in row] for row in cells], dtype=bool)
        if kind == "R":  # Fortran and Mathematica write exponents in other ways
            cells = [[c.replace("*^", "e").replace("d", "e").replace("D", "e") for c in row] for row in cells]
        return np.array(cells, dtype=_KINDS[kind])
    except (ValueError, KeyError, OverflowError) as error:
        raise DataError(f"{what} of kind {kind} does not hold such values ({error}).") from error


def _structures(
    frames: list[_Frame], path: Path, names: tuple[str, str, str], skipped: tuple[tuple[str, str], ...]
) -> Structures:
    energy, forces, stress = names
    charges, sizes, cells, periodic = [], [], [], []
    for frame in frames:
        where = f"{path}: frame {frame.number}"
        c, v = frame.columns, frame.values
        if c.get("pos", np.empty(0)).shape[1:] != (3,) or not ("species" in c or "Z" in c):
            raise DataError(f"{where} has the columns {sorted(c)}, wanted species (or Z) and pos of three numbers.")
        try:
            species = c["species"] if "species" in c else c["Z"]
            charges.append(np.array([atomic_number(str(s)) for s in species[:, 0]], dtype=np.int64))
        except DataError as error:
            raise DataError(f"{where}: {error}") from error
        sizes.append(len(charges[-1]))
        lattice = v.get("Lattice")
        if lattice is not None and (lattice.size != 9 or lattice.dtype.kind not in "if"):
            raise DataError(f"{where}: got Lattice = {lattice}, wanted nine numbers.")
        cells.append(np.zeros((3, 3)) if lattice is None else lattice.astype(np.float64).reshape(3, 3))
        wraps = np.atleast_1d(v.get("pbc", np.full(3, lattice is not None)))
        if wraps.shape != (3,) or wraps.dtype != bool or (lattice is None and wraps.any()):
            raise DataError(
                f"{where}: got pbc = {wraps} with Lattice = {lattice}, wanted three of T and F, T only with a cell."
            )
        periodic.append(wraps)
    found = {name: _of_all(frames, name, path, column) for name, column in ((energy, 0), (stress, 0), (forces, 1))}
    used = {"species", "Z", "pos", "Lattice", "pbc", *names}
    properties = {}
    for column in (0, 1):
        tables = [frame.columns if column else frame.values for frame in frames]
        for name in set.intersection(*(set(t) for t in tables)) - used:
            values = [t[name] for t in tables]
            alike = len({a.shape[column:] for a in values}) == 1 and all(a.dtype.kind in "ifb" for a in values)
            if alike:
                joined = np.concatenate(values) if column else np.stack(values)
                properties[name] = torch.from_numpy(joined[:, 0] if column and joined.shape[1] == 1 else joined)
    energies, stresses, force = found[energy], found[stress], found[forces]
    if stresses is not None:
        stresses = _full_stress(stresses, path)
    with_cells = any(w.any() for w in periodic)
    try:
        return Structures(
            torch.from_numpy(np.concatenate(charges)),
            torch.from_numpy(np.concatenate([f.columns["pos"] for f in frames]).astype(np.float64)),
            torch.from_numpy(np.cumsum([0, *sizes])),
            None if energies is None else torch.from_numpy(energies.reshape(len(frames))),
            None if force is None else torch.from_numpy(force),
            torch.from_numpy(np.stack(cells)) if with_cells else None,
            torch.from_numpy(np.stack(periodic)) if with_cells else None,
            None if stresses is None else torch.from_numpy(stresses),
            properties,
            skipped,
        )
    except (DataError, ValueError) as error:
        raise DataError(f"{path}: {error}") from error


def _of_all(frames: list[_Frame], name: str, path: Path, column: int) -> np.ndarray | None:
    """Floats that all frames have, in one array, or None where none has."""
    tables = [frame.columns if column else frame.values for frame in frames]
    there = [name in table for table in tables]
    if not any(there):
        return None
    if not all(there):
        with_, without = frames[there.index(True)].number, frames[there.index(False)].number
        raise DataError(f"{path}: frame {without} has no {name!r}, frame {with_} has: give all or none.")
    values = [table[name] for table in tables]
    shapes = {v.shape[column:] for v in values}
    wanted = {(3,)} if column else {(), (6,), (9,), (3, 3)}
    if any(v.dtype.kind not in "if" for v in values) or len(shapes) > 1 or not shapes <= wanted:
        raise DataError(f"{path}: {name!r} is not made of numbers of one shape in all frames: {values[0]}.")
    return (np.concatenate(values) if column else np.stack(values)).astype(np.float64)


def _full_stress(stresses: np.ndarray, path: Path) -> np.ndarray:
    """(n, 9), (n, 3, 3) or (n, 6) to (n, 3, 3)."""
    if stresses.shape[1:] == (6,):
        xx, yy, zz, yz, xz, xy = stresses.T
        return np.stack([xx, xy, xz, xy, yy, yz, xz, yz, zz], 1).reshape(-1, 3, 3)
    if stresses.ndim < 2:
        raise DataError(f"{path}: a stress of one number, wanted six or nine.")
    return stresses.reshape(-1, 3, 3)
