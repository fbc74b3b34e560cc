"""The tensor product of features with the harmonics of edges, by channel, evaluated in the frame of the edge."""

from __future__ import annotations

from torch import Tensor, nn

from armillary.groups import Irreps, O3Irrep, clebsch_gordan_real
from armillary.nn.edge_checks import check_edges, check_frames
from armillary.ops.edge_paths import EdgePaths
from armillary.ops.edge_product import edge_product
from armillary.ops.integers import checked_integer


class EdgeProduct(nn.Module):
    """Channel-wise tensor product with the harmonics of the edges, a weight for each edge, path and channel.

        y_i^{l3} = Σ_{e: j → i} Σ_{(l1, l2) → l3} w_e^{path} · C^{l1 l2 l3}(x_j^{l1} ⊗ S^{l2}(r_e/|r_e|))

    S = √(4π) Y, of natural parity (-1)^{l2}, l2 ≤ ``lmax_edge``; C the coefficients of ``groups.clebsch_gordan_real``.
    A path is (stream in, l2, stream out) with |l1 - l2| ≤ l3 ≤ l1 + l2 and p1 (-1)^{l2} = p3; all paths into one stream
    are summed, and none is scaled: with features of unit variance each path has that, too. It is computed as
    ``Dᵀ T(w) D x``: turned to the frame where the edge is the z-axis, S^{l2} is √(2 l2 + 1) at m = 0 and T couples m
    with ±m alone: O(L³) numbers of an edge and channel instead of O(L⁶).

    Shapes: x (P, irreps_in.dim), frames (E, S) from ``edge_frames`` of degree ``lmax`` or higher, weights (E,
    weight_numel), path before channel in the order of ``paths``, edge_index (2, E) int64, row 0 the source j and row 1
    the target i → (points_out or P, irreps_out.dim). Every stream has the same number of channels. No parameters.

    On the CPU one compiled pass over the edges, gradients too: nothing of the size edges × features is kept, sums have
    a fixed order. Symmetry: commutes with O(3) to rounding. Edges of length zero have the frame of the z-axis: leave
    them out, or give them no weight, where that matters.
    Raises: ValueError for streams of different numbers of channels, an output that no path reaches, shapes that do not
    fit, or numbers of points that are not there.
    Source: Passaro & Zitnick 2023 (arXiv 2302.03655); Thomas et al. 2018 (arXiv 1802.08219); pinned by
    ``tests/nn/test_edge_product.py``.
    """

    def __init__(self, irreps_in: Irreps | str, lmax_edge: int, irreps_out: Irreps | str) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = Irreps(irreps_in), Irreps(irreps_out)
        self.lmax_edge = checked_integer("lmax_edge", lmax_edge, 0)
        counts = {n for n, _ in (*self.irreps_in, *self.irreps_out)}
        if len(counts) != 1 or not self.irreps_in or not self.irreps_out:
            raise ValueError(
                f"EdgeProduct: got {self.irreps_in} → {self.irreps_out}, wanted the same number of channels in every "
                f"stream: it acts channel by channel. Mix channels before and after it (IrrepsLinear)."
            )
        self.channels = counts.pop()
        self.paths = [
            (i, l2, o)
            for o, (_, end) in enumerate(self.irreps_out)
            for i, (_, start) in enumerate(self.irreps_in)
            for l2 in range(abs(start.l - end.l), min(start.l + end.l, self.lmax_edge) + 1)
            if O3Irrep.natural(l2).p * start.p == end.p
        ]
        """(stream in, l2, stream out) of each weight."""
        missing = [str(irrep) for o, (_, irrep) in enumerate(self.irreps_out) if all(p[2] != o for p in self.paths)]
        if missing:
            raise ValueError(
                f"EdgeProduct: no product of {self.irreps_in} with harmonics of degree <= {self.lmax_edge} gives "
                f"{', '.join(missing)}: leave it out, or raise lmax_edge."
            )
        self.weight_numel = len(self.paths) * self.channels
        self._plan = EdgePaths(
            tuple(irrep.l for _, irrep in self.irreps_in),
            tuple(irrep.l for _, irrep in self.irreps_out),
            tuple(self.paths),
        )
        self.lmax = self._plan.lmax
        """The degree that frames need: the highest of the features."""
        self._numbers = list(self._plan.degrees_in), list(self._plan.degrees_out), self._plan.flat

    def forward(
        self, x: Tensor, frames: Tensor, weights: Tensor, edge_index: Tensor, points_out: int | None = None
    ) -> Tensor:
        self.irreps_in.check(x, "this EdgeProduct")
        check_edges(x, edge_index)
        frames = check_frames(frames, edge_index.shape[1], self.lmax, x)
        if tuple(weights.shape) != (edge_index.shape[1], self.weight_numel):
            raise ValueError(
                f"weights have shape {tuple(weights.shape)}, this EdgeProduct wants ({edge_index.shape[1]}, "
                f"{self.weight_numel}): {len(self.paths)} paths of {self.channels} channels for each edge."
            )
        y = edge_product(
            x.unflatten(1, (-1, self.channels)),
            frames,
            weights.to(x.dtype).unflatten(1, (-1, self.channels)),
            edge_index[0],
            edge_index[1],
            len(x) if points_out is None else points_out,
            *self._numbers,
        )
        return y.flatten(1)

    def tensor(self, path: int) -> Tensor:
        """The tensor C^{l1 l2 l3} of a path, (2l1 + 1, 2l2 + 1, 2l3 + 1) float64: what a weight of 1 multiplies."""
        i, l2, o = self.paths[path]
        return clebsch_gordan_real(self._plan.degrees_in[i], l2, self._plan.degrees_out[o])

    def extra_repr(self) -> str:
        return (
            f"{self.irreps_in} → {self.irreps_out}, lmax_edge={self.lmax_edge}, {len(self.paths)} paths, "
            f"{self.weight_numel} weights of an edge"
        )
