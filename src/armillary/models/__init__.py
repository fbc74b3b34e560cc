"""The papers' networks, and one configuration that builds any of them."""

from armillary.models.atoms import AtomsConfig, AtomsModelConfig, build_atoms_model
from armillary.models.config import ModelConfig, build_model
from armillary.models.egnn import EGNN
from armillary.models.forces import ConservativeForces, DirectForces
from armillary.models.gcnn import AllCNNC, GroupCNN, GroupResidualBlock, GroupResNet, RotationPoolingCNN, equal_width
from armillary.models.harmonic import HarmonicClassifier, PlainClassifier
from armillary.models.homogeneous import HomogeneousNet, OrbitalNet, SubsetNet
from armillary.models.invariant import InvariantNetwork
from armillary.models.molecules import AtomSum
from armillary.models.needlets import NeedletRegressor, SO3NeedletNet, SphereNeedletNet
from armillary.models.plane import PlanarClassifier, PlanarUNet
from armillary.models.points import PlainPointClassifier, SteerablePointClassifier
from armillary.models.s2cnn import S2CNNClassifier, S2CNNSegmenter
from armillary.models.scn import SCN
from armillary.models.se3 import SE3Classifier, SE3Segmenter
from armillary.models.seconv import SEConv
from armillary.models.segnn import SEGNN, SteerableMLP
from armillary.models.sphere import DiscoClassifier, DiscoUNet
from armillary.models.spin import SpinNet
from armillary.models.steerable import SteerableDiscoClassifier, SteerableDiscoUNet
from armillary.models.unet import LayerFactory, ResidualClassifier, ResidualUNet
from armillary.models.warped import FullyConnectedPose, PlanarPose, WarpedPose

__all__ = [
    "EGNN",
    "SCN",
    "SEGNN",
    "AllCNNC",
    "AtomSum",
    "AtomsConfig",
    "AtomsModelConfig",
    "ConservativeForces",
    "DirectForces",
    "DiscoClassifier",
    "DiscoUNet",
    "FullyConnectedPose",
    "GroupCNN",
    "GroupResNet",
    "GroupResidualBlock",
    "HarmonicClassifier",
    "HomogeneousNet",
    "InvariantNetwork",
    "LayerFactory",
    "ModelConfig",
    "NeedletRegressor",
    "OrbitalNet",
    "PlainClassifier",
    "PlainPointClassifier",
    "PlanarClassifier",
    "PlanarPose",
    "PlanarUNet",
    "ResidualClassifier",
    "ResidualUNet",
    "RotationPoolingCNN",
    "S2CNNClassifier",
    "S2CNNSegmenter",
    "SE3Classifier",
    "SE3Segmenter",
    "SEConv",
    "SO3NeedletNet",
    "SphereNeedletNet",
    "SpinNet",
    "SteerableDiscoClassifier",
    "SteerableDiscoUNet",
    "SteerableMLP",
    "SteerablePointClassifier",
    "SubsetNet",
    "WarpedPose",
    "build_atoms_model",
    "build_model",
    "equal_width",
]
