"""The product with the harmonics of edges on a GPU, by the Triton kernels of ``ops.edge_product_triton_kernels``.

The forward pass goes over the targets, the backward pass over the sources, each point with its edges in their order:
edges are sorted by a stable ``argsort`` in every call, since an operator cannot know that it has seen a graph before.
Sums are kept in registers, the torque is written once for each block of channels, and these are added in a fixed order.
There are no atomics, and every result is the same, bit by bit, in every run.

Sums are kept in float32, for half precision too, and in float64 for float64; nothing is rounded to TF32, whatever
torch's switch says, since there is no matrix product in it. Kernels are compiled for one product, as on the CPU:
degrees, paths and the number of channels are constants in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from armillary.ops.edge_generators import generators, wigner_size
from armillary.ops.edge_paths import EdgePaths, Pair
from armillary.ops.edge_product_triton_kernels import sum_edges, sum_edges_back

_SUMS = {
    torch.float16: tl.float32,
    torch.bfloat16: tl.float32,
    torch.float32: tl.float32,
    torch.float64: tl.float64,
}
_WARP = 32
_REGISTERS = 128  # of 32 bits that a lane has for components, of 255
Table = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Stream:
    """What a kernel knows of a stream: components, the row in the field where it begins, the place among those that
    are held in registers, that of its Wigner matrix in a frame, and the entries (m, n, value) below the diagonal of the
    generators about x and y."""

    size: int
    row: int
    held: int
    block: int
    generators: tuple[tuple[tuple[int, int, float], ...], ...]


@dataclass(frozen=True)
class Coupling:
    """All paths between two streams: numbers, c_m by path and order, and for each component of the output (``forward``)
    or input (``back``) the component of the other that is coupled to it, the order of the factor, and a sign or 0."""

    input: Stream
    output: Stream
    paths: tuple[int, ...]
    coefficients: tuple[tuple[float, ...], ...]
    forward: Table
    back: Table


@dataclass(frozen=True)
class KernelPlan:
    """One launch: the streams of the input and the output, the pairs of each in the outer loop, the components held in
    registers, and what is in the tensors: rows and paths."""

    inputs: tuple[Stream, ...]
    outputs: tuple[Stream, ...]
    pairs: tuple[tuple[Coupling, ...], ...]
    held: int
    rows_in: int
    rows_out: int
    paths: int

    @cached_property
    def _hash(self) -> int:
        return hash((self.inputs, self.outputs, self.pairs, self.held, self.rows_in, self.rows_out, self.paths))

    def __hash__(self) -> int:  # once: triton looks a kernel up at every launch
        return self._hash


def _sparse(l: int) -> tuple[tuple[tuple[int, int, float], ...], ...]:
    found = []
    for matrix in generators(l)[:2].tolist():
        entries = [(m, n, matrix[m][n]) for m in range(2 * l + 1) for n in range(m)]
        found.append(tuple(entry for entry in entries if abs(entry[2]) > 1e-9))
    return tuple(found)


def _streams(degrees: Sequence[int], rows: Sequence[int], chosen: Sequence[int]) -> dict[int, Stream]:
    found, held = {}, 0
    for number in chosen:
        l = degrees[number]
        found[number] = Stream(2 * l + 1, rows[number], held, wigner_size(l - 1), _sparse(l))
        held += 2 * l + 1
    return found


def _coupling(pair: Pair, start: Stream, end: Stream) -> Coupling:
    """The tables of a pair: m to m, or -m to m with the sign of m where it is odd."""
    l1, l3 = start.size // 2, end.size // 2
    there = [any(row[m] for row in pair.coefficients) for m in range(len(pair.coefficients[0]))]

    def table(l_to: int, l_from: int, sign: int) -> Table:
        found = []
        for m in range(-l_to, l_to + 1):
            if abs(m) >= len(there) or not there[abs(m)]:
                found.append((0, 0, 0))
            elif pair.odd:
                found.append((l_from - m, abs(m), sign if m > 0 else -sign))
            else:
                found.append((l_from + m, abs(m), 1))
        return tuple(found)

    return Coupling(start, end, pair.paths, pair.coefficients, table(l3, l1, 1), table(l1, l3, -1))


def _runs(degrees: Sequence[int], budget: int) -> list[list[int]]:
    """Streams in runs of at most that many components, or of one stream."""
    runs: list[list[int]] = []
    size = budget
    for number, l in enumerate(degrees):
        if size + 2 * l + 1 > budget:
            runs.append([])
            size = 0
        runs[-1].append(number)
        size += 2 * l + 1
    return runs


@lru_cache(maxsize=256)
def launches(plan: EdgePaths, back: bool, itemsize: int) -> tuple[KernelPlan, ...]:
    """The launches for a product: usually one. More where the components would not fit the registers of a lane: then
    each computes some streams of the result.

    Forward, a lane holds two numbers for each component of the output, and the components of one stream of the input;
    backward, three for each of the input, and twice those of one stream of the output.
    """
    words = 2 if itemsize == 8 else 1
    widest = 2 * max((plan.degrees_in if not back else plan.degrees_out), default=0) + 1
    budget = (_REGISTERS // words - (2 if back else 1) * widest) // (3 if back else 2)
    found = []
    for run in _runs(plan.degrees_in if back else plan.degrees_out, budget):
        chosen = [list(range(len(plan.degrees_in))), list(range(len(plan.degrees_out)))]
        chosen[0 if back else 1] = run
        inputs = _streams(plan.degrees_in, plan.rows_in, chosen[0])
        outputs = _streams(plan.degrees_out, plan.rows_out, chosen[1])
        couplings = [
            (pair, _coupling(pair, inputs[pair.source], outputs[pair.target]))
            for pair in plan.pairs
            if pair.source in inputs and pair.target in outputs
        ]
        outer = outputs if back else inputs
        by_stream = {n: tuple(c for p, c in couplings if (p.target if back else p.source) == n) for n in outer}
        reached = {n: stream for n, stream in outer.items() if by_stream[n]}
        found.append(
            KernelPlan(
                inputs=tuple((inputs if back else reached).values()),
                outputs=tuple((reached if back else outputs).values()),
                pairs=tuple(by_stream[n] for n in reached),
                held=sum(2 * (plan.degrees_in if back else plan.degrees_out)[n] + 1 for n in run),
                rows_in=plan.rows_in[-1],
                rows_out=plan.rows_out[-1],
                paths=len(plan.paths),
            )
        )
    return tuple(found)


class _Cut(NamedTuple):
    """Lanes: points of a program, its channels, and the number of programs."""

    points: int
    channels: int
    programs: int

    @classmethod
    def of(cls, points: int, channels: int, registers: int) -> _Cut:
        """A warp of lanes, or two or four of them for more channels if their components fit the registers of a lane."""
        block = triton.next_power_of_2(channels)
        most = next(many for many in (4, 2, 1) if many == 1 or many * registers <= _REGISTERS)
        together = max(1, _WARP // block)
        block = min(block, _WARP * most)
        return cls(together, block, triton.cdiv(points, together) * triton.cdiv(channels, block))

    def options(self, dtype: torch.dtype) -> dict[str, object]:
        """The compile-time arguments of either kernel."""
        return {"SUM": _SUMS[dtype], "POINTS": self.points, "CHANNELS": self.channels, "num_warps": 1}


def _registers(launch: KernelPlan, back: bool, itemsize: int) -> int:
    """That the components take in a lane of one channel."""
    other = launch.outputs if back else launch.inputs
    widest = max((stream.size for stream in other), default=0)
    return (2 if itemsize == 8 else 1) * (3 * launch.held + 2 * widest if back else 2 * launch.held + widest)


def _sorted(own: Tensor, other: Tensor, points: int, others: int) -> tuple[Tensor, Tensor, Tensor]:
    """(order, others, starts): the edges by their own point, the other point of each, and where those of a point begin.

    Numbers of points that are not there are found on the device by ``index_select``, without waiting for it.
    """
    index = torch.int32 if max(points, others, len(own)) < 2**31 else torch.int64
    own = torch.arange(points, device=own.device, dtype=index).index_select(0, own)
    other = torch.arange(others, device=own.device, dtype=index).index_select(0, other)
    ordered, order = own.sort(stable=True)
    starts = torch.searchsorted(ordered, torch.arange(points + 1, device=own.device, dtype=index))
    return order.to(index), other.index_select(0, order), starts.to(index)


def _checked(x: Tensor) -> None:
    if x.dtype not in _SUMS:
        raise TypeError(f"x has dtype {x.dtype}, wanted one of {', '.join(map(str, _SUMS))}: cast x, or use the CPU")


def edge_product_triton(
    x: Tensor,
    frames: Tensor,
    weights: Tensor,
    source: Tensor,
    target: Tensor,
    points: int,
    degrees_in: Sequence[int],
    degrees_out: Sequence[int],
    paths: Sequence[int],
) -> Tensor:
    """``ops.edge_product.edge_product`` on a GPU."""
    _checked(x)
    plan = EdgePaths.of(tuple(degrees_in), tuple(degrees_out), tuple(paths))
    channels = x.shape[2]
    y = x.new_empty(points, plan.rows_out[-1], channels)
    x, frames, weights = x.contiguous(), frames.contiguous(), weights.contiguous()
    with torch.cuda.device_of(x):
        graph = _sorted(target, source, points, len(x))
        for launch in launches(plan, False, x.itemsize):
            cut = _Cut.of(points, channels, _registers(launch, False, x.itemsize))
            sum_edges[cut.programs,](
                *(x, frames, weights, y, *graph, points, len(source), frames.shape[1]),
                *(launch, channels),
                **cut.options(x.dtype),
            )
    return y


def edge_product_grad_triton(
    x: Tensor,
    frames: Tensor,
    weights: Tensor,
    grad: Tensor,
    source: Tensor,
    target: Tensor,
    degrees_in: Sequence[int],
    degrees_out: Sequence[int],
    paths: Sequence[int],
    torque: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """``ops.edge_product.edge_product_grad`` on a GPU."""
    _checked(x)
    plan = EdgePaths.of(tuple(degrees_in), tuple(degrees_out), tuple(paths))
    points, _, channels = x.shape
    x, frames, weights, grad = (t.contiguous() for t in (x, frames, weights, grad))
    gx, gw = torch.empty_like(x), torch.empty_like(weights)
    turning = x.new_zeros(len(source), 3)
    parts = []
    with torch.cuda.device_of(x):
        graph = _sorted(source, target, points, len(grad))
        for launch in launches(plan, True, x.itemsize):
            cut = _Cut.of(points, channels, _registers(launch, True, x.itemsize))
            kind = torch.promote_types(x.dtype, torch.float32)
            parts.append(x.new_empty(len(source), triton.cdiv(channels, cut.channels), 2, dtype=kind))
            sum_edges_back[cut.programs,](
                *(x, frames, weights, grad, gx, gw, parts[-1], *graph, points, len(source), frames.shape[1]),
                *(launch, channels, torque),
                **cut.options(x.dtype),
            )
        if torque:
            turning[:, :2] = torch.cat(parts, 1).sum(1)
    return gx, gw, turning
