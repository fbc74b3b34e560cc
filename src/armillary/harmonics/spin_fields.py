"""Fields of several spins on the sphere, as real tensors: their layout, exact rotation, and wind as a field of spin.

A field of spin s is written f(θ, φ) in the frame (e_θ, e_φ); in that frame turned by γ it is f(θ, φ) e^{-isγ}, so that
f is a function on SO(3), ``f(Z(φ) Y(θ) Z(γ)) = f(θ, φ) e^{-isγ}`` (``harmonics.spin``). Which spins a tensor holds is
told by ``groups.Orders``, an order being a spin: (batch, orders.size, nlat, nlon), all real parts before all imaginary
ones.
"""

from __future__ import annotations

import torch
from torch import Tensor

from armillary.groups import Orders
from armillary.harmonics.rotation import rotate_coefficients
from armillary.harmonics.sht import check_lmax
from armillary.harmonics.spin import InverseSpinSHT, SpinSHT
from armillary.spaces import SphereGrid
from armillary.spaces.fields import check_orders


def complex_channels(x: Tensor, spins: Orders) -> Tensor:
    """(B, spins.size, ...) real → (B, spins.count, ...) complex, at least complex64."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    if spins.real:
        return torch.complex(x, torch.zeros_like(x))
    return torch.complex(x[:, : spins.count], x[:, spins.count :])


def real_channels(z: Tensor, spins: Orders) -> Tensor:
    """(B, spins.count, ...) complex → (B, spins.size, ...) real; of real values the imaginary part is left out."""
    return z.real if spins.real else torch.cat([z.real, z.imag], dim=1)


def rotate_spins(x: Tensor, spins: Orders, grid: SphereGrid, R: Tensor, lmax: int | None = None) -> Tensor:
    """Rotate fields of spin exactly: ``(R f)(Q) = f(R⁻¹ Q)`` as functions on SO(3), values and frames together.

    Shapes: x (B, spins.size, *grid.shape), R (3, 3). Content beyond ``lmax`` (default: that of the grid) is removed.
    Raises: ValueError for x of another shape, what is no rotation, or lmax that the grid cannot hold or below a spin.
    Pinned by ``tests/harmonics/test_spin_fields.py``.
    """
    check_orders(x, spins, grid, "rotate_spins")
    _check_degrees(spins, check_lmax(grid, lmax))
    parts = []
    for part, (spin, _) in zip(complex_channels(x, spins).split(_sizes(spins), 1), spins.streams, strict=True):
        coefficients = SpinSHT(grid, spin, lmax).to(x.device)(part)
        parts.append(InverseSpinSHT(grid, spin, lmax).to(x.device)(rotate_coefficients(coefficients, R)))
    return real_channels(torch.cat(parts, 1), spins).to(x.dtype)


def random_spins(
    spins: Orders, grid: SphereGrid, lmax: int | None = None, batch: int = 1, generator: torch.Generator | None = None
) -> Tensor:
    """Gaussian random fields of degree ≤ lmax, (batch, spins.size, *grid.shape) float64; their distribution does not
    change under rotation.

    Every degree from |s| on has equal power, the real channels have unit variance.
    Raises: ValueError where the grid cannot hold lmax, or lmax < |s|.
    """
    _check_degrees(spins, check_lmax(grid, lmax))
    parts = []
    for spin, channels in spins.streams:
        inverse = InverseSpinSHT(grid, spin, lmax)
        size = inverse.lmax + 1
        c = torch.randn(batch, channels, size, 2 * size - 1, generator=generator, dtype=torch.complex128)
        degrees = torch.arange(size, dtype=torch.float64)
        power = 8 * torch.pi / ((size - abs(spin)) * (2 * degrees + 1))
        parts.append(inverse(c * power.sqrt()[:, None]))
    return real_channels(torch.cat(parts, 1), spins)


def wind_to_spin(u: Tensor, v: Tensor) -> Tensor:
    """Wind u towards east and v towards north as one complex channel of spin 1, ``-v + i u``: (..., nlat, nlon) twice
    → (..., 2, nlat, nlon), real part first.

    e_θ points south, e_φ east, and V_θ + i V_φ is what turns by e^{-iγ} with the frame.
    Raises: ValueError for u and v of two shapes, or that are not real fields.
    """
    if u.shape != v.shape or u.ndim < 2 or not (u.is_floating_point() and v.is_floating_point()):
        raise ValueError(
            f"u has shape {tuple(u.shape)} and dtype {u.dtype}, v {tuple(v.shape)} and {v.dtype}; wind_to_spin wants "
            f"two real fields (..., nlat, nlon) of one shape."
        )
    return torch.stack([-v, u], dim=-3)


def spin_to_wind(x: Tensor) -> tuple[Tensor, Tensor]:
    """(u, v) of a channel of spin 1, (..., 2, nlat, nlon): the inverse of ``wind_to_spin``.

    Raises: ValueError where axis -3 does not hold one real and one imaginary part.
    """
    if x.ndim < 3 or x.shape[-3] != 2:
        raise ValueError(f"x has shape {tuple(x.shape)}, spin_to_wind wants (..., 2, nlat, nlon): one channel.")
    real, imaginary = x.unbind(-3)
    return imaginary, -real


def _check_degrees(spins: Orders, lmax: int) -> None:
    for spin in spins.orders:
        if abs(spin) > lmax:
            raise ValueError(f"got lmax = {lmax}, a field of spin {spin} has degrees from {abs(spin)} on.")


def _sizes(spins: Orders) -> list[int]:
    return [channels for _, channels in spins.streams]
