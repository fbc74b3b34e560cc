"""Layers, losses and metrics: ordinary modules on plain tensors, built with the space the data lies on."""

from armillary.nn.disco import DiscoConv, DiscoConvTranspose, rings
from armillary.nn.disco_so3 import DiscoLift, DiscoSO3Conv
from armillary.nn.dropout import FieldDropout
from armillary.nn.fold import Foldable, fold
from armillary.nn.gcnn import GroupConv, LiftConv
from armillary.nn.gcnn_filters import HarmonicFilters, PixelFilters, PlanarFilters
from armillary.nn.gcnn_pooling import GroupBatchNorm, GroupPool, PlaneGlobalPool, PlanePool
from armillary.nn.linear import PointwiseLinear
from armillary.nn.losses import CrossEntropyLoss, DiceLoss, GradientLoss, L1Loss, L2Loss, SumLoss
from armillary.nn.metrics import ClassificationMetrics, Metrics, RegressionMetrics, SegmentationMetrics
from armillary.nn.nonlinearities import Pointwise
from armillary.nn.norms import SphereBatchNorm, SphereGroupNorm, SphereInstanceNorm, SphereLayerNorm
from armillary.nn.pooling import OrientationMax, OrientationMean, Pool, SphereMax, SphereMean, Unpool
from armillary.ops.filters import CustomBasis, FilterBasis, FourierAzimuth, PiecewiseLinear, Zernike

__all__ = [
    "ClassificationMetrics",
    "CrossEntropyLoss",
    "CustomBasis",
    "DiceLoss",
    "DiscoConv",
    "DiscoConvTranspose",
    "DiscoLift",
    "DiscoSO3Conv",
    "FieldDropout",
    "FilterBasis",
    "Foldable",
    "FourierAzimuth",
    "GradientLoss",
    "GroupBatchNorm",
    "GroupConv",
    "GroupPool",
    "HarmonicFilters",
    "L1Loss",
    "L2Loss",
    "LiftConv",
    "Metrics",
    "OrientationMax",
    "OrientationMean",
    "PiecewiseLinear",
    "PixelFilters",
    "PlanarFilters",
    "PlaneGlobalPool",
    "PlanePool",
    "Pointwise",
    "PointwiseLinear",
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
    "Zernike",
    "fold",
    "rings",
]
