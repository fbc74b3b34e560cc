"""The Legendre stage of the spherical harmonic transform: one matrix product per longitude frequency.

    analysis:   y[b, l, m] = Σ_j P̄_lm(θ_j) x[b, j, m]          synthesis:   y[b, j, m] = Σ_l P̄_lm(θ_j) x[b, l, m]

Rings mirror each other in the equator: degrees with l - m even see the sum of two rings, the others their difference.
``ops.legendre_blocks`` says how the functions are kept or made. On the CPU the operator goes to ``ops.legendre_cpu``;
the plain torch form here serves every other device.

Shape legend: B batch, J rings, H = (J + 1) // 2 rings up to the equator, L degrees, M orders.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from armillary.ops.legendre_blocks import Recurrence, blocks_of, functions_of, parts_of


def legendre_reference(
    x: Tensor, theta: Tensor, nlat: int, lmax: int, synthesis: bool, tables: Sequence[Tensor]
) -> Tensor:
    """``armillary::legendre``: apply the orthonormal Legendre functions of orders m = 0..M-1 at rings that mirror each
    other.

    Shapes: x (B, nlat, M) complex → (B, lmax + 1, M), zero where l < m; with ``synthesis`` x (B, lmax + 1, M), of which
    entries l < m do not enter, → (B, nlat, M). ``theta`` (H,) float64 are the rings from the north pole to the equator.
    ``tables`` is what ``legendre_tables`` makes, in the real dtype and on the device of x, for M = lmax + 1; or empty.
    """
    batch, _, orders = x.shape
    half = len(theta)
    recurrence = None if tables else Recurrence(theta.cpu().numpy(), lmax, orders)
    y = x.new_zeros(batch, nlat if synthesis else lmax + 1, orders)
    for part in parts_of(blocks_of(theta, lmax, orders, len(tables) > 0), 0, orders):
        block, functions = part.block, functions_of(part, recurrence, tables, x.real)
        near = slice(half - block.live, half)
        if not synthesis:
            north, south = x[:, :half, block.orders], x.flip(1)[:, :half, block.orders]
            sums = [north + south, north - south]
            if nlat % 2:
                sums[0][:, -1] = north[:, -1]
            for s in (0, 1):
                y[:, block.m0 + s :: 2, block.orders] = torch.einsum(
                    "bjm,mlj->blm", sums[s][:, near], functions[s].to(x.dtype)
                )
            continue
        sums = []
        for s in (0, 1):
            degrees = x[:, block.m0 + s :: 2, block.orders].clone()
            for n in range(1, block.size):
                degrees[:, :n, n] = 0  # below the order
            sums.append(torch.einsum("blm,mlj->bjm", degrees, functions[s].to(x.dtype)))
        y[:, near, block.orders] = sums[0] + sums[1]
        mirrored = slice(nlat - half, nlat - half + block.live)
        y[:, mirrored, block.orders] = (sums[0] - sums[1]).flip(1)
        if nlat % 2 and block.live:
            y[:, half - 1, block.orders] = sums[0][:, -1]
    return y


legendre = torch.library.custom_op("armillary::legendre", legendre_reference, mutates_args=())


@legendre.register_kernel("cpu")
def _(x: Tensor, theta: Tensor, nlat: int, lmax: int, synthesis: bool, tables: Sequence[Tensor]) -> Tensor:
    from armillary.ops.legendre_cpu import legendre_cpu

    return legendre_cpu(x, theta, nlat, lmax, synthesis, tables)


@legendre.register_fake
def _(x: Tensor, theta: Tensor, nlat: int, lmax: int, synthesis: bool, tables: Sequence[Tensor]) -> Tensor:
    return x.new_empty(x.shape[0], nlat if synthesis else lmax + 1, x.shape[2])


def _setup(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    _, theta, nlat, lmax, synthesis, tables = inputs
    ctx.save_for_backward(theta, *tables)
    ctx.nlat, ctx.lmax, ctx.synthesis = nlat, lmax, synthesis


def _backward(ctx, grad):  # type: ignore[no-untyped-def]
    theta, *tables = ctx.saved_tensors
    gx = legendre(grad, theta, ctx.nlat, ctx.lmax, not ctx.synthesis, tables)
    return gx, None, None, None, None, [None] * len(tables)


legendre.register_autograd(_backward, setup_context=_setup)
