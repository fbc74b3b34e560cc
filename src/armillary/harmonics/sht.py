"""The spherical harmonic transform of real fields on any grid of iso-latitude rings.

    f(θ, φ) = Σ_{l ≤ lmax} Σ_{|m| ≤ l} f_lm Y_lm(θ, φ),     f_lm = ∫ f Y_lm* dω

with orthonormal Y_lm and the Condon–Shortley phase. For a real field ``f_{l,-m} = (-1)^m f_lm*``, so only m ≥ 0 is
kept: coefficients are complex, shape ``(..., lmax + 1, lmax + 1)``, index (l, m), zero where m > l.
"""

from __future__ import annotations

import torch
from torch import Tensor

from armillary.ops.constants import ConstantModule, cached_constant
from armillary.ops.integers import checked_integer
from armillary.ops.legendre import legendre
from armillary.ops.legendre_blocks import legendre_tables, tabulates
from armillary.ops.precision import without_autocast
from armillary.ops.ring_fft import ring_analysis, ring_synthesis
from armillary.ops.wigner import legendre_table
from armillary.spaces import SphereGrid


@cached_constant(8)
def grid_legendre(grid: SphereGrid, lmax: int, spin: int = 0, negative: bool = False) -> Tensor:
    """The Legendre functions at the rings of a grid, (orders, lmax + 1, nlat) float64; treat as read-only.

    Orders are m = 0..lmax, or -lmax..lmax with ``negative``.
    """
    return legendre_table(lmax, torch.arange(-lmax if negative else 0, lmax + 1), grid.colatitudes, spin)


def check_lmax(grid: SphereGrid, lmax: int | None) -> int:
    """The band limit to use: the grid's own if None; an error if the grid cannot hold it."""
    if lmax is None:
        return grid.lmax
    lmax = checked_integer("lmax", lmax)
    if not 0 <= lmax <= grid.lmax:
        raise ValueError(f"got lmax = {lmax}, {grid} holds 0 <= lmax <= {grid.lmax}: lower lmax or take a finer grid.")
    return lmax


def ring_integrals(rings: Tensor, even: Tensor, odd: Tensor, first_order: int) -> Tensor:
    """Multiply ring functions (..., nlat, M) by a grid's ring inner product, by parity of the order.

    ``first_order`` is the parity of the first of the M consecutive orders; ``even`` and ``odd`` are (nlat, nlat), or
    (nlat,) where the inner product is diagonal.
    """
    if even.ndim == 1:
        return rings * even[:, None]
    out = torch.empty_like(rings)
    for parity, form in ((0, even), (1, odd)):
        columns = slice((parity - first_order) % 2, None, 2)
        part = rings[..., columns]
        real = torch.view_as_real(part.transpose(-1, -2).contiguous())
        out[..., columns] = torch.view_as_complex(torch.einsum("ij,...mjc->...mic", form, real).contiguous()).transpose(
            -1, -2
        )
    return out


@cached_constant(4)
def _tables(grid: SphereGrid, lmax: int) -> list[Tensor]:
    return legendre_tables(_to_equator(grid), lmax)


