"""Fourier transforms along rings that keep the lowest orders only, with derivatives as cheap as themselves.

    ring_analysis:    y_jm = q_j s_m Σ_i x_ji e^{-imφ_i},                     φ_i = 2πi/n, m = 0..M-1
    ring_synthesis:   x_ji = q_j Σ_m s_m (2 - δ_m0) Re(y_jm e^{imφ_i})

q_j are factors of the rings j, such as quadrature weights. s_m are 1, or where ``weighted`` such that each is the
adjoint of the other unweighted: 2 - δ_m0 in the analysis, 1/(2 - δ_m0) in the synthesis. torch differentiates its own
real transforms by complex ones of full length.
"""

from __future__ import annotations

import torch
from torch import Tensor

from armillary.ops.memory import empty


@torch.library.custom_op("armillary::ring_analysis", mutates_args=())
def ring_analysis(x: Tensor, factors: Tensor | None, orders: int, weighted: bool) -> Tensor:
    """Shapes: x (..., J, n) real, float32 or float64, factors (J,) → (..., J, orders) complex, orders ≤ (n + 1)/2."""
    if x.numel() == 0:  # an empty batch, which libraries of transforms refuse
        return x.new_empty(*x.shape[:-1], x.shape[-1] // 2 + 1, dtype=x.dtype.to_complex())[..., :orders]
    y = torch.fft.rfft(x, dim=-1)[..., :orders]
    if factors is not None:
        y *= factors[:, None]
    if weighted:
        y[..., 1:] *= 2
    return y


@torch.library.custom_op("armillary::ring_synthesis", mutates_args=())
def ring_synthesis(y: Tensor, factors: Tensor | None, n: int, weighted: bool) -> Tensor:
    """Shapes: y (..., J, orders) complex, factors (J,) → (..., J, n) real. The imaginary part of y_0 does not enter."""
    if y.numel() == 0:
        return y.new_empty(*y.shape[:-1], n, dtype=y.dtype.to_real())
    parts, orders = torch.view_as_real(y), y.shape[-1]
    padded = empty(parts, *y.shape[:-1], n // 2 + 1, 2)  # left to torch, the zeros would cost as many fresh small pages
    padded[..., orders:, :] = 0
    if factors is None:
        padded[..., :orders, :] = parts
    else:
        torch.mul(parts, factors[:, None, None], out=padded[..., :orders, :])
    if weighted:
        padded[..., 1:orders, :] *= 0.5
    return torch.fft.irfft(torch.view_as_complex(padded), n=n, dim=-1, norm="forward")


@ring_analysis.register_fake
def _(x: Tensor, factors: Tensor | None, orders: int, weighted: bool) -> Tensor:
    return x.new_empty(*x.shape[:-1], x.shape[-1] // 2 + 1, dtype=x.dtype.to_complex())[..., :orders]


@ring_synthesis.register_fake
def _(y: Tensor, factors: Tensor | None, n: int, weighted: bool) -> Tensor:
    return y.new_empty(*y.shape[:-1], n, dtype=y.dtype.to_real())


def _analysis_setup(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    x, factors, _, ctx.weighted = inputs
    ctx.save_for_backward(factors)
    ctx.n = x.shape[-1]


def _analysis_backward(ctx, grad):  # type: ignore[no-untyped-def]
    (factors,) = ctx.saved_tensors
    return ring_synthesis(grad, factors, ctx.n, not ctx.weighted), None, None, None


def _synthesis_setup(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    y, factors, _, ctx.weighted = inputs
    ctx.save_for_backward(factors)
    ctx.orders = y.shape[-1]


def _synthesis_backward(ctx, grad):  # type: ignore[no-untyped-def]
    (factors,) = ctx.saved_tensors
    return ring_analysis(grad, factors, ctx.orders, not ctx.weighted), None, None, None


ring_analysis.register_autograd(_analysis_backward, setup_context=_analysis_setup)
ring_synthesis.register_autograd(_synthesis_backward, setup_context=_synthesis_setup)
