"""Layers, losses and metrics: ordinary modules on plain tensors, built with the space the data lies on."""

from armillary.nn.dropout import FieldDropout
from armillary.nn.losses import CrossEntropyLoss, DiceLoss, GradientLoss, L1Loss, L2Loss, SumLoss
from armillary.nn.metrics import ClassificationMetrics, Metrics, RegressionMetrics, SegmentationMetrics
from armillary.nn.nonlinearities import Pointwise
from armillary.nn.norms import SphereBatchNorm, SphereGroupNorm, SphereInstanceNorm, SphereLayerNorm
from armillary.nn.pooling import OrientationMax, OrientationMean, Pool, SphereMax, SphereMean, Unpool

__all__ = [
    "ClassificationMetrics",
    "CrossEntropyLoss",
    "DiceLoss",
    "FieldDropout",
    "GradientLoss",
    "L1Loss",
    "L2Loss",
    "Metrics",
    "OrientationMax",
    "OrientationMean",
    "Pointwise",
    "Pool",
    "RegressionMetrics",
    "SegmentationMetrics",
    "SphereBatchNorm",
    "SphereGroupNorm",
    "SphereInstanceNorm",
    "SphereLayerNorm",
    "SphereMax",
    "SphereMean",
    "SumLoss",
    "Unpool",
]
