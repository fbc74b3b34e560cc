"""The SE(3) convolution of signals as a tensor field network's, and the way back: a change of basis of the kernel.

With 2l + 1 channels of each degree l, a function on SO(3) is a feature of points, and the convolution by a kernel κ on
SE(3) a sum over edges of Clebsch–Gordan products with harmonics. From D^J ⊗ D^j = C (⊕ D^l) Cᵀ,

    W^{jJl}_{(b,o),(n,c),k} = (2l + 1)^{-1/2} Σ_{Ma} C^{Jjl}_{Mab} w^{jJ}_{ockanM}
    w^{jJ}_{ockanM} = Σ_l (2l + 1)^{1/2} Σ_b C^{Jjl}_{Mab} W^{jJl}_{(b,o),(n,c),k}

C is orthogonal, so this is invertible: a network with these channels can compute what convolutions of SE(3) can,
and the other way round.
Source: Poulenard, Ovsjanikov & Guibas 2022, arXiv 2211.15903, in our own normalisation; pinned by
``tests/nn/test_se3_conv.py``.
"""

from __future__ import annotations

import torch

from armillary.groups import SO3Signals, clebsch_gordan_real
from armillary.nn.points import PointConv
from armillary.nn.se3_conv import SE3GroupConv


@torch.no_grad()
def tensor_field(group: SE3GroupConv, band: int | None = None) -> PointConv:
    """The ``PointConv`` of features that is the group form followed by the projection on degrees ≤ ``band``.

    ``band`` defaults to all the degrees there are, that of the input plus ``max_degree``: then nothing is lost, and
    ``group_form`` gives back the kernel. It takes features ``group.signals.degrees`` and has the type of
    ``group.channels_out`` signals; parameters are new tensors, with the type of the group form's.
    Raises: ValueError for band < 0.
    """
    signals = group.signals
    out = SO3Signals(group.channels_out, signals.band + group.max_degree if band is None else band)
    conv = PointConv(signals.degrees, out.degrees, group.cutoff, radial=group.radial, max_degree=group.max_degree)
    conv.to(group.bias)
    kernels = dict(zip(group.pairs, group.kernels, strict=True))
    for weight, (j, J, l) in zip(conv.weights, conv.paths, strict=True):
        C = clebsch_gordan_real(J, j, l).to(weight) * (2 * l + 1) ** -0.5
        weight.copy_(torch.einsum("Mab,ockanM->bonck", C, kernels[j, J]).reshape(weight.shape))
    if conv.bias is not None:
        conv.bias.copy_(group.bias)
    return conv


@torch.no_grad()
def group_form(conv: PointConv, channels_in: int, channels_out: int) -> SE3GroupConv:
    """The convolution of ``channels_in`` to ``channels_out`` signals that is a given ``PointConv``: ``tensor_field``
    backwards.

    Raises: ValueError where the features on either side are not those of so many signals, or where there is no bias.
    """
    signals = _signals(conv, "degrees_in", channels_in)
    out = _signals(conv, "degrees_out", channels_out)
    group = SE3GroupConv(signals, out.channels, conv.cutoff, radial=conv.radial, max_degree=conv.max_degree)
    assert conv.bias is not None  # signals have scalars
    group.to(conv.bias)
    kernels = dict(zip(group.pairs, group.kernels, strict=True))
    for kernel in kernels.values():
        kernel.zero_()
    for weight, (j, J, l) in zip(conv.weights, conv.paths, strict=True):
        C = clebsch_gordan_real(J, j, l).to(weight) * (2 * l + 1) ** 0.5
        parts = weight.reshape(2 * l + 1, out.channels, 2 * j + 1, signals.channels, conv.radial)
        kernels[j, J].add_(torch.einsum("Mab,bonck->ockanM", C, parts))
    group.bias.copy_(conv.bias)
    return group


def _signals(conv: PointConv, side: str, channels: int) -> SO3Signals:
    degrees = getattr(conv, side)
    signals = SO3Signals(channels, max(degrees.degrees))
    if signals.degrees != degrees:
        raise ValueError(f"{side} are {degrees}, wanted those of signals: {signals.degrees}.")
    return signals
