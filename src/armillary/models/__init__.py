"""The papers' networks, and one configuration that builds any of them."""

from armillary.models.config import ModelConfig, build_model
from armillary.models.gcnn import (
    AllCNNC,
    GroupCNN,
    GroupResidualBlock,
    GroupResNet,
    RotationPoolingCNN,
    equal_width,
)
from armillary.models.plane import PlanarClassifier, PlanarUNet
from armillary.models.sphere import DiscoClassifier, DiscoUNet
from armillary.models.unet import LayerFactory, ResidualClassifier, ResidualUNet

__all__ = [
    "AllCNNC",
    "DiscoClassifier",
    "DiscoUNet",
    "GroupCNN",
    "GroupResNet",
    "GroupResidualBlock",
    "LayerFactory",
    "ModelConfig",
    "PlanarClassifier",
    "PlanarUNet",
    "ResidualClassifier",
    "ResidualUNet",
    "RotationPoolingCNN",
    "build_model",
    "equal_width",
]
