"""Pointwise nonlinearities, with optional oversampling against aliasing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

from torch import Tensor, nn

from armillary.harmonics import Resample
from armillary.nn.averages import Space, sphere_of
from armillary.spaces import Equiangular, OrientedGrid, SphereGrid


def _oversampled(grid: SphereGrid, factor: float) -> SphereGrid:
    """The same kind of grid with ``factor`` times more rings and longitudes, rounded up."""
    steps = grid.nlat - 1 if isinstance(grid, Equiangular) and grid.poles else grid.nlat
    return grid.resized(math.ceil(steps * factor) + grid.nlat - steps, math.ceil(grid.nlon * factor))


class Pointwise(nn.Module):
    """Any function of one value applied at every point: ``y(ω) = fn(x(ω))``.

    On the continuous sphere a pointwise function commutes with every rotation. On samples it does so only for the band
    limit of the grid: fn raises the degree (x² doubles it) and what the grid cannot hold folds back as an error that
    depends on how the grid lies. ``oversample = s > 1`` takes x, spectrally and up to the grid's band limit
    ``lmax``, to a grid with s times as many rings and longitudes, applies fn there, and returns with the degrees above
    lmax removed:

        y = P_lmax fn(P_lmax x).

    A power x^k has degree k·lmax. It comes back exact from s = (k + 1)/2 on ``GaussLegendre`` grids (s = 1.5 for x²)
    and from s = k on ``Equiangular`` ones. ReLU has no highest degree: its error falls as s grows. ``oversample = 1``
    is fn alone: no transform, nothing truncated. Cost of s > 1: two transforms each way and s² as many values.

    Shapes: ``(..., *space.shape)`` in and out, real; fn maps a tensor to one of the same shape, value by value.
    Raises: ValueError for oversample < 1, for a field on another grid, where fn changes the shape, and for
    oversample > 1 on an ``OrientedGrid``: a slice of one orientation is no scalar field of the sphere.
    Source: the 3/2 rule (Orszag 1971) on the sphere; pinned by ``tests/nn/test_nonlinearities.py``.
    """

    def __init__(self, fn: Callable[[Tensor], Tensor] | nn.Module, space: Space, oversample: float = 1.0) -> None:
        super().__init__()
        grid = sphere_of(space)
        if not oversample >= 1:
            raise ValueError(f"Pointwise: got oversample = {oversample}, wanted a factor >= 1 (1: no oversampling).")
        if oversample > 1 and isinstance(space, OrientedGrid):
            raise ValueError(
                f"Pointwise: got oversample = {oversample} on {space}, wanted 1: oversampling is for fields on the "
                f"sphere; project with OrientationMean or OrientationMax first."
            )
        self.fn = fn
        self.space = space
        self.oversample = float(oversample)
        self.up: Resample | None = None
        self.down: Resample | None = None
        if oversample > 1:
            fine = _oversampled(grid, oversample)
            self.up = Resample(grid, fine, lmax=grid.lmax)
            self.down = Resample(fine, grid, lmax=grid.lmax)
            self.fine_shape = fine.shape

    def forward(self, x: Tensor) -> Tensor:
        self.space.check_field(x, "Pointwise")
        fine = x if self.up is None else self.up(x)
        y = cast(Tensor, self.fn(fine))
        if y.shape != fine.shape:
            raise ValueError(
                f"fn = {self.fn} turned shape {tuple(fine.shape)} into {tuple(y.shape)}, Pointwise wants a function "
                f"of each value by itself: apply layers that change the shape outside of Pointwise."
            )
        return y if self.down is None else self.down(y)

    def extra_repr(self) -> str:
        name = "" if isinstance(self.fn, nn.Module) else f"{getattr(self.fn, '__name__', self.fn)}, "
        if self.up is None:
            return f"{name}{self.space}, oversample=1 (aliasing not reduced)"
        return f"{name}{self.space}, oversample={self.oversample:g} ({self.fine_shape[0]}x{self.fine_shape[1]})"
