"""Grids of iso-latitude rings on the sphere.

A grid is a frozen value: two grids with equal fields are equal, hash alike and share every cached constant. Colatitude
θ ∈ [0, π] comes first (row 0 is the northernmost ring), longitude φ_k = 2πk/nlon second. Fields are
``(batch, channels, nlat, nlon)``. Quadrature weights sum to 4π. All constants are float64, on the CPU.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Self

import torch
from torch import Tensor

from armillary.ops import quadrature


@dataclass(frozen=True)
class SphereGrid(ABC):
    """A tensor-product grid: ``nlat`` rings, each of ``nlon`` equispaced longitudes starting at φ = 0.

    Subclasses state where the rings lie and how a function sampled on them is integrated.
    """

    nlat: int
    nlon: int

    def _check_size(self, least_nlat: int = 1) -> None:
        for name, size, least in (("nlat", self.nlat, least_nlat), ("nlon", self.nlon, 1)):
            if isinstance(size, bool) or not isinstance(size, int) or size < least:
                raise ValueError(f"{type(self).__name__}: got {name} = {size!r}, wanted an integer >= {least}.")

    @property
    @abstractmethod
    def colatitudes(self) -> Tensor:
        """Colatitude of each ring, (nlat,), ascending, radians."""

    @property
    @abstractmethod
    def ring_weights(self) -> Tensor:
        """Weights of ∫ g(θ) sin θ dθ at the rings, (nlat,), sum 2."""

    @abstractmethod
    def ring_inner_product(self, odd: bool) -> Tensor:
        """The form S with ``∫ F(θ) G(θ) sin θ dθ = F^T S G`` for ring functions within the band limit.

        ``odd`` is the parity of the longitude frequency. Shape (nlat, nlat), or (nlat,) where S is diagonal.
        """

    @property
    @abstractmethod
    def lmax(self) -> int:
        """The highest degree the grid holds: any field of that band limit is recovered exactly from its samples."""

    @abstractmethod
    def resized(self, nlat: int, nlon: int | None = None) -> Self:
        """The same kind of grid at another size."""

    @abstractmethod
    def coarser(self, factor: int = 2) -> Self:
        """The same kind of grid with ``factor`` times fewer rings and longitudes (rounded to the kind's own rule)."""

    @property
    def shape(self) -> tuple[int, int]:
        return (self.nlat, self.nlon)

    @property
    def longitudes(self) -> Tensor:
        """(nlon,), from 0, radians. The period of the grid in longitude is ``longitude_step``."""
        return torch.arange(self.nlon, dtype=torch.float64, device="cpu") * self.longitude_step

    @property
    def longitude_step(self) -> float:
        """The smallest rotation about the z-axis that maps the grid onto itself, radians."""
        return 2 * math.pi / self.nlon

    @property
    @abstractmethod
    def ring_spacing(self) -> float:
        """The (mean) step of colatitude between rings, radians: the unit in which a cutoff of "k rings" is counted."""

    @property
    def quadrature(self) -> Tensor:
        """Weight of each point, (nlat, nlon), sum 4π (the area of the unit sphere)."""
        return (self.ring_weights * self.longitude_step)[:, None].expand(self.nlat, self.nlon)

    @property
    def points(self) -> Tensor:
        """Unit vectors (x, y, z) of the grid points, (nlat, nlon, 3)."""
        theta, phi = self.colatitudes[:, None], self.longitudes[None, :]
        sin = torch.sin(theta)
        z = torch.cos(theta).expand(self.nlat, self.nlon)
        return torch.stack([sin * torch.cos(phi), sin * torch.sin(phi), z], dim=-1)

    @property
    def cell_edges(self) -> Tensor:
        """cos θ at the borders between rings, (nlat + 1,), descending from 1 to -1.

        Ring j owns the zone between edges j and j + 1, whose area is its quadrature weight: sums over cells and
        quadrature agree.
        """
        start = torch.zeros(1, dtype=torch.float64, device="cpu")
        edges = 1 - torch.cat([start, torch.cumsum(self.ring_weights, 0)])
        edges[-1] = -1.0
        return edges

    def integrate(self, field: Tensor) -> Tensor:
        """∫ f dω over the sphere: ``(..., nlat, nlon) -> (...)``; a constant 1 gives 4π.

        Raises: ValueError where the field does not end in the grid's shape.
        """
        self.check_field(field)
        weights = (self.ring_weights * self.longitude_step).to(field)
        return torch.einsum("...ij,i->...", field, weights)

    def check_field(self, field: Tensor, who: str = "this grid") -> None:
        """Raise a ValueError that names both shapes unless ``field`` ends in ``self.shape``."""
        if tuple(field.shape[-2:]) != self.shape:
            raise ValueError(
                f"x has shape {tuple(field.shape)}, {who} wants (..., {self.nlat}, {self.nlon}) for {self}: "
                f"resample the field (armillary.harmonics.resample) or build with the grid it lies on."
            )

    def to_dict(self) -> dict[str, Any]:
        """A plain description that ``grid_from_dict`` turns back into the grid; safe for JSON."""
        return {"type": type(self).__name__, **asdict(self)}


@dataclass(frozen=True)
class Equiangular(SphereGrid):
    """Rings at equal steps of colatitude: the grid of equirectangular images and most global fields.

    ``poles=False`` (default): θ_j = (j + ½)π/nlat, pixel centres, Fejér weights, ``lmax = nlat - 1``.
    ``poles=True``: θ_j = jπ/(nlat - 1), both poles are rings, Clenshaw–Curtis weights, ``lmax = nlat - 2``.

    ``nlon`` defaults to 2·nlat, or 2·(nlat - 1) with poles. Longitudes bound the band too: lmax ≤ (nlon - 1)/2.
    Source: Fejér 1933, Clenshaw & Curtis 1960; full band by ``ops.quadrature.equiangular_inner_product``.
    """

    nlon: int = None  # type: ignore[assignment]  # filled in __post_init__
    poles: bool = False

    def __post_init__(self) -> None:
        if self.nlon is None and isinstance(self.nlat, int):
            object.__setattr__(self, "nlon", 2 * (self.nlat - 1) if self.poles else 2 * self.nlat)
        self._check_size(least_nlat=3 if self.poles else 1)

    @property
    def colatitudes(self) -> Tensor:
        return self._rule[0].clone()

    @property
    def ring_weights(self) -> Tensor:
        return self._rule[1].clone()

    @property
    def _rule(self) -> tuple[Tensor, Tensor]:
        return quadrature.clenshaw_curtis(self.nlat) if self.poles else quadrature.fejer(self.nlat)

    @property
    def ring_spacing(self) -> float:
        return math.pi / (self.nlat - 1 if self.poles else self.nlat)

    def ring_inner_product(self, odd: bool) -> Tensor:
        return quadrature.equiangular_inner_product(self.nlat, self.poles, odd).clone()

    @property
    def lmax(self) -> int:
        return min(self.nlat - (2 if self.poles else 1), (self.nlon - 1) // 2)

    def resized(self, nlat: int, nlon: int | None = None) -> Equiangular:
        return Equiangular(nlat, nlon, poles=self.poles)  # type: ignore[arg-type]

    def coarser(self, factor: int = 2) -> Equiangular:
        nlat = (self.nlat - 1) // factor + 1 if self.poles else max(1, self.nlat // factor)
        return Equiangular(nlat, max(1, self.nlon // factor), poles=self.poles)


@dataclass(frozen=True)
class GaussLegendre(SphereGrid):
    """Rings at the Gauss–Legendre nodes of cos θ: the most accurate quadrature for its number of rings.

    ``nlon`` defaults to 2·nlat; ``lmax = min(nlat - 1, (nlon - 1)//2)``. The poles are never rings.
    """

    nlon: int = None  # type: ignore[assignment]  # filled in __post_init__

    def __post_init__(self) -> None:
        if self.nlon is None and isinstance(self.nlat, int):
            object.__setattr__(self, "nlon", 2 * self.nlat)
        self._check_size()

    @property
    def colatitudes(self) -> Tensor:
        return quadrature.gauss_legendre(self.nlat)[0].clone()

    @property
    def ring_weights(self) -> Tensor:
        return quadrature.gauss_legendre(self.nlat)[1].clone()

    @property
    def ring_spacing(self) -> float:
        return math.pi / self.nlat

    def ring_inner_product(self, odd: bool) -> Tensor:
        return quadrature.gauss_legendre(self.nlat)[1].clone()

    @property
    def lmax(self) -> int:
        return min(self.nlat - 1, (self.nlon - 1) // 2)

    def resized(self, nlat: int, nlon: int | None = None) -> GaussLegendre:
        return GaussLegendre(nlat, nlon)  # type: ignore[arg-type]

    def coarser(self, factor: int = 2) -> GaussLegendre:
        return GaussLegendre(max(1, self.nlat // factor), max(1, self.nlon // factor))


@lru_cache(maxsize=1)
def _grid_types() -> dict[str, type[SphereGrid]]:
    return {t.__name__: t for t in (Equiangular, GaussLegendre)}


def grid_from_dict(description: dict[str, Any]) -> SphereGrid:
    """The inverse of ``SphereGrid.to_dict``. Raises: ValueError for an unknown type or field."""
    fields = dict(description)
    kind = fields.pop("type", None)
    if kind not in _grid_types():
        raise ValueError(f"got grid type {kind!r}, wanted one of {sorted(_grid_types())}.")
    try:
        return _grid_types()[kind](**fields)
    except TypeError as error:
        raise ValueError(f"got fields {sorted(fields)} for {kind}: {error}") from error
