"""Equivariant layers, and what networks of them need."""

from armillary.nn.disco import DiscoConv, DiscoConvTranspose, rings
from armillary.ops.filters import CustomBasis, FilterBasis, FourierAzimuth, PiecewiseLinear, Zernike

__all__ = [
    "CustomBasis",
    "DiscoConv",
    "DiscoConvTranspose",
    "FilterBasis",
    "FourierAzimuth",
    "PiecewiseLinear",
    "Zernike",
    "rings",
]
