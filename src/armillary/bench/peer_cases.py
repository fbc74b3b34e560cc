"""How a layer of torch-harmonics is the same as one of armillary: grids, cutoffs, bases and weights.

Both compute ``y_o(ω) = Σ_c Σ_k w_ock Σ_i q_i ψ_k x_c(ω_i)``. They differ in

- the quadrature: theirs sums to 1, ours to 4π;
- the scale of ψ_k: ours has ``∫ |ψ_k| dω = 1``; theirs depends on ``basis_norm_mode`` (``normalisation``);
- the cutoff: they widen it by 1e-3 and place the hats by the widened one, so ``theta_cutoff = cutoff/1.001``;
- the hats: ``kernel_shape = (n_r, n_ϕ)`` has radial steps of 2/(n_r + 1) of the cutoff. For odd n_r the nodes are at 0,
  1, 2… steps, which is ``PiecewiseLinear((n_r + 1)/2, n_ϕ)``; for even n_r at ½, 1½… steps. In azimuth they begin at
  -π, ours at 0;
- the grids: their "equiangular" has both poles as rings, "legendre-gauss" is ``GaussLegendre``.

Their transposed layer sums over input points with the quadrature of the input grid and anchors the filter at the input
point: the same definition as ``DiscoConvTranspose``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from armillary.nn import CustomBasis, DiscoConv, DiscoConvTranspose, FilterBasis, PiecewiseLinear
from armillary.spaces import Equiangular, GaussLegendre, SphereGrid

WIDENING = 1.001  # of the cutoff, by torch-harmonics
NORM_MODES = ("none", "geometric", "support", "mean", "nodal", "modal")
Layer = DiscoConv | DiscoConvTranspose


@dataclass(frozen=True)
class PairedBasis:
    """One basis as both libraries name it; ``order[k]`` is our index of their function k."""

    basis: FilterBasis
    kernel_shape: tuple[int, int]
    order: tuple[int, ...]


def hats(n_radial: int, n_azimuthal: int = 1) -> PairedBasis:
    """Radial hats at 0, 1/n, 2/n…, vanishing at the cutoff; with hats in azimuth if ``n_azimuthal`` > 1."""
    shape = (2 * n_radial - 1, n_azimuthal)
    plain = PiecewiseLinear(n_radial, n_azimuthal)
    if n_azimuthal == 1:
        return PairedBasis(plain, shape, tuple(range(n_radial)))
    if n_azimuthal % 2 == 0:
        half = n_azimuthal // 2
        turned = [
            1 + ring * n_azimuthal + (j + half) % n_azimuthal
            for ring in range(n_radial - 1)
            for j in range(n_azimuthal)
        ]
        return PairedBasis(plain, shape, (0, *turned))

    def begin_at_minus_pi(r: Tensor, azimuth: Tensor) -> Tensor:
        return plain.evaluate(r, azimuth + math.pi)

    breaks = tuple(2 * math.pi * (j + 0.5) / n_azimuthal % (2 * math.pi) for j in range(n_azimuthal))
    own = CustomBasis(begin_at_minus_pi, plain.size, False, plain.radial_breaks, breaks)
    return PairedBasis(own, shape, tuple(range(plain.size)))


def half_step_hats(n_functions: int) -> PairedBasis:
    """Their axisymmetric basis for an even number of nodes: hats at ½, 1½… steps of 2/(2n + 1) of the cutoff."""
    step = 2 / (2 * n_functions + 1)

    def function(r: Tensor, azimuth: Tensor) -> Tensor:
        return torch.stack([(1 - (r / step - i - 0.5).abs()).clamp(min=0) for i in range(n_functions)])

    breaks = tuple(b for i in range(n_functions) for b in ((i + 0.5) * step, (i + 1.5) * step) if b < 1 - 1e-9)
    basis = CustomBasis(function, n_functions, True, tuple(sorted({round(b, 12) for b in breaks})))
    return PairedBasis(basis, (2 * n_functions, 1), tuple(range(n_functions)))


def grid_name(grid: SphereGrid) -> str:
    """torch-harmonics' name of a grid. Raises: ValueError where it has no such grid."""
    if isinstance(grid, GaussLegendre):
        return "legendre-gauss"
    if isinstance(grid, Equiangular) and grid.poles:
        return "equiangular"
    raise ValueError(f"torch-harmonics has no {grid}: wanted GaussLegendre or Equiangular(poles=True).")


def describe_layer(
    layer: Layer, paired: PairedBasis, mode: str, x: str, weight: str, grad: str | None = None
) -> dict[str, Any]:
    """The counterpart of an armillary layer, as ``peer_layers.build`` takes it."""
    return {
        "transposed": isinstance(layer, DiscoConvTranspose),
        "fused": False,
        "in_channels": layer.in_channels,
        "out_channels": layer.out_channels,
        "in_shape": list(layer.grid.shape),
        "out_shape": list(layer.grid_out.shape),
        "grid_in": grid_name(layer.grid),
        "grid_out": grid_name(layer.grid_out),
        "kernel_shape": list(paired.kernel_shape),
        "basis_norm_mode": mode,
        "groups": layer.groups,
        "theta_cutoff": layer.cutoff / WIDENING,
        "x": x,
        "weight": weight,
        "grad": grad,
    }


def integrals(basis: FilterBasis, cutoff: float) -> tuple[Tensor, Tensor]:
    """``∫ |ψ_k| dω`` and the area of the support of ψ_k, each (K,) float64."""
    r, azimuth, weight = basis.nodes(cutoff)
    values = basis.evaluate(r, azimuth).abs()
    return values @ weight, (values > 0).double() @ weight


def normalisation(basis: FilterBasis, cutoff: float, mode: str) -> Tensor:
    """c_k with ``w_theirs = c_k w_ours`` for one and the same continuous filter, (K,) in our order.

    ``none`` and ``geometric`` divide by constants; ``support`` by the area of the support and ``mean``, ``nodal``,
    ``modal`` by ``∫ |ψ_k|``, both as the quadrature gives them (averaged over latitudes, or per latitude): the limit is
    used here. ``modal`` is ``nodal`` for axisymmetric functions.
    """
    norm, support = integrals(basis, cutoff)
    if mode == "none":
        return 4 * math.pi / norm
    if mode == "geometric":
        return math.pi * (1 - math.cos(cutoff / WIDENING)) / norm
    if mode == "support":
        return support / norm
    if mode in ("mean", "nodal", "modal"):
        return torch.ones_like(norm)
    raise ValueError(f"got basis_norm_mode {mode!r}, wanted one of {NORM_MODES}.")


def their_weight(layer: Layer, paired: PairedBasis, mode: str) -> Tensor:
    """The weight of torch-harmonics' layer that stands for the same filter, float64."""
    scale = normalisation(paired.basis, layer.cutoff, mode)
    return (layer.weight.detach().double() * scale)[..., list(paired.order)]
