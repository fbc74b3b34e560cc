"""Where data lives: grids on the sphere, the sphere with an orientation axis, and images
with their turns and reflections."""

from armillary.spaces.oriented import OrientedGrid
from armillary.spaces.plane import ImageGrid
from armillary.spaces.plane_group import Windows, act_on_feature_map, act_on_image, pixel_elements
from armillary.spaces.sphere import Equiangular, GaussLegendre, SphereGrid, grid_from_dict

__all__ = [
    "Equiangular",
    "GaussLegendre",
    "ImageGrid",
    "OrientedGrid",
    "SphereGrid",
    "Windows",
    "act_on_feature_map",
    "act_on_image",
    "grid_from_dict",
    "pixel_elements",
]
