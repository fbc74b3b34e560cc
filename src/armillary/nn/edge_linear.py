"""The linear map of features along edges: dense in channels and degrees, one order m at a time (eSCN)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from armillary.groups import Irreps
from armillary.nn.edge_checks import check_edges, check_frames
from armillary.nn.edge_orders import OrderLinear
from armillary.nn.edge_rotation import EdgeRotation
from armillary.ops.integers import checked_integer


class EdgeLinear(nn.Module):
    """Sum over neighbours of any linear map that commutes with rotations and reflections, in the frame of each edge.

        y_i = Σ_{e: j → i} D_eᵀ W (s_e · D_e x_j),     a'_m = W_m a_m,  b'_m = W_m b_m

    (a, b)_m are the components of order ±m of all degrees and channels (``EdgeRotation`` says which is which), W_m a
    dense matrix from all that have this order in the input to all that have it in the output; m = 0 has a matrix for
    each of the two kinds that mirrors tell apart. Orders above ``mmax`` are left out. With all orders this is the full
    tensor product with the harmonics of the edge, a matrix (channels out, channels in) for each path: ``path_weights``
    and ``load_path_weights`` go between the two. Its cost is O(L³) for an edge and channel instead of O(L⁶).

    With ``reflections=False`` it commutes with rotations alone, and has more weights: ``a' = W a - V b``,
    ``b' = W b + V a``, and one matrix for all of m = 0. This is the published map.

    ``scales`` multiply each edge's input, one number for each channel and order (E, ``scale_numel``), in the order of
    ``EdgeRotation`` without the b: radial functions. ``edges_at_once`` cuts the edges into runs, and with
    ``recompute`` what lies between is not kept but computed again in the backward pass: memory is then that of one run.

    Shapes: x (P, irreps_in.dim), frames (E, S) of degree ``lmax`` or more, edge_index (2, E) → (points_out or P,
    irreps_out.dim). The matrices are those of ``map``, an ``OrderLinear``, which says how they are stored and drawn.
    Raises: ValueError for an output that nothing reaches, or shapes that do not fit.
    Source: Passaro & Zitnick 2023 (arXiv 2302.03655), equations 5 to 7; pinned by ``tests/nn/test_edge_linear.py``.
    """

    def __init__(
        self,
        irreps_in: Irreps | str,
        irreps_out: Irreps | str,
        mmax: int | None = None,
        *,
        reflections: bool = True,
        edges_at_once: int | None = None,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        self.start, self.end = EdgeRotation(irreps_in, mmax), EdgeRotation(irreps_out, mmax)
        self.irreps_in, self.irreps_out = self.start.irreps, self.end.irreps
        self.map = OrderLinear(self.start, self.end, reflections=reflections)
        self.lmax, self.mmax = max(self.start.lmax, self.end.lmax), self.map.mmax
        """The degree that frames need, and the highest order that is mapped."""
        self.reflections, self.recompute = reflections, recompute
        self.edges_at_once = None if edges_at_once is None else checked_integer("edges_at_once", edges_at_once, 1)
        self.scale_numel = sum(self.start.counts)
        reached = {i for m, places in enumerate(self.end.places[: self.mmax + 1]) for i, _ in places if self._has(m, i)}
        missing = [str(irrep) for i, (_, irrep) in enumerate(self.irreps_out) if i not in reached]
        if missing:
            raise ValueError(
                f"EdgeLinear: no map from {self.irreps_in} with |m| <= {self.mmax} reaches {', '.join(missing)}: leave "
                f"it out, or raise mmax."
            )

    def _has(self, m: int, stream: int) -> bool:
        """Whether order m of a stream of the output hangs on the input."""
        if m or not self.reflections:
            return self.start.counts[m] > 0
        natural = self.end.natural[stream]
        return any(self.start.natural[i] == natural for i, _ in self.start.places[0])

    def forward(
        self,
        x: Tensor,
        frames: Tensor,
        edge_index: Tensor,
        scales: Tensor | None = None,
        points_out: int | None = None,
    ) -> Tensor:
        check_edges(x, edge_index)
        edges, points = edge_index.shape[1], len(x) if points_out is None else points_out
        if scales is not None and tuple(scales.shape) != (edges, self.scale_numel):
            raise ValueError(
                f"scales have shape {tuple(scales.shape)}, this EdgeLinear wants ({edges}, {self.scale_numel})."
            )
        check_frames(frames, edges, self.lmax, x)
        step = self.edges_at_once or max(1, edges)
        y: Tensor | None = None
        for first, last in pairwise([*range(0, edges, step), edges] if edges else [0, 0]):
            own = None if scales is None else scales[first:last]
            arguments = (x, frames[first:last], edge_index[:, first:last], own, points)
            if self.recompute and torch.is_grad_enabled() and not torch.compiler.is_compiling():
                part = checkpoint(self._summed, *arguments, use_reentrant=False, preserve_rng_state=False)
            else:
                part = self._summed(*arguments)
            y = part if y is None else y + part
        assert y is not None
        return y

    def _summed(self, x: Tensor, frames: Tensor, edge_index: Tensor, scales: Tensor | None, points: int) -> Tensor:
        z = self.mix(self.rotate_in(x, frames, edge_index[0]), scales)
        return self.rotate_out(z, frames, edge_index[1], points)

    def rotate_in(self, x: Tensor, frames: Tensor, source: Tensor) -> Tensor:
        """Features in the frames of the edges, (E, start.size); see ``EdgeRotation``."""
        return self.start.rotate_in(x, frames, source)

    def rotate_out(self, z: Tensor, frames: Tensor, target: Tensor, points: int) -> Tensor:
        """What ``mix`` gave, (E, end.size), turned back and summed: (points, irreps_out.dim)."""
        return self.end.rotate_out(z, frames, target, points)

    def mix(self, z: Tensor, scales: Tensor | None = None) -> Tensor:
        """W (s · z), (E, start.size) → (E, end.size)."""
        if scales is not None:
            orders = enumerate(scales.to(z.dtype).split(self.start.counts, 1))
            z = z * torch.cat([own for m, own in orders for _ in range(2 if m else 1)], 1)
        return self.map(z)

    def extra_repr(self) -> str:
        cut = "" if self.edges_at_once is None else f", edges_at_once={self.edges_at_once}"
        group = "O(3)" if self.reflections else "SO(3)"
        return f"{self.irreps_in} → {self.irreps_out}, mmax={self.mmax}, commutes with {group}{cut}"
