"""Which neighbours are among the nearest: a rank by distance that has no jumps."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from armillary.nn.radial import PolynomialCutoff
from armillary.ops.integers import checked_integer


class NearestWeights(nn.Module):
    """1 for the n nearest neighbours of a point, 0 for those that n others are nearer than by ``width`` w, and smooth
    between.

        t_e = 1 - h(ρ_e - (n - 1)),     ρ_e = Σ_{f: i(f) = i(e)} h((d_e - d_f)/w)

    h rises from 0 at 0 to 1 at 1, ``10x³ - 15x⁴ + 6x⁵``, with two continuous derivatives; so has t. ρ is a rank,
    counted from 0: it counts the neighbours that are nearer by w, and those that are nearer by less in part. Equal
    distances have equal t, whatever the order of edges; where they are at the limit, more than n neighbours have
    t = 1. For w → 0 and distinct distances t is 1 for the n nearest and 0 for all others. What is farther away than an
    edge does not change its t.

    Shapes: distances d (E,), ``target`` (E,) int64, the point i of each edge → (E,). The cost is the square of the
    number of neighbours, of points that have more than n; while compiling, where no size may depend on the data, it is
    E². Raises: ValueError for n < 1 or a width that is no number > 0, and for shapes that do not fit.
    Source: what Zitnick et al. 2022 (arXiv 2206.14331) do by ranks, without their jumps; pinned by
    ``tests/nn/test_nearest.py``.
    """

    def __init__(self, nearest: int, width: float) -> None:
        super().__init__()
        self.nearest = checked_integer("nearest", nearest, 1)
        if isinstance(width, bool) or not isinstance(width, int | float) or not 0 < width < math.inf:
            raise ValueError(f"got width = {width!r}, wanted a length > 0, in the unit of distances.")
        self.below = PolynomialCutoff(width, p=3)  # 1 - h(d/w)
        self.counted = PolynomialCutoff(1.0, p=3)  # 1 - h

    def forward(self, d: Tensor, target: Tensor) -> Tensor:
        if d.ndim != 1 or d.shape != target.shape or target.dtype != torch.int64:
            shapes = f"got distances {tuple(d.shape)} and targets {tuple(target.shape)} of {target.dtype}"
            raise ValueError(f"{shapes}, wanted (E,) both, and targets of int64.")
        if torch.compiler.is_compiling():
            closer = 1 - self.below((d[:, None] - d).clamp(min=0))
            ranks = torch.where(target[:, None] == target, closer, 0).sum(1)
        else:
            first, second = _sharing(target, self.nearest)
            closer = 1 - self.below((d.index_select(0, first) - d.index_select(0, second)).clamp(min=0))
            ranks = torch.zeros_like(d).index_add(0, first, closer)
        return self.counted((ranks - (self.nearest - 1)).clamp(min=0))

    def extra_repr(self) -> str:
        return f"nearest={self.nearest}, width={self.below.cutoff:g}"


def _sharing(target: Tensor, least: int) -> tuple[Tensor, Tensor]:
    """The pairs of edges that share their target, of targets with more than ``least`` edges."""
    counts = torch.bincount(target)
    own = counts[target]
    own = torch.where(own > least, own, 0)
    edges = torch.arange(len(target), device=target.device)
    first = edges.repeat_interleave(own)
    within = torch.arange(len(first), device=target.device) - (own.cumsum(0) - own)[first]
    starts = counts.cumsum(0) - counts
    return first, target.argsort(stable=True)[starts[target[first]] + within]
