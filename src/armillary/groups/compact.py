"""SO(2), O(2), SO(3) and O(3) with the interface of all groups: elements, irreps, Haar integrals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from armillary.groups.compact_irreps import CompactIrrep, Degree, Turn, TurnAndFlip, Wave
from armillary.groups.interface import Group
from armillary.groups.so3 import random_rotations, rotation_about
from armillary.ops.integers import checked_integer
from armillary.ops.quadrature import gauss_legendre

Rule = tuple[Tensor, Tensor]
"""Elements (n, ...) and weights (n,), sum 1."""


def _check_band(band: int | None) -> int:
    return checked_integer("band", band, 0, why=": the group has infinitely many irreps")


@dataclass(frozen=True)
class SO2(Group):
    """Rotations of the plane: elements are angles (...) in radians, counter-clockwise.

    Complex irreps ``e^{ikθ}``, in the order 0, 1, -1, 2, -2, …; real ones 1 and the turns by kθ, of complex type.
    """

    @property
    def identity(self) -> Tensor:
        return torch.zeros((), dtype=torch.float64)

    def product(self, g: Tensor, h: Tensor) -> Tensor:
        return torch.remainder(g + h, 2 * math.pi)

    def inverse(self, g: Tensor) -> Tensor:
        return torch.remainder(-g, 2 * math.pi)

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        return 2 * math.pi * torch.rand(count, generator=generator, dtype=torch.float64)

    def irreps(self, band: int | None = None) -> tuple[CompactIrrep, ...]:
        orders = [0] + [sign * k for k in range(1, _check_band(band) + 1) for sign in (1, -1)]
        return tuple(Wave(self, k) for k in orders)

    def real_irreps(self, band: int | None = None) -> tuple[CompactIrrep, ...]:
        return tuple(Turn(self, k) for k in range(_check_band(band) + 1))

    def quadrature(self, band: int | None = None) -> tuple[Tensor, Tensor]:
        """2·band + 1 equal angles."""
        n = 2 * _check_band(band) + 1
        return 2 * math.pi * torch.arange(n, dtype=torch.float64) / n, torch.full((n,), 1 / n, dtype=torch.float64)


@dataclass(frozen=True)
class O2(Group):
    """Rotations and reflections of the plane: elements (..., 2) are (angle, s), s 0 or 1.

    An element is ``R(angle) F^s`` with F: y → -y. Irreps, all of real type: 1, the determinant, and ``R(k·angle) F^s``
    for k ≥ 1.
    """

    @property
    def identity(self) -> Tensor:
        return torch.zeros(2, dtype=torch.float64)

    def product(self, g: Tensor, h: Tensor) -> Tensor:
        g, h = torch.broadcast_tensors(g, h)
        angle = torch.remainder(g[..., 0] + (1 - 2 * g[..., 1]) * h[..., 0], 2 * math.pi)
        return torch.stack([angle, torch.remainder(g[..., 1] + h[..., 1], 2)], -1)

    def inverse(self, g: Tensor) -> Tensor:
        angle = torch.remainder(-(1 - 2 * g[..., 1]) * g[..., 0], 2 * math.pi)
        return torch.stack([angle, g[..., 1]], -1)

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        angles = SO2().sample(count, generator)
        return torch.stack([angles, torch.randint(2, (count,), generator=generator).double()], -1)

    def irreps(self, band: int | None = None) -> tuple[CompactIrrep, ...]:
        return self.real_irreps(band)

    def real_irreps(self, band: int | None = None) -> tuple[CompactIrrep, ...]:
        planes = [TurnAndFlip(self, k) for k in range(1, _check_band(band) + 1)]
        return (TurnAndFlip(self, 0), TurnAndFlip(self, 0, odd=True), *planes)

    def quadrature(self, band: int | None = None) -> tuple[Tensor, Tensor]:
        """2·band + 1 angles, each without and with the reflection."""
        angles, weights = SO2().quadrature(band)
        flips = torch.tensor([0.0, 1.0], dtype=torch.float64)
        elements = torch.stack(torch.meshgrid(angles, flips, indexing="ij"), -1).reshape(-1, 2)
        return elements, weights.repeat_interleave(2) / 2


class OrthogonalMatrices(Group):
    """What SO(3) and O(3), groups of orthogonal matrices (..., 3, 3), share."""

    @property
    def identity(self) -> Tensor:
        return torch.eye(3, dtype=torch.float64)

    def product(self, g: Tensor, h: Tensor) -> Tensor:
        return g @ h

    def inverse(self, g: Tensor) -> Tensor:
        return g.mT


@dataclass(frozen=True)
class SO3(OrthogonalMatrices):
    """Rotations of space: elements are matrices (..., 3, 3).

    Complex irreps ``D^l`` on m = -l..l with the Condon–Shortley phase; real ones in the basis of the real harmonics.
    """

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        return random_rotations(count, generator)

    def irreps(self, band: int | None = None) -> tuple[CompactIrrep, ...]:
        return tuple(Degree(self, l, None, real=False) for l in range(_check_band(band) + 1))

    def real_irreps(self, band: int | None = None) -> tuple[CompactIrrep, ...]:
        return tuple(Degree(self, l, None, real=True) for l in range(_check_band(band) + 1))

    def quadrature(self, band: int | None = None) -> tuple[Tensor, Tensor]:
        """(2·band + 1)² · (band + 1) rotations: equal steps in α and γ, Gauss–Legendre nodes in cos β."""
        return product_rule(self, euler_factors(_check_band(band)))


@dataclass(frozen=True)
class O3(OrthogonalMatrices):
    """Rotations and reflections of space: elements are orthogonal matrices (..., 3, 3).

    Two irreps for each degree, in the order even, odd: ``±D^l(R det R)``, where the inversion is ±1; vectors transform
    as "1o".
    """

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        signs = 1 - 2.0 * torch.randint(2, (count, 1, 1), generator=generator)
        return SO3().sample(count, generator) * signs

    def irreps(self, band: int | None = None) -> tuple[CompactIrrep, ...]:
        return tuple(Degree(self, l, p, real=False) for l in range(_check_band(band) + 1) for p in (1, -1))

    def real_irreps(self, band: int | None = None) -> tuple[CompactIrrep, ...]:
        return tuple(Degree(self, l, p, real=True) for l in range(_check_band(band) + 1) for p in (1, -1))

    def quadrature(self, band: int | None = None) -> tuple[Tensor, Tensor]:
        """Those of SO(3), and after them their products with the inversion."""
        return product_rule(self, [inversions(), *euler_factors(_check_band(band))])


def euler_factors(band: int, alphas: bool = True, gammas: bool = True) -> list[Rule]:
    """Quadratures over α, β and γ in ``Z(α) Y(β) Z(γ)``, whose product is exact on SO(3) for products of two matrix
    elements up to ``band``. α, or γ, is left out for functions that do not depend on it."""
    angles, equal = SO2().quadrature(band)
    turns = [(rotation_about("z", angles), equal)]
    theta, weights = gauss_legendre(band + 1)
    tilts = [(rotation_about("y", theta), weights / 2)]
    return turns * alphas + tilts + turns * gammas


def inversions() -> Rule:
    """1 and -1 with equal weights."""
    one = torch.eye(3, dtype=torch.float64)
    return torch.stack([one, -one]), torch.full((2,), 0.5, dtype=torch.float64)


def product_rule(group: Group, factors: Sequence[Rule]) -> Rule:
    """The quadrature over all products f_1 f_2 … of elements of several, the last index fastest."""
    elements, weights = factors[0]
    for more, others in factors[1:]:
        elements = group.product(elements[:, None], more).flatten(0, 1)
        weights = torch.outer(weights, others).flatten()
    return elements, weights
