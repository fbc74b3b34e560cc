"""The DISCO contraction on a GPU, by the Triton kernels of ``ops.disco_triton_kernels``.

The gradient of the input is the same kernel with the swapped stencil: a gather, without atomics. The gradient of the
weight is summed in registers over every n-th tile, written once for each of the n chunks, and the chunks are added in a
fixed order. So every result is the same, bit by bit, in every run.

Products run on tensor cores for half precision and, where torch's own switch for matrix products says "tf32", for
float32; float32 is otherwise exact. Sums are kept in float32 (float64 for float64); the responses of half precision
are rounded once between the two products.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from armillary.ops.disco_triton_kernels import contract_and_mix, weight_sums
from armillary.ops.stencils import pattern

_SUMS = {
    torch.float16: tl.float32,
    torch.bfloat16: tl.float32,
    torch.float32: tl.float32,
    torch.float64: tl.float64,
}
_ENTRIES = 16  # taken at once
_PROGRAMS = 512  # that a gradient of the weight is divided among, at least where there is so much work


class _Plan:
    """What the kernels want to know of a stencil between two grids, in one direction, whatever the field."""

    def __init__(self, values: Tensor, entries: Tensor, starts: Tensor, nlat: int, nlon: int) -> None:
        device = values.device
        ring, column = entries.to(device).unbind(1)
        index = torch.int32 if max(nlat * nlon, len(values)) < 2**31 else torch.int64
        self.values = values.detach().T.contiguous()
        self.rings, self.columns = (ring * nlon).to(index), (column % nlon).to(torch.int32)
        self.starts = starts.to(device, index)
        self.rows = self.starts.diff().argsort(descending=True, stable=True).to(torch.int32)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return self.values, self.rings, self.columns, self.starts, self.rows


_plans = WeakIdKeyDictionary()  # of the values of a stencil: its plans, as long as it lives


def _plan(stencil: Sequence[Tensor], nlat: int, nlon: int, adjoint: bool) -> _Plan:
    """The plan of a stencil for input of (nlat, nlon), made once for each use."""
    known = _plans.setdefault(stencil[0], {})
    key = (stencil[0]._version, nlat, nlon, adjoint)
    if key not in known:
        values, entries, starts, order, entries_t, starts_t = stencil
        if adjoint:
            values, entries, starts = values[order.to(values.device)], entries_t, starts_t
        known[key] = _Plan(values, entries, starts, nlat, nlon)
    return known[key]


class _Launch(NamedTuple):
    """How the kernels cut a problem: sizes of the blocks, powers of two, and how many of them there are."""

    points: int
    channels: int
    functions: int
    outs: int
    tiles: int  # of points
    channel_blocks: int
    function_blocks: int
    out_blocks: int
    depthwise: bool

    def options(self, dtype: torch.dtype) -> dict[str, object]:
        """The compile-time arguments of either kernel."""
        tensor_cores = torch.backends.cuda.matmul.fp32_precision == "tf32"
        return {
            "ACCUMULATOR": _SUMS[dtype],
            "PRECISION": "tf32" if dtype == torch.float32 and tensor_cores else "ieee",
            "POINTS": self.points,
            "ENTRIES": _ENTRIES,
            "CHANNELS": self.channels,
            "FUNCTIONS": self.functions,
            "OUTS": self.outs,
            "DEPTHWISE": self.depthwise,
            "num_warps": 8,
        }


def _power(wanted: int, least: int, most: int) -> int:
    """The power of two at or above ``wanted``, within the bounds."""
    return max(least, min(most, triton.next_power_of_2(wanted)))


def _launch(points: int, inner: int, outs: int, functions: int, itemsize: int, depthwise: bool) -> _Launch:
    """Blocks that fit the registers of 8 warps and the shared memory of a multiprocessor.

    For at most 4 bytes a number: the gathered tile (ENTRIES × CHANNELS·POINTS) and the responses (FUNCTIONS ×
    CHANNELS·POINTS) take up to 4096 numbers each, 16 in each of 256 threads; sums (OUTS × POINTS) and weights (OUTS ×
    FUNCTIONS·CHANNELS) up to 8192, 32 in each. Shared memory holds the gathered tile (16 KB) and then the operands of
    the mixing product (up to 48 KB). Half of all that in float64. A product wants at least 16 terms.
    """
    budget = 4096 if itemsize <= 4 else 2048
    function = _power(functions, 1 if depthwise else 2, 32)
    least = 1 if depthwise else max(1, 16 // function)
    point = _power(points, 16, min(64, budget // (_ENTRIES * least)))
    most = max(least, triton.next_power_of_2(inner))
    channel = _power(budget // (max(_ENTRIES, function) * point), least, most)
    out = channel if depthwise else _power(outs, 16, min(128, 2 * budget // max(point, function * channel)))
    return _Launch(
        points=point,
        channels=channel,
        functions=function,
        outs=out,
        tiles=triton.cdiv(points, point),
        channel_blocks=triton.cdiv(inner, channel),
        function_blocks=triton.cdiv(functions, function),
        out_blocks=triton.cdiv(outs, out),
        depthwise=depthwise,
    )


def _prepared(x: Tensor, outs: int, groups: int) -> tuple[int, int, int, bool]:
    """(groups, channels of each, outputs of each, whether depthwise); depthwise counts as one group."""
    if x.dtype not in _SUMS:
        raise TypeError(f"x has dtype {x.dtype}, wanted one of {', '.join(map(str, _SUMS))}: cast x, or use the CPU")
    if groups == x.shape[1] == outs:
        return 1, groups, groups, True
    return groups, x.shape[1] // groups, outs // groups, False


def disco_triton(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stencil: Sequence[Tensor],
    nlon_out: int,
    groups: int,
    adjoint: bool,
) -> Tensor:
    """``ops.disco.disco`` on a GPU."""
    batch, _, nlat, nlon = x.shape
    out_channels, functions = weight.shape[0], weight.shape[2]
    groups, inner, outs, depthwise = _prepared(x, out_channels, groups)
    repeats, phases, stride = pattern(nlon, nlon_out)
    work = _plan(stencil, nlat, nlon, adjoint)
    y = x.new_empty(batch, out_channels, len(work.rows) // phases, nlon_out)
    field, w = x.contiguous(), weight.transpose(1, 2).contiguous()
    cut = _launch(batch * repeats, inner, outs, functions, x.itemsize, depthwise)
    with torch.cuda.device_of(x):
        contract_and_mix[len(work.rows) * groups * cut.tiles * cut.out_blocks,](
            *(field, w, None if bias is None else bias.contiguous(), y, *work.tensors),
            *(batch * repeats, repeats, phases, stride, nlon, nlat * nlon, y.shape[2]),
            *(groups, inner, outs, functions, work.values.shape[1], cut.tiles, cut.out_blocks),
            **cut.options(x.dtype),
        )
    return y


def disco_grad_weight_triton(x: Tensor, grad: Tensor, stencil: Sequence[Tensor], functions: int, groups: int) -> Tensor:
    """``ops.disco.disco_grad_weight`` on a GPU: contracts the side that is cheaper."""
    out_channels, channels = grad.shape[1], x.shape[1]
    there = len(stencil[0]) * math.gcd(x.shape[3], grad.shape[3])
    forward = there * channels + grad[0, 0].numel() * channels * out_channels // groups
    backward = there * out_channels + x[0, 0].numel() * channels * out_channels // groups
    if forward <= backward:
        return _grad_weight(x, grad, stencil, functions, groups, False)
    turned = _grad_weight(grad, x, stencil, functions, groups, True)  # (C, O/G, K)
    return turned.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1).contiguous()


def _grad_weight(
    x: Tensor, grad: Tensor, stencil: Sequence[Tensor], functions: int, groups: int, adjoint: bool
) -> Tensor:
    batch, channels, nlat, nlon = x.shape
    out_channels = grad.shape[1]
    shape = (out_channels, functions, channels // groups)
    groups, inner, outs, depthwise = _prepared(x, out_channels, groups)
    repeats, phases, stride = pattern(nlon, grad.shape[3])
    work = _plan(stencil, nlat, nlon, adjoint)
    cut = _launch(batch * repeats, inner, outs, functions, x.itemsize, depthwise)
    blocks = groups * cut.channel_blocks * cut.function_blocks * (1 if depthwise else cut.out_blocks)
    jobs = len(work.rows) * cut.tiles
    chunks = min(jobs, triton.cdiv(_PROGRAMS, blocks))
    sums = x.new_empty(chunks, *shape, dtype=torch.promote_types(x.dtype, torch.float32))
    field, cotangent = x.contiguous(), grad.contiguous()
    with torch.cuda.device_of(x):
        weight_sums[blocks * chunks,](
            *(field, cotangent, sums, *work.tensors),
            *(batch * repeats, repeats, phases, stride, nlon, nlat * nlon, grad.shape[2]),
            *(groups, inner, outs, functions, work.values.shape[1], cut.tiles),
            *(1 if depthwise else cut.out_blocks, cut.channel_blocks, cut.function_blocks, jobs, chunks),
            **cut.options(x.dtype),
        )
    return sums.sum(0).transpose(1, 2).to(x.dtype).contiguous()
