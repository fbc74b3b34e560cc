"""Transforms of fields: spherical harmonics, exact rotation, resampling."""

from armillary.groups import random_rotation
from armillary.harmonics.resample import Resample, resample
from armillary.harmonics.rotation import rotate, rotate_coefficients
from armillary.harmonics.sht import SHT, InverseSHT
from armillary.harmonics.synthesis import evaluate, random_field

__all__ = [
    "SHT",
    "InverseSHT",
    "Resample",
    "evaluate",
    "random_field",
    "random_rotation",
    "resample",
    "rotate",
    "rotate_coefficients",
]
