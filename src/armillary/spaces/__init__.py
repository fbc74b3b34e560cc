"""Where data lives: grids on the sphere, the sphere with an orientation axis, images and their warps."""

from armillary.spaces.axis import Axis
from armillary.spaces.oriented import OrientedGrid
from armillary.spaces.plane import ImageGrid
from armillary.spaces.plane_group import Windows, act_on_feature_map, act_on_image, pixel_elements
from armillary.spaces.sphere import Equiangular, GaussLegendre, SphereGrid, grid_from_dict
from armillary.spaces.warps import LogPolar, PerspectiveSphere, ScaleAspect, Warp, warp_from_dict

__all__ = [
    "Axis",
    "Equiangular",
    "GaussLegendre",
    "ImageGrid",
    "LogPolar",
    "OrientedGrid",
    "PerspectiveSphere",
    "ScaleAspect",
    "SphereGrid",
    "Warp",
    "Windows",
    "act_on_feature_map",
    "act_on_image",
    "grid_from_dict",
    "pixel_elements",
    "warp_from_dict",
]
