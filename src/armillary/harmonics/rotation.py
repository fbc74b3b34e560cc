"""Exact rotation of band-limited fields, by Wigner matrices on their coefficients.

``(R f)(x) = f(R⁻¹ x)``. Nothing is interpolated: a field within the band limit is rotated to the precision of its
dtype; degrees beyond ``lmax`` are removed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from armillary.groups.so3 import euler_zyz
from armillary.harmonics.sht import SHT, InverseSHT, check_lmax, grid_legendre, ring_integrals
from armillary.ops.wigner import wigner_d
from armillary.spaces import OrientedGrid, SphereGrid


def rotate_coefficients(coefficients: Tensor, R: Tensor) -> Tensor:
    """``(R f)_lm = Σ_n D^l_mn(R) f_ln`` for all degrees.

    Shapes: complex ``(..., lmax + 1, 2·lmax + 1)``, index (l, m = -lmax..lmax), or the half form of real fields
    ``(..., lmax + 1, lmax + 1)``, index (l, m ≥ 0); R (3, 3). Cost O(lmax³) per field.

    Raises: ValueError if R is not a rotation or the coefficients have neither shape.
    """
    size = coefficients.shape[-2] if coefficients.ndim > 1 else 0
    lmax = size - 1
    if not size or coefficients.shape[-1] not in (size, 2 * lmax + 1) or not coefficients.is_complex():
        raise ValueError(
            f"coefficients have shape {tuple(coefficients.shape)} and dtype {coefficients.dtype}, wanted complex "
            f"(..., lmax + 1, lmax + 1) or (..., lmax + 1, 2·lmax + 1)."
        )
    half = coefficients.shape[-1] == size
    alpha, beta, gamma = euler_zyz(R)
    rows = torch.arange(0 if half else -lmax, lmax + 1)
    columns = torch.arange(-lmax, lmax + 1)
    device, real = coefficients.device, coefficients.dtype.to_real()
    left = _phases(rows, alpha).to(device, coefficients.dtype)
    right = _phases(columns, gamma).to(device, coefficients.dtype)
    full = (full_orders(coefficients) if half else coefficients) * right

    def active(l: int) -> tuple[slice, slice]:
        return (slice(0, l + 1) if half else slice(lmax - l, lmax + l + 1), slice(lmax - l, lmax + l + 1))

    turned = []
    steps = wigner_d(lmax, rows[:, None], columns[None, :], torch.tensor([[beta]], dtype=torch.float64), active)
    for l, d in enumerate(steps):
        row, column = active(l)
        part = torch.view_as_real(full[..., l, column])
        product = torch.einsum("mn,...nc->...mc", d.to(device, real), part)
        padded = torch.nn.functional.pad(product, (0, 0, row.start, len(rows) - row.stop))
        turned.append(torch.view_as_complex(padded.contiguous()))
    return torch.stack(turned, dim=-2) * left


def _phases(orders: Tensor, angle: float) -> Tensor:
    """exp(-i m angle), complex128."""
    return torch.polar(torch.ones(len(orders), dtype=torch.float64), -orders.double() * angle)


def full_orders(half: Tensor) -> Tensor:
    """All orders of a real field from those with m ≥ 0, ``f_{l,-m} = (-1)^m f_lm*``; the order m = 0 is made real.

    Shapes: complex ``(..., lmax + 1)``, index m ≥ 0, last → ``(..., 2·lmax + 1)``, index m = -lmax..lmax.
    """
    size = half.shape[-1]
    sign = 1.0 - 2.0 * (torch.arange(1, size, device=half.device) % 2)
    negative = (half[..., 1:].conj() * sign.to(half.dtype)).flip(-1)
    zero = torch.complex(half[..., :1].real, torch.zeros_like(half[..., :1].real))
    return torch.cat([negative, zero, half[..., 1:]], dim=-1)


def rotate(field: Tensor, space: SphereGrid | OrientedGrid, R: Tensor, lmax: int | None = None) -> Tensor:
    """Rotate a real field exactly: ``(R f)(x) = f(R⁻¹ x)``.

    Shapes: field ``(..., *space.shape)``, R (3, 3). On an ``OrientedGrid`` the action is that of SO(3) on itself from
    the left, ``(R f)(Q) = f(R⁻¹ Q)``. ``lmax`` defaults to the band limit of the space; content beyond it, and
    orientation frequencies beyond ``nmax``, are removed.

    Raises: ValueError if R is not a rotation, the field does not lie on the space, or the space cannot hold lmax.
    """
    space.check_field(field, "rotate")
    if isinstance(space, SphereGrid):
        coefficients = SHT(space, lmax).to(field.device)(field)
        return InverseSHT(space, lmax).to(field.device)(rotate_coefficients(coefficients, R))
    return _rotate_oriented(field, space, R, check_lmax(space.grid, lmax))


def _rotate_oriented(field: Tensor, space: OrientedGrid, R: Tensor, lmax: int) -> Tensor:
    """Each orientation frequency n is a field of spin: it has its own Legendre functions d^l_{mn}."""
    grid, count = space.grid, space.n_orientations
    spectrum = torch.fft.rfft(field, dim=-3, norm="forward")
    out = torch.zeros_like(spectrum)
    out[..., 0, :, :] = torch.complex(
        rotate(spectrum[..., 0, :, :].real.contiguous(), grid, R, lmax),
        torch.zeros_like(spectrum[..., 0, :, :].real),
    )
    even, odd = (grid.ring_inner_product(parity).to(field) for parity in (False, True))
    for n in range(1, space.nmax + 1):
        table = grid_legendre(grid, lmax, spin=n, negative=True).to(field)
        part = spectrum[..., n, :, :]
        rings = torch.fft.fft(part, dim=-1) * grid.longitude_step
        orders = torch.arange(-lmax, lmax + 1) % grid.nlon
        weighted = ring_integrals(rings[..., orders], even, odd, (n - lmax) % 2)
        coefficients = torch.einsum("mlj,...jmc->...lmc", table, torch.view_as_real(weighted))
        turned = rotate_coefficients(torch.view_as_complex(coefficients.contiguous()), R)
        back = torch.einsum("mlj,...lmc->...jmc", table, torch.view_as_real(turned))
        padded = torch.zeros_like(part)
        padded[..., orders] = torch.view_as_complex(back.contiguous())
        out[..., n, :, :] = torch.fft.ifft(padded, dim=-1, norm="forward")
    return torch.fft.irfft(out, n=count, dim=-3, norm="forward")
