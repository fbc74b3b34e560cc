"""Layers, losses and metrics: ordinary modules on plain tensors, built with the space the data lies on."""

from armillary.nn.cutoff import rings
from armillary.nn.disc_mask import DiscMask
from armillary.nn.disco import DiscoConv, DiscoConvTranspose
from armillary.nn.disco_so3 import DiscoLift, DiscoSO3Conv
from armillary.nn.disco_steerable import SteerableDiscoConv
from armillary.nn.dropout import FieldDropout
from armillary.nn.edge_bridge import linear_paths, load_path_weights, path_weights
from armillary.nn.edge_frames import edge_frames
from armillary.nn.edge_linear import EdgeLinear
from armillary.nn.edge_orders import OrderGate, OrderLinear
from armillary.nn.edge_product import EdgeProduct
from armillary.nn.edge_rotation import EdgeRotation
from armillary.nn.energies import EnergyForces, EnergyForcesLoss, EnergyForcesMetrics, EnergyTargets
from armillary.nn.fields import FieldConv, FieldPointwise
from armillary.nn.fold import Foldable, fold
from armillary.nn.gate import Gate
from armillary.nn.gcnn import GroupConv, LiftConv
from armillary.nn.gcnn_filters import HarmonicFilters, PixelFilters, PlanarFilters
from armillary.nn.gcnn_pooling import GroupBatchNorm, GroupPool, GroupRestrict, PlaneGlobalPool, PlanePool
from armillary.nn.harmonic import HarmonicConv
from armillary.nn.harmonic_fields import HarmonicSequential
from armillary.nn.harmonic_layers import MagnitudeBatchNorm, MagnitudeReLU, Magnitudes
from armillary.nn.harmonic_pooling import BlurPool, ImageMeanPool
from armillary.nn.homogeneous import HomogeneousConv, SpectralConv
from armillary.nn.image_input import ImageInput
from armillary.nn.irreps_dropout import IrrepsDropout
from armillary.nn.irreps_linear import IrrepsLinear
from armillary.nn.irreps_norms import IrrepsBatchNorm, IrrepsLayerNorm, IrrepsNorm
from armillary.nn.lift import LiftProject, SpinPointwise
from armillary.nn.lift_rotation import RotationPointwise
from armillary.nn.linear import PointwiseLinear
from armillary.nn.losses import CrossEntropyLoss, DiceLoss, GradientLoss, L1Loss, L2Loss, SumLoss
from armillary.nn.metrics import ClassificationMetrics, Metrics, RegressionMetrics, SegmentationMetrics
from armillary.nn.nearest import NearestWeights
from armillary.nn.needlet import NeedletShrinkage, SphereNeedletConv
from armillary.nn.needlet_so3 import NeedletInvariants, NeedletLift, NeedletProject, SO3NeedletConv
from armillary.nn.nonlinearities import Pointwise
from armillary.nn.norms import SphereBatchNorm, SphereGroupNorm, SphereInstanceNorm, SphereLayerNorm
from armillary.nn.orbital import OrbitalConv
from armillary.nn.points import PointConv, neighbour_table
from armillary.nn.pooling import OrientationMax, OrientationMean, Pool, SphereMax, SphereMean, Unpool
from armillary.nn.radial import BesselBasis, CosineCutoff, GaussianSmearing, PolynomialCutoff
from armillary.nn.se3_bridge import group_form, tensor_field
from armillary.nn.se3_conv import SE3GroupConv
from armillary.nn.se3_norm import SignalBatchNorm
from armillary.nn.se3_pointwise import NormReLU, RotationMLP
from armillary.nn.se3_separable import SE3SeparableConv
from armillary.nn.so3_conv import S2Conv, SO3Conv, SO3ToS2Conv
from armillary.nn.so3_kernels import LocalKernel, SpectralKernel
from armillary.nn.so3_products import S2Product, SO3Product, SO3ToS2Product
from armillary.nn.so3_samples import SO3Samples
from armillary.nn.soft_argmax import AxisL1Loss, SoftArgmax
from armillary.nn.sphere_pointwise import SpherePointwise
from armillary.nn.spin_conv import SpinConv
from armillary.nn.spin_gate import SpinGate
from armillary.nn.spin_layers import SpinActivation, SpinDropout, SpinInvariants, SpinLinear
from armillary.nn.spin_norm import SpinBatchNorm
from armillary.nn.tensor_product import ChannelwiseProduct, TensorProduct
from armillary.nn.warp import WarpImage, sample_image
from armillary.nn.warp_padding import WarpConv2d, WarpPad, with_warp_padding
from armillary.ops.circular import CircularHarmonics
from armillary.ops.filters import CustomBasis, FilterBasis, FourierAzimuth, PiecewiseLinear, Zernike

