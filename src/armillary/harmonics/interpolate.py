"""Values of band-limited fields at any points, from their samples on an equiangular grid."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from armillary.ops.constants import ConstantModule
from armillary.spaces import Equiangular

OVERSAMPLING = 2


class Interpolate(ConstantModule):
    """The band-limited field through samples on an equiangular grid, at any points of the sphere.

    With ``f(-θ, φ) = f(θ, φ + π)`` a field of degree ≤ lmax is a trigonometric polynomial in both angles: periodic,
    with no pole and no seam. Its Fourier coefficients are divided by the transform of a Kaiser–Bessel kernel,

        ψ(x) = I₀(β √(1 - (2x/w)²)),   ψ̂(ξ) = w sinh √(β² - (πwξ)²) / √(β² - (πwξ)²),   β = 2.34 w,

    brought to a grid twice as fine, and each value is a sum of w × w samples there: ``taps`` = w. The relative error
    is about 10^(1 - w) down to rounding.

    Shapes: x ``(B, C, *grid.shape)`` real, points ``(B, P, 3)`` unit vectors, or (P, 3) for all of a batch → ``(B, C,
    P)``; lengths of the points do not enter. Works in the precision of x, half precision in float32, and the points
    are cast to it. Differentiable in x, and in points off the poles (there the longitude has no derivative: NaN). Cost
    O(nlat² log nlat + w² P) per field.

    Raises: ValueError for a grid with poles, an odd number of longitudes or fewer than 2·nlat - 1, taps outside
    2..14, x off the grid, points that are complex or of another shape.
    Source: Fessler & Sutton 2003 for the kernel, Potts & Van Buynder 2015 for the double cover; pinned by
    ``tests/harmonics/test_interpolate.py`` against ``harmonics.evaluate``.
    """

    def __init__(self, grid: Equiangular, taps: int = 8) -> None:
        super().__init__()
        if not isinstance(grid, Equiangular) or grid.poles or grid.nlon % 2 or grid.nlon < 2 * grid.nlat - 1:
            raise ValueError(
                f"Interpolate: got {grid}, wanted an Equiangular grid without poles, nlon even and at least "
                f"2·nlat - 1: resample the field to Equiangular(nlat)."
            )
        if isinstance(taps, bool) or not isinstance(taps, int) or not 2 <= taps <= 14:
            raise ValueError(f"Interpolate: got taps = {taps!r}, wanted an integer from 2 to 14.")
        self.grid, self.taps, self.beta = grid, taps, 2.34 * taps
        self.fine = (OVERSAMPLING * 2 * grid.nlat, OVERSAMPLING * grid.nlon)
        first = math.pi / (2 * grid.nlat)  # the colatitude of the first ring
        with torch.device("cpu"):
            self.register_constant("along_theta", self._correction(2 * grid.nlat))
            self.register_constant("along_phi", self._correction(grid.nlon)[: grid.nlon // 2 + 1])
            angles = -first * torch.fft.fftfreq(2 * grid.nlat, 1 / (2 * grid.nlat), dtype=torch.float64)
            self.register_constant("shift", torch.stack([torch.cos(angles), torch.sin(angles)], -1))

    def _correction(self, size: int) -> Tensor:
        """1/ψ̂ at the integer frequencies of ``size`` samples, 0 at Nyquist, (size,)."""
        xi = torch.fft.fftfreq(size, 1 / size, dtype=torch.float64) / (OVERSAMPLING * size)
        root = (self.beta**2 - (math.pi * self.taps * xi) ** 2).sqrt()
        inverse = root / (self.taps * torch.sinh(root))
        if size % 2 == 0:
            inverse[size // 2] = 0
        return inverse

    def forward(self, x: Tensor, points: Tensor) -> Tensor:
        self.grid.check_field(x, "this Interpolate")
        if x.ndim != 4 or x.is_complex():
            raise ValueError(f"x has shape {tuple(x.shape)}, {x.dtype}: Interpolate wants a real (B, C, nlat, nlon).")
        if points.shape[-1:] != (3,) or points.ndim not in (2, 3) or (points.ndim == 3 and len(points) != len(x)):
            raise ValueError(f"points have shape {tuple(points.shape)}, wanted (P, 3) or ({len(x)}, P, 3).")
        if points.is_complex():
            raise ValueError(f"points are {points.dtype}, Interpolate wants real unit vectors (x, y, z).")
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        if not x.numel():
            return x.new_zeros(*x.shape[:2], points.shape[-2])  # Fourier transforms of nothing are an error
        fine = self._refined(x).flatten(-2)
        p = points.to(x.dtype).expand(len(x), -1, 3)
        theta = torch.atan2(torch.hypot(p[..., 0], p[..., 1]), p[..., 2])
        phi = torch.atan2(p[..., 1], p[..., 0])
        row, row_weights = self._window(theta, self.fine[0])
        column, column_weights = self._window(phi, self.fine[1])
        out = x.new_zeros(*x.shape[:2], p.shape[1])
        for i in range(self.taps):
            index = (row[..., i : i + 1] * self.fine[1] + column).flatten(-2)  # (B, P·taps)
            values = fine.gather(-1, index[:, None].expand(-1, x.shape[1], -1)).unflatten(-1, column.shape[1:])
            out = out + row_weights[:, None, :, i] * (values * column_weights[:, None]).sum(-1)
        return out

    def _refined(self, x: Tensor) -> Tensor:
        """The corrected field on the double cover, OVERSAMPLING times finer: (B, C, *fine)."""
        nlat, nlon = self.grid.shape
        cover = torch.cat([x, x.flip(-2).roll(nlon // 2, -1)], -2)
        rows = torch.fft.fft(torch.fft.rfft(cover, dim=-1), dim=-2)
        theta = self.constant("along_theta", x)[:, None] * torch.view_as_complex(self.constant("shift", x))[:, None]
        rows = rows * theta * self.constant("along_phi", x) / (2 * nlat * nlon)
        gap = rows.new_zeros(*rows.shape[:-2], self.fine[0] - 2 * nlat, rows.shape[-1])
        rows = torch.cat([rows[..., :nlat, :], gap, rows[..., nlat:, :]], -2)
        columns = torch.fft.ifft(rows, dim=-2, norm="forward")
        return torch.fft.irfft(columns, n=self.fine[1], dim=-1, norm="forward")

    def _window(self, angle: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """The ``taps`` samples nearest to each angle on a circle of ``size``, and their weights: (..., taps) each."""
        place = angle * (size / (2 * math.pi))
        first = torch.ceil(place.detach() - self.taps / 2)
        offsets = torch.arange(self.taps, device=angle.device)
        distance = place[..., None] - first[..., None] - offsets.to(place)
        inside = (1 - (2 * distance / self.taps) ** 2).clamp(min=1e-12)
        return (first[..., None].long() + offsets) % size, torch.special.i0(self.beta * inside.sqrt())

    def extra_repr(self) -> str:
        return f"{self.grid}, taps={self.taps}"
