"""The DISCO contraction on the CPU, compiled at first use by numba and kept in its cache.

A latitude is worked on in tiles of longitudes, with the field as it lies in memory (B, C, H, W) and vectors along the
longitudes. *Contract, then mix*: the responses z of one tile, (C·K, tile), are computed from the neighbours and
multiplied by the weight while they are in the cache; the K-fold intermediate never reaches memory. *Mix, then
contract*: where the input is the coarser side, its rings are mixed to O·K rows first, once each. A cost model in
operations picks. The rings that a latitude needs are kept in a small rolling buffer, continued periodically at both
ends, split into residues of the longitude stride, so that every entry of a stencil multiplies one contiguous run.

The gradient of the input is the same kernel with the swapped stencil; that of the weight recomputes the responses.
Outputs do not depend on the number of threads; gradients of the weight do, by rounding only, and are the same in every
run with as many threads. The arithmetic is tested against the reference of ``ops.disco``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from armillary.ops.compiling import ready
from armillary.ops.disco_kernels import contract_then_mix, mix_then_contract, weight_gradient
from armillary.ops.memory import empty
from armillary.ops.stencils import pattern, swapped
from armillary.ops.threads import run
from armillary.ops.vectors import REGISTERS, contract, lanes, products, strip

_jit = numba.njit(nogil=True, cache=True)

_FUNCTIONS_AT_ONCE = 12  # K is cut into blocks of at most so many
_MIX_ROWS = 8 if REGISTERS == 32 else 4
_TILES = (1, 2, 3, 4, 6, 8)  # sizes in vectors; more of them are more kernels to compile
_WEIGHT_ROWS = 48  # of the responses that a gradient of the weight holds at once
_SUMS_BYTES = 2**28  # that the threads may take for sums of their own
_CONTRACT_SPEED, _SUM_SPEED = 0.7, 0.4  # of the two contractions, against mixing, per operation


@_jit
def _paired(entries, starts, values, phases, stride, repeats):  # type: ignore[no-untyped-def]
    """Pair entries that mirror each other in longitude, where each function is exactly even or odd.

    Returns (pairs (n, 2, 3), their starts, their values, whether each function is even); pairs is empty if some entry
    has no mirror image or some function no parity. A point on the axis is its own image, with half its value.
    """
    count, functions = values.shape
    nlon = stride * repeats
    pairs, kept = np.empty((count, 2, 3), np.int64), np.empty((count, functions), values.dtype)
    bounds = np.zeros(len(starts), np.int64)
    even, odd = np.ones(functions, np.bool_), np.ones(functions, np.bool_)
    where = np.full((np.max(entries[:, 0, 0]) + 1 if count else 0, nlon), -1)
    n = 0
    for row in range(len(starts) - 1):
        for e in range(starts[row], starts[row + 1]):
            ring, residue, position = entries[e, 0]
            column = (position * stride + residue) % nlon
            if where[ring, column] >= starts[row]:
                return pairs[:0], bounds, kept, even
            where[ring, column] = e
        axis = 2 * (row % phases) * stride // phases
        for e in range(starts[row], starts[row + 1]):
            ring, residue, position = entries[e, 0]
            f = where[ring, (axis - position * stride - residue) % nlon]
            if f < starts[row]:
                return pairs[:0], bounds, kept, even
            for k in range(functions):
                even[k] &= values[e, k] == values[f, k]
                odd[k] &= values[e, k] == -values[f, k]
            if e <= f:
                pairs[n, 0], pairs[n, 1] = entries[e, 0], entries[f, 0]
                kept[n] = values[e] * (0.5 if e == f else 1.0)
                n += 1
        bounds[row + 1] = n
    if not np.all(even | odd):
        n = 0
    return pairs[:n], bounds, kept[:n], even


@_jit
def _rings_at_once(entries, bounds):  # type: ignore[no-untyped-def]
    """The most rings that lie between the first and the last of any latitude."""
    most = 1
    for j in range(len(bounds) - 1):
        rings = entries[bounds[j] : bounds[j + 1], 0, 0]
        if len(rings):
            most = max(most, rings.max() - rings.min() + 1)
    return most


class _Plan:
    """What the kernels want to know of a stencil between two rows of longitudes, whatever the field."""

    def __init__(self, values: Tensor, entries: Tensor, starts: Tensor, nlon_in: int, nlon_out: int) -> None:
        self.itemsize = values.itemsize
        self.repeats, self.phases, self.stride = pattern(nlon_in, nlon_out)
        self.values, self.starts = values.contiguous().numpy(), starts.contiguous().numpy()
        self.nlat_out = (len(self.starts) - 1) // self.phases
        ring, column = entries.numpy().T
        position = (column // self.stride + self.repeats // 2) % self.repeats - self.repeats // 2
        self.entries = np.stack([ring, column % self.stride, position], axis=1)[:, None]
        vectors = -(-self.repeats // lanes(self.itemsize))
        each = -(-vectors // -(-vectors // _TILES[-1]))
        self.vectors = next(tile for tile in _TILES if tile >= each)
        self.tile = tile = self.vectors * lanes(self.itemsize)
        self.pad = max(0, int(-position.min(initial=0)))
        length = self.pad + -(-self.repeats // tile) * tile + max(0, int(position.max(initial=0)))
        self.length = -(-length // 16) * 16 + 16 * (1 - -(-length // 16) % 2)  # an odd number of cache lines
        overrun = -(-self.repeats // tile) * tile - self.repeats
        self.reach = np.zeros((int(ring.max(initial=-1)) + 1, 2), np.int64)  # of each ring: how far its copies go
        np.maximum.at(self.reach[:, 0], ring, -position)
        np.maximum.at(self.reach[:, 1], ring, position)
        self.reach[:, 1] += overrun
        bounds = self.starts[:: self.phases]
        self.slots = _rings_at_once(self.entries, bounds)
        self.entries_by_latitude = np.diff(bounds)
        self.contraction = self._contraction()
        self.divisions: dict[tuple[int, ...], tuple[list[tuple[int, int]], list[tuple[int, int]]]] = {}

    def _contraction(self) -> _Contraction:
        """The stencil as the contracting kernels want it: in pairs if it is symmetric, its functions in blocks."""
        count, functions = self.values.shape
        blocks = -(-functions // _FUNCTIONS_AT_ONCE)
        if blocks == 1 and self.phases <= 2:
            pairs, starts, values, even = _paired(
                self.entries, self.starts, self.values, self.phases, self.stride, self.repeats
            )
            if len(pairs):
                order = np.argsort(~even, kind="stable")
                return _Contraction(pairs, starts, np.ascontiguousarray(values[None, :, order]), order, int(even.sum()))
        each = -(-functions // blocks)
        padded = np.zeros((count, blocks * each), self.values.dtype)
        padded[:, :functions] = self.values
        cut = np.ascontiguousarray(padded.reshape(count, blocks, each).transpose(1, 0, 2))
        return _Contraction(self.entries, self.starts, cut, np.arange(functions), -1)


_plans = WeakIdKeyDictionary()  # of the values of a stencil: its plans, as long as it lives


def _plan(stencil: Sequence[Tensor], dtype: torch.dtype, nlon_in: int, nlon_out: int, adjoint: bool) -> _Plan:
    """The plan of a stencil, made once for each use."""
    known = _plans.setdefault(stencil[0], {})
    key = (stencil[0]._version, dtype, nlon_in, nlon_out, adjoint)
    if key not in known:
        values, entries, starts = swapped(stencil)[:3] if adjoint else stencil[:3]
        known[key] = _Plan(values.detach().to(dtype), entries, starts, nlon_in, nlon_out)
    return known[key]


class _Contraction(NamedTuple):
    entries: np.ndarray  # (n, 1 or 2, 3): ring, residue, position
    starts: np.ndarray
    values: np.ndarray  # (blocks, n, functions of a block)
    order: np.ndarray  # of the functions in it
    evens: int  # how many are even, -1 if entries are not paired

    @property
    def rows(self) -> int:
        """Functions with the padding of the last block."""
        return self.values.shape[0] * self.values.shape[2]


def _runs(chosen: np.ndarray, cost: np.ndarray, count: int) -> list[tuple[int, int]]:
    """The latitudes that are chosen, as runs of neighbours cut into about ``count`` parts of equal cost."""
    parts = []
    edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]]).astype(np.int8)))
    for first, last in edges.reshape(-1, 2).tolist():
        total = np.concatenate([[0.0], np.cumsum(cost[first:last])])
        share = max(1, round(count * total[-1] / max(cost[chosen].sum(), 1e-300)))
        cuts = np.unique(np.searchsorted(total, np.linspace(0, total[-1], min(share, last - first) + 1)))
        cuts[0], cuts[-1] = 0, last - first
        parts += [(first + a, first + b) for a, b in pairwise(cuts.tolist())]
    return parts


def _divide(
    work: _Plan, channels: int, out_channels: int, inner: int, points: int, nlon_out: int
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The runs of latitudes to contract first and those to mix first, as is cheaper; found once for each layer."""
    threads = torch.get_num_threads()
    key = (channels, out_channels, inner, points, threads)
    if key not in work.divisions:
        functions, gather = work.values.shape[1], work.contraction
        pairs = work.entries_by_latitude * work.repeats * functions
        mixed = inner * out_channels * functions
        gather_cost = pairs * (channels / (_CONTRACT_SPEED * gather.entries.shape[1])) + nlon_out * mixed
        spread_cost = pairs * (out_channels / _SUM_SPEED) + points / work.nlat_out * mixed
        gathers = gather_cost <= spread_cost
        runs = (_runs(gathers, gather_cost, 2 * threads), _runs(~gathers, spread_cost, 2 * threads))
        work.divisions[key] = runs
    return work.divisions[key]


