"""Bases of filters on a spherical cap: what a DISCO layer learns combinations of.

A filter lives on the cap of radius θ_c about the north pole, in geodesic polar coordinates: relative radius
r = ϑ/θ_c ∈ [0, 1] and azimuth ϕ, from the direction of growing colatitude towards growing longitude. A basis is a
frozen value, so that stencils built from it can be cached.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_RADIAL_NODES = 24
_AZIMUTHAL_NODES = 128


@dataclass(frozen=True)
class FilterBasis(ABC):
    """An ordered set of functions ψ_k(r, ϕ) on the unit disc, zero outside it."""

    @property
    @abstractmethod
    def size(self) -> int:
        """The number of basis functions K."""

    @property
    @abstractmethod
    def axisymmetric(self) -> bool:
        """Whether every function depends on r alone. Such layers are SO(3)-equivariant up to quadrature."""

    @property
    @abstractmethod
    def radial_breaks(self) -> tuple[float, ...]:
        """Radii in (0, 1) at which a function is not smooth: integrals are split there."""

    @property
    @abstractmethod
    def azimuthal_breaks(self) -> tuple[float, ...]:
        """Azimuths in [0, 2π) at which a function is not smooth; empty where all are smooth."""

    @property
    @abstractmethod
    def azimuthal_bandlimit(self) -> int | None:
        """The highest Fourier mode in azimuth; None where there is none. 0 is axisymmetric."""

    @abstractmethod
    def evaluate(self, r: Tensor, azimuth: Tensor) -> Tensor:
        """ψ_k at the given points: two tensors of shape S → (size, *S), in their dtype. Inside the disc only."""

    def nodes(self, cutoff: float) -> tuple[Tensor, Tensor, Tensor]:
        """Quadrature on the cap: (r, azimuth, weight), each (N,) float64, weights of sin ϑ dϑ dϕ.

        Gauss–Legendre between the breaks in radius, and in azimuth likewise or by the trapezoidal rule where smooth.
        """
        r, wr = piecewise_gauss((0.0, *self.radial_breaks, 1.0), _RADIAL_NODES)
        if self.azimuthal_breaks:
            breaks = sorted(self.azimuthal_breaks)
            phi, wphi = piecewise_gauss((*breaks, breaks[0] + 2 * math.pi), _RADIAL_NODES)
        else:
            phi = torch.arange(_AZIMUTHAL_NODES, dtype=torch.float64) * (2 * math.pi / _AZIMUTHAL_NODES)
            wphi = torch.full_like(phi, 2 * math.pi / _AZIMUTHAL_NODES)
        weight = (wr * cutoff * torch.sin(r * cutoff))[:, None] * wphi
        return r[:, None].expand_as(weight).flatten(), phi.expand_as(weight).flatten(), weight.flatten()

    def norms(self, cutoff: float) -> Tensor:
        """∫ |ψ_k| dω over the cap, (K,) float64."""
        r, azimuth, weight = self.nodes(cutoff)
        return self.evaluate(r, azimuth).abs() @ weight


@dataclass(frozen=True)
class SteerableBasis(FilterBasis):
    """Radial functions times cos mϕ and sin mϕ, in pairs: together the filters R(r) e^{±imϕ} of circular order m."""

    @abstractmethod
    def waves(self, order: int) -> tuple[tuple[int, int | None], ...]:
        """For each radial function of |order| the places in the basis of its cosine and its sine (None for order 0);
        empty where the basis has none of that order."""


def piecewise_gauss(breaks: tuple[float, ...], count: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights of the Gauss–Legendre rule with ``count`` nodes on each interval between ascending breaks."""
    x, w = (torch.from_numpy(v) for v in np.polynomial.legendre.leggauss(count))
    edges = torch.tensor(breaks, dtype=torch.float64)
    half = (edges[1:] - edges[:-1]) / 2
    centre = (edges[1:] + edges[:-1]) / 2
    return (centre[:, None] + half[:, None] * x).flatten(), (half[:, None] * w).flatten()


def _hat(distance: Tensor) -> Tensor:
    return (1 - distance.abs()).clamp(min=0)


