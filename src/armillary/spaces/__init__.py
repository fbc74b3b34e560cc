"""Where data lives: grids on the sphere, and the sphere with an orientation axis."""

from armillary.spaces.oriented import OrientedGrid
from armillary.spaces.sphere import Equiangular, GaussLegendre, SphereGrid, grid_from_dict

__all__ = ["Equiangular", "GaussLegendre", "OrientedGrid", "SphereGrid", "grid_from_dict"]
