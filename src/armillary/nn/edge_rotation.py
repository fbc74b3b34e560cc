"""Features of points in the frames of edges, sorted by order m, and back."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from armillary.groups import Irreps, O3Irrep
from armillary.nn.edge_checks import check_edges, check_frames
from armillary.ops.constants import ConstantModule
from armillary.ops.edge_generators import wigner_size
from armillary.ops.integers import checked_integer
from armillary.ops.precision import without_autocast


class EdgeRotation(ConstantModule):
    """The turn of features into the frame of each edge, cut at |m| ≤ ``mmax``, and its transpose.

        z_e = P D_e x_{source(e)},     y_i = Σ_{e: target = i} D_eᵀ Pᵀ z_e

    In the frame the edge is the z-axis, and what leaves it there is O(2): turns about z, and mirrors. z is sorted by
    order: of m = 0 the channels of natural parity p = (-1)^l, then the others, of which a mirror changes the sign; of
    each m = 1, 2, … pairs (a, b) = (x_m, x_{-m}), all a before all b, which turn like cos mφ and sin mφ and of which
    mirrors change the sign of b. Irreps that are not natural enter as (a, b) = (-x_{-m}, x_m), so that they do the
    same. Within each: by stream, then channel. A linear map of z commutes with O(3) if it treats a and b alike, orders
    apart, and the two kinds of m = 0 apart.

    Shapes: x (P, irreps.dim), frames (E, S) from ``edge_frames`` of degree ``irreps.lmax`` or more, z (E, ``size``),
    size = ``counts[0] + 2 Σ_{m > 0} counts[m]``. ``mmax`` None: all orders. No parameters.
    Raises: ValueError for shapes that do not fit. Source: Passaro & Zitnick 2023 (arXiv 2302.03655); pinned by
    ``tests/nn/test_edge_linear.py``.
    """

    def __init__(self, irreps: Irreps | str, mmax: int | None = None) -> None:
        super().__init__()
        self.irreps = Irreps(irreps)
        self.lmax = self.irreps.lmax
        self.mmax = min(self.lmax, checked_integer("mmax", self.lmax if mmax is None else mmax, 0))
        self.natural = [irrep == O3Irrep.natural(irrep.l) for _, irrep in self.irreps]
        """Whether each stream has the parity of the harmonics."""
        self.places: list[list[tuple[int, slice]]] = []
        """For each order the streams that have it, and where their channels are among those of the order."""
        self.counts: list[int] = []
        """For each order, how many channels have it."""
        rows, starts, end = [], [], 0
        for n, irrep in self.irreps:
            rows.append(min(irrep.l, self.mmax))
            starts.append(end)
            end += (2 * rows[-1] + 1) * n
        self.components: list[tuple[int, int]] = []
        """For each run of channels in z its stream, and the m = -l..l of what it is of x."""
        order: list[int] = []
        signs: list[float] = []
        for m in range(self.mmax + 1):
            streams = [i for i, (_, irrep) in enumerate(self.irreps) if irrep.l >= m]
            if m == 0:
                streams.sort(key=lambda i: not self.natural[i])
            places, filled = [], 0
            for i in streams:
                n = self.irreps.streams[i][0]
                places.append((i, slice(filled, filled + n)))
                filled += n
            self.places.append(places)
            self.counts.append(filled)
            for half in range(2 if m else 1):
                for i in streams:
                    n, at = self.irreps.streams[i][0], m * (1 if self.natural[i] != bool(half) else -1)
                    self.components.append((i, at))
                    order += range(starts[i] + (rows[i] + at) * n, starts[i] + (rows[i] + at + 1) * n)
                    signs += [-1.0 if m and not self.natural[i] and not half else 1.0] * n
        self.size = len(order)
        self.others = sum(n for i, (n, _) in enumerate(self.irreps) if not self.natural[i])
        """How many channels of m = 0 are not of natural parity: the last ones."""
        self._rows = rows
        with torch.device("cpu"):
            taken = torch.tensor(order)
            self.register_constant("order", taken)
            self.register_constant("inverse", taken.argsort())
            self.register_constant("signs", torch.tensor(signs, dtype=torch.float64))

    def rotate_in(self, x: Tensor, frames: Tensor, source: Tensor) -> Tensor:
        """z (E, size) of x (P, irreps.dim), source (E,) the numbers of points."""
        self.irreps.check(x, "this EdgeRotation")
        blocks = self._blocks(frames, len(source), x)
        parts = zip(blocks, self.irreps.split(x), strict=True)
        with without_autocast(x):
            turned = torch.cat([(D @ part.index_select(0, source)).flatten(1) for D, part in parts], 1)
        return turned[:, self.constant("order", x)] * self.constant("signs", x)

    def matrices(self, frames: Tensor) -> Tensor:
        """P D_e of each edge, (E, size, irreps.dim): ``z = (Q @ x[source, :, None])[..., 0]``.

        Where each stream has one channel, the same matrices turn as many as there are: with x (P, dim, C),
        ``(Q @ x[source]).flatten(1)`` is z of the irreps with C channels each. Made once for a graph, they serve all of
        its layers.
        """
        padded = []
        for D, (n, _), place in zip(
            self._blocks(frames, len(frames), frames), self.irreps, self.irreps.slices, strict=True
        ):
            if n > 1:
                D = torch.einsum("emk,cd->emckd", D, torch.eye(n).to(D)).flatten(3).flatten(1, 2)
            padded.append(nn.functional.pad(D, (place.start, self.irreps.dim - place.stop)))
        found = torch.cat(padded, 1).index_select(1, self.constant("order", frames))
        return found if all(self.natural) else found * self.constant("signs", frames)[:, None]

    def rotate_out(self, z: Tensor, frames: Tensor, target: Tensor, points: int) -> Tensor:
        """y (points, irreps.dim) of z (E, size): turned back and summed."""
        if z.ndim != 2 or z.shape[1] != self.size:
            raise ValueError(f"z has shape {tuple(z.shape)}, this EdgeRotation wants (E, {self.size}): {self}.")
        blocks = self._blocks(frames, len(z), z)
        sorted_back = (z * self.constant("signs", z))[:, self.constant("inverse", z)]
        sizes = [(2 * most + 1) * n for most, (n, _) in zip(self._rows, self.irreps, strict=True)]
        parts = zip(blocks, sorted_back.split(sizes, 1), self.irreps, strict=True)
        with without_autocast(z):
            back = torch.cat([(D.mT @ part.unflatten(1, (-1, n))).flatten(1) for D, part, (n, _) in parts], 1)
        return back.new_zeros(points, self.irreps.dim).index_add(0, target, back)

    def _blocks(self, frames: Tensor, edges: int, like: Tensor) -> list[Tensor]:
        """The rows |m| ≤ mmax of the matrix of each stream."""
        frames = check_frames(frames, edges, self.lmax, like)
        found = []
        for (_, irrep), most in zip(self.irreps, self._rows, strict=True):
            l = irrep.l
            rows = frames[:, wigner_size(l - 1) + (l - most) * (2 * l + 1) : wigner_size(l) - (l - most) * (2 * l + 1)]
            found.append(rows.unflatten(1, (2 * most + 1, 2 * l + 1)))
        return found

    def forward(self, x: Tensor, frames: Tensor, edge_index: Tensor) -> Tensor:
        """``rotate_in`` at the sources of edges (2, E)."""
        check_edges(x, edge_index)
        return self.rotate_in(x, frames, edge_index[0])

    def extra_repr(self) -> str:
        return f"{self.irreps}, mmax={self.mmax}, {self.size} components of an edge"
