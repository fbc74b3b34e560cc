"""Warping: an image resampled once at fixed points, so that a group of transformations becomes shifts.

Shape legend: B batch, C channels, H height, W width of the image.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from armillary.ops.constants import ConstantModule
from armillary.ops.cubic import keys_weights
from armillary.spaces import ImageGrid, Warp

Interpolation = Literal["bilinear", "bicubic"]

_FAR = 8.0  # in half images from the middle: no tap of either interpolation reaches back


def sample_image(x: Tensor, points: Tensor, grid: ImageGrid, interpolation: Interpolation = "bilinear") -> Tensor:
    """Interpolate images at points (x, y) of their grid; pixels outside count as zero, and so do points that are NaN.

    ``"bilinear"`` joins pixel centres, so that at the border the image falls to zero within one pixel; ``"bicubic"``
    is the cubic convolution of Keys (a = -½), exact on quadratic images. Shapes: x (B, C, H, W); points (rows,
    columns, 2), or (B, rows, columns, 2) for each image its own; result (B, C, rows, columns), in the dtype of x.
    Differentiable in x, and in points where they are inside.

    Raises: ValueError for an x off the grid, points of another shape, or another name of interpolation.
    Pinned by ``tests/nn/test_warp.py`` against the sum over pixels.
    """
    _check_interpolation(interpolation)
    _check_image(x, grid, "sample_image")
    if points.ndim not in (3, 4) or points.shape[-1] != 2 or (points.ndim == 4 and len(points) != len(x)):
        raise ValueError(
            f"got points of shape {tuple(points.shape)} for {len(x)} images, wanted (rows, columns, 2) or "
            f"({len(x)}, rows, columns, 2)."
        )
    exact = _at_least_single(x)
    return _sample(exact, _normalised(points.to(exact), grid), interpolation).to(x.dtype)


class WarpImage(ConstantModule):
    """The warped image ``Î(u) = I(t_u(x_0))``, by one fixed resampling.

    Equation: ``y_c(u) = Σ_p k(t_u(x_0) - p) x_c(p)`` over pixels p, k the kernel of the interpolation. On y the group
    of ``warp`` acts by shifts, so an ordinary convolution of y (one that wraps where ``warp.periodic``, see
    ``with_warp_padding``) is the convolution over that group.

    Shapes: (B, C, *grid.shape) → (B, C, *warp.shape), any C. Pixels outside the image are zero. Nothing is smoothed
    before: where neighbouring points lie more than a pixel apart, details between them are lost. No parameters.

    Symmetry: transformations of the warp become shifts up to the error of interpolation, of second order in the pixel
    for "bilinear" and of third for "bicubic" on smooth images; quarter turns under ``LogPolar`` of a square image
    exactly, if four divides rows.

    Raises: ValueError for an input off the grid or another name of interpolation.
    Source: Henriques & Vedaldi 2017 (arXiv 1609.04382), theorem 1. Pinned by ``tests/nn/test_warp.py``.
    """

    def __init__(self, warp: Warp, grid: ImageGrid, interpolation: Interpolation = "bilinear") -> None:
        super().__init__()
        _check_interpolation(interpolation)
        self.warp, self.grid = warp, grid
        self.interpolation: Interpolation = interpolation
        points = _normalised(warp.points(grid), grid)
        self.register_constant("points", points)
        self.outside = 1 - float((points.abs() <= 1).all(-1).double().mean())

    def forward(self, x: Tensor) -> Tensor:
        _check_image(x, self.grid, "WarpImage")
        exact = _at_least_single(x)
        return _sample(exact, self.constant("points", exact), self.interpolation).to(x.dtype)

    def extra_repr(self) -> str:
        outside = f", {self.outside:.0%} of the points outside the image" if self.outside else ""
        return f"{self.warp}, {self.grid}, {self.interpolation}{outside}"


def _sample(x: Tensor, normalised: Tensor, interpolation: Interpolation) -> Tensor:
    points = normalised if normalised.ndim == 4 else normalised.expand(x.shape[0], -1, -1, -1)
    if interpolation == "bilinear":
        return F.grid_sample(x, points, mode="bilinear", padding_mode="zeros", align_corners=False)
    return _cubic(x, points)  # the cubic kernel of grid_sample, a = -¾, is of first order only


def _cubic(x: Tensor, points: Tensor) -> Tensor:
    """The sum over the 4 × 4 neighbours of each point, one neighbour at a time."""
    height, width = x.shape[-2:]
    (columns, column_weights), (rows, row_weights) = (
        _taps(points[..., k].flatten(1), size) for k, size in enumerate((width, height))
    )
    pixels = x.flatten(2)
    y = torch.zeros_like(pixels[..., :1])
    for row, row_weight in zip(rows, row_weights, strict=True):
        for column, column_weight in zip(columns, column_weights, strict=True):
            index = (row * width + column)[:, None].expand(-1, pixels.shape[1], -1)
            y = y + pixels.gather(2, index) * (row_weight * column_weight)[:, None]
    return y.unflatten(2, points.shape[1:3])


def _taps(normalised: Tensor, size: int) -> tuple[list[Tensor], list[Tensor]]:
    """The four neighbours of each position on one axis and the weights of Keys; weight 0 off the image."""
    position = ((normalised + 1) * size - 1) / 2
    below = position.floor()
    places, weights = [below.long() + k for k in range(-1, 3)], keys_weights(position - below)
    inside = [(place >= 0) & (place < size) for place in places]
    kept = [torch.where(seen, weight, 0.0) for seen, weight in zip(inside, weights, strict=True)]
    return [place.clamp(0, size - 1) for place in places], kept


def _at_least_single(x: Tensor) -> Tensor:
    """Points in half precision would miss their pixels."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def _normalised(points: Tensor, grid: ImageGrid) -> Tensor:
    """(x, y) to what ``grid_sample`` calls them: right and down from -1 to 1 at the outer edges; NaN far outside."""
    half = torch.tensor([grid.width / 2, -grid.height / 2], dtype=points.dtype, device=points.device)
    return (points / half).nan_to_num(nan=_FAR).clamp(-_FAR, _FAR)


def _check_interpolation(interpolation: str) -> None:
    if interpolation not in ("bilinear", "bicubic"):
        raise ValueError(f"got interpolation {interpolation!r}, wanted 'bilinear' or 'bicubic'.")


def _check_image(x: Tensor, grid: ImageGrid, who: str) -> None:
    if x.ndim != 4:
        raise ValueError(f"x has shape {tuple(x.shape)}, {who} wants (batch, channels, {grid.height}, {grid.width}).")
    grid.check_field(x, who)
