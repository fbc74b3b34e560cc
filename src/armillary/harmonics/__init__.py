"""Transforms of fields: spherical harmonics, functions on SO(3), exact rotation, resampling."""

from armillary.groups import random_rotation
from armillary.harmonics.filter_banks import BumpBank, FilterBank, MeyerBank
from armillary.harmonics.gradient import Gradient, tangent_vectors
from armillary.harmonics.interpolate import Interpolate
from armillary.harmonics.needlets import Band, Needlets, NeedletTransform, SO3Needlets, SphereNeedlets
from armillary.harmonics.resample import Resample, resample
from armillary.harmonics.rotation import rotate, rotate_coefficients
from armillary.harmonics.sht import SHT, InverseSHT
from armillary.harmonics.so3 import (
    ComplexSO3Transform,
    InverseComplexSO3Transform,
    InverseSO3Transform,
    SO3Transform,
)
from armillary.harmonics.so3_blocks import SO3Blocks, full_coefficients, rotate_blocks
from armillary.harmonics.spin import InverseSpinSHT, SpinSHT
from armillary.harmonics.spin_fields import random_spins, rotate_spins, spin_to_wind, wind_to_spin
from armillary.harmonics.synthesis import evaluate, random_field

__all__ = [
    "SHT",
    "Band",
    "BumpBank",
    "ComplexSO3Transform",
    "FilterBank",
    "Gradient",
    "Interpolate",
    "InverseComplexSO3Transform",
    "InverseSHT",
    "InverseSO3Transform",
    "InverseSpinSHT",
    "MeyerBank",
    "NeedletTransform",
    "Needlets",
    "Resample",
    "SO3Blocks",
    "SO3Needlets",
    "SO3Transform",
    "SphereNeedlets",
    "SpinSHT",
    "evaluate",
    "full_coefficients",
    "random_field",
    "random_rotation",
    "random_spins",
    "resample",
    "rotate",
    "rotate_blocks",
    "rotate_coefficients",
    "rotate_spins",
    "spin_to_wind",
    "tangent_vectors",
    "wind_to_spin",
]
