"""Warping: an image resampled once at fixed points, so that a group of transformations becomes shifts.

Shape legend: B batch, C channels, H height, W width of the image.
"""

from __future__ import annotations

import operator
from functools import reduce
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armillary.nn.averages import working_dtype
from armillary.nn.fold import Foldable, stock_graph
from armillary.ops.constants import ConstantModule
from armillary.ops.cubic import keys_weights
from armillary.spaces import ImageGrid, Warp

Interpolation = Literal["bilinear", "bicubic"]

_CUBIC_NEIGHBOURS = 16
_FAR = 8.0  # in half images from the middle: no tap of either interpolation reaches back


def sample_image(x: Tensor, points: Tensor, grid: ImageGrid, interpolation: Interpolation = "bilinear") -> Tensor:
    """Interpolate images at points (x, y) of their grid; pixels outside count as zero, and so do points that are NaN.

    ``"bilinear"`` joins pixel centres, so that at the border the image falls to zero within one pixel; ``"bicubic"``
    is the cubic convolution of Keys (a = -½), exact on quadratic images. Shapes: x (B, C, H, W); points (rows,
    columns, 2), or (B, rows, columns, 2) for each image its own; result (B, C, rows, columns), in the dtype of x.
    Differentiable in x, and in points where they are inside.

    Raises: ValueError for an x off the grid or of integers or complex numbers, points of another shape, or another name
    of interpolation.
    Pinned by ``tests/nn/test_warp.py`` against the sum over pixels.
    """
    _check_interpolation(interpolation)
    _check_image(x, grid, "sample_image")
    if points.ndim not in (3, 4) or points.shape[-1] != 2 or (points.ndim == 4 and points.shape[0] != x.shape[0]):
        raise ValueError(
            f"got points of shape {tuple(points.shape)} for {x.shape[0]} images, wanted (rows, columns, 2) or "
            f"({x.shape[0]}, rows, columns, 2)."
        )
    exact = x.to(working_dtype(x.dtype))  # in half precision points would miss their pixels
    normalised = _normalised(points.to(exact), grid)
    normalised = normalised if points.ndim == 4 else normalised[None]
    if interpolation == "bilinear":
        return _bilinear(exact, normalised.expand(x.shape[0], -1, -1, -1)).to(x.dtype)
    y = _cubic(exact, *_cubic_taps(normalised, grid))
    return y.unflatten(2, points.shape[-3:-1]).to(x.dtype)


class WarpImage(ConstantModule, Foldable):
    """The warped image ``Î(u) = I(t_u(x_0))``, by one fixed resampling.

    Equation: ``y_c(u) = Σ_p k(t_u(x_0) - p) x_c(p)`` over pixels p, k the kernel of the interpolation. On y the group
    of ``warp`` acts by shifts, so an ordinary convolution of y (one that wraps where ``warp.periodic``, see
    ``with_warp_padding``) is the convolution over that group.

    Shapes: (B, C, *grid.shape) → (B, C, *warp.shape), any C. Pixels outside the image are zero. Nothing is smoothed
    before: where neighbouring points lie more than a pixel apart, details between them are lost. No parameters.

    Symmetry: transformations of the warp become shifts up to the error of interpolation, of second order in the pixel
    for "bilinear" and of third for "bicubic" on smooth images; quarter turns under ``LogPolar`` of a square image
    exactly, if four divides rows.

    Raises: ValueError for an input off the grid, integers (convert them: ``x.float() / 255``), complex numbers, or
    another name of interpolation.
    Source: Henriques & Vedaldi 2017 (arXiv 1609.04382), theorem 1. Pinned by ``tests/nn/test_warp.py``.
    """

    points: Tensor
    index: Tensor
    weight: Tensor

    def __init__(self, warp: Warp, grid: ImageGrid, interpolation: Interpolation = "bilinear") -> None:
        super().__init__()
        _check_interpolation(interpolation)
        self.warp, self.grid = warp, grid
        self.interpolation: Interpolation = interpolation
        with torch.device("cpu"):
            points = _normalised(warp.points(grid), grid)[None]
            self.outside = 1 - float((points.abs() <= 1).all(-1).double().mean())
            if interpolation == "bilinear":
                self.register_constant("points", points)
            else:
                index, weight = _cubic_taps(points, grid)
                self.register_constant("index", index)
                self.register_constant("weight", weight)

    def forward(self, x: Tensor) -> Tensor:
        _check_image(x, self.grid, "WarpImage")
        exact = x.to(working_dtype(x.dtype))
        if self.interpolation == "bilinear":
            y = _bilinear(exact, self.constant("points", exact).expand(x.shape[0], -1, -1, -1))
        else:
            y = _cubic(exact, self.constant("index", exact), self.constant("weight", exact))
            y = y.unflatten(2, self.warp.shape)
        return y.to(x.dtype)

    def folded(self) -> nn.Module:
        if self.interpolation == "bilinear":
            return stock_graph(
                lambda x, points: _bilinear(x, points.expand(x.shape[0], -1, -1, -1)), points=self.points
            )
        return stock_graph(
            lambda x, index, weight: _cubic(x, index, weight).unflatten(2, self.warp.shape),
            index=self.index,
            weight=self.weight,
        )

    def extra_repr(self) -> str:
        outside = f", {self.outside:.0%} of the points outside the image" if self.outside else ""
        return f"{self.warp}, {self.grid}, {self.interpolation}{outside}"


def _bilinear(x: Tensor, normalised: Tensor) -> Tensor:
    return F.grid_sample(x, normalised, mode="bilinear", padding_mode="zeros", align_corners=False)


def _cubic_taps(normalised: Tensor, grid: ImageGrid) -> tuple[Tensor, Tensor]:
    """The 4 × 4 neighbours of points (B or 1, rows, columns, 2): indices and weights, (16, B or 1, 1, points).

    (The cubic kernel of ``grid_sample``, a = -¾, is of first order only.)
    """
    (columns, column_weights), (rows, row_weights) = (
        _taps(normalised[..., k].flatten(1), size) for k, size in enumerate((grid.width, grid.height))
    )
    index = [row * grid.width + column for row in rows for column in columns]
    weight = [row * column for row in row_weights for column in column_weights]
    return torch.stack(index)[:, :, None], torch.stack(weight)[:, :, None]


def _cubic(x: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Sums over the neighbours, (B, C, points), one neighbour at a time."""
    pixels = x.flatten(2)
    terms = (
        pixels.gather(2, index[k].expand(x.shape[0], x.shape[1], -1)) * weight[k] for k in range(_CUBIC_NEIGHBOURS)
    )
    return reduce(operator.add, terms)


def _taps(normalised: Tensor, size: int) -> tuple[list[Tensor], list[Tensor]]:
    """The four neighbours of each position on one axis and the weights of Keys; weight 0 off the image."""
    position = ((normalised + 1) * size - 1) / 2
    below = position.floor()
    places, weights = [below.long() + k for k in range(-1, 3)], keys_weights(position - below)
    inside = [(place >= 0) & (place < size) for place in places]
    kept = [torch.where(seen, weight, 0.0) for seen, weight in zip(inside, weights, strict=True)]
    return [place.clamp(0, size - 1) for place in places], kept


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
    if not x.is_floating_point():
        raise ValueError(
            f"x has dtype {x.dtype}, {who} wants floating point: convert integers by x.float() and scale them, take "
            f"complex numbers apart by torch.view_as_real."
        )
    grid.check_field(x, who)
