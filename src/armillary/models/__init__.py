"""The papers' networks, and one configuration that builds any of them."""

from armillary.models.config import ModelConfig, build_model
from armillary.models.harmonic import HarmonicClassifier, PlainClassifier
from armillary.models.plane import PlanarClassifier, PlanarUNet
from armillary.models.sphere import DiscoClassifier, DiscoUNet
from armillary.models.unet import LayerFactory, ResidualClassifier, ResidualUNet

__all__ = [
    "DiscoClassifier",
    "DiscoUNet",
    "HarmonicClassifier",
    "LayerFactory",
    "ModelConfig",
    "PlainClassifier",
    "PlanarClassifier",
    "PlanarUNet",
    "ResidualClassifier",
    "ResidualUNet",
    "build_model",
]
