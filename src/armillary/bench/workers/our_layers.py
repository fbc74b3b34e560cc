"""Builders of armillary's layers for the worker ``timer.py``."""

from __future__ import annotations

from typing import Any

from torch import nn

from armillary.harmonics import SHT, InverseSHT
from armillary.nn import DiscoConv, DiscoConvTranspose, PiecewiseLinear
from armillary.spaces import GaussLegendre, grid_from_dict


def build_disco(layer: dict[str, Any]) -> nn.Module:
    """A DISCO layer without bias, with the default matched moments."""
    kind = DiscoConvTranspose if layer["transposed"] else DiscoConv
    return kind(
        layer["in_channels"],
        layer["out_channels"],
        grid_from_dict(layer["grid"]),
        grid_from_dict(layer["grid_out"]),
        basis=PiecewiseLinear(layer["n_radial"], layer["n_azimuthal"]),
        cutoff=layer["cutoff"],
        bias=False,
    )


def build_sht(layer: dict[str, Any]) -> nn.Module:
    """A transform of degrees 0..nlat - 1 on Gauss–Legendre rings."""
    kind = InverseSHT if layer["inverse"] else SHT
    return kind(GaussLegendre(layer["nlat"]), lmax=layer["nlat"] - 1)


BUILDERS = {"disco": build_disco, "sht": build_sht}
