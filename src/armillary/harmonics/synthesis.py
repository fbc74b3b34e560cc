"""Fields made from coefficients: random test fields, and values at arbitrary points."""

from __future__ import annotations

import torch
from torch import Tensor

from armillary.harmonics.sht import InverseSHT, check_lmax, grid_legendre
from armillary.ops.wigner import legendre_table
from armillary.spaces import OrientedGrid, SphereGrid


def random_field(
    space: SphereGrid | OrientedGrid,
    lmax: int,
    batch: tuple[int, ...] = (),
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """A Gaussian random field with equal power in every degree 0..lmax, unit variance; ``(*batch, *space.shape)``.

    Its distribution does not change under rotation. On an ``OrientedGrid`` every orientation frequency |n| ≤ nmax is
    present, with n = 0 and the others of equal weight.
    """
    if isinstance(space, OrientedGrid):
        return _random_oriented(space, lmax, batch, generator, dtype)
    lmax = check_lmax(space, lmax)
    shape = (*batch, lmax + 1, lmax + 1)
    coefficients = torch.complex(
        torch.randn(shape, generator=generator, dtype=torch.float64),
        torch.randn(shape, generator=generator, dtype=torch.float64),
    ) * (0.5**0.5)
    coefficients[..., 0] = coefficients[..., 0].real * 2**0.5
    degrees = torch.arange(lmax + 1, dtype=torch.float64)
    power = 4 * torch.pi / ((lmax + 1) * (2 * degrees + 1))
    return InverseSHT(space, lmax)(torch.tril(coefficients) * power.sqrt()[:, None]).to(dtype)


def _random_oriented(
    space: OrientedGrid,
    lmax: int,
    batch: tuple[int, ...],
    generator: torch.Generator | None,
    dtype: torch.dtype,
) -> Tensor:
    grid = space.grid
    spectrum = torch.zeros(*batch, space.n_orientations // 2 + 1, *grid.shape, dtype=torch.complex128)
    scale = (2 * space.nmax + 1) ** -0.5
    zero = random_field(grid, lmax, batch, generator)
    spectrum[..., 0, :, :] = torch.complex(zero, torch.zeros_like(zero)) * scale
    orders = torch.arange(-lmax, lmax + 1) % grid.nlon
    for n in range(1, space.nmax + 1):
        shape = (*batch, lmax + 1, 2 * lmax + 1)
        coefficients = torch.complex(
            torch.randn(shape, generator=generator, dtype=torch.float64),
            torch.randn(shape, generator=generator, dtype=torch.float64),
        )
        degrees = torch.arange(lmax + 1, dtype=torch.float64)
        coefficients *= (2 * torch.pi / ((lmax + 1) * (2 * degrees + 1))).sqrt()[:, None] * scale
        table = grid_legendre(grid, check_lmax(grid, lmax), spin=n, negative=True)
        rings = torch.einsum("mlj,...lm->...jm", table.to(torch.complex128), coefficients)
        padded = torch.zeros(*batch, *grid.shape, dtype=torch.complex128)
        padded[..., orders] = rings
        spectrum[..., n, :, :] = torch.fft.ifft(padded, dim=-1, norm="forward")
    return torch.fft.irfft(spectrum, n=space.n_orientations, dim=-3, norm="forward").to(dtype)


def evaluate(coefficients: Tensor, points: Tensor) -> Tensor:
    """The field with the given coefficients at any points: the direct, slow sum ``Σ f_lm Y_lm(ω)``.

    Shapes: coefficients ``(..., lmax + 1, lmax + 1)`` complex (l, m ≥ 0) of a real field; points (P, 3) unit vectors →
    ``(..., P)``. Cost O(lmax² P): for checks and for scattered points, not for grids.
    """
    lmax = coefficients.shape[-1] - 1
    points = points.double()
    theta = torch.atan2(torch.hypot(points[:, 0], points[:, 1]), points[:, 2])
    phi = torch.atan2(points[:, 1], points[:, 0])
    orders = torch.arange(lmax + 1)
    table = legendre_table(lmax, orders, theta)
    twice = torch.where(orders == 0, 1.0, 2.0).double()
    wave = torch.polar(twice[:, None].expand(-1, len(phi)), orders[:, None] * phi)
    harmonics = torch.einsum("mlp,mp->lmp", table.to(torch.complex128), wave)
    return torch.einsum("...lm,lmp->...p", coefficients.to(torch.complex128), harmonics).real
