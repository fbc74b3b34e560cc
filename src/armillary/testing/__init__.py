"""Measure the symmetry of any layer or network, and check the contract every layer keeps; public, for your own code
too."""

from armillary.testing.contract import LayerReport, check_layer
from armillary.testing.meter import equivariance_error, invariance_error

__all__ = ["LayerReport", "check_layer", "equivariance_error", "invariance_error"]
