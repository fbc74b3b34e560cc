"""Filters on a k×k window and their turned copies: by permuting pixels, or by a smooth basis sampled at turned points.

Shape legend: O channels out, I channels in, S group elements, P free numbers of a filter, k kernel size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import scipy.special
import torch
from torch import Tensor, nn

from armillary.groups import FiniteGroup
from armillary.ops.constants import ConstantModule
from armillary.ops.integers import checked_integer
from armillary.spaces.plane_group import is_pixel_group, matrices_of


class PlanarFilters(ABC):
    """How a filter on a k×k window is parametrised, and what its turned copies are."""

    @abstractmethod
    def shape(self, kernel_size: int) -> tuple[int, ...]:
        """The free numbers of one filter."""

    @abstractmethod
    def expansion(self, group: FiniteGroup, kernel_size: int, lift: bool) -> nn.Module:
        """A module from weights (O, I, *shape), or (O, I, |S|, *shape) where not ``lift``, to (O, |S|, I, 1 or |S|, k,
        k) with ``W[o, s, i, s', d] = ψ[o, i, s⁻¹s'](s⁻¹ d)``.

        Turned copies are exact for groups that permute pixels (``spaces.plane_group.is_pixel_group``).
        Raises: ValueError for a group whose elements these filters cannot follow.
        """


@dataclass(frozen=True)
class PixelFilters(PlanarFilters):
    """A free number at each of the k×k pixels; turned copies permute them. Exact.

    For C_1, C_2, C_4, D_1, D_2, D_4 only, with any k, odd or even.
    """

    def shape(self, kernel_size: int) -> tuple[int, ...]:
        return (kernel_size, kernel_size)

    def expansion(self, group: FiniteGroup, kernel_size: int, lift: bool) -> nn.Module:
        if not is_pixel_group(group):
            raise ValueError(
                f"PixelFilters: the elements of {group} do not map pixels onto pixels: take filters=HarmonicFilters(), "
                f"or C_1, C_2, C_4, D_1, D_2, D_4."
            )
        return _PixelExpansion(group, kernel_size, lift)


@dataclass(frozen=True)
class HarmonicFilters(PlanarFilters):
    """Rings of Gaussians times circular harmonics, sampled at the turned pixels. Approximate but for quarter turns.

    ``ψ_jm(r, φ) = (1 - r²/R²)³ · exp(-(r² + r_j²)/2σ²) I_m(r r_j/σ²) · (cos mφ or sin mφ)``: what Gaussians of width σ
    on a ring of radius r_j give with amplitudes cos mα or sin mα; I_m is the modified Bessel function. The window
    vanishes at R = (k+1)/2, the first pixel outside. Rings lie at ``r_j = j (k-1)/2 / (rings-1)``, σ is ``width`` times
    their spacing, and m ≤ ``max_frequency``, at most ⌊π r_j/2⌋. Each function has unit norm on the pixels.

    ``rings`` defaults to one for each pixel of the radius, (k+1)//2. With a fixed number the same filter is sampled
    ever more finely as k grows, and the error of the turns in between falls; with the default it does not.
    A window of one pixel has one function, whatever ``rings``.
    Lengths are in pixels. Raises: ValueError for rings < 1, width ≤ 0 or max_frequency < 0; from ``expansion``, for
    rings that are too many for the window, so that one of them reaches no pixel.
    """

    rings: int | None = None
    max_frequency: int | None = None
    width: float = 0.6

    def __post_init__(self) -> None:
        if self.rings is not None:
            checked_integer("rings", self.rings, 1, who="HarmonicFilters")
        if self.max_frequency is not None:
            checked_integer("max_frequency", self.max_frequency, 0, who="HarmonicFilters")
        if not self.width > 0:
            raise ValueError(f"HarmonicFilters: got width = {self.width}, wanted a number > 0.")

    def functions(self, kernel_size: int) -> list[tuple[float, int, bool]]:
        """Radius, frequency, and whether it is the sine, of each function."""
        spacing = self._spacing(kernel_size)
        found = []
        for j in range(self._count(kernel_size)):
            most = int(np.pi * j * spacing / 2 + 1e-9)
            most = most if self.max_frequency is None else min(most, self.max_frequency)
            found += [(j * spacing, m, odd) for m in range(most + 1) for odd in (False, True) if m or not odd]
        return found

    def _count(self, kernel_size: int) -> int:
        return (kernel_size + 1) // 2 if self.rings is None or kernel_size == 1 else self.rings

    def _spacing(self, kernel_size: int) -> float:
        count = self._count(kernel_size)
        return (kernel_size - 1) / 2 / (count - 1) if count > 1 else max(1.0, (kernel_size - 1) / 2)

    def values(self, kernel_size: int, points: np.ndarray) -> np.ndarray:
        """The functions at points (..., 2), in pixels from the centre: (P, ...)."""
        sigma, edge = self.width * self._spacing(kernel_size), (kernel_size + 1) / 2
        r, phi = np.hypot(points[..., 0], points[..., 1]), np.arctan2(points[..., 1], points[..., 0])
        window = np.clip(1 - (r / edge) ** 2, 0, None) ** 3
        found = []
        for radius, m, odd in self.functions(kernel_size):
            ring = np.exp(-((r - radius) ** 2) / (2 * sigma**2)) * scipy.special.ive(m, r * radius / sigma**2)
            found.append(window * ring * (np.sin(m * phi) if odd else np.cos(m * phi)))
        return np.stack(found)

    def shape(self, kernel_size: int) -> tuple[int, ...]:
        return (len(self.functions(kernel_size)),)

    def expansion(self, group: FiniteGroup, kernel_size: int, lift: bool) -> nn.Module:
        offsets = window_offsets(kernel_size)
        norm = np.sqrt((self.values(kernel_size, offsets) ** 2).sum(axis=(1, 2)))
        if not norm.min() > 1e-100:
            raise ValueError(f"{self}: a ring reaches none of {kernel_size} × {kernel_size} pixels, take fewer rings.")
        turned = np.einsum("sij,uvi->suvj", matrices_of(group), offsets)  # s⁻¹ d = Mᵀ d
        basis = self.values(kernel_size, turned) / norm[:, None, None, None]
        return _BasisExpansion(torch.as_tensor(basis, device="cpu"), group, lift)


def window_offsets(kernel_size: int) -> np.ndarray:
    """(x, y) of each tap from the middle of the window, (k, k, 2): x to the right, y upward, row 0 on top."""
    along = np.arange(kernel_size) - (kernel_size - 1) / 2
    x, y = np.meshgrid(along, -along)
    return np.stack([x, y], axis=-1)


def _relative(group: FiniteGroup) -> np.ndarray:
    """s⁻¹s' for every (s, s')."""
    return group.table[group.inverses].astype(np.int64)


class _PixelExpansion(ConstantModule):
    """Copies weights by the index table (s, s', u, v) → (s⁻¹s', u, v at s⁻¹ d)."""

    def __init__(self, group: FiniteGroup, k: int, lift: bool) -> None:
        super().__init__()
        offsets = window_offsets(k)
        turned = np.einsum("sij,uvi->suvj", matrices_of(group), offsets) + (k - 1) / 2
        column, row = np.rint(turned[..., 0]).astype(np.int64), k - 1 - np.rint(turned[..., 1]).astype(np.int64)
        tap = row * k + column  # (S, k, k)
        index = tap[:, None] if lift else _relative(group)[:, :, None, None] * k * k + tap[:, None]
        self.shape = index.shape[1:]  # (1 or S', k, k)
        self.register_constant("index", torch.as_tensor(index.reshape(group.order, 1, -1), device="cpu"))

    def forward(self, weight: Tensor) -> Tensor:
        index, flat = self.constant("index", weight), weight.flatten(2).unsqueeze(1)
        O, _, I, copies = flat.shape
        shape = (O, len(index), I, copies)
        return flat.expand(shape).gather(3, index.expand(shape)).unflatten(3, self.shape)


class _BasisExpansion(ConstantModule):
    """Sums of basis functions at turned pixels."""

    def __init__(self, basis: Tensor, group: FiniteGroup, lift: bool) -> None:
        super().__init__()
        self.lift = lift
        self.register_constant("basis", basis)  # (P, S, k, k)
        self.register_constant("relative", torch.as_tensor(_relative(group).reshape(-1), device="cpu"))

    def forward(self, weight: Tensor) -> Tensor:
        basis = self.constant("basis", weight)
        if self.lift:
            return torch.einsum("oip,psuv->osiuv", weight, basis).unsqueeze(3)
        order = basis.shape[1]
        turned = weight.index_select(2, self.constant("relative", weight)).unflatten(2, (order, order))
        return torch.einsum("oistp,psuv->osituv", turned, basis)
