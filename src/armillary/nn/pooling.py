"""Pooling between grids, over the sphere and over orientations, by quadrature.

Shapes: B batch, C channels, G orientations (only on an ``OrientedGrid``), H rings, W longitudes.
"""

from __future__ import annotations

from abc import ABC
from typing import Literal

import torch
from torch import Tensor, nn

from armillary.nn import overlaps
from armillary.nn.averages import Space, average, check_input, mean_weights, sphere_of, working_dtype
from armillary.ops.constants import ConstantModule
from armillary.spaces import OrientedGrid


class _Remap(ConstantModule, ABC):
    """First-order conservative remapping: every output cell is the area average of the input cells under it."""

    def __init__(self, space_in: Space, space_out: Space) -> None:
        super().__init__()
        grid_in, grid_out = sphere_of(space_in), sphere_of(space_out)
        orientations = [s.n_orientations if isinstance(s, OrientedGrid) else None for s in (space_in, space_out)]
        if orientations[0] != orientations[1]:
            raise ValueError(
                f"{type(self).__name__}: got {space_in} and {space_out}, wanted the same orientations on both sides: "
                f"project with OrientationMean or OrientationMax, or build both with one n_orientations."
            )
        self.space_in = space_in
        self.space_out = space_out
        self._stencil("rows", *overlaps.ring_overlaps(grid_in, grid_out), *overlaps.ring_overlaps(grid_out, grid_in))
        self._stencil(
            "columns",
            *overlaps.longitude_overlaps(grid_in, grid_out),
            *overlaps.longitude_overlaps(grid_out, grid_in),
        )
        self._rows_first = grid_out.nlat * grid_in.nlon <= grid_in.nlat * grid_out.nlon

    def _stencil(self, axis: str, index: Tensor, length: Tensor, index_t: Tensor, length_t: Tensor) -> None:
        size = length.sum(1)
        n_out, n_in = index.shape[0], index_t.shape[0]
        if n_in * n_out <= overlaps.DENSE_LIMIT:
            matrix = overlaps.dense(index, length / size[:, None], n_in)
            self.register_constant(f"{axis}_matrix", matrix)
            return
        self.register_buffer(f"{axis}_index", index, persistent=False)
        self.register_buffer(f"{axis}_index_t", index_t, persistent=False)
        self.register_constant(f"{axis}_weight", length / size[:, None])
        self.register_constant(f"{axis}_weight_t", length_t / size[index_t])

    def path(self, axis: Literal["rows", "columns"]) -> str:
        """How the stencil of an axis is applied: "dense" (one matrix product) or "banded" (a few gathers)."""
        return "dense" if hasattr(self, f"{axis}_matrix") else "banded"

    def _apply_axis(self, x: Tensor, axis: Literal["rows", "columns"]) -> Tensor:
        if self.path(axis) == "dense":
            matrix = self.constant(f"{axis}_matrix", x)
            return matrix @ x if axis == "rows" else x @ matrix.T
        index, index_t = self.get_buffer(f"{axis}_index"), self.get_buffer(f"{axis}_index_t")
        weight, weight_t = self.constant(f"{axis}_weight", x), self.constant(f"{axis}_weight_t", x)
        return overlaps.apply_band(x, x.ndim - 2 if axis == "rows" else x.ndim - 1, index, weight, index_t, weight_t)

    def forward(self, x: Tensor) -> Tensor:
        self.space_in.check_field(x, type(self).__name__)
        with torch.autocast(x.device.type, enabled=False):  # weights of low precision would not sum to 1
            y = x.to(working_dtype(x.dtype))
            y = self._apply_axis(y, "rows" if self._rows_first else "columns")
            y = self._apply_axis(y, "columns" if self._rows_first else "rows")
            return y.to(x.dtype)

    def extra_repr(self) -> str:
        return f"{self.space_in} -> {self.space_out}, rows={self.path('rows')}, columns={self.path('columns')}"


