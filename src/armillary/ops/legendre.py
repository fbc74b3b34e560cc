"""The Legendre stage of the spherical harmonic transform: one matrix product per longitude frequency.

``y[m, l, b] = Σ_j P̄_lm(θ_j) x[m, j, b]`` (analysis) or its transpose ``y[m, j, b] = Σ_l P̄_lm(θ_j) x[m, l, b]``
(synthesis). With the table in memory this is ``torch.bmm``; where the table, (lmax+1)² · nlat numbers, would not fit,
the operator below makes it anew for a few orders at a time, so that memory stays O(nlat²).
"""

from __future__ import annotations

import torch
from torch import Tensor

from armillary.ops.wigner import legendre_table, wigner_d

_CHUNK_BYTES = 128 * 2**20


def _order_chunk(lmax: int, orders: Tensor, theta: Tensor) -> Tensor:
    """The table of a few ascending, non-negative orders: rows with m > l are skipped, not computed."""
    first = int(orders[0])
    table = torch.zeros(len(orders), lmax + 1, len(theta), dtype=torch.float64)
    steps = wigner_d(
        lmax,
        orders[:, None],
        torch.zeros(1, 1, dtype=torch.long),
        theta[None, :],
        active=lambda l: (slice(0, max(0, min(len(orders), l - first + 1))),),
    )
    for l, d in enumerate(steps):
        if len(d):
            table[: len(d), l] = d * ((2 * l + 1) / (4 * torch.pi)) ** 0.5
    return table


@torch.library.custom_op("armillary::legendre", mutates_args=())
def legendre(x: Tensor, theta: Tensor, lmax: int, synthesis: bool) -> Tensor:
    """Apply the orthonormal Legendre functions of orders m = 0..M-1 without keeping their table.

    Shapes: x (M, nlat, B) → (M, lmax + 1, B), or with ``synthesis`` x (M, lmax + 1, B) → (M, nlat, B); real; theta
    (nlat,) float64. The functions are computed in float64 and cast to the dtype of x.
    """
    count = x.shape[0]
    out = x.new_empty(count, len(theta) if synthesis else lmax + 1, x.shape[2])
    nodes = theta.cpu()
    step = max(1, _CHUNK_BYTES // (8 * (lmax + 1) * len(nodes)))
    for start in range(0, count, step):
        orders = torch.arange(start, min(start + step, count))
        table = _order_chunk(lmax, orders, nodes).to(x)
        part = x[start : start + step]
        out[start : start + step] = torch.bmm(table.mT if synthesis else table, part)
    return out


@legendre.register_fake
def _(x: Tensor, theta: Tensor, lmax: int, synthesis: bool) -> Tensor:
    return x.new_empty(x.shape[0], theta.shape[0] if synthesis else lmax + 1, x.shape[2])


def _setup(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    _, theta, lmax, synthesis = inputs
    ctx.save_for_backward(theta)
    ctx.lmax, ctx.synthesis = lmax, synthesis


def _backward(ctx, grad):  # type: ignore[no-untyped-def]
    (theta,) = ctx.saved_tensors
    return legendre(grad.contiguous(), theta, ctx.lmax, not ctx.synthesis), None, None, None


legendre.register_autograd(_backward, setup_context=_setup)

__all__ = ["legendre", "legendre_table"]
