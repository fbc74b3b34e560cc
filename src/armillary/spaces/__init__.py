"""Where data lives: grids on the sphere, the sphere with an orientation axis, and images."""

from armillary.spaces.oriented import OrientedGrid
from armillary.spaces.plane import ImageGrid
from armillary.spaces.sphere import Equiangular, GaussLegendre, SphereGrid, grid_from_dict

__all__ = ["Equiangular", "GaussLegendre", "ImageGrid", "OrientedGrid", "SphereGrid", "grid_from_dict"]
