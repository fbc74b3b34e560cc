"""The contraction of a DISCO layer, as one ``torch.library`` operator with its two adjoints.

    y[b, o, j, q] = Σ_{c, k} w[o, c, k] Σ_{i, p} Ψ_j[r, k, i, p] x[b, c, i, p + t·stride],     q = t·n_phases + r

The stencil is stored once per output latitude j, as a rectangle of rings i and longitudes p (indices wrap), for each of
the ``n_phases`` output longitudes after which the pattern repeats. ``values`` is the concatenation of the blocks Ψ_j,
each (n_phases, K, rings, width) in row-major order; ``blocks`` (nlat_out, 5) on the CPU holds (first ring, rings, first
column, width, offset into values).

The three operators are each bilinear, and each other's derivatives, so gradients of every order exist. The functions
named ``*_reference`` are plain torch, run a latitude at a time (the K-fold intermediate of the whole field never
exists), and serve every device and dtype; on the CPU, float32 and float64 go to the compiled kernels of
``ops.disco_cpu``.

Shape legend: B batch, C input channels, O output channels, K basis functions, R rings, W width, P phases, T repeats.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class _Block(NamedTuple):
    latitude: int
    ring: int
    rings: int
    column: int
    width: int
    kernel: Tensor  # (P·K, R, W)


def _blocks(values: Tensor, blocks: Tensor, n_functions: int, n_phases: int) -> Iterator[_Block]:
    for latitude, (ring, rings, column, width, offset) in enumerate(blocks.tolist()):
        size = n_phases * n_functions * rings * width
        kernel = values[offset : offset + size].view(n_phases * n_functions, rings, width)
        yield _Block(latitude, ring, rings, column, width, kernel)


def _pattern(nlon_in: int, nlon_out: int) -> tuple[int, int, int]:
    """(repeats T, phases P, stride) of output longitudes over input longitudes."""
    repeats = math.gcd(nlon_in, nlon_out)
    return repeats, nlon_out // repeats, nlon_in // repeats


def _window(x: Tensor, block: _Block, length: int) -> Tensor:
    """The rings of a block with ``length`` longitudes from its first column, wrapped: (B·C, R, length)."""
    rows = x[:, :, block.ring : block.ring + block.rings].flatten(0, 1)
    nlon = x.shape[-1]
    start = block.column % nlon
    pieces, have = [], 0
    while have < length:
        piece = rows[..., start : start + length - have]
        pieces.append(piece)
        have += piece.shape[-1]
        start = 0
    return torch.cat(pieces, dim=-1)


def _correlate(x: Tensor, block: _Block, repeats: int, stride: int) -> Tensor:
    """Σ_{i,p} Ψ[r, k, i, p] x[i, p + t·stride]: (B·C, P·K, T)."""
    return F.conv1d(_window(x, block, stride * (repeats - 1) + block.width), block.kernel, stride=stride)


def _grouped(weight: Tensor, groups: int) -> Tensor:
    """(O, C/G, K) → (G, O/G, C/G·K)."""
    return weight.reshape(groups, weight.shape[0] // groups, -1)


def disco_reference(x: Tensor, weight: Tensor, values: Tensor, blocks: Tensor, nlon_out: int, groups: int) -> Tensor:
    """``armillary::disco``: contract x (B, C, nlat_in, nlon_in) with the stencil and the weight (O, C/groups, K):
    (B, O, nlat_out, nlon_out).

    ``values`` and ``weight`` must have the dtype and device of x; see the top of this file for their layout.
    """
    batch, channels, _, nlon_in = x.shape
    out_channels, _, n_functions = weight.shape
    repeats, phases, stride = _pattern(nlon_in, nlon_out)
    mixing = _grouped(weight, groups)
    y = x.new_empty(batch, groups, out_channels // groups, len(blocks), repeats, phases)
    for block in _blocks(values, blocks, n_functions, phases):
        z = _correlate(x, block, repeats, stride)
        z = z.view(batch, groups, channels // groups, phases, n_functions, repeats)
        z = z.permute(0, 1, 2, 4, 5, 3).reshape(batch, groups, channels // groups * n_functions, repeats * phases)
        y[:, :, :, block.latitude] = (mixing @ z).view(batch, groups, out_channels // groups, repeats, phases)
    return y.view(batch, out_channels, len(blocks), nlon_out)


def disco_grad_input_reference(
    grad: Tensor, weight: Tensor, values: Tensor, blocks: Tensor, nlat_in: int, nlon_in: int, groups: int
) -> Tensor:
    """``armillary::disco_grad_input``: the adjoint of ``disco`` in x: (B, O, nlat_out, nlon_out) → (B, C, nlat_in,
    nlon_in)."""
    batch, out_channels, _, nlon_out = grad.shape
    n_functions = weight.shape[2]
    channels = weight.shape[1] * groups
    repeats, phases, stride = _pattern(nlon_in, nlon_out)
    mixing = _grouped(weight, groups).mT
    gx = grad.new_zeros(batch * channels, nlat_in, nlon_in)
    for block in _blocks(values, blocks, n_functions, phases):
        gy = grad[:, :, block.latitude].reshape(batch, groups, out_channels // groups, nlon_out)
        gz = (mixing @ gy).view(batch, groups, channels // groups, n_functions, repeats, phases)
        gz = gz.permute(0, 1, 2, 5, 3, 4).reshape(batch * channels, phases * n_functions, repeats)
        window = F.conv_transpose1d(gz, block.kernel, stride=stride)
        rows = gx[:, block.ring : block.ring + block.rings]
        start, done = block.column % nlon_in, 0
        while done < window.shape[-1]:
            piece = window[..., done : done + nlon_in - start]
            rows[..., start : start + piece.shape[-1]] += piece
            done, start = done + piece.shape[-1], 0
    return gx.view(batch, channels, nlat_in, nlon_in)


def disco_grad_weight_reference(
    x: Tensor, grad: Tensor, values: Tensor, blocks: Tensor, n_functions: int, groups: int
) -> Tensor:
    """``armillary::disco_grad_weight``: the adjoint of ``disco`` in the weight: x and grad → (O, C/groups, K)."""
    batch, channels, _, nlon_in = x.shape
    out_channels, nlon_out = grad.shape[1], grad.shape[3]
    repeats, phases, stride = _pattern(nlon_in, nlon_out)
    gw = x.new_zeros(groups, out_channels // groups, channels // groups * n_functions)
    for block in _blocks(values, blocks, n_functions, phases):
        z = _correlate(x, block, repeats, stride)
        z = z.view(batch, groups, channels // groups, phases, n_functions, repeats)
        z = z.permute(1, 2, 4, 0, 5, 3).reshape(groups, channels // groups * n_functions, batch * nlon_out)
        gy = grad[:, :, block.latitude].reshape(batch, groups, out_channels // groups, nlon_out).permute(1, 2, 0, 3)
        gw += gy.reshape(groups, out_channels // groups, batch * nlon_out) @ z.mT
    return gw.view(out_channels, channels // groups, n_functions)


disco = torch.library.custom_op("armillary::disco", disco_reference, mutates_args=())
disco_grad_input = torch.library.custom_op("armillary::disco_grad_input", disco_grad_input_reference, mutates_args=())
disco_grad_weight = torch.library.custom_op(
    "armillary::disco_grad_weight", disco_grad_weight_reference, mutates_args=()
)

_COMPILED = (torch.float32, torch.float64)


def _compiled(x: Tensor) -> bool:
    """Whether the compiled kernels take it: an empty batch goes to the reference."""
    return x.dtype in _COMPILED and x.numel() > 0


@disco.register_kernel("cpu")
def _(x: Tensor, weight: Tensor, values: Tensor, blocks: Tensor, nlon_out: int, groups: int) -> Tensor:
    if not _compiled(x):
        return disco_reference(x, weight, values, blocks, nlon_out, groups)
    from armillary.ops.disco_cpu import disco_cpu  # numba is imported and compiles at first use

    return disco_cpu(x, weight, values, blocks, nlon_out, groups)


@disco_grad_input.register_kernel("cpu")
def _(grad: Tensor, weight: Tensor, values: Tensor, blocks: Tensor, nlat_in: int, nlon_in: int, groups: int) -> Tensor:
    if not _compiled(grad):
        return disco_grad_input_reference(grad, weight, values, blocks, nlat_in, nlon_in, groups)
    from armillary.ops.disco_cpu import disco_grad_input_cpu

    return disco_grad_input_cpu(grad, weight, values, blocks, nlat_in, nlon_in, groups)


@disco_grad_weight.register_kernel("cpu")
def _(x: Tensor, grad: Tensor, values: Tensor, blocks: Tensor, n_functions: int, groups: int) -> Tensor:
    if not _compiled(x):
        return disco_grad_weight_reference(x, grad, values, blocks, n_functions, groups)
    from armillary.ops.disco_cpu import disco_grad_weight_cpu

    return disco_grad_weight_cpu(x, grad, values, blocks, n_functions, groups)


@disco.register_fake
def _(x: Tensor, weight: Tensor, values: Tensor, blocks: Tensor, nlon_out: int, groups: int) -> Tensor:
    return x.new_empty(x.shape[0], weight.shape[0], blocks.shape[0], nlon_out)


@disco_grad_input.register_fake
def _(grad: Tensor, weight: Tensor, values: Tensor, blocks: Tensor, nlat_in: int, nlon_in: int, groups: int) -> Tensor:
    return grad.new_empty(grad.shape[0], weight.shape[1] * groups, nlat_in, nlon_in)


@disco_grad_weight.register_fake
def _(x: Tensor, grad: Tensor, values: Tensor, blocks: Tensor, n_functions: int, groups: int) -> Tensor:
    return x.new_empty(grad.shape[1], x.shape[1] // groups, n_functions)


def _disco_setup(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    x, weight, values, blocks, _, groups = inputs
    ctx.save_for_backward(x, weight, values, blocks)
    ctx.groups = groups


def _disco_backward(ctx, grad):  # type: ignore[no-untyped-def]
    x, weight, values, blocks = ctx.saved_tensors
    gx = gw = None
    if ctx.needs_input_grad[0]:
        gx = disco_grad_input(grad, weight, values, blocks, x.shape[2], x.shape[3], ctx.groups)
    if ctx.needs_input_grad[1]:
        gw = disco_grad_weight(x, grad, values, blocks, weight.shape[2], ctx.groups)
    return gx, gw, None, None, None, None


def _grad_input_setup(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    grad, weight, values, blocks, _, _, groups = inputs
    ctx.save_for_backward(grad, weight, values, blocks)
    ctx.groups = groups


def _grad_input_backward(ctx, h):  # type: ignore[no-untyped-def]
    grad, weight, values, blocks = ctx.saved_tensors
    gg = gw = None
    if ctx.needs_input_grad[0]:
        gg = disco(h, weight, values, blocks, grad.shape[3], ctx.groups)
    if ctx.needs_input_grad[1]:
        gw = disco_grad_weight(h, grad, values, blocks, weight.shape[2], ctx.groups)
    return gg, gw, None, None, None, None, None


def _grad_weight_setup(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    x, grad, values, blocks, _, groups = inputs
    ctx.save_for_backward(x, grad, values, blocks)
    ctx.groups = groups


def _grad_weight_backward(ctx, h):  # type: ignore[no-untyped-def]
    x, grad, values, blocks = ctx.saved_tensors
    gx = gg = None
    if ctx.needs_input_grad[0]:
        gx = disco_grad_input(grad, h, values, blocks, x.shape[2], x.shape[3], ctx.groups)
    if ctx.needs_input_grad[1]:
        gg = disco(x, h, values, blocks, grad.shape[3], ctx.groups)
    return gx, gg, None, None, None, None


disco.register_autograd(_disco_backward, setup_context=_disco_setup)
disco_grad_input.register_autograd(_grad_input_backward, setup_context=_grad_input_setup)
disco_grad_weight.register_autograd(_grad_weight_backward, setup_context=_grad_weight_setup)
