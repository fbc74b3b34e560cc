"""The input of a network of images, checked in one place."""

from __future__ import annotations

from torch import Tensor, nn

from armillary.nn.fold import Foldable
from armillary.spaces import ImageGrid


class ImageInput(nn.Module, Foldable):
    """Passes on the images a network was built for, and refuses others: ``y = x``.

    A module and not a function, so that the rest of the network's forward can be traced (``fold``).
    Shapes: (B, channels, *grid.shape) → the same. ``who``: the network that errors name.
    Raises: ValueError for another shape. Pinned by ``tests/nn/test_image_input.py``.
    """

    def __init__(self, channels: int, grid: ImageGrid, who: str) -> None:
        super().__init__()
        self.channels, self.grid, self.who = channels, grid, who

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != self.channels:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, {self.who} was built for (batch, {self.channels}, {self.grid.height}, "
                f"{self.grid.width}): pass in_channels={x.shape[1] if x.ndim == 4 else '…'} or reshape x."
            )
        self.grid.check_field(x, self.who)
        return x

    def folded(self) -> nn.Module:
        return nn.Identity()

    def extra_repr(self) -> str:
        return f"{self.channels}, {self.grid}"
