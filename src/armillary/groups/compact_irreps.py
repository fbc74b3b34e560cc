"""Irreps of SO(2), O(2), SO(3) and O(3): plain values, equal where group, frequency and parity are.

Angles are taken in float64 whatever their type, so that matrices are float64 or complex128.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from armillary.groups.interface import Group, Irrep
from armillary.groups.so3 import proper_part, wigner_D, wigner_D_real


class CompactIrrep(Irrep):
    """An irrep of SO(2), O(2), SO(3) or O(3)."""

    group: Group
    """The group it is an irrep of."""

    @property
    @abstractmethod
    def frequency(self) -> int:
        """|k| in the plane, the degree l in space."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What tells it from other irreps of its group."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name} of {self.group}, dim={self.dim})"


def _turn(angle: Tensor) -> Tensor:
    c, s = torch.cos(angle), torch.sin(angle)
    return torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], -2)


@dataclass(frozen=True, repr=False)
class Wave(CompactIrrep):
    """``e^{ikθ}``, a complex irrep of SO(2)."""

    group: Group
    k: int

    @property
    def dim(self) -> int:
        return 1

    @property
    def is_real(self) -> bool:
        return False

    @property
    def endomorphism_dim(self) -> int:
        return 2

    @property
    def frequency(self) -> int:
        return abs(self.k)

    @property
    def name(self) -> str:
        return f"k={self.k}"

    def __call__(self, g: Tensor) -> Tensor:
        angle = self.k * g.double()
        return torch.polar(torch.ones_like(angle), angle)[..., None, None]


@dataclass(frozen=True, repr=False)
class Turn(CompactIrrep):
    """The turn of the plane by kθ, k ≥ 1, or 1 for k = 0: a real irrep of SO(2)."""

    group: Group
    k: int

    @property
    def dim(self) -> int:
        return 2 if self.k else 1

    @property
    def is_real(self) -> bool:
        return True

    @property
    def endomorphism_dim(self) -> int:
        return 2 if self.k else 1

    @property
    def frequency(self) -> int:
        return self.k

    @property
    def name(self) -> str:
        return f"k={self.k}"

    def __call__(self, g: Tensor) -> Tensor:
        angle = g.double()
        return _turn(self.k * angle) if self.k else torch.ones_like(angle)[..., None, None]


@dataclass(frozen=True, repr=False)
class TurnAndFlip(CompactIrrep):
    """``R(k·angle) F^s``, k ≥ 1, or for k = 0 the trivial irrep and, with ``odd``, the determinant: irreps of O(2)."""

    group: Group
    k: int
    odd: bool = False

    @property
    def dim(self) -> int:
        return 2 if self.k else 1

    @property
    def is_real(self) -> bool:
        return True

    @property
    def endomorphism_dim(self) -> int:
        return 1

    @property
    def frequency(self) -> int:
        return self.k

    @property
    def name(self) -> str:
        return "det" if self.odd else f"k={self.k}"

    def __call__(self, g: Tensor) -> Tensor:
        angle, sign = g[..., 0].double(), 1 - 2 * g[..., 1].double()
        if self.k == 0:
            return (sign if self.odd else torch.ones_like(angle))[..., None, None]
        flip = torch.stack([torch.ones_like(sign), sign], -1)
        return _turn(self.k * angle) * flip[..., None, :]


@dataclass(frozen=True, repr=False)
class Degree(CompactIrrep):
    """``D^l(R)``, an irrep of SO(3); with a ``parity`` ±1 ``D^l(R det R) · parity^{(1 - det R)/2}``, one of O(3).

    Complex on m = -l..l with the Condon–Shortley phase, or in the basis of the real harmonics.
    """

    group: Group
    l: int
    parity: int | None
    real: bool

    @property
    def dim(self) -> int:
        return 2 * self.l + 1

    @property
    def is_real(self) -> bool:
        return self.real

    @property
    def endomorphism_dim(self) -> int:
        return 1 if self.real else 2

    @property
    def frequency(self) -> int:
        return self.l

    @property
    def name(self) -> str:
        return f"l={self.l}" if self.parity is None else f"{self.l}{'e' if self.parity == 1 else 'o'}"

    def __call__(self, g: Tensor) -> Tensor:
        wigner = wigner_D_real if self.real else wigner_D
        if self.parity is None:
            return wigner(self.l, g)
        R, sign = proper_part(g)
        D = wigner(self.l, R)
        return D if self.parity == 1 else D * sign[..., None, None]