def _to_equator(grid: SphereGrid) -> Tensor:
    return grid.colatitudes[: (grid.nlat + 1) // 2]


class _LegendreStage(ConstantModule):
    """What both transforms have: a grid, a band limit, and the Legendre functions as a table or by their recurrence."""

    def __init__(self, grid: SphereGrid, lmax: int | None, table: bool | None) -> None:
        super().__init__()
        self.grid, self.lmax = grid, check_lmax(grid, lmax)
        self.tabulated = tabulates(self.lmax, grid.nlat) if table is None else table
        self.register_constant("to_equator", _to_equator(grid))
        self._tables = len(_tables(grid, self.lmax)) if self.tabulated else 0
        for i in range(self._tables):
            self.register_constant(f"legendre_{i}", _tables(grid, self.lmax)[i])

    def _legendre(self, x: Tensor, synthesis: bool) -> Tensor:
        tables = [self.constant(f"legendre_{i}", x.real) for i in range(self._tables)]
        return legendre(x, self.get_buffer("to_equator"), self.grid.nlat, self.lmax, synthesis, tables)

    def extra_repr(self) -> str:
        path = "table" if self.tabulated else "by recurrence"
        return f"{self.grid}, lmax={self.lmax}, Legendre functions: {path}"


class SHT(_LegendreStage):
    """Spherical harmonic transform of real fields: ``f_lm = ∫ f(ω) Y_lm(ω)* dω``.

    Shapes: ``(..., nlat, nlon)`` real → ``(..., lmax + 1, lmax + 1)`` complex, index (l, m ≥ 0).
    Exact for fields within the band limit of the grid (on equiangular grids the full band, not half of it), whatever
    ``lmax`` is asked for. float32 and float64 (half precision gives complex64); batched and differentiable. ``table``
    says whether the Legendre functions are kept, (lmax + 1)² · nlat / 4 numbers, or made anew at each call; by default
    they are kept where they fit the cache of a processor (``ops.legendre_blocks``), which ``repr`` shows. On a GPU
    ``table=True`` is faster.

    Raises: ValueError if the grid cannot hold ``lmax``, or if x does not lie on the grid.
    Source: Driscoll & Healy 1994 for the idea; exact ring inner products in ``ops.quadrature``; pinned by
    ``tests/harmonics/test_sht.py``.
    """

    even: Tensor
    odd: Tensor

    def __init__(self, grid: SphereGrid, lmax: int | None = None, table: bool | None = None) -> None:
        super().__init__(grid, lmax, table)
        step = grid.longitude_step
        self.register_constant("even", grid.ring_inner_product(odd=False) * step)
        self.register_constant("odd", grid.ring_inner_product(odd=True) * step)

    def forward(self, x: Tensor) -> Tensor:
        self.grid.check_field(x, "this SHT")
        if x.is_complex():
            raise ValueError("x is complex, SHT wants a real field: transform x.real and x.imag.")
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        even, odd = self.constant("even", x), self.constant("odd", x)
        weights = even if even.ndim == 1 else None
        rings = ring_analysis(x.reshape(-1, *self.grid.shape), weights, self.lmax + 1, False)
        if weights is None:
            with without_autocast(x):
                rings = ring_integrals(rings, even, odd, 0)
        return self._legendre(rings, False).reshape(*x.shape[:-2], self.lmax + 1, self.lmax + 1)


class InverseSHT(_LegendreStage):
    """Synthesis of a real field from its coefficients: ``f(ω) = Σ f_lm Y_lm(ω)``.

    Shapes: ``(..., lmax + 1, lmax + 1)`` complex, index (l, m ≥ 0) → ``(..., nlat, nlon)`` real. Entries with m > l
    and the imaginary part of m = 0 do not enter. ``table`` as for ``SHT``.

    Raises: ValueError if the grid cannot hold ``lmax``, or if the coefficients have another shape.
    """

    def __init__(self, grid: SphereGrid, lmax: int | None = None, table: bool | None = None) -> None:
        super().__init__(grid, lmax, table)

    def forward(self, coefficients: Tensor) -> Tensor:
        size = self.lmax + 1
        if tuple(coefficients.shape[-2:]) != (size, size) or not coefficients.is_complex():
            raise ValueError(
                f"coefficients have shape {tuple(coefficients.shape)} and dtype {coefficients.dtype}, this InverseSHT "
                f"wants complex (..., {size}, {size}): build it with the lmax of the SHT that made them."
            )
        rings = self._legendre(coefficients.reshape(-1, size, size), True)
        return ring_synthesis(rings, None, self.grid.nlon, False).reshape(*coefficients.shape[:-2], *self.grid.shape)
