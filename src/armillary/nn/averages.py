"""Averages over the sphere by quadrature: what norms, pooling and losses share.

Shapes: B batch, C channels, G orientations (only on an ``OrientedGrid``), H rings, W longitudes. Every point of a ring
has the same quadrature weight, so an average is a plain mean along the ring (and over orientations and whatever else is
averaged) followed by a weighted sum over rings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from armillary.spaces import ImageGrid, OrientedGrid, SphereGrid

Space = SphereGrid | OrientedGrid


def sphere_of(space: Space) -> SphereGrid:
    """The grid on the sphere under ``space``. Raises: TypeError for anything that is not a space."""
    if isinstance(space, OrientedGrid):
        return space.grid
    if isinstance(space, SphereGrid):
        return space
    raise TypeError(
        f"got {space!r} of type {type(space).__name__}, wanted a SphereGrid or an OrientedGrid: "
        f"pass for example armillary.spaces.Equiangular(64)."
    )


def mean_weights(space: Space | ImageGrid) -> Tensor:
    """Weights of rings, or rows of pixels, that sum to 1, (H, 1), float64: they broadcast against ``(..., H, W)``."""
    if isinstance(space, ImageGrid):
        return torch.full((space.height, 1), 1 / space.height, dtype=torch.float64, device="cpu")
    with torch.device("cpu"):
        weights = sphere_of(space).ring_weights
        return (weights / weights.sum())[:, None]


def working_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype sums are taken in: float32 for half precision, otherwise the dtype itself."""
    return torch.promote_types(dtype, torch.float32)


def check_input(x: Tensor, space: Space, who: str, channels: int | None = None) -> None:
    """Raise a ValueError that says what came, what was wanted and the fix, unless x is ``(B, C, *space.shape)``."""
    space.check_field(x, who)
    wanted = 2 + len(space.shape)
    if x.ndim != wanted:
        raise ValueError(
            f"x has {x.ndim} dimensions, shape {tuple(x.shape)}; {who} wants {wanted}, (batch, channels, "
            f"{', '.join(map(str, space.shape))}): add the missing dimension with unsqueeze, or build with the "
            f"space that x lies on."
        )
    if channels is not None and x.shape[1] != channels:
        raise ValueError(
            f"x has {x.shape[1]} channels in dim 1, {who} was built for {channels}: "
            f"pass channels={x.shape[1]} or change the layer before it."
        )


def average(x: Tensor, weights_H1: Tensor, dims: Sequence[int]) -> Tensor:
    """The mean over ``dims`` (non-negative; the ring dimension x.ndim - 2 among them), weighted along rings.

    Keeps the averaged dimensions with size 1. ``weights_H1`` sum to 1, in the dtype of x.
    """
    others = [d for d in dims if d != x.ndim - 2]
    rings = x.mean(dim=others, keepdim=True) if others else x
    return (rings * weights_H1).sum(dim=-2, keepdim=True)


class _Moments(torch.autograd.Function):
    """Mean and variance that keep nothing but x, where the chain of operations would keep two fields of its size."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weights_H1: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        mean = average(x, weights_H1, dims)
        var = average((x - mean).square_(), weights_H1, dims)
        ctx.save_for_backward(x, mean, weights_H1)
        ctx.count = math.prod([x.shape[d] for d in dims if d != x.ndim - 2])
        return mean, var

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        x, mean, weights_H1 = ctx.saved_tensors
        grad_mean, grad_var = grads
        weights = weights_H1 / ctx.count
        return (x - mean) * (2 * grad_var * weights) + grad_mean * weights, None, None


def moments(x: Tensor, weights_H1: Tensor, dims: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Mean and (population) variance over ``dims``, area-weighted, in two passes: the variance is never negative.

    ``mean = Σ w x``, ``var = Σ w (x - mean)²`` with Σ w = 1. There is no Bessel correction: quadrature weights have no
    natural number of samples, and the population variance is the one that tends to ∫(f - mean)² dω/4π.
    """
    return _Moments.apply(x, weights_H1, tuple(dims))


class _Normalisation(torch.autograd.Function):
    """``(x - mean)/√(var + eps) · weight + bias`` that keeps nothing of the size of x but x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        ctx.save_for_backward(x, mean, var, weight)
        ctx.eps = eps
        return (x - mean).mul_(torch.rsqrt(var + eps) * weight).add_(bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        x, mean, var, weight = ctx.saved_tensors
        inverse = torch.rsqrt(var + ctx.eps)
        # sums over all that mean, weight and bias broadcast over, first where the finer of them wants them
        finer = [d for d in range(x.ndim) if mean.shape[d] == 1 and weight.shape[d] == 1]
        sums = grad.sum(finer, keepdim=True)
        products = ((x - mean) * grad).sum(finer, keepdim=True)
        grad_mean = (-sums * inverse * weight).sum_to_size(mean.shape)
        grad_var = (products * weight * (-0.5 * inverse**3)).sum_to_size(var.shape)
        grad_weight = (products * inverse).sum_to_size(weight.shape)
        return grad * (inverse * weight), grad_mean, grad_var, grad_weight, sums.sum_to_size(weight.shape), None


def normalised(x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """``(x - mean)/√(var + eps) · weight + bias``, all four of them broadcast against x."""
    return _Normalisation.apply(x, mean, var, weight, bias, eps)
