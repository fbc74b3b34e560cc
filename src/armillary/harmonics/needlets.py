"""Needlets: tight frames of localised functions on the sphere and on SO(3), one for each band of degrees.

Coefficients of degree l are multiplied by the scaling function of the coarsest level and by the framelets of each
level; synthesis is the adjoint. Each band has a band limit of its own and needs a grid no finer than that.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from armillary.harmonics.filter_banks import FilterBank
from armillary.harmonics.sht import SHT, InverseSHT
from armillary.harmonics.so3 import InverseSO3Transform, SO3Transform
from armillary.harmonics.so3_blocks import SO3Blocks, degrees_of
from armillary.ops.constants import ConstantModule, cached_constant
from armillary.spaces import GaussLegendre, OrientedGrid


@dataclass(frozen=True)
class Band:
    """One part of a decomposition: the approximation (``detail`` None, level 0) or detail r of a level.

    ``lmax`` is the highest degree it holds, ``multipliers`` its factors for degrees 0..lmax.
    """

    level: int
    detail: int | None
    lmax: int
    multipliers: tuple[float, ...]

    def __str__(self) -> str:
        return "approximation" if self.detail is None else f"detail {self.detail + 1} of level {self.level + 1}"


@dataclass(frozen=True)
class Needlets:
    """A needlet frame for functions of degree ≤ ``lmax``, with the masks of ``bank`` over ``levels`` steps.

    With b = lmax + 1 and L_j = b / 2^(levels - 1 - j), level j = levels - 1 (finest) … 0 splits α_{j+1}, from α = 1:

        α_j(l) = â(l/2L_j) α_{j+1}(l),      β_{j,r}(l) = b̂_r(l/2L_j) α_{j+1}(l),

    so α_0(l)² + Σ_{j,r} β_{j,r}(l)² = 1 for all l ≤ lmax. What is left after each step has half the band limit, exactly
    where b is even. ``bands`` lists the approximation α_0 and the details β_{j,r}, coarse to fine, without those that
    hold no degree. ``levels`` defaults to the number that leaves an approximation of degrees up to 1, 2 or 3 (the
    mean alone where lmax = 1); 0 is the signal itself.

    Raises: ValueError for lmax < 0, for more levels than log2(b), for a bank that is none or no partition of unity.
    Source: Narcowich, Petrushev & Ward 2006 for needlets, Wang & Zhuang 2018 (arXiv 1608.04026) for the framelets of a
    filter bank, Yi et al. 2022 (arXiv 2206.10385) on SO(3); pinned by ``tests/harmonics/test_needlets.py``.
    """

    lmax: int
    bank: FilterBank
    levels: int = None  # type: ignore[assignment]  # filled in __post_init__

    def __post_init__(self) -> None:
        if isinstance(self.lmax, bool) or not isinstance(self.lmax, int) or self.lmax < 0:
            raise ValueError(f"Needlets: got lmax = {self.lmax!r}, wanted an integer >= 0.")
        if not isinstance(self.bank, FilterBank):
            raise ValueError(f"Needlets: got bank = {self.bank!r}, wanted a FilterBank such as MeyerBank().")
        most = int(math.log2(self.lmax + 1))
        if self.levels is None:
            object.__setattr__(self, "levels", max(min(most, 1), most - 1))
        if isinstance(self.levels, bool) or not isinstance(self.levels, int) or not 0 <= self.levels <= most:
            raise ValueError(
                f"Needlets: got levels = {self.levels!r}, wanted 0 <= levels <= {most} for lmax = {self.lmax}: each "
                f"level halves the band limit."
            )
        self.bank.check()

    @property
    def bands(self) -> tuple[Band, ...]:
        """The approximation, then the details from coarse to fine."""
        return _bands(self)

    @property
    def multipliers(self) -> Tensor:
        """Factors of all bands, (len(bands), lmax + 1) float64; their squares sum to 1 over the bands."""
        rows = [[*band.multipliers, *[0.0] * (self.lmax - band.lmax)] for band in self.bands]
        return torch.tensor(rows, dtype=torch.float64, device="cpu")


@cached_constant(32)
def _bands(needlets: Needlets) -> tuple[Band, ...]:
    degrees = torch.arange(needlets.lmax + 1, dtype=torch.float64, device="cpu")
    left, details = torch.ones_like(degrees), []
    for level in range(needlets.levels - 1, -1, -1):
        width = (needlets.lmax + 1) / 2 ** (needlets.levels - 1 - level)
        masks = needlets.bank.masks((degrees / (2 * width)).clamp(max=0.5))
        details += [(level, r, mask * left) for r, mask in reversed(list(enumerate(masks[1:])))]
        left = masks[0] * left
    parts: list[tuple[int, int | None, Tensor]] = [(0, None, left), *reversed(details)]
    bands = []
    for level, detail, values in parts:
        held = values.nonzero()
        if len(held) > 0:
            top = int(held.max())
            bands.append(Band(level, detail, top, tuple(values[: top + 1].tolist())))
    return tuple(bands)


class NeedletTransform(ConstantModule, ABC):
    """What the transforms on the sphere and on SO(3) have in common: coefficients to bands and back.

    ``decompose`` gives the coefficients of each band, at its own band limit; ``reconstruct`` is its adjoint and
    inverse. ``samples`` and ``coefficients`` go from one band's coefficients to values on ``spaces[i]`` and back; that
    grid is the Gauss–Legendre one of the band's lmax, with ``oversample`` times as many rings and longitudes. Its
    quadrature is exact for squares, so that with w_k its weights ``√w_k · samples`` are the needlet coefficients
    ⟨f, ψ_{band,k}⟩ of a tight frame: Σ w_k |samples_k|² over all bands and points is ‖f‖².
    """

    def __init__(self, needlets: Needlets, oversample: float) -> None:
        super().__init__()
        if not isinstance(needlets, Needlets):
            raise ValueError(f"{type(self).__name__}: got {needlets!r}, wanted Needlets(lmax, bank).")
        if not 1 <= oversample < math.inf:
            raise ValueError(f"{type(self).__name__}: got oversample = {oversample}, wanted a finite factor >= 1.")
        self.needlets, self.lmax, self.oversample = needlets, needlets.lmax, float(oversample)
        self.bands = needlets.bands
        for i, band in enumerate(self.bands):
            multipliers = torch.tensor(band.multipliers, dtype=torch.float64, device="cpu")
            self.register_constant(f"multipliers_{i}", self._expand(multipliers))
        self.forwards, self.inverses = nn.ModuleList(), nn.ModuleList()

    @abstractmethod
    def _expand(self, multipliers: Tensor) -> Tensor:
        """Factors of the degrees, (l + 1,), shaped to multiply coefficients of that lmax."""

    @abstractmethod
    def _resize(self, coefficients: Tensor, lmax: int, to: int) -> Tensor:
        """Cut or pad to another band limit."""

    @abstractmethod
    def check(self, coefficients: Tensor, who: str) -> None:
        """Raise a ValueError unless the coefficients are complex and of the layout and ``lmax``."""

    @property
    @abstractmethod
    def spaces(self) -> tuple[GaussLegendre | OrientedGrid, ...]:
        """The grid of each band."""

    def decompose(self, coefficients: Tensor) -> list[Tensor]:
        """Coefficients of degree ≤ lmax → those of each band, of degree ≤ ``bands[i].lmax``, in the order of the
        bands. Raises: ValueError for another shape."""
        self.check(coefficients, f"this {type(self).__name__}")
        return [
            self._resize(coefficients, self.lmax, band.lmax) * self.constant(f"multipliers_{i}", coefficients.real)
            for i, band in enumerate(self.bands)
        ]

    def reconstruct(self, parts: Sequence[Tensor]) -> Tensor:
        """The adjoint of ``decompose``, which is its inverse: Σ over bands of the multiplied coefficients.

        Raises: ValueError for another number of parts.
        """
        if len(parts) != len(self.bands):
            raise ValueError(f"got {len(parts)} parts, {self.needlets} has {len(self.bands)} bands.")
        total = None
        for i, (band, part) in enumerate(zip(self.bands, parts, strict=True)):
            term = self._resize(part * self.constant(f"multipliers_{i}", part.real), band.lmax, self.lmax)
            total = term if total is None else total + term
        assert total is not None
        return total

    def samples(self, i: int, part: Tensor) -> Tensor:
        """Values of band i at the points of its grid, from its coefficients: ``(..., *spaces[i].shape)``."""
        return self.inverses[i](part)

    def coefficients(self, i: int, values: Tensor) -> Tensor:
        """The inverse of ``samples``; what the values have beyond the band's lmax is removed."""
        return self.forwards[i](values)

    def forward(self, coefficients: Tensor) -> list[Tensor]:
        """Coefficients → the samples of each band."""
        return [self.samples(i, part) for i, part in enumerate(self.decompose(coefficients))]

    def synthesize(self, samples: Sequence[Tensor]) -> Tensor:
        """The inverse of ``forward``, and its adjoint for the quadrature of the grids.

        Raises: ValueError for another number of bands.
        """
        if len(samples) != len(self.bands):
            raise ValueError(f"got samples of {len(samples)} bands, {self.needlets} has {len(self.bands)}.")
        return self.reconstruct([self.coefficients(i, values) for i, values in enumerate(samples)])

    def _grid(self, lmax: int) -> GaussLegendre:
        return GaussLegendre(math.ceil((lmax + 1) * self.oversample))

    def extra_repr(self) -> str:
        sizes = ", ".join(str(band.lmax) for band in self.bands)
        return f"{self.needlets}, lmax of bands: {sizes}, oversample={self.oversample:g}"


