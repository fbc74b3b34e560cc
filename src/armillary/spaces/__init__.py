"""Where data lives: grids on the sphere, the sphere with an orientation axis, images and their warps, points."""

from armillary.spaces.axis import Axis
from armillary.spaces.oriented import OrientedGrid
from armillary.spaces.plane import ImageGrid
from armillary.spaces.plane_group import Windows, act_on_feature_map, act_on_image, pixel_elements
from armillary.spaces.points import Neighbours, complete_graph, edge_vectors, knn_graph, radius_graph
from armillary.spaces.sphere import Equiangular, GaussLegendre, SphereGrid, grid_from_dict
from armillary.spaces.warps import LogPolar, PerspectiveSphere, ScaleAspect, Warp, warp_from_dict

__all__ = [
    "Axis",
    "Equiangular",
    "GaussLegendre",
    "ImageGrid",
    "LogPolar",
    "Neighbours",
    "OrientedGrid",
    "PerspectiveSphere",
    "ScaleAspect",
    "SphereGrid",
    "Warp",
    "Windows",
    "act_on_feature_map",
    "act_on_image",
    "complete_graph",
    "edge_vectors",
    "grid_from_dict",
    "knn_graph",
    "pixel_elements",
    "radius_graph",
    "warp_from_dict",
]