def _rows_at_once(rows: int, most: int) -> int:
    return most if rows >= most else 1 << (rows - 1).bit_length()


def _packed(matrix: np.ndarray, at_once: int) -> np.ndarray:
    """(G, rows, outs) → (G, outs/at_once, rows, at_once), padded with zeros."""
    groups, rows, outs = matrix.shape
    blocks = -(-outs // at_once)
    packed = np.zeros((groups, rows, blocks * at_once), matrix.dtype)
    packed[..., :outs] = matrix
    return np.ascontiguousarray(packed.reshape(groups, rows, blocks, at_once).transpose(0, 2, 1, 3))


def _computed(dtype: torch.dtype) -> torch.dtype:
    """Half precision is computed in float32."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def disco_cpu(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stencil: Sequence[Tensor],
    nlon_out: int,
    groups: int,
    adjoint: bool,
) -> Tensor:
    """``ops.disco.disco`` on the CPU."""
    dtype = _computed(x.dtype)
    work = _plan(stencil, dtype, x.shape[3], nlon_out, adjoint)
    shift = x.new_zeros(weight.shape[0]) if bias is None else bias
    field, w, shift = (t.detach().to(dtype).contiguous() for t in (x, weight, shift))
    out_channels, inner, functions = w.shape
    batch, channels, nlat, nlon = x.shape
    y = empty(field, batch, out_channels, work.nlat_out, nlon_out)
    mixing = w.numpy().reshape(groups, -1, inner, functions)
    gather = work.contraction
    contracted, spread = _divide(work, channels, out_channels, inner, nlat * nlon, nlon_out)
    size, vectors = work.itemsize, work.vectors
    numbers = (work.slots, work.pad, work.length, work.tile)
    if contracted:
        matrix = np.zeros((*mixing.shape[:3], gather.rows), mixing.dtype)
        matrix[..., :functions] = mixing[..., gather.order]
        mix = _rows_at_once(out_channels // groups, _MIX_ROWS)
        weights = _packed(matrix.transpose(0, 2, 3, 1).reshape(groups, -1, out_channels // groups), mix)
        shifts = _packed(shift.numpy().reshape(groups, 1, -1), mix).ravel()
        micro = (mix, contract(gather.values.shape[2], gather.evens, vectors, size), strip(mix, vectors, size))
        arrays = [field.numpy(), gather.entries, gather.starts, work.reach, gather.values, weights, shifts, y.numpy()]
        run(ready(contract_then_mix, size), arrays, (*numbers, *micro), contracted)
    if spread:
        mix = _rows_at_once(out_channels // groups * functions, _MIX_ROWS)
        weights = _packed(mixing.transpose(0, 2, 1, 3).reshape(groups, inner, -1), mix)
        micro = (mix, strip(1, vectors, size), strip(mix, vectors, size))
        values_in_block = np.ascontiguousarray(work.values)[None]
        arrays = [
            field.numpy(),
            work.entries,
            work.starts,
            work.reach,
            values_in_block,
            weights,
            shift.numpy(),
            y.numpy(),
        ]
        run(ready(mix_then_contract, size), arrays, (*numbers, *micro), spread)
    return y.to(x.dtype)


def disco_grad_weight_cpu(x: Tensor, grad: Tensor, stencil: Sequence[Tensor], functions: int, groups: int) -> Tensor:
    """``ops.disco.disco_grad_weight`` on the CPU: contracts the side that is cheaper."""
    out_channels, channels = grad.shape[1], x.shape[1]
    there = len(stencil[0]) * math.gcd(x.shape[3], grad.shape[3]) / _CONTRACT_SPEED
    forward = there * channels + grad[0, 0].numel() * channels * out_channels / groups
    backward = there * out_channels + x[0, 0].numel() * channels * out_channels / groups
    if forward <= backward:
        return _grad_weight(x, grad, stencil, functions, groups, False)
    turned = _grad_weight(grad, x, stencil, functions, groups, True)  # (C, O/G, K)
    return turned.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1).contiguous()


def _grad_weight(
    x: Tensor, grad: Tensor, stencil: Sequence[Tensor], functions: int, groups: int, adjoint: bool
) -> Tensor:
    dtype = _computed(x.dtype)
    work = _plan(stencil, dtype, x.shape[3], grad.shape[3], adjoint)
    gather = work.contraction
    field, cotangent = (t.detach().to(dtype).contiguous() for t in (x, grad))
    outs, inner = grad.shape[1] // groups, x.shape[1] // groups
    mix = _rows_at_once(outs, 4)
    columns = (6 if mix == 4 else 8) if REGISTERS == 32 else 2
    at_once = min(inner, max(1, _WEIGHT_ROWS // gather.rows))
    chunks, mixes, parts = -(-inner // at_once), -(-outs // mix), -(-at_once * gather.rows // columns)
    cost = work.entries_by_latitude * (x.shape[1] / (_CONTRACT_SPEED * gather.entries.shape[1]))
    cost = cost + work.phases * inner * grad.shape[1]
    one = groups * chunks * mixes * parts * mix * columns * lanes(work.itemsize) * work.itemsize
    runs = _runs(cost > -1, cost, min(torch.get_num_threads(), max(1, _SUMS_BYTES // one)))
    sums = field.new_zeros(len(runs), groups, chunks, mixes, parts, mix * columns, lanes(work.itemsize))
    size = work.itemsize
    micro = (contract(gather.values.shape[2], gather.evens, work.vectors, size), products(mix, columns, size))
    numbers = (work.slots, work.pad, work.length, work.tile, at_once, mix, *micro)
    arrays = [field.numpy(), gather.entries, gather.starts, work.reach, gather.values, cotangent.numpy()]
    run(ready(weight_gradient, size), [*arrays, sums.numpy()], numbers, runs)
    gw = sums.sum((0, -1)).unflatten(-1, (mix, columns))  # (G, chunks, mixes, parts, mix, columns)
    gw = gw.permute(0, 2, 4, 1, 3, 5).flatten(1, 2).flatten(3, 4)[:, :outs, :, : at_once * gather.rows]
    gw = gw.unflatten(3, (at_once, gather.rows)).flatten(2, 3)[:, :, :inner, :functions].flatten(0, 1)
    result = torch.empty_like(gw)
    result[..., gather.order] = gw
    return result.to(x.dtype)
