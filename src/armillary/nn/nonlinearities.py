"""Pointwise nonlinearities, with optional oversampling against aliasing."""

from __future__ import annotations

import math

from torch import Tensor, nn

from armillary.harmonics import Resample
from armillary.nn.activation import Activation, activated, name_of
from armillary.nn.averages import Space, sphere_of
from armillary.spaces import Equiangular, OrientedGrid, SphereGrid


def oversampled(space: Space, factor: float) -> Space:
    """The same kind of grid with ``factor`` times more rings, longitudes and orientations, rounded up."""
    if isinstance(space, OrientedGrid):
        return OrientedGrid(_oversampled(space.grid, factor), math.ceil(space.n_orientations * factor))
    return _oversampled(space, factor)


def _oversampled(grid: SphereGrid, factor: float) -> SphereGrid:
    steps = grid.nlat - 1 if isinstance(grid, Equiangular) and grid.poles else grid.nlat
    return grid.resized(math.ceil(steps * factor) + grid.nlat - steps, math.ceil(grid.nlon * factor))


class Pointwise(nn.Module):
    """Any function of one value applied at every point: ``y(ω) = fn(x(ω))``.

    On the continuous sphere, or SO(3), a pointwise function commutes with every rotation. On samples it does so only
    for the band limit of the grid: fn raises the degree (x² doubles it) and what the grid cannot hold folds back as an
    error that depends on how the grid lies. ``oversample = s > 1`` takes x, spectrally and up to the grid's band limit
    ``lmax``, to a grid with s times as many rings and longitudes, applies fn there, and returns with the degrees above
    lmax removed (of an ``OrientedGrid`` orientations too, and its band limit is ``min(lmax, nmax)``):

        y = P_lmax fn(P_lmax x).

    A power x^k has degree k·lmax. It comes back exact from s = (k + 1)/2 on ``GaussLegendre`` grids (s = 1.5 for x²)
    and from s = k on ``Equiangular`` ones. ReLU has no highest degree: its error falls as s grows. ``oversample = 1``
    is fn alone: no transform, nothing truncated. Cost of s > 1: two transforms each way and s² as many values (s³ on
    SO(3)).

    Shapes: ``(..., *space.shape)`` in and out, real; fn maps a tensor to one of the same shape, value by value.
    Raises: ValueError for oversample < 1, for a field on another grid, where fn changes the shape, and for
    oversample > 1 on an ``OrientedGrid`` with fewer orientations than its degrees need, 2·lmax + 1: they would be lost.
    Source: the 3/2 rule (Orszag 1971) on the sphere; pinned by ``tests/nn/test_nonlinearities.py``.
    """

    def __init__(self, fn: Activation, space: Space, oversample: float = 1.0) -> None:
        super().__init__()
        sphere_of(space)
        if not 1 <= oversample < math.inf:
            raise ValueError(f"Pointwise: got oversample = {oversample}, wanted a factor >= 1 (1: no oversampling).")
        if oversample > 1 and isinstance(space, OrientedGrid) and space.nmax < space.lmax:
            raise ValueError(
                f"Pointwise: got oversample = {oversample} on {space}, whose orientations hold degree {space.nmax} and "
                f"whose rings hold {space.lmax}: wanted n_orientations >= {2 * space.lmax + 1}, or no oversampling, or "
                f"project with OrientationMean or OrientationMax first."
            )
        self.fn = fn
        self.space = space
        self.oversample = float(oversample)
        self.up: Resample | None = None
        self.down: Resample | None = None
        if oversample > 1:
            fine = oversampled(space, oversample)
            self.up = Resample(space, fine, lmax=space.lmax)
            self.down = Resample(fine, space, lmax=space.lmax)
            self.fine_shape = fine.shape

    def forward(self, x: Tensor) -> Tensor:
        self.space.check_field(x, "Pointwise")
        fine = x if self.up is None else self.up(x)
        y = activated(self.fn, fine, "Pointwise")
        return y if self.down is None else self.down(y)

    def extra_repr(self) -> str:
        name = name_of(self.fn)
        if self.up is None:
            return f"{name}{self.space}, oversample=1 (aliasing not reduced)"
        return f"{name}{self.space}, oversample={self.oversample:g} ({'x'.join(map(str, self.fine_shape))})"