def _wrapped(angle: Tensor) -> Tensor:
    """The angle in [-π, π)."""
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi


def _check_counts(basis: FilterBasis, **counts: int) -> None:
    for name, (value, least) in {k: (v, 0 if k.startswith("m_") else 1) for k, v in counts.items()}.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{type(basis).__name__}: got {name} = {value!r}, wanted an integer >= {least}.")


@dataclass(frozen=True)
class PiecewiseLinear(FilterBasis):
    """Hat functions in radius, times hat functions in azimuth.

    Radial nodes at r = i/n_radial for i = 0..n_radial - 1; each hat falls to zero at its neighbours, the last one at
    the edge of the cap. With ``n_azimuthal = 1`` all functions are axisymmetric and ``size = n_radial``; otherwise the
    central hat stays axisymmetric and the others are multiplied by ``n_azimuthal`` hats centred at ϕ = 2πj/n_azimuthal:
    ``size = 1 + (n_radial - 1)·n_azimuthal``.
    """

    n_radial: int
    n_azimuthal: int = 1

    def __post_init__(self) -> None:
        _check_counts(self, n_radial=self.n_radial, n_azimuthal=self.n_azimuthal)

    @property
    def size(self) -> int:
        return 1 + (self.n_radial - 1) * self.n_azimuthal

    @property
    def axisymmetric(self) -> bool:
        return self.n_azimuthal == 1 or self.n_radial == 1

    @property
    def radial_breaks(self) -> tuple[float, ...]:
        return tuple(i / self.n_radial for i in range(1, self.n_radial))

    @property
    def azimuthal_breaks(self) -> tuple[float, ...]:
        if self.axisymmetric:
            return ()
        return tuple(2 * math.pi * j / self.n_azimuthal for j in range(self.n_azimuthal))

    @property
    def azimuthal_bandlimit(self) -> int | None:
        return 0 if self.axisymmetric else None

    def evaluate(self, r: Tensor, azimuth: Tensor) -> Tensor:
        radial = [_hat(r * self.n_radial - i) for i in range(self.n_radial)]
        if self.axisymmetric:
            return torch.stack(radial)
        step = 2 * math.pi / self.n_azimuthal
        turns = [_hat(_wrapped(azimuth - j * step) / step) for j in range(self.n_azimuthal)]
        return torch.stack([radial[0], *(ring * turn for ring in radial[1:] for turn in turns)])


@dataclass(frozen=True)
class FourierAzimuth(SteerableBasis):
    """Hat functions in radius, times cos mϕ and sin mϕ for m = 0..m_max.

    Order: the n_radial axisymmetric hats first, then for each m = 1..m_max and each radial node i = 1..n_radial - 1 the
    cosine and the sine (the central hat is axisymmetric only). ``size = n_radial + 2·m_max·(n_radial - 1)``. A rotation
    of the filter about its centre stays within the basis, so orientations of these filters are band-limited.
    """

    n_radial: int
    m_max: int

    def __post_init__(self) -> None:
        _check_counts(self, n_radial=self.n_radial, m_max=self.m_max)

    @property
    def size(self) -> int:
        return self.n_radial + 2 * self.m_max * (self.n_radial - 1)

    @property
    def axisymmetric(self) -> bool:
        return self.size == self.n_radial

    @property
    def radial_breaks(self) -> tuple[float, ...]:
        return tuple(i / self.n_radial for i in range(1, self.n_radial))

    @property
    def azimuthal_breaks(self) -> tuple[float, ...]:
        return ()

    @property
    def azimuthal_bandlimit(self) -> int | None:
        return 0 if self.axisymmetric else self.m_max

    def waves(self, order: int) -> tuple[tuple[int, int | None], ...]:
        m = abs(order)
        if m == 0:
            return tuple((i, None) for i in range(self.n_radial))
        if m > self.m_max:
            return ()
        first, rings = self.n_radial + 2 * (m - 1) * (self.n_radial - 1), self.n_radial - 1
        return tuple((first + 2 * i, first + 2 * i + 1) for i in range(rings))

    def evaluate(self, r: Tensor, azimuth: Tensor) -> Tensor:
        radial = [_hat(r * self.n_radial - i) for i in range(self.n_radial)]
        waves = [
            ring * wave(m * azimuth)
            for m in range(1, self.m_max + 1)
            for ring in radial[1:]
            for wave in (torch.cos, torch.sin)
        ]
        return torch.stack(radial + waves)