class SphereNeedlets(NeedletTransform):
    """The needlet transform of real fields on the sphere, from and to coefficients in the layout of ``SHT``.

    Shapes: ``(..., lmax + 1, lmax + 1)`` complex ↔ a list with ``(..., l + 1, l + 1)`` for each band of lmax = l; the
    samples of a band are ``(..., nlat, nlon)`` on ``GaussLegendre(ceil(oversample · (l + 1)))``.

    Raises: ValueError for coefficients of another shape, or an oversample below 1 or infinite.
    Source: see ``Needlets``; pinned by ``tests/harmonics/test_needlets.py``.
    """

    def __init__(self, needlets: Needlets, oversample: float = 1.0) -> None:
        super().__init__(needlets, oversample)
        for band, grid in zip(self.bands, self.spaces, strict=True):
            self.forwards.append(SHT(grid, band.lmax))
            self.inverses.append(InverseSHT(grid, band.lmax))

    @property
    def spaces(self) -> tuple[GaussLegendre, ...]:
        return tuple(self._grid(band.lmax) for band in self.bands)

    def check(self, coefficients: Tensor, who: str) -> None:
        size = self.lmax + 1
        if tuple(coefficients.shape[-2:]) != (size, size) or not coefficients.is_complex():
            raise ValueError(
                f"coefficients have shape {tuple(coefficients.shape)} and dtype {coefficients.dtype}, {who} wants "
                f"complex (..., {size}, {size}), those of SHT with lmax = {self.lmax}."
            )

    def _expand(self, multipliers: Tensor) -> Tensor:
        return multipliers[:, None]

    def _resize(self, coefficients: Tensor, lmax: int, to: int) -> Tensor:
        if to <= lmax:
            return coefficients[..., : to + 1, : to + 1]
        return nn.functional.pad(coefficients, (0, to - lmax, 0, to - lmax))


