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
_LANES = 32
_REGISTERS = 128  # of 32 bits that a lane has for components, of 255
_KEPT = 224  # with the numbers of a frame
Table = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Stream:
    """What a kernel knows of a stream: components, and the power of two at or above; the row in the field where it
    begins, the place among those that are held in registers, that of its Wigner matrix in a frame, and the entries (m,
    n, value) below the diagonal of the generators about x and y."""

    size: int
    wide: int
    row: int
    held: int
    block: int
    generators: tuple[tuple[tuple[int, int, float], ...], ...]


@dataclass(frozen=True)
class Coupling:
    """All paths from a stream of the input to one of the output: their places among the weights of the latter, c_m by
    path and order, and for each component of the output (``forward``) or input (``back``) the component of the other
    that is coupled to it, the order of the factor, and a sign or 0."""

    input: Stream
    paths: tuple[int, ...]
    coefficients: tuple[tuple[float, ...], ...]
    forward: Table
    back: Table


@dataclass(frozen=True)
class KernelPlan:
    """One launch: the streams of the input and the output; for each of the output the couplings and the runs of
    weights (first path, number of paths, the power of two at or above, place of the first); the components that are
    summed; what is in the tensors, rows and paths; the registers that the components of a channel and a frame take."""

    inputs: tuple[Stream, ...]
    outputs: tuple[Stream, ...]
    pairs: tuple[tuple[Coupling, ...], ...]
    runs: tuple[tuple[tuple[int, int, int, int], ...], ...]
    held: int
    rows_in: int
    rows_out: int
    paths: int
    registers: int
    frame: int

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
        size = 2 * l + 1
        found[number] = Stream(size, triton.next_power_of_2(size), rows[number], held, wigner_size(l - 1), _sparse(l))
        held += size
    return found


def _runs(paths: Sequence[int]) -> tuple[tuple[int, int, int, int], ...]:
    """Sorted paths in runs without gaps."""
    found: list[list[int]] = []
    for place, path in enumerate(paths):
        if found and path == found[-1][0] + found[-1][1]:
            found[-1][1] += 1
        else:
            found.append([path, 1, place])
    return tuple((first, count, triton.next_power_of_2(count), place) for first, count, place in found)


def _coupling(pair: Pair, start: Stream, end: Stream, paths: Sequence[int]) -> Coupling:
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

    places = tuple(paths.index(path) for path in pair.paths)
    return Coupling(start, places, pair.coefficients, table(l3, l1, 1), table(l1, l3, -1))


def _together(degrees: Sequence[int], budget: int) -> list[list[int]]:
    """Streams in runs of at most that many components, or of one stream."""
    found: list[list[int]] = []
    size = budget
    for number, l in enumerate(degrees):
        if size + 2 * l + 1 > budget:
            found.append([])
            size = 0
        found[-1].append(number)
        size += 2 * l + 1
    return found


@lru_cache(maxsize=256)
def launches(plan: EdgePaths, back: bool, itemsize: int) -> tuple[KernelPlan, ...]:
    """The launches for a product: one, or more where the components would not fit the registers of a lane: then each
    computes some streams of the result.

    Forward, a lane holds the turned input, the summed output, and one stream of the output; backward, the turned input,
    its gradient and the sum of these, and twice one stream of the output.
    """
    words = 2 if itemsize == 8 else 1
    one = (2 if back else 1) * (2 * max(plan.degrees_out, default=0) + 1)
    budget = _REGISTERS // words - one
    budget = budget // 3 if back else budget - plan.rows_in[-1]
    return tuple(_launch(plan, back, run, words, one) for run in _together(_own(plan, back), budget))


def _own(plan: EdgePaths, back: bool) -> tuple[int, ...]:
    return plan.degrees_in if back else plan.degrees_out


def _launch(plan: EdgePaths, back: bool, run: Sequence[int], words: int, one: int) -> KernelPlan:
    """The launch for a run of streams of the result."""
    chosen = [pair for pair in plan.pairs if (pair.source if back else pair.target) in run]
    sources = run if back else sorted({pair.source for pair in chosen})
    targets = sorted({pair.target for pair in chosen}) if back else run
    inputs = _streams(plan.degrees_in, plan.rows_in, sources)
    outputs = _streams(plan.degrees_out, plan.rows_out, targets)
    paths = {o: sorted(path for pair in chosen if pair.target == o for path in pair.paths) for o in targets}
    held = sum(2 * _own(plan, back)[number] + 1 for number in run)
    turned = sum(stream.size for stream in inputs.values())
    registers = words * (one + (3 * held if back else turned + held))
    return KernelPlan(
        inputs=tuple(inputs.values()),
        outputs=tuple(outputs.values()),
        pairs=tuple(
            tuple(_coupling(p, inputs[p.source], outputs[o], paths[o]) for p in chosen if p.target == o)
            for o in targets
        ),
        runs=tuple(_runs(paths[o]) for o in targets),
        held=held,
        rows_in=plan.rows_in[-1],
        rows_out=plan.rows_out[-1],
        paths=len(plan.paths),
        registers=registers,
        frame=words * wigner_size(plan.lmax),
    )


def _channels(channels: int, registers: int) -> int:
    """The channels of a program: one for each lane of a warp, or two or four if their components fit the registers."""
    many = next(many for many in (4, 2, 1) if many == 1 or many * registers <= _REGISTERS)
    return max(_LANES, min(triton.next_power_of_2(channels), many * _LANES))


def _evict(launch: KernelPlan, block: int) -> str:
    """The policy of the second reading of a frame. It is none, and the same as that of the first, where the numbers fit
    the registers: then the compiler finds them there. Another reads again."""
    return "" if launch.registers * block // _LANES + launch.frame <= _KEPT else "evict_first"


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
    plan = EdgePaths.of(tuple(degrees_in), tuple(degrees_out), tuple(paths))
    channels = x.shape[2]
    y = x.new_empty(points, plan.rows_out[-1], channels)
    x, frames, weights = x.contiguous(), frames.contiguous(), weights.contiguous()
    with torch.cuda.device_of(x):
        graph = _sorted(target, source, points, len(x))
        for launch in launches(plan, False, x.itemsize):
            block = _channels(channels, launch.registers)
            sum_edges[points * triton.cdiv(channels, block),](
                *(x, frames, weights, y, *graph, frames.shape[1]),
                *(launch, _evict(launch, block), channels, block, _SUMS[x.dtype]),
                num_warps=1,
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
    plan = EdgePaths.of(tuple(degrees_in), tuple(degrees_out), tuple(paths))
    points, _, channels = x.shape
    x, frames, weights, grad = (t.contiguous() for t in (x, frames, weights, grad))
    gx, gw = torch.empty_like(x), torch.empty_like(weights)
    turning = x.new_zeros(len(source), 3)
    parts = []
    with torch.cuda.device_of(x):
        graph = _sorted(source, target, points, len(grad))
        for launch in launches(plan, True, x.itemsize):
            block = _channels(channels, launch.registers)
            blocks = triton.cdiv(channels, block)
            parts.append(x.new_empty(len(source), blocks, 2, dtype=torch.promote_types(x.dtype, torch.float32)))
            sum_edges_back[points * blocks,](
                *(x, frames, weights, grad, gx, gw, parts[-1], *graph, frames.shape[1]),
                *(launch, torque, channels, block, _SUMS[x.dtype]),
                num_warps=1,
            )
        if torque:
            turning[:, :2] = torch.cat(parts, 1).sum(1)
    return gx, gw, turning