@dataclass(frozen=True)
class Zernike(SteerableBasis):
    """Zernike polynomials on the disc, all of degree n ≤ n_max in the order of the single index j = n(n + 2)/2 + m/2.

    ``Z_n^m(r, ϕ) = R_n^|m|(r) · {cos mϕ for m ≥ 0, sin |m|ϕ for m < 0}``, unnormalised: R_n^m(1) = 1.
    ``size = (n_max + 1)(n_max + 2)/2``. They do not vanish at the edge of the cap. Source: Zernike 1934.
    """

    n_max: int

    def __post_init__(self) -> None:
        if not isinstance(self.n_max, int) or isinstance(self.n_max, bool) or self.n_max < 0:
            raise ValueError(f"Zernike: got n_max = {self.n_max!r}, wanted an integer >= 0.")

    @property
    def size(self) -> int:
        return (self.n_max + 1) * (self.n_max + 2) // 2

    @property
    def axisymmetric(self) -> bool:
        return self.n_max == 0

    @property
    def radial_breaks(self) -> tuple[float, ...]:
        return ()

    @property
    def azimuthal_breaks(self) -> tuple[float, ...]:
        return ()

    @property
    def azimuthal_bandlimit(self) -> int | None:
        return self.n_max

    def waves(self, order: int) -> tuple[tuple[int, int | None], ...]:
        m = abs(order)
        twice = [n * (n + 2) for n in range(m, self.n_max + 1, 2)]
        return tuple(((j + m) // 2, (j - m) // 2 if m else None) for j in twice)

    def evaluate(self, r: Tensor, azimuth: Tensor) -> Tensor:
        functions = []
        for n in range(self.n_max + 1):
            for m in range(-n, n + 1, 2):
                wave = torch.cos(m * azimuth) if m >= 0 else torch.sin(-m * azimuth)
                functions.append(_zernike_radial(n, abs(m), r) * wave)
        return torch.stack(functions)


def _zernike_radial(n: int, m: int, r: Tensor) -> Tensor:
    total = torch.zeros_like(r)
    for k in range((n - m) // 2 + 1):
        top, low = (n + m) // 2 - k, (n - m) // 2 - k
        count = math.comb(n - k, k) * math.comb(n - 2 * k, low)
        assert top >= 0
        total = total + (-1) ** k * count * r ** (n - 2 * k)
    return total


@dataclass(frozen=True)
class CustomBasis(FilterBasis):
    """A basis from the user's own function.

    ``function(r, azimuth)`` takes two tensors of one shape S (r in [0, 1]) and returns ``(n_functions, *S)``. State the
    radii at which it is not smooth in ``breaks`` and whether it depends on r alone in ``is_axisymmetric``; neither
    can be seen from outside.

    Raises: ValueError at evaluation if the function returns another shape.
    """

    function: Callable[[Tensor, Tensor], Tensor]
    n_functions: int
    is_axisymmetric: bool
    breaks: tuple[float, ...] = ()
    azimuth_breaks: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        return self.n_functions

    @property
    def axisymmetric(self) -> bool:
        return self.is_axisymmetric

    @property
    def radial_breaks(self) -> tuple[float, ...]:
        return self.breaks

    @property
    def azimuthal_breaks(self) -> tuple[float, ...]:
        return self.azimuth_breaks

    @property
    def azimuthal_bandlimit(self) -> int | None:
        return 0 if self.is_axisymmetric else None

    def evaluate(self, r: Tensor, azimuth: Tensor) -> Tensor:
        values = self.function(r, azimuth)
        if tuple(values.shape) != (self.n_functions, *r.shape):
            raise ValueError(
                f"the basis function returned shape {tuple(values.shape)} for points of shape {tuple(r.shape)}, "
                f"wanted {(self.n_functions, *r.shape)}: stack the {self.n_functions} functions along dim 0."
            )
        return values.to(r)
