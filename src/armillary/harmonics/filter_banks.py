"""Filter banks of tight framelets: how one step of a decomposition shares the degrees between its parts.

A bank is a low-pass mask â and high-pass masks b̂_r of a frequency ξ in [0, ½], with

    |â(ξ)|² + Σ_r |b̂_r(ξ)|² = 1,      â(ξ) = 1 for ξ ≤ ⅛,      â(ξ) = 0 for ξ ≥ ¼.

Its scaling function and framelets follow by refinement, α̂(2ξ) = â(ξ) α̂(ξ) and β̂_r(2ξ) = b̂_r(ξ) α̂(ξ), α̂(0) = 1.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from armillary.ops.constants import cached_constant
from armillary.ops.quadrature import gauss_legendre

TOLERANCE = 1e-12


class FilterBank(ABC):
    """A low-pass mask and one or more high-pass masks. Subclasses are frozen dataclasses that state the masks."""

    @abstractmethod
    def masks(self, xi: Tensor) -> Tensor:
        """(â, b̂_1, …, b̂_n) at frequencies 0 ≤ ξ ≤ ½, real: (...) → (1 + n, ...) float64."""

    def check(self) -> None:
        """Raise a ValueError unless the squares sum to one on a fine grid and the low-pass mask is 1 and 0 where it
        has to be, to 1e-12."""
        xi = torch.linspace(0, 0.5, 4097, dtype=torch.float64, device="cpu")
        masks = self.masks(xi)
        if masks.shape[1:] != xi.shape or masks.shape[0] < 2:
            raise ValueError(
                f"the masks of {self!r} have shape {tuple(masks.shape)} at {len(xi)} frequencies, wanted "
                f"(1 + n, {len(xi)}) with n >= 1 high-pass masks."
            )
        excess = float((masks.square().sum(0) - 1).abs().max())
        flat = float((masks[0][xi <= 0.125] - 1).abs().max())
        gone = float(masks[0][xi >= 0.25].abs().max())
        if not max(excess, flat, gone) <= TOLERANCE:
            raise ValueError(
                f"{self!r} is no filter bank: its squares sum to one within {excess:.1e}, â is 1 for ξ <= 1/8 within "
                f"{flat:.1e} and 0 for ξ >= 1/4 within {gone:.1e}, wanted {TOLERANCE:.0e} for each."
            )

    def scaling(self, xi: Tensor) -> Tensor:
        """The scaling function ``α̂(ξ) = Π_{k ≥ 1} â(ξ/2^k)``, ξ ≥ 0: 1 up to ¼, 0 from ½."""
        factors = max(0, math.ceil(math.log2(max(float(xi.max()), 0.125) / 0.125)))
        out = torch.ones_like(xi, dtype=torch.float64)
        for k in range(1, factors + 1):
            out = out * self.masks((xi / 2**k).clamp(max=0.5))[0]
        return out

    def framelets(self, xi: Tensor) -> Tensor:
        """The framelets ``β̂_r(ξ) = b̂_r(ξ/2) α̂(ξ/2)``, ξ ≥ 0: (...) → (n, ...), 0 from 1."""
        return self.masks((xi / 2).clamp(max=0.5))[1:] * self.scaling(xi / 2)


@dataclass(frozen=True)
class MeyerBank(FilterBank):
    """Two high-pass masks from cosines of a polynomial, with ``order`` continuous derivatives.

        â(ξ) = cos(½π ν(8ξ - 1)),    b̂_1(ξ) = sin(½π ν(8ξ - 1)) cos(½π ν(4ξ - 1)),    b̂_2(ξ) = sin(½π ν(4ξ - 1)),

    with ν(t) the polynomial of degree 2·order + 1 that rises from 0 at t = 0 to 1 at t = 1 with ``order`` derivatives
    that vanish at both ends, constant outside. b̂_1 lies on (⅛, ½), b̂_2 on (¼, ½).

    Raises: ValueError for order < 1.
    Source: the masks of Wang & Zhuang 2018 (arXiv 1608.04026), with Meyer's auxiliary function (Daubechies 1992,
    section 4.2); pinned by ``tests/harmonics/test_filter_banks.py``.
    """

    order: int = 3

    def __post_init__(self) -> None:
        if isinstance(self.order, bool) or not isinstance(self.order, int) or self.order < 1:
            raise ValueError(f"MeyerBank: got order = {self.order!r}, wanted an integer >= 1.")
        self.check()

    def masks(self, xi: Tensor) -> Tensor:
        low, high = self._rise(8 * xi.double() - 1), self._rise(4 * xi.double() - 1)
        return torch.stack([_cosine(low), _cosine(1 - low) * _cosine(high), _cosine(1 - high)])

    def _rise(self, t: Tensor) -> Tensor:
        t, degree = t.clamp(0, 1), 2 * self.order + 1
        terms = [math.comb(degree, k) * t**k * (1 - t) ** (degree - k) for k in range(self.order + 1, degree + 1)]
        return torch.stack(terms).sum(0)


def _cosine(x: Tensor) -> Tensor:
    """cos(½π x) for x in [0, 1], and exactly 0 at 1."""
    return torch.where(x >= 1, torch.zeros_like(x), torch.cos(0.5 * math.pi * x))


@dataclass(frozen=True)
class BumpBank(FilterBank):
    """One high-pass mask, infinitely smooth: the squares are a partition of unity by a bump function.

        â(ξ)² = h(2 - 8ξ),    b̂(ξ)² = h(8ξ - 1),    h(t) = ∫_{-1}^{2t-1} k(u) du / ∫_{-1}^{1} k(u) du,

    with k(u) = exp(-1/(1 - u²)); h is 0 below t = 0 and 1 beyond t = 1, and h(t) + h(1 - t) = 1.

    Source: Marinucci et al. 2008 (arXiv 0707.0844), with B = 2; pinned by
    ``tests/harmonics/test_filter_banks.py``.
    """

    def __post_init__(self) -> None:
        self.check()

    def masks(self, xi: Tensor) -> Tensor:
        t = (8 * xi.double() - 1).clamp(0, 1)
        return torch.stack([_bump_integral(1 - t), _bump_integral(t)]).sqrt()


def _bump_integral(t: Tensor) -> Tensor:
    """h of ``BumpBank``, t in [0, 1]; each half is integrated from its own end, so nothing cancels."""
    lower = torch.minimum(t, 1 - t)
    nodes, weights = (part.to(t.device) for part in _rule())
    u = -1 + lower[..., None] * (nodes + 1)  # from -1 to 2·lower - 1
    part = (_bump(u) * weights).sum(-1) * lower / (2 * _half_integral())
    return torch.where(t <= 0.5, part, 1 - part)


def _bump(u: Tensor) -> Tensor:
    return torch.exp(-1 / (1 - u.square()).clamp(min=1e-300))


@cached_constant(1)
def _rule() -> tuple[Tensor, Tensor]:
    """Gauss–Legendre nodes in (-1, 1) and weights of sum 2."""
    colatitudes, weights = gauss_legendre(96)
    return torch.cos(colatitudes), weights


@lru_cache(maxsize=1)
def _half_integral() -> float:
    """∫_{-1}^{0} k(u) du, by the same rule as the parts, so that h(½) = ½ exactly."""
    nodes, weights = _rule()
    return float((_bump(-1 + 0.5 * (nodes + 1)) * weights).sum() * 0.5)
