"""Images: square pixels in the plane."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class ImageGrid:
    """Pixel centres of an image of ``height`` rows and ``width`` columns, one unit apart.

    Points are (x, y) with x to the right, y upward and the origin in the middle of the image; row 0 is the top. A turn
    by α > 0 is counter-clockwise, and ``(R f)(p) = f(R⁻¹ p)``. Fields are ``(batch, channels, height, width)``.

    Raises: ValueError for a size that is no positive integer.
    """

    height: int
    width: int

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            size = getattr(self, name)
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise ValueError(f"ImageGrid: got {name} = {size!r}, wanted an integer >= 1.")

    @property
    def shape(self) -> tuple[int, int]:
        return (self.height, self.width)

    @property
    def points(self) -> Tensor:
        """(x, y) of each pixel, (height, width, 2) float64."""
        x = torch.arange(self.width, dtype=torch.float64) - (self.width - 1) / 2
        y = (self.height - 1) / 2 - torch.arange(self.height, dtype=torch.float64)
        return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)

    def check_field(self, field: Tensor, who: str = "this grid") -> None:
        """Raise a ValueError that names both shapes unless ``field`` ends in ``self.shape``."""
        if tuple(field.shape[-2:]) != self.shape:
            raise ValueError(
                f"x has shape {tuple(field.shape)}, {who} wants (..., {self.height}, {self.width}): crop, pad or "
                f"resize the image, or build with the size it has."
            )

    def to_dict(self) -> dict[str, Any]:
        """A plain description, safe for JSON."""
        return {"type": "ImageGrid", **asdict(self)}
