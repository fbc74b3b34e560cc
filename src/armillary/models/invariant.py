"""A network of atoms that sees distances alone: the baseline of those that see directions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from armillary.models.forces import ElementEmbedding, structure_of
from armillary.nn.dense import dense
from armillary.nn.radial import GaussianSmearing, PolynomialCutoff, lengths
from armillary.ops.integers import checked_integer, checked_positive
from armillary.ops.sums import sum_by


class InvariantNetwork(nn.Module):
    """Energies by continuous-filter convolutions of scalar features.

        x_i ← x_i + U(Σ_{j ∈ N(i)} u(d_ij) W(φ(d_ij)) ∘ V x_j / √n),      E = s Σ_i (MLP(x_i) + b_{z_i})

    φ are Gaussians, u the ``PolynomialCutoff``, W and U dense networks of two layers, V a matrix; ``neighbours`` n is
    the mean number of them and ``scale`` s the unit of energy, both measured on data. Twice differentiable.

    Shapes: charges (P,) int64, vectors (E, 3) in the unit of ``cutoff``, edge_index (2, E), batch (P,) → (structures,).
    Symmetry: invariant under motions of space and reflections, and under the order of atoms and edges.
    Raises: ValueError for sizes out of range, and atoms of other ``elements``.
    Source: Schütt et al. 2018 (SchNet, arXiv 1706.08566), with a smooth cutoff; pinned by
    ``tests/models/test_invariant.py``.
    """

    def __init__(
        self,
        elements: Sequence[int],
        channels: int = 64,
        layers: int = 3,
        cutoff: float = 5.0,
        *,
        radial: int = 32,
        neighbours: float = 10.0,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        checked_integer("layers", layers, 1)
        self.neighbours, self.scale = checked_positive("neighbours", neighbours), checked_positive("scale", scale)
        self.embedding = ElementEmbedding(elements, checked_integer("channels", channels, 1))
        self.shift = ElementEmbedding(elements, 1)
        nn.init.zeros_(self.shift.embedding.weight)
        self.radial, self.envelope = GaussianSmearing(radial, cutoff), PolynomialCutoff(cutoff)
        self.filters = nn.ModuleList(dense(radial, channels, channels) for _ in range(layers))
        self.sources = nn.ModuleList(nn.Linear(channels, channels, bias=False) for _ in range(layers))
        self.updates = nn.ModuleList(dense(channels, channels, channels) for _ in range(layers))
        self.head = dense(channels, channels, 1)

    def forward(
        self, charges: Tensor, vectors: Tensor, edge_index: Tensor, batch: Tensor | None = None, structures: int = 1
    ) -> Tensor:
        source, target = edge_index
        x, d = self.embedding(charges), lengths(vectors)
        basis, weight = self.radial(d), (self.envelope(d) / math.sqrt(self.neighbours))[:, None]
        for filters, sources, update in zip(self.filters, self.sources, self.updates, strict=True):
            x = x + update(sum_by(target, sources(x).index_select(0, source) * (filters(basis) * weight), len(x)))
        atoms = self.scale * (self.head(x) + self.shift(charges))[:, 0]
        return sum_by(structure_of(charges, batch), atoms, structures)

    def extra_repr(self) -> str:
        return f"neighbours={self.neighbours:g}, scale={self.scale:g}"
