"""SO(2), O(2), SO(3) and O(3) with the interface of all groups: elements, irreps, Haar integrals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from armillary.groups.interface import Group, Irrep
from armillary.groups.so3 import from_euler_zyz, random_rotation, wigner_D, wigner_D_real
from armillary.ops.quadrature import gauss_legendre


@dataclass(frozen=True)
class CompactIrrep(Irrep):
    """An irrep of one of the groups below, known by a function of its elements.

    ``frequency`` is |k| in the plane and the degree l in space; ``name`` tells the irreps of one frequency apart.
    """

    name: str
    frequency: int
    size: int
    matrices: Callable[[Tensor], Tensor]
    commuting: int
    real: bool

    @property
    def dim(self) -> int:
        return self.size

    @property
    def is_real(self) -> bool:
        return self.real

    @property
    def endomorphisms(self) -> int:
        return self.commuting

    def __call__(self, g: Tensor) -> Tensor:
        return self.matrices(g)

    def __repr__(self) -> str:
        return f"CompactIrrep({self.name}, dim={self.dim})"


def _check_band(band: int | None) -> int:
    if isinstance(band, bool) or not isinstance(band, int) or band < 0:
        raise ValueError(f"got band = {band!r}, wanted an integer >= 0: the group has infinitely many irreps.")
    return band


def _turn(angle: Tensor) -> Tensor:
    c, s = torch.cos(angle), torch.sin(angle)
    return torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], -2)


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

    def irreps(self, band: int | None = None) -> list[Irrep]:
        band = _check_band(band)
        orders = [0] + [sign * k for k in range(1, band + 1) for sign in (1, -1)]
        return [self._wave(k) for k in orders]

    @staticmethod
    def _wave(k: int) -> CompactIrrep:
        def matrices(g: Tensor) -> Tensor:
            return torch.polar(torch.ones_like(g), k * g)[..., None, None]

        return CompactIrrep(f"k={k}", abs(k), 1, matrices, 2, False)

    def real_irreps(self, band: int | None = None) -> list[Irrep]:
        trivial = CompactIrrep("k=0", 0, 1, lambda g: torch.ones_like(g)[..., None, None], 1, True)
        return [trivial, *(self._real(k) for k in range(1, _check_band(band) + 1))]

    @staticmethod
    def _real(k: int) -> CompactIrrep:
        return CompactIrrep(f"k={k}", k, 2, lambda g: _turn(k * g), 2, True)

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

    def irreps(self, band: int | None = None) -> list[Irrep]:
        return self.real_irreps(band)

    def real_irreps(self, band: int | None = None) -> list[Irrep]:
        trivial = CompactIrrep("k=0", 0, 1, lambda g: torch.ones_like(g[..., :1])[..., None], 1, True)
        sign = CompactIrrep("det", 0, 1, lambda g: (1 - 2 * g[..., 1:])[..., None], 1, True)
        return [trivial, sign, *(self._plane(k) for k in range(1, _check_band(band) + 1))]

    @staticmethod
    def _plane(k: int) -> CompactIrrep:
        def matrices(g: Tensor) -> Tensor:
            flip = torch.stack([torch.ones_like(g[..., 1]), 1 - 2 * g[..., 1]], -1)
            return _turn(k * g[..., 0]) * flip[..., None, :]

        return CompactIrrep(f"k={k}", k, 2, matrices, 1, True)

    def quadrature(self, band: int | None = None) -> tuple[Tensor, Tensor]:
        """2·band + 1 angles, each without and with the reflection."""
        angles, weights = SO2().quadrature(band)
        flips = torch.tensor([0.0, 1.0], dtype=torch.float64)
        elements = torch.stack(torch.meshgrid(angles, flips, indexing="ij"), -1).reshape(-1, 2)
        return elements, weights.repeat_interleave(2) / 2


class _OrthogonalMatrices(Group):
    """What groups of orthogonal matrices (..., 3, 3) share."""

    @property
    def identity(self) -> Tensor:
        return torch.eye(3, dtype=torch.float64)

    def product(self, g: Tensor, h: Tensor) -> Tensor:
        return g @ h

    def inverse(self, g: Tensor) -> Tensor:
        return g.mT


@dataclass(frozen=True)
class SO3(_OrthogonalMatrices):
    """Rotations of space: elements are matrices (..., 3, 3).

    Complex irreps ``D^l`` on m = -l..l with the Condon–Shortley phase; real ones in the basis of the real harmonics.
    """

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.stack([random_rotation(generator) for _ in range(count)])

    def irreps(self, band: int | None = None) -> list[Irrep]:
        return [self._degree(l, wigner_D, False) for l in range(_check_band(band) + 1)]

    def real_irreps(self, band: int | None = None) -> list[Irrep]:
        return [self._degree(l, wigner_D_real, True) for l in range(_check_band(band) + 1)]

    @staticmethod
    def _degree(l: int, wigner: Callable[[int, Tensor], Tensor], real: bool) -> CompactIrrep:
        return CompactIrrep(f"l={l}", l, 2 * l + 1, lambda g: wigner(l, g), 1 if real else 2, real)

    def quadrature(self, band: int | None = None) -> tuple[Tensor, Tensor]:
        """(2·band + 1)² · (band + 1) rotations: equal steps in α and γ, Gauss–Legendre nodes in cos β."""
        band = _check_band(band)
        angles, _ = SO2().quadrature(band)
        beta, weights = gauss_legendre(band + 1)
        a, b, c = torch.meshgrid(angles, beta, angles, indexing="ij")
        measure = (weights / 2)[None, :, None].expand(a.shape) / len(angles) ** 2
        return from_euler_zyz(a, b, c).reshape(-1, 3, 3), measure.reshape(-1)


@dataclass(frozen=True)
class O3(_OrthogonalMatrices):
    """Rotations and reflections of space: elements are orthogonal matrices (..., 3, 3).

    Two irreps for each degree, in the order even, odd: ``±D^l(R det R)``, where the inversion is ±1; vectors transform
    as "1o".
    """

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        signs = 1 - 2.0 * torch.randint(2, (count, 1, 1), generator=generator)
        return SO3().sample(count, generator) * signs

    def irreps(self, band: int | None = None) -> list[Irrep]:
        return [self._degree(l, p, wigner_D, False) for l in range(_check_band(band) + 1) for p in (1, -1)]

    def real_irreps(self, band: int | None = None) -> list[Irrep]:
        return [self._degree(l, p, wigner_D_real, True) for l in range(_check_band(band) + 1) for p in (1, -1)]

    @staticmethod
    def _degree(l: int, parity: int, wigner: Callable[[int, Tensor], Tensor], real: bool) -> CompactIrrep:
        def matrices(g: Tensor) -> Tensor:
            sign = torch.linalg.det(g.double()).sign()[..., None, None]
            D = wigner(l, g * sign)
            return D if parity == 1 else D * sign

        return CompactIrrep(f"{l}{'e' if parity == 1 else 'o'}", l, 2 * l + 1, matrices, 1 if real else 2, real)

    def quadrature(self, band: int | None = None) -> tuple[Tensor, Tensor]:
        """Those of SO(3), and their products with the inversion."""
        rotations, weights = SO3().quadrature(band)
        return torch.cat([rotations, -rotations]), torch.cat([weights, weights]) / 2
