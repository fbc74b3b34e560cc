"""Closed subgroups of SO(2), O(2), SO(3), O(3): finite ones, and the turns about an axis with or without mirrors."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from armillary.groups.compact import O2, O3, SO2, SO3, OrthogonalMatrices, Rule, euler_factors, inversions
from armillary.groups.compact_irreps import CompactIrrep, Degree, Turn, TurnAndFlip
from armillary.groups.finite import FiniteGroup
from armillary.groups.interface import Group, Irrep
from armillary.groups.representation import Representation
from armillary.groups.so3 import rotation_about


class ClosedSubgroup(ABC):
    """A subgroup of a compact group, known by its Haar integral."""

    @property
    @abstractmethod
    def group(self) -> Group:
        """The group it lies in."""

    @property
    @abstractmethod
    def as_group(self) -> Group:
        """The subgroup by itself."""

    @property
    def turns(self) -> bool:
        """Whether all turns about the z-axis of space are in it."""
        return False

    @property
    def mirrors(self) -> bool:
        """Whether it holds elements of O(3) of determinant -1."""
        return False

    @abstractmethod
    def haar(self, band: int) -> tuple[Tensor, Tensor]:
        """Elements and weights, sum 1, that integrate matrix elements of irreps up to ``band`` over the subgroup."""

    @abstractmethod
    def restrict(self, irrep: CompactIrrep) -> tuple[Irrep, ...]:
        """The irreps of ``as_group`` that an irrep of ``group`` is the sum of on the subgroup, with repetitions: real
        ones for a real irrep. Raises: ValueError for an irrep of another group."""

    def _check(self, irrep: CompactIrrep) -> None:
        if irrep.group != self.group:
            raise ValueError(f"got {irrep}, wanted an irrep of {self.group}.")


@dataclass(frozen=True)
class AxisRotations(ClosedSubgroup):
    """SO(2) in SO(3) or O(3): the rotations about the z-axis. In SO(3) it is the stabiliser of the north pole, and
    SO(3)/SO(2) the sphere."""

    whole: SO3 | O3 = field(default_factory=SO3)

    @property
    def group(self) -> SO3 | O3:
        return self.whole

    @property
    def as_group(self) -> SO2:
        return SO2()

    @property
    def turns(self) -> bool:
        return True

    def haar(self, band: int) -> tuple[Tensor, Tensor]:
        angles, weights = SO2().quadrature(band)
        return rotation_about("z", angles), weights

    def restrict(self, irrep: CompactIrrep) -> tuple[Irrep, ...]:
        """Each order m once: ``e^{-imα}`` for a complex irrep, 1 and the turns by mα for a real one."""
        self._check(irrep)
        assert isinstance(irrep, Degree)  # all irreps of SO(3) and O(3) are
        return SO2().real_irreps(irrep.l) if irrep.real else SO2().irreps(irrep.l)


@dataclass(frozen=True)
class AxisMirrors(ClosedSubgroup):
    """O(2) in O(3): the rotations about the z-axis and the mirrors through it, the stabiliser of the north pole.

    O(3)/O(2) is the sphere. The element (α, s) of O(2) is ``Z(α) M^s`` with M: y → -y.
    """

    @property
    def group(self) -> O3:
        return O3()

    @property
    def as_group(self) -> O2:
        return O2()

    @property
    def turns(self) -> bool:
        return True

    @property
    def mirrors(self) -> bool:
        return True

    def haar(self, band: int) -> tuple[Tensor, Tensor]:
        angles, weights = SO2().quadrature(band)
        turns = rotation_about("z", angles)
        mirror = torch.diag(torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64))
        return torch.cat([turns, turns @ mirror]), torch.cat([weights, weights]) / 2

    def restrict(self, irrep: CompactIrrep) -> tuple[Irrep, ...]:
        """The planes k = 1..l once, and for m = 0 the trivial irrep if the parity is (-1)^l, else the determinant."""
        self._check(irrep)
        assert isinstance(irrep, Degree)  # all irreps of O(3) are
        planes = [TurnAndFlip(O2(), k) for k in range(1, irrep.l + 1)]
        return (TurnAndFlip(O2(), 0, odd=irrep.parity != (-1) ** irrep.l), *planes)


@dataclass(frozen=True)
class PlaneRotations(ClosedSubgroup):
    """SO(2) in O(2)."""

    @property
    def group(self) -> O2:
        return O2()

    @property
    def as_group(self) -> SO2:
        return SO2()

    def haar(self, band: int) -> tuple[Tensor, Tensor]:
        angles, weights = SO2().quadrature(band)
        return torch.stack([angles, torch.zeros_like(angles)], dim=-1), weights

    def restrict(self, irrep: CompactIrrep) -> tuple[Irrep, ...]:
        """k stays k; the determinant becomes trivial."""
        self._check(irrep)
        return (Turn(SO2(), irrep.frequency),)


@dataclass(frozen=True, eq=False)
class FiniteSubgroup(ClosedSubgroup):
    """A finite group of matrices as a subgroup of SO(2), O(2), SO(3) or O(3).

    ``FiniteSubgroup(SO3(), groups.icosahedral())``, ``FiniteSubgroup(O2(), groups.dihedral(6))``; any other one by
    ``FiniteGroup.from_matrices``. Equal where the matrices are.

    Raises: ValueError for a group without matrices, or with some that are not in the compact group.
    """

    whole: SO2 | O2 | SO3 | O3
    finite: FiniteGroup

    def __post_init__(self) -> None:
        size = 3 if isinstance(self.whole, OrthogonalMatrices) else 2
        M = self.finite.matrices
        if M is None or M.shape[1:] != (size, size):
            raise ValueError(f"got {self.finite}, wanted a group with matrices ({size}, {size}) for {self.whole}.")
        error = float(np.abs(M @ M.swapaxes(1, 2) - np.eye(size)).max())
        proper = isinstance(self.whole, SO2 | SO3)
        if not error < 1e-9 or (proper and np.linalg.det(M).min() < 0):
            raise ValueError(
                f"got matrices of {self.finite} that are not all in {self.whole}: wanted orthogonal ones to 1e-9"
                f"{' of determinant 1' if proper else ''}, got {error:.1e}."
            )

    @property
    def group(self) -> SO2 | O2 | SO3 | O3:
        return self.whole

    @property
    def as_group(self) -> FiniteGroup:
        return self.finite

    @property
    def mirrors(self) -> bool:
        return bool((np.linalg.det(self._matrices) < 0).any())

    @property
    def _matrices(self) -> np.ndarray:
        assert self.finite.matrices is not None
        return self.finite.matrices

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FiniteSubgroup):
            return NotImplemented
        same = self.whole == other.whole and self.finite == other.finite
        return same and np.array_equal(self._matrices, other._matrices)

    def __hash__(self) -> int:
        return hash((self.whole, self.finite))

    @property
    def elements(self) -> Tensor:
        """Its elements as those of ``group``, in the order of ``finite``."""
        M = torch.tensor(self._matrices)
        if isinstance(self.whole, OrthogonalMatrices):
            return M
        angles = torch.remainder(torch.atan2(M[:, 1, 0], M[:, 0, 0]), 2 * math.pi)
        if isinstance(self.whole, SO2):
            return angles
        return torch.stack([angles, (torch.linalg.det(M) < 0).double()], dim=-1)

    def haar(self, band: int) -> tuple[Tensor, Tensor]:
        n = self.finite.order
        return self.elements, torch.full((n,), 1 / n, dtype=torch.float64)

    def restrict(self, irrep: CompactIrrep) -> tuple[Irrep, ...]:
        """By ``restricted(irrep).decompose()``, which has the basis too."""
        return self.restricted(irrep).decompose().irreps

    def restricted(self, irrep: CompactIrrep) -> Representation:
        """An irrep of the compact group as a representation of the finite one."""
        self._check(irrep)
        elements = self.elements
        return Representation(self.finite, irrep.dim, lambda g: irrep(elements[g]), f"{irrep.name} of {self.whole}")


def quotient_factors(group: Group, left: ClosedSubgroup | None, right: ClosedSubgroup | None, band: int) -> list[Rule]:
    """Quadratures over a compact group whose product (``product_rule``) integrates functions on left\\G/right up to
    ``band``.

    In space α is left out where ``left`` holds the turns about the axis, and γ where ``right`` does; rotations are
    enough where one of them has mirrors.
    """
    if not isinstance(group, OrthogonalMatrices):
        return [group.quadrature(band)]
    factors = euler_factors(band, alphas=left is None or not left.turns, gammas=right is None or not right.turns)
    mirrors = any(H is not None and H.mirrors for H in (left, right))
    return factors if isinstance(group, SO3) or mirrors else [inversions(), *factors]
