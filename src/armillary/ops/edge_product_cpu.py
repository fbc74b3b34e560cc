"""The product with the harmonics of edges on the CPU, in one pass over the edges.

The forward pass goes over the targets, the backward pass over the sources: each thread owns the points it sums into, in
the order of the edges, so that results are the same in every run and for any number of threads. Nothing of the size
edges × components is kept; vectors run along the channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
import torch
from torch import Tensor

from armillary.ops.compiling import ready
from armillary.ops.edge_paths import EdgePaths
from armillary.ops.edge_product_kernels import edge_backward, edge_forward, sum_edges, sum_edges_back
from armillary.ops.memory import empty
from armillary.ops.threads import run
from armillary.ops.vectors import lanes

_JOBS = 8  # that a thread has at least

_jit = numba.njit(nogil=True, cache=True)


@_jit
def _by_point(points, count):  # type: ignore[no-untyped-def]
    """The edges of each point in their order: (order, starts)."""
    starts = np.zeros(count + 1, np.int64)
    for i in points:
        starts[i + 1] += 1
    starts = np.cumsum(starts)
    order, filled = np.empty(len(points), np.int64), starts[:-1].copy()
    for e in range(len(points)):
        order[filled[points[e]]] = e
        filled[points[e]] += 1
    return order, starts


def _numbered(index: Tensor, points: int, name: str) -> np.ndarray:
    """Raises: ValueError for the number of a point that is not there."""
    if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < points:
        raise ValueError(
            f"edge_index has numbers outside 0..{points - 1} in its row of {name}s: there are {points} points."
        )
    return index.contiguous().numpy()


def _jobs(starts: np.ndarray) -> list[tuple[int, int]]:
    """Runs of points with about as many edges each."""
    points, edges = len(starts) - 1, int(starts[-1])
    wanted = np.arange(_JOBS * torch.get_num_threads() + 1) / (_JOBS * torch.get_num_threads())
    cuts = np.unique([0, *np.searchsorted(starts, wanted[1:-1] * edges), points])
    return list(zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True))


def _flat(x: Tensor) -> np.ndarray:
    return x.detach().reshape(len(x), -1).contiguous().numpy()


def _code(make, plan: EdgePaths, channels: int, itemsize: int, *more: bool) -> tuple[int, int, int, int]:  # type: ignore[no-untyped-def]
    """Channels, the width of the code for most of them, its address, and that for those that are left."""
    width = min(channels, lanes(itemsize))
    code = ready(make, plan, channels, width, itemsize, *more)
    rest = channels % width
    return channels, width, code, ready(make, plan, channels, rest, itemsize, *more) if rest else 0


def edge_product_cpu(
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
    """``ops.edge_product.edge_product`` on the CPU."""
    plan = EdgePaths.of(tuple(degrees_in), tuple(degrees_out), tuple(paths))
    sources, targets = _numbered(source, len(x), "source"), _numbered(target, points, "target")
    y = empty(x, points, plan.rows_out[-1], x.shape[2])
    order, starts = _by_point(targets, points)
    numbers = _code(edge_forward, plan, x.shape[2], x.itemsize)
    arrays = [_flat(x), _flat(frames), _flat(weights), y.view(points, -1).numpy(), order, starts, sources]
    run(ready(sum_edges, x.itemsize), arrays, numbers, _jobs(starts))
    return y


def edge_product_grad_cpu(
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
    """``ops.edge_product.edge_product_grad`` on the CPU."""
    plan = EdgePaths.of(tuple(degrees_in), tuple(degrees_out), tuple(paths))
    sources, targets = _numbered(source, len(x), "source"), _numbered(target, len(grad), "target")
    gx, gw, turning = empty(x, *x.shape), empty(weights, *weights.shape), x.new_empty(len(sources), 3)
    order, starts = _by_point(sources, len(x))
    numbers = _code(edge_backward, plan, x.shape[2], x.itemsize, torque)
    made = [gx.view(len(x), -1).numpy(), gw.view(len(gw), -1).numpy(), turning.numpy()]
    arrays = [*(_flat(t) for t in (x, frames, weights, grad)), *made, order, starts, targets]
    run(ready(sum_edges_back, x.itemsize), arrays, numbers, _jobs(starts))
    return gx, gw, turning
