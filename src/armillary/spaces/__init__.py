"""Where data lives: grids on the sphere, the sphere with an orientation axis, images and their warps."""

from armillary.spaces.axis import Axis
from armillary.spaces.oriented import OrientedGrid
from armillary.spaces.plane import ImageGrid
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
    "grid_from_dict",
    "warp_from_dict",
]
