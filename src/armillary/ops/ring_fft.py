"""Fourier transforms along rings that keep the lowest orders only, with derivatives as cheap as themselves.

    ring_analysis:    y_m = s_m Σ_q x_q e^{-imφ_q},                     φ_q = 2πq/n, m = 0..M-1
    ring_synthesis:   x_q = Σ_m s_m (2 - δ_m0) Re(y_m e^{imφ_q})

The factors s_m are 1, or where ``weighted`` such that each is the adjoint of the other unweighted: 2 - δ_m0 in the
analysis, 1/(2 - δ_m0) in the synthesis. torch differentiates its own real transforms by complex ones of full length.
"""

from __future__ import annotations

import torch
from torch import Tensor


@torch.library.custom_op("armillary::ring_analysis", mutates_args=())
def ring_analysis(x: Tensor, orders: int, weighted: bool) -> Tensor:
    """Shapes: x (..., n) real, float32 or float64 → (..., orders) complex, orders ≤ (n + 1)/2."""
    y = torch.fft.rfft(x, dim=-1)[..., :orders]
    if weighted:
        y[..., 1:] *= 2
    return y


@torch.library.custom_op("armillary::ring_synthesis", mutates_args=())
def ring_synthesis(y: Tensor, n: int, weighted: bool) -> Tensor:
    """Shapes: y (..., orders) complex, orders ≤ (n + 1)/2 → (..., n) real. The imaginary part of y_0 does not enter."""
    if weighted:
        y = y.clone()
        y[..., 1:] *= 0.5
    return torch.fft.irfft(y, n=n, dim=-1, norm="forward")


@ring_analysis.register_fake
def _(x: Tensor, orders: int, weighted: bool) -> Tensor:
    return x.new_empty(*x.shape[:-1], x.shape[-1] // 2 + 1, dtype=x.dtype.to_complex())[..., :orders]


@ring_synthesis.register_fake
def _(y: Tensor, n: int, weighted: bool) -> Tensor:
    return y.new_empty(*y.shape[:-1], n, dtype=y.dtype.to_real())


def _analysis_setup(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    x, _, ctx.weighted = inputs
    ctx.n = x.shape[-1]


def _analysis_backward(ctx, grad):  # type: ignore[no-untyped-def]
    return ring_synthesis(grad, ctx.n, not ctx.weighted), None, None


def _synthesis_setup(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    y, _, ctx.weighted = inputs
    ctx.orders = y.shape[-1]


def _synthesis_backward(ctx, grad):  # type: ignore[no-untyped-def]
    return ring_analysis(grad, ctx.orders, not ctx.weighted), None, None


ring_analysis.register_autograd(_analysis_backward, setup_context=_analysis_setup)
ring_synthesis.register_autograd(_synthesis_backward, setup_context=_synthesis_setup)
