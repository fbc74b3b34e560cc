"""A graph network of invariant messages that moves its points along their differences.

Shape legend: P points, E edges, F features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from armillary.nn.edge_checks import check_edges
from armillary.ops.integers import checked_integer
from armillary.ops.sums import sum_by


class EGNN(nn.Module):
    """E(n) equivariant graph network with velocities: scalars at points, and positions that the layers move.

        m_ij = φ_e(h_i, h_j, |x_i - x_j|², s_ij),    h_i += φ_h(h_i, Σ_j m_ij),
        x_i += φ_v(h_i) v_i + mean_j (x_i - x_j) φ_x(m_ij)

    with φ MLPs of one hidden layer and SiLU. It is the invariant counterpart of ``SEGNN``: directions enter by the
    differences of positions alone.

    Shapes: features (P, features), positions and velocities (P, 3), edge_index (2, E), edge_scalars (E, edge_scalars)
    → positions (P, 3). Commutes with O(3) and translations to rounding.
    Each layer takes lengths to the third power: points that are far apart, in its unit, leave the range of numbers in a
    few layers, which is an error (not looked for while compiling).
    Raises: ValueError for sizes < 1, shapes that do not fit, or positions that are or become not finite.
    Source: Satorras et al. 2021, arXiv 2102.09844, equations 3 to 7; pinned by ``tests/models/test_egnn.py``.
    """

    def __init__(self, features: int, hidden: int = 64, layers: int = 4, edge_scalars: int = 0) -> None:
        super().__init__()
        self.features, self.hidden = checked_integer("features", features, 1), checked_integer("hidden", hidden, 1)
        self.edge_scalars = checked_integer("edge_scalars", edge_scalars, 0)
        checked_integer("layers", layers, 1)
        self.embedding = nn.Linear(features, hidden)
        self.layers = nn.ModuleList(_EGNNLayer(hidden, edge_scalars) for _ in range(layers))

    def forward(
        self,
        features: Tensor,
        positions: Tensor,
        velocities: Tensor,
        edge_index: Tensor,
        edge_scalars: Tensor | None = None,
    ) -> Tensor:
        P = len(positions)
        if features.shape != (P, self.features) or positions.shape != (P, 3) or velocities.shape != (P, 3):
            raise ValueError(
                f"features, positions and velocities have shapes {tuple(features.shape)}, {tuple(positions.shape)}, "
                f"{tuple(velocities.shape)}, wanted ({P}, {self.features}), ({P}, 3), ({P}, 3)."
            )
        check_edges(features, edge_index)
        scalars = positions.new_zeros(edge_index.shape[1], 0) if edge_scalars is None else edge_scalars
        if scalars.shape != (edge_index.shape[1], self.edge_scalars):
            raise ValueError(
                f"edge_scalars have shape {tuple(scalars.shape)}, wanted ({edge_index.shape[1]}, {self.edge_scalars})."
            )
        h, x = self.embedding(features), positions
        count = sum_by(edge_index[1], positions.new_ones(edge_index.shape[1]), P)
        share = count.clamp(min=1).reciprocal()[:, None]
        for layer in self.layers:
            h, x = layer(h, x, velocities, edge_index, scalars, share)
        if not torch.compiler.is_compiling() and not bool(x.isfinite().all()):
            largest = float(positions.detach().abs().max())
            raise ValueError(
                f"EGNN moved points to where no {x.dtype} is, from coordinates up to {largest:.3g}: scale positions "
                f"and velocities to order one, and look for a value that was not finite before."
            )
        return x


class _EGNNLayer(nn.Module):
    """One layer; φ_x ends in small weights, so that at first points hardly move."""

    def __init__(self, hidden: int, scalars: int) -> None:
        super().__init__()
        self.message = nn.Sequential(
            nn.Linear(2 * hidden + 1 + scalars, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU()
        )
        self.update = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.along = nn.Sequential(nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, 1, bias=False))
        self.drift = nn.Sequential(nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, 1))
        nn.init.xavier_uniform_(self.along[2].weight, gain=0.001)  # type: ignore[arg-type]

    def forward(
        self, h: Tensor, x: Tensor, v: Tensor, edges: Tensor, scalars: Tensor, share: Tensor
    ) -> tuple[Tensor, Tensor]:
        source, target = edges
        r = x[target] - x[source]
        m = self.message(torch.cat([h[target], h[source], r.square().sum(1, keepdim=True), scalars], 1))
        moved = sum_by(target, r * self.along(m), len(x)) * share
        received = sum_by(target, m, len(h))
        return h + self.update(torch.cat([h, received], 1)), x + self.drift(h) * v + moved
