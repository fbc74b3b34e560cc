"""The transform of spin-weighted fields on the sphere: fields whose value turns with the frame it is written in.

    f(θ, φ) = Σ_lm f_lm sY_lm(θ, φ),     sY_lm(θ, φ) = (-1)^s sqrt((2l + 1)/4π) d^l_{m,-s}(θ) e^{imφ},    l ≥ |s|

These are the columns n = -s of a function on SO(3) (``harmonics.so3``), so they turn under rotation by the same Wigner
matrices as ordinary coefficients do, and ``rotate_coefficients`` serves them. Wind is a field of spin ±1, polarisation
one of ±2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from armillary.harmonics.sht import check_lmax, grid_legendre
from armillary.ops.constants import ConstantModule
from armillary.ops.precision import without_autocast
from armillary.spaces import SphereGrid


class _SpinStage(ConstantModule):
    """What both transforms have: a grid, a spin, a band limit, and a table of the functions with m ≥ 0; those with
    m < 0 are the same on mirrored rings, ``d^l_{-m,n}(π - θ) = (-1)^(l+n) d^l_mn(θ)``."""

    functions: Tensor

    def __init__(self, grid: SphereGrid, spin: int, lmax: int | None = None) -> None:
        super().__init__()
        if isinstance(spin, bool) or not isinstance(spin, int):
            raise ValueError(f"{type(self).__name__}: got spin = {spin!r}, wanted an integer.")
        self.grid, self.spin, self.lmax = grid, spin, check_lmax(grid, lmax)
        sign = -1.0 if spin % 2 else 1.0
        self.register_constant("functions", sign * grid_legendre(grid, self.lmax, spin=-spin))  # (M, L, J)
        degrees = torch.arange(self.lmax + 1, device="cpu")
        self.register_constant("mirror", (1.0 - 2.0 * ((degrees + spin) % 2)).double())

    def extra_repr(self) -> str:
        return f"{self.grid}, spin={self.spin}, lmax={self.lmax}"


class SpinSHT(_SpinStage):
    """Harmonic transform of fields of spin s: ``f_lm = ∫ f(ω) sY_lm(ω)* dω``.

    Shapes: ``(..., nlat, nlon)`` complex → ``(..., lmax + 1, 2·lmax + 1)`` complex, index (l, m = -lmax..lmax), zero
    where l < max(|m|, |s|). Exact for fields within the band limit of the grid. Keeps (lmax + 1)² · nlat numbers.

    Raises: ValueError if the grid cannot hold ``lmax``, or if x does not lie on the grid or is real.
    Source: Goldberg et al. 1967, with the Condon–Shortley phase; pinned by ``tests/harmonics/test_spin.py``.
    """

    def __init__(self, grid: SphereGrid, spin: int, lmax: int | None = None) -> None:
        super().__init__(grid, spin, lmax)
        with torch.device("cpu"):
            for parity, name in enumerate(("even", "odd")):
                self.register_constant(name, grid.ring_inner_product(bool(parity)) * grid.longitude_step)

    def forward(self, x: Tensor) -> Tensor:
        self.grid.check_field(x, "this SpinSHT")
        if not x.is_complex():
            raise ValueError(f"x is {x.dtype}, SpinSHT wants a complex field: its real part is the component along θ.")
        size, batch = self.lmax + 1, x.shape[:-2]
        if not x.numel():
            return x.new_zeros(*batch, size, 2 * size - 1)  # Fourier transforms of nothing are an error
        rings = torch.fft.fft(x.reshape(-1, *self.grid.shape), dim=-1)
        ahead = rings[..., :size]
        behind = torch.cat([rings[..., :1], rings[..., 1 - size :].flip(-1)], -1)[..., :size].flip(-2)
        columns = torch.view_as_real(torch.stack([ahead, behind]).permute(3, 2, 0, 1).contiguous())  # (M, J, 2, B, 2)
        with without_autocast(x):
            flat = self._integrals(columns.flatten(2))
            c = torch.bmm(self.constant("functions", flat), flat).view(size, size, 2, -1, 2)  # (M, L, 2, B, 2)
        values = torch.view_as_complex(c).permute(2, 3, 1, 0)  # (2, B, L, M)
        negative = values[1, ..., 1:].flip(-1) * self.constant("mirror", c)[:, None]
        return torch.cat([negative, values[0]], -1).reshape(*batch, size, 2 * size - 1)

    def _integrals(self, columns: Tensor) -> Tensor:
        """The inner product of the rings on (M, J, columns), by the parity of m + s."""
        forms = [self.constant(name, columns) for name in ("even", "odd")]
        if forms[0].ndim == 1:
            return columns * forms[0][:, None]
        odd = (torch.arange(len(columns), device=columns.device) + self.spin) % 2
        return torch.bmm(torch.stack(forms)[odd], columns)


class InverseSpinSHT(_SpinStage):
    """Synthesis of a field of spin s from its coefficients: ``f(ω) = Σ f_lm sY_lm(ω)``.

    Shapes: ``(..., lmax + 1, 2·lmax + 1)`` complex, index (l, m = -lmax..lmax) → ``(..., nlat, nlon)`` complex. Entries
    with l < max(|m|, |s|) do not enter.

    Raises: ValueError if the grid cannot hold ``lmax``, or if the coefficients have another shape.
    """

    def forward(self, coefficients: Tensor) -> Tensor:
        size, batch = self.lmax + 1, coefficients.shape[:-2]
        if tuple(coefficients.shape[-2:]) != (size, 2 * size - 1) or not coefficients.is_complex():
            raise ValueError(
                f"coefficients have shape {tuple(coefficients.shape)} and dtype {coefficients.dtype}, this "
                f"InverseSpinSHT wants complex (..., {size}, {2 * size - 1}): build it with the lmax of the SpinSHT."
            )
        if not coefficients.numel():
            return coefficients.new_zeros(*batch, *self.grid.shape)
        c = coefficients.reshape(-1, size, 2 * size - 1)
        negative = c[..., :size].flip(-1) * self.constant("mirror", c.real)[:, None]
        columns = torch.stack([c[..., size - 1 :], negative]).permute(3, 2, 0, 1).contiguous()  # (M, L, 2, B)
        with without_autocast(c):
            rows = torch.bmm(self.constant("functions", c.real).mT, torch.view_as_real(columns).flatten(2))
        rings = torch.view_as_complex(rows.view(size, self.grid.nlat, 2, -1, 2)).permute(2, 3, 1, 0)  # (2, B, J, M)
        gap = rings.new_zeros(*rings.shape[1:3], self.grid.nlon - 2 * size + 1)
        waves = torch.cat([rings[0], gap, rings[1, ..., 1:].flip(-1, -2)], -1)
        return torch.fft.ifft(waves, dim=-1, norm="forward").reshape(*batch, *self.grid.shape)
