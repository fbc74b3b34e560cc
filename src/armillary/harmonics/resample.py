"""Spectral resampling: the band-limited field that a grid holds, on another grid of the sphere or of SO(3)."""

from __future__ import annotations

from torch import Tensor, nn

from armillary.harmonics.sht import SHT, InverseSHT, check_lmax
from armillary.harmonics.so3 import InverseSO3Transform, SO3Transform, check_so3_lmax
from armillary.spaces import OrientedGrid, SphereGrid


class Resample(nn.Module):
    """Exact resampling of a band-limited field from one grid to another; of functions on SO(3) between two
    ``OrientedGrid``.

    Shapes: ``(..., *grid_in.shape) → (..., *grid_out.shape)``, real. ``lmax`` defaults to the smaller band limit of
    the two grids: degrees that the output cannot hold are removed, not aliased. The band limit of an ``OrientedGrid``
    is ``min(lmax, nmax)``.

    Raises: ValueError if a grid cannot hold ``lmax``, or if one is of the sphere and the other of SO(3).
    """

    def __init__(
        self, grid_in: SphereGrid | OrientedGrid, grid_out: SphereGrid | OrientedGrid, lmax: int | None = None
    ) -> None:
        super().__init__()
        self.analysis: nn.Module
        self.synthesis: nn.Module
        if isinstance(grid_in, SphereGrid) and isinstance(grid_out, SphereGrid):
            if lmax is None:
                lmax = min(grid_in.lmax, grid_out.lmax)
            self.analysis = SHT(grid_in, check_lmax(grid_in, lmax))
            self.synthesis = InverseSHT(grid_out, check_lmax(grid_out, lmax))
        elif isinstance(grid_in, OrientedGrid) and isinstance(grid_out, OrientedGrid):
            if lmax is None:
                lmax = min(check_so3_lmax(grid_in, None), check_so3_lmax(grid_out, None))
            self.analysis = SO3Transform(grid_in, lmax)
            self.synthesis = InverseSO3Transform(grid_out, lmax)
        else:
            raise ValueError(
                f"got {grid_in} and {grid_out}, wanted two grids of the sphere or two OrientedGrids: a function on "
                f"SO(3) has an orientation axis, which a field on the sphere lacks."
            )

    def forward(self, x: Tensor) -> Tensor:
        return self.synthesis(self.analysis(x))


def resample(
    x: Tensor, grid_in: SphereGrid | OrientedGrid, grid_out: SphereGrid | OrientedGrid, lmax: int | None = None
) -> Tensor:
    """``Resample(grid_in, grid_out, lmax)(x)``, for one-off use."""
    return Resample(grid_in, grid_out, lmax).to(x.device)(x)
