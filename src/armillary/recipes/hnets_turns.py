"""Images turned by any angle without leaving the band of their pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from armillary.spaces import ImageGrid


def turned(images: Tensor, angles: Tensor, size: int) -> Tensor:
    """Images turned counter-clockwise about their middle, on ``size`` × ``size`` pixels.

    An image stands for the one function that has its values at the pixels, is zero at the pixels of the rest of the
    plane and has no frequency above Nyquist, ``f(p) = Σ_q f_q sinc(p_x - q_x) sinc(p_y - q_y)``; it is evaluated at the
    turned points, so that nothing but sampling happens. Where ``size`` is the side of the image the scale is kept;
    otherwise the picture is stretched so that √2 times its side, the room its corners need, fills the output.

    Shapes: images (n, s, s), angles (n,) in radians → (n, size, size) float64. Raises: ValueError for other shapes.
    """
    if images.ndim != 3 or images.shape[1] != images.shape[2] or angles.shape != images.shape[:1]:
        raise ValueError(
            f"got images {tuple(images.shape)} and angles {tuple(angles.shape)}, wanted (n, s, s) and (n,)."
        )
    side = images.shape[1]
    scale = 1.0 if size == side else side * 2**0.5 / size
    points = scale * ImageGrid(size, size).points
    x, y = points.unbind(-1)
    cos, sin = torch.cos(angles.double())[:, None, None], torch.sin(angles.double())[:, None, None]
    places = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    columns = torch.sinc((cos * x + sin * y)[..., None] - places)
    rows = torch.sinc((cos * y - sin * x)[..., None] + places)
    return torch.einsum("nhvi,nij,nhvj->nhv", rows, images.double(), columns)
