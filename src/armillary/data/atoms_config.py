"""Structures for a training, validation and test, from one table of plain values (``[data]`` in a TOML file)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from armillary.data.atom_files import READ, read_structures
from armillary.data.spec import SPLITS, DataError, Split
from armillary.data.splits import split_ends
from armillary.data.structures import Structures
from armillary.data.xyz import OnBad


@dataclass(frozen=True)
class AtomsDataConfig:
    """Which files, and how they are split. Lengths are Å, energies eV, forces eV/Å, as the files must have them.

    Raises: DataError for a value out of range.
    """

    path: str = ""
    """File or folder of structures; ~ and $VARIABLES are expanded. Extended XYZ, npz (FILE.npz:NAME for one of several
    trajectories), LMDB, QM9."""
    valid: str = ""
    """A file of its own for validation; empty: a part of path."""
    test: str = ""
    """A file of its own for the test; empty: a part of path, if fractions give it one."""
    fractions: tuple[float, ...] = (0.8, 0.1, 0.1)
    """Parts of path for training, validation, test; the part of a split with a file of its own goes to training."""
    split_by: Literal["random", "order"] = "random"
    """Structures of path are split at random, or in their order, training first: for frames that follow each other
    closely."""
    split_seed: int = 0
    """Seed of the split, and of what most leaves."""
    most: int = 0
    """Structures to take of each file at most, drawn at random; 0: all."""
    energy: str = ""
    """Name of the energies in the file where it is another than usual (extended XYZ, LMDB), such as REF_energy."""
    forces: str = ""
    """Name of the forces in the file where it is another than usual (extended XYZ)."""
    on_bad: OnBad = "stop"
    """At a structure that cannot be read: stop, or leave it out and name it."""

    def __post_init__(self) -> None:
        sound = len(self.fractions) == 3 and all(math.isfinite(f) and f >= 0 for f in self.fractions)
        if not sound or not self.fractions[0] > 0 or sum(self.fractions) > 1 + 1e-9:
            raise DataError(
                f"data.fractions: got {self.fractions}, wanted three parts (train, valid, test) >= 0, the first > 0, "
                f"of sum at most 1."
            )
        for name in ("split_seed", "most"):
            if getattr(self, name) < 0:
                raise DataError(f"data.{name}: got {getattr(self, name)}, wanted an integer >= 0.")


def open_structures(config: AtomsDataConfig) -> dict[Split, Structures]:
    """The structures of each split that has any; there is always one for training and one for validation.

    Raises: DataError where path is not set, a file cannot be read (see ``read_structures``), or there is nothing to
    train on or to validate with.
    Source: pinned by ``tests/data/test_atom_files.py``.
    """
    if not config.path:
        raise DataError(f"data.path is not set: give a file of structures; what is read: {READ}.")
    own: dict[Split, str] = {"valid": config.valid, "test": config.test}
    parts = dict(zip(SPLITS, config.fractions, strict=True))
    for split, file in own.items():
        if file:
            parts["train"] += parts[split]
            parts[split] = 0.0
    held = _read(config, config.path)
    ends = split_ends(len(held), [parts[split] for split in SPLITS])
    order = np.arange(len(held))
    if config.split_by == "random":
        order = np.random.default_rng(config.split_seed).permutation(len(held))
    found: dict[Split, Structures] = {}
    for k, split in enumerate(SPLITS):
        chosen = np.sort(order[ends[k] : ends[k + 1]]).tolist()
        if chosen:
            found[split] = replace(held[chosen], skipped=held.skipped if split == "train" else ())
    for split, file in own.items():
        if file:
            found[split] = _read(config, file)
    if "train" not in found or "valid" not in found:
        missing = "train" if "train" not in found else "valid"
        raise DataError(
            f"{config.path}: {len(held)} structures leave none for {missing} (data.fractions = {config.fractions}): "
            f"raise its part, or name a file of its own (data.valid)."
        )
    return found


def _read(config: AtomsDataConfig, path: str) -> Structures:
    return read_structures(
        path,
        energy=config.energy,
        forces=config.forces,
        on_bad=config.on_bad,
        most=config.most,
        seed=config.split_seed,
    )