class Pool(_Remap):
    """Area-weighted average pooling between any two grids.

    ``y_o = Σ_i |cell_o ∩ cell_i| x_i / |cell_o|``. A cell is a zone of ``grid.cell_edges`` times the longitude interval
    centred at the point; its area is the quadrature weight. So constants stay constant and the quadrature integral of
    any field is kept, to rounding. Separable: rings, then longitudes. Dense products on small grids, a band of a few
    gathers on large ones; ``repr`` says which.

    *Approximate as an equivariant map.* Cells of a latitude-longitude grid do not turn into each other. On a smooth
    field y is the field at the output points up to an error of second order in the ring spacing in the mean square and
    of first order at worst (next to the poles), and it commutes with rotations to the same order; rotations about the
    axis by a common period of both grids are exact. For an exact map of band-limited fields use ``harmonics.Resample``.

    On an ``OrientedGrid`` each orientation is pooled by itself: frames turn by at most half a longitude step within a
    cell, symmetrically about its centre, which is of the same order.

    Shapes: ``(..., *space_in.shape) -> (..., *space_out.shape)``. Raises: ValueError for a field on another grid, or
    for spaces with different orientations.
    Source: Jones 1999 (first-order conservative remapping), with quadrature zones; pinned by
    ``tests/nn/test_pooling.py``.
    """


class Unpool(_Remap):
    """Unpooling to a finer grid: piecewise constant, averaged over the cells of the output.

    The same overlaps as ``Pool``: ``y_o = Σ_i |cell_o ∩ cell_i| x_i / |cell_o|``. This is at once the conservative
    piecewise constant interpolation and the adjoint of pooling: with the inner products of the two quadratures
    ``⟨Pool(a, b) x, y⟩_b = ⟨x, Unpool(b, a) y⟩_a``. Constants and integrals are kept to rounding. The error on a smooth
    field is of first order in the spacing of the coarse grid; for an exact map use ``harmonics.Resample``.

    Shapes: ``(..., *space_in.shape) -> (..., *space_out.shape)``. Raises: as ``Pool``.
    Source: as ``Pool``; pinned by ``tests/nn/test_pooling.py``.
    """


class SphereMean(ConstantModule):
    """The mean over the sphere by quadrature, and over orientations: ``y = (1/4π) ∫ f dω``; exactly invariant.

    For fields of a degree that the quadrature integrates the result does not change under any rotation (to rounding).
    Shapes: ``(B, C, [G,] H, W) -> (B, C)``. Raises: ValueError for a field on another grid.
    Pinned by ``tests/nn/test_pooling.py``.
    """

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space
        self.register_constant("ring_weights", mean_weights(space))

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.space, "SphereMean")
        work = x.to(working_dtype(x.dtype))
        mean = average(work, self.constant("ring_weights", work), range(2, x.ndim))
        return mean.flatten(1).to(x.dtype)

    def extra_repr(self) -> str:
        return f"{self.space}"


class SphereMax(nn.Module):
    """The largest value over the grid points (and orientations).

    Approximately invariant: the maximum of a smooth field lies between points, so the value changes under rotations by
    a term of second order in the spacing. Shapes: ``(B, C, [G,] H, W) -> (B, C)``.
    Raises: ValueError for a field on another grid. Pinned by ``tests/nn/test_pooling.py``.
    """

    def __init__(self, space: Space) -> None:
        super().__init__()
        sphere_of(space)
        self.space = space

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.space, "SphereMax")
        return x.flatten(2).amax(-1)

    def extra_repr(self) -> str:
        return f"{self.space}"


def _check_oriented(space: OrientedGrid, who: str) -> OrientedGrid:
    if not isinstance(space, OrientedGrid):
        raise TypeError(f"{who}: got {space!r}, wanted an OrientedGrid: there are no orientations to project.")
    return space


class OrientationMean(nn.Module):
    """Projects SO(3) to the sphere by the mean over orientations: ``y(θ, φ) = (1/2π) ∫ f(φ, θ, γ) dγ``.

    Exact for fields that the orientations hold (frequencies |n| < n_orientations): it commutes with every rotation.
    Shapes: ``(B, C, G, H, W) -> (B, C, H, W)``. Raises: ValueError for a field on another grid.
    Pinned by ``tests/nn/test_pooling.py``.
    """

    def __init__(self, space: OrientedGrid) -> None:
        super().__init__()
        self.space = _check_oriented(space, "OrientationMean")

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.space, "OrientationMean")
        return x.mean(2)

    def extra_repr(self) -> str:
        return f"{self.space}"


class OrientationMax(nn.Module):
    """Projects SO(3) to the sphere by the maximum over orientations.

    Approximate: the maximum over γ lies between samples, an error of second order in the orientation step.
    Shapes: ``(B, C, G, H, W) -> (B, C, H, W)``. Raises: ValueError for a field on another grid.
    Pinned by ``tests/nn/test_pooling.py``.
    """

    def __init__(self, space: OrientedGrid) -> None:
        super().__init__()
        self.space = _check_oriented(space, "OrientationMax")

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.space, "OrientationMax")
        return x.amax(2)

    def extra_repr(self) -> str:
        return f"{self.space}"
