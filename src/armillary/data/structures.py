"""Structures of atoms of different sizes, one after the other in plain tensors: what the readers of molecules give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from armillary.data.spec import DataError

_HEAVIEST = 118


@dataclass(frozen=True)
class Structures:
    """n structures of ``atoms`` atoms in all; structure s has the atoms ``offsets[s]`` to ``offsets[s + 1]``.

    ``charges`` (atoms,) int64, the atomic numbers; ``positions`` (atoms, 3) float64 in ångström; ``offsets`` (n + 1,)
    int64. Where the source has them, else None: ``energies`` (n,) float64 in eV; ``forces`` (atoms, 3) float64 in eV/Å;
    ``cells`` (n, 3, 3) float64 in Å, rows the lattice vectors, and ``periodic`` (n, 3) bool, which of them count;
    ``stresses`` (n, 3, 3) float64 in eV/Å³. ``properties``: tensors (n, ...) of each structure or (atoms, ...) of each
    atom by name, in the units of the source. ``skipped``: (name, reason) of what could not be read and was left out.

    ``len`` counts structures, an integer or a slice or a tensor of numbers selects some, ``join`` puts several
    together: so it is a data set for ``DataLoader(structures, collate_fn=Structures.join)``.
    Raises: DataError where shapes do not fit, a value is not finite, or a charge is no atomic number.
    Source: pinned by ``tests/data/test_structures.py``.
    """

    charges: Tensor
    positions: Tensor
    offsets: Tensor
    energies: Tensor | None = None
    forces: Tensor | None = None
    cells: Tensor | None = None
    periodic: Tensor | None = None
    stresses: Tensor | None = None
    properties: Mapping[str, Tensor] = field(default_factory=lambda: MappingProxyType({}))
    skipped: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        n, atoms = len(self.offsets) - 1, len(self.charges)
        ends = self.offsets.tolist()
        if n < 0 or ends[0] != 0 or ends[-1] != atoms or any(a >= b for a, b in pairwise(ends)):
            raise DataError(
                f"structures: offsets must rise from 0 to {atoms}, an atom or more in each, got {ends[:9]}."
            )
        if (self.cells is None) != (self.periodic is None):
            raise DataError("structures: cells and periodic come together: got one of them.")
        shapes = {
            "charges": (atoms,),
            "positions": (atoms, 3),
            "energies": (n,),
            "forces": (atoms, 3),
            "cells": (n, 3, 3),
            "periodic": (n, 3),
            "stresses": (n, 3, 3),
        }
        for name, shape in shapes.items():
            value: Tensor | None = getattr(self, name)
            if value is None:
                continue
            wanted = {"charges": torch.int64, "periodic": torch.bool}.get(name, torch.float64)
            if value.shape != shape or value.dtype != wanted:
                raise DataError(
                    f"structures: {name} have shape {tuple(value.shape)}, {value.dtype}, wanted {shape}, {wanted}."
                )
            if wanted == torch.float64 and not bool(value.isfinite().all()):
                raise DataError(f"structures: {name} hold values that are not finite.")
        if atoms and not (int(self.charges.min()) >= 1 and int(self.charges.max()) <= _HEAVIEST):
            raise DataError(
                f"structures: charges are atomic numbers 1 to {_HEAVIEST}, got {self.charges.unique().tolist()}."
            )
        for name, value in self.properties.items():
            if value.ndim == 0 or len(value) not in (n, atoms):
                raise DataError(
                    f"structures: property {name!r} has shape {tuple(value.shape)}, wanted ({n}, ...) or "
                    f"({atoms}, ...)."
                )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def sizes(self) -> Tensor:
        """Atoms of each structure, (n,) int64."""
        return self.offsets.diff()

    @property
    def batch(self) -> Tensor:
        """The structure of each atom, (atoms,) int64."""
        return torch.repeat_interleave(torch.arange(len(self)), self.sizes)

    def parts(self, name: str) -> list[Tensor]:
        """ "charges", "positions", "forces" or a property of atoms, one tensor for each structure.

        Raises: ValueError where there is no such.
        """
        value = self.properties[name] if name in self.properties else getattr(self, name, None)
        if not isinstance(value, Tensor) or len(value) != len(self.charges) or name == "offsets":
            raise ValueError(f"{name!r} is not among what these structures have of each atom.")
        return list(value.split(self.sizes.tolist()))

    def __getitem__(self, which: int | slice | Tensor | Sequence[int]) -> Structures:
        """Those structures, in that order. Raises: IndexError for one that is not there."""
        n = len(self)
        if isinstance(which, int | np.integer):
            if not -n <= which < n:
                raise IndexError(f"got structure {which} of {n}.")
            which = [int(which) % n]
        numbers = torch.arange(n)[which].reshape(-1)
        sizes = self.sizes[numbers]
        starts = self.offsets[:-1][numbers]
        offsets = torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)])
        atoms = torch.repeat_interleave(starts - offsets[:-1], sizes) + torch.arange(int(offsets[-1]))

        def of(value: Tensor | None, rows: Tensor) -> Tensor | None:
            return None if value is None else value[rows]

        return Structures(
            self.charges[atoms],
            self.positions[atoms],
            offsets,
            of(self.energies, numbers),
            of(self.forces, atoms),
            of(self.cells, numbers),
            of(self.periodic, numbers),
            of(self.stresses, numbers),
            {k: v[numbers if len(v) == n else atoms] for k, v in self.properties.items()},
        )

    @classmethod
    def join(cls, several: Iterable[Structures]) -> Structures:
        """All structures of all, in order, with what all of them have; cells of those without are zeros that do not
        count.

        Raises: ValueError for none at all.
        """
        several = list(several)
        if not several:
            raise ValueError("got no structures to join, wanted one or more.")

        def together(name: str) -> Tensor | None:
            values = [getattr(s, name) for s in several]
            return None if any(v is None for v in values) else torch.cat(values)

        cells = periodic = None
        if any(s.cells is not None for s in several):
            cells = torch.cat([torch.zeros(len(s), 3, 3).double() if s.cells is None else s.cells for s in several])
            periodic = torch.cat([torch.zeros(len(s), 3).bool() if s.periodic is None else s.periodic for s in several])
        names = [k for k in several[0].properties if all(k in s.properties for s in several)]
        sizes = torch.cat([s.sizes for s in several])
        return cls(
            torch.cat([s.charges for s in several]),
            torch.cat([s.positions for s in several]),
            torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)]),
            together("energies"),
            together("forces"),
            cells,
            periodic,
            together("stresses"),
            {k: torch.cat([s.properties[k] for s in several]) for k in names},
            tuple(entry for s in several for entry in s.skipped),
        )
