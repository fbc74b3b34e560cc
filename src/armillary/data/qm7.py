"""QM7: small organic molecules with their atomisation energies, and spherical signals on their atoms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from armillary.data.arrays import array_names, open_npz, read_array
from armillary.data.spec import DataError
from armillary.spaces import SphereGrid

ELEMENTS = (1, 6, 7, 8, 16)
"""The elements of QM7 by charge: H, C, N, O, S."""

_BATCH = 64


@dataclass(frozen=True)
class Molecules:
    """``charges`` (n, atoms) int64, 0 for no atom; ``positions`` (n, atoms, 3) float64 in ångström; ``energies`` (n,)
    float64 in kcal/mol.

    Raises: DataError where shapes do not fit, a value is not finite, or two atoms of a molecule lie in one place.
    """

    charges: Tensor
    positions: Tensor
    energies: Tensor

    def __post_init__(self) -> None:
        n, atoms = self.charges.shape if self.charges.ndim == 2 else (-1, -1)
        if self.positions.shape != (n, atoms, 3) or self.energies.shape != (n,):
            raise DataError(
                f"molecules: got charges {tuple(self.charges.shape)}, positions {tuple(self.positions.shape)} and "
                f"energies {tuple(self.energies.shape)}, wanted (n, atoms), (n, atoms, 3) and (n,)."
            )
        if not (torch.isfinite(self.positions).all() and torch.isfinite(self.energies).all()):
            raise DataError("molecules: positions and energies hold values that are not finite.")
        if bool((self.charges < 0).any()) or bool(((self.charges > 0).sum(1) == 0).any()):
            raise DataError("molecules: charges are atomic numbers >= 1, and 0 for no atom; each molecule has an atom.")
        if self.closest() < 0.1:
            raise DataError(f"molecules: two atoms are {self.closest():.2g} Å apart, wanted positions in ångström.")

    def __len__(self) -> int:
        return len(self.energies)

    def select(self, indices: Tensor) -> Molecules:
        """Those of the given numbers, in that order."""
        return Molecules(self.charges[indices], self.positions[indices], self.energies[indices])

    def closest(self) -> float:
        """The smallest distance of two atoms of one molecule, ångström; inf where all have one atom."""
        least = float("inf")
        for charges, positions in zip(self.charges.split(_BATCH), self.positions.split(_BATCH), strict=True):
            there = charges > 0
            pairs = torch.triu(there[:, :, None] & there[:, None, :], diagonal=1)
            distances = torch.linalg.vector_norm(positions[:, :, None] - positions[:, None, :], dim=-1)
            least = min([least, *distances[pairs].tolist()])
        return least

    def counts(self, elements: Sequence[int] = ELEMENTS) -> Tensor:
        """How many atoms of each element, (n, len(elements)) float64. Raises: DataError for an atom of none of them."""
        counts = torch.stack([(self.charges == z).sum(1) for z in elements], dim=1)
        if not torch.equal(counts.sum(1), (self.charges > 0).sum(1)):
            others = sorted(set(self.charges.unique().tolist()) - {0, *elements})
            raise DataError(f"molecules: got atoms of charge {others}, wanted only {tuple(elements)}.")
        return counts.double()


def load_qm7(path: Path, max_gib: float = 1.0) -> Molecules:
    """The molecules of an npz with arrays ``z``, ``pos`` (ångström) and ``hof_kcal``, or with ``_train`` and ``_test``
    behind these names, which are put together: test behind train.

    Raises: DataError naming a missing or malformed array.
    Source: Blum & Reymond 2009, Rupp et al. 2012 (arXiv 1109.2618); pinned by ``tests/data/test_qm7.py``.
    """
    parts: dict[str, list[np.ndarray]] = {"z": [], "pos": [], "hof_kcal": []}
    with open_npz(path) as file:
        suffixes = [s for s in ("", "_train", "_test") if f"z{s}" in array_names(file)]
        for name, found in parts.items():
            found += [read_array(file, f"{name}{s}", path, max_gib) for s in suffixes or ("",)]
    try:
        charges, positions, energies = (np.concatenate(found) for found in parts.values())
    except ValueError as error:
        raise DataError(f"{path}: train and test do not fit together ({error}).") from error
    if charges.dtype.kind not in "iu" or positions.dtype.kind != "f" or energies.dtype.kind != "f":
        raise DataError(
            f"{path}: got z {charges.dtype}, pos {positions.dtype} and hof_kcal {energies.dtype}, wanted integers and "
            f"twice real numbers."
        )
    to = torch.from_numpy
    return Molecules(to(charges.astype(np.int64)), to(positions.astype(float)), to(energies.astype(float)))


def folds(n: int, count: int = 5, seed: int = 0) -> list[Tensor]:
    """``count`` disjoint sets of indices that cover 0..n - 1, of equal size within one, drawn by ``seed``.

    Raises: ValueError for count < 2 or n < count.
    """
    if not 2 <= count <= n:
        raise ValueError(f"got {count} folds of {n} molecules, wanted at least 2 folds with one molecule each.")
    return list(torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tensor_split(count))


def atom_signals(
    molecules: Molecules,
    grid: SphereGrid,
    radius: float,
    centres: Sequence[int] = ELEMENTS,
    elements: Sequence[int] = ELEMENTS,
) -> Tensor:
    """Potentials of a molecule on spheres about its atoms, one channel for each element:

        U_{i,z}(ω) = Σ_{j ≠ i, z_j = z} z_i z / |r_i + radius · ω - r_j|        (elementary charges² / ångström)

    for all atoms i whose element is one of ``centres``. Turning the molecule turns the signals. ``radius`` has to be
    less than half the least distance of atoms (``Molecules.closest``), so that spheres do not overlap and no signal is
    singular; degree l then falls at least as 2^-l.

    Shapes: (n, most centres in a molecule, len(elements) + len(centres), nlat, nlon) float32: the potentials by
    element, then for each element of ``centres`` a channel that is 1 where the atom i is of it; atoms ascend, and
    those that a molecule lacks are 0 in all channels.
    Raises: ValueError for a radius outside (0, closest/2]; DataError for atoms of other elements, or no centres.
    Source: Cohen et al. 2018 (arXiv 1801.10130), section 5.4; pinned by ``tests/data/test_qm7.py``.
    """
    if not 0 < radius <= molecules.closest() / 2:
        raise ValueError(
            f"got radius = {radius} Å, wanted 0 < radius <= {molecules.closest() / 2:.3f}, half the least distance."
        )
    molecules.counts(elements)
    of_kind = torch.stack([molecules.charges == z for z in centres], dim=-1)
    is_centre = of_kind.any(-1)
    most = int(is_centre.sum(1).max())
    if most == 0:
        raise DataError(f"no molecule has an atom of charge {tuple(centres)}: these are the centres of the spheres.")
    order = torch.argsort((~is_centre).to(torch.int8), dim=1, stable=True)[:, :most]
    points = radius * grid.points.reshape(-1, 3)
    out = torch.zeros(len(molecules), most, len(elements) + len(centres), *grid.shape)
    for start in range(0, len(molecules), _BATCH):
        part = slice(start, start + _BATCH)
        charges, positions, index = molecules.charges[part], molecules.positions[part], order[part]
        there = torch.gather(is_centre[part], 1, index).double()
        z_i = torch.gather(charges, 1, index).double() * there
        r_i = torch.gather(positions, 1, index[..., None].expand(-1, -1, 3))
        offsets = (r_i[:, :, None] - positions[:, None])[:, :, :, None] + points  # (B, centres, atoms, points, 3)
        others = (torch.arange(charges.shape[1]) != index[..., None]) & (charges > 0)[
            :, None
        ]  # no atom may lie anywhere
        distances = torch.linalg.vector_norm(offsets, dim=-1)
        inverse = torch.where(others[..., None], 1 / distances, 0.0)
        for c, z in enumerate(elements):
            sources = (charges == z).double() * z
            potential = torch.einsum("bj,bijp->bip", sources, inverse) * z_i[..., None]
            out[part, :, c] = potential.unflatten(-1, grid.shape).float()
        kinds = torch.gather(of_kind[part], 1, index[..., None].expand(-1, -1, len(centres)))
        out[part, :, len(elements) :] = kinds[..., None, None].float()
    return out


def coulomb_matrices(molecules: Molecules) -> Tensor:
    """Sorted Coulomb matrices, (n, atoms·(atoms + 1)/2) float64: the upper triangle, rows by descending norm.

        C_ii = z_i^2.4 / 2,    C_ij = z_i z_j / |r_i - r_j|,    distances in bohr.

    Source: Rupp et al. 2012 (arXiv 1109.2618), Montavon et al. 2012; pinned by ``tests/data/test_qm7.py``.
    """
    z = molecules.charges.double()
    distances = torch.linalg.vector_norm(molecules.positions[:, :, None] - molecules.positions[:, None], dim=-1)
    matrix = z[:, :, None] * z[:, None] / (distances / 0.529177210903).clamp(min=1e-9)
    diagonal = torch.diagonal(matrix, dim1=1, dim2=2)
    diagonal.copy_(0.5 * z**2.4)
    order = torch.argsort(torch.linalg.vector_norm(matrix, dim=2), dim=1, descending=True, stable=True)
    rows = torch.gather(matrix, 1, order[:, :, None].expand_as(matrix))
    both = torch.gather(rows, 2, order[:, None, :].expand_as(matrix))
    i, j = torch.triu_indices(*both.shape[1:])
    return both[:, i, j]
