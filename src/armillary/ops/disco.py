"""The contraction of a DISCO layer, as one ``torch.library`` operator with its adjoint in the weight.

    y[b, o, j, q] = a[o] + Σ_{c, k} w[o, c, k] Σ_e ψ[e, k] x[b, c, ring_e, column_e + t·stride],     q = t·phases + r

``ops.stencils`` says how a stencil is kept. The gradient of the input is the same operator with input and output
swapped: a gather, without races. The gradient of the weight is the second operator; both are bilinear, and each other's
derivatives, so gradients of every order exist.

The functions named ``*_reference`` are plain torch, run a row at a time (the K-fold intermediate of the whole field
never exists), and serve every device and dtype. On the CPU fields go to the compiled kernels of ``ops.disco_cpu``, on a
GPU to those of ``ops.disco_triton``.

Shape legend: B batch, C input channels, O output channels, G groups, K basis functions, E entries of a row, T repeats.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from armillary.ops.stencils import pattern, swapped
from armillary.ops.triton_found import triton_found

_ENTRIES_AT_ONCE = 128  # rows about a pole hold thousands


def _responses(x: Tensor, stencil: Sequence[Tensor], nlon_out: int) -> Iterator[tuple[int, int, Tensor]]:
    """(latitude, phase, Σ_e ψ[e, k] x[b, c, e + t·stride] of shape (B, C, K, T)) for every row of the stencil."""
    values, entries, starts = stencil[:3]
    repeats, phases, stride = pattern(x.shape[3], nlon_out)
    steps = torch.arange(repeats, device=x.device) * stride
    bounds = starts.tolist()
    for row, (first, last) in enumerate(pairwise(bounds)):
        z = x.new_zeros(*x.shape[:2], values.shape[1], repeats)
        for a in range(first, last, _ENTRIES_AT_ONCE):
            b = min(last, a + _ENTRIES_AT_ONCE)
            columns = (entries[a:b, 1, None].to(x.device) + steps) % x.shape[3]
            z += torch.einsum("bcet,ek->bckt", x[:, :, entries[a:b, :1].to(x.device), columns], values[a:b])
        yield row // phases, row % phases, z


def disco_reference(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stencil: Sequence[Tensor],
    nlon_out: int,
    groups: int,
    adjoint: bool,
) -> Tensor:
    """``armillary::disco``: contract x (B, C, nlat_in, nlon_in) with the stencil and the weight (O, C/groups, K), and
    add the bias (O,): (B, O, nlat_out, nlon_out).

    ``weight``, ``bias`` and the values of the stencil must have the dtype and device of x. With ``adjoint`` the stencil
    is taken from its output to its input.
    """
    if adjoint:
        stencil = swapped(stencil)
    _, phases, _ = pattern(x.shape[3], nlon_out)
    mixing = weight.unflatten(0, (groups, -1))
    y = x.new_empty(x.shape[0], weight.shape[0], (len(stencil[2]) - 1) // phases, nlon_out)
    for latitude, phase, z in _responses(x, stencil, nlon_out):
        mixed = torch.einsum("gock,bgckt->bgot", mixing, z.unflatten(1, (groups, -1))).flatten(1, 2)
        y[:, :, latitude, phase::phases] = mixed if bias is None else mixed + bias[:, None]
    return y


def disco_grad_weight_reference(
    x: Tensor, grad: Tensor, stencil: Sequence[Tensor], n_functions: int, groups: int
) -> Tensor:
    """``armillary::disco_grad_weight``: the adjoint of ``disco`` in the weight: x and grad → (O, C/groups, K)."""
    _, phases, _ = pattern(x.shape[3], grad.shape[3])
    gw = x.new_zeros(groups, grad.shape[1] // groups, x.shape[1] // groups, n_functions)
    for latitude, phase, z in _responses(x, stencil, grad.shape[3]):
        g = grad[:, :, latitude, phase::phases].unflatten(1, (groups, -1))
        gw += torch.einsum("bgot,bgckt->gock", g, z.unflatten(1, (groups, -1)))
    return gw.flatten(0, 1)


disco = torch.library.custom_op("armillary::disco", disco_reference, mutates_args=())
disco_grad_weight = torch.library.custom_op(
    "armillary::disco_grad_weight", disco_grad_weight_reference, mutates_args=()
)


@disco.register_kernel("cpu")
def _(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stencil: Sequence[Tensor],
    nlon_out: int,
    groups: int,
    adjoint: bool,
) -> Tensor:
    if x.numel() == 0:
        return disco_reference(x, weight, bias, stencil, nlon_out, groups, adjoint)
    from armillary.ops.disco_cpu import disco_cpu  # numba is imported and compiles at first use

    return disco_cpu(x, weight, bias, stencil, nlon_out, groups, adjoint)


@disco_grad_weight.register_kernel("cpu")
def _(x: Tensor, grad: Tensor, stencil: Sequence[Tensor], n_functions: int, groups: int) -> Tensor:
    if x.numel() == 0:
        return disco_grad_weight_reference(x, grad, stencil, n_functions, groups)
    from armillary.ops.disco_cpu import disco_grad_weight_cpu

    return disco_grad_weight_cpu(x, grad, stencil, n_functions, groups)


def _triton_found() -> bool:
    slow = "DISCO layers on a GPU run in plain torch, one row of the stencil at a time, which is slow"
    return triton_found(slow, "armillary.ops.disco_triton")


@disco.register_kernel("cuda")
def _disco_cuda(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stencil: Sequence[Tensor],
    nlon_out: int,
    groups: int,
    adjoint: bool,
) -> Tensor:
    if x.numel() == 0 or weight.numel() == 0 or not _triton_found():
        return disco_reference(x, weight, bias, stencil, nlon_out, groups, adjoint)
    from armillary.ops.disco_triton import disco_triton  # triton is imported at first use

    return disco_triton(x, weight, bias, stencil, nlon_out, groups, adjoint)


@disco_grad_weight.register_kernel("cuda")
def _disco_grad_weight_cuda(
    x: Tensor, grad: Tensor, stencil: Sequence[Tensor], n_functions: int, groups: int
) -> Tensor:
    if x.numel() == 0 or grad.numel() == 0 or not _triton_found():
        return disco_grad_weight_reference(x, grad, stencil, n_functions, groups)
    from armillary.ops.disco_triton import disco_grad_weight_triton

    return disco_grad_weight_triton(x, grad, stencil, n_functions, groups)


@disco.register_fake
def _(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stencil: Sequence[Tensor],
    nlon_out: int,
    groups: int,
    adjoint: bool,
) -> Tensor:
    _, phases, _ = pattern(x.shape[3], nlon_out)
    starts = stencil[5 if adjoint else 2]
    return x.new_empty(x.shape[0], weight.shape[0], (starts.shape[0] - 1) // phases, nlon_out)


@disco_grad_weight.register_fake
def _(x: Tensor, grad: Tensor, stencil: Sequence[Tensor], n_functions: int, groups: int) -> Tensor:
    return x.new_empty(grad.shape[1], x.shape[1] // groups, n_functions)


def _turned(weight: Tensor, groups: int) -> Tensor:
    """(O, C/G, K) → (C, O/G, K): the weight of the adjoint."""
    return weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1).contiguous()


def _disco_setup(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    x, weight, bias, stencil, _, groups, adjoint = inputs
    ctx.save_for_backward(x, weight, *stencil)
    ctx.groups, ctx.has_bias, ctx.adjoint = groups, bias is not None, adjoint


def _disco_backward(ctx, grad):  # type: ignore[no-untyped-def]
    x, weight, *stencil = ctx.saved_tensors
    gx = gw = gb = None
    if ctx.needs_input_grad[0]:
        gx = disco(grad, _turned(weight, ctx.groups), None, stencil, x.shape[3], ctx.groups, not ctx.adjoint)
    if ctx.needs_input_grad[1]:
        gw = _grad_weight(x, grad, stencil, weight.shape[2], ctx.groups, ctx.adjoint)
    if ctx.has_bias and ctx.needs_input_grad[2]:
        gb = grad.sum((0, 2, 3))
    return gx, gw, gb, [None] * 6, None, None, None


def _grad_weight(x, grad, stencil, functions, groups, adjoint):  # type: ignore[no-untyped-def]
    """The gradient of the weight of ``disco``; of its adjoint, where the stencil leads from grad to x."""
    if not adjoint:
        return disco_grad_weight(x, grad, stencil, functions, groups)
    return _turned(disco_grad_weight(grad, x, stencil, functions, groups), groups)


def _grad_weight_setup(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    x, grad, stencil, _, groups = inputs
    ctx.save_for_backward(x, grad, *stencil)
    ctx.groups = groups


def _grad_weight_backward(ctx, h):  # type: ignore[no-untyped-def]
    x, grad, *stencil = ctx.saved_tensors
    gx = gg = None
    if ctx.needs_input_grad[0]:
        gx = disco(grad, _turned(h, ctx.groups), None, stencil, x.shape[3], ctx.groups, True)
    if ctx.needs_input_grad[1]:
        gg = disco(x, h, None, stencil, grad.shape[3], ctx.groups, False)
    return gx, gg, [None] * 6, None, None


disco.register_autograd(_disco_backward, setup_context=_disco_setup)
disco_grad_weight.register_autograd(_grad_weight_backward, setup_context=_grad_weight_setup)