class SO3Needlets(NeedletTransform):
    """The needlet transform of real functions on SO(3), from and to coefficients in the layout ``SO3Blocks(lmax)``.

    Shapes: ``(..., SO3Blocks(lmax).size)`` complex ↔ a list with ``(..., SO3Blocks(l).size)`` for bands of lmax = l;
    samples of a band are ``(..., 2n, n, 2n)`` on ``OrientedGrid(GaussLegendre(n), 2n)`` with n = ceil(oversample ·
    (l + 1)): 4n³ values, so that a level costs an eighth of the next finer one.

    Raises: ValueError for coefficients of another shape, or an oversample below 1 or infinite.
    Source: see ``Needlets``; pinned by ``tests/harmonics/test_needlets.py``.
    """

    def __init__(self, needlets: Needlets, oversample: float = 1.0) -> None:
        super().__init__(needlets, oversample)
        for band, space in zip(self.bands, self.spaces, strict=True):
            self.forwards.append(SO3Transform(space, band.lmax))
            self.inverses.append(InverseSO3Transform(space, band.lmax))

    @property
    def spaces(self) -> tuple[OrientedGrid, ...]:
        grids = [self._grid(band.lmax) for band in self.bands]
        return tuple(OrientedGrid(grid, grid.nlon) for grid in grids)

    def check(self, coefficients: Tensor, who: str) -> None:
        SO3Blocks(self.lmax).check(coefficients, who)

    def _expand(self, multipliers: Tensor) -> Tensor:
        with torch.device("cpu"):  # whatever the default device: the degrees are kept for all
            return multipliers[degrees_of(SO3Blocks(len(multipliers) - 1))]

    def _resize(self, coefficients: Tensor, lmax: int, to: int) -> Tensor:
        return SO3Blocks(lmax).resize(coefficients, to)
