"""Fields of circular orders on pixels, or of spins on the sphere: their grids, and the check that a tensor is one."""

from __future__ import annotations

from torch import Tensor

from armillary.groups import Orders
from armillary.spaces.plane import ImageGrid
from armillary.spaces.sphere import SphereGrid

FieldGrid = ImageGrid | SphereGrid


def check_orders(x: Tensor, orders: Orders, grid: FieldGrid, who: str) -> None:
    """Raise a ValueError that says what came, what was wanted and the fix, unless x is a field of ``orders`` on
    ``grid``: (B, orders.size, H, W), real and of floating point. On the sphere an order is a spin."""
    grid.check_field(x, who)
    orders.check(x, who, grid.shape)
