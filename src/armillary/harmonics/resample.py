"""Spectral resampling: the band-limited field that a grid holds, on another grid."""

from __future__ import annotations

from torch import Tensor, nn

from armillary.harmonics.sht import SHT, InverseSHT, check_lmax
from armillary.spaces import SphereGrid


class Resample(nn.Module):
    """Exact resampling of a band-limited field from one grid to another.

    Shapes: ``(..., *grid_in.shape) → (..., *grid_out.shape)``, real. ``lmax`` defaults to the smaller band limit of
    the two grids: degrees that the output cannot hold are removed, not aliased.

    Raises: ValueError if a grid cannot hold ``lmax``.
    """

    def __init__(self, grid_in: SphereGrid, grid_out: SphereGrid, lmax: int | None = None) -> None:
        super().__init__()
        if lmax is None:
            lmax = min(grid_in.lmax, grid_out.lmax)
        self.analysis = SHT(grid_in, check_lmax(grid_in, lmax))
        self.synthesis = InverseSHT(grid_out, check_lmax(grid_out, lmax))

    def forward(self, x: Tensor) -> Tensor:
        return self.synthesis(self.analysis(x))


def resample(x: Tensor, grid_in: SphereGrid, grid_out: SphereGrid, lmax: int | None = None) -> Tensor:
    """``Resample(grid_in, grid_out, lmax)(x)``, for one-off use."""
    return Resample(grid_in, grid_out, lmax).to(x.device)(x)