__all__ = [
    "AxisL1Loss",
    "BesselBasis",
    "BlurPool",
    "ChannelwiseProduct",
    "CircularHarmonics",
    "ClassificationMetrics",
    "CosineCutoff",
    "CrossEntropyLoss",
    "CustomBasis",
    "DiceLoss",
    "DiscMask",
    "DiscoConv",
    "DiscoConvTranspose",
    "DiscoLift",
    "DiscoSO3Conv",
    "EdgeLinear",
    "EdgeProduct",
    "EdgeRotation",
    "EnergyForces",
    "EnergyForcesLoss",
    "EnergyForcesMetrics",
    "EnergyTargets",
    "FieldConv",
    "FieldDropout",
    "FieldPointwise",
    "FilterBasis",
    "Foldable",
    "FourierAzimuth",
    "Gate",
    "GaussianSmearing",
    "GradientLoss",
    "GroupBatchNorm",
    "GroupConv",
    "GroupPool",
    "GroupRestrict",
    "HarmonicConv",
    "HarmonicFilters",
    "HarmonicSequential",
    "HomogeneousConv",
    "ImageInput",
    "ImageMeanPool",
    "IrrepsBatchNorm",
    "IrrepsDropout",
    "IrrepsLayerNorm",
    "IrrepsLinear",
    "IrrepsNorm",
    "L1Loss",
    "L2Loss",
    "LiftConv",
    "LiftProject",
    "LocalKernel",
    "MagnitudeBatchNorm",
    "MagnitudeReLU",
    "Magnitudes",
    "Metrics",
    "NearestWeights",
    "NeedletInvariants",
    "NeedletLift",
    "NeedletProject",
    "NeedletShrinkage",
    "NormReLU",
    "OrbitalConv",
    "OrderGate",
    "OrderLinear",
    "OrientationMax",
    "OrientationMean",
    "PiecewiseLinear",
    "PixelFilters",
    "PlanarFilters",
    "PlaneGlobalPool",
    "PlanePool",
    "PointConv",
    "Pointwise",
    "PointwiseLinear",
    "PolynomialCutoff",
    "Pool",
    "RegressionMetrics",
    "RotationMLP",
    "RotationPointwise",
    "S2Conv",
    "S2Product",
    "SE3GroupConv",
    "SE3SeparableConv",
    "SO3Conv",
    "SO3NeedletConv",
    "SO3Product",
    "SO3Samples",
    "SO3ToS2Conv",
    "SO3ToS2Product",
    "SegmentationMetrics",
    "SignalBatchNorm",
    "SoftArgmax",
    "SpectralConv",
    "SpectralKernel",
    "SphereBatchNorm",
    "SphereGroupNorm",
    "SphereInstanceNorm",
    "SphereLayerNorm",
    "SphereMax",
    "SphereMean",
    "SphereNeedletConv",
    "SpherePointwise",
    "SpinActivation",
    "SpinBatchNorm",
    "SpinConv",
    "SpinDropout",
    "SpinGate",
    "SpinInvariants",
    "SpinLinear",
    "SpinPointwise",
    "SteerableDiscoConv",
    "SumLoss",
    "TensorProduct",
    "Unpool",
    "WarpConv2d",
    "WarpImage",
    "WarpPad",
    "Zernike",
    "edge_frames",
    "fold",
    "group_form",
    "linear_paths",
    "load_path_weights",
    "neighbour_table",
    "path_weights",
    "rings",
    "sample_image",
    "tensor_field",
    "with_warp_padding",
]
