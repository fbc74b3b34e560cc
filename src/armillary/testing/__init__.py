"""Measure the symmetry of any layer or network, and check the contract every layer keeps; public, for your own code
too."""

from armillary.testing.contract import LayerReport, check_layer
from armillary.testing.meter import commutation_error, equivariance_error, invariance_error
from armillary.testing.plane import PlaneSymmetry
from armillary.testing.points import FeatureSymmetry, PointMap, PointSymmetry, rotations_and_reflections
from armillary.testing.spin import SpinSymmetry
from armillary.testing.symmetry import GroupAction, SphereSymmetry, Symmetry

__all__ = [
    "FeatureSymmetry",
    "GroupAction",
    "LayerReport",
    "PlaneSymmetry",
    "PointMap",
    "PointSymmetry",
    "SphereSymmetry",
    "SpinSymmetry",
    "Symmetry",
    "check_layer",
    "commutation_error",
    "equivariance_error",
    "invariance_error",
    "rotations_and_reflections",
]
