"""Builders of armillary's layers for the worker ``timer.py``."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from armillary.groups import cyclic, dihedral
from armillary.harmonics import SHT, InverseSHT
from armillary.models import GroupResNet
from armillary.nn import DiscoConv, DiscoConvTranspose, PiecewiseLinear, SO3Conv, fold
from armillary.spaces import Equiangular, GaussLegendre, OrientedGrid, grid_from_dict


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


def build_so3(layer: dict[str, Any]) -> nn.Module:
    """A convolution on SO(3) with the default local filter."""
    b, channels = layer["bandlimit"], layer["channels"]
    space = OrientedGrid(Equiangular(layer["nlat"], 2 * b), 2 * b)
    return SO3Conv(channels, channels, space, space, bias=False)


def build_resnet(net: dict[str, Any]) -> GroupResNet:
    """A residual network over a point group."""
    group = (dihedral if net["reflections"] else cyclic)(net["turns"])
    return GroupResNet(group, net["widths"], net["depth"], net["in_channels"], net["classes"])


def build_folded(net: dict[str, Any]) -> nn.Module:
    """That network as stock modules; ``facts`` tells how far its output is from the network's, relative to it.

    Running statistics are first taken from a random batch, so that normalisation does something.
    """
    network = build_resnet(net)
    x = torch.randn(2, net["in_channels"], 32, 32)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network(x)
        network.eval()
        folded, wanted = fold(network, x), network(x)
        vars(folded)["facts"] = {"difference": float((folded(x) - wanted).abs().max() / wanted.abs().max())}
    return folded


BUILDERS = {
    "disco": build_disco,
    "sht": build_sht,
    "so3": build_so3,
    "group resnet": build_resnet,
    "folded": build_folded,
}
