"""A flat picture on the sphere, at any place, size and rotation.

The picture is a continuous function on the sphere (interpolated in its own tangent frame), and a rotation
moves that function: each grid point is carried back by R⁻¹ and looked up. No grid is ever resampled, so
samples at two rotations differ by nothing but where the function was read.

Shapes: C channels, h × w picture, H × W grid.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from armillary.spaces import SphereGrid


def project_image(
    image_Chw: Tensor,
    grid: SphereGrid,
    rotation: Tensor,
    angular_size: float,
    center: tuple[float, float] = (math.pi / 2, 0.0),
    mode: Literal["bilinear", "bicubic", "nearest"] = "bilinear",
) -> Tensor:
    """Sample (R f)(x) = f(R⁻¹ x), f being the picture laid on the sphere by inverse stereographic projection.

    With the frame (c, e, n) at ``center`` (outward, east, north), the plane coordinates of a point p = R⁻¹
    x are X = 2 p·e / (1 + p·c), Y = 2 p·n / (1 + p·c). The picture's right is east, its top is north; its
    width spans ``angular_size`` along the great circle through the centre, |X| ≤ 2 tan(angular_size / 4),
    its height in proportion. Beyond the picture f is 0. Stereographic rather than gnomonic because it is
    conformal (strokes keep their local shape at any size) and covers more than a hemisphere.

    Shapes: image (C, h, w) -> (C, nlat, nlon), in the dtype of the image. Rotation: (3, 3) matrix.
    Units: radians; ``center`` is (colatitude, longitude).
    Raises: ValueError for a wrong rotation, image or size.
    Source: Snyder 1987, Map Projections, eqs. 21-2 to 21-4; pinned by tests/data/test_projection.py.
    """
    if image_Chw.ndim != 3 or not image_Chw.is_floating_point():
        raise ValueError(
            f"image has shape {tuple(image_Chw.shape)} and dtype {image_Chw.dtype}, "
            "project_image wants a floating-point (channels, height, width)."
        )
    if tuple(rotation.shape) != (3, 3):
        raise ValueError(f"rotation has shape {tuple(rotation.shape)}, wanted a (3, 3) matrix.")
    if not 0 < angular_size < 2 * math.pi:
        raise ValueError(f"got angular_size = {angular_size}, wanted radians in (0, 2π).")
    c, e, n = tangent_frame(*center)
    p = grid.points @ rotation.to(torch.float64)  # rows are R⁻¹ x
    height, width = image_Chw.shape[-2:]
    half = 2 * math.tan(angular_size / 4)
    scale = 2 / (1 + p @ c).clamp_min(1e-9) / half  # towards the antipode: far outside the picture
    at = torch.stack([p @ e * scale, -(p @ n) * scale * (width / height)], dim=-1)
    at = at.clamp(-1e3, 1e3).to(image_Chw)
    return torch.nn.functional.grid_sample(
        image_Chw[None], at[None], mode=mode, padding_mode="zeros", align_corners=False
    )[0]


def tangent_frame(theta: float, phi: float) -> tuple[Tensor, Tensor, Tensor]:
    """Unit vectors outward, east (growing longitude) and north (falling colatitude) at a point, float64 (3,) each."""
    ct, st, cp, sp = math.cos(theta), math.sin(theta), math.cos(phi), math.sin(phi)
    outward = torch.tensor([st * cp, st * sp, ct], dtype=torch.float64)
    east = torch.tensor([-sp, cp, 0.0], dtype=torch.float64)
    north = torch.tensor([-ct * cp, -ct * sp, st], dtype=torch.float64)
    return outward, east, north
