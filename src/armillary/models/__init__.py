"""The papers' networks, and one configuration that builds any of them."""

from armillary.models.config import ModelConfig, build_model
from armillary.models.harmonic import HarmonicClassifier, PlainClassifier
from armillary.models.homogeneous import HomogeneousNet, SubsetNet
from armillary.models.plane import PlanarClassifier, PlanarUNet
from armillary.models.sphere import DiscoClassifier, DiscoUNet
from armillary.models.unet import LayerFactory, ResidualClassifier, ResidualUNet
from armillary.models.warped import FullyConnectedPose, PlanarPose, WarpedPose

__all__ = [
    "DiscoClassifier",
    "DiscoUNet",
    "FullyConnectedPose",
    "HarmonicClassifier",
    "HomogeneousNet",
    "LayerFactory",
    "ModelConfig",
    "PlainClassifier",
    "PlanarClassifier",
    "PlanarPose",
    "PlanarUNet",
    "ResidualClassifier",
    "ResidualUNet",
    "SubsetNet",
    "WarpedPose",
    "build_model",
]
