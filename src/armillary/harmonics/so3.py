"""The Fourier transform on SO(3), sampled as rings of a sphere with orientations (``spaces.OrientedGrid``).

    f(R) = Σ_{l ≤ lmax} Σ_{|m|, |n| ≤ l} c_lmn E_lmn(R),      c_lmn = ∫ f E_lmn* sin β dα dβ dγ,
    E_lmn(R) = sqrt((2l + 1)/8π²) D^l_mn(R)* = sqrt((2l + 1)/8π²) e^{imα} d^l_mn(β) e^{inγ},    R = Z(α) Y(β) Z(γ)

The E_lmn are orthonormal for the measure of total 8π², so ∫ |f|² = Σ |c_lmn|². The column n of a degree turns under
rotation as the coefficients of a field on the sphere do: a function that does not depend on γ has
``c_lm0 = sqrt(2π) f_lm``, with f_lm those of ``SHT``, and the other columns are fields of spin s = -n
(``harmonics.SpinSHT``).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from armillary.harmonics.so3_blocks import SO3Blocks, full_places, half_places, real_part
from armillary.ops.constants import ConstantModule, cached_constant
from armillary.ops.so3 import so3_fourier
from armillary.ops.wigner_rows import tabulates_so3, wigner_table
from armillary.spaces import OrientedGrid, SphereGrid


def check_so3_lmax(space: OrientedGrid, lmax: int | None) -> int:
    """The band limit to use: the highest that rings, longitudes and orientations hold if None; an error beyond it."""
    if not isinstance(space, OrientedGrid):
        raise ValueError(f"got {space!r}, wanted an OrientedGrid: a sphere grid and its number of orientations.")
    holds = min(space.lmax, space.nmax)
    if lmax is None:
        return holds
    if not 0 <= lmax <= holds:
        raise ValueError(
            f"got lmax = {lmax}, {space} holds 0 <= lmax <= {holds}: lower lmax or take a finer grid with "
            f"n_orientations >= 2·lmax + 1."
        )
    return lmax


@cached_constant(4)
def _table(grid: SphereGrid, lmax: int) -> Tensor:
    return wigner_table(grid.colatitudes, lmax)


class _WignerStage(ConstantModule):
    """What both transforms have: a space, a band limit, and the Wigner functions as a table or by their recurrence."""

    def __init__(self, space: OrientedGrid, lmax: int | None, table: bool | None) -> None:
        super().__init__()
        self.space, self.lmax = space, check_so3_lmax(space, lmax)
        self.blocks = SO3Blocks(self.lmax)
        self.tabulated = tabulates_so3(self.lmax, space.grid.nlat) if table is None else table
        self.register_constant("colatitudes", space.grid.colatitudes)
        empty = torch.zeros(0, dtype=torch.float64, device="cpu")
        self.register_constant("functions", _table(space.grid, self.lmax) if self.tabulated else empty)

    def _fourier(self, x: Tensor, forms: list[Tensor], synthesis: bool) -> Tensor:
        sizes = (self.lmax, self.space.n_orientations, self.space.grid.nlon)
        table = self.constant("functions", x.real if x.is_complex() else x)
        return so3_fourier(x, self.get_buffer("colatitudes"), table, forms, *sizes, synthesis, synthesis)

    def extra_repr(self) -> str:
        path = "table" if self.tabulated else "by recurrence"
        return f"{self.space}, lmax={self.lmax}, Wigner functions: {path}"


class SO3Transform(_WignerStage):
    """Fourier transform of real functions on SO(3): ``c_lmn = ∫ f(R) E_lmn(R)* dR``.

    Shapes: ``(..., n_orientations, nlat, nlon)`` real → ``(..., SO3Blocks(lmax).size)`` complex, the matrices of the
    degrees one after the other, rows m = 0..l, columns n = -l..l. Exact for functions within the band limit of the
    space, ``min(space.lmax, space.nmax)``, whatever ``lmax`` is asked for. float32 and float64 (half precision gives
    complex64); batched and differentiable. ``table`` says whether the Wigner functions are kept, about
    lmax³ · nlat / 6 numbers, or made anew in each call; by default they are kept while they fit the cache of a
    processor, which ``repr`` shows.

    Raises: ValueError if the space cannot hold ``lmax``, or if x does not lie on it or is complex.
    Source: Kostelec & Rockmore 2008 for the idea; pinned by ``tests/harmonics/test_so3.py``.
    """

    def __init__(self, space: OrientedGrid, lmax: int | None = None, table: bool | None = None) -> None:
        super().__init__(space, lmax, table)
        grid = space.grid
        step = grid.longitude_step * 2 * math.pi / space.n_orientations
        forms = [grid.ring_inner_product(odd) for odd in (False, True)]
        if forms[0].ndim == 1 or self.lmax + grid.lmax < grid.nlat:
            forms = [grid.ring_weights]  # then exact for all products
        self._forms = len(forms)
        for i, form in enumerate(forms):
            self.register_constant(f"form_{i}", form * step)

    def forward(self, x: Tensor) -> Tensor:
        self.space.check_field(x, "this SO3Transform")
        if x.is_complex():
            raise ValueError("x is complex, SO3Transform wants a real function: take ComplexSO3Transform.")
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        forms = [self.constant(f"form_{i}", x) for i in range(self._forms)]
        return self._fourier(x.reshape(-1, *self.space.shape), forms, False).reshape(*x.shape[:-3], self.blocks.size)


class InverseSO3Transform(_WignerStage):
    """Synthesis of a real function on SO(3) from its coefficients: ``f(R) = Σ c_lmn E_lmn(R)``.

    Shapes: ``(..., SO3Blocks(lmax).size)`` complex, rows m = 0..l → ``(..., n_orientations, nlat, nlon)`` real. Of the
    row m = 0 the part enters that a real function has, ``c_{l,0,-n} = (-1)^n c_{l,0,n}*``. ``table`` as for
    ``SO3Transform``.

    Raises: ValueError if the space cannot hold ``lmax``, or if the coefficients have another shape.
    """

    def __init__(self, space: OrientedGrid, lmax: int | None = None, table: bool | None = None) -> None:
        super().__init__(space, lmax, table)

    def forward(self, coefficients: Tensor) -> Tensor:
        self.blocks.check(coefficients, "this InverseSO3Transform")
        flat = coefficients.reshape(-1, self.blocks.size)
        return self._fourier(flat, [], True).reshape(*coefficients.shape[:-1], *self.space.shape)


class ComplexSO3Transform(ConstantModule):
    """Fourier transform of complex functions on SO(3): ``c_lmn = ∫ f(R) E_lmn(R)* dR``, those of the real and of the
    imaginary part put together.

    Shapes: ``(..., n_orientations, nlat, nlon)`` complex → ``(..., SO3Blocks(lmax, half=False).size)`` complex, rows
    and columns -l..l. ``lmax`` and ``table`` as for ``SO3Transform``.

    Raises: ValueError if the space cannot hold ``lmax``, or if x does not lie on it or is real.
    """

    def __init__(self, space: OrientedGrid, lmax: int | None = None, table: bool | None = None) -> None:
        super().__init__()
        self.transform = SO3Transform(space, lmax, table)
        self.blocks = SO3Blocks(self.transform.lmax, half=False)
        for name, value in zip(("places", "negative", "sign"), full_places(self.blocks.lmax), strict=True):
            self.register_constant(name, value)

    def forward(self, x: Tensor) -> Tensor:
        if not x.is_complex():
            raise ValueError(f"x is {x.dtype}, ComplexSO3Transform wants a complex function: take SO3Transform.")
        c = self.transform(torch.stack([x.real, x.imag]))
        real, imaginary = c[..., self.constant("places", c)].unbind(0)
        there = self.constant("sign", c) * (real - 1j * imaginary).conj()
        return torch.where(self.constant("negative", c), there, real + 1j * imaginary)


class InverseComplexSO3Transform(ConstantModule):
    """Synthesis of a complex function on SO(3) from its coefficients: ``f(R) = Σ c_lmn E_lmn(R)``.

    Shapes: ``(..., SO3Blocks(lmax, half=False).size)`` complex → ``(..., n_orientations, nlat, nlon)`` complex.

    Raises: ValueError if the space cannot hold ``lmax``, or if the coefficients have another shape.
    """

    def __init__(self, space: OrientedGrid, lmax: int | None = None, table: bool | None = None) -> None:
        super().__init__()
        self.transform = InverseSO3Transform(space, lmax, table)
        self.blocks = SO3Blocks(self.transform.lmax, half=False)
        for name, value in zip(("here", "there", "sign"), half_places(self.blocks.lmax), strict=True):
            self.register_constant(name, value)

    def forward(self, coefficients: Tensor) -> Tensor:
        self.blocks.check(coefficients, "this InverseComplexSO3Transform")
        tables = [self.constant(name, coefficients) for name in ("here", "there", "sign")]
        halves = [real_part(part, *tables) for part in (coefficients, -1j * coefficients)]
        real, imaginary = self.transform(torch.stack(halves)).unbind(0)
        return torch.complex(real, imaginary)
