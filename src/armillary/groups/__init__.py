"""Groups, their elements and representations."""

from armillary.groups.orders import Orders
from armillary.groups.so3 import (
    euler_zyz,
    from_euler_zyz,
    random_rotation,
    rotation_about,
    wigner_D,
    wigner_D_real,
)

__all__ = [
    "Orders",
    "euler_zyz",
    "from_euler_zyz",
    "random_rotation",
    "rotation_about",
    "wigner_D",
    "wigner_D_real",
]
